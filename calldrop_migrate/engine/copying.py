"""Copy and Verify: over the ranges of our own grid, checkpointed, with the lease kept alive in
between.

The engine owns ranges, retries and checkpoints; what happens within a range is the cluster
package's hot loop. The number of ranges is fixed when an operation begins and kept in its "before"
row, so a resumed copy has the same grid. Every write repeats safely: cells carry their original
times. That is why a Verify that finds rows missing copies their range once more before it gives up:
they came while it was copied, or were seen by no quorum, only at ALL.

Which rows of a table don't fit is found once per attempt and kept for its four operations on them:
"the newest of a group" can change by the mere passing of time, when a cell expires, and a row that
is neither put aside nor copied is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from calldrop_migrate.core.carrying import (
    can_collide,
    can_misfit,
    identity,
    nullable,
    shared_columns,
)
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.operations import Carried, Copy, Pairs, Rows, Verify
from calldrop_migrate.core.ranges import Range, grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import (
    CopyTask,
    Database,
    Difference,
    Key,
    RangeResult,
    Sums,
)
from calldrop_migrate.errors import MisfitRows, OutcomeUnknown, RowsAtRisk, Unreachable

T = TypeVar("T")

TABLE = "migration_progress"
FEWEST_RANGES = 64
RANGE_BYTES = 32 * 2**20
SLACK = 60.0  # seconds: clocks, and the time between reading one side and the other
TRIES = 5
EXAMPLES = 5
# Rows of keys alone have a write time that nothing can read; theirs becomes this one, below every
# other.
LOW_TIMESTAMP = 1


def create_table(keyspace: str) -> str:
    """CQL of the table of finished ranges."""
    return f"""CREATE TABLE IF NOT EXISTS {quote(keyspace)}.{TABLE} (
    attempt uuid,
    operation int,
    range int,
    rows bigint,
    bytes bigint,
    PRIMARY KEY (attempt, operation, range)
)"""


@dataclass(frozen=True, slots=True)
class Misfits:
    """Rows of a table that another shape can't hold.

    Attributes:
        nulls: rows with a null for a column of the target's key.
        collisions: rows beyond the newest one of each group with one target key.
        examples: lines for people, a few.
        keys: of all of them, as the server's bytes.
    """

    table: str
    nulls: int = 0
    collisions: int = 0
    examples: tuple[str, ...] = ()
    keys: frozenset[Key] = field(default=frozenset(), repr=False)

    @property
    def count(self) -> int:
        """Rows that don't fit."""
        return self.nulls + self.collisions


@dataclass(frozen=True, slots=True)
class Place:
    """Which operation of which attempt: the key of its checkpoints.

    Attributes:
        parts: how many ranges its grid has.
        aside: the attempt's operation that puts aside the rows that don't fit, if it has one.
    """

    attempt: UUID
    operation: int
    parts: int
    aside: Copy | None = None


