"""Proves that what one table holds is in another, and moves single rows: the reading side of
wire.py.

Two steps (docs/protocol.md 6). Sums per bucket over both sides, where the bucket is the range of
the *source's* partition key, because a row's own token changes with its partition key. Then, only
in buckets that differ, every source row is looked up by its key: cells expire between two reads,
and a later write may have superseded one, so a difference of sums alone proves nothing. What is
summed up is summing.py's.

Statics are in the sums with each row. Partition by partition they are looked at by themselves: they
are there whatever becomes of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from time import monotonic

from cassandra.metadata import Murmur3Token

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.cells import Cells
from calldrop_migrate.cluster.elements import LATEST_TURN
from calldrop_migrate.cluster.hidden import raiser
from calldrop_migrate.cluster.layout import Fate
from calldrop_migrate.cluster.lookup import GONE, KEYS_GONE, Lookup
from calldrop_migrate.cluster.pages import Page, Partitions
from calldrop_migrate.cluster.raw import RawRow, getter, long, ranged, where
from calldrop_migrate.cluster.summing import digest, summed
from calldrop_migrate.cluster.wire import Request, Wire
from calldrop_migrate.cluster.writing import REQUEST_BYTES, Batch, Window
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.ranges import Range, index_of
from calldrop_migrate.engine.ports import (
    Comparable,
    CopyTask,
    Difference,
    Key,
    RangeResult,
    Sums,
)

_LOOKUPS, _LOOKUP_BYTES = 64, 8 * 2**20  # in flight
_SUM = 2**64


def partition_token(key: RawRow) -> int:
    """The token of a partition key given as raw columns."""
    if len(key) == 1:
        return int(Murmur3Token.hash_fn(key[0]))
    # A composite key is, per column: length, bytes, zero.
    joined = b"".join(len(part or b"").to_bytes(2, "big") + (part or b"") + b"\0" for part in key)
    return int(Murmur3Token.hash_fn(joined))


class Comparison:
    """Compares the two tables of a task over one raw session."""

    def __init__(self, wire: Wire, task: CopyTask) -> None:
        self._wire = wire
        self._task = task
        self.layout = wire.layout(task)
        self.lookup = Lookup(wire.keyspace, task, self.layout)
        self.static_lookup = Lookup(wire.keyspace, task, self.layout, of_statics=True)
        parts = [self.layout.row] + ([self.layout.statics] if self.layout.statics else [])
        self._raised = raiser(parts, dict(task.shown))
        self._also = wire.layout_also(task, task.also) if task.also else None
        self._at_once = max(1, _LOOKUPS >> task.calm)
        self._summed = summed(self.layout, lasting=task.lasting)

    # -- sums ------------------------------------------------------------------------------------

    def sums_of_source(self, ranges: Sequence[Range]) -> Iterator[tuple[Range, Sums]]:
        """Rows and an order-free sum over them, of each range."""
        of, cells = self._summed.of, getter([*self.layout.key_at, *self._summed.places])
        for part, pages in self._wire.chosen(self._task, ranges):
            rows = count = total = 0
            for page in pages:
                found = [digest(its) for row in page.rows if (its := of(cells(row))) is not None]
                rows += self.layout.count(page.of_statics)
                count += len(found)
                total += sum(found)
            yield part, Sums(rows, {part.index: (count, total % _SUM)} if count else {})

    def sums_of_target(self, ranges: Sequence[Range], parts: int) -> Iterator[tuple[Range, Sums]]:
        """The same of the target's rows, by the range of the source that each has come from."""
        source, target, of = self._task.source, self._task.target, self._summed.of
        came_from = {what: name for name, what in self._task.columns}
        bucket = [came_from[name] for name in source.partition_key if name in came_from]
        whole = len(bucket) == len(source.partition_key)
        selected = [*map(quote, bucket), *map(quote, target.key), *self._summed.selected]
        cql = ranged(self._wire.keyspace, target, selected)
        first, last_of_key = len(bucket), len(bucket) + len(target.key) - 1
        for part, pages in self._wire.ranges(cql, self._task, ranges):
            sums: dict[int, tuple[int, int]] = {}
            rows = 0
            for page in pages:
                # A partition of statics alone is no row: what it has of the key is the first part.
                rows += sum(row[last_of_key] is not None for row in page.rows)
                for row in page.rows:
                    if (its := of(row[first:])) is None:
                        continue
                    at = index_of(partition_token(row[:first]), parts) if whole else -1
                    count, total = sums.get(at, (0, 0))
                    sums[at] = (count + 1, (total + digest(its)) % _SUM)
            yield part, Sums(rows, sums)

    # -- row by row ------------------------------------------------------------------------------

    def missing(self, range_: Range, slack: float) -> list[Difference]:
        """The source rows of a range that the target doesn't hold.

        A cell counts as held when the target has it with the same value and write time and a TTL
        that ends within `slack` seconds of it, or has a newer one, or when it has expired or will
        within the slack.
        """
        ours = is_internal(self._task.target.name)  # nobody else writes there
        missing = [
            self.difference(row, what)
            for rows, found, age in self.pairs([range_])
            for row, there in zip(rows, found, strict=True)
            if (what := self.lookup.lacks(row, there, slack + age, same_key=ours))
        ]
        missing += [
            self.difference(row, what)
            for row, there, asked in self.statics([range_])
            if (what := self.static_lookup.lacks(row, there, slack + monotonic() - asked))
        ]
        return missing

    def statics(self, ranges: Sequence[Range]) -> Iterator[tuple[RawRow, RawRow | None, float]]:
        """A row of each partition of the source that has statics, what the target has of them, and
        when it was asked for.
        """
        if self.layout.statics is None:
            return
        for _, pages in self._wire.chosen(self._task, ranges):
            partitions = Partitions(self.layout)
            for page in pages:
                found = list(partitions.of(page).items())
                for first in range(0, len(found), self._at_once):
                    some = found[first : first + self._at_once]
                    there = self._ask(self.static_lookup.cql, [key for key, _ in some])
                    for (_, row), held in zip(some, there, strict=True):
                        yield row, held, page.asked

    def pairs(
        self, ranges: Sequence[Range]
    ) -> Iterator[tuple[list[RawRow], list[RawRow | None], float]]:
        """Source rows, some at a time, the target's rows of the same keys, and the seconds between
        reading the two: a page may have waited until it was time for its rows (pacing.py).
        """
        for _, pages in self._wire.chosen(self._task, ranges):
            for rows, asked in self._groups(pages):
                there = self._look_up(rows)
                yield rows, there, monotonic() - asked

    def _groups(self, pages: Iterator[Page]) -> Iterator[tuple[list[RawRow], float]]:
        """Rows, some at a time, no two with one key in the target; and when they were asked for."""
        for page in pages:
            group: dict[Comparable, RawRow] = {}
            size = 0
            for row in page.rows:
                fate = self.layout.fate(row)
                if fate in (Fate.STATICS, Fate.NOTHING):
                    continue
                key: Comparable = self.layout.key_of(row)
                if fate is Fate.ROW:
                    key = self.layout.target_key.comparable(row)
                if len(group) == self._at_once or size > _LOOKUP_BYTES or key in group:
                    yield list(group.values()), page.asked
                    group, size = {}, 0
                group[key] = row
                size += sum(len(cell) for cell in row if cell)
            if group:
                yield list(group.values()), page.asked

    def _look_up(self, rows: Sequence[RawRow]) -> list[RawRow | None]:
        """The target's rows of the same keys; none where the target can't have such a key."""
        layout = self.layout
        keys = [None if layout.target_key.unfit(row) else layout.target_key.of(row) for row in rows]
        return self._ask(self.lookup.cql, keys)

    def _ask(self, cql: str, keys: Sequence[Key | None]) -> list[RawRow | None]:
        requests: list[Request | None] = []
        for key in keys:
            if key is None:
                requests.append(None)
                continue
            statement = self._wire.bound(cql, key, self._task.consistency)
            requests.append(self._wire.send(statement))
        with failures.of_read():
            return [request.result().one() if request else None for request in requests]

    def difference(self, row: RawRow, what: str) -> Difference:
        """Return what is told of a source row."""
        return Difference(self.layout.shown(row), what, what.endswith(GONE), what == KEYS_GONE)

    # -- moving ----------------------------------------------------------------------------------

    def move_ranges(
        self, ranges: Sequence[Range], slack: float, *, present: bool
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        for part, pages in self._wire.chosen(self._task, ranges):
            moved = left = 0
            for rows, asked in self._groups(pages):
                held = self._moved(rows, asked, slack, present=present)
                self.delete(held)
                moved += len(held)
                left += len(rows) - len(held)
            left += self._move_statics(part, slack)
            yield part, RangeResult(rows=moved, unfit=left)

    def _moved(
        self, rows: Sequence[RawRow], asked: float, slack: float, *, present: bool
    ) -> list[RawRow]:
        """Look, write what may be written, look again; gives what is held now and may be deleted.

        A row that an interrupted run has written, or a part of it, is found there and written once
        more. Another one with its key is a reason to stay even where its cells are newer: it is
        another row.
        """
        layout = self.layout
        rows, own = [self._raised(row) for row in rows], rows
        there = self._look_up(rows)
        written = [
            not layout.target_key.unfit(row) and self._may_write(row, found, present=present)
            for row, found in zip(rows, there, strict=True)
        ]
        window = Window(self._wire, self._task.between, self._task.calm)
        # The second copy first: what is in the table could be dropped with it.
        for into, some in ([(self._also, own)] if self._also else []) + [(layout, rows)]:
            for row in compress(some, written):
                batch = Batch(window, into, self._task)
                batch.put(row, asked, with_marker=not present)
                batch.flush()
            window.drain()
        again = iter(self._look_up(list(compress(rows, written))))
        there = [next(again) if new else found for new, found in zip(written, there, strict=True)]
        return [
            mine
            for mine, row, found in zip(own, rows, there, strict=True)
            if not self._lacks(row, found, slack, alone=not present)
        ]

    def _may_write(self, row: RawRow, found: RawRow | None, *, present: bool) -> bool:
        """Decides whether a row's cells are written to what is there. With `present` they go to a
        row; otherwise there must be none, or a part of just this one: a large row is written in
        parts, and a run can be interrupted between them.
        """
        if found is None or present:
            return (found is not None) == present
        large = sum(len(cell) for cell in row if cell) > REQUEST_BYTES
        return self.lookup.is_part(row, found, large=large)

    def _lacks(self, row: RawRow, there: RawRow | None, slack: float, *, alone: bool) -> str:
        return self.lookup.lacks(row, there, slack, exactly=alone, alone=alone, same_key=alone)

    def _move_statics(self, part: Range, slack: float) -> int:
        """The statics of a range's partitions, whatever has become of their rows; gives how many
        stay. What the target has newer stays newer: one cell is in question, not a row.
        """
        window = Window(self._wire, self._task.between, self._task.calm)
        for row, _, asked in self.statics([part]):
            for into, its in ((self._also, row), (self.layout, self._raised(row))):
                if into:
                    batch = Batch(window, into, self._task)
                    batch.put_statics(its, asked)
                    batch.flush()
                    if into is self._also:
                        window.drain()
        left = 0
        for row, there, _ in self.statics([part]):
            if self.static_lookup.lacks(self._raised(row), there, slack):
                left += 1
            else:
                self._delete_statics(window, row)
        window.drain()
        return left

    def _delete_statics(self, window: Window, row: RawRow) -> None:
        statics, source = self.layout.statics, self._task.source
        if statics is None:
            return
        selector = dict(self._task.columns)
        gone = [name for name, _ in statics.cells] + [many.name for many in statics.many]
        cql = (
            f"DELETE {', '.join(quote(selector[name]) for name in gone)} "
            f"FROM {quote(self._wire.keyspace)}.{quote(source.name)} "
            f"USING TIMESTAMP ? WHERE {where(source.partition_key)}"
        )
        at = self._behind(statics, row, self.layout.newest_static(row))
        window.send([self._wire.bound(cql, [long(at), *self.layout.source_partition_of(row)])])

    def _behind(self, cells: Cells, row: RawRow, newest: int) -> int:
        """The time of the newest cell of a row that the tool has written. A list whose time isn't
        told is less than LATEST_TURN later than that.
        """
        return max(newest, self._task.low_timestamp) + LATEST_TURN * cells.untold_in(row)

    def delete(self, rows: Sequence[RawRow]) -> None:
        """Each at the time of its own newest cell: a later write to that key isn't hidden."""
        source = self._task.source
        cql = (
            f"DELETE FROM {quote(self._wire.keyspace)}.{quote(source.name)} "
            f"USING TIMESTAMP ? WHERE {where(source.key)}"
        )
        window = Window(self._wire, self._task.between, self._task.calm)
        for row in rows:
            at = self._behind(self.layout.row, row, self.layout.newest(row))
            window.send([self._wire.bound(cql, [long(at), *self.layout.key_of(row)])])
        window.drain()
