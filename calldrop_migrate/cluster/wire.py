"""Rows in bulk as raw bytes: the session, and the pages that are read. writing.py sends them.

Why raw: a value in a result and a bound value have the same encoding, so a cell passes through
unread. That is faster than decoding, and it is exact where Python's types are not (timestamps
beyond year 9999, empty values, vectors).

How: a session of its own whose protocol handler reads every column's type as blob. Its prepared
statements then take and give bytes. The session answers nothing but bulk work, because the handler
sees every result. Whether a driver lets it is seen of each result, and so before the first row is
written: a plan that copies rows reads their table first. What was written is compared cell by cell
before anything is dropped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, ClassVar

from cassandra import ConsistencyLevel, __version__
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ResponseFuture, ResultSet
from cassandra.cqltypes import BytesType
from cassandra.pool import Host
from cassandra.protocol import ProtocolHandler, ResultMessage
from cassandra.query import (
    BatchStatement,
    BoundStatement,
    PreparedStatement,
    tuple_factory,
)

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.elements import UserType, items
from calldrop_migrate.cluster.layout import Fate, Layout
from calldrop_migrate.cluster.lives import Lifetimes
from calldrop_migrate.cluster.pages import Page, calmed, effort, meant, rows_per_page
from calldrop_migrate.cluster.raw import long
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.keys import KeyLimits, is_loose
from calldrop_migrate.core.lives import Lives
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.core.schema import Table
from calldrop_migrate.core.widening import origin, same_value
from calldrop_migrate.engine.ports import EXAMPLES, CopyTask, Keyed, RangeResult
from calldrop_migrate.errors import ConfigurationError, RowsAtRisk

TESTED_DRIVER = "3.29.12"
FIRST_PAGE_ROWS = (50, 1000)  # of a range, before and after a table's rows are known
AHEAD = 6  # ranges whose first page is asked for; small tables would spend their time waiting


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

    @property
    def node(self) -> Host:
        """The node that it was sent to."""
        return self._future.coordinator_host

    def result(self) -> ResultSet:
        """Return what the server answered, as bytes.

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
    what: str


