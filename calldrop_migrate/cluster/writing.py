"""Rows in bulk as raw bytes: batches that are written. The hot loop of copying.

What PERFORMANCE.md measured and this follows: requests cost, not bytes, so rows go out in UNLOGGED
batches within one partition (x5 to x10 over single rows; a batch over partitions is no gain and has
a size limit), with a window of batches in flight; TTL is always bound (unset would mean the table's
default). layout.py says what is written of a row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cassandra.query import BatchStatement, BatchType, BoundStatement

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.layout import Fate, Layout
from calldrop_migrate.cluster.pages import Page, Partitions
from calldrop_migrate.cluster.raw import RawRow
from calldrop_migrate.cluster.wire import Request, Wire
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.engine.ports import CopyTask, Key, RangeResult

BATCH_ROWS = 100
BATCH_BYTES = 32_000  # Cassandra warns of batches over 5 KB only where they span partitions
WINDOW = 32  # batches in flight


def copy_ranges(
    wire: Wire, task: CopyTask, ranges: Sequence[Range]
) -> Iterator[tuple[Range, RangeResult]]:
    """See `Bulk`."""
    for part, pages in wire.chosen(task, ranges):
        yield part, _copy(wire, task, pages)


def _copy(wire: Wire, task: CopyTask, pages: Iterator[Page]) -> RangeResult:
    layout, window = wire.layout(task), Window(wire, task.between, task.calm)
    partitions = Partitions(layout)
    rows = size = bare = unfit = retimed = 0
    for page in pages:
        by_partition: dict[Key, list[RawRow]] = {}
        statics = partitions.of(page)
        for row in page.rows:
            match layout.fate(row):
                case Fate.ROW:
                    by_partition.setdefault(layout.partition_of(row), []).append(row)
                    if layout.row.many:
                        retimed += layout.row.retimed_in(row)
                case Fate.STATICS:
                    rows += 1
                case Fate.UNFIT:
                    unfit += 1
        for at in {**by_partition, **statics}:
            batch, same = Batch(window), by_partition.get(at, ())
            rows += len(same)
            if at in statics and layout.statics:
                batch.put_statics(layout, statics[at], page.asked, task)
                retimed += layout.statics.retimed_in(statics[at])
            for row in same:
                bare += batch.put(layout, row, page.asked, task)
            batch.flush()
            size += batch.size
    window.drain()
    return RangeResult(rows, size, bare, unfit, retimed)


def load(wire: Wire, insert: str, width: int, rows: Iterable[list[Any]]) -> int:
    """Inserts raw values, of which the first `width` are the partition key; those of a
    partition that follow each other go in one batch.
    """
    window, partition, count = Window(wire), None, 0
    batch = Batch(window)
    for values in rows:
        if values[:width] != partition:
            batch.flush()
            partition = values[:width]
        batch.make_room()
        batch.add(wire.bound(insert, values))
        count += 1
    batch.flush()
    window.drain()
    return count


class Window:
    """At most WINDOW batches in flight, half of that and of their size for each of `calm`; an error
    of any comes up at the next step.

    `between` is called before each: a run that was stopped and goes on when its lease has long run
    out must not write into a table that is another runner's now.
    """

    def __init__(
        self, wire: Wire, between: Callable[[], None] = lambda: None, calm: int = 0
    ) -> None:
        self.wire = wire
        self.calm = calm
        self._between = between
        self._flying: deque[Request] = deque()

    def make_room(self, size: int = WINDOW) -> None:
        """Waits until fewer than `size` are in flight."""
        while len(self._flying) >= max(1, size >> self.calm):
            with failures.of_write():
                self._flying.popleft().result()

    def send(self, statement: BoundStatement | BatchStatement) -> None:
        """Sends, when there is room."""
        self.make_room()
        self._between()
        statement.consistency_level = self.wire.writes_at
        with failures.of_write():
            self._flying.append(self.wire.send(statement))

    def drain(self) -> None:
        """Waits until everything is acknowledged."""
        self.make_room(1)


class Batch:
    """Writes of one partition, sent when there are many or at the end.

    Such a batch is applied as a whole, and `put` keeps a row's statements in one: a row is there or
    it isn't. Room in the window is waited for before a batch is begun, because its TTLs count from
    then.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._statements: list[BoundStatement] = []
        self._bytes = 0
        self.size = 0

    def make_room(self) -> None:
        """Sends a full batch; waits for room before the first statement of the next one."""
        calm = self._window.calm
        if len(self._statements) >= BATCH_ROWS >> calm or self._bytes >= BATCH_BYTES >> calm:
            self.flush()
        if not self._statements:
            self._window.make_room()

    def put(
        self,
        layout: Layout,
        row: RawRow,
        asked: float,
        task: CopyTask,
        *,
        with_marker: bool = True,
    ) -> bool:
        """Adds a row whose page was asked for at `asked`; gives whether it is one of keys alone."""
        self.make_room()
        since, low = time.monotonic() - asked, task.low_timestamp
        groups, marker, bare = layout.groups(row, since, low)
        marked = with_marker and layout.is_row(row)
        for cql, values in layout.writes(row, groups, marker if marked else None):
            self.add(self._window.wire.bound(cql, values))
        oldest = marker[0] if marker else low
        for cql, values in layout.element_writes(row, since, oldest, task.turn):
            self.add(self._window.wire.bound(cql, values))
        return bare

    def put_statics(self, layout: Layout, row: RawRow, asked: float, task: CopyTask) -> None:
        """Adds what a row tells of its partition's static cells."""
        self.make_room()
        since = time.monotonic() - asked
        for cql, values in layout.static_writes(row, since, task.low_timestamp, task.turn):
            self.add(self._window.wire.bound(cql, values))

    def add(self, statement: BoundStatement) -> None:
        """Adds a statement to the batch that there is room for."""
        self._statements.append(statement)
        try:
            self._bytes += sum(map(len, statement.values))
        except TypeError:  # some are not set
            self._bytes += sum(len(v) for v in statement.values if isinstance(v, bytes))

    def flush(self) -> None:
        """Sends what there is."""
        if len(self._statements) == 1:
            self._window.send(self._statements[0])
        elif self._statements:
            batch = BatchStatement(BatchType.UNLOGGED)
            for statement in self._statements:
                batch.add(statement)
            self._window.send(batch)
        self.size += self._bytes
        self._statements, self._bytes = [], 0
