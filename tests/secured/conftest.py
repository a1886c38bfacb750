"""One server that wants TLS with a certificate, a password and grants; its superuser's client, and
command lines that reach it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from calldrop_migrate.embedded import server as embedded
from calldrop_migrate.embedded.releases import DEFAULT
from tests.support import certificates, trigger
from tests.support.cli import Cli
from tests.support.places import DATA
from tests.support.roles import KNOWS, SUPERUSER, as_role, listed
from tests.support.secured import AUTHORIZED, Secured
from tests.support.servers import Address, quick_schema
from tests.support.settings import FULL
from tests.support.told import ok


@pytest.fixture(scope="package")
def secured() -> Iterator[Secured]:
    home = Path(tempfile.mkdtemp(prefix="calldrop-secured-", dir=DATA))
    host = f"127.6.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    try:
        pki = certificates.make(home / "pki")
        # Where the server looks for triggers: beside its configuration.
        trigger.make_jar(home / f"nodes-1-{DEFAULT}" / "node1" / "conf" / "triggers" / "audit.jar")
        started = embedded.start(
            home=home,
            host=host,
            tuning=quick_schema({**AUTHORIZED, **pki.of_cassandra(host)}, heap_mb=768),
            say=lambda line: None,
        )
        yield Secured(Address(started.hosts, started.port, "embedded"), pki, *started.pids)
    finally:
        embedded.stop(wipe=True, home=home, say=lambda line: None)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="package")
def server(secured: Secured) -> Address:
    return secured.address


@pytest.fixture(scope="package")
def client(secured: Secured) -> Iterator[Session]:
    cluster = secured.cluster(SUPERUSER)
    yield cluster.connect()
    cluster.shutdown()


@pytest.fixture(scope="package")
def datacenter() -> str:
    return "datacenter1"


@pytest.fixture
def cli(make_cli: Callable[[str], Cli], keyspace: str, secured: Secured) -> Cli:
    """The command line of the superuser."""
    made = make_cli(keyspace)
    quick = {"CALLDROP_SETTLE_TIME": "1"}  # what was killed here has nothing on its way
    reaching = replace(made, environment={**made.environment, **secured.tls, **quick})
    return as_role(reaching, SUPERUSER)


@pytest.fixture
def role(client: Session, keyspace: str) -> Iterator[str]:
    """A new role without any grant; its password is its name."""
    name = f"role_{keyspace}"
    client.execute(f"CREATE ROLE {name} WITH PASSWORD = '{name}' AND LOGIN = true")
    yield name
    client.execute(f"DROP ROLE {name}")


ROWS = 3000 if FULL else 1200


@pytest.fixture
def mine(cli: Cli, client: Any, role: str) -> Cli:
    """The migrator at 0001, with rows; it made the table, and so it may grant it."""
    client.execute(
        f"CREATE KEYSPACE {cli.keyspace} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
    )
    for grant in listed("migrator", cli.keyspace, role):
        client.execute(grant)
    client.execute(f"{KNOWS} {role}")
    for table in ("system_auth.roles", "system_views.settings"):
        client.execute(f"GRANT SELECT ON TABLE {table} TO {role}")
    made = as_role(cli, role)
    ok(made("up", "1"))
    ok(made("seed", "--rows", str(ROWS), "--random-seed", "1"))
    return made


@pytest.fixture
def make_role(client: Any, role: str) -> Iterator[Callable[[str, bool], str]]:
    """Makes roles beside the migrator's."""
    made: list[str] = []

    def make(name: str, login: bool = True) -> str:
        full = f"{role}_{name}"
        client.execute(f"CREATE ROLE {full} WITH PASSWORD = '{full}' AND LOGIN = {login}")
        made.append(full)
        return full

    yield make
    for name in made:
        client.execute(f"DROP ROLE {name}")


@pytest.fixture
def written(mine: Cli, client: Any, make_role: Callable[..., str]) -> tuple[str, str]:
    """The table, and a role that may write to it."""
    table, app = f"{mine.keyspace}.call_records", make_role("app")
    client.execute(f"GRANT MODIFY ON TABLE {table} TO {app}")
    return table, app
