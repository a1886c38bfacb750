"""Fixtures of several test modules of this folder."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.calls import Calls
from tests.support.cli import Cli
from tests.support.contract import Server, real, simulated


@pytest.fixture
def draw() -> random.Random:
    seed = int(os.environ.get("CALLDROP_SEED") or random.randrange(10**6))
    print(f"seed: CALLDROP_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def mixed_calls(cli: Cli, client: Any) -> Calls:
    """Revision 1 with calls of all kinds."""
    return Calls(cli, client)


@pytest.fixture(scope="module", params=["simulated", "real"])
def both_servers(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A table on the simulator, and on the server of this run: one keyspace for a module."""
    if request.param == "simulated":
        with simulated() as found:
            yield found
        return
    with real(*map(request.getfixturevalue, ("client", "server"))) as found:
        yield found


@pytest.fixture
def server_of(both_servers: Server) -> Server:
    """The same, with a new table for each test and nothing beside it."""
    both_servers.anew()
    return both_servers
