"""Rows in the order in which the simulator and a real server give them: by token, then by the
clustering key, page by page and range by range.
"""

from __future__ import annotations

import pytest

from calldrop_migrate.core.ranges import Range, grid
from calldrop_migrate.engine.ports import CopyTask
from tests.support.contract import AT, Server

D = "d (k text, a int, b int, v int, PRIMARY KEY (k, a, b))"
KEYS = [f"key {number}" for number in range(9)]
# Clustering keys in the order of a DESC, b ASC.
INNER = [(3, 1), (2, 1), (2, 2), (1, -1), (1, 0), (-1, 5)]


@pytest.fixture(scope="module")
def ordered(both_servers: Server) -> Server:
    """Nine partitions of six rows each, written backwards, each row with a time of its own; the
    tests of this module read them only.
    """
    both_servers.execute(f"CREATE TABLE {D} WITH CLUSTERING ORDER BY (a DESC, b ASC)")
    rows = [(key, *inner) for key in KEYS for inner in INNER]
    for number, (key, a, b) in enumerate(reversed(rows)):
        cql = f"INSERT INTO d (k, a, b, v) VALUES (?, ?, ?, 1) USING TIMESTAMP {AT + number}"
        both_servers.execute(cql, (key, a, b))
    return both_servers


def scanned(on: Server, ranges: tuple[Range, ...]) -> list[list[int]]:
    """Return the write times of the rows of each range, as the engine's scan reads them."""
    table = on.database.schema().table("d")
    assert table is not None
    task = CopyTask(table, table, tuple((c.name, c.name) for c in table.columns))
    found = on.database.bulk.keys_of_ranges(task, ranges, times=True)
    read = {part.index: [newest for *_, newest in keys] for part, keys in found}
    return [read[part.index] for part in ranges]


def test_within_a_partition_rows_come_in_the_order_that_each_column_declares(
    ordered: Server,
) -> None:
    rows = ordered.execute("SELECT a, b FROM d WHERE k = ?", (KEYS[4],))
    assert [(row["a"], row["b"]) for row in rows] == INNER
    few = ordered.execute("SELECT a, b FROM d WHERE k = ? LIMIT 3", (KEYS[4],))
    assert few == rows[:3]


def test_page_by_page_partitions_come_whole_and_no_row_twice(ordered: Server) -> None:
    rows = ordered.execute("SELECT k, a, b FROM d")
    keys = [row["k"] for row in rows[:: len(INNER)]]
    assert sorted(keys) == KEYS
    assert [tuple(row.values()) for row in rows] == [(key, *i) for key in keys for i in INNER]


@pytest.mark.parametrize("parts", [1, 2, 7, 64])
def test_ranges_cover_the_ring_in_its_order(ordered: Server, parts: int) -> None:
    rows = ordered.execute("SELECT WRITETIME(v) AS at FROM d")
    read = scanned(ordered, grid(parts))
    assert [at for times in read for at in times] == [row["at"] for row in rows]
    assert all(len(times) % len(INNER) == 0 for times in read)


def test_a_range_has_its_upper_bound_and_not_its_lower(ordered: Server) -> None:
    (whole,) = grid(1)
    every = scanned(ordered, (whole,))[0]
    low, high = whole.low, whole.high
    while high - low > 1:  # the token of the first partition
        middle = (low + high) // 2
        if scanned(ordered, (Range(0, whole.low, middle),))[0]:
            high = middle
        else:
            low = middle
    below, above = scanned(ordered, (Range(0, whole.low, high), Range(1, high, whole.high)))
    assert below == every[: len(INNER)]
    assert above == every[len(INNER) :]
