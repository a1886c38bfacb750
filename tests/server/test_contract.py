"""What the simulator models, and a real server does: the same statements, the same rows.

A difference fails here. What isn't here the simulator must not model (tests/support/simulator).
"""

from __future__ import annotations

import time

import pytest

from tests.support import pace
from tests.support.contract import AT, Refused, Server, T, put, values_of
from tests.support.simulator.storage import UNSET

OF_TWO_PARTITIONS = (
    "BEGIN BATCH UPDATE t SET v = 1 WHERE k = 1 AND c = 1 IF v = null; "
    "UPDATE t SET v = 1 WHERE k = 2 AND c = 1 IF v = null; APPLY BATCH"
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


def test_what_is_refused(server_of: Server) -> None:
    for cql in (
        "SELECT WRITETIME(k) FROM t",
        "SELECT nosuch FROM t",
        "INSERT INTO t (k, c, nosuch) VALUES (1, 1, 1)",
        "UPDATE t SET v = 1 WHERE k = 1",
        "ALTER TABLE t DROP c",
        "ALTER TABLE t DROP nosuch",
        "ALTER TABLE t ADD v int",
        "DROP TABLE nosuch",
        OF_TWO_PARTITIONS,
    ):
        with pytest.raises(Refused):
            print(cql, server_of.execute(cql))
    assert values_of(server_of) == []


def test_at_one_time_the_larger_bytes_win(server_of: Server) -> None:
    """Each pair in a row of its own, in one order and in the other."""
    pairs: list[tuple[str, object, object]] = [("v", 10, 9), ("v", -1, 1), ("v", 2**31 - 1, 0)]
    pairs += [("w", "b", "aa"), ("w", "'", '"')]
    for c, (column, larger, smaller) in enumerate(pairs):
        update = f"UPDATE t USING TIMESTAMP {AT} SET {column} = ? WHERE k = ? AND c = {c}"
        for k, values in enumerate([(larger, smaller), (smaller, larger)]):
            for value in values:
                server_of.execute(update, (value, k))
        for k in (0, 1):
            found = server_of.execute(f"SELECT {column} FROM t WHERE k = {k} AND c = {c}")
            assert found == [{column: larger}]


def test_at_one_time_a_deletion_wins_over_an_insert(server_of: Server) -> None:
    for k in (1, 2):
        insert = f"INSERT INTO t (k, c, v) VALUES ({k}, 1, 5) USING TIMESTAMP {AT}"
        delete = f"DELETE FROM t USING TIMESTAMP {AT} WHERE k = {k} AND c = 1"
        for cql in (delete, insert) if k == 1 else (insert, delete):
            server_of.execute(cql)
    assert values_of(server_of) == []


def test_of_two_that_end_at_one_time_the_later_end_wins(server_of: Server) -> None:
    for v, seconds in ((1, 900), (2, 90)):
        put(server_of, v, 10, f" AND TTL {seconds}")
    assert values_of(server_of, "v") == [(1,)]


def test_an_insert_that_comes_late_changes_nothing_newer(server_of: Server) -> None:
    late = "INSERT INTO t (k, c, v, w) VALUES (1, 1, 1, 'late') USING TIMESTAMP {}"
    put(server_of, 2, 20)
    server_of.execute(late.format(AT + 10))
    assert values_of(server_of, "v, w") == [(2, "late")]
    server_of.execute(f"DELETE FROM t USING TIMESTAMP {AT + 30} WHERE k = 1 AND c = 1")
    server_of.execute(late.format(AT + 25))
    assert values_of(server_of) == []
    server_of.execute(f"DELETE FROM t USING TIMESTAMP {AT + 50} WHERE k = 1")
    server_of.execute(late.format(AT + 45))
    assert values_of(server_of) == []
    server_of.execute(late.format(AT + 55))
    assert values_of(server_of, "v, w") == [(1, "late")]


def test_a_deletion_by_a_clock_that_is_ahead_hides_what_a_condition_let_through(
    server_of: Server,
) -> None:
    ahead = int((time.time() + 86_400) * 1e6)  # three days ahead is what ScyllaDB takes at most
    server_of.execute(f"DELETE FROM t USING TIMESTAMP {ahead} WHERE k = 1 AND c = 1")
    insert = "INSERT INTO t (k, c, v) VALUES (1, 1, 1) IF NOT EXISTS"
    assert [server_of.execute(insert) for _ in range(2)] == [[{"[applied]": True}]] * 2
    assert values_of(server_of) == []


def test_what_has_a_condition_has_no_effect_when_it_comes_again(server_of: Server) -> None:
    server_of.execute("INSERT INTO t (k, c, v, s) VALUES (1, 1, 1, 1)")
    batch = (
        "BEGIN BATCH UPDATE t SET s = ? WHERE k = 1 IF s = ?; "
        "UPDATE t SET v = ? WHERE k = 1 AND c = 1 IF v = ?; APPLY BATCH"
    )
    update = "UPDATE t SET v = ? WHERE k = 1 AND c = 1 IF v = ?"
    delete = "DELETE FROM t WHERE k = 1 AND c = 1 IF v = ?"
    done = [
        server_of.execute(cql, values)[0]["[applied]"]
        for cql, values in (
            (batch, (2, 1, 2, 1)),
            (batch, (2, 1, 2, 1)),
            (update, (3, 2)),
            (update, (3, 2)),
            (delete, (2,)),
            (delete, (3,)),
            (delete, (3,)),
        )
    ]
    assert done == [True, False, True, False, False, True, False]
    assert values_of(server_of, "c, s, v") == [(None, 2, None)]


def test_a_partition_that_has_statics_alone(server_of: Server) -> None:
    insert = "INSERT INTO t (k, c, v) VALUES (1, 1, 5) IF NOT EXISTS"
    statics = "INSERT INTO t (k, s) VALUES (1, ?) IF NOT EXISTS"
    assert server_of.execute(statics, (7,)) == [{"[applied]": True}]
    assert values_of(server_of, "k, c, s, v") == [(1, None, 7, None)]
    assert values_of(server_of, "s, WRITETIME(v) AS at") == [(7, None)]
    assert server_of.execute(insert) == [{"[applied]": True}]
    assert values_of(server_of, "k, c, s, v") == [(1, 1, 7, 5)]
    assert server_of.execute(statics, (8,)) == [{"[applied]": False}]
    server_of.execute("DELETE FROM t WHERE k = 1 AND c = 1")
    assert values_of(server_of, "k, c, s, v") == [(1, None, 7, None)]
    server_of.execute("UPDATE t SET s = null WHERE k = 1")
    assert values_of(server_of, "k, c, s, v") == []
    server_of.execute("UPDATE t SET s = 9 WHERE k = 1")
    server_of.execute("DELETE FROM t WHERE k = 1")
    assert values_of(server_of, "k, c, s, v") == []


def test_statics_are_no_row_where_a_condition_asks_for_one(server_of: Server) -> None:
    server_of.execute("UPDATE t SET s = 7 WHERE k = 1")
    delete = "DELETE FROM t WHERE k = 1 AND c = 1 IF EXISTS"
    assert server_of.execute(delete) == [{"[applied]": False}]
    update = "UPDATE t SET v = 1 WHERE k = 1 AND c = 1 IF s = ?"
    done = [server_of.execute(update, (s,)) for s in (6, 7)]
    assert done == [[{"[applied]": False}], [{"[applied]": True}]]


def test_a_row_ends_with_its_cells_and_its_marker(server_of: Server) -> None:
    life = round(pace.seconds(2))
    server_of.execute(f"INSERT INTO t (k, c, v) VALUES (1, 1, 5) USING TTL {life}")
    server_of.execute("INSERT INTO t (k, c) VALUES (1, 2)")
    put(server_of, 5, 10, f" AND TTL {life}", key=(1, 2))
    server_of.execute(f"INSERT INTO t (k, c, v) VALUES (1, 3, 5) USING TTL {life}")
    server_of.execute("UPDATE t SET w = 'stays' WHERE k = 1 AND c = 3")
    put(server_of, 5, 10, f" AND TTL {life}", key=(1, 4))
    insert = "INSERT INTO t (k, c, v) VALUES (1, ?, 6) IF NOT EXISTS"
    assert server_of.execute(insert, (4,)) == [{"[applied]": False}]
    server_of.wait(life + 1.2)
    assert values_of(server_of, "c, v, w") == [(2, None, None), (3, None, "stays")]
    assert server_of.execute(insert, (4,)) == [{"[applied]": True}]
