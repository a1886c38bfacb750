"""Proves that what one table holds is in another, and moves single rows: the reading side of
wire.py.

Two steps (PROTOCOLS.md 6). Sums per bucket over both sides, where the bucket is the range of the
*source's* partition key, because a row's own token changes with its partition key. Then, only in
buckets that differ, every source row is looked up by its key: cells expire between two reads, and a
later write may have superseded one, so a difference of sums alone proves nothing.

In the sums are the target's key, its cells, and the write times of those that are cells on both
sides. TTLs are left out, because they run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import compress

from cassandra.metadata import Murmur3Token

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.layout import (
    Layout,
    RawRow,
    by_key,
    getter,
    long,
    number,
    ranged,
    show_key,
)
from calldrop_migrate.cluster.wire import Batch, Page, Request, Window, Wire
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import Range, index_of
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import CopyTask, Difference, Key, RangeResult, Sums

_LOOKUPS = 64  # in flight
_SUM = 2**64
_GONE = "is not there"
_ABSENT = b"\xff\xff\xff\xff"


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
        self.lookup = Lookup(wire.keyspace, task.target, self.layout)

    # -- sums ------------------------------------------------------------------------------------

    def sums_of_source(self, ranges: Sequence[Range]) -> Iterator[tuple[Range, Sums]]:
        """Rows and an order-free sum over them, of each range."""
        layout = self.layout
        times = [layout.written_at[name] for name in _summed(layout)]
        cells = getter([*layout.key_at, *(at for _, at in layout.cells), *times])
        for part, pages in self._wire.chosen(self._task, ranges):
            count = total = 0
            for page in pages:
                count += len(page.rows)
                total += sum(_digest(cells(row)) for row in page.rows)
            yield part, {part.index: (count, total % _SUM)} if count else {}

    def sums_of_target(self, ranges: Sequence[Range], parts: int) -> Iterator[tuple[Range, Sums]]:
        """The same of the target's rows, by the range of the source that each has come from."""
        source, target, layout = self._task.source, self._task.target, self.layout
        came_from = {what: name for name, what in self._task.columns}
        bucket = [came_from[name] for name in source.partition_key if name in came_from]
        whole = len(bucket) == len(source.partition_key)
        selected = [*map(quote, bucket), *map(quote, target.key)]
        selected += [quote(name) for name, _ in layout.cells]
        selected += [f"WRITETIME({quote(name)})" for name in _summed(layout)]
        cql = ranged(self._wire.keyspace, target, selected)
        first = len(bucket)
        for part, pages in self._wire.ranges(cql, self._task, ranges):
            sums: dict[int, tuple[int, int]] = {}
            for page in pages:
                for row in page.rows:
                    at = index_of(partition_token(row[:first]), parts) if whole else -1
                    count, total = sums.get(at, (0, 0))
                    sums[at] = (count + 1, (total + _digest(row[first:])) % _SUM)
            yield part, sums

    # -- row by row ------------------------------------------------------------------------------

    def missing(self, range_: Range, slack: float) -> list[Difference]:
        """The source rows of a range that the target doesn't hold.

        A cell counts as held when the target has it with the same value and write time and a TTL
        that ends within `slack` seconds of it, or has a newer one, or when it has expired or will
        within the slack.
        """
        return [
            self.difference(row, what)
            for rows, found in self.pairs([range_])
            for row, there in zip(rows, found, strict=True)
            if (what := self.lookup.lacks(row, there, slack))
        ]

    def pairs(self, ranges: Sequence[Range]) -> Iterator[tuple[list[RawRow], list[RawRow | None]]]:
        """Source rows, some at a time, and the target's rows of the same keys."""
        for _, pages in self._wire.chosen(self._task, ranges):
            for rows, _ in self._groups(pages):
                yield rows, self._look_up(rows)

    def _groups(self, pages: Iterator[Page]) -> Iterator[tuple[list[RawRow], float]]:
        """Rows, some at a time, no two with one key in the target; and when they were asked for."""
        for page in pages:
            group: dict[Key, RawRow] = {}
            for row in page.rows:
                key = self.layout.target_key_of(row)
                if len(group) == _LOOKUPS or key in group:
                    yield list(group.values()), page.asked
                    group = {}
                group[key] = row
            if group:
                yield list(group.values()), page.asked

    def _look_up(self, rows: Sequence[RawRow]) -> list[RawRow | None]:
        """The target's rows of the same keys; none where the target's key would have a null."""
        requests: list[Request | None] = []
        for row in rows:
            key = self.layout.target_key_of(row)
            if None in key:
                requests.append(None)
                continue
            statement = self._wire.bound(self.lookup.cql, key, self._task.consistency)
            requests.append(self._wire.send(statement))
        with failures.of_read():
            return [request.result().one() if request else None for request in requests]

    def difference(self, row: RawRow, what: str) -> Difference:
        """What is told of a source row."""
        source = self._task.source
        types = [c.type for name in source.key if (c := source.column(name))]
        return Difference(show_key(types, self.layout.key_of(row)), what, what.endswith(_GONE))

    # -- moving ----------------------------------------------------------------------------------

    def move_ranges(
        self, ranges: Sequence[Range], slack: float, *, present: bool
    ) -> Iterator[tuple[Range, RangeResult]]:
        """See `Bulk`."""
        for part, pages in self._wire.chosen(self._task, ranges):
            moved = stay = 0
            for rows, asked in self._groups(pages):
                held = self._move(rows, asked, slack, present=present)
                moved += held
                stay += len(rows) - held
            yield part, RangeResult(rows=moved, unfit=stay)

    def _move(self, rows: Sequence[RawRow], asked: float, slack: float, *, present: bool) -> int:
        """Look, write what may be written, look again, and delete what is held now; gives how many.

        A row that an interrupted run has already written is found there, exactly so, and only
        deleted. Another one with its key is a reason to stay even where its cells are newer: it is
        another row.
        """
        layout = self.layout
        there = self._look_up(rows)
        written = [
            None not in layout.target_key_of(row) and (found is not None) == present
            for row, found in zip(rows, there, strict=True)
        ]
        window = Window(self._wire, self._task.between)
        for row in compress(rows, written):
            batch = Batch(window)
            low = self._task.low_timestamp
            batch.put(layout, row, asked, low, with_marker=not present)
            batch.flush()
        window.drain()
        again = iter(self._look_up(list(compress(rows, written))))
        there = [next(again) if new else found for new, found in zip(written, there, strict=True)]
        held = [
            row
            for row, found in zip(rows, there, strict=True)
            if not self.lookup.lacks(row, found, slack, exactly=not present, alone=not present)
        ]
        self.delete(held)
        return len(held)

    def delete(self, rows: Sequence[RawRow]) -> None:
        """Each at the time of its own newest cell: a later write to that key isn't hidden."""
        source = self._task.source
        cql = (
            f"DELETE FROM {quote(self._wire.keyspace)}.{quote(source.name)} "
            f"USING TIMESTAMP ? WHERE {by_key(source)}"
        )
        window = Window(self._wire, self._task.between)
        for row in rows:
            at = max(self.layout.newest(row), self._task.low_timestamp)
            window.send(self._wire.bound(cql, [long(at), *self.layout.key_of(row)]))
        window.drain()


