"""Rows that another shape can't hold: with a null for its key, or with the key of a newer row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from calldrop_migrate.core.carrying import (
    can_collide,
    can_misfit,
    identity,
    nullable,
    shared_columns,
)
from calldrop_migrate.core.operations import Copy, Pairs
from calldrop_migrate.core.ranges import Range, grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import Bulk, CopyTask, Key
from calldrop_migrate.engine.ranging import Ranging

EXAMPLES = 5


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


class Search:
    """Finds misfits in one database."""

    def __init__(
        self,
        bulk: Callable[[], Bulk],
        ranging: Ranging,
        emit: Callable[[Progress], None],
        pace: Callable[[int], None],
    ) -> None:
        self._bulk = bulk
        self._ranging = ranging
        self._emit = emit
        self._pace = pace

    def held(self, aside: Copy, parts: int) -> set[Key]:
        """The rows that an earlier run of the attempt put aside: they stay so, whichever of a group
        is the newest by now.
        """
        kept = aside.target
        task = CopyTask(
            *(kept, kept, identity(kept.key)), between=self._ranging.between, pace=self._pace
        )

        def look(ranges: Sequence[Range]) -> Iterator[tuple[Range, set[Key]]]:
            for part, keys in self._bulk().keys_of_ranges(task, ranges, times=False):
                yield part, {key for key, _, _ in keys}

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
    ) -> Misfits:
        """The rows of `source` that a table in the shape of `target` couldn't hold.

        Of rows with one target key the newest fits (by its newest cell, then by key; one of `held`
        only if all are), the others don't. A first scan reads keys alone and remembers of each no
        more than a hash; only where one came twice the keys and times themselves are read.
        """
        if not can_misfit(source, target, columns):
            return Misfits(source.name)
        pairs = columns or shared_columns(source, target)
        task = CopyTask(
            *(source, target, pairs),
            consistency=consistency,
            between=self._ranging.between,
            pace=self._pace,
        )
        nulls, repeated = self._scan(task, parts)
        beaten: list[tuple[Key, Key]] = []
        for group in self._groups(task, parts, repeated):
            best = max(group, key=_rank(group, held))
            beaten += [(key, best) for key in group if key != best]
        names = ", ".join(nullable(source, target, columns))
        show = self._bulk().show_key
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
            for part, keys in self._bulk().keys_of_ranges(task, ranges, times=False):
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
        for done, (part, (nulls, twice)) in enumerate(self._ranging.over(grid(parts), look), 1):
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
            for part, keys in self._bulk().keys_of_ranges(task, ranges, times=True):
                marks = repeated.get(part.index, everywhere)
                yield part, [one for one in keys if hash(one[1]) in marks]

        groups: dict[Key, dict[Key, int]] = {}
        todo = [part for part in grid(parts) if everywhere or part.index in repeated]
        for _, found in self._ranging.over(todo, look):
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
