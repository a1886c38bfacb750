"""What each write of the lease and of the checkpoints is for: without it one of these fails.

tests/support/mutations.py leaves them out one by one, on the simulator.
"""

from __future__ import annotations

import signal
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.support.calls import Calls
from tests.support.cli import Cli
from tests.support.schema import tables_in
from tests.support.servers import Address
from tests.support.settings import BRIEF_KEPT, GO, OTHERS_KEPT
from tests.support.told import ok, told
from tests.support.wire import tapped

pytestmark = pytest.mark.thorough

SHADOW = "call_records__0002"
COLUMNS = "owner, holder, since, lease_epoch, released_epoch, finished_epoch, TTL(owner) AS seconds"


def lease(client: Any, cli: Cli) -> Any:
    asked = f"SELECT {COLUMNS} FROM {cli.keyspace}.migration_journal WHERE keyspace_name = %s"
    return client.execute(f"{asked} LIMIT 1", [cli.keyspace]).one()


def test_a_lease_is_given_back(mixed_calls: Calls, cli: Cli, client: Any) -> None:
    """By an end for good with the epoch in both columns; by another one in the first of them."""
    row = lease(client, cli)
    assert (row["owner"], row["holder"], row["since"]) == (None, None, None)
    assert row["lease_epoch"] == row["released_epoch"] == row["finished_epoch"] == 1
    interrupted = cli.begin(f"sh kill -INT $PPID | after | CREATE TABLE {SHADOW}", "up", "2", *GO)
    assert interrupted.wait(60) == 130
    row = lease(client, cli)
    assert row["owner"] is None
    assert (row["lease_epoch"], row["released_epoch"], row["finished_epoch"]) == (2, 2, 1)
    killed = cli.at("kill | before | DROP TABLE call_records", "up", "2", *GO)
    assert killed.code == -signal.SIGKILL
    row = lease(client, cli)
    assert row["owner"] is not None
    assert (row["lease_epoch"], row["released_epoch"], row["finished_epoch"]) == (3, 2, 1)


def test_each_row_of_the_journal_renews_the_lease(
    mixed_calls: Calls, cli: Cli, client: Any
) -> None:
    env = {"CALLDROP_LEASE_TTL": "20", "CALLDROP_DDL_TIMEOUT": "5"}
    runner = cli.begin(f"pause 4 | after | CREATE TABLE {SHADOW}", "up", "2", *GO, env=env)
    seen = []
    while runner.poll() is None:
        seen.append(lease(client, cli)["seconds"] or 0)
    assert runner.returncode == 0
    assert any(after - before >= 3 for before, after in pairwise(seen) if before)


def test_the_lease_is_renewed_while_something_takes_long(mixed_calls: Calls, cli: Cli) -> None:
    """Longer than the lease lasts: here the wait for what a killed run may have sent.

    Nothing in the journal says that it did.
    """
    killed = cli.at(f"kill | after | COPY call_records TO {SHADOW}", "up", "2", *GO, env=BRIEF_KEPT)
    assert killed.code == -signal.SIGKILL
    slow = {"CALLDROP_DDL_TIMEOUT": "4", "CALLDROP_LEASE_TTL": "9", "CALLDROP_SETTLE_TIME": "12"}
    began = time.monotonic()
    ok(mixed_calls.cli("up", "2", *GO, env=slow))
    assert time.monotonic() - began > 12


def test_nothing_is_sent_when_too_little_is_left_of_the_lease(
    mixed_calls: Calls, cli: Cli, client: Any
) -> None:
    paused = cli.at(f"pause 6 | before | CREATE TABLE {SHADOW}", "up", "2", *GO, env=BRIEF_KEPT)
    told(paused, 6, "lost")
    assert not [name for name in tables_in(client, cli) if "__" in name]


def test_the_lease_is_renewed_once_more_before_a_drop(mixed_calls: Calls, cli: Cli) -> None:
    """What came behind its row may have taken so long that too little would be left."""
    ok(cli.at("pause 1.5 | before | DROP TABLE call_records", "up", "2", *GO, env=BRIEF_KEPT))
    mixed_calls.check(2)


def test_what_is_copied_is_not_copied_again(mixed_calls: Calls, cli: Cli, server: Address) -> None:
    killed = cli.at(f"kill | after | COPY call_records TO {SHADOW}", "up", "2", *GO, env=BRIEF_KEPT)
    assert killed.code == -signal.SIGKILL
    with tapped(server.hosts[0], server.port) as tap:
        env = BRIEF_KEPT | {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
        ok(mixed_calls.cli("up", "2", *GO, env=env))
    written = [r.cql for r in tap.requests if r.changes and f".{SHADOW}" in r.cql]
    assert not [cql for cql in written if cql.startswith(("INSERT", "UPDATE"))]
    mixed_calls.check(2)


def test_what_a_killed_run_did_is_in_the_journal(mixed_calls: Calls, cli: Cli) -> None:
    killed = cli.at("kill | after | DROP TABLE call_records", "up", "2", *GO, env=BRIEF_KEPT)
    assert killed.code == -signal.SIGKILL
    ok(mixed_calls.cli("up", "2", *GO, env=OTHERS_KEPT))
    rows = cli.json("status", "--log")["log"]
    of = {
        event: {(row["attempt"], row["operation"]) for row in rows if row["event"] == event}
        for event in ("before", "applied")
    }
    assert of["before"] == of["applied"]
