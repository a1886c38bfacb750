"""The questions of the engine to a database; cluster/session.py answers.

Every statement has three outcomes: it returns (applied), it raises `StatementRefused` (nothing was
applied), or it raises `OutcomeUnknown`, which the engine settles by reading. `Unreachable`: nothing
was sent or, of `ddl`, it was applied and not all nodes show it yet. None is sent again while open.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from calldrop_migrate.core.fencing import Access
from calldrop_migrate.core.keys import CASSANDRA, CASSANDRA_4, SCYLLA, KeyLimits
from calldrop_migrate.core.lives import Lives
from calldrop_migrate.core.preflight import Server
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.core.schema import Schema, Table

Row = Mapping[str, Any]


class UnfitRow(ValueError):
    """A row to be loaded that the table can't hold, and why."""


class _Absent:
    """Bound to a column that shall stay as it is: null would write a tombstone."""


ABSENT = _Absent()
NULL = "is null"  # how the reason ends that a row has no key
EXAMPLES = 5  # keys that are shown of rows with which something is wrong
Key = tuple[bytes | None, ...]
Comparable = tuple[Hashable, ...]  # a key, equal where the server calls two keys the same
# Of a row: its key, the key that it has in the target, why it has none there, newest write time.
Keyed = tuple[Key, Comparable, str, int]


@dataclass(frozen=True, slots=True)
class Platform:
    """The server, as far as it matters to us.

    Attributes:
        name: Cassandra or ScyllaDB.
        version: empty where the server doesn't tell it to this role.
        nodes, racks: data centre -> number of its nodes, of its racks.
        cluster: the cluster's own name; empty where it has none.
    """

    name: str
    version: str
    cluster: str
    host: str
    nodes: Mapping[str, int]
    racks: Mapping[str, int]

    @property
    def title(self) -> str:
        """Name and version, or the name alone where the version isn't known."""
        return f"{self.name} {self.version}".rstrip()

    @property
    def scylla(self) -> bool:
        """Return whether it is ScyllaDB."""
        return self.name == "ScyllaDB"

    @property
    def element_times(self) -> bool:
        """Return whether a collection that isn't frozen tells the times of each element.

        ScyllaDB has them for one element that is named (from 2026.2 on), and none of a list's.
        """
        return not self.scylla and self._major >= 5

    @property
    def key_limits(self) -> KeyLimits:
        """Return how long its keys may be."""
        if self.scylla:
            return SCYLLA
        return CASSANDRA if self._major >= 5 else CASSANDRA_4

    @property
    def _major(self) -> int:
        major = self.version.partition(".")[0]
        return int(major) if major.isdecimal() else 0


def go_on() -> None:
    """Nothing keeps the work from going on."""


def at_once(rows: int) -> None:
    """It is time for more rows at once."""


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One copy, or one verification, of whatever ranges.

    Attributes:
        columns: (column of the target, selector on the source) pairs; a selector that is no column
            of the source is an expression, evaluated by the server.
        skip, only: source keys, as the server's bytes, that are left out, or the only ones meant.
        low_timestamp: microseconds; for rows of keys alone, whose own time can't be read.
        consistency: for the reads; the writes go at the session's.
        element_times: whether the server tells the times of a collection's elements.
        turn: microseconds that a list is written later than its elements: more each time that it
            may be written.
        shown: columns of the target that were dropped once, and from when on the server shows
            their cells: microseconds.
        calm: how often work on it has failed: makes pages, batches, and what is in flight smaller.
        also: gets what is moved into the target, before it.
        casts: columns of the target whose values are compared under an expression.
        lasting: sums are of cells that never end, and of rows that have one.
        between: called between the pages of a long range and before each write: keeps the lease,
            and raises to end the work.
        pace: told how many rows a page has; returns when it is time for more.
    """

    source: Table
    target: Table
    columns: tuple[tuple[str, str], ...]
    skip: Collection[Key] = ()
    only: Collection[Key] | None = None
    low_timestamp: int = 0
    consistency: str = ""
    element_times: bool = True
    turn: int = 0
    shown: tuple[tuple[str, int], ...] = ()
    calm: int = 0
    lasting: bool = False
    also: Table | None = None
    casts: tuple[tuple[str, str], ...] = ()
    between: Callable[[], None] = field(default=go_on, compare=False)
    pace: Callable[[int], None] = field(default=at_once, compare=False)


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of one side of a copy.

    Attributes:
        rows: of the table, whichever of them are meant.
        by_range: index of a range of the source -> what is summed up, and the sum over it.
    """

    rows: int = 0
    by_range: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """The numbers of rows that a verification read.

    Attributes:
        source: of the source, whichever of them are meant.
        target: of the target, a moment later.
        gone: rows of the source that somebody has deleted in the target.
        skipped: rows of the source that are not meant.
        mended: rows that the target lacked, all or a part of them, and was given.
    """

    source: int
    target: int
    gone: int = 0
    skipped: int = 0
    mended: int = 0


