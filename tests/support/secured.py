"""A server that wants TLS with a certificate, a password and grants."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.io.asyncioreactor import AsyncioConnection
from cassandra.policies import FallthroughRetryPolicy, RoundRobinPolicy
from cassandra.query import dict_factory

from tests.support.certificates import Pki
from tests.support.servers import Address

AUTHORIZED = {
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
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
        )
