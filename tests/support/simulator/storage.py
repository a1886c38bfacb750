"""The rows of one table, and how statements read and write them.

A table is copied when it is written to after it was shared: a saved state of the cluster costs
nothing until something changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from calldrop_migrate.core.schema import Table
from tests.support.simulator.cells import NEVER, Cell, Partition, RowData
from tests.support.simulator.statements import Marker, Relation, Select, Unmodelled, Write

Key = tuple[object, ...]
Bound = Sequence[object]
MICROSECONDS = 10**6


class Refusal(Exception):
    """The server's no to a statement: nothing was applied."""


class _Unset:
    """Bound to a column that stays as it is."""


UNSET = _Unset()


@dataclass(frozen=True, slots=True)
class Moment:
    """When a statement is executed.

    Attributes:
        now: seconds on the cluster's clock.
        written: the write time that the server gives it, in microseconds.
    """

    now: float
    written: int


@dataclass(frozen=True, slots=True)
class Found:
    """A row that a read meets: its partition key, clustering key (None: a partition that has
    nothing but statics), live cells and live statics.
    """

    partition: Key
    clustering: Key | None
    cells: Mapping[str, Cell]
    statics: Mapping[str, Cell]


@dataclass(slots=True)
class TableData:
    """All partitions of a table.

    Attributes:
        shown_from: of a column that was dropped and added again, the write time (microseconds)
            up to which its cells are hidden.
    """

    partitions: dict[Key, Partition] = field(default_factory=dict)
    shown_from: dict[str, int] = field(default_factory=dict)

    def copy(self) -> TableData:
        """Return an independent copy."""
        partitions = {key: partition.copy() for key, partition in self.partitions.items()}
        return TableData(partitions, dict(self.shown_from))

    # -- reading -----------------------------------------------------------------------------------

    def rows(self, table: Table, now: float) -> Iterator[Found]:
        """Yield all rows in the order of their tokens, then of the clustering key."""
        for key in sorted(self.partitions, key=lambda key: (token_of(key), repr(key))):
            yield from self.rows_of(table, key, now)

    def rows_of(self, table: Table, key: Key, now: float) -> Iterator[Found]:
        """Yield the rows of one partition."""
        partition = self.partitions.get(key)
        if partition is None:
            return
        statics = self._shown(partition.statics.live_cells(now, partition.deleted))
        found = False
        for clustering in _ordered(table, partition.rows):
            row = partition.rows[clustering]
            if row.exists(now, partition.deleted):
                cells = self._shown(row.live_cells(now, partition.deleted))
                yield Found(key, clustering, cells, statics)
                found = True
        if statics and not found:
            yield Found(key, None, {}, statics)

    def _shown(self, cells: dict[str, Cell]) -> dict[str, Cell]:
        if not self.shown_from:
            return cells
        hidden = self.shown_from
        return {n: cell for n, cell in cells.items() if cell.written > hidden.get(n, NEVER)}

    def forget(self, column: str) -> None:
        """Delete all cells of a column."""
        for partition in self.partitions.values():
            partition.statics.cells.pop(column, None)
            for row in partition.rows.values():
                row.cells.pop(column, None)


def token_of(partition: Key) -> int:
    """Return a partition's place on the ring."""
    digest = hashlib.blake2b(repr(partition).encode(), digest_size=8).digest()
    return max(int.from_bytes(digest, "big", signed=True), -(2**63) + 1)


def _ordered(table: Table, rows: Mapping[Key, object]) -> list[Key]:
    """Return clustering keys as a server gives them: each column by its own order."""
    keys = list(rows)
    columns = [column for column in table.columns if column.kind == "clustering"]
    for at, column in reversed(list(enumerate(columns))):
        keys.sort(key=partial(_part, at), reverse=column.order.lower() == "desc")
    return keys


def _part(at: int, key: Key) -> Any:
    return key[at]


# -- SELECT ----------------------------------------------------------------------------------------


def select(
    data: TableData, table: Table, statement: Select, values: Bound, now: float
) -> list[dict[str, Any]]:
    """Return the rows of a SELECT: by partition key, by more of the key, or all."""
    wanted = {r.column: _wanted(r, values) for r in statement.where}
    unknown = [name for name in wanted if table.column(name) is None]
    if unknown:
        raise Refusal(f"Undefined column name {unknown[0]}")
    _see_selectable(table, statement)
    partition_key = table.partition_key
    if all(name in wanted for name in partition_key):
        keys = _product([wanted[name] for name in partition_key])
        rows: Iterator[Found] = (f for key in keys for f in data.rows_of(table, key, now))
    else:
        rows = data.rows(table, now)
    answer = []
    for found in rows:
        row = _values(table, found)
        if all(row.get(name) in choices for name, choices in wanted.items()):
            answer.append(_projected(table, statement, found, row, now))
        if statement.limit is not None and len(answer) == statement.limit:
            break
    return answer


def _see_selectable(table: Table, statement: Select) -> None:
    for item in statement.items:
        column = table.column(item.column)
        if column is None:
            raise Refusal(f"Undefined column name {item.column} in table {table.name}")
        if item.function and column.is_key:
            raise Refusal(f"Cannot use selection function {item.function} on PRIMARY KEY part")


def _wanted(relation: Relation, values: Bound) -> Sequence[object]:
    value = term(relation.value, values)
    if relation.operator == "in":
        assert isinstance(value, list | tuple)
        return value
    return [value]


def _product(choices: Sequence[Sequence[object]]) -> list[Key]:
    keys: list[Key] = [()]
    for some in choices:
        keys = [(*key, value) for key in keys for value in some]
    return keys


