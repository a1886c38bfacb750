"""The rows of one table, and how statements read and write them.

A table is copied when it is written to after it was shared: a saved state of the cluster costs
nothing until something changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from calldrop_migrate.core.schema import Table
from tests.support.simulator.cells import NEVER, Cell, Partition, RowData
from tests.support.simulator.statements import Marker, Relation, Select, Selected, Unmodelled, Write

Key = tuple[object, ...]
Bound = Sequence[object]
MICROSECONDS = 10**6
Getter = Callable[["Found", float], Any]


class Refusal(Exception):
    """The server's no to a statement: nothing was applied."""


class Unknown(Refusal):
    """Other nodes don't know the table any more that the asked one still shows: a read fails."""


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
        for key in sorted(self.partitions, key=_place):
            yield from self.rows_of(table, key, now)

    def rows_of(self, table: Table, key: Key, now: float) -> Iterator[Found]:
        """Yield the rows of one partition."""
        partition = self.partitions.get(key)
        if partition is None:
            return
        statics = self._statics(partition, now)
        found = False
        for clustering in shape_of(table).ordered(partition.rows):
            row = self._row(partition, clustering, now)
            if row is not None:
                yield Found(key, clustering, row, statics)
                found = True
        if statics and not found:
            yield Found(key, None, {}, statics)

    def row(self, key: Key, clustering: Key, now: float) -> Found | None:
        """Return one row, if a reader sees it; with None for the clustering key where there are
        only the statics of its partition.
        """
        partition = self.partitions.get(key)
        if partition is None:
            return None
        statics = self._statics(partition, now)
        row = self._row(partition, clustering, now)
        if row is not None:
            return Found(key, clustering, row, statics)
        return Found(key, None, {}, statics) if statics else None

    def _statics(self, partition: Partition, now: float) -> Mapping[str, Cell]:
        if not partition.statics.cells:
            return {}
        return self._shown(partition.statics.live_cells(now, partition.deleted))

    def _row(self, partition: Partition, clustering: Key, now: float) -> Mapping[str, Cell] | None:
        """Return the live cells of a row; None where there is no such row."""
        row = partition.rows.get(clustering)
        if row is None:
            return None
        cells = row.live_cells(now, partition.deleted)
        if not cells and not row.is_marked(now, partition.deleted):
            return None
        return self._shown(cells)

    def _shown(self, cells: Mapping[str, Cell]) -> Mapping[str, Cell]:
        if not self.shown_from:
            return cells
        hidden = self.shown_from
        return {n: cell for n, cell in cells.items() if cell.written > hidden.get(n, NEVER)}


def _place(key: Key) -> tuple[int, str]:
    return token_of(key), repr(key)


@lru_cache(maxsize=10_000)
def token_of(partition: Key) -> int:
    """Return a partition's place on the ring."""
    digest = hashlib.blake2b(repr(partition).encode(), digest_size=8).digest()
    return max(int.from_bytes(digest, "big", signed=True), -(2**63) + 1)


class Shape:
    """The parts of a table that each statement asks for."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.partition_key, self.clustering_key = table.partition_key, table.clustering_key
        self.columns = {column.name: column for column in table.columns}
        self.clustering = [c for c in table.columns if c.kind == "clustering"]
        self.others = [(c.name, c.kind == "static") for c in table.columns if not c.is_key]
        self.default_life = int(table.option("default_time_to_live") or 0)

    def ordered(self, rows: Iterable[Key]) -> list[Key]:
        """Return clustering keys as a server gives them: each column by its own order."""
        backwards = [column.order.lower() == "desc" for column in self.clustering]
        if len(set(backwards)) < 2:
            keys: list[Any] = sorted(rows, key=_as_it_is, reverse=any(backwards))
            return keys
        keys = list(rows)
        for at, reverse in reversed(list(enumerate(backwards))):
            keys.sort(key=partial(_part, at), reverse=reverse)
        return keys

    def getter(self, name: str) -> Getter:
        """Return what gives a column of a row."""
        if name in self.partition_key:
            return partial(_of_partition, self.partition_key.index(name))
        if name in self.clustering_key:
            return partial(_of_clustering, self.clustering_key.index(name))
        return partial(_of_statics if self.columns[name].kind == "static" else _of_cells, name)


def _of_partition(at: int, found: Found, now: float) -> Any:
    return found.partition[at]


def _of_clustering(at: int, found: Found, now: float) -> Any:
    return found.clustering[at] if found.clustering else None


def _of_statics(name: str, found: Found, now: float) -> Any:
    cell = found.statics.get(name)
    return cell[2] if cell else None


def _of_cells(name: str, found: Found, now: float) -> Any:
    cell = found.cells.get(name)
    return cell[2] if cell else None


_SHAPES: dict[int, Shape] = {}


def shape_of(table: Table) -> Shape:
    """Return a table's shape; tables are never changed, so it is kept with each."""
    found = _SHAPES.get(id(table))
    if found is None or found.table is not table:
        if len(_SHAPES) > 5_000:
            _SHAPES.clear()
        found = _SHAPES[id(table)] = Shape(table)
    return found


