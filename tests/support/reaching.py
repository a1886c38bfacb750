"""A client of a server and a command line on it, for whoever is no pytest, too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.asking import asking_again
from tests.support.cli import Cli
from tests.support.forks import Forks
from tests.support.pace import PACE
from tests.support.places import PROJECT
from tests.support.servers import Address

# How to reach a server that was given; every other CALLDROP_* of the developer stays out of tests.
_REACHING = ("CALLDROP_USERNAME", "CALLDROP_PASSWORD", "CALLDROP_LOCAL_DC")


@contextmanager
def connected(server: Address) -> Iterator[Any]:
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
        # Read anew at each change of a schema, and nobody here asks for it.
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
    )
    try:
        yield asking_again(cluster.connect())
    finally:
        cluster.shutdown()


def datacenter_of(client: Any) -> str:
    return str(client.execute("SELECT data_center FROM system.local").one()["data_center"])


def command_line(
    folder: Path, keyspace: str, server: Address, datacenter: str, forks: Forks | None
) -> Cli:
    """The command line of a keyspace, in a folder that is made for it."""
    folder.mkdir()
    for files in ("migrations", "seeds"):
        shutil.copytree(
            PROJECT / files, folder / files, ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / "calldrop-migrate.toml").write_text(configuration(datacenter), encoding="utf-8")
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("CALLDROP_") and k != "FORCE_COLOR"
    }
    if server.kind == "given":
        kept |= {k: v for k, v in os.environ.items() if k in _REACHING}
    kept |= {
        "CALLDROP_HOSTS": ",".join(server.hosts),
        "CALLDROP_PORT": str(server.port),
        "CALLDROP_KEYSPACE": keyspace,
        # Not the developer's own: a test of `server stop` must not reach it.
        "CALLDROP_EMBEDDED_HOME": str(folder.with_name("no embedded server")),
    }
    pace = 1.0 if server.kind == "embedded" else PACE.factor
    return Cli(folder, keyspace, kept, forks=forks, pace=pace)


def configuration(datacenter: str) -> str:
    """One replica, no questions but those that are always asked, no second copy left behind."""
    return f"confirm = false\nkeep_shadow = 0\n\n[replication]\n{datacenter} = 1\n"
