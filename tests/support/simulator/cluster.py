"""The simulated cluster: keyspaces, tables with ids, nodes that may lag, a clock that never waits.

What a statement does when it arrives is decided here, whoever sent it and whenever. A cluster is a
plain value: `copy` saves it in microseconds (tables are shared until one side writes), `digest`
tells whether two are the same. Who sends statements, and what may happen to one on its way, is in
database.py.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid5

from calldrop_migrate.core.cql import Statement, split
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.effects import after
from calldrop_migrate.core.schema import Schema, Table
from tests.support.simulator import storage, views
from tests.support.simulator.allowed import applies
from tests.support.simulator.faults import Sent
from tests.support.simulator.statements import Select, Unmodelled, Write, parse
from tests.support.simulator.storage import MICROSECONDS, Moment, Refusal, TableData, Unknown

BEGIN = 1_790_000_000.0  # seconds since 1970
PAXOS = "$paxos"  # of a table with conditional writes, on ScyllaDB: another table
BUILDS = 0.3  # seconds that a view takes to be built
_IDS = UUID("7e5d0f4c-6a35-4ad6-9d52-0f8f4bb9b1a5")
Data = dict[UUID, TableData]


@dataclass(slots=True)
class Cluster:
    """A cluster and all that is in it.

    Attributes:
        scylla: whether it behaves as ScyllaDB where the two differ.
        now: seconds since 1970 on the clock of the servers.
        schemas: by keyspace, as the nodes that don't lag show them.
        lagging: nodes that still show an older schema, with that schema, and until when.
        data: the rows of tables by the table's id; those of a dropped table are gone.
        built: when views are built, or were, by the view's id.
        ids: how many ids its runners have made up.
        on_its_way: statements whose senders are gone, and when each arrives.
        taken: how many rows of an application, beside those of the beginning, it has taken.
    """

    scylla: bool = False
    nodes: int = 1
    now: float = BEGIN
    schemas: dict[str, Schema] = field(default_factory=dict)
    lagging: dict[int, tuple[dict[str, Schema], float]] = field(default_factory=dict)
    data: Data = field(default_factory=dict)
    built: dict[UUID, float] = field(default_factory=dict)
    ids: int = 0
    on_its_way: list[tuple[float, Sent]] = field(default_factory=list)
    taken: int = 0
    _shared: set[UUID] = field(default_factory=set)
    _last_written: int = 0
    _made: int = 0

    def copy(self) -> Cluster:
        """Return an independent copy."""
        self._shared = set(self.data)
        return Cluster(
            self.scylla,
            self.nodes,
            self.now,
            dict(self.schemas),
            dict(self.lagging),
            dict(self.data),
            dict(self.built),
            self.ids,
            list(self.on_its_way),
            self.taken,
            set(self.data),
            self._last_written,
            self._made,
        )

    # -- time --------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def moment(self) -> Moment:
        """Return now, with a write time above every earlier one."""
        self._last_written = max(self._last_written + 1, int(self.now * MICROSECONDS))
        return Moment(self.now, self._last_written)

    # -- schema ------------------------------------------------------------------------------------

    def schema(self, keyspace: str, node: int = 0) -> Schema:
        """Return a keyspace as a node shows it."""
        return self._shown_by(node).get(keyspace, Schema(keyspace))

    def _shown_by(self, node: int) -> dict[str, Schema]:
        schemas, until = self.lagging.get(node, (self.schemas, self.now))
        return schemas if self.now < until else self.schemas

    def lag(self, node: int, schemas: dict[str, Schema], seconds: float) -> None:
        """Let a node show a schema that is older than that of the others, for some time."""
        self.nodes = max(self.nodes, node + 1)
        self.lagging[node] = dict(schemas), self.now + seconds

    def behind(self) -> list[int]:
        """Return the nodes that show an older schema than the others do."""
        return [node for node, (_, until) in self.lagging.items() if self.now < until]

    def change_schema(self, text: str, keyspace: str, node: int = 0) -> None:
        """Execute a schema change.

        Raises:
            Refusal: it can't be done to the schema that the node shows.
        """
        (statement,) = split(text, "sent")
        if statement.words(2) == ("create", "keyspace"):
            self._create_keyspace(statement)
            return
        effect, keyspace, statement = _qualified(statement, keyspace)
        if effect.verb == "other" or not effect.name:
            return  # GRANT, ROLE, functions: nothing that rows depend on
        seen = self.schema(keyspace, node)
        if keyspace not in self._shown_by(node):
            raise Refusal(f"Keyspace '{keyspace}' does not exist")
        if self.scylla and effect.id:
            raise Unmodelled("an id of a table on ScyllaDB")
        if not applies(seen, effect, scylla=self.scylla):
            return
        self._put(keyspace, effect)

    def _create_keyspace(self, statement: Statement) -> None:
        tokens = [t for t in statement.tokens if not t.is_word("if", "not", "exists")]
        name = tokens[2].value
        if name in self.schemas:
            if statement.words(5)[2:] == ("if", "not", "exists"):
                return
            raise Refusal(f"Cannot add existing keyspace {name!r}")
        texts = [token.value for token in tokens]
        opened = texts.index("{")
        entries = texts[opened + 1 : texts.index("}", opened)]
        pairs = zip(entries[::4], entries[2::4], strict=True)
        self.schemas[name] = Schema(name, tuple(sorted(pairs)))

    def _put(self, keyspace: str, effect: Effect) -> None:
        schema = self.schemas[keyspace]
        before = schema.table(effect.name)
        changed = after(schema, effect)
        table = changed.table(effect.name)
        if effect.verb == "create" and table is not None:
            self._made += 1
            made = UUID(effect.id) if effect.id else uuid5(_IDS, f"{keyspace} {self._made}")
            if before is not None and before.id == made:
                return  # a node that lags made the same one
            if made in self.data:
                raise Refusal(f"there is a table with the id {made}")
            changed = changed.put(replace(table, id=made))
            self.data[made] = TableData()
            if (base := schema.table(table.base)) is not None:
                changed = changed.put(self._ordered(replace(table, id=made), base))
                self.built[made] = self.now + BUILDS
        elif effect.verb == "drop" and before is not None and before.id is not None:
            self.data.pop(before.id, None)
            changed = changed.without(effect.name + PAXOS)
        elif effect.verb == "alter" and effect.drop and before and before.id and table:
            changed = changed.put(self._without(table, before.id, effect.drop))
        self.schemas[keyspace] = changed

    def _ordered(self, view: Table, base: Table) -> Table:
        """Return a view with the order that it doesn't declare."""
        orders = {} if self.scylla else {c.name: c.order for c in base.columns}
        columns = (
            replace(c, order=c.order if c.order else _order(orders.get(c.name, "")))
            if c.kind == "clustering"
            else c
            for c in view.columns
        )
        return replace(view, columns=tuple(columns))

    def _without(self, table: Table, table_id: UUID, names: Collection[str]) -> Table:
        """Hide what columns have, and return the table with the time at which they were dropped."""
        unit = 1 if self.scylla else 1000  # microseconds
        at = self.moment().written // unit
        self._owned(table_id).shown_from |= dict.fromkeys(names, at * unit)
        dropped = (d._replace(at=str(at)) if d.name in names else d for d in table.dropped)
        return replace(table, dropped=tuple(sorted(dropped)))

    def is_unbuilt(self, keyspace: str, view: str) -> bool:
        """Return whether a view is not there, or not built."""
        found = self.schema(keyspace).table(view)
        return found is None or found.id not in self.built or self.now < self.built[found.id]

    # -- rows --------------------------------------------------------------------------------------

    def table(self, keyspace: str, name: str, node: int = 0) -> Table:
        """Return the table that statements about rows mean, as a node knows it.

        Raises:
            Refusal: there is none.
        """
        table = self.schema(keyspace, node).table(name)
        if table is None or table.base:
            told = f"unconfigured table {name}" if self.scylla else f"table {name} does not exist"
            raise Refusal(told)
        if name.endswith(PAXOS):
            raise Refusal("Role  doesn't exist.")
        if table.id not in self.data:
            raise Unknown(f"Unknown CF {table.id}")
        return table

    def rows(self, table: Table) -> TableData:
        """Return a table's rows to be read."""
        assert table.id is not None
        return self.data[table.id]

    def owned_rows(self, table: Table) -> TableData:
        """Return a table's rows to be written to."""
        assert table.id is not None
        return self._owned(table.id)

    def _owned(self, table_id: UUID) -> TableData:
        if table_id in self._shared:
            self.data[table_id] = self.data[table_id].copy()
            self._shared.discard(table_id)
        return self.data[table_id]

    def query(
        self, cql: str, values: Sequence[object], keyspace: str, node: int = 0
    ) -> list[dict[str, Any]]:
        """Return the rows of a SELECT that a node is asked for."""
        statement = parse(cql)
        if not isinstance(statement, Select):
            raise Unmodelled(cql)
        where = statement.keyspace or keyspace
        if where.startswith("system"):
            return self._system(statement, values)
        table, rows = self._shown(where, statement.table, node)
        return storage.select(rows, table, statement, values, self.now)

    def _shown(self, keyspace: str, name: str, node: int) -> tuple[Table, TableData]:
        """Return a table or a view, and its rows."""
        found = self.schema(keyspace, node).table(name)
        if found is None or not found.base:
            table = self.table(keyspace, name, node)
            return table, self.rows(table)
        if self.is_unbuilt(keyspace, name):
            raise Unmodelled(f"a view that is being built: {name}")
        base = self.table(keyspace, found.base)
        return found, views.shown(self.rows(base), base, found, self.now)

    def _system(self, statement: Select, values: Sequence[object]) -> list[dict[str, Any]]:
        """Return rows of system_schema, as far as the engine reads them itself."""
        wanted = {r.column: storage.choices(r, values) for r in statement.where}
        (keyspace,) = map(str, wanted["keyspace_name"])
        if statement.table == "keyspaces":
            return [{"keyspace_name": keyspace}] if keyspace in self.schemas else []
        if statement.table == "tables":
            tables = (self.schema(keyspace).table(str(name)) for name in wanted["table_name"])
            return [{"table_name": table.name, "id": table.id} for table in tables if table]
        raise Unmodelled(f"system_schema.{statement.table}")

    def write(
        self, cql: str, values: Sequence[object], keyspace: str, written: int | None = None
    ) -> bool:
        """Execute a write, or a batch of one partition; return whether its conditions held.

        Args:
            written: the write time that the client gave it; conditional writes have the server's.
        """
        writes = parse(cql)
        if isinstance(writes, Select):
            raise Unmodelled(cql)
        targets = [self.table(w.keyspace or keyspace, w.table) for w in writes]
        if any(w.is_conditional for w in writes):
            self._see_one_partition(writes, targets, values)
            self._add_paxos(writes[0].keyspace or keyspace, targets[0])
        for write, table in zip(writes, targets, strict=True):
            if write.is_conditional and not storage.conditions_hold(
                self.rows(table), table, write, values, self.now
            ):
                return False
        conditional = any(write.is_conditional for write in writes)
        at = self.moment()
        if written is not None and not conditional:
            at = Moment(self.now, written)
        for write, table in zip(writes, targets, strict=True):
            storage.apply(self.owned_rows(table), table, write, values, at)
        return True

    def _add_paxos(self, keyspace: str, table: Table) -> None:
        """Add what ScyllaDB shows beside a table once it has a conditional write."""
        schema = self.schemas[keyspace]
        if self.scylla and schema.table(table.name + PAXOS) is None:
            own = Table(table.name + PAXOS, tuple(c for c in table.columns if c.is_key))
            self.schemas[keyspace] = schema.put(replace(own, id=uuid5(_IDS, own.name)))

    def _see_one_partition(
        self, writes: Sequence[Write], tables: Sequence[Table], values: Sequence[object]
    ) -> None:
        places = {
            (table.name, storage.key_of(table, write, values)[0])
            for write, table in zip(writes, tables, strict=True)
        }
        if len(places) > 1:
            raise Refusal("Batch with conditions cannot span multiple partitions or tables")


def _order(of_base: str) -> str:
    return of_base if of_base in ("asc", "desc") else "asc"


def _qualified(statement: Statement, keyspace: str) -> tuple[Effect, str, Statement]:
    """Return what a statement does, and in which keyspace: `ks.name` is read as `name`."""
    tokens = statement.tokens
    for at in range(len(tokens) - 2):
        name, dot = tokens[at], tokens[at + 1]
        if name.is_name() and dot.is_symbol(".") and tokens[0].is_word("create", "drop", "alter"):
            start = tokens[0].start
            text = statement.text[: name.start - start] + statement.text[dot.end - start :]
            (plain,) = split(text, "sent")
            return read(plain), name.value, plain
    return read(statement), keyspace, statement