@dataclass(frozen=True, slots=True)
class Effort:
    """The task of reading rows and writing them into their target.

    Attributes:
        cells: values, write times and TTLs that were read, absent ones too.
        partitions: of the source.
        requests: that writing takes; rows go in batches of one partition of the target.
    """

    cells: int = 0
    partitions: int = 0
    requests: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            self.cells + other.cells,
            self.partitions + other.partitions,
            self.requests + other.requests,
        )


@dataclass(frozen=True, slots=True)
class RangeResult:
    """The result of a range, or of all.

    Attributes:
        counted: of a verification.
        discarded: rows that a statement has deleted and that are nowhere else.
        bare: rows of keys alone among them, whose write time can't be kept.
        unfit: source rows that the target can't hold because of their key there.
        retimed: collections among their cells whose elements' write times can't be kept.
        ending: rows that have only cells that end, written by more than one statement: whether the
            row itself would outlive them can't be read.
        effort: of a survey.
        unfit_examples, ending_examples: keys of a few of these for people, of the unfit with why.
    """

    rows: int = 0
    bytes: int = 0
    bare: int = 0
    unfit: int = 0
    retimed: int = 0
    ending: int = 0
    unfit_examples: tuple[str, ...] = ()
    ending_examples: tuple[str, ...] = ()
    effort: Effort = Effort()
    counted: Counted | None = None
    discarded: int = 0

    def __add__(self, other: RangeResult) -> RangeResult:
        return RangeResult(
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.bare + other.bare,
            self.unfit + other.unfit,
            self.retimed + other.retimed,
            self.ending + other.ending,
            (self.unfit_examples + other.unfit_examples)[:EXAMPLES],
            (self.ending_examples + other.ending_examples)[:EXAMPLES],
            self.effort + other.effort,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A source row that the target doesn't hold, in words.

    Attributes:
        gone: the target has nothing of it.
        may_have_ended: the row has no cells any more: with the last of them its copy ends.
    """

    key: str
    what: str
    gone: bool = False
    may_have_ended: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """About how many rows a table has, and how many bytes their values: an estimate, unless
    `exact`. Bytes are 0 where nothing depends on them.
    """

    table: str
    rows: int
    bytes: int
    exact: bool = False


class Bulk(Protocol):
    """Rows by the range: what copying, comparing and loading are made of."""

    def size(self, table: Table, few: int) -> Size:
        """About how large a table is: exact up to `few` rows."""
        ...

    def copy_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """Copies ranges; each is given back once all its writes are acknowledged."""
        ...

    def move_ranges(
        self, task: CopyTask, ranges: Sequence[Range], slack: float, *, present: bool
    ) -> Iterator[tuple[Range, RangeResult]]:
        """Moves rows whose key is free in the target, or `present`: then their cells are added
        there.

        `unfit` counts the rows that stay.
        """
        ...

    def keys_of_ranges(
        self, task: CopyTask, ranges: Sequence[Range], *, times: bool
    ) -> Iterator[tuple[Range, Iterator[Keyed]]]:
        """Return what is to be known of each row's key; the write time is 0 without `times`."""
        ...

    def count_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, Lives]]:
        """Return how many rows of the source are rows for the target, or would be if they had a
        key, and what the cells that the target gets tell about their end.
        """
        ...

    def survey_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """Reads ranges of the source as a copy does, and writes nothing."""
        ...

    def sum_ranges(
        self, task: CopyTask, ranges: Sequence[Range], parts: int, *, of_target: bool
    ) -> Iterator[tuple[Range, Sums]]:
        """Rows and an order-free sum over one side's cells, by range of the *source's* partition
        key.

        `ranges` are ranges of that side's own tokens, `parts` is the number of those of the source.
        Of a target that doesn't keep the source's partition key, all comes as range -1.
        """
        ...

    def missing(self, task: CopyTask, range_: Range, slack: float) -> list[Difference]:
        """The source rows of a range that the target doesn't hold, looked at key by key."""
        ...

    def strays(
        self, task: CopyTask, buckets: Collection[int], parts: int, slack: float, *, remove: bool
    ) -> list[Difference]:
        """Rows and cells of the target that the source doesn't hold, of the ranges of `buckets`.

        `remove` deletes those that are nowhere in the source, at their own write time: nothing that
        is written later is hidden by that.
        """
        ...

    def show_key(self, table: Table, key: Key) -> str:
        """A key for people."""
        ...

    def load(self, table: Table, rows: Iterable[Mapping[str, object]]) -> int:
        """Inserts rows, those of a partition that follow each other in batches; gives how many.

        Raises:
            UnfitRow: a row isn't one of this table.
        """
        ...


