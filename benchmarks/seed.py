"""Loading calls: `seed` against what one would write with the driver, side by side in one run.

    python benchmarks/seed.py --hosts 127.0.0.1 [--rows 20000] [--rounds 3] [--revision 3]

Three ways, in turn, each into the emptied table of the shipped revision, each making the same rows
as it goes (making them is part of the work):

- `seed` as a user runs it; the time is what it says it took to load
- `execute_concurrent_with_args` at 100 at a time, the driver's own way to be fast
- batches of 50 by `BatchStatement()`, as the data model document's script has them: LOGGED, over
  whatever partitions come, one at a time

The figures are medians of the rounds, and the ratio to `seed`. On a machine that others use only
the ratios mean anything.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from random import Random
from statistics import median
from typing import Any

from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import BatchStatement

from benchmarks.side_by_side import arguments, calldrop
from seeds.call_records import Options, rows

NOW = datetime(2026, 11, 23, tzinfo=UTC)
COLUMNS = (
    *("source_phone_number", "destination_number", "call_timestamp", "call_duration_seconds"),
    *("source_cell_tower_id", "destination_cell_tower_id", "call_completed", "source_phone_imei"),
)


def calls(count: int) -> Iterator[list[object]]:
    made = rows(Random(1), NOW, Options(rows=count))
    return ([row[name] for name in COLUMNS] for row in made)


def by_seed(asked: argparse.Namespace, workers: int) -> float:
    words = ("--random-seed", "1", "--now", "2026-11-23T00:00:00Z", "--workers", str(workers))
    return float(calldrop(asked, "seed", "--rows", str(asked.rows), *words)["seconds"])


def timed(load: Callable[[], None]) -> float:
    started = time.monotonic()
    load()
    return time.monotonic() - started


def concurrently(session: Any, insert: Any, count: int) -> None:
    results = execute_concurrent_with_args(
        session, insert, calls(count), concurrency=100, results_generator=True
    )
    for ok, result in results:
        if not ok:
            raise result


def in_batches_of_50(session: Any, insert: Any, count: int) -> None:
    made = calls(count)
    while some := list(islice(made, 50)):
        batch = BatchStatement()
        for values in some:
            batch.add(insert, values)
        session.execute(batch)


def main() -> None:
    parser = arguments(__doc__, rows=20_000)
    parser.add_argument("--revision", default="3", help="4 has the materialized view")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with Cluster(asked.hosts.split(","), port=asked.port) as cluster:
        session = cluster.connect()
        session.default_timeout = 60
        try:
            calldrop(asked, "up", asked.revision)
            table = f"{asked.keyspace}.call_records"
            insert = session.prepare(
                f"INSERT INTO {table} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * 8)})"
            )
            ways: dict[str, Callable[[], float]] = {
                "seed, 1 process": lambda: by_seed(asked, 1),
                f"seed, {asked.workers} processes": lambda: by_seed(asked, asked.workers),
                "execute_concurrent_with_args, 100": lambda: timed(
                    lambda: concurrently(session, insert, asked.rows)
                ),
                "LOGGED batches of 50": lambda: timed(
                    lambda: in_batches_of_50(session, insert, asked.rows)
                ),
            }
            measure(ways, asked, lambda: session.execute(f"TRUNCATE {table}"))
        finally:
            session.execute(f"DROP KEYSPACE IF EXISTS {asked.keyspace}")


def measure(
    ways: dict[str, Callable[[], float]], asked: argparse.Namespace, empty: Callable[[], object]
) -> None:
    """Prints the table; a round before the first one warms the server up and isn't counted."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(asked.rounds + 1):
        for name, load in ways.items():
            empty()
            seconds = load()
            print(f"round {number}  {name:<36} {asked.rows / seconds:>9,.0f} rows/s", flush=True)
            if number:
                took[name].append(seconds)
    best = min(median(times) for name, times in took.items() if name.startswith("seed"))
    print(f"\n{asked.rows:,} rows, revision {asked.revision}, median of {asked.rounds} rounds")
    for name, times in took.items():
        rate, slower = asked.rows / median(times), median(times) / best
        print(f"  {name:<36} {rate:>9,.0f} rows/s   seed is {slower:5.1f} times as fast")


if __name__ == "__main__":
    main()