class Wire:
    """The raw session and what goes over it. Not for use from several threads.

    It takes a Cluster of its own: of a session whose connection broke the driver makes no new one
    as long as another session of the same Cluster has one (Cluster._discount_down_events), and
    every later request ends with "Pool is shutdown".
    """

    def __init__(self, cluster: Cluster, keyspace: str, limits: KeyLimits) -> None:
        self.keyspace = keyspace
        self._limits = limits
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
        self._page_rows: dict[str, int] = {}  # by the SELECT
        self._layouts: dict[tuple[Any, ...], Layout] = {}  # by what is copied

    def close(self) -> None:
        """Ends the connection."""
        self._cluster.shutdown()

    def layout(self, task: CopyTask) -> Layout:
        """The layout of a task's rows; the same for all ranges of a copy."""
        at = (task.source, task.target, task.columns, task.element_times, task.shown)
        if at not in self._layouts:
            types = self._user_types(task.target)
            layout = Layout(self.keyspace, task, types, limits=self._limits)
            self._see_types(task, layout)
            self._layouts[at] = layout
        return self._layouts[at]

    def _see_types(self, task: CopyTask, layout: Layout) -> None:
        """See that an expression gives what its column in the target is of: bytes have no type.

        Raises:
            RowsAtRisk: it gives something else.
        """
        computed = [(name, what) for name, what in task.columns if not origin(task.source, what)]
        if not computed:
            return
        with failures.of_read():
            told = self._session.prepare(layout.select).result_metadata
        for name, what in computed:
            column, place = task.target.column(name), layout.place_of(what)
            gives = told[place][3].cql_parameterized_type()
            if column is not None and not same_value(gives, column.type):
                raise RowsAtRisk(
                    f"{task.source.name}: `{name}={what}` gives {gives}, and the new {name} is"
                    f" {column.type}",
                    state="Nothing was copied.",
                    hint=(
                        f"Change the type of {name} in the file, or what fills it, then run the"
                        " same command again."
                    ),
                )

    def layout_also(self, task: CopyTask, also: Table) -> Layout:
        """Return what writes a task's rows into another table, as far as that has the columns."""
        known = tuple((name, what) for name, what in task.columns if also.column(name))
        its = replace(task, target=also, columns=known)
        types = self._user_types(also)
        return Layout(self.keyspace, its, types, self.layout(task), self._limits)

    def _user_types(self, table: Table) -> Mapping[str, UserType]:
        """The keyspace's user types by their names as a column's type has them, if a table may have
        one.
        """
        if not any(is_loose(column.type) for column in table.columns):
            return {}
        cql = (
            "SELECT type_name, field_names, field_types FROM system_schema.types"
            " WHERE keyspace_name = ?"
        )
        with failures.of_read():
            rows = list(self.send(self.bound(cql, [self.keyspace.encode()])).result())
        return {quote(name.decode()): UserType(_texts(names), _texts(t)) for name, names, t in rows}

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
        self,
        statement: BoundStatement | BatchStatement,
        paging_state: bytes | None = None,
        to: Host | None = None,
    ) -> Request:
        """Sends without waiting; `to` a node, or to whichever is best."""
        future = self._session.execute_async(
            statement,
            paging_state=paging_state,
            execution_profile=self._profile,
            timeout=None,
            host=to,
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
                yield part, self._pages(cql, first, task)
        for part, first in begun:
            yield part, self._pages(cql, first, task)

    def _begin(self, cql: str, task: CopyTask, part: Range) -> _Begun:
        statement = self.bound(cql, [long(part.low), long(part.high)], task.consistency)
        unknown, most = FIRST_PAGE_ROWS
        statement.fetch_size = calmed(min(most, self._page_rows.get(cql, unknown)), task.calm)
        table = statement.prepared_statement.column_metadata[0].table_name
        what = f"{table}, token {part.low} to {part.high}"
        return _Begun(statement, time.monotonic(), self.send(statement), what)

    def _pages(self, cql: str, first: _Begun, task: CopyTask) -> Iterator[Page]:
        """The pages of a range, the next one on its way while one is worked on.

        Pages can be short or empty with more to come: only the server's word ends the loop. A
        page's number of rows follows from the size of those before it: memory stays bounded,
        whatever the rows are.
        """
        statement, asked, request = first.statement, first.asked, first.request
        while True:
            with failures.of_read(first.what):
                result = request.result()
            page = Page(result.current_rows, asked)
            more = result.paging_state
            size = rows_per_page(page.rows, statement.fetch_size, task.calm)
            self._page_rows[cql] = size << 2 * task.calm
            if more:
                statement.fetch_size = size
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
    ) -> Iterator[tuple[Range, Iterator[Keyed]]]:
        """See `Bulk`."""
        layout = self.layout(task)
        cql = layout.select if times else layout.key_select
        for part, pages in self.ranges(cql, task, ranges):
            yield part, _keys(layout, pages, times=times)

    def count_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, Lives]]:
        """See `Bulk`."""
        lifetimes = Lifetimes(self.layout(task))
        for part, pages in self.ranges(lifetimes.select, task, ranges):
            yield part, sum((lifetimes.of(page.rows) for page in pages), Lives())

    def survey_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        layout = self.layout(task)
        for part, pages in self.ranges(layout.select, task, ranges):
            total = RangeResult()
            for page in pages:
                rows = [row for row in page.rows if layout.is_row(row)]
                size = sum(len(cell) for row in page.rows for cell in row if cell)
                ending = [row for row in rows if layout.ends(row)]
                shown = tuple(map(layout.shown, ending[:EXAMPLES]))
                total += RangeResult(
                    *(len(rows), size),
                    ending=len(ending),
                    ending_examples=shown,
                    effort=effort(layout, page.rows, rows),
                )
            yield part, total


def _keys(layout: Layout, pages: Iterator[Page], *, times: bool) -> Iterator[Keyed]:
    for page in pages:
        for row in page.rows:
            fate = layout.fate(row)
            if fate is Fate.ROW:
                written = layout.newest(row) if times else 0
                yield layout.key_of(row), layout.target_key.comparable(row), "", written
            elif fate is Fate.UNFIT:
                yield layout.key_of(row), (), layout.target_key.unfit(row), 0


def _texts(raw: bytes | None) -> list[str]:
    return [(text or b"").decode() for text in items(raw)]
