"""What the simulator models, and a real server does: the same statements, the same rows.

A difference fails here. What isn't here the simulator must not model (tests/support/simulator).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from uuid import uuid4

import pytest
from cassandra import AlreadyExists, InvalidRequest
from cassandra.protocol import SyntaxException
from cassandra.query import UNSET_VALUE

from tests.support.simulator.cluster import Cluster
from tests.support.simulator.statements import Unmodelled
from tests.support.simulator.storage import UNSET, Refusal

T = "t (k int, c int, s int static, v int, w text, PRIMARY KEY (k, c))"
AT = 1_700_000_000_000_000  # microseconds


class Refused(Exception):
    """The server says no."""


class Server(Protocol):
    """Executes statements in a keyspace of its own."""

    keyspace: str

    def execute(self, cql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Give the rows; of a conditional statement one row with `[applied]`."""
        ...


class Real:
    """The server of this run."""

    def __init__(self, session: Any) -> None:
        self._client = session
        self.keyspace: str = session.keyspace

    def execute(self, cql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        try:
            statement = self._client.prepare(cql) if values else cql
            bound = [UNSET_VALUE if value is UNSET else value for value in values]
            rows = list(self._client.execute(statement, bound or None))
        except (AlreadyExists, InvalidRequest, SyntaxException) as refused:
            raise Refused(str(refused)) from None
        if rows and "[applied]" in rows[0]:
            return [{"[applied]": rows[0]["[applied]"]}]
        return rows


class Simulated:
    """The simulator."""

    keyspace = "ks"

    def __init__(self) -> None:
        self._cluster = Cluster()
        self.execute(
            "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'dc1': '1'}"
        )

    def execute(self, cql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        self._cluster.wait(0.01)
        try:
            if cql.startswith("SELECT id FROM system_schema"):
                table = self._cluster.schema("ks").table("t")
                return [{"id": table.id}] if table else []
            if cql.startswith("SELECT"):
                return self._cluster.query(cql, values, "ks")
            if cql.startswith(("CREATE", "DROP", "ALTER")):
                self._cluster.change_schema(cql, "ks")
                return []
            applied = self._cluster.write(cql, values, "ks")
        except (Refusal, Unmodelled) as refused:
            raise Refused(str(refused)) from None
        return [{"[applied]": applied}] if " IF " in cql else []


@pytest.fixture(scope="module")
def real(client: Any, datacenter: str) -> Iterator[Real]:
    """A keyspace on the server; making one for each test would take longer than the tests."""
    keyspace = f"contract_{uuid4().hex[:16]}"
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    session = client.cluster.connect(keyspace)
    yield Real(session)
    session.shutdown()
    client.execute(f"DROP KEYSPACE {keyspace}")


@pytest.fixture(params=["simulated", "real"])
def server_of(request: pytest.FixtureRequest) -> Server:
    """An empty table on either of them."""
    server: Server
    if request.param == "simulated":
        server = Simulated()
    else:
        server = request.getfixturevalue("real")
        server.execute("DROP TABLE IF EXISTS t")
    server.execute(f"CREATE TABLE {T}")
    return server


def values_of(on: Server, what: str = "v, WRITETIME(v) AS at") -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in on.execute(f"SELECT {what} FROM t")]


def put(on: Server, v: object, at: int, using: str = "", key: tuple[int, int] = (1, 1)) -> None:
    on.execute(
        f"UPDATE t USING TIMESTAMP {AT + at}{using} SET v = ? WHERE k = ? AND c = ?", (v, *key)
    )


def test_the_newest_write_wins_in_whatever_order(server_of: Server) -> None:
    put(server_of, 2, 20)
    put(server_of, 1, 10)
    assert values_of(server_of) == [(2, AT + 20)]


def test_at_one_time_a_tombstone_wins_then_the_larger_value(server_of: Server) -> None:
    put(server_of, 1, 10)
    put(server_of, 2, 10)
    put(server_of, 1, 10)
    assert values_of(server_of) == [(2, AT + 10)]
    server_of.execute("INSERT INTO t (k, c) VALUES (1, 1)")
    put(server_of, None, 10)
    assert values_of(server_of) == [(None, None)]
    put(server_of, 9, 10)
    assert values_of(server_of) == [(None, None)]


def test_at_one_time_a_cell_that_ends_wins(server_of: Server) -> None:
    put(server_of, 1, 10, " AND TTL 900")
    put(server_of, 2, 10)
    ((value, left),) = values_of(server_of, "v, TTL(v) AS s")
    assert value == 1
    assert 890 <= int(str(left)) <= 900


def test_only_an_insert_makes_a_row_that_stays_without_cells(server_of: Server) -> None:
    put(server_of, 1, 10, key=(1, 1))
    server_of.execute("INSERT INTO t (k, c, v) VALUES (1, 2, 5)")
    for c in (1, 2):
        server_of.execute("UPDATE t SET v = null WHERE k = 1 AND c = ?", (c,))
    assert values_of(server_of, "c, v") == [(2, None)]


def test_a_deletion_takes_what_is_older_or_as_old(server_of: Server) -> None:
    put(server_of, 1, 10)
    server_of.execute(f"DELETE FROM t USING TIMESTAMP {AT + 10} WHERE k = 1 AND c = 1")
    assert values_of(server_of) == []
    put(server_of, 2, 10)
    assert values_of(server_of) == []
    put(server_of, 3, 11)
    assert values_of(server_of) == [(3, AT + 11)]


def test_what_is_unset_stays(server_of: Server) -> None:
    server_of.execute("INSERT INTO t (k, c, v, w) VALUES (1, 1, 7, 'x')")
    server_of.execute("INSERT INTO t (k, c, v, w) VALUES (1, 1, ?, ?)", (UNSET, "y"))
    assert values_of(server_of, "v, w") == [(7, "y")]


def test_conditions(server_of: Server) -> None:
    insert = "INSERT INTO t (k, c, v) VALUES (1, 1, ?) IF NOT EXISTS"
    update = "UPDATE t SET v = ? WHERE k = 1 AND c = 1 IF v = ?"
    done = [server_of.execute(insert, (v,))[0]["[applied]"] for v in (1, 2)]
    done += [server_of.execute(update, pair)[0]["[applied]"] for pair in ((3, 2), (3, 1))]
    assert done == [True, False, False, True]
    assert values_of(server_of, "v") == [(3,)]


def test_a_batch_of_one_partition_is_done_whole_or_not_at_all(server_of: Server) -> None:
    batch = (
        "BEGIN BATCH UPDATE t SET s = ? WHERE k = 1 IF s = ?; "
        "UPDATE t SET v = ? WHERE k = 1 AND c = 5 IF v = null; APPLY BATCH"
    )
    done = [
        server_of.execute(batch, values)[0]["[applied]"]
        for values in ((1, None, 10), (2, 7, 20), (2, 1, 30))
    ]
    assert done == [True, False, False]
    assert values_of(server_of, "s, v") == [(1, 10)]


def test_conditions_of_two_partitions_are_refused(server_of: Server) -> None:
    batch = (
        "BEGIN BATCH UPDATE t SET v = 1 WHERE k = 1 AND c = 1 IF v = null; "
        "UPDATE t SET v = 1 WHERE k = 2 AND c = 1 IF v = null; APPLY BATCH"
    )
    with pytest.raises(Refused):
        server_of.execute(batch)


def test_a_table_made_again_is_another_one_and_empty(server_of: Server) -> None:
    cql = (
        "SELECT id FROM system_schema.tables "
        f"WHERE keyspace_name = '{server_of.keyspace}' AND table_name = 't'"
    )
    first = server_of.execute(cql)
    put(server_of, 1, 10)
    server_of.execute(f"CREATE TABLE IF NOT EXISTS {T}")
    assert server_of.execute(cql) == first
    assert len(values_of(server_of)) == 1
    with pytest.raises(Refused):
        server_of.execute(f"CREATE TABLE {T}")
    server_of.execute("DROP TABLE t")
    with pytest.raises(Refused):
        values_of(server_of)
    server_of.execute(f"CREATE TABLE {T}")
    assert server_of.execute(cql) != first
    assert values_of(server_of) == []


def test_a_dropped_column_hides_what_is_older_than_its_drop(server_of: Server) -> None:
    server_of.execute("INSERT INTO t (k, c, v) VALUES (1, 1, 5)")
    server_of.execute("ALTER TABLE t DROP v")
    with pytest.raises(Refused):
        values_of(server_of, "v")
    server_of.execute("ALTER TABLE t ADD v int")
    assert values_of(server_of, "k, v") == [(1, None)]
    put(server_of, 6, 10)  # long before the DROP
    assert values_of(server_of, "k, v") == [(1, None)]


def test_a_tables_default_life_counts_where_none_is_given(server_of: Server) -> None:
    server_of.execute("ALTER TABLE t WITH default_time_to_live = 900")
    server_of.execute("INSERT INTO t (k, c, v) VALUES (1, 1, 1)")
    server_of.execute("INSERT INTO t (k, c, v) VALUES (1, 2, 1) USING TTL 0")
    server_of.execute("INSERT INTO t (k, c, v) VALUES (1, 3, 1) USING TTL 90")
    lives = [left for (left,) in values_of(server_of, "TTL(v) AS s")]
    assert lives[1] is None
    assert 890 <= int(str(lives[0])) <= 900
    assert 80 <= int(str(lives[2])) <= 90


def test_rows_come_in_the_order_of_the_clustering_key(server_of: Server) -> None:
    for c in (2, 3, 1):
        put(server_of, c, 10, key=(1, c))
    assert values_of(server_of, "c") == [(1,), (2,), (3,)]
    few = server_of.execute("SELECT c FROM t WHERE k = ? LIMIT 2", (1,))
    assert [row["c"] for row in few] == [1, 2]


@pytest.mark.parametrize(
    "cql",
    [
        "SELECT WRITETIME(k) FROM t",
        "SELECT nosuch FROM t",
        "INSERT INTO t (k, c, nosuch) VALUES (1, 1, 1)",
        "UPDATE t SET v = 1 WHERE k = 1",
        "ALTER TABLE t DROP c",
        "ALTER TABLE t DROP nosuch",
        "ALTER TABLE t ADD v int",
        "DROP TABLE nosuch",
    ],
)
def test_what_is_refused(server_of: Server, cql: str) -> None:
    with pytest.raises(Refused):
        server_of.execute(cql)
