"""Fixtures: a server, a client of it, a keyspace, command lines. They are lazy: unit tests start
nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support import compose, servers
from tests.support.asking import asking_again, is_scylla
from tests.support.cli import Cli
from tests.support.distribution import RAN_ON
from tests.support.forks import Forks, forking
from tests.support.handful import ALL, insert
from tests.support.places import PROJECT
from tests.support.scylla import AsScylla
from tests.support.servers import Address, named
from tests.support.told import ok
from tests.support.wire import tapped

# How to reach a server that was given; every other CALLDROP_* of the developer stays out of tests.
_REACHING = ("CALLDROP_USERNAME", "CALLDROP_PASSWORD", "CALLDROP_LOCAL_DC")
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
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.io.asyncioreactor import AsyncioConnection
    from cassandra.policies import RoundRobinPolicy
    from cassandra.query import dict_factory

    user = os.environ.get("CALLDROP_USERNAME", "")
    cluster = Cluster(
        list(server.hosts),
        port=server.port,
        connection_class=AsyncioConnection,
        protocol_version=4,  # of v5 the driver loses a part of large replies
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(
                RoundRobinPolicy(), row_factory=dict_factory, request_timeout=60
            )
        },
        auth_provider=PlainTextAuthProvider(user, os.environ.get("CALLDROP_PASSWORD", ""))
        if user
        else None,
        connect_timeout=20,
    )
    session = cluster.connect()
    pytestconfig.stash[RAN_ON] = f"{named(server)}, {_version(session)}"
    try:
        yield asking_again(session)
    finally:
        cluster.shutdown()


def _version(session: Any) -> str:
    # ScyllaDB says 3.0.8 as its release_version, whatever it is.
    if is_scylla(session):
        return f"ScyllaDB {session.execute('SELECT version FROM system.versions').one()['version']}"
    local = session.execute("SELECT release_version FROM system.local").one()
    return f"Cassandra {local['release_version']}"


@pytest.fixture(scope="session")
def datacenter(client: Any) -> str:
    return str(client.execute("SELECT data_center FROM system.local").one()["data_center"])


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
        folder.mkdir()
        for files in ("migrations", "seeds"):
            shutil.copytree(
                PROJECT / files, folder / files, ignore=shutil.ignore_patterns("__pycache__")
            )
        (folder / "calldrop-migrate.toml").write_text(configuration(datacenter), encoding="utf-8")
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith("CALLDROP_") and k != "FORCE_COLOR"
        }
        if server.kind == "given":
            kept |= {k: v for k, v in os.environ.items() if k in _REACHING}
        kept |= {
            "CALLDROP_HOSTS": ",".join(server.hosts),
            "CALLDROP_PORT": str(server.port),
            "CALLDROP_KEYSPACE": name,
            # Not the developer's own: a test of `server stop` must not reach it.
            "CALLDROP_EMBEDDED_HOME": str(tmp_path / "no embedded server"),
        }
        made.append(Cli(folder, name, kept, forks=forks))
        return made[-1]

    yield make
    for cli in made:
        cli.end()


def configuration(datacenter: str) -> str:
    """One replica, no questions but those that are always asked, no second copy left behind."""
    return f"confirm = false\nkeep_shadow = 0\n\n[replication]\n{datacenter} = 1\n"


@pytest.fixture
def cli(make_cli: Callable[[str], Cli], keyspace: str) -> Cli:
    return make_cli(keyspace)


@pytest.fixture
def scylla(cli: Cli, server: Address, client: Any) -> Iterator[Cli]:
    """The same where the server answers as ScyllaDB does, and on ScyllaDB itself."""

    def answers() -> AsScylla:
        return AsScylla(lambda cql: list(client.execute(cql)))

    if is_scylla(client):
        yield cli
        return
    with tapped(server.hosts[0], server.port, rewriting=answers) as tap:
        yield replace(cli, environment={**cli.environment, "CALLDROP_PORT": str(tap.port)})


@pytest.fixture
def filled(cli: Cli, client: Any) -> Cli:
    """Revision 1 with five calls."""
    ok(cli("up", "1"))
    for number in range(len(ALL)):
        insert(client, cli, number)
    return cli
