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
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from tests.support.cli import Cli
from tests.support.killing import Killing
from tests.support.misfits import write_collisions
from tests.support.rounds import Keyspace
from tests.support.servers import Address
from tests.support.settings import FULL
from tests.support.told import ok

pytestmark = [pytest.mark.twin, pytest.mark.journey]

ROUNDS = int(os.environ.get("CALLDROP_ROUNDS") or (500 if FULL else 5))
ON_ONE_KEYSPACE = 20


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
