"""A node that stands still, or dies: before a run, in the middle of it, after it."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from cassandra.cluster import NoHostAvailable

from tests.support import cells
from tests.support.cli import Cli
from tests.support.ring import Ring, ids_of, through
from tests.support.sampling import sample
from tests.support.settings import GO, SHORT
from tests.support.told import ok, told

LEASE_OF_20_S = SHORT | {"CALLDROP_LEASE_TTL": "20"}
TABLE = "call_records"


def fill(client: Any, cli: Cli, count: int = 40) -> None:
    for number in range(count):
        client.execute(
            f"INSERT INTO {cli.keyspace}.{TABLE} (source_phone_number, call_timestamp, "
            "destination_number, call_completed) VALUES (%s, %s, '+2', true)",
            [f"+1{number}", 1_700_000_000_000 + number],
        )


def clean_everywhere(cli: Cli, nodes: Ring, each: list[Any]) -> None:
    """One schema, one id for each table, and nothing to find on any node."""
    one, *others = ids_of(each, cli.keyspace)
    assert all(other == one for other in others)
    for n in range(3):
        ok(cli("verify", env=through(nodes, n)))


@pytest.mark.thorough
def test_no_agreement_is_no_success(cli: Cli, nodes: Ring, each: list[Any]) -> None:
    """A node takes no new schema: exit 10, and again 10, until it does."""
    ok(cli("up", "2"))
    with nodes.frozen(2):
        first = cli("up", "3", env=LEASE_OF_20_S | through(nodes, 0))
        if "does not answer" in first.err:  # the others had not noticed yet that it stands still
            told(first, 10)
            first = cli("up", "3", env=LEASE_OF_20_S | through(nodes, 0))
        told(first, 10, nodes.hosts[2], "did not take over", "0003 was begun")
        again = cli("up", "3", env=LEASE_OF_20_S | through(nodes, 0))
        told(again, 10, nodes.hosts[2], "did not take over")
    until_agreed(each)
    ok(cli("up", env=through(nodes, 0)))
    clean_everywhere(cli, nodes, each)


def until_agreed(each: list[Any]) -> None:
    deadline = time.monotonic() + 180
    while True:
        versions: set[Any] = set()
        with suppress(NoHostAvailable):  # its client has not found it again yet
            versions = {
                s.execute("SELECT schema_version AS v FROM system.local").one()["v"] for s in each
            }
        if len(versions) == 1:
            return
        assert time.monotonic() < deadline, versions
        time.sleep(0.5)


@pytest.mark.twin
@pytest.mark.parametrize(
    "at", sample(["after | DROP TABLE", "after | CREATE TABLE call_records__"])
)
def test_a_node_that_lags_between_a_schema_change_and_its_recovery(
    cli: Cli, client: Any, nodes: Ring, each: list[Any], at: str
) -> None:
    """It shows the old schema: a CREATE repeated there would give the table a second id."""
    ok(cli("up", "1"))
    fill(client, cli)
    before = cells.read(client, cli.keyspace)
    with nodes.frozen(2):
        killed = cli.at(f"kill | {at}", "up", *GO, env=LEASE_OF_20_S | through(nodes, 0))
        assert killed.code in (-signal.SIGKILL, 10)
    # The one that lagged is asked at once.
    result = cli("up", *GO, env=through(nodes, 2))
    if result.code != 0:
        assert result.code in (8, 10), result
        until_agreed(each)
        ok(cli("up", *GO, env=through(nodes, 2)))
    clean_everywhere(cli, nodes, each)
    shape = cells.Columns(("source_phone_number", "call_timestamp"), ())
    by = ("source_phone_number", "destination_number", "call_timestamp")
    assert cells.differences(cells.by(before, shape, by), cells.read(client, cli.keyspace)) == []


@pytest.mark.thorough
def test_a_node_dies_before_during_and_after_a_run(
    cli: Cli, client: Any, nodes: Ring, each: list[Any]
) -> None:
    ok(cli("up", "1"))
    fill(client, cli)
    before = cells.read(client, cli.keyspace)

    nodes.kill(2)  # before: its replicas can't be read, so nothing may be dropped
    try:
        result = cli("up", *GO, env=LEASE_OF_20_S | through(nodes, 0))
        assert result.code == 10, result
        assert f"DROP TABLE {TABLE}" not in ran(client, cli)
    finally:
        nodes.start(2)
    until_agreed(each)

    killer = threading.Timer(4, nodes.kill, (1,))  # during, whatever it is at
    killer.start()
    try:
        result = cli("up", *GO, env=LEASE_OF_20_S | through(nodes, 0))
        assert result.code in (0, 8, 10), result
    finally:
        killer.join()
        nodes.start(1)
    until_agreed(each)
    ok(cli("up", *GO, env=through(nodes, 0)))

    nodes.kill(0)  # after
    try:
        # Until the others have noticed, they may ask it, wait for it and give up.
        deadline = time.monotonic() + 120
        while (result := cli("status", env=through(nodes, 1))).code == 10:
            assert time.monotonic() < deadline, result
        ok(result)
    finally:
        nodes.start(0)
    until_agreed(each)
    clean_everywhere(cli, nodes, each)
    shape = cells.Columns(("source_phone_number", "call_timestamp"), ())
    by = ("source_phone_number", "destination_number", "call_timestamp")
    assert cells.differences(cells.by(before, shape, by), cells.read(client, cli.keyspace)) == []


def ran(client: Any, cli: Cli) -> list[str]:
    found = client.execute(f"SELECT event, statement FROM {cli.keyspace}.migration_journal")
    return [row["statement"] for row in found if row["event"] == "applied"]


@pytest.mark.thorough
def test_the_pinned_node_dies_and_another_run_takes_another(
    cli: Cli, client: Any, nodes: Ring, each: list[Any]
) -> None:
    ok(cli("up", "1"))
    fill(client, cli)
    hosts = {"CALLDROP_HOSTS": ",".join(nodes.hosts[:2])}
    killer = threading.Timer(3, nodes.kill, (0,))
    killer.start()
    try:
        first = cli("up", *GO, "--repaired", env=LEASE_OF_20_S | hosts)
    finally:
        killer.join()
    try:
        assert first.code in (0, 8, 10), first
        # A replica is away: what would be dropped can't be read from all of them.
        told(cli("up", *GO, env=LEASE_OF_20_S | through(nodes, 1)), 10) if first.code else None
    finally:
        nodes.start(0)
    until_agreed(each)
    ok(cli("up", *GO, env=through(nodes, 1)))
    assert len(cells.read(client, cli.keyspace)) == 40
    clean_everywhere(cli, nodes, each)