class Copier:
    """Runs the Copy and Verify operations of one runner.

    `between` is called between ranges and between the pages of one: it renews the lease, and raises
    when it is lost or when the user interrupts.
    """

    def __init__(
        self,
        database: Database,
        between: Callable[[], None],
        emit: Callable[[Progress], None],
        sleep: Callable[[float], None],
        *,
        repaired: bool = False,
    ) -> None:
        self._database = database
        self._between = between
        self._emit = emit
        self._sleep = sleep
        self._final_consistency = "" if repaired else "ALL"
        self._progress = f"{quote(database.keyspace)}.{TABLE}"
        self._known: dict[tuple[UUID, str], Misfits] = {}

    def parts_for(self, table: str) -> int:
        """How many ranges a table is worth, by the server's estimate of its size."""
        _, size = self._database.estimate(table)
        return max(FEWEST_RANGES, min(65_536, size // RANGE_BYTES))

    def _over(
        self,
        ranges: Iterable[Range],
        work: Callable[[Sequence[Range]], Iterator[tuple[Range, T]]],
    ) -> Iterator[tuple[Range, T]]:
        """Work on ranges, each of which may be repeated: timeouts pass."""
        left = {part.index: part for part in ranges}
        tries = 0
        while left:
            try:
                for part, result in work(list(left.values())):
                    yield part, result
                    del left[part.index]
                    tries = 0
                    self._between()
            except (OutcomeUnknown, Unreachable):
                tries += 1
                if tries == TRIES:
                    raise
                self._between()
                self._sleep(0.5 * 2**tries)

    # -- copy ------------------------------------------------------------------------------------

    def copy(self, operation: Copy, place: Place) -> RangeResult:
        """Copies what is not yet checkpointed.

        Raises:
            MisfitRows: rows that don't fit, and no flag says what to do with them.
            OutcomeUnknown, Unreachable: a range failed several times; the others are checkpointed.
        """
        if operation.rows.moved:
            return self._move(operation, place)
        task = self._selected(operation, self._task(operation), place)
        if task.only is not None and not task.only:
            return RangeResult()
        finished = self._finished(place)
        total = RangeResult(rows=sum(finished.values()))
        todo = [part for part in grid(place.parts) if part.index not in finished]
        done = len(finished)
        for part, result in self._over(todo, lambda r: self._database.bulk.copy_ranges(task, r)):
            if result.unfit:
                raise _unfit(operation.source.name, result.unfit)
            if result.rows:  # an empty range is read again sooner than it is noted
                self._checkpoint(place, part, result)
            total, done = _sum(total, result), done + 1
            self._emit(Progress(operation.label, done, place.parts, total.rows))
        return total

    def _move(self, operation: Copy, place: Place) -> RangeResult:
        task, present = self._task(operation), operation.rows is Rows.PRESENT
        total = RangeResult()
        moved = self._over(
            grid(place.parts),
            lambda r: self._database.bulk.move_ranges(task, r, SLACK, present=present),
        )
        for done, (_, result) in enumerate(moved, 1):
            total = _sum(total, result)
            self._emit(Progress(operation.label, done, place.parts, total.rows))
        return total

    def _task(self, operation: Carried, consistency: str = "") -> CopyTask:
        return CopyTask(
            *(operation.source, operation.target, operation.columns),
            low_timestamp=LOW_TIMESTAMP,
            consistency=consistency,
            between=self._between,
        )

    def _selected(self, operation: Carried, task: CopyTask, place: Place) -> CopyTask:
        """The task narrowed to the rows that fit, or to those that don't."""
        source, fits, columns = operation.source, operation.fits, operation.fit_columns
        if fits is None or not can_misfit(source, fits, columns):
            return task
        if operation.rows is Rows.ALL and not can_collide(source, fits, columns):
            return task  # a null key shows in the copy itself
        misfits = self._misfits_of(operation, fits, place)
        match operation.rows:
            case Rows.ALL if misfits.count:
                raise _unfit(source.name, misfits.count, misfits.examples)
            case Rows.FITS:
                return replace(task, skip=misfits.keys)
            case Rows.MISFITS:
                return replace(task, only=misfits.keys)
        return task

    def _finished(self, place: Place) -> dict[int, int]:
        rows = self._database.query(
            f"SELECT range, rows FROM {self._progress} WHERE attempt = ? AND operation = ?",
            [place.attempt, place.operation],
        )
        return {row["range"]: row["rows"] for row in rows}

    def _checkpoint(self, place: Place, part: Range, result: RangeResult) -> None:
        self._database.write(
            f"INSERT INTO {self._progress} (attempt, operation, range, rows, bytes) "
            "VALUES (?, ?, ?, ?, ?)",
            [place.attempt, place.operation, part.index, result.rows, result.bytes],
        )

    # -- verify ----------------------------------------------------------------------------------

    def verify(self, operation: Verify, place: Place) -> RangeResult:
        """Proves that every cell of the source's rows is in the target.

        Raises:
            RowsAtRisk: it isn't; nothing may be dropped.
        """
        consistency = self._final_consistency if operation.final else ""
        task = self._selected(operation, self._task(operation, consistency), place)
        return self._prove(operation, task, place.parts)

    def _prove(self, operation: Copy | Verify, task: CopyTask, parts: int) -> RangeResult:
        if task.only is not None and not task.only:
            return RangeResult()
        here = self._sums(task, parts, operation.label, of_target=False)
        there = self._sums(task, parts, operation.label, of_target=True)
        for part in (part for part in grid(parts) if _suspicious(part.index, here, there)):
            self._between()
            if self._missing(task, part):
                for _ in self._over([part], lambda r: self._database.bulk.copy_ranges(task, r)):
                    pass
                if missing := self._missing(task, part):
                    raise _differs(operation, part, missing)
        return RangeResult(rows=sum(count for count, _ in here.values()))

    def _missing(self, task: CopyTask, part: Range) -> list[Difference]:
        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, list[Difference]]]:
            for one in ranges:
                yield one, self._database.bulk.missing(task, one, SLACK)

        return next(found for _, found in self._over([part], look))

    def _sums(self, task: CopyTask, parts: int, label: str, *, of_target: bool) -> Sums:
        sums: dict[int, tuple[int, int]] = {}
        rows = 0
        found = self._over(
            grid(parts),
            lambda r: self._database.bulk.sum_ranges(task, r, parts, of_target=of_target),
        )
        for done, (_, some) in enumerate(found, 1 + (parts if of_target else 0)):
            for bucket, (count, total) in some.items():
                have = sums.get(bucket, (0, 0))
                sums[bucket] = (have[0] + count, (have[1] + total) % 2**64)
                rows += count
            self._emit(Progress(label, done, 2 * parts, rows))
        return sums

    # -- misfits ---------------------------------------------------------------------------------

    def _misfits_of(self, operation: Carried, fits: Table, place: Place) -> Misfits:
        at = (place.attempt, operation.source.name)
        if at not in self._known:
            if operation.rows is Rows.FITS and place.aside is not None:
                self._known[at] = self._already_aside(place.aside, fits, place.parts)
            else:
                self._known[at] = self.misfits(
                    *(operation.source, fits, operation.fit_columns, place.parts),
                    consistency=self._final_consistency,
                )
        return self._known[at]

    def _already_aside(self, aside: Copy, fits: Table, parts: int) -> Misfits:
        """The misfits of an attempt that goes on after another run put them aside.

        Of a group the rows that are aside stay so, whichever is the newest by now; and that all of
        them are is proven again.
        """
        kept, consistency = aside.target, self._final_consistency
        task = CopyTask(
            *(kept, kept, identity(kept.key)), consistency=consistency, between=self._between
        )

        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, set[Key]]]:
            for part, keys in self._database.bulk.keys_of_ranges(task, ranges, times=False):
                yield part, {key for key, _, _ in keys}

        held = set().union(*(keys for _, keys in self._over(grid(parts), look)))
        found = self.misfits(
            *(aside.source, fits, aside.fit_columns, parts), held=held, consistency=consistency
        )
        self._prove(aside, replace(self._task(aside, consistency), only=found.keys), parts)
        return found

    def misfits(
        self,
        source: Table,
        target: Table,
        columns: Pairs,
        parts: int,
        *,
        held: Collection[Key] = (),
        consistency: str = "",
    ) -> Misfits:
        """The rows of `source` that a table in the shape of `target` couldn't hold.

        Of rows with one target key the newest fits (by its newest cell, then by key; one of `held`
        only if all are), the others don't. A first scan reads keys alone and remembers of each no
        more than a hash; only where one came twice the keys and times themselves are read.
        """
        if not can_misfit(source, target, columns):
            return Misfits(source.name)
        pairs = columns or shared_columns(source, target)
        task = CopyTask(source, target, pairs, consistency=consistency, between=self._between)
        nulls, repeated = self._scan(task, parts)
        beaten: list[tuple[Key, Key]] = []
        for group in self._groups(task, parts, repeated):
            best = max(group, key=_rank(group, held))
            beaten += [(key, best) for key in group if key != best]
        names = ", ".join(nullable(source, target, columns))
        show = self._database.bulk.show_key
        examples = [f"{show(source, key)}  ({names} is null)" for key in nulls[:EXAMPLES]]
        examples += [
            f"{show(source, key)}  (newer: {show(source, best)})" for key, best in beaten[:EXAMPLES]
        ]
        keys = frozenset([*nulls, *(key for key, _ in beaten)])
        return Misfits(source.name, len(nulls), len(beaten), tuple(examples), keys)

    def _scan(self, task: CopyTask, parts: int) -> tuple[list[Key], dict[int, set[int]]]:
        """Rows with a null in the target's key, and by range the hashes of keys that came twice
        there.

        Rows with one target key lie in one partition, and so in one range, unless a column of the
        partition key leaves the key: then all ranges share what they have seen, as range -1.
        """
        collide = can_collide(task.source, task.target, task.columns)
        local = _is_local(task)
        seen: set[int] = set()

        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, tuple[list[Key], set[int]]]]:
            for part, keys in self._database.bulk.keys_of_ranges(task, ranges, times=False):
                if local:
                    seen.clear()
                nulls: list[Key] = []
                twice: set[int] = set()
                for key, wanted, _ in keys:
                    if None in wanted:
                        nulls.append(key)
                    elif collide:
                        mark = hash(wanted)
                        (twice if mark in seen else seen).add(mark)
                yield part, (nulls, twice)

        without: list[Key] = []
        repeated: dict[int, set[int]] = {}
        label = f"look for rows of {task.source.name} that do not fit"
        for done, (part, (nulls, twice)) in enumerate(self._over(grid(parts), look), 1):
            without += nulls
            if twice:
                repeated.setdefault(part.index if local else -1, set()).update(twice)
            self._emit(Progress(label, done, parts, 0))
        return without, repeated

    def _groups(
        self, task: CopyTask, parts: int, repeated: Mapping[int, set[int]]
    ) -> Iterator[Mapping[Key, int]]:
        """Groups of several rows with one target key: newest write time by source key."""
        everywhere = repeated.get(-1, set())

        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, list[tuple[Key, Key, int]]]]:
            for part, keys in self._database.bulk.keys_of_ranges(task, ranges, times=True):
                marks = repeated.get(part.index, everywhere)
                yield part, [one for one in keys if hash(one[1]) in marks]

        groups: dict[Key, dict[Key, int]] = {}
        todo = [part for part in grid(parts) if everywhere or part.index in repeated]
        for _, found in self._over(todo, look):
            for key, wanted, newest in found:
                groups.setdefault(wanted, {})[key] = newest
        return (group for group in groups.values() if len(group) > 1)


