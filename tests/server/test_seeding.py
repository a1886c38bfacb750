"""`seed` on a server: what it loads, in how many processes, after what kill, at what revision; and
how it refuses. Rows are read and counted by a client of the test's own, and compared with what the
module makes.
"""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from seeds import call_records
from tests.support.cli import Cli, Result
from tests.support.held import First
from tests.support.processes import children, gone
from tests.support.sampling import sample
from tests.support.servers import Address
from tests.support.told import ok, only, tables, told, until
from tests.support.wire import Fault

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT = ("--random-seed", "7", "--now", "2026-11-20T12:00:00Z")

# 40 parts of 25 rows, each of which takes its time.
SLOW = '''\
"""Slow rows."""

import time
from dataclasses import dataclass

TABLE = "a"


@dataclass
class Options:
    count: int = 25


def parts(options):
    return [options.count] * 40


def rows(random, now, options, part):
    for n in range(options.count):
        moment = now if n else now.replace(tzinfo=None)
        yield {"id": part * 1000 + n, "moment": moment, "drawn": random.random()}
    time.sleep(0.05)
'''
PLAIN = """\
from dataclasses import dataclass

TABLE = "a"


@dataclass
class Options:
    count: int = 3
    big: bool = False


def rows(random, now, options):
    for n in range(options.count):
        yield {"id": n, "unknown": 1}
"""


def in_table(client: Any, keyspace: str) -> set[tuple[object, ...]]:
    columns = ", ".join(COLUMNS)
    found = client.execute(f"SELECT {columns} FROM {keyspace}.call_records")
    return {
        tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row.values())
        for row in found
    }


COLUMNS = (
    *("source_phone_number", "destination_number", "call_timestamp", "call_duration_seconds"),
    *("source_cell_tower_id", "destination_cell_tower_id", "call_completed", "source_phone_imei"),
)


def made(options: call_records.Options) -> set[tuple[object, ...]]:
    return {tuple(row[c] for c in COLUMNS) for row in call_records.rows(Random(7), NOW, options)}


def module(cli: Cli, text: str, name: str = "mine") -> Path:
    path = cli.folder / "seeds" / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def with_table(cli: Cli) -> None:
    columns = "id int PRIMARY KEY, moment timestamp, drawn double"
    only(cli, r0001_a=tables("a").replace("id int PRIMARY KEY", columns))
    ok(cli("up"))


# -- what is loaded -------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("workers", ["1", "2"])
def test_any_number_of_processes_loads_what_the_module_makes(
    cli: Cli, client: Any, workers: str
) -> None:
    ok(cli("up", "3"))
    words = ("call_records", "--rows", "11000", "--model", "realistic", "--success-rate=0.7")
    result = cli.json("seed", *words, *AT, "--workers", workers)
    assert (result["loaded"], result["total"], result["resumed"]) == (11_000, 11_000, 0)
    assert result["processes"] == int(workers)
    assert result["options"]["success_rate"] == 0.7
    options = call_records.Options(rows=11_000, model="realistic", success_rate=0.7)
    assert in_table(client, cli.keyspace) == made(options)
    assert sum(result["split"].values()) == 11_000


@pytest.mark.thorough
def test_the_realistic_model_loads_into_the_first_revision_too(cli: Cli, client: Any) -> None:
    words = ("seed", "--model", "realistic", "--users", "40", "--calls", "20-30", *AT)
    ok(cli("up", "1"))
    ok(cli(*words))
    ok(cli("up", "--yes", "--outage-accepted"))
    first = in_table(client, cli.keyspace)
    options = call_records.Options(40, 20, 30, model="realistic")
    assert first == made(options)
    assert cli.json(*words)["total"] == len(first)
    assert in_table(client, cli.keyspace) == first


