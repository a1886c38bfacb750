"""Loads the rows of a seed module into the live table, whatever revision it is at.

A load is a Copy from a generator: its ranges are the parts that the module makes independently of
each other, repeated when a request times out (ranging.py), checkpointed in the Copy's own table.
Whoever runs the same load again goes on behind the finished parts; a part that is loaded twice
gives the same rows. It takes no lease, because it changes no schema; but a keyspace whose schema is
under way is refused, for its rows could fall between two copies.

The loader reads the table's columns: what the table hasn't is left out, and a key column that the
module doesn't make is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Protocol
from uuid import uuid5

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine import copying
from calldrop_migrate.engine.history import NAMESPACE, History, read_history
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ports import Database, UnfitRow
from calldrop_migrate.engine.ranging import Ranging
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import HistoryError, RowsAtRisk, UsageError

_CHUNK = 1000  # rows between two signs of life within a part
_FEW = 50  # rows that are made before it is seen whether that is too fast
_BEGUN = -1  # the operation whose checkpoint is no part, but random seed and now
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SeedModule(Protocol):
    """A file of the seeds folder.

    It may also have SPLIT, a column and a word for each of its values, by which rows are counted;
    TIME, the column of when a row would have been written; and `parts(options)`, about how many
    rows each part has: then `rows` takes a part's number as one argument more.
    """

    TABLE: str
    Options: Callable[..., Any]

    def rows(self, random: Random, now: datetime, options: Any) -> Iterator[dict[str, object]]:
        """The rows, as mappings from column to value."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """The values that a load's rows follow from, besides its module and options."""

    random_seed: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Seeded:
    """The rows that were loaded, and what the table holds now.

    Attributes:
        now: with `random_seed` and `options` it gives the same rows again.
        again: what one types behind `seed` for the same rows.
        loaded: all rows of the load; `resumed` of them an earlier run had loaded.
        split: rows by the module's words, e.g. completed and failed.
        counted_in: where the split was counted: the view, or the table.
        per_partition: fewest and most rows of a partition.
        outlived: rows that the table's TTL, `ttl` seconds, would have ended had they been written
            when they happened.
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
    again: str
    module: str = ""
    options: Mapping[str, Any] | None = None
    resumed: int = 0
    processes: int = 1
    outlived: int = 0
    ttl: int = 0


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
            hint=f"To see how to finish it:  {commands.status()}",
        )
    at = len(records)
    if wanted is not None and wanted != at:
        way = commands.up_to if wanted > at else commands.down_to
        raise UsageError(
            f"{schema.keyspace} is at {at_revision(at)}, not at {at_revision(wanted)}",
            state="Nothing was loaded.",
            hint=way(wanted),
        )
    table = schema.table(module.TABLE)
    if table is None:
        raise UsageError(
            f"{schema.keyspace} is at {at_revision(at)} and has no table {module.TABLE}",
            state="Nothing was loaded.",
            hint=commands.up(),
        )
    return table, at


def still_there(database: Database, table: Table) -> None:
    """Sees that the rows went into one table: of one that was made anew meanwhile some may be gone.

    Raises:
        RowsAtRisk: it was made anew, or a revision is under way.
    """
    schema = database.schema()
    live = schema.table(table.name)
    records = read_history(History(database), schema)
    half = next((r.name for r in records.values() if not r.applied), "")
    if half or live is None or live.id != table.id:
        raise RowsAtRisk(
            f"{table.name} was {'made anew' if not half else f'changed by {half}'}"
            " while rows were loaded",
            state="Rows that were loaded before that may be gone.",
        )


def fit(table: Table, row: Mapping[str, object]) -> tuple[str, ...]:
    """The columns that the table hasn't.

    Raises:
        UsageError: the row lacks a column of the table's key.
        UnfitRow: it is no row at all.
    """
    if not isinstance(row, Mapping):
        raise UnfitRow(f"a row is {row!r:.80}, and must be a dict of columns")
    lacking = [name for name in table.key if name not in row]
    if lacking:
        raise UsageError(
            f"the seed module makes no {', '.join(lacking)}, which {table.name} has in its key",
            state="Nothing was loaded.",
        )
    return tuple(name for name in row if table.column(name) is None)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of a part; see `Seeded`."""

    rows: int
    outlived: int = 0


def load_part(
    database: Database,
    table: Table,
    rows: Iterator[Mapping[str, object]],
    born: tuple[str, datetime] | None,
    tick: Callable[[int], None],
    pace: Callable[[int], None],
) -> Loaded:
    """Loads rows.

    Args:
        born: the column that says when a row was written, and what the table's TTL has ended; None
            where there is no such column, or no TTL.
        tick: is told how many rows there are already, now and then.
        pace: is told how many more there are, and returns when it is time for those.
    """
    outlived = 0

    def watched() -> Iterator[Mapping[str, object]]:
        nonlocal outlived
        column, oldest = born or ("", _EPOCH)
        for number, row in enumerate(rows):
            at = row.get(column) if born else None
            if isinstance(at, datetime) and at.tzinfo is not None:
                outlived += at < oldest
            if number % _CHUNK == 0:
                tick(number)
            if number % _FEW == 0:
                pace(_FEW)
            yield row

    return Loaded(database.bulk.load(table, watched()), outlived)


