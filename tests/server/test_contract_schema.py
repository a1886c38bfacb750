"""Schema changes that come late, twice or in a wrong order, and views: the same on the simulator
and on a real server.
"""

from __future__ import annotations

from dataclasses import astuple
from uuid import uuid4

import pytest

from calldrop_migrate.engine.ports import Database
from calldrop_migrate.errors import OutcomeUnknown, StatementRefused
from tests.support.contract import AT, Refused, Server, T, put, values_of
from tests.support.pace import seconds

VIEW = (
    "CREATE MATERIALIZED VIEW by_v AS SELECT v, k, c FROM t "
    "WHERE v IS NOT NULL AND k IS NOT NULL AND c IS NOT NULL PRIMARY KEY (v, k, c)"
)


def id_of(on: Server, name: str = "t") -> object:
    table = on.database.schema().table(name)
    return table and table.id


def test_a_table_is_told_as_it_was_declared(server_of: Server) -> None:
    table = server_of.database.schema().table("t")
    assert table is not None
    assert [c[:5] for c in map(astuple, table.columns)] == [
        ("k", "int", "partition_key", 0, "none"),
        ("c", "int", "clustering", 0, "asc"),
        ("s", "int", "static", -1, "none"),
        ("v", "int", "regular", -1, "none"),
        ("w", "text", "regular", -1, "none"),
    ]
    assert (table.base, table.dropped, table.compact) == ("", (), False)


def test_a_create_with_an_id_comes_twice_and_again_behind_the_drop(server_of: Server) -> None:
    id_, create = uuid4(), "CREATE TABLE {}u (k int PRIMARY KEY, v int) WITH ID = {}"
    server_of.execute(create.format("", id_))
    server_of.execute("INSERT INTO u (k, v) VALUES (1, 1)")
    with pytest.raises(Refused):
        server_of.execute(create.format("", id_))
    server_of.execute(create.format("IF NOT EXISTS ", id_))
    assert id_of(server_of, "u") == id_
    assert server_of.execute("SELECT v FROM u") == [{"v": 1}]
    server_of.execute("DROP TABLE u")
    server_of.execute(create.format("", id_))
    assert id_of(server_of, "u") == id_
    assert server_of.execute("SELECT v FROM u") == []


def test_an_id_is_of_one_table(server_of: Server) -> None:
    with pytest.raises((OutcomeUnknown, StatementRefused)):
        server_of.database.ddl(f"CREATE TABLE u (k int PRIMARY KEY) WITH ID = {id_of(server_of)}")
    assert id_of(server_of, "u") is None


def test_a_create_if_it_is_not_there_makes_it_once(server_of: Server) -> None:
    server_of.execute("CREATE TABLE IF NOT EXISTS u (k int PRIMARY KEY, v int)")
    first = id_of(server_of, "u")
    assert first
    server_of.execute("CREATE TABLE IF NOT EXISTS u (k text PRIMARY KEY)")
    assert id_of(server_of, "u") == first


def test_a_drop_that_comes_late_takes_the_table_that_has_the_name_by_then(
    server_of: Server,
) -> None:
    drop = "DROP TABLE IF EXISTS t"
    server_of.execute(drop)
    server_of.execute(drop)
    server_of.execute(f"CREATE TABLE {T}")
    put(server_of, 1, 10)
    server_of.execute(drop)
    with pytest.raises(Refused):
        values_of(server_of)


def test_an_alter_comes_twice(server_of: Server) -> None:
    for cql in ("ALTER TABLE t ADD x int", "ALTER TABLE t DROP v"):
        server_of.execute(cql)
        with pytest.raises(Refused):
            server_of.execute(cql)
    if not server_of.database.platform.scylla:  # which has no such words
        server_of.execute("ALTER TABLE t ADD IF NOT EXISTS x int")
        server_of.execute("ALTER TABLE t DROP IF EXISTS v")


def test_a_dropped_column_comes_back_with_its_type_alone(server_of: Server) -> None:
    server_of.execute("ALTER TABLE t DROP v")
    if server_of.database.platform.scylla:  # takes any type, unless both are collections
        server_of.execute("ALTER TABLE t ADD v text")
        return
    with pytest.raises(Refused):
        server_of.execute("ALTER TABLE t ADD v text")
    server_of.execute("ALTER TABLE t ADD v int")


def test_what_a_dropped_column_has_once_it_is_back_is_what_was_written_behind_its_drop(
    server_of: Server,
) -> None:
    server_of.execute("INSERT INTO t (k, c, v) VALUES (1, 1, 5)")
    server_of.execute("ALTER TABLE t DROP v")
    table = server_of.database.schema().table("t")
    assert table is not None
    (dropped,) = table.dropped
    assert dropped[:3] == ("v", "int", "regular")
    server_of.execute("ALTER TABLE t ADD v int")
    in_microseconds = 1 if server_of.database.platform.scylla else 1000
    at = int(dropped.at) * in_microseconds
    for written, shown in ((at, None), (at + in_microseconds, 7)):
        server_of.execute(f"UPDATE t USING TIMESTAMP {written} SET v = 7 WHERE k = 1 AND c = 1")
        assert values_of(server_of, "v") == [(shown,)]


