"""Compares the schema to which a down section leads with the one that its up section began at.

It is known from the files alone. Statements about rows have no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from calldrop_migrate import commands
from calldrop_migrate.core.comparing import diff
from calldrop_migrate.core.files import Left, Migration
from calldrop_migrate.core.plan import Direction
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.errors import Fault, Place

_LEFT = "is there, and was not before"


def left(before: Schema, up: Schema, down: Schema) -> Left | None:
    """Return what is different behind a way up and back down; None where nothing is.

    Args:
        before: the schema that the revision begins at.
        up: the one that its up section leads to.
        down: the one that its down section leads to from there.
    """
    begun = replace(before, tables=tuple(_as_set_back(before, up, down)))
    lines = diff(begun.comparable(), down.comparable(), _LEFT, one_sided=True)
    return Left(tuple(lines), down, _has_all(down, up)) if lines else None


def _has_all(schema: Schema, other: Schema) -> bool:
    """Return whether a schema has all that another one has, and maybe more."""
    have = schema.comparable()
    for name, shape in other.comparable().items():
        mine = have.get(name)
        if mine and "columns" in shape:
            columns = {c: t for c, t in mine.get("columns", {}).items() if c in shape["columns"]}
            mine = {**mine, "columns": columns}
        if mine != shape:
            return False
    return True


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


def way_out(migration: Migration, direction: Direction) -> Iterator[Fault]:
    """Yield what leads out where a way down that is partial has left what is in the way now."""
    if migration.left is None:
        return
    number = migration.number if direction == "up" else migration.number - 1
    hint = f"if it is, say that the keyspace is at {number:04d}:  {commands.stamp_at(number)}"
    if direction == "up" and not migration.left.whole:
        hint = f"if it is, alter it by hand; what differs:  {commands.diff_live(number)}"
    message = f"down is partial ({migration.partial}); what is in the way may be what it left"
    yield Fault(_first(migration), message, hint)


def _first(migration: Migration) -> Place:
    return next((step.statement.place for step in migration.down), Place(migration.file, 1, 1))


def faults(migration: Migration) -> Iterator[Fault]:
    """Yield what is wrong with a way down that leads elsewhere, and doesn't say so."""
    if migration.left and migration.partial is None:
        yield Fault(
            _first(migration),
            f"down does not take back what up does: {'; '.join(migration.left.lines)}",
            "mend it, or say why it is so:  -- migrate:partial REASON",
        )
