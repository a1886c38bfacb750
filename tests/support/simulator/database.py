"""The port Database: one runner's connection to the simulated cluster.

Every statement that changes something goes through `send`, where the runner's schedule decides
what happens to it. A process that was killed has no effect any more, whatever it still tries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from typing import Any, NoReturn

from calldrop_migrate.cluster.failures import says_absent
from calldrop_migrate.core.fencing import Access
from calldrop_migrate.core.preflight import Placement, Server
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.ports import ABSENT, Platform, Row
from calldrop_migrate.errors import OutcomeUnknown, StatementRefused, Unreachable
from tests.support.simulator.bulk import SimulatedBulk
from tests.support.simulator.carried import Life, RowWrite
from tests.support.simulator.cells import NEVER, Cell, Partition, RowData
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.faults import Fate, Killed, Schedule, Sent, refused_by
from tests.support.simulator.storage import MICROSECONDS, UNSET, Key, Refusal

TAKES = 0.004  # seconds that a statement takes
_PATIENCE = 30.0  # seconds, of cluster/session.py: until nodes agree, until a table is known


def deliver(cluster: Cluster, sent: Sent) -> bool:
    """Apply a statement that arrives now.

    Returns:
        Whether its conditions held.

    Raises:
        Refusal: the server says no.
    """
    match sent.kind:
        case "schema":
            cluster.change_schema(sent.text, sent.keyspace, sent.node)
            return True
        case "rows":
            return cluster.write(sent.text, sent.values, sent.keyspace, sent.written)
    table = cluster.table(sent.keyspace, sent.text)
    if table.key != sent.key:
        raise Refusal(f"the primary key of {table.name} is another one")
    for row in sent.values:
        if isinstance(row, RowWrite):
            _put(cluster, table, row)
        else:
            _remove(cluster, table, row)
    return True


def let_pass(cluster: Cluster, seconds: float) -> None:
    """Let time pass, and what is on its way arrive when it is due."""
    until = cluster.now + seconds
    for due, sent in sorted(cluster.on_its_way, key=itemgetter(0)):
        if due <= until:
            cluster.wait(max(0.0, due - cluster.now))
            cluster.on_its_way.remove((due, sent))
            with suppress(Refusal):
                deliver(cluster, sent)
    cluster.wait(until - cluster.now)


def _put(cluster: Cluster, table: Table, write: RowWrite) -> None:
    for name, _ in write.cells:
        if table.column(name) is None:
            raise Refusal(f"Undefined column name {name} in table {table.name}")

    def cell(life: Life) -> Cell:
        expires = None if life.seconds is None else cluster.now + life.seconds
        return Cell(life.written, expires, life.value)

    marker = cell(write.marker) if write.marker else None
    row = RowData(marker, NEVER, {name: cell(life) for name, life in write.cells})
    partition = cluster.owned_rows(table).partitions.setdefault(write.partition, Partition())
    partition.put(write.clustering, row)


def _remove(cluster: Cluster, table: Table, what: Any) -> None:
    """A deletion of a row, or of one of its cells: (key, write time[, column])."""
    key: Key = what[0]
    width = len(table.partition_key)
    partition = cluster.owned_rows(table).partitions.setdefault(key[:width], Partition())
    if len(what) == 3:
        gone = RowData(cells={what[2]: Cell(what[1], None, None)})
    else:
        gone = RowData(deleted=what[1])
    partition.put(key[width:], gone)


class SimulatedDatabase:
    """See `Database`."""

    def __init__(self, cluster: Cluster, keyspace: str, schedule: Schedule) -> None:
        self.cluster = cluster
        self.keyspace = self.bookkeeping = keyspace
        self.user = ""
        self.skew = 0.0  # seconds, of the clock that gives plain writes their times
        self.schedule = schedule
        self._node = min(cluster.behind(), default=0)  # of all nodes the one that knows least
        name, version = ("ScyllaDB", "2026.1.11") if cluster.scylla else ("Cassandra", "5.0.9")
        here = {"datacenter1": cluster.nodes}
        self.platform = Platform(name, version, "", "127.0.0.1", here, {"datacenter1": 1})
        self._bulk = SimulatedBulk(cluster, keyspace, self._read, self._send_rows)
        self._dead = False

    # -- sending -----------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self._dead:
            raise Killed

    def _read(self) -> None:
        self._alive()
        if self.schedule.reads_take:
            let_pass(self.cluster, self.schedule.reads_take)

    def _die(self) -> NoReturn:
        self._dead = True
        raise Killed

    def _send_rows(self, kind: str, table: Table, rows: tuple[object, ...]) -> None:
        self.send(Sent(kind, table.name, rows, self.keyspace, key=table.key))

    def send(self, sent: Sent) -> bool:
        """Send one statement that changes something."""
        self._alive()
        fate = self.schedule.next(sent)
        let_pass(self.cluster, TAKES)
        if seconds := self.schedule.straying.get(self.schedule.sent):
            self.cluster.on_its_way.append((self.cluster.now + seconds, sent))
            fate = Fate.LOST
        match fate:
            case Fate.KILLED:
                self._die()
            case Fate.HELD:
                self.schedule.held.append(sent)
                self._die()
            case Fate.LOST:
                let_pass(self.cluster, self.schedule.delay)
                raise OutcomeUnknown("no answer")
            case Fate.REFUSED:
                raise StatementRefused("the server says no")
        try:
            answer = deliver(self.cluster, sent)
        except Refusal as refused:
            raise refused_by(refused) from None
        if fate in (Fate.UNANSWERED, Fate.LATE):
            let_pass(self.cluster, self.schedule.delay)
        if fate is Fate.UNANSWERED:
            raise OutcomeUnknown("no answer")
        return answer

    def write(self, cql: str, values: Sequence[object] = ()) -> None:
        """See `Database`."""
        written = self.cluster.moment().written + int(self.skew * MICROSECONDS)
        self.send(Sent("rows", cql, _bound(values), self.keyspace, written=written))

    def compare_and_set(self, cql: str, values: Sequence[object]) -> bool:
        """See `Database`."""
        return self.send(Sent("rows", cql, _bound(values), self.keyspace))

    def ddl(self, *statements: str) -> None:
        """See `Database`."""
        for statement in statements:
            self.send(Sent("schema", statement, (), self.keyspace, self._node))
        self.agree()

    def agree(self) -> None:
        """See `Database`."""
        self._alive()
        end = self.cluster.now + _PATIENCE
        while behind := self.cluster.behind():
            if self.cluster.now > end:
                raise Unreachable(f"{behind} did not take over the schema of the other nodes")
            self.cluster.wait(0.05)

    def use_keyspace(self) -> None:
        """See `Database`."""

    # -- reading -----------------------------------------------------------------------------------

    @property
    def bulk(self) -> SimulatedBulk:
        """See `Database`."""
        return self._bulk

    def query(self, cql: str, values: Sequence[object] = (), *, consistency: str = "") -> list[Row]:
        """See `Database`."""
        self._alive()
        end = self.cluster.now + _PATIENCE
        while True:
            try:
                return list(self.cluster.query(cql, _bound(values), self.keyspace, self._node))
            except Refusal as refused:
                if not says_absent(refused) or self.cluster.now > end:
                    raise refused_by(refused) from None
            self.cluster.wait(0.1)

    def schema(self) -> Schema:
        """See `Database`."""
        self._alive()
        return self.cluster.schema(self.keyspace, self._node)

    def refresh(self, known: Schema, names: Collection[tuple[str, str]]) -> Schema:
        """See `Database`."""
        self._alive()
        now = self.cluster.schema(self.keyspace, self._node)
        for kind, name in names:
            if kind in ("table", "view"):
                table = now.table(name)
                known = known.put(table) if table else known.without(name)
            else:
                known = known.with_extras(list(now.extras))
        return known

    def has_rows(
        self, table: Table, *, prove: bool = False, between: Callable[[], None] = lambda: None
    ) -> bool:
        """See `Database`."""
        self._read()
        try:
            there = self.cluster.table(self.keyspace, table.name, self._node)
        except Refusal as refused:
            raise refused_by(refused) from None
        return next(self.cluster.rows(there).rows(there, self.cluster.now), None) is not None

    def server(self, keyspaces: Collection[str]) -> Server:
        """See `Database`."""
        settings = {"materialized_views_enabled": "true", "twcs_max_window_count": "100"}
        placed = {name: Placement(exists=name in self.cluster.schemas) for name in keyspaces}
        return Server(
            scylla=self.cluster.scylla,
            name=self.platform.title,
            racks={"datacenter1": 1},
            settings={"127.0.0.1": settings},
            keyspaces=placed,
        )

    def unbuilt(self, view: str) -> list[str]:
        """See `Database`."""
        self._alive()
        return [self.platform.host] if self.cluster.is_unbuilt(self.keyspace, view) else []

    def grants(self, table: str) -> list[tuple[str, str]]:
        """See `Database`."""
        return []

    def access(self) -> Access:
        """See `Database`."""
        raise StatementRefused("there are no roles")

    def sees_unmasked(self, table: str) -> bool:
        """See `Database`."""
        return True

    def close(self) -> None:
        """See `Database`."""


def _bound(values: Sequence[object]) -> tuple[object, ...]:
    return tuple(_as_stored(value) for value in values)


def _as_stored(value: object) -> object:
    """Return a value as the driver gives it back: timestamps without a zone, in milliseconds."""
    if value is ABSENT:
        return UNSET
    if isinstance(value, datetime):
        return value.replace(tzinfo=None, microsecond=value.microsecond // 1000 * 1000)
    return value
