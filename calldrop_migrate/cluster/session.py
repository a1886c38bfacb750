"""One connection to one keyspace: implements engine/ports.py on the driver.

Every statement goes out once: FallthroughRetryPolicy, because the driver's own policy sends a lost
request to the next host, DDL and conditional writes included (docs/protocol.md 1). All schema
changes of a run go through one pinned node, and return once every node that it knows shows one
schema version: the driver would go on without agreement.

The bookkeeping is read and written at QUORUM whatever the level for rows is: what one runner was
told to be committed every other one sees, in any data centre.

Schema and token metadata of the driver are off: we read what we need, and it would re-read
everything after each DDL. The default reactor of scylla-driver can stall the end of the process by
5 s; the asyncio one doesn't.
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

from cassandra import ConsistencyLevel, InvalidRequest, ReadFailure, __version_info__
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
    Session,
)
from cassandra.connection import ConnectionException
from cassandra.io.asyncioreactor import AsyncioConnection
from cassandra.policies import (
    ConstantReconnectionPolicy,
    FallthroughRetryPolicy,
    HostDistance,
    NoSpeculativeExecutionPolicy,
)
from cassandra.protocol import ServerError
from cassandra.query import UNSET_VALUE, PreparedStatement, SimpleStatement, dict_factory

from calldrop_migrate.cluster import (
    access,
    catalog,
    connecting,
    failures,
    platform,
    probing,
    survey,
)
from calldrop_migrate.cluster.balancing import Patient, balancing
from calldrop_migrate.cluster.bulk import ClusterBulk
from calldrop_migrate.cluster.wire import Wire
from calldrop_migrate.core.fencing import Access
from calldrop_migrate.core.preflight import Server
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.keyspace import with_bookkeeping
from calldrop_migrate.engine.ports import (
    ABSENT,
    Platform,
    Row,
)
from calldrop_migrate.errors import Unreachable

_AGREEMENT_POLL = 0.05  # seconds
_TABLE_PATIENCE = 30.0  # docs/protocol.md 1
# For all hosts together, and one more second: a command says within 10 that nobody answers.
_ANSWER = 7.0
_CONTACT_POINTS = 8
_BOOKKEEPING = "QUORUM"
_RECONNECT = 0.5  # seconds between tries to reach a node again
_BLIP = 5.0  # seconds for which the pinned node may be away
# Both servers speak it, and ScyllaDB no later one. With v5 the driver throws the beginning of a
# segment away when its header arrives in two reads (3.29.12, Connection._process_segment_buffer),
# and the connection ends with "CRC mismatch on header": about once in 500,000 rows.
_PROTOCOL = 4
# Up to this one, with `ssl_context` alone, the driver takes ScyllaDB's shard-aware port for
# connections without TLS (python-driver#935).
_WRONG_SHARD_PORT = (3, 29, 11)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The place to connect to, and the user; times in seconds. `tls`: None is without."""

    hosts: tuple[str, ...]
    port: int
    keyspace: str
    bookkeeping: str = ""
    local_dc: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: SSLContext | None = None
    consistency: str = "LOCAL_QUORUM"
    ddl_timeout: float = 30
    wait: float = 0


def connect(endpoint: Endpoint, waiting: Callable[[str], None]) -> ClusterDatabase:
    """A connection, tried again until `endpoint.wait` is over; `waiting` is told once that it isn't
    there yet.

    Raises:
        ConfigurationError: user or password refused, or no such data centre.
        Unreachable: nobody answers.
    """
    for name in ("cassandra", "asyncio"):  # they tell of connections that are given up
        logging.getLogger(name).setLevel(logging.CRITICAL)
    deadline, told = time.monotonic() + endpoint.wait, False
    while True:
        try:
            return _connect(endpoint)
        except Unreachable as error:
            problem = error
        if time.monotonic() >= deadline:
            raise problem
        if not told:
            waiting(f"{problem.message}; trying for up to {endpoint.wait:g} s")
            told = True
        time.sleep(min(1, max(0.0, deadline - time.monotonic())))


