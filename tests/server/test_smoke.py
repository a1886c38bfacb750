"""The whole line once, through the real command: up, status, up again, back to 3, verify."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli

pytestmark = [pytest.mark.as_installed, pytest.mark.journey]


def tables(client: Any, keyspace: str) -> set[str]:
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    return {row["table_name"] for row in client.execute(asked, (keyspace,))}


def views(client: Any, keyspace: str) -> set[str]:
    asked = "SELECT view_name FROM system_schema.views WHERE keyspace_name = %s"
    return {row["view_name"] for row in client.execute(asked, (keyspace,))}


def test_up_makes_the_keyspace_the_table_and_the_view(cli: Cli, client: Any) -> None:
    result = cli("up")
    assert result.code == 0, result
    assert f"{cli.keyspace} is at 0004" in result.out
    assert "call_records" in tables(client, cli.keyspace)
    assert views(client, cli.keyspace) == {"calls_by_completion"}


@pytest.mark.thorough
def test_status_lists_the_four(cli: Cli) -> None:
    assert cli("up", "2").code == 0
    result = cli("status", "--check")
    assert result.code == 3, result
    states = [line.split()[-6:] for line in result.out.splitlines() if line.startswith("  000")]
    assert len(states) == 4
    assert result.out.count(" applied ") == 2
    assert result.out.count(" pending") == 3  # two revisions and the last line's "2 pending."


@pytest.mark.thorough
def test_up_again_does_nothing(cli: Cli, client: Any) -> None:
    assert cli("up").code == 0
    before = history(client, cli.keyspace)
    result = cli("up")
    assert result.code == 0, result
    assert history(client, cli.keyspace) == before
    assert len(before) == 4


@pytest.mark.thorough
def test_down_takes_the_view_back(cli: Cli, client: Any) -> None:
    assert cli("up").code == 0
    result = cli("down", "3", "--yes")
    assert result.code == 0, result
    assert views(client, cli.keyspace) == set()
    assert "call_records" in tables(client, cli.keyspace)
    assert len(history(client, cli.keyspace)) == 3


@pytest.mark.thorough
def test_verify_agrees_and_sees_a_change(cli: Cli, client: Any) -> None:
    assert cli("up").code == 0
    assert cli("verify").code == 0
    client.execute(f"ALTER TABLE {cli.keyspace}.call_records ADD stray int")
    result = cli("verify")
    assert result.code == 5, result
    assert "stray" in result.err


def history(client: Any, keyspace: str) -> list[dict[str, Any]]:
    return sorted(
        client.execute(f"SELECT * FROM {keyspace}.database_migrations"),
        key=lambda row: row["version"],
    )
