"""From a schema that has drifted back to the recorded one, as far as statements can without
destroying anything.

What somebody added stays: dropping it is theirs to decide. What somebody took away comes back
empty, and that is said.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from calldrop_migrate.core import masks
from calldrop_migrate.core.comparing import from_shape
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.declared import (
    column_as_cql,
    describe,
    describe_index,
    describe_trigger,
    describe_type,
)
from calldrop_migrate.core.operations import Await, Operation, run
from calldrop_migrate.core.options import HIDDEN, as_cql, entries
from calldrop_migrate.core.schema import Extra, Schema, Table, conditions

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
    for kind in ("type", "index", "trigger"):
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
    if extra.kind == "trigger":
        return [], [f"trigger {extra.name}: as a superuser:  {describe_trigger(extra)};"]
    return [run((describe_index if extra.kind == "index" else describe_type)(extra))], []


def _table(table: Table, there: Table | None, told: Lines) -> Iterator[Operation]:
    name = quote(table.name)
    beyond = entries("", there.beyond if there else {}, table.beyond)
    told += [f"{table.name}: can't be put back: {line}" for line in beyond]
    if there is None:
        told.append(f"{table.name}: is made again; its rows are gone")
        yield run(describe(table))
        return
    told += [f"{table.name}.{c.name}: stays" for c in there.columns if table.column(c.name) is None]
    for column in table.columns:
        have = there.column(column.name)
        if have is None and not column.is_key:
            told.append(f"{table.name}.{column.name}: is made again; its values are gone")
            yield run(f"ALTER TABLE {name} ADD {column_as_cql(column)}")
        elif have is None or replace(have, mask=column.mask).comparable() != column.comparable():
            told.append(f"{table.name}.{column.name}: can't be altered back")
        elif not masks.are_same(have.mask, column.mask):
            mask = f"MASKED WITH {column.mask}" if column.mask else "DROP MASKED"
            yield run(f"ALTER TABLE {name} ALTER {quote(column.name)} {mask}")
    if options := _options(table, there):
        yield run(f"ALTER TABLE {name} WITH {options}")


def _options(recorded: Table, there: Table) -> str:
    """The options that are not as recorded, as they stand behind a WITH; empty without any."""
    wanted, found = (dict(t.comparable()["options"]) for t in (recorded, there))
    # What a word turns off on Cassandra, a map does on ScyllaDB.
    off = {"enabled": "false"} if isinstance(found.get("cdc"), dict) else False
    changed = [
        (option, json.dumps(value))
        for option, value in {**HIDDEN, "cdc": off, **wanted}.items()
        if found.get(option, HIDDEN.get(option, value)) != value
    ]
    return " AND ".join(as_cql(changed))


def _view(view: Table, there: Table | None, told: Lines) -> Collection[Operation]:
    if there is None:
        return [run(describe(view)), Await(view.name)]
    if there.same_shape_as(view) and conditions(there.where) == conditions(view.where):
        options = _options(view, there)
        change = f"ALTER MATERIALIZED VIEW {quote(view.name)} WITH {options}"
        return [run(change)] if options else []
    if there.comparable() != view.comparable():
        told.append(f"{view.name}: differs; drop it, then repair makes it again")
    return []
