"""Compares the schema to which a down section leads with the one that its up section began at.

It is known from the files alone. Statements about rows have no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from calldrop_migrate import commands
from calldrop_migrate.core.comparing import diff
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.plan import Direction
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.errors import Fault, Place

_LEFT = "is there, and was not before"


def left(before: Schema, up: Schema, down: Schema) -> list[str]:
    """Return what is different behind a way up and back down, a line each.

    Args:
        before: the schema that the revision begins at.
        up: the one that its up section leads to.
        down: the one that its down section leads to from there.
    """
    begun = replace(before, tables=tuple(_as_set_back(before, up, down)))
    return diff(begun.comparable(), down.comparable(), _LEFT, one_sided=True)


def _as_set_back(before: Schema, up: Schema, down: Schema) -> Iterator[Table]:
    """Yield the tables with those options that the way down sets, where none were declared: they
    are the server's defaults then.
    """
    for table in before.tables:
        above, back = (schema.table(table.name) for schema in (up, down))
        declared = dict(table.options)
        changed = set(above.options) if above else set()
        for name, value in back.options if back else ():
            if name not in declared and (name, value) not in changed:
                declared[name] = value
        yield replace(table, options=tuple(sorted(declared.items())))


def way_out(migration: Migration, direction: Direction) -> Fault:
    """Return what leads out where a way down that is partial has left what is in the way now."""
    number = migration.number if direction == "up" else migration.number - 1
    return Fault(
        _first(migration),
        f"down is partial ({migration.partial}), so what is there already may be what it left",
        f"if it is, say that the keyspace is at {number:04d}:  {commands.stamp_at(number)}",
    )


def _first(migration: Migration) -> Place:
    return next((step.statement.place for step in migration.down), Place(migration.file, 1, 1))


def faults(migration: Migration) -> Iterator[Fault]:
    """Yield what is wrong with a way down that leads elsewhere, and doesn't say so."""
    if migration.leaves and migration.partial is None:
        yield Fault(
            _first(migration),
            f"down does not take back what up does: {'; '.join(migration.leaves)}",
            "mend it, or say why it is so:  -- migrate:partial REASON",
        )
