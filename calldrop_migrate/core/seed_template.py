"""The seed module that `new --seed` writes: rows for a table, by its columns. It runs as it is."""

from __future__ import annotations

from calldrop_migrate.core.schema import Column, Table

# What a value of each type can be, as Python; `n` counts rows, `draw` is Random.random.
_VALUES = {
    "ascii": 'f"{name}-{{n}}"',
    "text": 'f"{name}-{{n}}"',
    "varchar": 'f"{name}-{{n}}"',
    "tinyint": "int(draw() * 100)",
    "smallint": "int(draw() * 1000)",
    "int": "int(draw() * 1000)",
    "bigint": "int(draw() * 1000)",
    "varint": "int(draw() * 1000)",
    "float": "draw() * 1000",
    "double": "draw() * 1000",
    "decimal": "Decimal(int(draw() * 100_000)) / 100",
    "boolean": "draw() < 0.5",
    "timestamp": "now - timedelta(seconds=int(draw() * options.days * 86_400))",
    "date": "(now - timedelta(seconds=int(draw() * options.days * 86_400))).date()",
    "time": "int(draw() * 86_400) * 10**9",
    "inet": 'f"10.{{n // 65536 % 256}}.{{n // 256 % 256}}.{{n % 256}}"',
    "timeuuid": "uuid_from_time(now - timedelta(milliseconds=n), 0, 0)",
    "uuid": "UUID(int=int(draw() * 2**53) << 75 | n, version=4)",
    "blob": "int(draw() * 2**32).to_bytes(4)",
}
# No two rows may have one key.
_KEYS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "varint"), "n"),
    "date": "(now - timedelta(days=n)).date()",
    "timestamp": "now - timedelta(seconds=n)",
}
_TEMPLATE = '''\
"""Rows of {table}.

The same random seed, now and options have to give the same rows: draw from `random` alone, and only
by random.random(), whose sequence is the same in every Python.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

from cassandra.util import uuid_from_time

TABLE = "{table}"


@dataclass(frozen=True)
class Options:
    """What can be changed: on the command line as --rows and --days."""

    rows: int = 100
    days: int = 30


def rows(random: Random, now: datetime, options: Options) -> Iterator[dict[str, object]]:
    """Make the rows: columns that the table hasn't are left out when they are loaded."""
    draw = random.random
    for n in range(options.rows):
        yield {{
{columns}
        }}
'''


def seed_template(table: Table) -> str:
    """The text of a module for this table."""
    text = _TEMPLATE.format(table=table.name, columns="\n".join(map(_line, table.columns)))
    for name, line in (
        ("timedelta", "from datetime import datetime, timedelta\n"),
        ("Decimal", "from decimal import Decimal\n"),
        ("UUID", "from uuid import UUID\n"),
        ("uuid_from_time", "\nfrom cassandra.util import uuid_from_time\n"),
    ):
        if text.count(name) == 1:
            text = text.replace(line, "from datetime import datetime\n" * (name == "timedelta"))
    return text


def _line(column: Column) -> str:
    value = _VALUES.get(column.type)
    if value is None or not column.name.isidentifier():
        return f"            # {column.name!r}: ...,  # {column.type}"
    if column.is_key:
        value = _KEYS.get(column.type, value)
    return f'            "{column.name}": {value.format(name=column.name)},'
