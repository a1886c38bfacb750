"""Several runners, and runners that were killed: each revision is applied once, and what was begun
is finished.

The next issue puts this under fire on three nodes; here is what must hold on any server.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from cassandra.cluster import Session

from tests.support.cli import Cli
from tests.support.pace import seconds
from tests.support.settings import QUICK


def applied(client: Session, keyspace: str) -> list[tuple[int, str]]:
    """Each `applied` row of the journal: revision and statement."""
    found = client.execute(
        f"SELECT epoch, seq, revision, event, statement FROM {keyspace}.migration_journal"
    )
    rows = sorted(found, key=lambda row: (row["epoch"], row["seq"]))
    return [
        (row["revision"], row["statement"].split("(")[0].strip())
        for row in rows
        if row["event"] == "applied"
    ]


ALL = [
    (1, "CREATE TABLE call_records"),
    (2, "DROP TABLE call_records"),
    (2, "CREATE TABLE call_records"),
    (3, "ALTER TABLE call_records WITH compaction = {"),
    (4, "CREATE MATERIALIZED VIEW calls_by_completion AS"),
    (4, "AWAIT calls_by_completion"),
]


def heads(found: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(revision, statement.split("\n")[0].strip()) for revision, statement in found]


@pytest.mark.thorough
@pytest.mark.parametrize(("wait", "codes"), [((), {0, 6}), (("--wait-for-lease", "60"), {0})])
def test_runners_at_once_apply_each_revision_once(
    cli: Cli, client: Session, wait: tuple[str, ...], codes: set[int]
) -> None:
    runners = [cli.start("up", "--yes", *wait) for _ in range(4)]
    ended = [(runner.wait(100), *runner.communicate()) for runner in runners]
    assert {code for code, _, _ in ended} <= codes, ended
    assert 0 in {code for code, _, _ in ended}
    for code, _, err in ended:
        if code == 6:
            assert "is held by" in err
            assert "--wait-for-lease" in err
    assert heads(applied(client, cli.keyspace)) == ALL
    assert cli("verify").code == 0


def test_a_killed_runner_is_taken_over_at_once(cli: Cli, client: Session) -> None:
    """On this machine it is seen to be dead; nobody waits for its lease to end."""
    lease = QUICK | {"CALLDROP_LEASE_TTL": "60"}
    killed = cli.at("kill | after | CREATE TABLE call_records", "up", env=lease)
    assert killed.code == -signal.SIGKILL
    began = time.monotonic()
    result = cli("up", env=lease)
    assert result.code == 0, result.err
    assert time.monotonic() - began < seconds(40)
    assert heads(applied(client, cli.keyspace)) == ALL
    assert cli("verify").code == 0
    assert cli("up").code == 0


@pytest.mark.thorough
def test_status_shows_what_is_half_way(cli: Cli, client: Session) -> None:
    broken(
        cli,
        "CREATE TABLE one (a int PRIMARY KEY);\nCREATE TABLE two (a int PRIMARY KEY, b nonsense);",
    )
    result = cli("up")
    assert result.code == 7
    shown = cli("status")
    assert "half-way" in shown.out
    assert "0005_more.cql:3:" in shown.out


def broken(cli: Cli, statements: str) -> Path:
    """A fifth revision with these statements."""
    path = cli.folder / "migrations" / "0005_more.cql"
    path.write_text(
        f"-- migrate:up\n{statements}\n-- migrate:down\nDROP TABLE two;\nDROP TABLE one;\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.thorough
def test_a_run_goes_on_at_the_refused_statement(cli: Cli, client: Session) -> None:
    broken(
        cli,
        "CREATE TABLE one (a int PRIMARY KEY);\nCREATE TABLE two (a int PRIMARY KEY, b nonsense);",
    )
    refused = cli("up")
    assert refused.code == 7
    assert "0005_more.cql:3:" in refused.err
    assert "1 of 2 operations" in refused.err
    before = heads(applied(client, cli.keyspace))
    broken(
        cli, "CREATE TABLE one (a int PRIMARY KEY);\nCREATE TABLE two (a int PRIMARY KEY, b int);"
    )
    assert cli("up").code == 0
    assert heads(applied(client, cli.keyspace)) == [*before, (5, "CREATE TABLE two")]
    assert cli("down", "4", "--yes").code == 0
    assert cli("verify").code == 0


@pytest.mark.thorough
def test_what_has_run_may_not_change(cli: Cli) -> None:
    broken(
        cli,
        "CREATE TABLE one (a int PRIMARY KEY);\nCREATE TABLE two (a int PRIMARY KEY, b nonsense);",
    )
    assert cli("up").code == 7
    broken(
        cli, "CREATE TABLE one (a text PRIMARY KEY);\nCREATE TABLE two (a int PRIMARY KEY, b int);"
    )
    result = cli("up")
    assert result.code == 5
    assert "has already run" in result.err


@pytest.mark.thorough
def test_a_revision_of_which_nothing_was_applied_is_pending_again(cli: Cli) -> None:
    broken(cli, "CREATE TABLE one (a nonsense PRIMARY KEY);")
    refused = cli("up")
    assert refused.code == 7
    assert "nothing of 0005 was applied" in refused.err
    assert cli.json("status")["revisions"][-1]["state"] == "pending"
    broken(cli, "CREATE TABLE one (a int PRIMARY KEY);\nCREATE TABLE two (a int PRIMARY KEY);")
    assert cli("up").code == 0
