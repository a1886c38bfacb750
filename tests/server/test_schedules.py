"""Schedules that lost rows or wrote a false history once: each by name, each at its exact point.

A kill, a writer who comes back before the next run, a statement that arrives late, a second runner.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from cassandra.query import BatchStatement, BatchType

from tests.support import cells
from tests.support.cli import Cli
from tests.support.handful import TABLE, insert, numbers
from tests.support.pace import seconds
from tests.support.sampling import sample
from tests.support.settings import GO, SHORT
from tests.support.told import ok, only, told


def change(client: Any, cli: Cli) -> None:
    """What a writer does who comes back between a kill and the next run."""
    keyspace, where = cli.keyspace, "source_phone_number = %s AND call_timestamp = %s"
    insert(client, cli, 9)
    key = ["+10", 1_700_000_000_000]
    client.execute(f"UPDATE {keyspace}.{TABLE} SET call_completed = false WHERE {where}", key)
    key = ["+11", 1_700_000_000_001]
    client.execute(f"DELETE FROM {keyspace}.{TABLE} WHERE {where}", key)
    key = ["+12", 1_700_000_000_002]
    client.execute(f"DELETE call_completed FROM {keyspace}.{TABLE} WHERE {where}", key)


CHANGED = {"+10": False, "+12": None, "+13": True, "+14": True, "+19": True}


@pytest.mark.parametrize("at", sample(["before | DROP TABLE", "noted | COPY", "noted | VERIFY"]))
def test_what_is_written_between_a_kill_and_the_next_run_is_kept(
    filled: Cli, client: Any, at: str
) -> None:
    killed = filled.at(f"kill | {at}", "up", "2", *GO, env=SHORT)
    assert killed.code == -signal.SIGKILL
    change(client, filled)
    ok(filled("up", "2", *GO, env=SHORT))
    found = client.execute(
        f"SELECT source_phone_number AS n, call_completed AS done FROM {filled.keyspace}.{TABLE}"
    )
    assert {row["n"]: row["done"] for row in found} == CHANGED
    ok(filled("verify"))


@pytest.mark.thorough
def test_what_is_deleted_while_it_is_copied_stays_deleted(filled: Cli, client: Any) -> None:
    script = f"{sys.executable} -c '{DELETE}' {filled.keyspace} {address(filled)}"
    ok(filled.at(f"sh {script} | before | VERIFY {TABLE}", "up", "2", *GO))
    assert numbers(client, filled) == ["+10", "+12", "+13", "+14"]
    assert [r["call_completed"] for r in rows(client, filled, "+12")] == [None]


DELETE = """
import sys
from cassandra.cluster import Cluster
from cassandra.io.asyncioreactor import AsyncioConnection
keyspace, host, port = sys.argv[1:]
with Cluster([host], port=int(port), connection_class=AsyncioConnection) as cluster:
    session = cluster.connect(keyspace)
    where = "WHERE source_phone_number = %s AND call_timestamp = %s"
    session.execute(f"DELETE FROM call_records {where}", ["+11", 1700000000001])
    session.execute(f"DELETE call_completed FROM call_records {where}", ["+12", 1700000000002])
"""


def address(cli: Cli) -> str:
    hosts = cli.environment["CALLDROP_HOSTS"].split(",")
    return f"{hosts[0]} {cli.environment['CALLDROP_PORT']}"


def rows(client: Any, cli: Cli, number: str) -> list[Any]:
    cql = f"SELECT * FROM {cli.keyspace}.{TABLE} WHERE source_phone_number = %s"
    return list(client.execute(cql, [number]))


@pytest.mark.thorough
def test_a_second_runner_plans_from_what_the_first_one_left(cli: Cli, client: Any) -> None:
    """The first fills a table that the second, planned before that, would drop as empty."""
    only(
        cli,
        r0001_t="-- migrate:up\nCREATE TABLE t (a int PRIMARY KEY);\n"
        "INSERT INTO t (a) VALUES (1);\n-- migrate:irreversible x\n",
        r0002_gone="-- migrate:up\nDROP TABLE t;\n-- migrate:irreversible x\n",
    )
    for _ in range(4):
        runners = [
            cli.start("up", target, "--yes", "--wait-for-lease", "60") for target in ("1", "head")
        ]
        codes = [runner.wait(100) for runner in runners]
        assert codes == [0, 9]
        assert [row["a"] for row in client.execute(f"SELECT a FROM {cli.keyspace}.t")] == [1]
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")


def test_the_plan_knows_which_tables_an_earlier_revision_fills(cli: Cli) -> None:
    only(
        cli,
        r0001_t="-- migrate:up\nCREATE TABLE t (a int PRIMARY KEY);\n"
        "INSERT INTO t (a) VALUES (1);\n-- migrate:irreversible x\n",
        r0002_gone="-- migrate:up\nDROP TABLE t;\n-- migrate:irreversible x\n",
    )
    told(cli("plan"), 9, "t has rows, and they would be deleted", out=True)
    told(cli("up"), 9, "t has rows, and they would be deleted")
    assert cli.json("status")["current"] == 0


@pytest.mark.thorough
def test_emptiness_is_proven_behind_the_wait(cli: Cli, client: Any) -> None:
    """A row that arrives while the settle time is waited for is not dropped."""
    ok(cli("up", "1"))
    killed = cli.at("kill | before | DROP TABLE", "down", "base", "--yes", env=SHORT)
    assert killed.code == -signal.SIGKILL
    late = threading.Timer(seconds(2.5), insert, (client, cli, 1))
    late.start()
    result = cli("down", "base", "--yes", env=SHORT | {"CALLDROP_SETTLE_TIME": "6"})
    late.join()
    told(result, 9, "call_records has rows now")
    assert numbers(client, cli) == ["+11"]
    # And now that it has rows, the same command says what can be done with them, and does it.
    told(cli("down", "base", "--yes", env=SHORT), 9, "--set-aside")
    ok(cli("down", "base", "--yes", "--set-aside", env=SHORT))
    assert numbers(client, cli, "call_records__aside_0001") == ["+11"]


LATE = """
import sys, time
from cassandra.cluster import Cluster
from cassandra.io.asyncioreactor import AsyncioConnection
delay, keyspace, host, port, cql = sys.argv[1:]
time.sleep(float(delay))
with Cluster([host], port=int(port), connection_class=AsyncioConnection) as cluster:
    cluster.connect(keyspace).execute(cql)
