"""Figures of the calls that a table holds, for `seed --report`: read from its rows, once, range by
range.

What the table hasn't stays empty: a table of something else has partitions and nothing more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import Database

USER, AT = "source_phone_number", "call_timestamp"
TOWER, COMPLETED = "source_cell_tower_id", "call_completed"
HOURS = 24
_AT_ONCE = 20_000  # rows of a range, about
_FEWEST_RANGES = 16


@dataclass
class Tally:
    """Calls, how many of them failed, and the bytes of their values."""

    calls: int = 0
    failed: int = 0
    bytes: int = 0


@dataclass
class Figures:
    """The figures that were counted; times are in UTC.

    Attributes:
        by_hour: (weekday from Monday = 0, hour) -> calls.
        by_tower: tower -> a tally for each hour.
        by_outcome: completed -> its tally; what the view has as a partition.
        users: calls of each user.
        partitions: bytes of each partition, about: of its values alone, as they are sent.
    """

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    by_hour: Counter[tuple[int, int]] = field(default_factory=Counter)
    by_tower: dict[str, list[Tally]] = field(
        default_factory=lambda: defaultdict(lambda: [Tally() for _ in range(HOURS)])
    )
    by_outcome: dict[bool, Tally] = field(default_factory=lambda: defaultdict(Tally))
    users: Counter[str] = field(default_factory=Counter)
    partitions: list[int] = field(default_factory=list)

    def add(self, row: Mapping[str, Any], size: int) -> None:
        """One more call."""
        self.rows += 1
        at, completed, tower = row.get(AT), row.get(COMPLETED), row.get(TOWER)
        if USER in row:
            self.users[row[USER]] += 1
        if isinstance(at, datetime):
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)
            self.by_hour[at.weekday(), at.hour] += 1
        if completed is not None:
            outcome = self.by_outcome[completed]
            outcome.calls += 1
            outcome.bytes += size
            if tower is not None and isinstance(at, datetime):
                tally = self.by_tower[tower][at.hour]
                tally.calls += 1
                tally.failed += not completed


def figures(
    database: Database, table: Table, expected: int, emit: Callable[[Progress], None]
) -> Figures:
    """The figures of a table of about `expected` rows."""
    partition = ", ".join(map(quote, table.partition_key))
    cql = (
        f"SELECT * FROM {quote(database.keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ?"
    )
    found = Figures()
    ranges = grid(max(_FEWEST_RANGES, expected // _AT_ONCE))
    for part in ranges:
        sizes: Counter[tuple[object, ...]] = Counter()  # a partition is within one range
        for row in database.query(cql, [part.low, part.high]):
            size = sum(map(_size, row.values()))
            sizes[tuple(row[name] for name in table.partition_key)] += size
            found.add(row, size)
        found.partitions += sizes.values()
        emit(Progress(f"read {table.name}", part.index + 1, len(ranges), found.rows))
    return found


def _size(value: object) -> int:
    match value:
        case None:
            return 0
        case bool():
            return 1
        case int():
            return 4
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
    return 8
