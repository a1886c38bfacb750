"""Three real nodes for the tests of this folder, made once; and an independent client of all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.io.asyncioreactor import AsyncioConnection
from cassandra.policies import ConstantReconnectionPolicy, WhiteListRoundRobinPolicy
from cassandra.query import dict_factory

from tests.support.asking import asking_again
from tests.support.cli import Cli
from tests.support.places import DATA
from tests.support.ring import NODES, Ring, ring
from tests.support.servers import Address

TIMES = {
    "CALLDROP_DDL_TIMEOUT": "20",
    "CALLDROP_LEASE_TTL": "60",
    "CALLDROP_SETTLE_TIME": "1",
}


@pytest.fixture(scope="package")
def nodes() -> Iterator[Ring]:
    home = Path(tempfile.mkdtemp(prefix="calldrop-ring-", dir=DATA))
    host = f"127.{8 + os.getpid() % 100}.{os.getpid() >> 8 & 255}.1"
    try:
        with ring(home, host) as made:
            yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="package")
def server(nodes: Ring) -> Address:
    return Address(nodes.hosts, nodes.port, "embedded")


def connected(hosts: tuple[str, ...], port: int) -> Session:
    profile = ExecutionProfile(
        WhiteListRoundRobinPolicy(list(hosts)),
        row_factory=dict_factory,
        request_timeout=60,
        consistency_level=ConsistencyLevel.QUORUM,  # what was written is read
    )
    cluster = Cluster(
        list(hosts),
        port=port,
        connection_class=AsyncioConnection,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=20,
        idle_heartbeat_interval=0,  # a node that is frozen on purpose comes back
        reconnection_policy=ConstantReconnectionPolicy(0.3, None),
        max_schema_agreement_wait=60,
    )
    return asking_again(cluster.connect())


@pytest.fixture(scope="package")
def client(nodes: Ring) -> Iterator[Session]:
    session = connected(nodes.hosts, nodes.port)
    yield session
    session.cluster.shutdown()


@pytest.fixture(scope="package")
def each(nodes: Ring) -> Iterator[list[Session]]:
    """A client for each node, which asks that one alone."""
    sessions = [connected((host,), nodes.port) for host in nodes.hosts]
    yield sessions
    for session in sessions:
        session.cluster.shutdown()


@pytest.fixture(scope="package")
def datacenter() -> str:
    return "datacenter1"


@pytest.fixture
def make_ring_cli(make_cli: Callable[[str], Cli], nodes: Ring) -> Callable[[str], Cli]:
    """Makes the command line of a keyspace with a copy of each row on every node."""

    def make(name: str) -> Cli:
        made = make_cli(name)
        text = f"confirm = false\nkeep_shadow = 0\n\n[replication]\ndatacenter1 = {NODES}\n"
        (made.folder / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
        return replace(made, environment={**made.environment, **TIMES})

    return make


@pytest.fixture
def cli(make_ring_cli: Callable[[str], Cli], keyspace: str) -> Cli:
    return make_ring_cli(keyspace)
