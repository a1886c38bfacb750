"""One server that wants TLS with a certificate, a password and grants; its superuser's client, and
command lines that reach it.
"""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.io.asyncioreactor import AsyncioConnection
from cassandra.policies import FallthroughRetryPolicy, RoundRobinPolicy
from cassandra.query import dict_factory

from calldrop_migrate.embedded import server as embedded
from tests.conftest import DATA, Address, Cli
from tests.support import certificates, trigger
from tests.support.certificates import Pki

SUPERUSER = "cassandra"  # its password, too
_AUTHORIZED = {
    "authenticator": "PasswordAuthenticator",
    "authorizer": "CassandraAuthorizer",
    "dynamic_data_masking_enabled": "true",
    # What is granted or taken counts at once, more or less.
    **{f"{what}_validity": "100ms" for what in ("permissions", "roles", "credentials")},
}


@dataclass(frozen=True, slots=True)
class Secured:
    """The server, its process, and the CA that it trusts and that has signed its certificate."""

    address: Address
    pki: Pki
    pid: int

    @property
    def tls(self) -> dict[str, str]:
        """The settings that its TLS takes."""
        pki = self.pki
        files = {"CA": pki.ca, "CERT": pki.cert, "KEY": pki.key}
        return {f"CALLDROP_TLS_{name}": str(path) for name, path in files.items()}

    @property
    def context(self) -> ssl.SSLContext:
        """The same for a client of the test's own."""
        made = ssl.create_default_context(cafile=self.pki.ca)
        made.load_cert_chain(self.pki.cert, self.pki.key)
        return made

    def cluster(self, role: str) -> Cluster:
        """The driver's way to it, as a role whose password is its name; each request goes once."""
        profile = ExecutionProfile(
            RoundRobinPolicy(),
            retry_policy=FallthroughRetryPolicy(),
            row_factory=dict_factory,
            request_timeout=60,
        )
        return Cluster(
            list(self.address.hosts),
            port=self.address.port,
            connection_class=AsyncioConnection,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            auth_provider=PlainTextAuthProvider(role, role),
            ssl_context=self.context,
            connect_timeout=20,
        )


@pytest.fixture(scope="package")
def secured() -> Iterator[Secured]:
    home = Path(tempfile.mkdtemp(prefix="calldrop-secured-", dir=DATA))
    host = f"127.6.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    try:
        pki = certificates.make(home / "pki")
        # Where the server looks for triggers: beside its configuration.
        trigger.make_jar(home / "nodes-1" / "node1" / "conf" / "triggers" / "audit.jar")
        started = embedded.start(
            home=home,
            host=host,
            heap_mb=512,
            extra_config={**_AUTHORIZED, **pki.of_cassandra(host)},
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


def seen_as(cli: Cli, **settings: str) -> Cli:
    """The same command line with other settings; an empty one is left out."""
    named = {f"CALLDROP_{name.upper()}": value for name, value in settings.items()}
    environment = {k: v for k, v in {**cli.environment, **named}.items() if v}
    return replace(cli, environment=environment)


def as_role(cli: Cli, name: str) -> Cli:
    """As a role whose password is its name."""
    return seen_as(cli, username=name, password=name)


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
