"""The simulator as ScyllaDB: what the engine can see of the differences that were measured on one.

docs/testing.md lists them. The rest is as on Cassandra, which tests/server/test_contract*.py prove.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.schema import Table
from calldrop_migrate.errors import StatementRefused
from tests.support.contract import Server, T, simulated, values_of
from tests.support.simulator.statements import Unmodelled

VIEW = (
    "CREATE MATERIALIZED VIEW by_v AS SELECT {} FROM t "
    "WHERE v IS NOT NULL AND k IS NOT NULL AND c IS NOT NULL PRIMARY KEY (v, c, k)"
)
INSERT = "INSERT INTO t (k, c, v) VALUES (1, 1, 5)"
UNCONFIGURED = "unconfigured table nosuch"


@pytest.fixture
def scylla_of() -> Iterator[Server]:
    with simulated(scylla=True) as found:
        yield found


def table_of(on: Server, name: str) -> Table:
    found = on.database.schema().table(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "cql", ["ALTER TABLE nosuch ADD v int", "DROP TABLE nosuch", "DROP MATERIALIZED VIEW nosuch"]
)
def test_what_is_not_there_is_unconfigured(scylla_of: Server, cql: str) -> None:
    """Measured on ScyllaDB 2026.1.11: "unconfigured table" for Cassandra's "does not exist"."""
    with pytest.raises(StatementRefused, match=UNCONFIGURED) as refused:
        scylla_of.database.ddl(cql)
    assert refused.value.absent
    with pytest.raises(StatementRefused, match=UNCONFIGURED) as refused:
        scylla_of.database.write("UPDATE nosuch SET v = 1 WHERE k = 1")
    assert refused.value.absent


def test_a_table_with_conditional_writes_has_one_beside_it(scylla_of: Server) -> None:
    """Measured on ScyllaDB 2026.1.11: a `$paxos` table stands in the schema; SELECT says that a
    role doesn't exist, and DROP is unauthorized.
    """
    database = scylla_of.database
    scylla_of.execute(INSERT)
    assert len(database.schema().tables) == 1
    assert database.compare_and_set(f"{INSERT} IF NOT EXISTS", ()) is False
    own = table_of(scylla_of, "t$paxos")
    assert is_internal(own.name)
    assert not [table for table in database.schema().owned().tables if table.name != "t"]
    with pytest.raises(StatementRefused, match="Role  doesn't exist"):
        database.has_rows(own)
    with pytest.raises(StatementRefused, match="Unauthorized"):
        database.ddl('DROP TABLE "t$paxos"')


def test_the_time_of_a_drop_has_microseconds(scylla_of: Server) -> None:
    """Measured on ScyllaDB 2026.1.11: microseconds are kept as the time at which a column was
    dropped. What is written one later is shown.
    """
    scylla_of.execute(INSERT)
    scylla_of.wait(0.0000017)
    scylla_of.execute("ALTER TABLE t DROP v")
    (dropped,) = table_of(scylla_of, "t").dropped
    at = int(dropped.at)
    assert at > 10**15
    scylla_of.execute("ALTER TABLE t ADD v int")
    for written, shown in ((at, None), (at + 1, 7)):
        scylla_of.execute(f"UPDATE t USING TIMESTAMP {written} SET v = 7 WHERE k = 1 AND c = 1")
        assert values_of(scylla_of, "v") == [(shown,)]


def test_a_table_with_views_is_not_dropped(scylla_of: Server) -> None:
    """Measured on ScyllaDB 2026.1.11: the refusal has the names of the views in braces."""
    scylla_of.execute(VIEW.format("v, k, c"))
    said = r"Cannot drop table when materialized views still depend on it \(ks\.\{by_v\}\)"
    with pytest.raises(StatementRefused, match=said):
        scylla_of.database.ddl("DROP TABLE t")


@pytest.mark.parametrize("column", ["w", "added"])
def test_no_column_under_a_view_of_all_is_dropped(scylla_of: Server, column: str) -> None:
    """Measured on ScyllaDB 2026.1.11: with a view of SELECT * every column of its base is
    undroppable, also one that was added after the view.
    """
    scylla_of.execute(VIEW.format("*"))
    scylla_of.execute("ALTER TABLE t ADD added int")
    with pytest.raises(StatementRefused):
        scylla_of.database.ddl(f"ALTER TABLE t DROP {column}")


def test_a_view_that_declares_no_order_is_ascending(scylla_of: Server) -> None:
    """Measured on ScyllaDB 2026.1.11: it gets ASC where Cassandra takes the order of its base."""
    scylla_of.execute("DROP TABLE t")
    scylla_of.execute(f"CREATE TABLE {T} WITH CLUSTERING ORDER BY (c DESC)")
    scylla_of.execute(VIEW.format("v, k, c"))
    orders = [c.order for c in table_of(scylla_of, "by_v").columns if c.kind == "clustering"]
    assert orders == ["asc", "asc"]


def test_no_id_is_chosen_for_a_table(scylla_of: Server) -> None:
    with pytest.raises(Unmodelled):
        scylla_of.database.ddl(
            "CREATE TABLE u (k int PRIMARY KEY) WITH ID = 7e5d0f4c-6a35-4ad6-9d52-0f8f4bb9b1a5"
        )