def test_a_refusal_says_what_is_not_there(server_of: Server) -> None:
    database: Database = server_of.database
    for cql in (
        "ALTER TABLE nosuch ADD v int",
        "DROP TABLE nosuch",
        VIEW.replace("FROM t", "FROM nosuch"),
        "CREATE INDEX on_v ON nosuch (v)",
    ):
        with pytest.raises(StatementRefused) as refused:
            database.ddl(cql)
        assert refused.value.absent, cql
        assert "nosuch" in refused.value.message


def test_rows_of_a_table_that_is_not_there_are_refused_as_such(server_of: Server) -> None:
    with pytest.raises(StatementRefused) as refused:
        server_of.database.write("UPDATE nosuch SET v = 1 WHERE k = 1")
    assert refused.value.absent
    with pytest.raises(StatementRefused) as refused:
        server_of.database.write("UPDATE t SET nosuch = 1 WHERE k = 1 AND c = 1")
    assert not refused.value.absent
    with pytest.raises(StatementRefused) as refused:
        server_of.database.ddl(f"CREATE TABLE {T}")
    assert not refused.value.absent


# -- views -----------------------------------------------------------------------------------------


def view_of(on: Server) -> list[tuple[object, ...]]:
    return sorted(tuple(row.values()) for row in on.execute("SELECT v, k, c FROM by_v"))


def shows(on: Server, rows: list[tuple[object, ...]]) -> None:
    """See that the view comes to have these rows: its writes follow those of the base."""
    for _ in range(round(seconds(50))):
        if view_of(on) == rows:
            return
        on.wait(0.1)
    assert view_of(on) == rows


def made(on: Server) -> None:
    """Make the view, and wait until it is built."""
    on.execute(VIEW)
    for _ in range(round(seconds(300))):
        if not on.database.unbuilt("by_v"):
            return
        on.wait(0.1)
    raise AssertionError("it is not built within 30 s")


def test_a_view_shows_rows_that_were_there_before_once_it_is_built(server_of: Server) -> None:
    assert server_of.database.unbuilt("by_v")
    for c in (1, 2, 3):
        put(server_of, 10 * c, 10, key=(1, c))
    server_of.execute("INSERT INTO t (k, c, s) VALUES (2, 1, 1)")  # has no v
    made(server_of)
    assert view_of(server_of) == [(10, 1, 1), (20, 1, 2), (30, 1, 3)]


def test_a_view_follows_its_base(server_of: Server) -> None:
    put(server_of, 5, 10)
    put(server_of, 6, 10, key=(1, 2))
    made(server_of)
    put(server_of, 7, 20)
    server_of.execute(f"DELETE FROM t USING TIMESTAMP {AT + 20} WHERE k = 1 AND c = 2")
    shows(server_of, [(7, 1, 1)])
    server_of.execute("UPDATE t SET v = null WHERE k = 1 AND c = 1")
    shows(server_of, [])


def test_a_view_that_is_made_again_is_built_again(server_of: Server) -> None:
    put(server_of, 5, 10)
    made(server_of)
    server_of.execute("DROP MATERIALIZED VIEW by_v")
    with pytest.raises(Refused):
        view_of(server_of)
    put(server_of, 6, 20)
    made(server_of)
    assert view_of(server_of) == [(6, 1, 1)]


def test_what_a_view_keeps_from_being_done_to_its_base_and_to_itself(server_of: Server) -> None:
    made(server_of)
    for cql in (
        "DROP TABLE t",
        "DROP TABLE IF EXISTS t",
        "ALTER TABLE t DROP v",
        VIEW,
        "DROP MATERIALIZED VIEW t",
        "DROP TABLE by_v",
        "ALTER TABLE by_v ADD x int",
        "INSERT INTO by_v (v, k, c) VALUES (1, 1, 1)",
    ):
        with pytest.raises(Refused):
            server_of.execute(cql)
    server_of.execute(VIEW.replace("VIEW by_v", "VIEW IF NOT EXISTS by_v"))
    server_of.execute("ALTER TABLE t ADD x int")
    server_of.execute("DROP MATERIALIZED VIEW by_v")
    server_of.execute("DROP TABLE t")


def test_a_view_that_declares_no_order_has_that_of_its_base(server_of: Server) -> None:
    server_of.execute(
        "CREATE TABLE d (k int, a int, b int, PRIMARY KEY (k, a, b)) "
        "WITH CLUSTERING ORDER BY (a DESC, b ASC)"
    )
    server_of.execute(
        "CREATE MATERIALIZED VIEW by_b AS SELECT k, a, b FROM d "
        "WHERE b IS NOT NULL AND k IS NOT NULL AND a IS NOT NULL PRIMARY KEY (b, a, k)"
    )
    view = server_of.database.schema().table("by_b")
    assert view is not None
    ascending = server_of.database.platform.scylla
    assert [(c.name, c.order) for c in view.columns if c.kind == "clustering"] == [
        ("a", "asc" if ascending else "desc"),
        ("k", "asc"),
    ]


def test_a_view_keeps_a_column_that_it_does_not_show(server_of: Server) -> None:
    """On ScyllaDB it doesn't, where its key has a value of the base: it needs no other one then."""
    made(server_of)
    drop = "ALTER TABLE t DROP w"
    if server_of.database.platform.scylla:
        server_of.execute(drop)
        return
    with pytest.raises(Refused):
        server_of.execute(drop)