def _is_local(task: CopyTask) -> bool:
    """Whether rows with one target key lie in one partition of the source."""
    chosen = dict(task.columns)
    return set(task.source.partition_key) <= {chosen[name] for name in task.target.key}


def _rank(group: Mapping[Key, int], held: Collection[Key]) -> Callable[[Key], Any]:
    """Which of a group is kept: the highest."""
    return lambda key: (key not in held, group[key], tuple(part or b"" for part in key))


def _suspicious(bucket: int, here: Sums, there: Sums) -> bool:
    """Whether the rows of a bucket have to be looked at: all, if the target can't be split."""
    if bucket not in here:
        return False
    if -1 not in there:
        return here[bucket] != there.get(bucket)
    rows, total = (sum(side) for side in zip(*here.values(), strict=True))
    return (rows, total % 2**64) != there[-1]


def _sum(one: RangeResult, other: RangeResult) -> RangeResult:
    return RangeResult(
        one.rows + other.rows,
        one.bytes + other.bytes,
        one.bare + other.bare,
        one.unfit + other.unfit,
    )


def _unfit(table: str, count: int, examples: Iterable[str] = ()) -> MisfitRows:
    lines = "".join(f"\n      {example}" for example in examples)
    return MisfitRows(
        f"{table}: {count:,} rows do not fit into the new shape{lines}",
        state="Nothing was dropped; the shadow table that was begun stays until the next attempt.",
        hint="--set-aside keeps them in a table beside it, --discard-rows deletes them.",
    )


def _differs(operation: Copy | Verify, part: Range, missing: list[Difference]) -> RowsAtRisk:
    lines = "".join(f"\n      {d.key}: {d.what}" for d in missing[:EXAMPLES])
    return RowsAtRisk(
        f"{operation.target.name} does not hold all of {operation.source.name}: "
        f"{len(missing):,} rows of range {part.index} (tokens {part.low} to {part.high}) "
        f"differ{lines}",
        state="Nothing was dropped.",
        hint="Is somebody writing to the table? Stop the writers, then run the same command again.",
    )
