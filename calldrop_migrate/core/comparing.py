"""The differences of two schemas in words: of one that was recorded as JSON, one that is read, one
that files declare. All as what `Schema.comparable` gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from calldrop_migrate.core import options as table_options
from calldrop_migrate.core.declared import as_made
from calldrop_migrate.core.options import entries
from calldrop_migrate.core.schema import Column, Extra, Schema, Table, sorted_columns

Shape = Mapping[str, Any]


NOT_OURS = "exists, and nothing recorded made it"


def diff(before: Shape, after: Shape, new: str = NOT_OURS, *, one_sided: bool = False) -> list[str]:
    """Return what is different, a line each: `before -> after`; `new` says what only `after` has.

    Args:
        one_sided: an option that only one side has is a difference, too: not where it depends on
            the server what is shown.
    """
    lines: list[str] = []
    for name in sorted({*before, *after}):
        if name not in before:
            lines.append(f"{name}: {new}")
        elif name not in after:
            lines.append(f"{name}: is gone")
        elif "columns" in before[name] and "columns" in after[name]:
            lines += [f"{name}: {line}" for line in _table(before[name], after[name], one_sided)]
        elif before[name] != after[name]:
            shown = (json.dumps(shape) for shape in (before[name], after[name]))
            lines.append(f"{name}: {' -> '.join(shown)}")
    return lines


def _table(before: Shape, after: Shape, one_sided: bool) -> Iterator[str]:
    for key in ("partition_key", "clustering_key"):
        old, new = (
            ", ".join(column.rstrip() for column in shape[key]) for shape in (before, after)
        )
        if old != new:
            yield f"{key.replace('_', ' ')}: ({old}) -> ({new})"
    yield from entries("column ", before["columns"], after["columns"])
    old_options, new_options = (shape.get("options", {}) for shape in (before, after))
    yield from table_options.differences(old_options, new_options, one_sided=one_sided)
    for key in ("base", "where"):
        shown = (shape.get(key, "") for shape in (before, after))
        old, new = (" AND ".join(x) if isinstance(x, list) else x for x in shown)
        if old != new:
            yield f"{key}: {old} -> {new}"


def differences(declared: Schema, live: Schema) -> list[str]:
    """Return how a live schema differs from one that files declare.

    An option that no statement declares is the server's affair. Tables of others are nobody's
    difference either: `live` is to be narrowed to what the files make.
    """
    return diff(filled(declared, live).comparable(), live.comparable())


def filled(declared: Schema, live: Schema) -> Schema:
    """A declared schema, with the live one's options where it leaves them open."""
    tables = (_as_open(table, live.table(table.name)) for table in declared.tables)
    extras = (_as_kept(extra, live.extra(extra.kind, extra.name)) for extra in declared.extras)
    return replace(declared, tables=tuple(tables), extras=tuple(extras))


def _as_kept(declared: Extra, live: Extra | None) -> Extra:
    """An index as the server keeps it: that of a collection is one of its values."""
    plain = re.sub(r'"values\((.*?)\)"', r'"\1"', live.definition) if live else ""
    return live if live and plain == declared.definition else declared


def _as_open(declared: Table, live: Table | None) -> Table:
    if live is None:
        return declared
    options = table_options.merged(declared.options, live.options)
    return replace(as_made(declared, live), options=options)


def from_shape(name: str, shape: Shape) -> Table:
    """A table or view from what `Table.comparable` gave."""
    partition = list(shape["partition_key"])
    orders = dict(column.rsplit(" ", 1) for column in shape["clustering_key"])
    columns = []
    for column, text in shape["columns"].items():
        type_, _, mask = text.partition(" masked with ")
        if column in partition:
            at = partition.index(column)
            columns.append(Column(column, type_, "partition_key", at, mask=mask))
        elif column in orders:
            at = list(orders).index(column)
            order = orders[column].lower()
            columns.append(Column(column, type_, "clustering", at, order, mask))
        else:
            kind = "static" if type_.endswith(" static") else "regular"
            columns.append(Column(column, type_.removesuffix(" static"), kind, mask=mask))
    options = {option: json.dumps(value) for option, value in shape.get("options", {}).items()}
    where = " AND ".join(shape.get("where", ()))
    ordered = tuple(sorted(options.items()))
    return Table(name, sorted_columns(columns), ordered, None, shape.get("base", ""), where)