def _as_it_is(key: Key) -> Any:
    return key


def _part(at: int, key: Key) -> Any:
    return key[at]


# -- SELECT ----------------------------------------------------------------------------------------


def select(
    data: TableData, table: Table, statement: Select, values: Bound, now: float
) -> list[dict[str, Any]]:
    """Return the rows of a SELECT: by partition key, by more of the key, or all."""
    wanted = {r.column: choices(r, values) for r in statement.where}
    shape = shape_of(table)
    unknown = [name for name in wanted if name not in shape.columns]
    if unknown:
        raise Refusal(f"Undefined column name {unknown[0]}")
    _see_selectable(shape, statement)
    if all(name in wanted for name in shape.partition_key):
        keys = _product([wanted.pop(name) for name in shape.partition_key])
        rows: Iterator[Found] = (f for key in keys for f in data.rows_of(table, key, now))
    else:
        rows = data.rows(table, now)
    answers, given = _Answers(data, shape, statement, now), []
    for found in rows:
        if not wanted or _is_wanted(_values(shape, found), wanted):
            given.append(answers.of(found))
        if statement.limit is not None and len(given) == statement.limit:
            break
    return given


class _Answers:
    """What a SELECT gives of a row; of one without an end it is made once."""

    def __init__(self, data: TableData, shape: Shape, statement: Select, now: float) -> None:
        self._data, self._statement, self._now = data, statement, now
        self._getters = _getters(shape, statement)
        names = [item.column for item in statement.items] or shape.columns
        changing = any(shape.columns[name].kind == "static" for name in names)
        changing |= any(item.function == "ttl" for item in statement.items)
        self._stays = not changing and not data.shown_from

    def of(self, found: Found) -> dict[str, Any]:
        partition = self._data.partitions[found.partition]
        row = partition.rows.get(found.clustering) if found.clustering is not None else None
        if row is None or not self._stays or not row.is_plain(partition.deleted):
            return {name: get(found, self._now) for name, get in self._getters}
        answers, which = row.answers, id(self._statement)  # parsed ones are never given up
        if which not in answers:
            answers[which] = {name: get(found, self._now) for name, get in self._getters}
        return dict(answers[which])


def _see_selectable(shape: Shape, statement: Select) -> None:
    for item in statement.items:
        column = shape.columns.get(item.column)
        if column is None:
            raise Refusal(f"Undefined column name {item.column} in table {shape.table.name}")
        if item.function and column.is_key:
            raise Refusal(f"Cannot use selection function {item.function} on PRIMARY KEY part")


def choices(relation: Relation, values: Bound) -> Sequence[object]:
    """Return the values that a relation lets through."""
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


def _values(shape: Shape, found: Found) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(shape.partition_key, found.partition, strict=True))
    clustering = found.clustering or (None,) * len(shape.clustering_key)
    row |= zip(shape.clustering_key, clustering, strict=True)
    cells, statics = found.cells, found.statics
    for name, static in shape.others:
        cell = (statics if static else cells).get(name)
        row[name] = cell[2] if cell else None
    return row


def _is_wanted(row: Mapping[str, object], wanted: Mapping[str, Sequence[object]]) -> bool:
    return all(row.get(name) in those for name, those in wanted.items())


