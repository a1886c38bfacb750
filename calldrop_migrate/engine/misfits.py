"""Searches a whole table: for rows that another shape can't hold (with a null for its key, with a
key that the server refuses, or with the key of a newer row), and for how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from calldrop_migrate.core.carrying import (
    can_collide,
    can_collide_across,
    can_misfit,
    identity,
    shared_columns,
)
from calldrop_migrate.core.lives import Lives
from calldrop_migrate.core.operations import Copy, Pairs
from calldrop_migrate.core.ranges import Range, grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import (
    EXAMPLES,
    NULL,
    Bulk,
    Comparable,
    CopyTask,
    Database,
    Effort,
    Key,
    Keyed,
    RangeResult,
)
from calldrop_migrate.engine.ranging import By, Do, Look, Ranging, T

Unfit = list[tuple[Key, str]]  # source keys, and why there is none in the target
Groups = dict[Comparable, dict[Key, int]]  # by target key: the newest write time by source key


@dataclass(frozen=True, slots=True)
class Misfits:
    """Rows of a table that another shape can't hold.

    Attributes:
        nulls: rows with a null for a column of the target's key.
        refused: rows whose key there the server would refuse.
        collisions: rows beyond the newest one of each group with one target key.
        examples: lines for people, a few.
        keys: of all of them, as the server's bytes.
    """

    table: str
    nulls: int = 0
    refused: int = 0
    collisions: int = 0
    examples: tuple[str, ...] = ()
    keys: frozenset[Key] = field(default=frozenset(), repr=False)

    @property
    def count(self) -> int:
        """Rows that don't fit."""
        return self.nulls + self.refused + self.collisions


@dataclass(frozen=True, slots=True)
class Survey:
    """The findings of reading a whole table once, as a copy does.

    Attributes:
        rows: exact, at the moment of reading.
        bytes: of keys, values and times as they were read.
        seconds: that the reading took, at the pace that was set.
        parts: ranges that it was read in.
        effort: of reading it, and of writing it into its target.
        ending: rows that have only cells that end, written by more than one statement. After a
            rebuild such a row ends with the last of them, also where it would have stayed.
        examples: keys of a few of these, for people.
    """

    table: str
    rows: int
    bytes: int
    seconds: float
    parts: int
    effort: Effort
    ending: int = 0
    examples: tuple[str, ...] = ()


