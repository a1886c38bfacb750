"""Runners whose clocks are 10 s ahead and behind, alternately: rows, history and lease are as with
right ones.

A plain DELETE from a client whose clock is ahead would hide what the next one inserts
(docs/protocol.md 2): everything that must be in order goes by the server's time, or by none.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.held import First
from tests.support.misfits import write_collisions
from tests.support.rounds import Keyspace
from tests.support.servers import Address
from tests.support.settings import BRIEF, FULL, QUICK, WAIT
from tests.support.told import ok, told
from tests.support.wire import Fault

pytestmark = pytest.mark.thorough

OFF = 10  # seconds

TURNS = (
    *(("up", -OFF), ("down", OFF), ("up", -OFF), ("down", -OFF), ("up", OFF)),
    *(("down", OFF), ("up", 0), ("down", -OFF), ("up", OFF), ("down", 0), ("up", -OFF)),
)


def clock(seconds: int) -> dict[str, str]:
    return {"TEST_CLOCK": str(seconds)}


def test_clocks_ahead_and_behind_alternately(cli: Cli, client: Any) -> None:
    runner = cli
    keyspace, began = Keyspace(runner, client), time.monotonic()
    for at, (way, off) in enumerate(TURNS if FULL else TURNS[:3]):
        turn = time.time()

        def run(command: tuple[str, ...], off: int = off) -> str:
            return ok(runner(*command, env=QUICK | clock(off)))

        keyspace.pass_through(way, run)
        if at == 0:
            write_collisions(client, runner, groups=3)
        wrong(client, cli.keyspace, turn, off)
        right(client, cli.keyspace, began)


def wrong(client: Any, keyspace: str, turn: float, off: int) -> None:
    """That the clock of the run that began at `turn` was off: in what it noted itself."""
    newest = client.execute(
        f"SELECT at FROM {keyspace}.migration_journal WHERE keyspace_name = %s LIMIT 1", [keyspace]
    ).one()["at"]
    apart = newest.replace(tzinfo=UTC) - datetime.fromtimestamp(time.time() + off, UTC)
    assert turn - time.time() - 1 <= apart.total_seconds() <= 1
    asked = f"SELECT max(WRITETIME(rows)) AS w FROM {keyspace}.migration_progress"
    written = client.execute(asked).one()["w"] / 1e6
    assert off < 0 or written > turn + off


def right(client: Any, keyspace: str, began: float) -> None:
    """That the history goes by the server's time."""
    asked = f"SELECT WRITETIME(state) AS w FROM {keyspace}.database_migrations"
    earliest = time.time() - (time.monotonic() - began) - OFF / 2
    for row in client.execute(asked):
        assert earliest < row["w"] / 1e6 < time.time() + OFF / 2


@pytest.mark.parametrize("ahead", [OFF, -OFF] if FULL else [OFF])
def test_a_lease_excludes_a_runner_whose_clock_is_off(
    cli: Cli, client: Any, server: Address, ahead: int
) -> None:
    """Twice as far from the holder's: while it lasts nobody gets it, and when it ends it is
    lost.
    """
    runner = cli
    keyspace = Keyspace(runner, client)
    first = First(runner, server)
    drop = Fault(1, "none", of=r"^DROP TABLE call_records__", act=first.stop)

    def run(command: tuple[str, ...]) -> str:
        with first.begun(drop, *command, env=BRIEF | clock(ahead)):
            assert first.stopped.wait(60)
            told(runner(*command, env=BRIEF | clock(-ahead)), 6, "is held by")
            second = runner(*command, *WAIT, env=BRIEF | clock(-ahead))
            said = told(first.ended(), 6, "lost")
        return said + ok(second)

    keyspace.pass_through("up", run)
