"""What goes over the wire: how many requests, and that reading commands send nothing that could
write.
"""

from __future__ import annotations

from tests.conftest import Address, Cli
from tests.wire import Tap, tapped

# cassandra-migrate takes 101 for the same four revisions, without lease or journal (its driver's
# own included).
MOST_REQUESTS = 100


def through(tap: Tap) -> dict[str, str]:
    return {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}


def test_fresh_up_takes_few_requests(cli: Cli, server: Address) -> None:
    with tapped(server.hosts[0], server.port) as tap:
        result = cli("up", env=through(tap))
    assert result.code == 0, result.err
    assert 50 < len(tap.requests) < MOST_REQUESTS


def test_up_at_head_changes_nothing(cli: Cli, server: Address) -> None:
    assert cli("up").code == 0
    with tapped(server.hosts[0], server.port) as tap:
        result = cli("up", env=through(tap))
    assert result.code == 0
    assert len(tap.requests) > 5
    assert [r for r in tap.requests if r.changes] == []


READING = [
    ("status",),
    ("status", "--log"),
    ("verify",),
    ("plan", "1", "--set-aside", "--outage-accepted"),
    ("up", "--dry-run"),
    ("down", "base", "--dry-run", "--discard-rows", "--outage-accepted"),
]


def test_reading_commands_neither_write_nor_prepare_a_write(cli: Cli, server: Address) -> None:
    assert cli("up").code == 0
    assert cli("seed", "--random-seed", "1").code == 0
    for command in READING:
        with tapped(server.hosts[0], server.port) as tap:
            result = cli(*command, env=through(tap))
        assert result.code == 0, (command, result.err)
        assert any(r.cql.startswith("SELECT") for r in tap.requests), command
        assert [r for r in tap.requests if r.changes] == [], command


def test_settings_are_read_for_a_plan_that_makes_a_view_alone(cli: Cli, server: Address) -> None:
    asked = []
    for command in (["up", "3"], ["plan"], ["up"], ["up"], ["status"]):
        with tapped(server.hosts[0], server.port) as tap:
            assert cli(*command, env=through(tap)).code == 0, command
        asked.append(sum("system_views.settings" in r.cql for r in tap.requests))
    assert asked == [0, 1, 1, 0, 0]


def test_reading_an_absent_keyspace_makes_nothing(cli: Cli, server: Address) -> None:
    with tapped(server.hosts[0], server.port) as tap:
        results = [
            cli(*command, env=through(tap))
            for command in (["status"], ["plan"], ["status", "--json"])
        ]
    assert [r.code for r in results] == [0, 0, 0]
    assert [r for r in tap.requests if r.changes] == []


def test_the_tap_sees_writes(cli: Cli, server: Address) -> None:
    with tapped(server.hosts[0], server.port) as tap:
        assert cli("up", env=through(tap)).code == 0
    written = [r.cql for r in tap.requests if r.changes]
    assert any(cql.startswith("CREATE KEYSPACE") for cql in written)
    assert any(cql.startswith("BEGIN BATCH UPDATE") for cql in written)
