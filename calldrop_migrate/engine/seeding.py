"""Loads the rows of a seed module into the live table, whatever revision it is at, and counts what
is there.

The loader reads the table's columns: what the table hasn't is left out, and a key column that the
module doesn't make is an error. It takes no lease, because it changes no schema; but a keyspace
whose schema is under way is refused, for its rows could fall between two copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from random import Random
from typing import Any, Protocol

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import grid
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.history import History, read_history
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import HistoryError, RowsAtRisk, UsageError

CHUNK = 2000
COUNT_RANGES = 16
VIEW_TRIES = 20


class SeedModule(Protocol):
    """A file of the seeds folder."""

    TABLE: str
    SPLIT: tuple[str, Mapping[object, str]]
    Options: Callable[..., Any]

    def rows(self, random: Random, now: datetime, options: Any) -> Iterator[dict[str, object]]:
        """The rows, as mappings from column to value."""
        ...


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was loaded, and what the table holds now.

    Attributes:
        now: with `random_seed` it gives the same rows again.
        split: rows by the module's words, e.g. completed and failed.
        counted_in: where the split was counted: the view, or the table.
        per_partition: fewest and most rows of a partition.
    """

    table: str
    revision: int
    random_seed: int
    now: datetime
    loaded: int
    left_out: tuple[str, ...]
    total: int
    split: Mapping[str, int]
    counted_in: str
    partitions: int
    per_partition: tuple[int, int]
    seconds: float


def target_of(
    database: Database, schema: Schema, module: SeedModule, wanted: int | None
) -> tuple[Table, int]:
    """The live table for a module, and the revision that the keyspace is at.

    Raises:
        UsageError: the keyspace isn't at the revision asked for, or has no such table.
        HistoryError: a revision is under way.
    """
    records = read_history(History(database), schema)
    half = next((r for r in records.values() if not r.applied), None)
    if half is not None:
        raise HistoryError(
            f"revision {half.name} is half-way: rows loaded now could be lost",
            state="Nothing was loaded.",
            hint="Finish it first:  calldrop-migrate up",
        )
    at = len(records)
    if wanted is not None and wanted != at:
        way = "up" if wanted > at else "down"
        raise UsageError(
            f"{schema.keyspace} is at {at_revision(at)}, not at {at_revision(wanted)}",
            state="Nothing was loaded.",
            hint=f"calldrop-migrate {way} {wanted}",
        )
    table = schema.table(module.TABLE)
    if table is None:
        raise UsageError(
            f"{schema.keyspace} is at {at_revision(at)} and has no table {module.TABLE}",
            state="Nothing was loaded.",
            hint="calldrop-migrate up",
        )
    return table, at


def load(
    database: Database,
    table: Table,
    rows: Iterable[Mapping[str, object]],
    emit: Callable[[Progress], None],
    expected: int,
) -> tuple[int, tuple[str, ...]]:
    """Loads rows; gives how many, and the columns that the table hasn't.

    Raises:
        UsageError: the rows lack a column of the table's key.
    """
    loaded, left_out = 0, tuple[str, ...]()
    source = iter(rows)
    while chunk := list(islice(source, CHUNK)):
        if not loaded:
            left_out = _fit(table, chunk[0])
        loaded += database.bulk.load(table, chunk)
        emit(Progress(f"load {table.name}", min(loaded, expected), expected, loaded))
    return loaded, left_out


def _fit(table: Table, row: Mapping[str, object]) -> tuple[str, ...]:
    lacking = [name for name in table.key if name not in row]
    if lacking:
        raise UsageError(
            f"the seed module makes no {', '.join(lacking)}, which {table.name} has in its key",
            state="Nothing was loaded.",
        )
    return tuple(name for name in row if table.column(name) is None)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a table: by partition, and by the values of a column."""

    by_partition: Sequence[int]
    split: Mapping[str, int]
    counted_in: str

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.by_partition)


def count(
    database: Database,
    schema: Schema,
    table: Table,
    module: SeedModule,
    sleep: Callable[[float], None],
) -> Counts:
    """Counts by GROUP BY over ranges (one query over a big table would time out), and through a
    view if there is one.

    Raises:
        RowsAtRisk: the view doesn't agree with the table.
    """
    column, words = getattr(module, "SPLIT", ("", {}))
    by_partition = _by_partition(database, table)
    view = next((v for v in schema.views_on(table.name) if v.partition_key == (column,)), None)
    if not column or table.column(column) is None:
        return Counts(by_partition, {}, "")
    if view is None:
        return Counts(by_partition, _split_of_table(database, table, column, words), table.name)
    for _ in range(VIEW_TRIES):
        split = _split_of_view(database, view, column, words)
        if sum(split.values()) == sum(by_partition):
            return Counts(by_partition, split, view.name)
        sleep(0.25)  # a view is written after its table
        by_partition = _by_partition(database, table)
    of_table = _split_of_table(database, table, column, words)
    if of_table == split:  # the others have no value in that column, so the view hasn't got them
        return Counts(by_partition, split, view.name)
    raise RowsAtRisk(
        f"{view.name} has {split}, {table.name} has {of_table}",
        state="All rows are loaded.",
        hint="Is the view still being built, or somebody else writing?",
    )


def _by_partition(database: Database, table: Table) -> list[int]:
    partition = ", ".join(map(quote, table.partition_key))
    cql = (
        f"SELECT COUNT(*) AS calls FROM {quote(database.keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ? GROUP BY {partition}"
    )
    return [
        row["calls"]
        for part in grid(COUNT_RANGES)
        for row in database.query(cql, [part.low, part.high])
    ]


def _split_of_view(
    database: Database, view: Table, column: str, words: Mapping[object, str]
) -> dict[str, int]:
    cql = (
        f"SELECT COUNT(*) AS calls FROM {quote(database.keyspace)}.{quote(view.name)} "
        f"WHERE {quote(column)} = ?"
    )
    return {word: database.query(cql, [value])[0]["calls"] for value, word in words.items()}


def _split_of_table(
    database: Database, table: Table, column: str, words: Mapping[object, str]
) -> dict[str, int]:
    partition = ", ".join(map(quote, table.partition_key))
    cql = (
        f"SELECT {quote(column)} AS value FROM {quote(database.keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ?"
    )
    found: Counter[object] = Counter()
    for part in grid(COUNT_RANGES):
        found.update(row["value"] for row in database.query(cql, [part.low, part.high]))
    return {word: found[value] for value, word in words.items()}
