"""SIGKILL at any moment of `up` 1 to 4 and `down` 4 to 1, once or several times; then the same
command again until it is done.

Afterwards an independent client compares every cell, with its write time and its life, with what it
read before: none lost, none doubled. Schema and history must be as an undisturbed run leaves them.

A run is killed when it sends its Nth request: before it is sent on, as it is sent on, or a moment
later. Each N is as likely as any other, whatever the speed of the machine. The rounds go up and
down on one keyspace, so that each begins with what the ones before left; it is a new one after a
while. 5 rounds, 500 with CALLDROP_TESTS=full, or CALLDROP_ROUNDS; CALLDROP_SEED draws the same
again.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Address, Cli, Result
from tests.server.test_rebuild_killed import without_times_of
from tests.server.test_rebuild_misfits import (
    DOUBLE,
    WITHOUT,
    asides,
    newest_of_each,
    read_asides,
    tables,
    write_collisions,
    write_without_destination,
)
from tests.server.test_rebuild_rows import AT_1, AT_2, Writer, calls, write_mixed
from tests.support import cells
from tests.support.told import ok
from tests.support.wire import HANDSHAKE, Fault, Harm, tapped

FULL = os.environ.get("CALLDROP_TESTS") == "full"
ROUNDS = int(os.environ.get("CALLDROP_ROUNDS") or (500 if FULL else 5))
ON_ONE_KEYSPACE = 20
AGAIN = 4
GO = ("--yes", "--outage-accepted", "--set-aside")
SHORT = {"CALLDROP_DDL_TIMEOUT": "5", "CALLDROP_LEASE_TTL": "10", "CALLDROP_SETTLE_TIME": "0.3"}
WAYS = {"up": ("up", *GO), "down": ("down", "1", *GO)}
EARLIER = 2 * cells.EARLIER


@pytest.fixture
def draw() -> random.Random:
    seed = int(os.environ.get("CALLDROP_SEED") or random.randrange(10**6))
    print(f"seed: CALLDROP_SEED={seed}")
    return random.Random(seed)


class Keyspace:
    """Calls that go up and down; some fit into one of the shapes only."""

    def __init__(self, cli: Cli, client: Any, each: int = 2) -> None:
        self.cli, self.client = cli, client
        ok(cli("up", "1"))
        writer = Writer(client, cli.keyspace)
        write_mixed(writer, each)
        write_without_destination(writer, 3)
        self.requests: dict[str, int] = {}

    def schema(self) -> list[Any]:
        """All columns of the tables, without ids and times."""
        asked = "SELECT * FROM system_schema.columns WHERE keyspace_name = %s"
        found = self.client.execute(asked, [self.cli.keyspace])
        return sorted(
            (r["table_name"], r["kind"], r["position"], r["column_name"], r["type"])
            for r in found
            if "__" not in r["table_name"]
        )

    def pass_through(self, way: str, run: Callable[[tuple[str, ...]], str]) -> None:
        """One way, by whatever means; everything is as it must be afterwards."""
        cli, client = self.cli, self.client
        before, shape = calls(client, cli)
        aside = WITHOUT if way == "down" else DOUBLE
        back = read_asides(client, cli, aside)
        told = run(WAYS[way])
        after, _ = calls(client, cli)
        if way == "up":
            fit = {key: row for key, row in before.items() if "destination_number" in row}
            wanted, goes, revision = cells.by(fit, shape, AT_2) | back, WITHOUT, 4
        else:
            fit = newest_of_each(before)
            returned = without_times_of(back, "destination_number")
            wanted, goes, revision = cells.by(fit, shape, AT_1) | returned, DOUBLE, 1
        rest = {key: row for key, row in before.items() if key not in fit}
        assert cells.differences(wanted, after, earlier=EARLIER) == [], told
        aside_now = read_asides(client, cli, goes)
        assert cells.differences(rest, aside_now, earlier=EARLIER) == [], told
        left = [name for name in sorted(tables(client, cli)) if "__" in name]
        assert left == (asides(client, cli, goes) if rest else []), told
        assert len(left) == bool(rest), told
        status = cli.json("status")
        assert (status["current"], status["drift"]) == (revision, []), told
        # Killed before it gave the lease back, with nothing left to do: its end is known.
        assert status["lease"] is None or status["lease"]["dead"], told
        states = [r["state"] for r in status["revisions"]]
        assert states == ["applied"] * revision + ["pending"] * (4 - revision), told
        assert history(client, cli) == [(n, "SUCCEEDED") for n in range(1, revision + 1)], told
        ok(cli("verify"))


def history(client: Any, cli: Cli) -> list[tuple[int, str]]:
    """As it is in the table, not as the tool tells it."""
    found = client.execute(f"SELECT version, state FROM {cli.keyspace}.database_migrations")
    return sorted((row["version"], row["state"]) for row in found)


class Killing:
    """Runs commands through a proxy, and kills them there, `delay` seconds behind a fault."""

    def __init__(self, cli: Cli, server: Address, draw: random.Random) -> None:
        self.cli, self.server, self.draw = cli, server, draw
        self.kills = 0

    def run(self, command: tuple[str, ...], fault: Fault | None = None) -> tuple[Result, int]:
        """One run; how many requests it sent."""
        pids: list[int] = []
        begun = threading.Event()

        def kill() -> None:
            begun.wait(10)
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pids[0], 9)

        if fault is not None:
            act = kill if not fault.delay else threading.Timer(fault.delay, kill).start
            fault = replace(fault, act=act)
        with tapped(self.server.hosts[0], self.server.port, fault) as tap:
            env = SHORT | {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
            process = self.cli.start(*command, env=env)
            pids.append(process.pid)
            begun.set()
            out, err = process.communicate(timeout=120)
        self.kills += process.returncode == -9
        sent = sum(request.kind not in HANDSHAKE for request in tap.requests)
        return Result(process.returncode, out, err), sent

    def until_done(self, moments: Sequence[float], requests: int, command: tuple[str, ...]) -> str:
        """Killed at each of the moments, parts of a whole run; then run until it is done."""
        told = []
        for moment in moments:
            number = 1 + int(moment * requests)
            harm: Harm = self.draw.choice(["swallow request", "none", "none"])
            delay = self.draw.choice([0.0, self.draw.uniform(0, 0.1)]) if harm == "none" else 0.0
            fault = Fault(number, harm, delay)
            result, sent = self.run(command, fault)
            told.append(f"{fault}: exit {result.code} behind {sent} requests\n{result.err}")
            if result.code == 0:  # it needed fewer: there was less left to do
                return "\n".join(told)
            assert result.code == -9, "\n".join(told)
        for _ in range(AGAIN):
            again, _ = self.run(command)
            told.append(f"again: exit {again.code}\n{again.err}")
            assert again.code in (0, 6, 8, 10), "\n".join(told)
            if again.code == 0:
                return "\n".join(told)
        raise AssertionError("\n".join(told))


def test_killed_at_any_moment_and_run_again(
    make_cli: Callable[[str], Cli], client: Any, server: Address, draw: random.Random
) -> None:
    moments = [(at + draw.random()) / ROUNDS for at in range(ROUNDS)]
    draw.shuffle(moments)
    kills = 0
    for first in range(0, ROUNDS, ON_ONE_KEYSPACE):
        cli = make_cli(f"k_{uuid4().hex[:12]}")
        keyspace, killing = Keyspace(cli, client), Killing(cli, server, draw)
        requests, schemas = undisturbed(keyspace, killing)
        print(f"requests: {requests}", flush=True)
        for at, moment in enumerate(moments[first : first + ON_ONE_KEYSPACE]):
            way = ("up", "down")[at % 2]
            several = [moment, *(draw.random() for _ in range(draw.choice([0, 0, 0, 1, 1, 2])))]
            print(f"{first + at} {way} {[round(m, 3) for m in several]}", flush=True)
            keyspace.pass_through(way, partial(killing.until_done, several, requests[way]))
            assert keyspace.schema() == schemas[way]
        kills += killing.kills
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")
    print(f"{ROUNDS} rounds, {kills} kills")
    assert kills >= ROUNDS * 0.8


def undisturbed(
    keyspace: Keyspace, killing: Killing
) -> tuple[dict[str, int], dict[str, list[Any]]]:
    """How many requests either way takes, and the schema behind it."""
    requests: dict[str, int] = {}
    schemas: dict[str, list[Any]] = {}

    def run(command: tuple[str, ...]) -> str:
        result, requests[command[0]] = killing.run(command)
        return ok(result)

    for way in ("up", "down"):
        keyspace.pass_through(way, run)
        schemas[way] = keyspace.schema()
        if way == "up":
            write_collisions(keyspace.client, keyspace.cli, groups=3)
    return requests, schemas
