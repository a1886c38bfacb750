"""How two schemas differ, in words: one that was recorded as JSON, one that is read, one that files
declare. All as what `Schema.comparable` gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from calldrop_migrate.core.schema import Column, Schema, Table, sorted_columns

Shape = Mapping[str, Any]


NOT_OURS = "exists, and nothing recorded made it"


def diff(before: Shape, after: Shape, new: str = NOT_OURS) -> list[str]:
    """What is different, a line each: `before -> after`; `new` says what only `after` has."""
    lines: list[str] = []
    for name in sorted({*before, *after}):
        if name not in before:
            lines.append(f"{name}: {new}")
        elif name not in after:
            lines.append(f"{name}: is gone")
        elif "columns" in before[name] and "columns" in after[name]:
            lines += [f"{name}: {line}" for line in _table(before[name], after[name])]
        elif before[name] != after[name]:
            old, new = (json.dumps(shape) for shape in (before[name], after[name]))
            lines.append(f"{name}: {old} -> {new}")
    return lines


def _table(before: Shape, after: Shape) -> Iterator[str]:
    for key in ("partition_key", "clustering_key"):
        old, new = (", ".join(shape[key]) for shape in (before, after))
        if old != new:
            yield f"{key.replace('_', ' ')}: ({old}) -> ({new})"
    yield from _entries("column ", before["columns"], after["columns"])
    yield from _entries("compaction ", before["compaction"], after["compaction"])
    for key in ("default_time_to_live", "base", "where"):
        shown = (shape.get(key, "") for shape in (before, after))
        old, new = (" AND ".join(x) if isinstance(x, list) else x for x in shown)
        if old != new:
            yield f"{key}: {old} -> {new}"


def _entries(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"{what}{name} added: {after[name]}"
        elif name not in after:
            yield f"{what}{name} is gone, was: {before[name]}"
        elif before[name] != after[name]:
            yield f"{what}{name}: {before[name]} -> {after[name]}"


def differences(declared: Schema, live: Schema) -> list[str]:
    """How a live schema differs from one that files declare.

    An option that no statement declares is the server's affair. Tables of others are nobody's
    difference either: `live` is to be narrowed to what the files make.
    """
    return diff(filled(declared, live).comparable(), live.comparable())


def filled(declared: Schema, live: Schema) -> Schema:
    """A declared schema, with the live one's options where it leaves them open."""
    tables = (_as_open(table, live.table(table.name)) for table in declared.tables)
    return replace(declared, tables=tuple(tables))


def _as_open(declared: Table, live: Table | None) -> Table:
    """A declared table with the live one's compaction, as far as it leaves that open."""
    if live is None:
        return declared
    wanted, have = json.loads(declared.option("compaction") or "{}"), live.option("compaction")
    compaction = {**(json.loads(have) if have else {}), **wanted}
    options = {**dict(declared.options), "compaction": json.dumps(compaction)}
    return replace(declared, options=tuple(sorted(options.items())))


def from_shape(name: str, shape: Shape) -> Table:
    """A table or view from what `Table.comparable` gave."""
    partition = list(shape["partition_key"])
    orders = dict(column.rsplit(" ", 1) for column in shape["clustering_key"])
    columns = []
    for column, type_ in shape["columns"].items():
        if column in partition:
            columns.append(Column(column, type_, "partition_key", partition.index(column)))
        elif column in orders:
            at = list(orders).index(column)
            columns.append(Column(column, type_, "clustering", at, orders[column].lower()))
        else:
            kind = "static" if type_.endswith(" static") else "regular"
            columns.append(Column(column, type_.removesuffix(" static"), kind))
    options = {"compaction": json.dumps(shape["compaction"])} if shape["compaction"] else {}
    if ttl := shape.get("default_time_to_live"):
        options["default_time_to_live"] = str(ttl)
    where = " AND ".join(shape.get("where", ()))
    ordered = tuple(sorted(options.items()))
    return Table(name, sorted_columns(columns), ordered, None, shape.get("base", ""), where)
