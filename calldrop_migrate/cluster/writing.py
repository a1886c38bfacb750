"""Rows in bulk as raw bytes: batches that are written. The hot loop of copying.

What was measured, and this follows: requests cost, not bytes, so rows go out in UNLOGGED batches
within one partition (x5 to x10 over single rows; a batch over partitions is no gain and has a size
limit), with a window of batches in flight; TTL is always bound (unset would mean the table's
default). layout.py says what is written of a row.

A server takes no request above 16 MiB. A row that is larger than REQUEST_BYTES goes in several:
its cells and elements have their own times wherever they are written.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cassandra.query import BatchStatement, BatchType, BoundStatement

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.cells import Write
from calldrop_migrate.cluster.layout import Fate, Layout
from calldrop_migrate.cluster.pages import BATCH_BYTES, BATCH_ROWS, Page, Partitions
from calldrop_migrate.cluster.raw import RawRow
from calldrop_migrate.cluster.wire import Request, Wire
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.engine.ports import EXAMPLES, CopyTask, Key, RangeResult
from calldrop_migrate.errors import StatementRefused

REQUEST_BYTES = 4 * 2**20
WINDOW = 32  # batches in flight
WINDOW_BYTES = 16 * 2**20
Put = tuple[RawRow, Sequence[BoundStatement]]  # a row, and what writes it


def copy_ranges(
    wire: Wire, task: CopyTask, ranges: Sequence[Range]
) -> Iterator[tuple[Range, RangeResult]]:
    """See `Bulk`."""
    for part, pages in wire.chosen(task, ranges):
        copying, total = Copying(wire, task), RangeResult()
        for page in pages:
            total += copying.page(page)
        copying.window.drain()
        yield part, total


def load(wire: Wire, insert: str, width: int, rows: Iterable[list[Any]]) -> int:
    """Inserts raw values, of which the first `width` are the partition key; those of a
    partition that follow each other go in one batch.
    """
    window, partition, count, size = Window(wire), None, 0, 0
    statements: list[BoundStatement] = []
    for values in rows:
        full = len(statements) == BATCH_ROWS or size >= BATCH_BYTES
        if full or values[:width] != partition:
            window.send(statements, size=size)
            partition, statements, size = values[:width], [], 0
        statements.append(wire.bound(insert, values))
        size += size_of(values)
        count += 1
    window.send(statements, size=size)
    window.drain()
    return count


class Copying:
    """Copies the pages of one range."""

    def __init__(self, wire: Wire, task: CopyTask) -> None:
        self._task = task
        self._layout = wire.layout(task)
        self._partitions = Partitions(self._layout)
        self.window = Window(wire, task.between, task.calm)

    def page(self, page: Page) -> RangeResult:
        """Sends what a page brings; it is there once the window is drained."""
        layout = self._layout
        by_partition: dict[Key, list[RawRow]] = {}
        unfit: list[RawRow] = []
        rows = retimed = 0
        for row in page.rows:
            match layout.fate(row):
                case Fate.ROW:
                    by_partition.setdefault(layout.target_key.partition_of(row), []).append(row)
                    if layout.row.many:
                        retimed += layout.row.retimed_in(row)
                    rows += 1
                case Fate.STATICS:
                    rows += 1
                case Fate.UNFIT:
                    unfit.append(row)
        statics = self._partitions.of(page)
        retimed += sum(layout.statics.retimed_in(r) for r in statics.values() if layout.statics)
        size, bare, ending = self._put(page, by_partition, statics)
        return RangeResult(
            *(rows, size, bare, len(unfit), retimed, len(ending)),
            tuple(f"{layout.shown(r)}  ({layout.target_key.unfit(r)})" for r in unfit[:EXAMPLES]),
            tuple(map(layout.shown, ending[:EXAMPLES])),
        )

    def _put(
        self, page: Page, by_partition: dict[Key, list[RawRow]], statics: dict[Key, RawRow]
    ) -> tuple[int, int, list[RawRow]]:
        """Bytes that were sent, how many rows have keys alone, and rows of which all cells end."""
        size, bare, ending = 0, 0, list[RawRow]()
        for at in {**by_partition, **statics}:
            batch = Batch(self.window, self._layout, self._task)
            if at in statics:
                batch.put_statics(statics[at], page.asked)
            for row in by_partition.get(at, ()):
                bare += batch.put(row, page.asked)
            batch.flush()
            size += batch.size
            ending += batch.ending
        return size, bare, ending


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
        self._flying: deque[tuple[Request, Batch | None, Sequence[Put], int]] = deque()
        self._bytes = 0

    def make_room(self, size: int = WINDOW) -> None:
        """Waits until fewer than `size` are in flight, and not too many bytes."""
        while self._flying and (
            len(self._flying) >= max(1, size >> self.calm)
            or self._bytes > WINDOW_BYTES >> self.calm
        ):
            self._wait(*self._flying.popleft())

    def send(
        self,
        statements: Sequence[BoundStatement],
        batch: Batch | None = None,
        puts: Sequence[Put] = (),
        size: int = 0,
    ) -> None:
        """Sends, when there is room.

        Args:
            batch, puts: which rows these statements write, to name one that the server refuses.
            size: bytes.
        """
        if statements:
            self.make_room()
            self._flying.append((self._sent(statements), batch, puts, size))
            self._bytes += size

    def send_in_order(self, batch: Batch, puts: Iterable[Put]) -> None:
        """Sends the parts of a row one after the other, all to one node."""
        self.drain()
        node = None
        for put in puts:
            request = self._sent(put[1], node)
            self._wait(request, batch, [put], 0)
            node = request.node

    def drain(self) -> None:
        """Waits until everything is acknowledged."""
        self.make_room(1)

    def _sent(self, statements: Sequence[BoundStatement], to: Any = None) -> Request:
        self._between()
        statement = statements[0]
        if len(statements) > 1:
            statement = BatchStatement(BatchType.UNLOGGED)
            for one in statements:
                statement.add(one)
        statement.consistency_level = self.wire.writes_at
        with failures.of_write():
            return self.wire.send(statement, to=to)

    def _wait(self, request: Request, batch: Batch | None, puts: Sequence[Put], size: int) -> None:
        self._bytes -= size
        try:
            with failures.of_write():
                request.result()
        except failures.Refused as refused:
            if refused.absent or batch is None:
                raise
            self._send_singly(batch, puts)

    def _send_singly(self, batch: Batch, puts: Sequence[Put]) -> None:
        """Sends the rows of a batch that was refused one by one: it may be one of them, or that
        they are many.

        Raises:
            StatementRefused: one is refused, and which.
        """
        for row, statements in puts:
            try:
                with failures.of_write():
                    self._sent(statements).result()
            except failures.Refused as refused:
                if refused.absent:
                    raise
                raise batch.refused(row, refused) from refused


class Batch:
    """Rows of one partition, sent when there are many or at the end.

    Such a batch is applied as a whole, and `put` keeps a row's statements in one, unless they are
    too much for that: a row is there or it isn't. Of a row in parts its INSERT comes last, so that
    what is there of it always has cells, which tell whose they are. Room in the window is waited
    for before a batch is begun, because its TTLs count from then.

    Attributes:
        size: bytes that were sent.
        ending: rows that have only cells that end.
    """

    def __init__(self, window: Window, layout: Layout, task: CopyTask) -> None:
        self._window = window
        self._layout = layout
        self._task = task
        self._statements: list[BoundStatement] = []
        self._puts: list[Put] = []
        self._bytes = 0
        self.size = 0
        self.ending: list[RawRow] = []

    def put(self, row: RawRow, asked: float, *, with_marker: bool = True) -> bool:
        """Adds a row whose page was asked for at `asked`; gives whether it is one of keys alone."""
        self._make_room()
        layout, turn, low = self._layout, self._task.turn, self._task.low_timestamp
        now = time.monotonic()
        groups, marker, bare = layout.groups(row, now - asked, low)
        marked = marker if with_marker and layout.is_row(row) else None
        writes, elements = list(layout.writes(row, groups, marked)), list[Write]()
        if layout.row.many:
            oldest = marker[0] if marker else low
            elements += layout.element_writes(row, now - asked, oldest, turn, REQUEST_BYTES)
            writes += elements
        if not self._put(row, writes):
            parts = list(layout.writes(row, groups, marked, REQUEST_BYTES))
            self._put_parts(row, [*parts[1:], *elements, *parts[:1]], now)
        if (len(groups) > 1 or elements) and layout.ends(row):
            self.ending.append(row)
        return bare

    def put_statics(self, row: RawRow, asked: float) -> None:
        """Adds what a row tells of its partition's static cells."""
        self._make_room()
        now, task = time.monotonic(), self._task
        writes = list(
            self._layout.static_writes(
                row, now - asked, task.low_timestamp, task.turn, REQUEST_BYTES
            )
        )
        if not self._put(row, writes):
            self._put_parts(row, writes, now)

    def flush(self) -> None:
        """Sends what there is."""
        self._window.send(self._statements, self, self._puts, self._bytes)
        self.size += self._bytes
        self._statements, self._puts, self._bytes = [], [], 0

    def refused(self, row: RawRow, why: failures.Refused) -> StatementRefused:
        """Return what is told where the server refuses a row."""
        task, key = self._task, self._layout.shown(row)
        table = task.target if is_internal(task.source.name) else task.source
        return StatementRefused(
            f"{table.name}: the server refuses the row {key}: {why.message}",
            hint=why.hint
            or "Change or delete that row, or what makes the server refuse it, then run the same"
            " command again.",
        )

    def _make_room(self) -> None:
        """Sends a full batch; waits for room before the first statement of the next one."""
        calm = self._window.calm
        if len(self._statements) >= BATCH_ROWS >> calm or self._bytes >= BATCH_BYTES >> calm:
            self.flush()
        if not self._statements:
            self._window.make_room()

    def _put(self, row: RawRow, writes: Sequence[Write]) -> bool:
        """Adds a row to the batch, unless it is too large for one request."""
        size, bound, statements = 0, self._window.wire.bound, []
        for cql, values, behind, _ in writes:
            size += size_of(values)
            if behind or size > REQUEST_BYTES:
                return False
            statements.append(bound(cql, values))
        if statements:  # else all of it has ended
            self._statements += statements
            self._puts.append((row, statements))
        self._bytes += size
        return True

    def _put_parts(self, row: RawRow, writes: Sequence[Write], since: float) -> None:
        """Sends a row that is too large for one request; its TTLs were true at `since`."""
        self.flush()
        self._window.send_in_order(self, self._parts(row, writes, since))
        self.size += sum(size_of(write.values) for write in writes)

    def _parts(self, row: RawRow, writes: Sequence[Write], since: float) -> Iterator[Put]:
        bound = self._window.wire.bound
        for part in _requests(writes):
            passed = time.monotonic() - since
            alive = [now for write in part if (now := write.later(passed))]
            if alive:
                yield row, [bound(now.cql, now.values) for now in alive]


def size_of(values: Sequence[Any]) -> int:
    """Bytes of the values that a statement binds."""
    try:
        return sum(map(len, values))
    except TypeError:  # some are not set
        return sum(len(value) for value in values if isinstance(value, bytes))


def _requests(writes: Iterable[Write]) -> Iterator[list[Write]]:
    """Writes in order, as many in a request as it may have; what has to be sent behind all others
    begins one.
    """
    part: list[Write] = []
    taken = 0
    for write in writes:
        its = size_of(write.values)
        if part and (write.behind or taken + its > REQUEST_BYTES):
            yield part
            part, taken = [], 0
        part.append(write)
        taken += its
    if part:
        yield part
