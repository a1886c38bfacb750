"""From a schema that has drifted back to the recorded one, as far as statements can without
destroying anything.

What somebody added stays: dropping it is theirs to decide. What somebody took away comes back
empty, and that is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from calldrop_migrate.core.comparing import from_shape
from calldrop_migrate.core.cql import literal, quote
from calldrop_migrate.core.declared import describe, describe_index, describe_type
from calldrop_migrate.core.operations import Await, Operation, run
from calldrop_migrate.core.schema import Extra, Schema, Table

Lines = list[str]


def restore(recorded: Mapping[str, Any], live: Schema) -> tuple[list[Operation], Lines]:
    """The operations that bring back what is recorded, and what a person has to know of it."""
    have = live.comparable()
    operations: list[Operation] = []
    told: Lines = [
        f"{name}: stays; nothing recorded made it" for name in have if name not in recorded
    ]
    tables = [from_shape(name, s) for name, s in recorded.items() if "columns" in s]
    extras = []
    for full, shape in recorded.items():
        kind, _, name = full.partition(" ")
        extras += [Extra(kind, name, shape["definition"])] if "definition" in shape else []
    # In the order in which one needs the other: types, tables, indexes, views.
    for kind in ("type", "index"):
        for extra in (e for e in extras if e.kind == kind):
            made, line = _extra(extra, live)
            operations += made
            told += line
        if kind == "type":
            for table in (t for t in tables if not t.base):
                operations += _table(table, live.table(table.name), told)
    for view in (t for t in tables if t.base):
        operations += _view(view, live.table(view.name), told)
    return operations, told


def _extra(extra: Extra, live: Schema) -> tuple[list[Operation], Lines]:
    there = live.extra(extra.kind, extra.name)
    if there is not None:
        same = there.definition == extra.definition
        return [], [] if same else [
            f"{extra.kind} {extra.name}: differs, and can't be altered back"
        ]
    if extra.kind == "index":
        return [run(describe_index(extra))], []
    return [run(describe_type(extra))], []


def _table(table: Table, there: Table | None, told: Lines) -> Iterator[Operation]:
    name = quote(table.name)
    if there is None:
        told.append(f"{table.name}: is made again; its rows are gone")
        yield run(describe(table))
        return
    told += [f"{table.name}.{c.name}: stays" for c in there.columns if table.column(c.name) is None]
    for column in table.columns:
        have = there.column(column.name)
        if have is None and not column.is_key:
            told.append(f"{table.name}.{column.name}: is made again; its values are gone")
            static = " STATIC" if column.kind == "static" else ""
            yield run(f"ALTER TABLE {name} ADD {quote(column.name)} {column.type}{static}")
        elif have is None or have.comparable() != column.comparable():
            told.append(f"{table.name}.{column.name}: can't be altered back")
    wanted, found = table.comparable(), there.comparable()
    options = []
    if wanted["compaction"] != found["compaction"]:
        entries = (f"{literal(k)}: {literal(v)}" for k, v in wanted["compaction"].items())
        options.append(f"compaction = {{{', '.join(entries)}}}")
    if wanted["default_time_to_live"] != found["default_time_to_live"]:
        options.append(f"default_time_to_live = {wanted['default_time_to_live']}")
    if options:
        yield run(f"ALTER TABLE {name} WITH {' AND '.join(options)}")


def _view(view: Table, there: Table | None, told: Lines) -> Collection[Operation]:
    if there is None:
        return [run(describe(view)), Await(view.name)]
    if there.comparable() != view.comparable():
        told.append(f"{view.name}: differs; drop it, then repair makes it again")
    return []
