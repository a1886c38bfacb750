"""Rows in bulk: implements the port of that name over the raw session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cassandra.cluster import Session

from calldrop_migrate.cluster import failures, sampling, writing
from calldrop_migrate.cluster.compare import Comparison
from calldrop_migrate.cluster.encoding import Encoder
from calldrop_migrate.cluster.hidden import shown_from
from calldrop_migrate.cluster.raw import show_key
from calldrop_migrate.cluster.strays import Strays
from calldrop_migrate.cluster.wire import Wire
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.lives import Lives
from calldrop_migrate.core.ranges import Range
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


class ClusterBulk:
    """The Bulk of engine/ports.py."""

    def __init__(self, wire: Wire, session: Session, told: Callable[[str], int]) -> None:
        self._wire = wire
        self._told = told  # the server's estimate of a table's bytes
        self._session = session  # the ordinary one, which knows how values are encoded
        self._encoders: dict[str, Encoder] = {}

    def size(self, table: Table, few: int) -> Size:
        """See `Bulk`."""
        return sampling.size(self._wire, table, few, lambda: self._told(table.name))

    def copy_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        return writing.copy_ranges(self._wire, task, ranges)

    def move_ranges(
        self, task: CopyTask, ranges: Sequence[Range], slack: float, *, present: bool
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        shown = shown_from(self._wire, task.target)
        task = replace(task, shown=tuple(shown.items()))
        return Comparison(self._wire, task).move_ranges(ranges, slack, present=present)

    def keys_of_ranges(
        self, task: CopyTask, ranges: Sequence[Range], *, times: bool
    ) -> Iterator[tuple[Range, Iterator[Keyed]]]:
        """See `Bulk`."""
        return self._wire.keys_of_ranges(task, ranges, times=times)

    def count_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, Lives]]:
        """See `Bulk`."""
        return self._wire.count_ranges(task, ranges)

    def survey_ranges(
        self, task: CopyTask, ranges: Sequence[Range]
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        return self._wire.survey_ranges(task, ranges)

    def sum_ranges(
        self, task: CopyTask, ranges: Sequence[Range], parts: int, *, of_target: bool
    ) -> Iterator[tuple[Range, Sums]]:
        """See `Bulk`."""
        comparison = Comparison(self._wire, task)
        if of_target:
            return comparison.sums_of_target(ranges, parts)
        return comparison.sums_of_source(ranges)

    def missing(self, task: CopyTask, range_: Range, slack: float) -> list[Difference]:
        """See `Bulk`."""
        return Comparison(self._wire, task).missing(range_, slack)

    def strays(
        self, task: CopyTask, buckets: Collection[int], parts: int, slack: float, *, remove: bool
    ) -> list[Difference]:
        """See `Bulk`."""
        return Strays(self._wire, task, parts).found(buckets, slack, remove=remove)

    def show_key(self, table: Table, key: Key) -> str:
        """See `Bulk`."""
        types = [table.column(name).type for name in table.key]  # type: ignore[union-attr]
        return show_key(types, key)

    def load(self, table: Table, rows: Iterable[Mapping[str, object]]) -> int:
        """See `Bulk`."""
        names = [*table.key, *(c.name for c in table.columns if c.name not in table.key)]
        marks = ", ".join("?" * len(names))
        cql = (
            f"INSERT INTO {quote(self._wire.keyspace)}.{quote(table.name)} "
            f"({', '.join(map(quote, names))}) VALUES ({marks})"
        )
        if cql not in self._encoders:
            with failures.of_write():
                insert = self._session.prepare(cql)
            types = [column.type for column in insert.column_metadata]
            self._encoders[cql] = Encoder(table, names, types, insert.protocol_version)
        encoded = map(self._encoders[cql], rows)
        return writing.load(self._wire, cql, len(table.partition_key), encoded)

    def close(self) -> None:
        """Ends the connection."""
        self._wire.close()
