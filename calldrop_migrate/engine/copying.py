"""Copy and Verify: over the ranges of our own grid, checkpointed, with the lease kept alive in
between.

The engine owns ranges, retries and checkpoints; what happens within a range is the cluster
package's hot loop. The number of ranges is fixed when an operation begins and kept in its "before"
row, so a resumed copy has the same grid. Every write repeats safely: cells carry their original
times. That is why a Verify that finds rows missing copies their range once more before it gives up:
they came while it was copied, or were seen by no quorum, only at ALL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic, time

from calldrop_migrate import commands
from calldrop_migrate.core.carrying import can_tell, elements_of
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.operations import Carried, Copy, Rows, Verify
from calldrop_migrate.core.ranges import Range, grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.balance import Balance
from calldrop_migrate.engine.misfits import Search
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.pacing import Pace
from calldrop_migrate.engine.place import Place
from calldrop_migrate.engine.ports import (
    EXAMPLES,
    Bulk,
    CopyTask,
    Counted,
    Database,
    Difference,
    RangeResult,
    Size,
    Sums,
)
from calldrop_migrate.engine.ranging import By, Do, Ranging
from calldrop_migrate.engine.sameness import see_same
from calldrop_migrate.engine.selecting import Selection, changed, unfit
from calldrop_migrate.engine.spreading import Spread
from calldrop_migrate.errors import RowsAtRisk, Unreachable

TABLE = "migration_progress"
FEWEST_RANGES, MOST_RANGES = 64, 2**17
SMALL = 1000  # rows
CALMEST = 4
_LOOKS = 3
# A run that is killed repeats a range: 3 s of it.
RANGE_BYTES, RANGE_ROWS = 32 * 2**20, 100_000
MOST_SENT = 10_000  # keys
WATCHED = 1.0  # seconds between two looks at the ids of both tables, while rows are carried
SLACK = 60.0  # seconds: clocks, and the time between reading one side and the other
# How often what an operation writes may be sent again; it costs lists as many microseconds.
TURNS = 256
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


class Copier:
    """Runs the Copy and Verify operations of one runner.

    Attributes:
        search: finds the rows that another shape can't hold.
        balance: sees before a DROP that no row is missing.
        most: rows a second that the user allows; None is as fast as it goes.
    """

    def __init__(
        self,
        database: Database,
        between: Callable[[], None],
        emit: Callable[[Progress], None],
        sleep: Callable[[float], None],
        *,
        repaired: bool = False,
        max_rows_per_second: float | None = None,
        spread: Spread | None = None,
    ) -> None:
        self._database = database
        self._spread = spread
        self._ranging = Ranging(between, sleep)
        self._emit = emit
        self.most = max_rows_per_second
        self._pace = Pace(max_rows_per_second, sleep, between)
        self.search = Search(database, self._ranging, emit, self._pace)
        self._final_consistency = "" if repaired else "ALL"
        self._progress = f"{quote(database.bookkeeping)}.{TABLE}"
        self._selection = Selection(self.search, self._final_consistency, self._by)
        self.balance = Balance(self.search, self._final_consistency, between, sleep)
        self._turn, self._last_turn = 0, 0

    def size_of(self, table: Table) -> Size:
        """About how large a table is."""
        return self._database.bulk.size(table, SMALL)

    def parts_for(self, table: Table) -> int:
        """Return how many ranges a table is worth: one if it is so small that its rows come in a
        page.
        """
        size = self.size_of(table)
        if size.exact:
            return 1
        wanted = max(size.bytes // RANGE_BYTES, size.rows // RANGE_ROWS)
        return max(FEWEST_RANGES, min(MOST_RANGES, wanted))

    # -- copy ------------------------------------------------------------------------------------

    def copy(self, operation: Copy, place: Place) -> RangeResult:
        """Copies what is not yet checkpointed.

        Raises:
            MisfitRows: rows that don't fit, and no flag says what to do with them.
            OutcomeUnknown, Unreachable: a range failed several times; the others are checkpointed.
        """
        self._begin(place)
        if operation.rows.moved:
            return self._move(operation, place)
        task = self._selection.narrowed(operation, self._task(operation, place), place)
        if task.only is not None and not task.only:
            return RangeResult()
        finished = self._finished(place)
        total = RangeResult(rows=sum(finished.values()))
        todo = [part for part in grid(place.parts) if part.index not in finished]
        done = len(finished)
        self._emit(Progress(operation.label, done, place.parts, total.rows))  # a rate begins here
        by = self._by(copied, task, place)
        for part, result in self._ranging.over(todo, lambda r: by(self._next_turn(task), r)):
            if result.unfit:
                raise unfit(operation.source.name, result.unfit, result.unfit_examples)
            if result.rows:  # an empty range is read again sooner than it is noted
                self._checkpoint(place, part, result)
            total, done = total + result, done + 1
            self._emit(Progress(operation.label, done, place.parts, total.rows))
        see_same(self._database, place.ids)
        return total

    def _move(self, operation: Copy, place: Place) -> RangeResult:
        task = replace(self._task(operation, place), also=operation.also)
        present = operation.rows is Rows.PRESENT
        total = RangeResult()
        moved = self._ranging.over(
            grid(place.parts),
            lambda r: self._database.bulk.move_ranges(
                self._next_turn(task), r, SLACK, present=present
            ),
        )
        for done, (_, result) in enumerate(moved, 1):
            total += result
            self._emit(Progress(operation.label, done, place.parts, total.rows))
        return total

    def _task(self, operation: Carried, place: Place, consistency: str = "") -> CopyTask:
        return CopyTask(
            *(operation.source, operation.target, operation.columns),
            low_timestamp=LOW_TIMESTAMP,
            consistency=consistency,
            element_times=self._database.platform.element_times,
            between=self._watched(place, WATCHED),
            pace=self._pace,
        )

    def _watched(self, place: Place, seconds: float) -> Callable[[], None]:
        """Return what is called between pages and before writes: it sees every so many seconds that
        both tables are still the same.
        """
        looked = monotonic()

        def between() -> None:
            nonlocal looked
            self._ranging.between()
            if monotonic() - looked >= seconds:
                see_same(self._database, place.ids)
                looked = monotonic()

        return between

    def _by(self, do: Do, task: CopyTask, place: Place) -> By:
        """By whom it is done: this process, or others.

        What is left out is sent with each range, so it has to be little. And a list that is written
        twice at one time is a doubled one.
        """
        sent = len(task.skip) + len(task.only or ())
        lists = any(elements_of(c.type) == "list" for c in task.source.columns)
        if self._spread is not None and place.parts > 1 and sent <= MOST_SENT:
            if lists and self._spread.crew.repeats:
                return self._here(do)
            rows = self.size_of(task.source).rows
            if pool := self._spread.crew.pool(rows, place.parts):
                over, ids, most = self._spread.over, place.ids, self.most
                return lambda task, r, **more: over(pool, do, task, r, ids, most, **more)
        return self._here(do)

    def _here(self, do: Do) -> By:
        return partial(do, self._database.bulk)

    def _begin(self, place: Place) -> None:
        self._turn = place.began * TURNS
        self._last_turn = self._turn + TURNS
        see_same(self._database, place.ids)

    def _next_turn(self, task: CopyTask) -> CopyTask:
        """The task as it is sent once more: what it writes of lists takes the place of all that was
        sent before, by this run or by an earlier one, whichever arrives last (elements.py).
        """
        self._turn += 1
        if self._turn == self._last_turn:
            raise Unreachable(
                f"ranges of {task.source.name} had to be tried again {TURNS} times",
                state="What is done is checkpointed.",
                hint="Run the same command again: it goes on from there.",
            )
        return replace(self._calmed(task), turn=self._turn)

    def _calmed(self, task: CopyTask) -> CopyTask:
        """The task for a server to which it was too much, if it was."""
        return replace(task, calm=min(self._ranging.failed, CALMEST))

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
        self._begin(place)
        consistency = self._final_consistency if operation.final else ""
        task = self._selection.narrowed(operation, self._task(operation, place, consistency), place)
        none = task.only is not None and not task.only
        by = self._by(summed, task, place)
        sums = partial(self._sums, by, task, place.parts, operation.label)
        here = Sums() if none else sums(of_target=False)
        read = sum(count for count, _ in here.by_range.values())
        there = sums(of_target=True, read=read)
        differing = _differing(here, there)
        if differing and operation.final:
            self._selection.see_same(operation, place)
        looked_at = _of(differing, place.parts)
        done = [self._complete(operation, task, part) for part in looked_at]
        # Nobody else writes into a table of ours: what is in it alone was deleted meanwhile.
        exact = operation.final and is_internal(operation.target.name) and not place.emptied
        if exact and differing:
            if not can_tell(operation.source, operation.columns):
                what_lasts = replace(task, lasting=True)
                lasting = partial(self._sums, by, what_lasts, place.parts, operation.label)
                self._see_alike(operation, differing, sums, lasting)
            # What is deleted was read just before: the look between the two must not be an old one.
            strict = replace(task, between=self._watched(place, 0))
            done += self._no_more(operation, strict, differing, place.parts)
        see_same(self._database, place.ids)
        mended, gone = (sum(numbers) for numbers in zip((0, 0), *done, strict=True))
        counted = Counted(here.rows, there.rows, gone, len(task.skip), mended)
        return RangeResult(rows=read, counted=counted)

    def _see_alike(
        self,
        operation: Verify,
        differing: Collection[int],
        sums: Callable[..., Sums],
        lasting: Callable[..., Sums],
    ) -> None:
        """See that what differed doesn't any more, where a row of the target doesn't tell which of
        the source it is.

        A cell may end between reading one side and the other, so it is looked at several times.
        Where the same rows lie in the same ranges, the two are read at once. Where they don't, what
        never ends has to be alike: in a large table something always ends in between.
        """
        chosen = dict(operation.columns)
        partition = tuple(chosen.get(name) for name in operation.target.partition_key)
        in_place = partition == operation.source.partition_key
        for _ in range(_LOOKS):
            only = differing if in_place else None
            here, there = (sums(of_target=of, only=only) for of in (False, True))
            if not (differing := _differing(here, there)):
                return
        if in_place or _differing(*(lasting(of_target=of) for of in (False, True))):
            raise changed(operation)

    def _complete(self, operation: Verify, task: CopyTask, part: Range) -> tuple[int, int]:
        """Proves that a range's rows are in the target; those that aren't are copied once more.
        Gives how many were, and how many somebody has deleted there since.
        """
        self._ranging.between()
        lacked = missing = self._missing(task, part)
        gone = 0
        if missing and operation.mends:
            missing = self._copied_again(task, part)
            if not is_internal(operation.target.name):
                # Written once more at its own time, and still not there: deleted since.
                gone = sum(found.gone for found in missing)
                missing = [found for found in missing if not found.gone]
            elif any(found.may_have_ended for found in missing):
                # What has ended there hides what is written at an earlier time.
                again = self._copied_again(_stamped(task), part)
                missing = [d for d in again if d in missing or not d.may_have_ended]
        if missing:
            raise _differs(operation, f"range {part.index}", missing)
        return len(lacked), gone

    def _copied_again(self, task: CopyTask, part: Range) -> list[Difference]:
        """Copies a range once more; gives what is missing then."""
        again = self._ranging.over(
            [part], lambda r: self._database.bulk.copy_ranges(self._next_turn(task), r)
        )
        for _ in again:
            pass
        return self._missing(task, part)

    def _no_more(
        self, operation: Verify, task: CopyTask, differing: Collection[int], parts: int
    ) -> list[tuple[int, int]]:
        """Deletes of the target what isn't in the source any more, and proves that nothing else
        went with it. Gives for each range what `_complete` does.

        Rows may go on ending in the source alone: what is found then is deleted, too. Of one whose
        cells have ended the times aren't told any more, so a second look deletes at the time it is.
        """

        def strays(task: CopyTask) -> list[Difference]:
            return self._database.bulk.strays(task, differing, parts, SLACK, remove=True)

        if not strays(task):
            return []
        found = strays(_stamped(task))
        if still := set(found).intersection(strays(_stamped(task)) if found else ()):
            raise _differs(operation, "the copy", sorted(still, key=lambda one: one.key))
        return [self._complete(operation, task, part) for part in _of(differing, parts)]

    def _missing(self, task: CopyTask, part: Range) -> list[Difference]:
        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, list[Difference]]]:
            for one in ranges:
                yield one, self._database.bulk.missing(self._calmed(task), one, SLACK)

        return next(found for _, found in self._ranging.over([part], look))

    def _sums(
        self,
        by: By,
        task: CopyTask,
        parts: int,
        label: str,
        *,
        of_target: bool,
        read: int = 0,
        only: Collection[int] | None = None,
    ) -> Sums:
        ranges = [part for part in grid(parts) if only is None or part.index in only]
        sums: dict[int, tuple[int, int]] = {}
        shown, rows = read, 0
        found = self._ranging.over(
            ranges, lambda r: by(self._calmed(task), r, parts=parts, of_target=of_target)
        )
        for done, (_, some) in enumerate(found, 1 + (parts if of_target else 0)):
            rows += some.rows
            for bucket, (count, total) in some.by_range.items():
                have = sums.get(bucket, (0, 0))
                sums[bucket] = (have[0] + count, (have[1] + total) % 2**64)
                shown += count
            # Each row is read twice, once on either side.
            self._emit(Progress(label, done, 2 * parts, shown // 2))
        return Sums(rows, sums)


def copied(
    bulk: Bulk, task: CopyTask, ranges: Sequence[Range]
) -> Iterator[tuple[Range, RangeResult]]:
    """`Bulk.copy_ranges`, as something to do."""
    return bulk.copy_ranges(task, ranges)


def summed(
    bulk: Bulk, task: CopyTask, ranges: Sequence[Range], *, parts: int, of_target: bool
) -> Iterator[tuple[Range, Sums]]:
    """`Bulk.sum_ranges`, as something to do."""
    return bulk.sum_ranges(task, ranges, parts, of_target=of_target)


def _stamped(task: CopyTask) -> CopyTask:
    """The same, where what has no time of its own takes the present one: in a table of ours."""
    return replace(task, low_timestamp=int(time() * 1_000_000))


def _differing(one: Sums, other: Sums) -> set[int]:
    """The buckets whose rows have to be looked at; -1, for all, if the target can't be split."""
    here, there = one.by_range, other.by_range
    if -1 not in there:
        return {at for at in {*here, *there} if here.get(at) != there.get(at)}
    rows, total = (sum(side) for side in zip(*(here or {-1: (0, 0)}).values(), strict=True))
    return {-1} if (rows, total % 2**64) != there[-1] else set()


def _of(differing: Collection[int], parts: int) -> Iterator[Range]:
    """The ranges of these buckets."""
    return (part for part in grid(parts) if part.index in differing or -1 in differing)


def _differs(operation: Verify, where: str, found: list[Difference]) -> RowsAtRisk:
    lines = "".join(f"\n      {d.key}: {d.what}" for d in found[:EXAMPLES])
    return RowsAtRisk(
        f"{operation.target.name} does not hold {operation.source.name} as it is: "
        f"{len(found):,} rows of {where} differ{lines}",
        state="Nothing was dropped.",
        hint=(
            "Is somebody writing to the table? Stop the writers, then run the same command again."
            f" If it says the same then, begin anew:  {commands.abort()}"
        )
        if operation.mends
        else (
            "Rows deleted since can't be told from lost ones. If they were:"
            f"  {commands.clean_discarding()}"
        ),
    )
