"""A Cassandra that answers as ScyllaDB does (support/scylla.py), from the first command on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support import cells
from tests.support.cli import Cli
from tests.support.settings import GO
from tests.support.told import ok, only, told

T = "CREATE TABLE t (a int, b int, v text, w text, PRIMARY KEY (a, b));"
INTO_ONE = "CREATE TABLE t (a int, b int, v text, w text, PRIMARY KEY ((a, b)));"


def revisions(cli: Cli, *ways: tuple[str, str]) -> None:
    """Revisions of these ways up and down, behind one that makes T."""
    both = ((T, "DROP TABLE t;"), *ways)
    files = {
        f"r{at:04d}_t": f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"
        for at, (up, down) in enumerate(both, 1)
    }
    only(cli, **files)


def fill(cli: Cli, client: Any) -> cells.Rows:
    """Rows of T, as an independent client sees them."""
    for number in range(20):
        client.execute(
            f"INSERT INTO {cli.keyspace}.t (a, b, v, w) VALUES ({number % 3}, {number}, 'v', 'w')"
        )
    return cells.read(client, cli.keyspace, "t")


def test_the_main_job(scylla: Cli, client: Any) -> None:
    """Rows come without metadata; the cluster has no name; the lease's table has a `$paxos` one."""
    said = ok(scylla("up", "1"))
    assert re.match(r"ScyllaDB \d", said), said
    ok(scylla("seed", "--random-seed", "1"))
    before = cells.read(client, scylla.keyspace)
    ok(scylla("up", *GO))
    ok(scylla("down", "1", *GO, "--set-aside"))
    assert cells.differences(before, cells.read(client, scylla.keyspace)) == []
    ok(scylla("clean", "--yes"))
    ok(scylla("verify"))


@pytest.mark.thorough
def test_a_driver_that_decodes_what_is_copied(cli: Cli, client: Any) -> None:
    """Nothing is begun, and nothing is copied where it had been."""
    revisions(cli, (f"-- migrate:rebuild\n{INTO_ONE}", f"-- migrate:rebuild\n{T}"))
    ok(cli("up", "1"))
    before, log = fill(cli, client), cli.json("status", "--log")["log"]
    told(cli.decoding("up", *GO), 2, "decodes bigint", "No row was copied", "pip install scylla-")
    assert cells.differences(before, cells.read(client, cli.keyspace, "t")) == []
    assert cli.json("status", "--log")["log"] == log
    ok(cli("up", *GO))


@pytest.mark.thorough
def test_a_column_that_was_dropped(scylla: Cli, client: Any) -> None:
    """The time of the DROP is in microseconds: nothing is hidden that comes back behind it."""
    revisions(scylla, ("ALTER TABLE t DROP (v, w);", "ALTER TABLE t ADD (v text, w text);"))
    ok(scylla("up", "1"))
    before = fill(scylla, client)
    ok(scylla("up", *GO, "--set-aside"))
    ok(scylla("verify"))
    ok(scylla("down", "1", *GO))
    after = cells.read(client, scylla.keyspace, "t")
    assert {key: {n: c.value for n, c in row.items()} for key, row in after.items()} == {
        key: {n: c.value for n, c in row.items()} for key, row in before.items()
    }
    ok(scylla("verify"))


@pytest.mark.thorough
def test_an_index_and_its_own_view(scylla: Cli, client: Any) -> None:
    """Such a view is nobody's: it comes and goes with the index, also when the table is rebuilt."""
    revisions(
        scylla,
        ("CREATE INDEX by_v ON t (v);", "DROP INDEX by_v;"),
        (f"-- migrate:rebuild\n{INTO_ONE}", f"-- migrate:rebuild\n{T}"),
        ("DROP INDEX by_v;", "CREATE INDEX by_v ON t (v);"),
    )
    ok(scylla("up", "1"))
    fill(scylla, client)
    for way, at in [("up", n) for n in "234"] + [("down", n) for n in "321"]:
        ok(scylla(way, at, *GO))
        ok(scylla("verify"))


@pytest.mark.cassandra_only("a ScyllaDB has roles of its own")
def test_what_an_ordinary_role_may_not_read(ordinary: Cli, client: Any) -> None:
    """No version, no settings, no sizes: only a plan with a view needs what it may not have."""
    said = ok(ordinary("up", "1"))
    assert said.startswith("ScyllaDB ("), said
    ok(ordinary("seed", "--random-seed", "1"))
    before = cells.read(client, ordinary.keyspace)
    unread = "allows can't be read (twcs_max_window_count), and 50 is what it has unset"
    assert unread in ok(ordinary("plan", "3", "--outage-accepted"))
    assert unread in ok(ordinary("up", "3", *GO))
    for command in ("status --log", "verify", "diff 1 live", "show 3 --schema"):
        assert ok(ordinary(*command.split()))
    table = "system_distributed.view_build_status"
    told(ordinary("up", *GO), 7, f"GRANT SELECT ON TABLE {table} TO", "Nothing was changed.")
    ok(ordinary("down", "1", *GO, "--set-aside"))
    assert cells.differences(before, cells.read(client, ordinary.keyspace)) == []
    ok(ordinary("clean", "--yes"))
