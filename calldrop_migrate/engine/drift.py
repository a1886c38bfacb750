"""Drift: how the live schema differs from the one recorded with the last statement of ours, or from
the one that the files declare.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from calldrop_migrate import commands
from calldrop_migrate.core.comparing import diff, differences
from calldrop_migrate.core.expansion import declared_at
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.operations import Await, Operation, Run
from calldrop_migrate.core.restoring import restore
from calldrop_migrate.core.schema import Schema


def drift(
    schema: Schema, recorded: str, in_doubt: Collection[str] = (), *, applied: int
) -> list[str]:
    """The differences, a line each; none where nothing is recorded yet.

    Args:
        recorded: JSON, as the journal has it.
        applied: revisions. With any of them something was recorded: a journal that is gone, or has
            been made again since, is a difference.
        in_doubt: objects that a statement of ours has changed whose outcome isn't recorded yet;
            they are not compared.
    """
    if applied and not recorded:
        return ["the journal is gone, and what it recorded with it"]
    if not recorded:
        return []
    live = json.loads(json.dumps(schema.comparable()))
    return diff(without(json.loads(recorded), in_doubt), without(live, in_doubt))


def ways_out(recorded: str, live: Schema, in_doubt: Collection[str] = ()) -> str:
    """The commands that settle a difference from the recorded schema, a line each.

    Args:
        in_doubt: as for `drift`; `repair --restore` leaves these to the run that is half-way.
    """
    lines = [f"To take it as it is:  {commands.accept()}"]
    back = restore(json.loads(recorded), live)[0] if recorded else []
    if any(set(in_doubt).isdisjoint(concerned(operation)) for operation in back):
        lines.insert(0, f"To put it back:       {commands.restore()}")
    return "\n".join(lines)


def concerned(operation: Operation) -> tuple[str, ...]:
    """The objects that an operation is about, and those that it needs."""
    match operation:
        case Await(view=view):
            return (view,)
        case Run(effect=effect):
            base = effect.table.base if effect.table else ""
            of = effect.extra.table if effect.extra else ""
            return (*operation.names, base or "", of or "")
    return operation.names


def fitting(migrations: Sequence[Migration], live: Schema) -> list[int]:
    """The revisions, 0 among them, whose schema the live one is; the last one first."""
    numbers = range(len(migrations), -1, -1)
    return [n for n in numbers if not not_as_declared(migrations, n, live)]


def not_as_declared(migrations: Sequence[Migration], number: int, live: Schema) -> list[str]:
    """Compares the live schema with the one that revision `number` leads to.

    What no revision of the folder makes is none of its business.
    """
    return differences(declared_at(migrations, number), _of_files(migrations, live))


def is_left_by(migrations: Sequence[Migration], number: int, live: Schema) -> bool:
    """Return whether the live schema is one that a partial way down leaves: the one that leads to
    revision `number`, or that revision's own where all that its way up makes is still there.
    """
    left = [
        m.left.schema
        for m in migrations
        if m.left and (m.number == number + 1 or (m.number == number and m.left.whole))
    ]
    return any(not differences(schema, _of_files(migrations, live)) for schema in left)


def _of_files(migrations: Sequence[Migration], live: Schema) -> Schema:
    """Return the live schema without what no revision of the folder makes."""
    made = [declared_at(migrations, n) for n in range(len(migrations) + 1)]
    made += [migration.left.schema for migration in migrations if migration.left]
    tables = {t.name for schema in made for t in schema.tables}
    extras = {(e.kind, e.name) for schema in made for e in schema.extras}
    ours = replace(live, tables=tuple(t for t in live.tables if t.name in tables))
    return ours.with_extras(e for e in live.extras if (e.kind, e.name) in extras)


def without(comparable: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Without these objects, nor what goes with a table of theirs: its indexes, and its views,
    which get the columns that it gets.
    """

    def is_left_out(key: str, shape: Mapping[str, Any]) -> bool:
        kind, _, name = key.rpartition(" ")
        if shape.get("base") in names:
            return True
        if kind == "index" and json.loads(shape["definition"])[0] in names:
            return True
        return name in names

    return {k: shape for k, shape in comparable.items() if not is_left_out(k, shape)}
