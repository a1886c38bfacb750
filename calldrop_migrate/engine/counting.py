"""Counts a table and its view without a query that a big table would let time out: everything is
counted by the server, page by page or range by range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import grid
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.errors import RowsAtRisk

FEWEST_RANGES = 16
ROWS_PER_RANGE = 100_000
VIEW_PATIENCE = 5.0  # seconds; a view is written after its table
Split = tuple[str, Mapping[object, str]]  # a column, and a word for each of its values


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
    split_by: Split,
    emit: Callable[[Progress], None],
    sleep: Callable[[float], None],
) -> Counts:
    """Counts the table, and through a view if there is one.

    Raises:
        RowsAtRisk: the view doesn't agree with the table.
    """
    column, words = split_by
    by_partition = _by_partition(database, table, emit)
    view = next((v for v in schema.views_on(table.name) if v.partition_key == (column,)), None)
    if not column or table.column(column) is None:
        return Counts(by_partition, {}, "")
    if view is None:
        split = _split_of_table(database, table, column, words, sum(by_partition))
        return Counts(by_partition, split, table.name)
    split = _split_of_view(database, view, column, words)
    if sum(split.values()) == sum(by_partition):
        return Counts(by_partition, split, view.name)
    # Rows without a value in that column are in no view.
    of_table = _split_of_table(database, table, column, words, sum(by_partition))
    until = monotonic() + VIEW_PATIENCE
    while split != of_table and monotonic() < until:
        sleep(0.25)
        split = _split_of_view(database, view, column, words)
    if split == of_table:
        return Counts(by_partition, split, view.name)
    raise RowsAtRisk(
        f"{view.name} has {split}, {table.name} has {of_table}",
        state="All rows are loaded.",
        hint="Is the view still being built, or somebody else writing?",
    )


def _by_partition(database: Database, table: Table, emit: Callable[[Progress], None]) -> list[int]:
    partition = ", ".join(map(quote, table.partition_key))
    cql = (
        f"SELECT COUNT(*) AS calls FROM {quote(database.keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ? GROUP BY {partition}"
    )
    found: list[int] = []
    parts = grid(FEWEST_RANGES)
    for done, part in enumerate(parts):
        emit(Progress(f"count {table.name}", done, len(parts), sum(found)))
        found += [row["calls"] for row in database.query(cql, [part.low, part.high])]
    return found


def _split_of_view(
    database: Database, view: Table, column: str, words: Mapping[object, str]
) -> dict[str, int]:
    """By what a view's partition begins with: its two partitions hold everything there is."""
    groups = ", ".join(map(quote, (*view.partition_key, *view.clustering_key[:1])))
    cql = (
        f"SELECT COUNT(*) AS calls FROM {quote(database.keyspace)}.{quote(view.name)} "
        f"WHERE {quote(column)} = ? GROUP BY {groups}"
    )
    return {
        word: sum(row["calls"] for row in database.query(cql, [value]))
        for value, word in words.items()
    }


def _split_of_table(
    database: Database, table: Table, column: str, words: Mapping[object, str], rows: int
) -> dict[str, int]:
    """By the server's own filter, over ranges of which each is small."""
    partition = ", ".join(map(quote, table.partition_key))
    cql = (
        f"SELECT COUNT(*) AS calls FROM {quote(database.keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ? AND {quote(column)} = ? "
        "ALLOW FILTERING"
    )
    parts = grid(max(FEWEST_RANGES, rows // ROWS_PER_RANGE))
    return {
        word: sum(database.query(cql, [p.low, p.high, value])[0]["calls"] for p in parts)
        for value, word in words.items()
    }