"""


def arrives_late(cli: Cli, delay: float, cql: str) -> subprocess.Popen[bytes]:
    """A statement that a killed run had sent, and that the server takes only now."""
    words = [str(delay), cli.keyspace, *address(cli).split(), cql]
    return subprocess.Popen([sys.executable, "-c", LATE, *words])


@pytest.mark.thorough
@pytest.mark.parametrize("delay", [0.0, 4.0])
def test_a_drop_that_arrives_late_is_ours(filled: Cli, client: Any, delay: float) -> None:
    """Behind the kill at once, or while the next run waits for the settle time."""
    killed = filled.at("kill | before | DROP TABLE", "up", "2", *GO, env=SHORT)
    assert killed.code == -signal.SIGKILL
    late = arrives_late(filled, seconds(delay), "DROP TABLE call_records")
    if not delay:
        assert late.wait(30) == 0
    ok(filled("up", "2", *GO, env=SHORT | {"CALLDROP_SETTLE_TIME": "7"}))
    assert late.wait(30) == 0
    assert numbers(client, filled) == [f"+1{n}" for n in range(5)]
    ok(filled("verify"))


@pytest.mark.thorough
def test_a_create_that_arrives_between_reading_and_sending_is_ours(cli: Cli, client: Any) -> None:
    ok(cli("up", "3"))
    view = (cli.folder / "migrations" / "0004_calls_by_completion.cql").read_text("utf-8")
    create = view.partition("-- migrate:up")[2].partition(";")[0]
    killed = cli.at("kill | before | CREATE MATERIALIZED", "up", "--yes", env=SHORT)
    assert killed.code == -signal.SIGKILL
    # The next run has read that it isn't there, and is about to send it, when it arrives.
    words = f"{sys.executable} -c '{LATE}' 0 {cli.keyspace} {address(cli)} \"{create}\""
    ok(cli.at(f"sh {words} | before | CREATE MATERIALIZED", "up", "--yes", env=SHORT))
    ok(cli("verify"))
    assert cli.json("status")["current"] == 4


@pytest.mark.thorough
def test_a_row_that_only_its_key_keeps_alive_ends_when_it_did(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    life = round(seconds(12))
    for number, ttl in ((1, life), (2, 0)):
        client.execute(
            f"INSERT INTO {cli.keyspace}.{TABLE} (source_phone_number, call_timestamp, "
            f"destination_number) VALUES (%s, %s, '+2') USING TTL {ttl}",
            [f"+1{number}", number],
        )
    written = time.monotonic()
    ok(cli("up", "2", *GO))
    assert time.monotonic() - written < life - 1, "this machine is too slow for this test"
    assert numbers(client, cli) == ["+11", "+12"]
    time.sleep(max(0.0, life + 1 - (time.monotonic() - written)))
    assert numbers(client, cli) == ["+12"]


@pytest.mark.twin
def test_drift_stops_a_run_and_is_not_recorded(cli: Cli, client: Any) -> None:
    ok(cli("up", "2"))
    client.execute(f"ALTER TABLE {cli.keyspace}.{TABLE} ADD sneaked int")
    client.execute(f"CREATE TABLE {cli.keyspace}.other (a int PRIMARY KEY)")
    for command in (("up",), ("plan",), ("down", "1", *GO), ("verify",)):
        told(cli(*command), 5, "sneaked", "other: exists")
    assert "not as recorded: other: exists" in ok(cli("up", "2"))
    client.execute(f"ALTER TABLE {cli.keyspace}.{TABLE} DROP sneaked")
    client.execute(f"DROP TABLE {cli.keyspace}.other")
    ok(cli("up"))
    ok(cli("verify"))


@pytest.mark.thorough
@pytest.mark.parametrize("table", ["one", "call_records"])
def test_somebody_changes_the_schema_between_a_kill_and_the_next_run(
    cli: Cli, client: Any, table: str
) -> None:
    only(
        cli,
        r0001_two=f"-- migrate:up\nCREATE TABLE one (a int PRIMARY KEY);\n"
        f"CREATE TABLE {'call_records'} (a int PRIMARY KEY);\n-- migrate:irreversible x\n",
    )
    killed = cli.at("kill | noted | CREATE TABLE one", "up", env=SHORT)
    assert killed.code == -signal.SIGKILL
    if table == "one":
        client.execute(f"ALTER TABLE {cli.keyspace}.one ADD more int")
        told(cli("up", env=SHORT), 5, "one: column", "more")
        told(cli("verify"), 5, "one: column", "more")
        client.execute(f"ALTER TABLE {cli.keyspace}.one DROP more")
    else:
        client.execute(f"CREATE TABLE {cli.keyspace}.call_records (b text PRIMARY KEY)")
        result = cli("up", env=SHORT)
        assert result.code in (5, 8), result
        assert "call_records" in result.err
        client.execute(f"DROP TABLE {cli.keyspace}.call_records")
    ok(cli("up", env=SHORT))
    ok(cli("verify"))


@pytest.mark.thorough
def test_a_file_that_lost_what_never_ran_is_recorded_as_it_is(cli: Cli) -> None:
    make = "-- migrate:up\nCREATE TABLE one (a int PRIMARY KEY);\n{}-- migrate:irreversible x\n"
    only(cli, r0001_one=make.format("CREATE TABLE two (a nonsense PRIMARY KEY);\n"))
    assert cli("up").code == 7
    only(cli, r0001_one=make.format(""))
    ok(cli("up"))
    ok(cli("verify"))


@pytest.mark.thorough
def test_flags_hold_for_what_has_not_run_yet(filled: Cli, client: Any) -> None:
    """A row that doesn't fit arrives behind the plan; the same command with a flag goes on."""
    killed = filled.at("kill | noted | CREATE TABLE", "up", "2", *GO, env=SHORT)
    assert killed.code == -signal.SIGKILL
    insert(client, filled, 9, None)
    told(filled("up", "2", *GO, env=SHORT), 9, "1 rows have a null", "--set-aside")
    ok(filled("up", "2", *GO, "--set-aside", env=SHORT))
    assert numbers(client, filled) == [f"+1{n}" for n in range(5)]
    assert numbers(client, filled, "call_records__aside_0002_up") == ["+19"]


