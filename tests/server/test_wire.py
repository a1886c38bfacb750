"""What goes over the wire: how many requests, and that reading commands send nothing that could
write.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cassandra.cluster import Session

from tests.support.asking import is_scylla
from tests.support.cli import Cli
from tests.support.servers import Address
from tests.support.wire import Tap, tapped

# cassandra-migrate takes 101 for the same four revisions, without lease or journal (its driver's
# own included). Which ScyllaDB it is, and what it can do, takes a few more.
MOST_REQUESTS = 100
MORE_ON_SCYLLA = 10


def through(tap: Tap) -> dict[str, str]:
    return {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}


def test_fresh_up_takes_few_requests(cli: Cli, server: Address, client: Session) -> None:
    with tapped(server.hosts[0], server.port) as tap:
        result = cli("up", env=through(tap))
    assert result.code == 0, result.err
    most = MOST_REQUESTS + MORE_ON_SCYLLA * is_scylla(client)
    assert 50 < len(tap.requests) < most


# What only reads, with its exit codes: where there is no keyspace, at head, half-way up.
READING: dict[str, tuple[int, int, int]] = {
    "status": (0, 0, 0),
    "status --log": (0, 0, 0),
    "status --check": (3, 0, 3),
    "status --json": (0, 0, 0),
    "verify": (5, 0, 5),
    "plan": (0, 0, 0),
    "plan base": (0, 9, 9),
    "plan 1 --set-aside --outage-accepted": (0, 0, 2),
    "plan --no-scan": (0, 0, 0),
    "up --dry-run": (0, 0, 0),
    "up --dry-run --outage-accepted": (0, 0, 0),
    "down base --dry-run --discard-rows --outage-accepted": (2, 0, 0),
    "down --steps 1 --dry-run": (2, 0, 9),
    "diff 1 head": (0, 0, 0),
    "diff live head": (0, 0, 0),
    "diff base live": (0, 0, 0),
    "show 2": (0, 0, 0),
    "show head --schema": (0, 0, 0),
    "show 1 --applied": (2, 0, 0),
    "seed --list": (0, 0, 0),
    "repair": (2, 0, 0),
    "unlock": (0, 0, 2),
}
# What changes something elsewhere, and here has nothing to do.
IDLE = {
    "up": 0,
    "up 4": 0,
    "up --yes --set-aside --outage-accepted": 0,
    "down 4 --yes": 0,
    "stamp head --yes": 0,
    "repair --accept --yes": 0,
    "repair --restore --yes": 0,
    "clean --yes": 0,
    "abort --yes": 2,
    "unlock --yes": 0,
}
OFFLINE = ("diff 1 head", "show 2", "show head --schema", "seed --list")


def codes(cli: Cli, server: Address, commands: Iterable[str]) -> dict[str, int]:
    """The exit code of each command, none of which may write, prepare a write, or end in a bug."""
    found = {}
    for command in commands:
        with tapped(server.hosts[0], server.port) as tap:
            result = cli(*command.split(), env=through(tap))
        assert [r for r in tap.requests if r.changes] == [], command
        assert any(r.cql.startswith("SELECT") for r in tap.requests) == (command not in OFFLINE)
        assert "Traceback" not in result.err, (command, result.err)
        found[command] = result.code
    return found


def of_state(at: int) -> dict[str, int]:
    return {command: found[at] for command, found in READING.items()}


@pytest.mark.thorough
def test_reading_an_absent_keyspace_makes_nothing(
    cli: Cli, server: Address, client: Session
) -> None:
    assert codes(cli, server, READING) == of_state(0)
    there = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
    assert not list(client.execute(there, (cli.keyspace,)))


@pytest.mark.thorough
def test_at_head_nothing_is_written_where_there_is_nothing_to_do(cli: Cli, server: Address) -> None:
    assert cli("up").code == 0
    assert cli("seed", "--random-seed", "1").code == 0
    assert codes(cli, server, READING) == of_state(1)
    assert codes(cli, server, IDLE) == IDLE


@pytest.mark.thorough
def test_settings_are_read_for_a_plan_that_makes_a_view_alone(
    cli: Cli, server: Address, client: Session
) -> None:
    """But on a ScyllaDB for one with windows, too: it has a setting of how many there may be."""
    asked = []
    for command in (["up", "3"], ["plan"], ["up"], ["up"], ["status"]):
        with tapped(server.hosts[0], server.port) as tap:
            assert cli(*command, env=through(tap)).code == 0, command
        settings = ("system_views.settings", "system.config")
        asked.append(sum(r.cql.endswith(settings) for r in tap.requests))
    assert asked == [int(is_scylla(client)), 1, 1, 0, 0]


@pytest.mark.thorough
def test_reading_what_a_killed_run_left_leaves_it_so(cli: Cli, server: Address) -> None:
    assert cli("up", "1").code == 0
    assert cli("seed", "--random-seed", "1").code == 0
    cli.at("kill | noted | COPY", "up", "--yes", "--outage-accepted")
    before = cli.json("status", "--log")["log"]
    assert codes(cli, server, READING) == of_state(2)
    assert cli.json("status", "--log")["log"] == before


@pytest.mark.thorough
def test_the_tap_sees_writes(cli: Cli, server: Address) -> None:
    with tapped(server.hosts[0], server.port) as tap:
        assert cli("up", env=through(tap)).code == 0
    written = [r.cql for r in tap.requests if r.changes]
    assert any(cql.startswith("CREATE KEYSPACE") for cql in written)
    assert any(cql.startswith("BEGIN BATCH UPDATE") for cql in written)
