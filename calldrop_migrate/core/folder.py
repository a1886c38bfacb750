"""A folder of migrations, checked as a whole before a server is asked anything.

Each file by itself (files.py), then all of them by going up and back through them with rows in
every table (expansion.py): a way back that can't work is found before the way up is applied, when
it can still be mended.
"""

from __future__ import annotations

from collections.abc import Mapping

from calldrop_migrate import commands
from calldrop_migrate.core import files
from calldrop_migrate.core.expansion import examine
from calldrop_migrate.core.files import Migration
from calldrop_migrate.errors import Fault, MigrationFileError, Place

_OTHER_TOOLS = ("cassandra-migrate.yml", "cassandra-migrate.yaml")


def load(contents: Mapping[str, bytes]) -> tuple[Migration, ...]:
    """The migrations of a folder by number, from its files by name.

    Raises:
        MigrationFileError: all that is wrong.
    """
    migrations, found = examine(files.load(contents))
    faults = list(found)
    for name in _OTHER_TOOLS:
        if name in contents:
            message = (
                "cassandra-migrate would run these files too, and the way back of each with it"
            )
            faults.append(
                Fault(
                    Place(name, 1, 1),
                    message,
                    f"take its project over:  {commands.adopt(name)}",
                )
            )
    if faults:
        raise MigrationFileError(tuple(faults))
    return migrations