@pytest.mark.thorough
def test_what_is_discarded_is_asked_for_by_each_call(filled: Cli, client: Any) -> None:
    insert(client, filled, 9, None)
    killed = filled.at("kill | noted | VERIFY", "up", "2", *GO, "--discard-rows", env=SHORT)
    assert killed.code == -signal.SIGKILL
    told(filled("up", "2", *GO, env=SHORT), 9, "call_records has rows", "--discard-rows")
    assert numbers(client, filled)[-1] == "+19"
    ok(filled("up", "2", *GO, "--discard-rows", env=SHORT))
    assert numbers(client, filled) == [f"+1{n}" for n in range(5)]


@pytest.mark.thorough
def test_a_table_of_tombstones_alone_is_seen_to_be_empty(cli: Cli, client: Any) -> None:
    """A node gives up on a read of more than 100,000 of them."""
    ok(cli("up", "1"))
    delete = client.prepare(
        f"DELETE FROM {cli.keyspace}.{TABLE} WHERE source_phone_number = ? AND call_timestamp = ?"
    )
    for number in range(1000):
        batch = BatchStatement(BatchType.UNLOGGED)
        for at in range(130):
            batch.add(delete, (f"+{number}", at))
        client.execute(batch)
    ok(cli("plan", "base"))
    ok(cli("down", "base", "--yes"))


@pytest.mark.thorough
def test_cells_of_a_run_that_was_stopped_for_long(filled: Cli, client: Any) -> None:
    """SIGSTOP of the holder before its DROP; another one finishes; SIGCONT: all rows are there."""
    before = cells.read(client, filled.keyspace)
    point = "sh kill -STOP $PPID | before | DROP"
    stopped = filled.begin(point, "up", "2", *GO, env=SHORT | {"CALLDROP_LEASE_TTL": "8"})
    time.sleep(seconds(6))
    ok(filled("up", "2", *GO, "--wait-for-lease", "60", env=SHORT))
    stopped.send_signal(signal.SIGCONT)
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 6, err
    shape = cells.Columns(("source_phone_number", "call_timestamp"), ())
    by = ("source_phone_number", "destination_number", "call_timestamp")
    assert cells.differences(cells.by(before, shape, by), cells.read(client, filled.keyspace)) == []