class Lookup:
    """One target row by its key, and whether it holds a source row."""

    def __init__(self, keyspace: str, target: Table, layout: Layout) -> None:
        self._layout = layout
        selected: list[str] = []
        self._value_at: dict[str, int] = {}
        for name, _ in layout.cells:
            self._value_at[name] = len(selected)
            selected.append(quote(name))
            if name in layout.timed:
                selected += [f"WRITETIME({quote(name)})", f"TTL({quote(name)})"]
        self.cql = (
            f"SELECT {', '.join(selected or map(quote, target.key))} "
            f"FROM {quote(keyspace)}.{quote(target.name)} WHERE {by_key(target)}"
        )

    def extra(self, row: RawRow, there: RawRow) -> list[str]:
        """The timed columns that a source row has and the target's row hasn't."""
        return [
            name
            for name, at in self._layout.cells
            if name in self._layout.timed
            and row[at] is not None
            and there[self._value_at[name]] is None
        ]

    def lacks(
        self,
        row: RawRow,
        there: RawRow | None,
        slack: float,
        *,
        exactly: bool = False,
        alone: bool = False,
    ) -> str:
        """What of a source row the target's row doesn't hold, in words; empty if it holds
        everything.

        Unless `exactly`, a cell is held, too, where the target has a newer one; if it shall stand
        `alone`, cells more than those are a difference.
        """
        layout = self._layout
        stays = layout.outlives(row, slack)
        if None in layout.target_key_of(row):
            return "has a null in the target's key"
        if there is None:
            return _GONE if stays else ""
        for name, at in layout.cells:
            same = there[self._value_at[name]] == row[at]
            if name in layout.timed:
                more = alone and row[at] is None and there[self._value_at[name]] is not None
                what = "is there" if more else self._differs(name, row, there, slack, same, exactly)
            else:
                what = "has another value" if stays and not same else ""
            if what:
                return f"{name} {what}"
        return ""

    def _differs(
        self, name: str, row: RawRow, there: RawRow, slack: float, same: bool, exactly: bool
    ) -> str:
        written, ttl = self._layout.times(row, name)
        have, have_ttl = self._times(name, there)
        if written is None:
            return ""
        if ttl is not None and ttl <= slack and (have is None or have == written):
            return ""
        if have is not None and have > written and not exactly:
            return ""
        if have is None:
            return _GONE
        if have != written or not same:
            return "is not the same cell"
        if (ttl is None) != (have_ttl is None) or abs((ttl or 0) - (have_ttl or 0)) > slack:
            return "does not live as long"
        return ""

    def _times(self, name: str, there: RawRow) -> tuple[int | None, int | None]:
        at = self._value_at[name]
        return number(there[at + 1]), number(there[at + 2])


def _summed(layout: Layout) -> list[str]:
    """The cells whose write times are in the sums: those that have one on both sides."""
    return [name for name, _ in layout.cells if name in layout.timed]


def _digest(cells: Sequence[bytes | None]) -> int:
    packed = [_ABSENT if c is None else len(c).to_bytes(4, "big") + c for c in cells]
    return int.from_bytes(blake2b(b"".join(packed), digest_size=8).digest(), "big")
