"""The port Bulk over the simulated cluster: copies, comparisons and moves of whole rows.

What it sends goes through the runner's schedule like every other statement, one for each partition
and what is deleted of it; so a copy can be killed in the middle, and its writes can come late.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from calldrop_migrate.core.lives import Lives
from calldrop_migrate.core.ranges import Range, index_of
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import (
    CopyTask,
    Difference,
    Key,
    Keyed,
    RangeResult,
    Size,
    Sums,
)
from calldrop_migrate.errors import StatementRefused
from tests.support.simulator.carried import GONE, KEYS_GONE, Carrier, SourceRow, raw_key
from tests.support.simulator.cells import Cell
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.faults import refused_by
from tests.support.simulator.statements import Unmodelled
from tests.support.simulator.storage import Found, Refusal, TableData, token_of

Send = Callable[[str, Table, tuple[object, ...]], None]


class SimulatedBulk:
    """Of one connection.

    Args:
        reading: called before each read; raises where the process has ended.
        send: sends rows: kind (`copy` or `remove`), table, rows.
    """

    def __init__(
        self, cluster: Cluster, keyspace: str, reading: Callable[[], None], send: Send
    ) -> None:
        self._cluster = cluster
        self._keyspace = keyspace
        self._reading = reading
        self._send = send

    def _data(self, table: Table) -> tuple[Table, TableData]:
        """Return a table as it is by now, and its rows."""
        self._reading()
        try:
            there = self._cluster.table(self._keyspace, table.name)
        except Refusal as refused:
            raise refused_by(refused) from None
        return there, self._cluster.rows(there)

    def _found(self, table: Table) -> list[Found]:
        """Read all rows as of a table that may have another key by now."""
        there, data = self._data(table)
        if timed := [n for n in there.key if n not in table.key and table.column(n)]:
            raise StatementRefused(f"Cannot use selection function writetime on {timed[0]}")
        rows = data.rows(there, self._cluster.now)
        return [found if there.key == table.key else _as_of(found, there, table) for found in rows]

    def _rows(self, carrier: Carrier, part: Range) -> list[SourceRow]:
        return list(carrier.rows(self._found(carrier.source), part))

    def _there(self, table: Table, key: Sequence[object]) -> Found | None:
        there, data = self._data(table)
        if there.key != table.key:
            raise StatementRefused(f"the primary key of {table.name} is another one")
        width = len(table.partition_key)
        found = data.row(tuple(key[:width]), tuple(key[width:]), self._cluster.now)
        return found if found and found.clustering is not None else None

    # -- copying -----------------------------------------------------------------------------------

    def size(self, table: Table, few: int) -> Size:
        """See `Bulk`."""
        rows = len(self._found(table))
        return Size(table.name, rows, 100 * rows, exact=rows <= few)

    def copy_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        carrier = Carrier(task)
        for part in ranges:
            rows = self._rows(carrier, part)
            fit = [row for row in rows if not carrier.unfit(row)]
            unfit = [row for row in rows if carrier.unfit(row)]
            self._write(carrier, fit)
            bare = sum(not row.all_cells for row in fit)
            yield part, RangeResult(len(fit), 100 * len(fit), bare, len(unfit))

    def _write(
        self, carrier: Carrier, rows: Sequence[SourceRow], *, with_marker: bool = True
    ) -> None:
        now, width = self._cluster.now, len(carrier.target.partition_key)
        partitions: dict[object, list[object]] = {}
        for row in rows:
            write = carrier.write(row, now, with_marker=with_marker)
            if write is not None:
                partitions.setdefault(row.into[:width], []).append(write)
        for writes in partitions.values():
            carrier.task.between()
            self._send("copy", carrier.target, tuple(writes))

    def move_ranges(
        self, task: CopyTask, ranges: Sequence[Range], slack: float, *, present: bool
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        carrier = Carrier(task)
        for part in ranges:
            moved = left = 0
            for row in self._rows(carrier, part):
                if self._move(carrier, row, slack, present=present):
                    moved += 1
                else:
                    left += 1
            yield part, RangeResult(rows=moved, unfit=left)

    def _move(self, carrier: Carrier, row: SourceRow, slack: float, *, present: bool) -> bool:
        """Look, write what may be written, look again, and delete what is held now."""
        shown = self._data(carrier.target)[1].shown_from
        raised = {
            name: Cell(max(cell.written, shown[name] + 1), cell.expires, cell.value)
            if name in shown
            else cell
            for name, cell in row.cells.items()
        }
        mine = SourceRow(row.key, row.into, raised, row.keyed, row.untimed, row.kept)
        there = None if carrier.unfit(mine) else self._there(carrier.target, mine.into)
        if not carrier.unfit(mine) and _may_write(mine, there, present=present):
            if also := carrier.task.also:
                known = tuple(p for p in carrier.task.columns if also.column(p[0]))
                second = Carrier(_into(carrier.task, also, known))
                kept = {n: c for n, c in row.cells.items() if also.column(n)}
                own = SourceRow(row.key, row.into, kept, row.keyed, row.untimed, row.kept)
                self._write(second, [own], with_marker=not present)
            self._write(carrier, [mine], with_marker=not present)
            there = self._there(carrier.target, mine.into)
        now = self._cluster.now
        if carrier.lacks(mine, there, now, slack, exactly=not present, alone=not present):
            return False
        self._remove(carrier, row)
        return True

    def _remove(self, carrier: Carrier, row: SourceRow) -> None:
        """Delete a row of the source at the time of its newest cell."""
        at = max(carrier.newest(row), carrier.task.low_timestamp)
        carrier.task.between()
        self._send("remove", carrier.source, ((row.key, at),))

    # -- counting ----------------------------------------------------------------------------------

    def keys_of_ranges(
        self, task: CopyTask, ranges: Sequence[Range], *, times: bool
    ) -> Iterator[tuple[Range, Iterator[Keyed]]]:
        """See `Bulk`."""
        carrier = Carrier(task)
        for part in ranges:
            found = [
                (
                    raw_key(row.key),
                    tuple(map(repr, row.into)),
                    carrier.unfit(row),
                    carrier.newest(row) if times else 0,
                )
                for row in self._rows(carrier, part)
            ]
            yield part, iter(found)

    def count_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, Lives]]:
        """See `Bulk`."""
        carrier = Carrier(task)
        for part in ranges:
            total = lasting = ending = 0
            for row in self._rows(carrier, part):
                cells = row.all_cells
                total += 1
                lasting += any(cell.expires is None for cell in cells)
                ending += bool(cells) and all(cell.expires is not None for cell in cells)
            yield part, Lives(total, lasting, ending)

    def survey_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        carrier = Carrier(task)
        for part in ranges:
            rows = self._rows(carrier, part)
            unfit = sum(bool(carrier.unfit(row)) for row in rows)
            yield part, RangeResult(rows=len(rows), bytes=100 * len(rows), unfit=unfit)

    # -- comparing ---------------------------------------------------------------------------------

    def sum_ranges(
        self, task: CopyTask, ranges: Sequence[Range], parts: int, *, of_target: bool
    ) -> Iterator[tuple[Range, Sums]]:
        """See `Bulk`."""
        carrier = Carrier(task)
        for part in ranges:
            sums: dict[int, tuple[int, int]] = {}
            rows = 0
            for at, digest in self._digests(carrier, part, parts, of_target=of_target):
                count, total = sums.get(at, (0, 0))
                sums[at] = (count + 1, (total + digest) % 2**64)
                rows += 1
            yield part, Sums(rows, sums)

    def _digests(
        self, carrier: Carrier, part: Range, parts: int, *, of_target: bool
    ) -> Iterator[tuple[int, int]]:
        lasting = carrier.task.lasting
        if not of_target:
            for row in self._rows(carrier, part):
                cells = {**row.cells, **{n: Cell(0, None, v) for n, v in row.untimed.items()}}
                yield part.index, carrier.digest(row.into, cells, lasting=lasting)
            return
        came_from = {what: name for name, what in carrier.task.columns}
        bucket = [came_from.get(name) for name in carrier.source.partition_key]
        target = carrier.target
        for found in self._found(target):
            if not part.low < token_of(found.partition) <= part.high:
                continue
            key = (*found.partition, *(found.clustering or ()))
            values: dict[str | None, object] = dict(zip(target.key, key, strict=True))
            values |= {name: cell.value for name, cell in found.cells.items()}
            at = -1
            if None not in bucket:
                at = index_of(token_of(tuple(values.get(name) for name in bucket)), parts)
            yield at, carrier.digest(key, found.cells, lasting=lasting)

    def missing(self, task: CopyTask, range_: Range, slack: float) -> list[Difference]:
        """See `Bulk`."""
        carrier = Carrier(task)
        found = []
        for row in self._rows(carrier, range_):
            there = None if carrier.unfit(row) else self._there(task.target, row.into)
            if what := carrier.lacks(row, there, self._cluster.now, slack):
                found.append(_difference(row, what))
        return found

    def strays(
        self, task: CopyTask, buckets: Collection[int], parts: int, slack: float, *, remove: bool
    ) -> list[Difference]:
        """See `Bulk`."""
        back = {what: name for name, what in task.columns}
        if not set(task.source.key) <= set(back):
            raise Unmodelled("a target whose rows don't tell which of the source they are")
        pairs = tuple((what, name) for what, name in back.items())
        carrier = Carrier(_turned(task, pairs))
        told = []
        for found in self._found(task.target):
            row = carrier.row(found)
            width = len(task.source.partition_key)
            if {-1, index_of(token_of(row.into[:width]), parts)}.isdisjoint(buckets):
                continue
            there = self._there(task.source, row.into)
            meant = there is not None and _is_meant(task, raw_key(row.into))
            what = carrier.lacks(row, there, self._cluster.now, slack, exactly=True)
            if there is not None and not meant:
                what = "is there beside the row that has its key"
            if not what:
                continue
            told.append(_difference(row, what))
            if remove and (there is None or _has_moved(carrier, row, there, task.target)):
                self._remove(carrier, row)
            elif remove:
                self._remove_cells(carrier, row, there)
        return told

    def _remove_cells(self, carrier: Carrier, row: SourceRow, there: Found | None) -> None:
        back = dict(carrier.task.columns)
        gone = [
            (row.key, cell.written, back[name])
            for name, cell in row.cells.items()
            if there is not None and name not in there.cells
        ]
        if gone:
            self._send("remove", carrier.source, tuple(gone))

    # -- the rest ----------------------------------------------------------------------------------

    def show_key(self, table: Table, key: Key) -> str:
        """See `Bulk`."""
        return ", ".join((part or b"null").decode() for part in key)

    def load(self, table: Table, rows: Iterable[Mapping[str, object]]) -> int:
        """See `Bulk`."""
        raise Unmodelled("loading")


def _as_of(found: Found, there: Table, table: Table) -> Found:
    """Return a row as it is read with another key in mind."""
    key = (*found.partition, *(found.clustering or ()))
    values = dict(zip(there.key, key, strict=True))
    values |= {name: cell.value for name, cell in found.cells.items()}
    partition = tuple(values.get(name) for name in table.partition_key)
    clustering = tuple(values.get(name) for name in table.clustering_key)
    cells = {name: cell for name, cell in found.cells.items() if name not in table.key}
    return Found(partition, clustering, cells, found.statics)


def _difference(row: SourceRow, what: str) -> Difference:
    shown = ", ".join(map(str, row.key))
    return Difference(shown, what, what.endswith(GONE), what == KEYS_GONE)


def _may_write(row: SourceRow, there: Found | None, *, present: bool) -> bool:
    """Return whether a row may be written to what is there: see cluster/compare.py."""
    if there is None or present:
        return (there is not None) == present
    return bool(there.cells) and all(
        name in row.cells and (cell.written, cell.value) == row.cells[name][::2]
        for name, cell in there.cells.items()
        if name not in row.untimed
    )


def _is_meant(task: CopyTask, key: Key) -> bool:
    return key not in task.skip and (task.only is None or key in task.only)


def _has_moved(carrier: Carrier, row: SourceRow, there: Found, target: Table) -> bool:
    """Return whether the source's row has another key in the target by now."""
    keys = set(target.key) - set(carrier.target.key)
    known = {what: name for name, what in carrier.task.columns}
    values = dict(zip(target.key, row.key, strict=True))
    return any(
        (cell := there.cells.get(known[name])) is None or cell.value != values[name]
        for name in keys
        if name in known
    )


def _into(task: CopyTask, also: Table, columns: tuple[tuple[str, str], ...]) -> CopyTask:
    return CopyTask(
        task.source, also, columns, low_timestamp=task.low_timestamp, between=task.between
    )


def _turned(task: CopyTask, columns: tuple[tuple[str, str], ...]) -> CopyTask:
    known = tuple((name, what) for name, what in columns if task.source.column(name))
    return CopyTask(
        task.target,
        task.source,
        known,
        low_timestamp=task.low_timestamp,
        between=task.between,
    )
