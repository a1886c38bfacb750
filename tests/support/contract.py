"""The simulator and a real server behind one face, for the contract between them: the same
statements, the same answers. Tests ask for `server_of` and run against both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import uuid4

from cassandra.query import UNSET_VALUE

from calldrop_migrate.cluster.session import Endpoint, connect
from calldrop_migrate.engine.ports import Database
from tests.support.asking import REFUSALS
from tests.support.servers import Address
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.database import SimulatedDatabase
from tests.support.simulator.faults import Schedule
from tests.support.simulator.statements import Unmodelled
from tests.support.simulator.storage import UNSET, Refusal

T = "t (k int, c int, s int static, v int, w text, PRIMARY KEY (k, c))"
AT = 1_700_000_000_000_000  # microseconds
_PAGE = 2  # rows: what is read takes several pages


class Refused(Exception):
    """The server says no."""


class Server(Protocol):
    """Executes statements in a keyspace of its own.

    Attributes:
        database: the same keyspace behind the engine's port.
    """

    keyspace: str
    database: Database

    def execute(self, cql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Give the rows; of a conditional statement one row with `[applied]`."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def anew(self) -> None:
        """Leave nothing in the keyspace but the table T, made anew."""
        ...


class Real:
    """The server of this run."""

    def __init__(self, session: Any, database: Database) -> None:
        self._client = session
        self._client.default_fetch_size = _PAGE
        self.keyspace: str = session.keyspace
        self.database = database

    def execute(self, cql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        try:
            statement = self._client.prepare(cql) if values else cql
            bound = [UNSET_VALUE if value is UNSET else value for value in values]
            rows = list(self._client.execute(statement, bound or None))
        except REFUSALS as refused:
            raise Refused(str(refused)) from None
        if rows and "[applied]" in rows[0]:
            return [{"[applied]": rows[0]["[applied]"]}]
        return rows

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def anew(self) -> None:
        # Not by TRUNCATE: what a test deletes with a time of its own would hide later tests' rows.
        for kind, view in (("view", "MATERIALIZED VIEW"), ("table", "TABLE")):
            asked = f"SELECT {kind}_name AS n FROM system_schema.{kind}s WHERE keyspace_name = %s"
            for row in list(self._client.execute(asked, (self.keyspace,))):
                self.execute(f"DROP {view} {row['n']}")
        self.execute(f"CREATE TABLE {T}")


class Simulated:
    """The simulator."""

    keyspace = "ks"

    database: Database

    def __init__(self, *, scylla: bool = False) -> None:
        self._scylla = scylla
        self.anew()

    def anew(self) -> None:
        self._cluster = Cluster(scylla=self._scylla)
        self.execute(
            "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'dc1': '1'}"
        )
        self.database = SimulatedDatabase(self._cluster, "ks", Schedule())
        self.execute(f"CREATE TABLE {T}")

    def execute(self, cql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        self.wait(0.01)
        try:
            if cql.startswith("SELECT"):
                return self._cluster.query(cql, values, "ks")
            if cql.startswith(("CREATE", "DROP", "ALTER")):
                self._cluster.change_schema(cql, "ks")
                return []
            applied = self._cluster.write(cql, values, "ks")
        except (Refusal, Unmodelled) as refused:
            raise Refused(str(refused)) from None
        return [{"[applied]": applied}] if " IF " in cql else []

    def wait(self, seconds: float) -> None:
        self._cluster.wait(seconds)


@contextmanager
def simulated(*, scylla: bool = False) -> Iterator[Server]:
    """A simulated cluster with the table T."""
    yield Simulated(scylla=scylla)


@contextmanager
def real(client: Any, server: Address) -> Iterator[Server]:
    """A new keyspace of a real server, with the table T."""
    keyspace = f"c_{uuid4().hex[:16]}"
    (local,) = client.execute("SELECT data_center FROM system.local")
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{local['data_center']}': 1}}"
    )
    session = client.cluster.connect(keyspace)
    database = connect(Endpoint(server.hosts, server.port, keyspace), waiting=print)
    try:
        database.use_keyspace()
        made = Real(session, database)
        made.anew()
        yield made
    finally:
        database.close()
        session.shutdown()
        client.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")


def values_of(on: Server, what: str = "v, WRITETIME(v) AS at") -> list[tuple[object, ...]]:
    """Return what a SELECT of the table gives."""
    return [tuple(row.values()) for row in on.execute(f"SELECT {what} FROM t")]


def put(on: Server, v: object, at: int, using: str = "", key: tuple[int, int] = (1, 1)) -> None:
    """Write a value at microseconds behind AT."""
    on.execute(
        f"UPDATE t USING TIMESTAMP {AT + at}{using} SET v = ? WHERE k = ? AND c = ?", (v, *key)
    )