class Search:
    """Reads whole tables of one database: finds misfits, counts rows."""

    def __init__(
        self,
        database: Database,
        ranging: Ranging,
        emit: Callable[[Progress], None],
        pace: Callable[[int], None],
    ) -> None:
        self._database = database
        self._ranging = ranging
        self._emit = emit
        self._pace = pace

    @property
    def _bulk(self) -> Bulk:
        return self._database.bulk

    def _task(self, source: Table, target: Table, pairs: Pairs, consistency: str = "") -> CopyTask:
        return CopyTask(
            *(source, target, pairs),
            consistency=consistency,
            element_times=self._database.platform.element_times,
            between=self._ranging.between,
            pace=self._pace,
        )

    def count(
        self, source: Table, target: Table, columns: Pairs, parts: int, consistency: str
    ) -> Lives:
        """Return how many rows of a table are rows for another one, and how many of them end; for
        itself, how many it has.
        """
        task = self._task(source, target, columns, consistency)
        ranges = self._ranging.over(grid(parts), lambda r: self._bulk.count_ranges(task, r))
        total = Lives()
        for done, (_, found) in enumerate(ranges, 1):
            total += found
            self._emit(Progress(f"count {source.name}", done, parts, total.rows))
        return total

    def survey(
        self, source: Table, parts: int, target: Table | None = None, columns: Pairs = ()
    ) -> Survey:
        """Counts a table's rows and measures how fast they are read.

        Args:
            source: the table as it is now.
            parts: ranges to read it in.
            target, columns: what it is going to be copied into, if it is.

        Raises:
            OutcomeUnknown, Unreachable, StatementRefused: it can't be read.
        """
        pairs = columns or identity(c.name for c in source.columns)
        task = self._task(source, target or source, pairs)
        began, total = monotonic(), RangeResult()
        ranges = self._ranging.over(grid(parts), lambda r: self._bulk.survey_ranges(task, r))
        for done, (_, found) in enumerate(ranges, 1):
            total += found
            self._emit(Progress(f"count {source.name}", done, parts, total.rows))
        seconds, examples = monotonic() - began, total.ending_examples
        return Survey(
            *(source.name, total.rows, total.bytes, seconds, parts, total.effort),
            *(total.ending, examples),
        )

    def held(self, aside: Copy, parts: int) -> set[Key]:
        """The rows that an earlier run of the attempt put aside: they stay so, whichever of a group
        is the newest by now.
        """
        kept = aside.target
        task = self._task(kept, kept, identity(kept.key))

        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, set[Key]]]:
            for part, keys in self._bulk.keys_of_ranges(task, ranges, times=False):
                yield part, {key for key, *_ in keys}

        return set[Key]().union(*(keys for _, keys in self._ranging.over(grid(parts), look)))

    def find(
        self,
        source: Table,
        target: Table,
        columns: Pairs,
        parts: int,
        *,
        held: Collection[Key] = (),
        consistency: str = "",
        by: Callable[[Do, CopyTask], By] | None = None,
    ) -> Misfits:
        """The rows of `source` that a table in the shape of `target` couldn't hold.

        Of rows with one target key the newest fits (by its newest cell, then by key; one of `held`
        only if all are), the others don't. A first scan reads keys alone and remembers of each no
        more than a hash; only where one came twice the keys and times themselves are read.

        Rows with one target key lie in one partition, and so in one range, unless a column of the
        partition key leaves the key. Then each range is looked at for itself, by whom `by` gives;
        else by this process, which has seen all of them.
        """
        if not can_misfit(source, target, columns):
            return Misfits(source.name)
        pairs = columns or shared_columns(source, target)
        task = self._task(source, target, pairs, consistency)
        across = can_collide_across(source, target, pairs)
        look = self._all_ranges if across else self._each_range
        unfit, groups = look(task, parts, by or self._here)
        beaten: list[tuple[Key, Key]] = []
        for group in groups.values():
            best = max(group, key=_rank(group, held))
            beaten += [(key, best) for key in group if key != best]
        show = self._bulk.show_key
        examples = [f"{show(source, key)}  ({why})" for key, why in unfit[:EXAMPLES]]
        examples += [
            f"{show(source, key)}  (newer: {show(source, best)})" for key, best in beaten[:EXAMPLES]
        ]
        keys = frozenset(key for key, _ in (*unfit, *beaten))
        nulls = sum(why.endswith(NULL) for _, why in unfit)
        refused = len(unfit) - nulls
        return Misfits(source.name, nulls, refused, len(beaten), tuple(examples), keys)

    def _here(self, do: Do, task: CopyTask) -> By:
        return partial(do, self._bulk)

    def _each_range(
        self, task: CopyTask, parts: int, by: Callable[[Do, CopyTask], By]
    ) -> tuple[Unfit, Groups]:
        unfit: Unfit = []
        groups: Groups = {}
        look = partial(by(misfits_of_ranges, task), task)
        for without, several in self._told(task, parts, look):
            unfit += without
            groups |= several
        return unfit, groups

    def _all_ranges(
        self, task: CopyTask, parts: int, by: Callable[[Do, CopyTask], By]
    ) -> tuple[Unfit, Groups]:
        seen: set[int] = set()
        unfit: Unfit = []
        twice: set[int] = set()

        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, tuple[Unfit, set[int]]]]:
            for part, keys in self._bulk.keys_of_ranges(task, ranges, times=False):
                yield part, _marked(keys, seen)

        def read(ranges: Sequence[Range]) -> Iterator[tuple[Range, Groups]]:
            for part, keys in self._bulk.keys_of_ranges(task, ranges, times=True):
                yield part, _grouped(keys, twice)

        for without, again in self._told(task, parts, look):
            unfit += without
            twice |= again
        groups: Groups = {}
        for _, found in self._ranging.over(grid(parts) if twice else (), read):
            for wanted, group in found.items():
                groups.setdefault(wanted, {}).update(group)
        return unfit, groups

    def _told(self, task: CopyTask, parts: int, look: Look[T]) -> Iterator[T]:
        label = f"look for rows of {task.source.name} that do not fit"
        for done, (_, found) in enumerate(self._ranging.over(grid(parts), look), 1):
            yield found
            self._emit(Progress(label, done, parts, 0))


def misfits_of_ranges(
    bulk: Bulk, task: CopyTask, ranges: Sequence[Range]
) -> Iterator[tuple[Range, tuple[Unfit, Groups]]]:
    """Each range with the source keys that have none in the target, and with those of which several
    have the same.
    """
    collide = can_collide(task.source, task.target, task.columns)
    for part, keys in bulk.keys_of_ranges(task, ranges, times=False):
        unfit, twice = _marked(keys, set() if collide else None)
        groups: Groups = {}
        for _, again in bulk.keys_of_ranges(task, [part] if twice else (), times=True):
            groups = _grouped(again, twice)
        yield part, (unfit, groups)


def _marked(keys: Iterable[Keyed], seen: set[int] | None) -> tuple[Unfit, set[int]]:
    """Source keys that have none in the target, and the hashes of the other target keys that were
    in `seen`, or came twice; all of them are in `seen` afterwards. Without it only the first are
    looked for.
    """
    unfit: Unfit = []
    twice: set[int] = set()
    for key, wanted, why, _ in keys:
        if why:
            unfit.append((key, why))
        elif seen is not None:
            mark = hash(wanted)
            (twice if mark in seen else seen).add(mark)
    return unfit, twice


def _grouped(keys: Iterable[Keyed], marks: Collection[int]) -> Groups:
    groups: Groups = {}
    for key, wanted, why, newest in keys:
        if not why and hash(wanted) in marks:
            groups.setdefault(wanted, {})[key] = newest
    return groups


def _rank(group: Mapping[Key, int], held: Collection[Key]) -> Callable[[Key], Any]:
    """Return which of a group is kept: the highest."""
    return lambda key: (key not in held, group[key], tuple(part or b"" for part in key))
