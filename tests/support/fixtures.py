"""Fixtures: a server, a client of it, a keyspace, command lines. They are lazy: unit tests start
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support import compose, servers
from tests.support.asking import is_scylla
from tests.support.cli import Cli
from tests.support.distribution import RAN_ON
from tests.support.forks import Forks, forking
from tests.support.handful import ALL, insert
from tests.support.pace import go_by
from tests.support.reaching import command_line, connected, datacenter_of
from tests.support.scylla import AsScylla, let_windows_be
from tests.support.servers import Address, named
from tests.support.told import ok
from tests.support.wire import tapped

_IN_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Address]:
    with ExitStack() as stack:
        found = servers.given() or compose.started(request) or servers.running()
        address = found or stack.enter_context(servers.own())
        request.config.stash[RAN_ON] = named(address)
        yield address


@pytest.fixture(scope="session")
def client(server: Address, pytestconfig: pytest.Config) -> Iterator[Any]:
    """A driver session that shares nothing with the product's own; rows are dicts."""
    with connected(server) as session:
        go_by(scylla=is_scylla(session))
        raised = let_windows_be(session) if is_scylla(session) else ""
        pytestconfig.stash[RAN_ON] = f"{named(server)}, {_version(session)}{raised}"
        yield session


@pytest.fixture(autouse=True)
def of_this_server(request: pytest.FixtureRequest) -> None:
    """Skips what the mark `cassandra_only` says that a ScyllaDB has not, and why."""
    mark = request.node.get_closest_marker("cassandra_only")
    if mark and is_scylla(request.getfixturevalue("client")):
        pytest.skip(f"on Cassandra only: {mark.args[0]}")


def _version(session: Any) -> str:
    # ScyllaDB says 3.0.8 as its release_version, whatever it is.
    if is_scylla(session):
        asked = "SELECT version FROM system.versions WHERE key = 'local'"
        return f"ScyllaDB {session.execute(asked).one()['version']}"
    local = session.execute("SELECT release_version FROM system.local").one()
    return f"Cassandra {local['release_version']}"


@pytest.fixture(scope="session")
def datacenter(client: Any) -> str:
    return datacenter_of(client)


@pytest.fixture
def keyspace(client: Any) -> Iterator[str]:
    # Letters alone: a test may look for a number in what it is told.
    name = f"t_{uuid4().hex[:16].translate(_IN_LETTERS)}"
    yield name
    client.execute(f"DROP KEYSPACE IF EXISTS {name}")


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks | None]:
    """The process that commands are forked from; none where one of many can't be waited for."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    with forking() as made:
        yield made


@pytest.fixture
def make_cli(
    request: pytest.FixtureRequest, server: Address, datacenter: str, tmp_path: Path
) -> Iterator[Callable[[str], Cli]]:
    """Makes the command line of a keyspace, each in a folder of its own."""
    as_installed = request.node.get_closest_marker("as_installed")
    forks = None if as_installed else request.getfixturevalue("forks")
    made: list[Cli] = []

    def make(name: str) -> Cli:
        folder = tmp_path / f"work{len(made) or ''}"
        made.append(command_line(folder, name, server, datacenter, forks))
        return made[-1]

    yield make
    for cli in made:
        cli.end()


@pytest.fixture
def cli(make_cli: Callable[[str], Cli], keyspace: str) -> Cli:
    return make_cli(keyspace)


@pytest.fixture
def scylla(cli: Cli, server: Address, client: Any) -> Iterator[Cli]:
    """The same where the server answers as ScyllaDB does, and on ScyllaDB itself."""
    if is_scylla(client):
        yield cli
        return
    with _as_scylla(cli, server, client) as answering:
        yield answering


@contextmanager
def _as_scylla(cli: Cli, server: Address, client: Any, *, ordinary: bool = False) -> Iterator[Cli]:
    def answers() -> AsScylla:
        return AsScylla(lambda cql: list(client.execute(cql)), ordinary=ordinary)

    with tapped(server.hosts[0], server.port, rewriting=answers) as tap:
        yield replace(cli, environment={**cli.environment, "CALLDROP_PORT": str(tap.port)})


@pytest.fixture
def ordinary(cli: Cli, server: Address, client: Any) -> Iterator[Cli]:
    """A Cassandra that answers so, and as to a role that may read no more of `system` than every
    role may.
    """
    with _as_scylla(cli, server, client, ordinary=True) as answering:
        yield answering


@pytest.fixture
def filled(cli: Cli, client: Any) -> Cli:
    """Revision 1 with five calls."""
    ok(cli("up", "1"))
    for number in range(len(ALL)):
        insert(client, cli, number)
    return cli