class Database(Protocol):
    """One keyspace of one cluster, while we are connected to it.

    Attributes:
        bookkeeping: the keyspace of the tool's own tables: this one, or one that several share.
        user: the role that the connection was made for; empty without one.
    """

    platform: Platform
    keyspace: str
    user: str
    bookkeeping: str

    @property
    def bulk(self) -> Bulk:
        """Rows in bulk, over a connection of their own that is made when it is first needed."""
        ...

    def query(self, cql: str, values: Sequence[object] = (), *, consistency: str = "") -> list[Row]:
        """The rows of a SELECT, all pages; `consistency` by name, e.g. SERIAL."""
        ...

    def write(self, cql: str, values: Sequence[object] = ()) -> None:
        """One statement that changes rows, without a condition."""
        ...

    def agree(self) -> None:
        """Returns once every known node shows the schema of the pinned one.

        Raises:
            Unreachable: they don't in time.
        """
        ...

    def ddl(self, *statements: str) -> None:
        """Schema changes through the pinned node, returned once every known node agrees.

        Several at once are for objects that don't need each other.

        Raises:
            Unreachable: the nodes do not agree in time; the change itself was applied.
        """
        ...

    def compare_and_set(self, cql: str, values: Sequence[object]) -> bool:
        """One conditional statement or single-partition batch; whether it was applied.

        What stood there isn't told: servers differ in it. Who needs to know reads, at SERIAL.
        """
        ...

    def use_keyspace(self) -> None:
        """Unqualified names mean the migrated keyspace from here on."""
        ...

    def schema(self) -> Schema:
        """The keyspace as it is now, the tool's own tables with it wherever they are.

        Raises:
            HistoryError: it has such tables, and they are to be elsewhere.
        """
        ...

    def refresh(self, known: Schema, names: Collection[tuple[str, str]]) -> Schema:
        """`known` with the objects of these (kind, name) read again."""
        ...

    def server(self, keyspaces: Collection[str]) -> Server:
        """Return what the server is set to and can do, and how these keyspaces are placed."""
        ...

    def unbuilt(self, view: str) -> list[str]:
        """The nodes that have not finished building a materialized view."""
        ...

    def grants(self, table: str) -> list[tuple[str, str]]:
        """Permissions on a table itself, which end with it, each with the role that has it.

        Raises:
            StatementRefused: the role that asks may not know.
        """
        ...

    def access(self) -> Access:
        """Return who may write what, of all roles.

        Raises:
            StatementRefused: the role that asks may not know.
        """
        ...

    def sees_unmasked(self, table: str) -> bool:
        """Return whether this role reads the values of masked columns, and not what masks them."""
        ...

    def has_rows(
        self, table: Table, *, prove: bool = False, between: Callable[[], None] = lambda: None
    ) -> bool:
        """Return whether any row is there; to `prove` that none is reads at ALL.

        `between` is called between the pages that the answer takes.
        """
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...