@pytest.mark.thorough
def test_rows_that_a_ttl_would_have_ended_are_told(cli: Cli) -> None:
    ok(cli("up", "3"))
    result = cli("seed", "--days", "400", "--rows", "300", *AT, "--json")
    assert " rows are older than 90 days, the table's TTL" in result.err
    assert "live for 90 days from now on" in result.err
    assert 200 < json.loads(result.out)["outlived"] < 250
    # It is the day of the load that counts, not --now.
    today = datetime.now(UTC).isoformat()
    assert "warning" not in ok(cli("seed", "--days", "89", "--now", today))
    assert "345 rows are older" in ok(cli("seed", *DEMO, "--now", "2026-01-05T00:00:00Z"))


DEMO = ("--random-seed", "507")


@pytest.mark.thorough
def test_a_row_that_is_in_no_view_is_no_fault(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    client.execute(
        f"INSERT INTO {cli.keyspace}.call_records (source_phone_number, destination_number, "
        "call_timestamp) VALUES ('1', '2', 3)"
    )
    said = ok(cli("seed", *DEMO, *AT[2:]))
    assert "counted 346 in the table" in said
    assert "in calls_by_completion" in said
    client.execute(f"TRUNCATE {cli.keyspace}.call_records")
    assert "verified 345 in the table" in ok(cli("seed", *DEMO, *AT[2:]))


@pytest.mark.thorough
def test_options_that_reach_beyond_the_calendar(cli: Cli) -> None:
    ok(cli("up"))
    told(cli("seed", "--days", "1000000"), 2, "call_records: 1000000 days before", "seed --list")


@pytest.mark.thorough
def test_settings_of_a_load_from_the_environment(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    variables = {
        "CALLDROP_RANDOM_SEED": "7",
        "CALLDROP_NOW": "2026-11-20T12:00:00Z",
        "CALLDROP_AT_REVISION": "4",
        "CALLDROP_WORKERS": "1",
    }
    ok(cli("seed", env=variables))
    assert in_table(client, cli.keyspace) == made(call_records.Options())
    told(cli("seed", env=variables | {"CALLDROP_AT_REVISION": "3"}), 2, "is at 0004, not at 0003")


# -- killed ---------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("workers", sample(["2", "1"]))
def test_a_killed_load_goes_on(cli: Cli, client: Any, workers: str) -> None:
    """With what was typed before, although that says neither random seed nor now."""
    with_table(cli)
    module(cli, SLOW)
    ok(cli("seed", "mine", "--count", "1"))
    client.execute(f"TRUNCATE {cli.keyspace}.a")
    words = ("seed", "mine", "--workers", workers)
    progress = f"SELECT COUNT(*) AS n FROM {cli.keyspace}.migration_progress"

    running = cli.start(*words)
    until(lambda: client.execute(progress).one()["n"] > 5)
    others = children(running.pid)
    running.kill()
    running.communicate()
    until(lambda: gone(others))
    assert len(others) >= (2 if workers == "2" else 0)

    result = cli.json(*words)
    assert (result["loaded"], result["total"]) == (1000, 1000)
    assert 75 <= result["resumed"] < 1000
    cells = list(client.execute(f"SELECT id, moment, drawn FROM {cli.keyspace}.a"))
    now = datetime.fromisoformat(result["now"]).replace(tzinfo=None)
    assert {row["moment"] for row in cells} == {now}
    expected: dict[int, float] = {}
    for part in range(40):
        draw = Random(result["random_seed"])
        expected |= {part * 1000 + n: draw.random() for n in range(25)}
    assert {row["id"]: row["drawn"] for row in cells} == expected
    assert client.execute(progress).one()["n"] == 0

    # It is finished: the next one is another load.
    assert cli.json(*words)["random_seed"] != result["random_seed"]


@pytest.mark.thorough
def test_a_load_that_is_killed_while_it_counts_goes_on(cli: Cli, server: Address) -> None:
    with_table(cli)
    module(cli, SLOW)
    first = First(cli, server)
    counting = Fault(2, "none", of=r"COUNT\(\*\) AS calls .* GROUP BY", act=lambda: first.kill())
    with first.begun(counting, "seed", "mine"):
        assert first.ended().code == -signal.SIGKILL
    result = cli.json("seed", "mine")
    assert (result["loaded"], result["resumed"], result["total"]) == (1000, 1000, 1000)


@pytest.mark.thorough
def test_a_table_that_is_made_anew_under_a_load_is_told(cli: Cli, client: Any) -> None:
    with_table(cli)
    module(cli, SLOW)
    progress = f"SELECT COUNT(*) AS n FROM {cli.keyspace}.migration_progress"
    running = cli.start("seed", "mine")
    until(lambda: client.execute(progress).one()["n"] > 5)
    client.execute(f"DROP TABLE {cli.keyspace}.a")
    client.execute(
        f"CREATE TABLE {cli.keyspace}.a (id int PRIMARY KEY, moment timestamp, drawn double)"
    )
    out, err = running.communicate(timeout=60)
    told(Result(running.returncode, out, err), 9, "a was made anew", "--random-seed")
    assert cli.json("seed", "mine")["total"] == 1000


@pytest.mark.thorough
def test_what_goes_on_and_what_begins_anew(cli: Cli, client: Any) -> None:
    with_table(cli)
    path = module(cli, SLOW)
    progress = f"SELECT COUNT(*) AS n FROM {cli.keyspace}.migration_progress"

    def killed(*words: str) -> None:
        before = client.execute(progress).one()["n"]
        running = cli.start("seed", "mine", *words)
        until(lambda: client.execute(progress).one()["n"] > before + 3)
        running.kill()
        running.communicate()

    # The same random seed with another now is another load, and other rows.
    killed("--random-seed", "5")
    assert cli.json("seed", "mine", *AT)["resumed"] == 0
    client.execute(f"TRUNCATE {cli.keyspace}.a")
    # A table that was made again has none of the rows, a changed module makes others.
    killed("--random-seed", "5")
    ok(cli("down", "base", "--yes", "--discard-rows"))
    ok(cli("up"))
    result = cli.json("seed", "mine", "--random-seed", "5")
    assert (result["resumed"], result["total"]) == (0, 1000)
    killed("--random-seed", "5")
    path.write_text(SLOW.replace("random.random()", "2.5"), encoding="utf-8")
    assert cli.json("seed", "mine", "--random-seed", "5")["resumed"] == 0
    # Rows deleted between a kill and the next run are missed, and loaded by the one after.
    killed("--random-seed", "6")
    client.execute(f"TRUNCATE {cli.keyspace}.a")
    told(cli("seed", "mine", "--random-seed", "6"), 9, "1,000 rows were loaded, and a has")
    assert cli.json("seed", "mine", "--random-seed", "6")["total"] == 1000


@pytest.mark.thorough
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_load_can_be_held_up(cli: Cli, workers: str) -> None:
    with_table(cli)
    module(cli, SLOW.replace("    time.sleep(0.05)\n", ""))
    result = cli.json(
        *("seed", "mine", "--count", "10", "--workers", workers), "--max-rows-per-second", "200"
    )
    # 400 rows; the first of each process come at once, 50 at most.
    assert (result["total"], result["seconds"] > 1.4) == (400, True)


# -- what is refused ------------------------------------------------------------------------------


def test_options_of_a_module(cli: Cli) -> None:
    with_table(cli)
    module(cli, PLAIN)
    result = cli("seed", "--count", "5", "mine", "--big=true")
    assert "loaded 5 rows" in ok(result)
    assert "the table has no unknown" in result.out
    assert "mine --count 5 --big true" in result.err
    listed = {m["name"]: m["options"] for m in cli.json("seed", "--list")["modules"]}
    assert listed["mine"] == {"count": "--count 3", "big": "--big false"}
    assert listed["call_records"]["model"] == "--model document|realistic"
    told(cli("seed", "mine", "--count", "x"), 2, "--count x: it is int")
    told(cli("seed", "mine", "--count"), 2, "--count needs a value")
    told(cli("seed", "mine", "--big", "2"), 2, "--big 2: it is bool")
    told(cli("seed", "mine", "--size", "2"), 2, "mine has no option --size", "--count 3")
    told(cli("seed", "mine", "call_records"), 2, "one module, not mine, call_records")
    told(cli("seed", "--calls", "9-"), 2, "--calls 9-: it is a range like 20-25")
    told(cli("seed", "--model", "x"), 2, "--model x: it is one of document, realistic")
    told(cli("seed", "--users", "0"), 2, "users is 0, it must be at least 1")


NO_ROWS = (
    ('{"id": "x"}', 4, "mine.py:14:1: id is 'x', and a has int there"),
    ('{"id": None}', 4, "mine.py:14:1: a row has no id, which a has in its key"),
    ('{"id": n, "drawn": "x"}', 4, "mine.py:14:1: drawn is 'x', and a has double there"),
    ('{"id": 2**31}', 4, "mine.py:14:1: id is 2147483648"),
    ('{"id": n // 0}', 4, "mine.py:14:22: ZeroDivisionError"),
    ("(1, 2)", 4, "mine.py:14:1: a row is (1, 2), and must be a dict"),
    ('{"moment": now}', 2, "makes no id, which a has in its key"),
    ('{"id": 1}', 9, "3 rows were loaded, and a has 1"),
)


@pytest.mark.thorough
def test_rows_that_are_none(cli: Cli) -> None:
    with_table(cli)
    for row, code, words in NO_ROWS:
        module(cli, PLAIN.replace('{"id": n, "unknown": 1}', row))
        told(cli("seed", "mine"), code, words)
    # The same from another process.
    module(cli, SLOW.replace("part * 1000 + n", "part // (30 - part)"))
    told(
        cli("seed", "mine", "--workers", "2"), 4, "mine.py:21:22: ZeroDivisionError", "so far stay"
    )


def test_a_new_module_works(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    assert "seeds/my_calls.py" in ok(cli("new", "--seed", "My calls"))
    result = cli.json("seed", "my_calls", "--rows", "250")
    assert (result["loaded"], result["total"]) == (250, 250)
    assert (
        client.execute(f"SELECT COUNT(*) AS n FROM {cli.keyspace}.call_records").one()["n"] == 250
    )
    told(cli("new", "--seed", "my calls"), 2, "File exists")


KEYS = """\
-- migrate:up
CREATE TABLE a (id int PRIMARY KEY);
CREATE TABLE b (
    day date, small smallint, id timeuuid, at time, host inet, PRIMARY KEY ((day, small), id)
);
-- migrate:down
DROP TABLE a;
DROP TABLE b;
"""


@pytest.mark.thorough
def test_a_new_module_makes_keys_of_its_own(cli: Cli) -> None:
    only(cli, r0001_a=KEYS)
    ok(cli("up"))
    told(cli("new", "--seed", "x", "--table", "c"), 2, "no table 'c'; it has a, b")
    told(cli("new", "x", "--table", "a"), 2, "--table goes with --seed")
    assert "for a; --table says another one of a, b" in ok(cli("new", "--seed", "mine"))
    ok(cli("new", "--seed", "other", "--table", "b"))
    for name in ("mine", "other"):
        first = cli.json("seed", name, *AT)
        assert (first["loaded"], first["total"]) == (100, 100)
        assert cli.json("seed", name, *AT)["total"] == 100  # the same rows


@pytest.mark.thorough
def test_what_is_said_gives_the_same_rows_again(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    said = ok(cli("seed", "--rows", "40", "--model", "realistic"))
    rows = in_table(client, cli.keyspace)
    assert len(rows) == 40
    words = said.partition("The same rows again:")[2].splitlines()[0].split()
    client.execute(f"TRUNCATE {cli.keyspace}.call_records")
    ok(cli(*words[1:]))
    assert in_table(client, cli.keyspace) == rows
