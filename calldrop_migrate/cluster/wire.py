"""Rows in bulk: pages as raw bytes in, batches of raw bytes out. The hot loop of copying; nothing
else lives here.

Why raw: a value in a result and a bound value have the same encoding, so a cell passes through
unread. That is faster than decoding, and it is exact where Python's types are not (timestamps
beyond year 9999, empty values, vectors).

How: a session of its own whose protocol handler reads every column's type as blob. Its prepared
statements then take and give bytes. The session answers nothing but bulk work, because the handler
sees every result. Whether a driver lets it is seen of each result, and so before the first row is
written: a plan that copies rows reads their table first. What was written is compared cell by cell
before anything is dropped.

What PERFORMANCE.md measured and this follows: requests cost, not bytes, so rows go out in UNLOGGED
batches within one partition (x5 to x10 over single rows; a batch over partitions is no gain and has
a size limit), with a window of batches in flight; TTL is always bound (unset would mean the table's
default). layout.py says what is written of a row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, ClassVar

from cassandra import ConsistencyLevel, __version__
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ResponseFuture, ResultSet
from cassandra.cqltypes import BytesType
from cassandra.protocol import ProtocolHandler, ResultMessage
from cassandra.query import (
    BatchStatement,
    BatchType,
    BoundStatement,
    PreparedStatement,
    tuple_factory,
)

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.elements import items
from calldrop_migrate.cluster.layout import Fate, Layout
from calldrop_migrate.cluster.pages import Page, Partitions, meant, rows_per_page
from calldrop_migrate.cluster.raw import RawRow, long
from calldrop_migrate.core.carrying import elements_of
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import CopyTask, Key, RangeResult
from calldrop_migrate.errors import ConfigurationError

TESTED_DRIVER = "3.29.12"
FIRST_PAGE_ROWS = 1000
AHEAD = 6  # ranges whose first page is asked for; small tables would spend their time waiting
BATCH_ROWS = 100
BATCH_BYTES = 32_000  # Cassandra warns of batches over 5 KB only where they span partitions
WINDOW = 32  # batches in flight


class RawResult(ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]):  # type: ignore[misc]
    """A result in which every column is a blob."""

    @classmethod
    def read_type(cls, f: Any, user_type_map: Any) -> Any:
        """Reads over a type, whatever it is, and calls it a blob."""
        super().read_type(f, user_type_map)
        return BytesType

    def recv_results_rows(
        self, f: Any, version: Any, user_type_map: Any, known: Any, encryption: Any
    ) -> None:
        """Reads rows; `known` are the columns of the prepared statement.

        They are used where the server leaves the columns out of its answer, as ScyllaDB does for
        drivers from 3.29.12 on (SCYLLA_USE_METADATA_ID). Session.prepare() reads them with the
        driver's own handler, so they have their real types.
        """
        blobs = known and [(*column[:3], BytesType) for column in known]
        super().recv_results_rows(f, version, user_type_map, blobs, encryption)


class RawHandler(ProtocolHandler):  # type: ignore[misc]
    """The protocol with raw results."""

    message_types_by_opcode: ClassVar = {
        **ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: RawResult,
    }


class Request:
    """A request on its way, waited for here and not by the driver.

    The driver's timeout is a coroutine, and a cancelled one keeps its request with all rows in it
    until a full garbage collection, which a copy never comes to: 300 MB for 300,000 rows.
    """

    def __init__(self, future: ResponseFuture, patience: float) -> None:
        self._future = future
        self._patience = patience
        self._answered = answered = Event()
        # Not bound to self: future and request would hold each other.
        future.add_callbacks(lambda _: answered.set(), lambda _: answered.set())

    def result(self) -> ResultSet:
        """What the server answered, as bytes.

        Raises:
            TimeoutError: there is no answer; and what the driver raises.
            ConfigurationError: the driver has decoded it.
        """
        if not self._answered.wait(self._patience):
            raise TimeoutError(f"no answer within {self._patience:g} s")
        result = self._future.result()
        decoded = {t for t in result.column_types or () if t is not BytesType}
        if decoded:
            raise ConfigurationError(
                "rows can't be copied with this driver: scylla-driver "
                f"{__version__} decodes {_listed(decoded)} where the server's bytes are needed",
                state="No row was copied, and no table was dropped.",
                hint=f"Use another version:  pip install scylla-driver=={TESTED_DRIVER}",
            )
        return result


def _listed(types: Iterable[Any]) -> str:
    return ", ".join(sorted(t.cql_parameterized_type() for t in types))


@dataclass(frozen=True, slots=True)
class _Begun:
    """A range whose first page was asked for."""

    statement: BoundStatement
    asked: float
    request: Request


class Wire:
    """The raw session and what goes over it. Not for use from several threads.

    It takes a Cluster of its own: of a session whose connection broke the driver makes no new one
    as long as another session of the same Cluster has one (Cluster._discount_down_events), and
    every later request ends with "Pool is shutdown".
    """

    def __init__(self, cluster: Cluster, keyspace: str) -> None:
        self.keyspace = keyspace
        self._cluster = cluster
        self._session = cluster.connect()
        self._session.client_protocol_handler = RawHandler
        self._profile = self._session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=tuple_factory
        )
        # A copy is the only one of its rows for every data centre, once the old table is gone. With
        # one data centre it is the same as LOCAL_QUORUM.
        level = self._profile.consistency_level
        each = level == ConsistencyLevel.LOCAL_QUORUM
        self.writes_at = ConsistencyLevel.EACH_QUORUM if each else level
        self._prepared: dict[str, PreparedStatement] = {}
        self._layouts: dict[tuple[Table, Table, tuple[tuple[str, str], ...], bool], Layout] = {}

    def close(self) -> None:
        """Ends the connection."""
        self._cluster.shutdown()

    def layout(self, task: CopyTask) -> Layout:
        """The layout of a task's rows; the same for all ranges of a copy."""
        at = (task.source, task.target, task.columns, task.element_times)
        if at not in self._layouts:
            self._layouts[at] = Layout(self.keyspace, task, self._fields(task.target))
        return self._layouts[at]

    def layout_also(self, task: CopyTask, also: Table) -> Layout:
        """What writes a task's rows into another table, as far as that has the columns."""
        known = tuple((name, what) for name, what in task.columns if also.column(name))
        its = replace(task, target=also, columns=known)
        return Layout(self.keyspace, its, self._fields(also), of=self.layout(task))

    def _fields(self, table: Table) -> Mapping[str, Sequence[str]]:
        """The fields' names of each user type that a column is of and that isn't frozen."""
        cql = (
            "SELECT field_names FROM system_schema.types WHERE keyspace_name = ? AND type_name = ?"
        )
        found: dict[str, Sequence[str]] = {}
        for kind in {c.type for c in table.columns if elements_of(c.type) == "udt"}:
            name = kind[1:-1].replace('""', '"') if kind.startswith('"') else kind
            with failures.of_read():
                row = self.send(self.bound(cql, [self.keyspace.encode(), name.encode()])).result()
            found[kind] = [(field or b"").decode() for field in items(row.one()[0])]
        return found

    def bound(self, cql: str, values: Sequence[Any], consistency: str = "") -> BoundStatement:
        """A prepared statement with raw values."""
        if cql not in self._prepared:
            with failures.of_read():
                self._prepared[cql] = self._session.prepare(cql)
        statement = BoundStatement(self._prepared[cql])
        # Bytes as they are: bind() would only hand them through a codec that gives them back.
        statement.values = list(values)
        if consistency:
            statement.consistency_level = ConsistencyLevel.name_to_value[consistency]
        return statement

    def send(
        self, statement: BoundStatement | BatchStatement, paging_state: bytes | None = None
    ) -> Request:
        """Sends without waiting."""
        future = self._session.execute_async(
            statement, paging_state=paging_state, execution_profile=self._profile, timeout=None
        )
        return Request(future, self._profile.request_timeout)

    # -- reading ---------------------------------------------------------------------------------

    def ranges(
        self, cql: str, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, Iterator[Page]]]:
        """Each range with its pages; first pages of the next ranges are on their way meanwhile."""
        begun: deque[tuple[Range, _Begun]] = deque()
        for coming in ranges:
            begun.append((coming, self._begin(cql, task, coming)))
            if len(begun) > AHEAD:
                part, first = begun.popleft()
                yield part, self._pages(first, task)
        for part, first in begun:
            yield part, self._pages(first, task)

    def _begin(self, cql: str, task: CopyTask, part: Range) -> _Begun:
        statement = self.bound(cql, [long(part.low), long(part.high)], task.consistency)
        statement.fetch_size = FIRST_PAGE_ROWS >> task.calm
        return _Begun(statement, time.monotonic(), self.send(statement))

    def _pages(self, first: _Begun, task: CopyTask) -> Iterator[Page]:
        """The pages of a range, the next one on its way while one is worked on.

        Pages can be short or empty with more to come: only the server's word ends the loop. A
        page's number of rows follows from the size of those before it: memory stays bounded,
        whatever the rows are.
        """
        statement, asked, request = first.statement, first.asked, first.request
        while True:
            with failures.of_read():
                result = request.result()
            page = Page(result.current_rows, asked)
            more = result.paging_state
            if more:
                statement.fetch_size = rows_per_page(page.rows, statement.fetch_size, task.calm)
                asked, request = time.monotonic(), self.send(statement, more)
            yield page
            task.pace(len(page.rows))
            if not more:
                return
            task.between()

    def chosen(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, Iterator[Page]]]:
        """The source rows of each range that a task is about."""
        layout = self.layout(task)
        for part, pages in self.ranges(layout.select, task, ranges):
            if task.skip or task.only is not None:
                yield part, (meant(task, layout, page) for page in pages)
            else:
                yield part, (Page(page.rows, page.asked, page.rows) for page in pages)

    def keys_of_ranges(
        self, task: CopyTask, ranges: Sequence[Range], *, times: bool
    ) -> Iterator[tuple[Range, Iterator[tuple[Key, Key, int]]]]:
        """See `Bulk`."""
        layout = self.layout(task)
        cql = layout.select if times else layout.key_select
        for part, pages in self.ranges(cql, task, ranges):
            yield part, _keys(layout, pages, times=times)

    # -- copying ---------------------------------------------------------------------------------

    def copy_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        for part, pages in self.chosen(task, ranges):
            yield part, self._copy(task, pages)

    def _copy(self, task: CopyTask, pages: Iterator[Page]) -> RangeResult:
        layout, window = self.layout(task), Window(self, task.between, task.calm)
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

    # -- loading ---------------------------------------------------------------------------------

    def load(self, insert: str, width: int, rows: Iterable[list[Any]]) -> int:
        """Inserts raw values, of which the first `width` are the partition key; those of a
        partition that follow each other go in one batch.
        """
        window, partition, count = Window(self), None, 0
        batch = Batch(window)
        for values in rows:
            if values[:width] != partition:
                batch.flush()
                partition = values[:width]
            batch.make_room()
            batch.add(self.bound(insert, values))
            count += 1
        batch.flush()
        window.drain()
        return count


def _keys(layout: Layout, pages: Iterator[Page], *, times: bool) -> Iterator[tuple[Key, Key, int]]:
    for page in pages:
        for row in page.rows:
            if layout.fate(row) in (Fate.ROW, Fate.UNFIT):
                written = layout.newest(row) if times else 0
                yield layout.key_of(row), layout.target_key_of(row), written


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