def oldest_alive(module: SeedModule, table: Table, now: datetime) -> tuple[str, datetime] | None:
    """For `load_part`: what the table's TTL has ended by now."""
    column, ttl = getattr(module, "TIME", ""), ttl_of(table)
    known = column and ttl and table.column(column)
    return (column, now - timedelta(seconds=ttl)) if known else None


def ttl_of(table: Table) -> int:
    """Seconds that rows live when nothing else is said; 0 is for ever."""
    return int(table.option("default_time_to_live") or 0)


class Load:
    """The checkpoints of one module with one set of options, in one table.

    Random seed and now are no part of their key but kept with them: so a run that was killed is
    found by typing the same again, with or without the two. A part counts for one random seed, now
    and id of the table only: a table that was made again has none of the rows.

    Args:
        identity: module, options and version, as text.
    """

    def __init__(self, database: Database, schema: Schema, table: Table, identity: str) -> None:
        self._database = database
        self._table = table
        self._id = uuid5(NAMESPACE, f"seed {database.keyspace}.{table.name} {identity}")
        self._operation = _BEGUN
        self._progress = f"{quote(database.bookkeeping)}.{copying.TABLE}"
        self._kept = schema.table(copying.TABLE) is not None

    def begin(self, random_seed: int | None, now: datetime | None, new: Begun) -> Begun:
        """Return how the load begins: as the unfinished one did, if that is what was asked for,
        else with `new`.
        """
        begun = next((b for b in self._before() if _meant(b, random_seed, now)), new)
        if self._kept and begun is new:
            self.end()
            moment = (new.now - _EPOCH) // timedelta(milliseconds=1)
            self._write(_BEGUN, 0, new.random_seed, moment)
        which = f"{self._table.id} {begun.random_seed} {begun.now}"
        self._operation = uuid5(NAMESPACE, which).int % 2**31
        return begun

    def _before(self) -> list[Begun]:
        """Return how an unfinished run began, if there is one."""
        found = self._read(_BEGUN).values() if self._kept else ()
        return [Begun(seed, _EPOCH + timedelta(milliseconds=moment)) for seed, moment in found]

    def run(
        self,
        expected: Sequence[int],
        work: Callable[[Sequence[int]], Iterator[tuple[int, Loaded]]],
        emit: Callable[[Progress], None],
        sleep: Callable[[float], None],
    ) -> tuple[Loaded, int]:
        """Loads the parts that aren't yet; gives what there is, and how many rows of it an earlier
        run had loaded.

        Args:
            expected: about how many rows each part has.
            work: loads parts, in any order.
        """
        done = self._read(self._operation) if self._kept else {}
        resumed, outlived = (sum(column) for column in zip(*done.values(), (0, 0), strict=True))
        rows, ahead = resumed, sum(expected[part] for part in done)
        label = f"load {self._table.name}"
        emit(Progress(label, ahead, sum(expected), 0))  # the time that a rate is measured from

        def over(ranges: Sequence[Range]) -> Iterator[tuple[Range, Loaded]]:
            known = {part.index: part for part in ranges}
            for index, loaded in work(list(known)):
                yield known[index], loaded

        left = (Range(part, 0, 0) for part in range(len(expected)) if part not in done)
        for part, loaded in Ranging(lambda: None, sleep).over(left, over):
            if self._kept:
                self._write(self._operation, part.index, loaded.rows, loaded.outlived)
            rows, outlived = rows + loaded.rows, outlived + loaded.outlived
            ahead += expected[part.index]
            emit(Progress(label, ahead, sum(expected), rows - resumed))
        return Loaded(rows, outlived), resumed

    def end(self) -> None:
        """Forgets the checkpoints: the same command means another load from now on. So this comes
        last, when the rows are counted.
        """
        if self._kept:
            self._database.write(f"DELETE FROM {self._progress} WHERE attempt = ?", [self._id])

    def _read(self, operation: int) -> dict[int, tuple[int, int]]:
        rows = self._database.query(
            f"SELECT range, rows, bytes FROM {self._progress} WHERE attempt = ? AND operation = ?",
            [self._id, operation],
        )
        return {row["range"]: (row["rows"], row["bytes"]) for row in rows}

    def _write(self, operation: int, part: int, rows: int, size: int) -> None:
        self._database.write(
            f"INSERT INTO {self._progress} (attempt, operation, range, rows, bytes) "
            "VALUES (?, ?, ?, ?, ?)",
            [self._id, operation, part, rows, size],
        )


def _meant(begun: Begun, random_seed: int | None, now: datetime | None) -> bool:
    """Return whether what was typed, None where it wasn't, is that load."""
    return random_seed in (None, begun.random_seed) and now in (None, begun.now)
