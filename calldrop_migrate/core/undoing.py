"""The way out of an attempt that hasn't destroyed anything yet: what it made is dropped again.

It works as long as every operation that may have run leaves what was there before as it was. A
shadow and an aside are copies: they may go while the table that they are copies of is the same one,
by its id. A view or an index that made room for a rebuild is made again. Everything else (an ALTER,
rows written, a table dropped) has no way out but forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from calldrop_migrate.core import names
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.declared import describe, describe_index
from calldrop_migrate.core.effects import after
from calldrop_migrate.core.fencing import is_up, taken_back
from calldrop_migrate.core.operations import Await, Copy, Operation, Proof, Run, Verify, run
from calldrop_migrate.core.schema import Schema


def undo(
    operations: Sequence[Operation], before: Schema, live: Schema
) -> tuple[list[Operation], list[str]]:
    """Return what takes back operations that have run or may have run, and what keeps it from being
    so.

    Args:
        before: the schema that the attempt began at.
        live: the schema now.
    """
    back: list[Operation] = []
    blocked: list[str] = []
    for operation in reversed(operations):
        match operation:
            case Verify() | Await():
                pass
            case Copy(source=source, rows=rows):
                if rows.moved:
                    blocked.append(f"rows of {source.name} were moved out of it")
            case Run() if is_up(operation):
                back.append(taken_back(operation))
            case Run(effect=effect):
                undone = _undone(effect, operations, before, live)
                if undone is None:
                    blocked.append(operation.label)
                else:
                    back += undone
                    for step in undone:
                        live = after(live, step.effect) if isinstance(step, Run) else live
    return back, blocked


def _undone(
    effect: Effect, operations: Sequence[Operation], before: Schema, live: Schema
) -> list[Operation] | None:
    """Return what takes one statement back, as far as that is not so already; None where nothing
    does.
    """
    name, there = quote(effect.name), live.digest_of(effect.name) != "absent"
    match effect.verb, effect.kind:
        case "create", "table":
            return [_drop(effect.name, operations, before)] if there else []
        case "create", "view":
            return [run(f"DROP MATERIALIZED VIEW {name}")] if there else []
        case "create", ("index" | "type") as kind:
            return [run(f"DROP {kind.upper()} {name}")] if there else []
        case "drop", "table" if names.is_never(effect.name):
            return []
        case "drop", "view":
            view = before.table(effect.name)
            if there or view is None:
                return []
            return [run(describe(view)), Await(effect.name)]
        case "drop", "index":
            index = before.extra("index", effect.name)
            return [] if there or index is None else [run(describe_index(index))]
    return None


def _drop(table: str, operations: Sequence[Operation], before: Schema) -> Run:
    """A table that the attempt made: a copy of one that is still there, or else an empty one."""
    drop = f"DROP TABLE {quote(table)}"
    sources = list(_sources(table, operations, before))
    if names.is_internal(table) and sources:
        return replace(run(drop, Proof.COPY), originals=tuple(sources))
    return run(drop, Proof.EMPTY)


def _sources(
    table: str, operations: Sequence[Operation], before: Schema
) -> Iterator[tuple[str, UUID | None]]:
    for operation in operations:
        if isinstance(operation, Copy) and operation.target.name == table:
            source = before.table(operation.source.name)
            yield operation.source.name, source.id if source else None