def _getters(shape: Shape, statement: Select) -> list[tuple[str, Getter]]:
    """Return what gives each selected column of a row, by its name in the answer."""
    if not statement.items:
        return [(name, shape.getter(name)) for name in shape.columns]
    return [
        (item.name, partial(_timed, item, shape.columns[item.column].kind == "static"))
        if item.function
        else (item.name, shape.getter(item.column))
        for item in statement.items
    ]


def _timed(item: Selected, static: bool, found: Found, now: float) -> int | None:
    cells = found.statics if static else found.cells
    return _time(item.function, cells.get(item.column), now)


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
    found = _current(data, table, partition, clustering, now)
    if write.exists is not None:
        there = found is not None and (clustering is None or found.clustering is not None)
        return there == write.exists
    have = _values(shape_of(table), found) if found else {}
    return all(have.get(r.column) == term(r.value, values) for r in write.conditions)


def _current(
    data: TableData, table: Table, partition: Key, clustering: Key | None, now: float
) -> Found | None:
    """Return the row that an IF looks at; of a partition alone its statics."""
    if clustering is None:
        return next(data.rows_of(table, partition, now), None)
    return data.row(partition, clustering, now)


def key_of(table: Table, write: Write, values: Bound) -> tuple[Key, Key | None]:
    """Return the partition and clustering key that a write names; None: the partition alone."""
    named = {r.column: term(r.value, values) for r in write.where}
    if write.verb == "insert":
        named = {name: term(value, values) for name, value in write.sets}
    shape = shape_of(table)
    missing = [name for name in shape.partition_key if named.get(name) is None]
    if missing:
        raise Refusal(f"Missing mandatory PRIMARY KEY part {missing[0]}")
    partition = tuple(named[name] for name in shape.partition_key)
    there = [name for name in shape.clustering_key if name in named]
    if shape.clustering_key and not there:
        return partition, None
    if len(there) < len(shape.clustering_key):
        raise Unmodelled("a part of the clustering key")
    return partition, tuple(named[name] for name in shape.clustering_key)


def write_time(write: Write, values: Bound, at: Moment) -> int:
    """Return the write time of a statement: its own, or the server's."""
    using = dict(write.using)
    stamp = term(using["timestamp"], values) if "timestamp" in using else at.written
    assert isinstance(stamp, int)
    return stamp


def apply(data: TableData, table: Table, write: Write, values: Bound, at: Moment) -> None:
    """Add the cells of one statement; its IF has been looked at."""
    columns = shape_of(table).columns
    unknown = [name for name, _ in write.sets if name not in columns]
    if unknown:
        raise Refusal(f"Undefined column name {unknown[0]} in table {table.name}")
    partition_key, clustering = key_of(table, write, values)
    written = write_time(write, values, at)
    if write.verb == "delete" and not write.sets:
        partition = data.partitions.setdefault(partition_key, Partition())
        if clustering is None:
            partition.deleted = max(partition.deleted, written)
        else:
            partition.put(clustering, RowData(deleted=written))
        return
    expires = _expiry(table, write, values, at)
    cells, statics = dict[str, Cell](), dict[str, Cell]()
    for name, what in write.sets:
        column, value = columns[name], term(what, values)
        if column.is_key or value is UNSET:
            continue
        cell = Cell(written, None if value is None else expires, value)
        (statics if column.kind == "static" else cells)[name] = cell
    if cells and clustering is None:
        missing = ", ".join(table.clustering_key)
        raise Refusal(f"Some clustering keys are missing: {missing}")
    partition = data.partitions.setdefault(partition_key, Partition())
    if statics:
        partition.put_statics(RowData(cells=statics))
    if clustering is not None and (cells or write.verb == "insert"):
        marker = Cell(written, expires, True) if write.verb == "insert" else None
        partition.put(clustering, RowData(marker, NEVER, cells))


def _expiry(table: Table, write: Write, values: Bound, at: Moment) -> float | None:
    using, default = dict(write.using), shape_of(table).default_life
    ttl = term(using["ttl"], values) if "ttl" in using else default
    if ttl is UNSET or ttl is None:
        ttl = default
    assert isinstance(ttl, int)
    return at.now + ttl if ttl else None