def _connect(endpoint: Endpoint) -> ClusterDatabase:
    policy = balancing(endpoint.local_dc)
    policy.until = time.monotonic() + _ANSWER
    cluster = None
    try:
        cluster = _cluster(endpoint, policy, _BOOKKEEPING)
        database = ClusterDatabase(cluster, cluster.connect(), endpoint)
    except BaseException as error:
        found: set[str] = set()
        if cluster is not None:
            found = {h.datacenter for h in cluster.metadata.all_hosts() if h.datacenter}
            cluster.shutdown()
        if not isinstance(error, (*failures.FAILURES, ValueError)):
            raise
        if endpoint.local_dc and found and endpoint.local_dc not in found:
            raise connecting.no_data_centre(endpoint.local_dc, found) from error
        encrypted = endpoint.tls is not None
        raise connecting.failed(
            error, endpoint.hosts, endpoint.port, endpoint.username, encrypted=encrypted
        ) from error
    policy.until = math.inf
    return database


def _hosts(endpoint: Endpoint) -> str:
    return f"{','.join(endpoint.hosts)}:{endpoint.port}"


def _cluster(endpoint: Endpoint, policy: Patient, level: str) -> Cluster:
    profile = ExecutionProfile(
        load_balancing_policy=policy,
        retry_policy=FallthroughRetryPolicy(),
        speculative_execution_policy=NoSpeculativeExecutionPolicy(),
        consistency_level=ConsistencyLevel.name_to_value[level],
        serial_consistency_level=ConsistencyLevel.SERIAL,
        request_timeout=endpoint.ddl_timeout,
        row_factory=dict_factory,
    )
    # The driver goes through the contact points twice. It learns of the other nodes from any one.
    points = endpoint.hosts[:_CONTACT_POINTS]
    patience = _ANSWER / 2 / len(points)
    cluster = Cluster(
        list(points),
        port=endpoint.port,
        connection_class=AsyncioConnection,
        protocol_version=_PROTOCOL,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        auth_provider=(
            PlainTextAuthProvider(endpoint.username, endpoint.password)
            if endpoint.username
            else None
        ),
        ssl_context=endpoint.tls,
        shard_aware_options=shard_aware_options(
            __version_info__, encrypted=endpoint.tls is not None
        ),
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        max_schema_agreement_wait=0,
        reconnection_policy=ConstantReconnectionPolicy(_RECONNECT, None),
        connect_timeout=patience,
        control_connection_timeout=patience,
    )
    # A statement is prepared on the node that first runs it: one request instead of one per node.
    cluster.prepare_on_all_hosts = False
    return cluster


def shard_aware_options(driver: tuple[int, ...], *, encrypted: bool) -> dict[str, bool] | None:
    """Return what a driver of this version has to be told to connect to the right port of
    ScyllaDB.
    """
    avoid = encrypted and driver <= _WRONG_SHARD_PORT
    return {"disable_shardaware_port": True} if avoid else None


def _once_it_exists(send: Callable[[], list[Row]], *kinds: type[Exception]) -> list[Row]:
    """Sends again while a node says that the table doesn't exist: another runner may just have made
    it.

    A refusal (InvalidRequest) was not applied, so a second time is safe also for what writes. In
    the same moment a node can fail with "Unknown CF", or another one that it asks can, without a
    word of why. Both tell nothing about a write: `kinds` has them for reads alone.
    """
    deadline = time.monotonic() + _TABLE_PATIENCE
    while True:
        try:
            return send()
        except kinds as refused:
            silent = isinstance(refused, ReadFailure)
            if time.monotonic() > deadline or not (silent or failures.says_absent(refused)):
                raise
        time.sleep(0.1)