def _values(table: Table, found: Found) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(table.partition_key, found.partition, strict=True))
    clustering = found.clustering or (None,) * len(table.clustering_key)
    row |= zip(table.clustering_key, clustering, strict=True)
    for column in table.columns:
        if not column.is_key:
            cell = (found.statics if column.kind == "static" else found.cells).get(column.name)
            row[column.name] = cell.value if cell else None
    return row


def _projected(
    table: Table, statement: Select, found: Found, row: dict[str, Any], now: float
) -> dict[str, Any]:
    if not statement.items:
        return row
    answer = {}
    for item in statement.items:
        if not item.function:
            answer[item.name] = row[item.column]
            continue
        column = table.column(item.column)
        assert column is not None
        cells = found.statics if column.kind == "static" else found.cells
        answer[item.name] = _time(item.function, cells.get(item.column), now)
    return answer


def _time(function: str, cell: Cell | None, now: float) -> int | None:
    if cell is None:
        return None
    if function == "writetime":
        return cell.written
    if function == "ttl":
        return None if cell.expires is None else int(cell.expires - now)
    raise Unmodelled(f"the function {function}")


# -- INSERT, UPDATE, DELETE ------------------------------------------------------------------------


def term(value: object, values: Bound) -> object:
    """Return a literal, or the value that is bound in its place."""
    return values[value.index] if isinstance(value, Marker) else value


def conditions_hold(data: TableData, table: Table, write: Write, values: Bound, now: float) -> bool:
    """Return whether the IF of a write is true now."""
    partition, clustering = key_of(table, write, values)
    row = _current(data, table, partition, clustering, now)
    if write.exists is not None:
        return (row is not None) == write.exists
    have = row or {}
    return all(have.get(r.column) == term(r.value, values) for r in write.conditions)


def _current(
    data: TableData, table: Table, partition: Key, clustering: Key | None, now: float
) -> dict[str, Any] | None:
    """Return the row that an IF looks at; of a partition alone its statics."""
    found = list(data.rows_of(table, partition, now))
    if clustering is None:
        return _values(table, found[0]) if found else None
    for row in found:
        if row.clustering == clustering:
            return _values(table, row)
    if found and found[0].statics:
        statics = Found(partition, None, {}, found[0].statics)
        values = _values(table, statics)
        return values if any(values[n] is not None for n in found[0].statics) else None
    return None


def key_of(table: Table, write: Write, values: Bound) -> tuple[Key, Key | None]:
    """Return the partition and clustering key that a write names; None: the partition alone."""
    named = {r.column: term(r.value, values) for r in write.where}
    if write.verb == "insert":
        named = {name: term(value, values) for name, value in write.sets}
    missing = [name for name in table.partition_key if named.get(name) is None]
    if missing:
        raise Refusal(f"Missing mandatory PRIMARY KEY part {missing[0]}")
    partition = tuple(named[name] for name in table.partition_key)
    there = [name for name in table.clustering_key if name in named]
    if table.clustering_key and not there:
        return partition, None
    if len(there) < len(table.clustering_key):
        raise Unmodelled("a part of the clustering key")
    return partition, tuple(named[name] for name in table.clustering_key)


def write_time(write: Write, values: Bound, at: Moment) -> int:
    """Return the write time of a statement: its own, or the server's."""
    using = dict(write.using)
    stamp = term(using["timestamp"], values) if "timestamp" in using else at.written
    assert isinstance(stamp, int)
    return stamp


def apply(data: TableData, table: Table, write: Write, values: Bound, at: Moment) -> None:
    """Add the cells of one statement; its IF has been looked at."""
    unknown = [n for n in (n for n, _ in write.sets) if table.column(n) is None]
    if unknown:
        raise Refusal(f"Undefined column name {unknown[0]} in table {table.name}")
    partition_key, clustering = key_of(table, write, values)
    partition = data.partitions.setdefault(partition_key, Partition())
    written = write_time(write, values, at)
    if write.verb == "delete" and not write.sets:
        if clustering is None:
            partition.deleted = max(partition.deleted, written)
        else:
            row = partition.row(clustering)
            row.deleted = max(row.deleted, written)
        return
    expires = _expiry(table, write, values, at)
    if write.verb == "insert" and clustering is not None:
        partition.row(clustering).mark(Cell(written, expires, True))
    for name, what in write.sets:
        column, value = table.column(name), term(what, values)
        assert column is not None
        if column.is_key or value is UNSET:
            continue
        cell = Cell(written, None if value is None else expires, value)
        if column.kind == "static":
            partition.statics.put(name, cell)
        elif clustering is None:
            raise Refusal(f"Some clustering keys are missing: {', '.join(table.clustering_key)}")
        else:
            partition.row(clustering).put(name, cell)


def _expiry(table: Table, write: Write, values: Bound, at: Moment) -> float | None:
    using = dict(write.using)
    default = int(table.option("default_time_to_live") or 0)
    ttl = term(using["ttl"], values) if "ttl" in using else default
    if ttl is UNSET or ttl is None:
        ttl = default
    assert isinstance(ttl, int)
    return at.now + ttl if ttl else None


def put_row(partition: Partition, clustering: Key, row: RowData) -> None:
    """Merge a whole row into a partition."""
    there = partition.row(clustering)
    there.deleted = max(there.deleted, row.deleted)
    if row.marker is not None:
        there.mark(row.marker)
    for name, cell in row.cells.items():
        there.put(name, cell)
