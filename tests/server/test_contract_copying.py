"""A copy, and what is compared with it: rows of every kind, the same on the simulator and on a real
server.
"""

from __future__ import annotations

import pytest

from calldrop_migrate.core.ranges import grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import CopyTask, RangeResult
from tests.support.contract import AT, Server

COLUMNS = "k int, c int, v int, w text"
LOW = AT - 10**9


@pytest.fixture
def copied_from(server_of: Server) -> Server:
    """A row with all cells, one with a null, one of a key alone, one of cells alone, one that ends,
    one without what the target's key needs.
    """
    server_of.execute(f"CREATE TABLE source ({COLUMNS}, PRIMARY KEY (k, c))")
    server_of.execute(f"CREATE TABLE target ({COLUMNS}, PRIMARY KEY (v, k, c))")
    server_of.execute(f"CREATE TABLE same ({COLUMNS}, PRIMARY KEY (k, c))")
    for number, cql in enumerate(
        (
            "INSERT INTO source (k, c, v, w) VALUES (1, 1, 10, 'one') USING TIMESTAMP {}",
            "INSERT INTO source (k, c, v, w) VALUES (1, 2, 20, null) USING TIMESTAMP {}",
            "INSERT INTO source (k, c) VALUES (1, 3) USING TIMESTAMP {}",
            "UPDATE source USING TIMESTAMP {} SET v = 40 WHERE k = 1 AND c = 4",
            "INSERT INTO source (k, c, v, w) VALUES (1, 5, 50, 'five') "
            "USING TIMESTAMP {} AND TTL 900",
            "UPDATE source USING TIMESTAMP {} SET w = 'six' WHERE k = 1 AND c = 6",
            "UPDATE source USING TIMESTAMP {} SET w = 'newer' WHERE k = 1 AND c = 1",
        )
    ):
        server_of.execute(cql.format(AT + number))
    return server_of


def task_of(on: Server, into: str) -> CopyTask:
    schema = on.database.schema()
    source, target = schema.table("source"), schema.table(into)
    assert isinstance(source, Table)
    assert isinstance(target, Table)
    same = tuple((c.name, c.name) for c in target.columns)
    return CopyTask(source, target, same, low_timestamp=LOW)


def copied(on: Server, into: str) -> RangeResult:
    found = on.database.bulk.copy_ranges(task_of(on, into), grid(4))
    return sum((result for _, result in found), RangeResult())


def rows_of(on: Server, table: str, what: str) -> list[tuple[object, ...]]:
    rows = on.execute(f"SELECT {what} FROM {table}")
    return sorted((tuple(row.values()) for row in rows), key=str)


def test_a_copy_into_the_same_key_and_into_one_that_some_rows_lack(copied_from: Server) -> None:
    result = copied(copied_from, "same")
    assert (result.rows, result.bare, result.unfit) == (6, 1, 0)
    assert rows_of(copied_from, "same", "c, v, w, WRITETIME(v) AS a, WRITETIME(w) AS b") == [
        (1, 10, "newer", AT, AT + 6),
        (2, 20, None, AT + 1, None),
        (3, None, None, None, None),
        (4, 40, None, AT + 3, None),
        (5, 50, "five", AT + 4, AT + 4),
        (6, None, "six", None, AT + 5),
    ]
    lives = [left for _, left in rows_of(copied_from, "same", "c, TTL(v) AS s")]
    assert 880 <= int(str(lives.pop(4))) <= 900
    assert set(lives) == {None}
    result = copied(copied_from, "target")
    assert (result.rows, result.bare, result.unfit) == (4, 0, 2)
    assert rows_of(copied_from, "target", "v, k, c, w, WRITETIME(w) AS b") == [
        (10, 1, 1, "newer", AT + 6),
        (20, 1, 2, None, None),
        (40, 1, 4, None, None),
        (50, 1, 5, "five", AT + 4),
    ]


def test_a_copy_hides_nothing_that_is_newer_in_its_target(copied_from: Server) -> None:
    insert = "INSERT INTO same (k, c, v, w) VALUES (1, ?, 99, 'theirs') USING TIMESTAMP {}"
    copied_from.execute(insert.format(AT + 100), (1,))
    copied_from.execute(insert.format(AT - 100), (2,))
    copied(copied_from, "same")
    copied(copied_from, "same")
    assert rows_of(copied_from, "same", "c, v, w")[:2] == [(1, 99, "theirs"), (2, 20, "theirs")]


def test_what_is_lacking_behind_a_copy(copied_from: Server) -> None:
    """One thing after the other is done to the copy: what is lacking, and the sums, tell each."""
    task, bulk = task_of(copied_from, "same"), copied_from.database.bulk
    (whole,) = grid(1)
    assert [d.what for d in bulk.missing(task, whole, 5)] != []
    copied(copied_from, "same")
    assert bulk.missing(task, whole, 5) == []
    seen = [sums(copied_from, of_target=False)]
    assert sums(copied_from, of_target=True) == seen[0]
    lacking: list[str] = []
    for done, more in (
        ("DELETE FROM same WHERE k = 1 AND c = 4", ["is not there"]),
        (f"UPDATE same USING TIMESTAMP {AT + 50} SET v = 11 WHERE k = 1 AND c = 1", []),
        (f"DELETE w FROM same USING TIMESTAMP {AT + 50} WHERE k = 1 AND c = 6", ["w is not there"]),
        ("DELETE FROM same WHERE k = 1 AND c = 3", ["has no cells, and is not there"]),
        ("INSERT INTO same (k, c, v) VALUES (9, 9, 9)", []),
    ):
        copied_from.execute(done)
        lacking += more
        assert sorted(d.what for d in bulk.missing(task, whole, 5)) == sorted(lacking), done
        now = sums(copied_from, of_target=True)
        assert now not in seen, done
        seen.append(now)


def sums(on: Server, *, of_target: bool) -> dict[int, tuple[int, int]]:
    found = on.database.bulk.sum_ranges(task_of(on, "same"), grid(4), 4, of_target=of_target)
    added: dict[int, tuple[int, int]] = {}
    for _, part in found:
        for at, (count, total) in part.by_range.items():
            before = added.get(at, (0, 0))
            added[at] = before[0] + count, (before[1] + total) % 2**64
    return {at: both for at, both in added.items() if both[0]}