class ClusterDatabase:
    """The Database of engine/ports.py."""

    def __init__(self, cluster: Cluster, session: Session, endpoint: Endpoint) -> None:
        self._cluster = cluster
        self._session = session
        self.endpoint = endpoint
        self._prepared: dict[str, PreparedStatement] = {}
        self._bulk: ClusterBulk | None = None
        self.keyspace = endpoint.keyspace
        self.user = endpoint.username
        self.bookkeeping = endpoint.bookkeeping or endpoint.keyspace
        self._pinned = cluster.get_control_connection_host()
        if self._pinned is None:
            raise Unreachable(f"the connection to {_hosts(endpoint)} broke at once")
        self.platform = self._read_platform()

    def _read_platform(self) -> Platform:
        tables_of = [platform.TABLES_OF_SYSTEM, platform.TABLES_OF_SCHEMA]
        (local,), peers, *tables = self._ask([platform.LOCAL, platform.PEERS, *tables_of])
        host = str(self._pinned.endpoint.address)
        self._nodes = {str(local["host_id"]): host}
        self._nodes |= {str(p["host_id"]): str(p["peer"]) for p in peers}
        self._system, self._system_schema = (
            frozenset(row["table_name"] for row in rows) for rows in tables
        )
        scylla = platform.is_scylla(self._system)
        version = ""
        if scylla:
            try:
                version = self._ask([platform.SCYLLA_VERSION])[0][0]["version"]
            except (failures.Refused, IndexError):
                version = ""  # not every role may read system.versions
        return platform.describe(host, local, peers, scylla=scylla, scylla_version=version)

    # -- statements --------------------------------------------------------------------------------

    def _send(
        self, statement: SimpleStatement | PreparedStatement, values: Sequence[object] = ()
    ) -> ResponseFuture:
        return self._session.execute_async(statement, values or None, host=self._pinned)

    def _ask(self, queries: Sequence[str]) -> list[list[Row]]:
        """Several plain SELECTs on the pinned node at once: local tables, so at ONE.

        A connection that broke is made again within moments, and until then the driver refuses.
        """
        deadline = time.monotonic() + _BLIP
        while True:
            with failures.of_read():
                try:
                    futures = [
                        self._send(SimpleStatement(q, consistency_level=ConsistencyLevel.ONE))
                        for q in queries
                    ]
                    return [list(future.result()) for future in futures]
                except (NoHostAvailable, ConnectionException):
                    if time.monotonic() > deadline:
                        raise
            time.sleep(_RECONNECT / 2)

    def _ask_each(self, query: str) -> dict[str, list[Row] | None]:
        """One plain SELECT on each node, of what it has itself, by the nodes' addresses; None of
        one that can't be asked, or refuses.
        """
        return {str(h.address): self._ask_one(h, query) for h in self._cluster.metadata.all_hosts()}

    def _ask_one(self, host: Any, query: str) -> list[Row] | None:
        # The first node's connections are there; those to the others are made in the background,
        # and none at all to another data centre than --local-dc.
        deadline = time.monotonic() + _BLIP
        statement = SimpleStatement(query, consistency_level=ConsistencyLevel.ONE)
        while self._cluster.profile_manager.distance(host) != HostDistance.IGNORED:
            try:
                return list(self._session.execute(statement, host=host))
            except NoHostAvailable:
                if time.monotonic() > deadline or host.is_up is False:
                    return None
            except failures.FAILURES:
                return None
            time.sleep(_AGREEMENT_POLL)
        return None

    def _prepare(self, cql: str) -> PreparedStatement:
        if cql not in self._prepared:
            self._prepared[cql] = self._session.prepare(cql)
        return self._prepared[cql]

    def query(self, cql: str, values: Sequence[object] = (), *, consistency: str = "") -> list[Row]:
        """See `Database`."""

        def ask() -> list[Row]:
            statement: Any = SimpleStatement(cql)
            if values:
                statement = self._prepare(cql).bind(values)
            if consistency:
                statement.consistency_level = ConsistencyLevel.name_to_value[consistency]
            return list(self._session.execute(statement))

        with failures.of_read():
            return _once_it_exists(ask, InvalidRequest, ServerError, ReadFailure)

    def write(self, cql: str, values: Sequence[object] = ()) -> None:
        """See `Database`."""
        with failures.of_write():
            statement = self._prepare(cql) if values else SimpleStatement(cql)
            self._session.execute(statement, values or None)

    def compare_and_set(self, cql: str, values: Sequence[object]) -> bool:
        """See `Database`."""
        bound = [UNSET_VALUE if value is ABSENT else value for value in values]
        with failures.of_write():
            rows = _once_it_exists(
                lambda: list(self._session.execute(self._prepare(cql), bound)), InvalidRequest
            )
        return platform.was_applied(rows)

    def ddl(self, *statements: str) -> None:
        """See `Database`."""
        for cql in statements:
            with failures.of_write():
                self._send(SimpleStatement(cql)).result()
        self.agree()

    def agree(self) -> None:
        """See `Database`."""
        deadline = time.monotonic() + self.endpoint.ddl_timeout
        while True:
            (peers,) = self._ask(["SELECT peer, schema_version FROM system.peers"])
            if not peers:  # a node alone agrees with itself: no other request is needed
                return
            (local,) = self._ask(["SELECT schema_version FROM system.local"])
            behind = [
                str(p["peer"]) for p in peers if p["schema_version"] != local[0]["schema_version"]
            ]
            if not behind:
                return
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"{', '.join(behind)} did not take over the schema of the other nodes within "
                    f"{self.endpoint.ddl_timeout:g} s",
                    hint=(
                        "Bring these nodes up (nodetool describecluster), then run the same command"
                        " again."
                    ),
                )
            time.sleep(_AGREEMENT_POLL)

    def use_keyspace(self) -> None:
        """See `Database`."""
        if self._session.keyspace != self.keyspace:
            with failures.of_read():
                self._session.set_keyspace(self.keyspace)

    # -- reading -----------------------------------------------------------------------------------

    def schema(self) -> Schema:
        """See `Database`."""
        schema = catalog.read(self._ask, self.keyspace, self._system_schema)
        if self.bookkeeping == self.keyspace:
            return schema
        return with_bookkeeping(
            schema, catalog.read(self._ask, self.bookkeeping, self._system_schema)
        )

    def refresh(self, known: Schema, names: Collection[tuple[str, str]]) -> Schema:
        """See `Database`."""
        return catalog.refresh(self._ask, known, names, self._system_schema)

    def server(self, keyspaces: Collection[str]) -> Server:
        """See `Database`."""
        return survey.read(self._ask, self._ask_each, self.platform, keyspaces)

    def unbuilt(self, view: str) -> list[str]:
        """See `Database`."""
        return catalog.unbuilt(
            self._ask,
            self.keyspace,
            view,
            self._nodes,
            platform.view_status(self._system),
        )

    def grants(self, table: str) -> list[tuple[str, str]]:
        """See `Database`."""
        return access.grants(self.query, self._system, self.keyspace, table)

    def access(self) -> Access:
        """See `Database`."""
        return access.read(self.query, self._system, self.endpoint.username)

    def sees_unmasked(self, table: str) -> bool:
        """See `Database`."""
        return access.sees_unmasked(self.query, self.user, self.keyspace, table)

    def has_rows(
        self, table: Table, *, prove: bool = False, between: Callable[[], None] = lambda: None
    ) -> bool:
        """See `Database`."""
        level = "ALL" if prove else self.endpoint.consistency
        with failures.of_read(table.name):
            return probing.has_rows(self._session, self.keyspace, table, level, between)

    @property
    def bulk(self) -> ClusterBulk:
        """See `Database`."""
        if self._bulk is None:
            with failures.of_read():
                policy = balancing(self.endpoint.local_dc)
                cluster = _cluster(self.endpoint, policy, self.endpoint.consistency)
                told = functools.partial(catalog.estimate, self._ask, self.keyspace)
                wire = Wire(cluster, self.keyspace, self.platform.key_limits)
                self._bulk = ClusterBulk(wire, self._session, told)
        return self._bulk

    def close(self) -> None:
        """See `Database`."""
        if self._bulk is not None:
            self._bulk.close()
        self._cluster.shutdown()
