"""What becomes of a row's cells on their way, from bytes: grouping, lives, markers, and what counts
as held.

No server but for the tokens; here because the package that is tested needs the driver.
"""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from cassandra.query import UNSET_VALUE

from calldrop_migrate.cluster.cells import marker_of
from calldrop_migrate.cluster.compare import partition_token
from calldrop_migrate.cluster.layout import Layout
from calldrop_migrate.cluster.lookup import Lookup
from calldrop_migrate.cluster.pages import PAGE_ROWS, rows_per_page
from calldrop_migrate.cluster.raw import RawRow, long, seconds, show_key
from calldrop_migrate.core.ranges import grid, index_of
from calldrop_migrate.core.schema import Column, Table
from calldrop_migrate.engine.ports import CopyTask

SOURCE = Table(
    "calls",
    (
        Column("phone", "text", "partition_key", 0),
        Column("at", "timestamp", "clustering", 0, "desc"),
        *(Column(name, "text") for name in ("a", "b", "dest")),
    ),
)
TARGET = Table(
    "calls__0002_abc",
    (
        Column("phone", "text", "partition_key", 0),
        Column("dest", "text", "clustering", 0, "asc"),
        Column("at", "timestamp", "clustering", 1, "desc"),
        *(Column(name, "text") for name in ("a", "b")),
    ),
)
SAME = tuple((c.name, c.name) for c in TARGET.columns)
UP = CopyTask(SOURCE, TARGET, SAME)
DOWN = CopyTask(TARGET, SOURCE, SAME)
# value, write time, TTL
Cell = tuple[bytes | None, int | None, int | None]
NONE: Cell = (None, None, None)


def row_of(
    layout: Layout, key: dict[str, bytes], target: Table = TARGET, **cells: Cell
) -> list[bytes | None]:
    """A row as its SELECT gives it."""
    places = [at for _, at in layout.row.cells] + layout.key_at
    places += [*layout.row.written_at.values(), *layout.row.ttl_at.values()]
    places += [at for pair in layout._others for at in pair]
    row: list[bytes | None] = [None] * (max(places) + 1)
    values = dict(layout.row.cells) | dict(zip(target.key, layout.key_at, strict=True))
    for name, value in key.items():
        row[values[name]] = value
    for name, (cell, written, ttl) in cells.items():
        row[values[name]] = cell
        row[layout.row.written_at[name]] = None if written is None else long(written)
        row[layout.row.ttl_at[name]] = None if ttl is None else seconds(ttl)
    return row


KEY = {"phone": b"+1", "at": long(5)}
UP_KEY = KEY | {"dest": b"+2"}


@pytest.fixture
def up() -> Layout:
    return Layout("ks", UP)


def statements(
    layout: Layout, row: RawRow, since: float = 0, target: Table = TARGET
) -> list[tuple[str, dict[str, Any]]]:
    """Verb and bound values by name; TIMESTAMP and TTL as numbers."""
    groups, marker, _ = layout.groups(row, since, 1)
    found = []
    for cql, values, *_ in layout.writes(row, groups, marker):
        verb = cql.partition(" ")[0]
        cells = [name for name, _ in layout.row.cells]
        names = [*target.key, *cells, "time", "ttl"]
        if verb == "UPDATE":
            names = ["time", "ttl", *cells, *target.key]
        bound: dict[str, Any] = dict(zip(names, values, strict=True))
        bound["time"] = struct.unpack(">q", bound["time"])[0]
        bound["ttl"] = struct.unpack(">i", bound["ttl"])[0]
        found.append((verb, bound))
    return found


def test_one_write_is_one_insert(up: Layout) -> None:
    row = row_of(up, KEY, a=(b"A", 7, 90), b=(b"B", 7, 90), dest=(b"+2", 7, 90))
    ((verb, bound),) = statements(up, row)
    assert verb == "INSERT"
    assert bound == {**UP_KEY, "a": b"A", "b": b"B", "time": 7, "ttl": 90}


def test_what_is_left_of_a_life_is_rounded_down(up: Layout) -> None:
    row = row_of(up, KEY, a=(b"A", 7, 90), b=(b"B", 7, 90), dest=(b"+2", 7, 90))
    lives = {since: statements(up, row, since)[0][1]["ttl"] for since in (0.0, 0.1, 1.0, 88.9)}
    assert lives == {0.0: 90, 0.1: 89, 1.0: 89, 88.9: 1}
    assert statements(up, row, 89.2) == []


def test_the_oldest_group_makes_the_row_and_the_others_do_not(up: Layout) -> None:
    row = row_of(up, KEY, a=(b"A", 9, 500), b=(b"B", 5, None), dest=(b"+2", 7, None))
    (first, insert), (second, update) = statements(up, row)
    assert (first, second) == ("INSERT", "UPDATE")
    assert (insert["time"], insert["ttl"], insert["b"]) == (5, 0, b"B")
    assert insert["a"] is UNSET_VALUE
    assert (update["time"], update["ttl"], update["a"]) == (9, 500, b"A")
    assert update["b"] is UNSET_VALUE


def test_the_marker_lives_as_long_as_any_cell(up: Layout) -> None:
    row = row_of(up, KEY, a=(b"A", 5, 60), b=(b"B", 9, 300), dest=(b"+2", 7, 100))
    found = statements(up, row)
    assert found[0][0] == "INSERT"
    # No group of its own has both: it carries no cell.
    assert (found[0][1]["time"], found[0][1]["ttl"]) == (5, 300)
    assert found[0][1]["a"] is found[0][1]["b"] is UNSET_VALUE
    assert sorted((s["time"], s["ttl"]) for _, s in found[1:]) == [(5, 60), (9, 300)]


def test_a_column_that_becomes_key_saves_a_row_without_others(up: Layout) -> None:
    row = row_of(up, KEY, dest=(b"+2", 7, 90))
    ((verb, bound),) = statements(up, row)
    assert (verb, bound["time"], bound["ttl"]) == ("INSERT", 7, 90)
    assert up.groups(row, 0, 1)[2] is False


def test_a_cell_that_was_key_shares_the_markers_fate() -> None:
    down = Layout("ks", DOWN)
    row = row_of(down, UP_KEY, SOURCE, a=(b"A", 9, 500), b=(b"B", 5, 60))
    written = statements(down, row, target=SOURCE)
    marked = [bound for _, bound in written if bound["dest"] == b"+2"]
    assert [(bound["time"], bound["ttl"]) for bound in marked] == [(5, 500)]
    # Keys alone: a time below every other, and no end.
    bare = row_of(down, UP_KEY, SOURCE)
    ((verb, bound),) = statements(down, bare, target=SOURCE)
    assert (verb, bound["time"], bound["ttl"], bound["dest"]) == ("INSERT", 1, 0, b"+2")
    assert down.groups(bare, 0, 1)[2] is True


SHADOW = Table("calls__0002_a1b2c311", (*TARGET.columns, Column("calldrop_row", "boolean")))


def marked_row(layout: Layout, row: list[bytes | None], written: int, ttl: int | None) -> RawRow:
    """A shadow's row with what its column for the marker has."""
    return [*row, long(written), None if ttl is None else seconds(ttl)][: len(row) + 2]


def test_a_shadow_keeps_the_marker_that_its_cells_do_not_tell() -> None:
    """`dest` lived longest and becomes key: without a mark the row would end with the others."""
    into = Layout("ks", CopyTask(SOURCE, SHADOW, SAME))
    row = row_of(into, KEY, a=(b"A", 9, 60), dest=(b"+2", 7, 900))
    bound = [(verb, values[len(TARGET.key) :]) for verb, values in raw(into, row)]
    insert = next(values for verb, values in bound if verb == "INSERT")
    assert insert[-3:] == [b"\x01", long(7), seconds(900)]

    back = Layout("ks", CopyTask(SHADOW, TARGET, SAME))
    assert "WRITETIME(calldrop_row), TTL(calldrop_row)" in back.select
    plain = row_of(back, UP_KEY, a=(b"A", 9, 60))
    found = statements(back, marked_row(back, plain, 7, 900))
    assert [(verb, b["time"], b["ttl"]) for verb, b in found] == [
        ("INSERT", 7, 900),
        ("UPDATE", 9, 60),
    ]
    # Keys alone, as far as its cells tell; and it ends.
    alone = marked_row(back, row_of(back, UP_KEY), 7, 900)
    assert [(v, b["time"], b["ttl"]) for v, b in statements(back, alone)] == [("INSERT", 7, 900)]
    assert back.groups(alone, 0, 1)[2] is False
    assert statements(back, alone, since=900) == []
    assert back.newest(alone) == 7
    assert not back.outlives(alone, 901)


def raw(layout: Layout, row: RawRow) -> list[tuple[str, list[Any]]]:
    groups, marker, _ = layout.groups(row, 0, 1)
    written = layout.writes(row, groups, marker)
    return [(cql.partition(" ")[0], values) for cql, values, *_ in written]


@pytest.mark.parametrize(
    "cells",
    [
        {"a": (b"A", 7, 90), "b": (b"B", 7, 90), "dest": (b"+2", 7, 90)},
        {"a": (b"A", 5, None), "dest": (b"+2", 7, 90)},
        {"a": (b"A", 5, 60), "b": (b"B", 9, 200), "dest": (b"+2", 7, 90)},
    ],
)
def test_no_mark_where_the_cells_tell(cells: dict[str, Cell]) -> None:
    into = Layout("ks", CopyTask(SOURCE, SHADOW, SAME))
    for _, values in raw(into, row_of(into, KEY, TARGET, **cells)):
        assert b"\x01" not in values


def test_an_expression_is_selected_as_it_is_and_has_no_time() -> None:
    columns = (*SAME[:4], ("b", "todate(at)"))
    layout = Layout("ks", CopyTask(SOURCE, TARGET, columns))
    assert "todate(at)" in layout.select
    assert "WRITETIME(todate" not in layout.select
    assert layout.untimed == {"b"}
    row = row_of(layout, KEY, a=(b"A", 9, 500), dest=(b"+2", 7, None))
    null_stays_unset = statements(layout, row)
    assert all(bound["b"] is UNSET_VALUE for _, bound in null_stays_unset)
    row[dict(layout.row.cells)["b"]] = b"day"
    (day,) = [bound for _, bound in statements(layout, row) if bound["b"] == b"day"]
    # A moment before the row's own time, and as long: what it was may come back from aside.
    assert (day["time"], day["ttl"]) == (6, 0)


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({"a": (b"A", 7, 900), "b": (b"B", 7, None)}, ""),
        ({"a": (b"A", 7, 880), "b": (b"B", 7, None)}, ""),
        ({"a": (b"A", 7, 800), "b": (b"B", 7, None)}, "a does not live as long"),
        ({"a": (b"A", 7, None), "b": (b"B", 7, None)}, "a does not live as long"),
        ({"a": (b"A", 7, 900), "b": (b"B", 7, 99_999)}, "b does not live as long"),
        ({"a": (b"A", 7, 900), "b": (b"X", 7, None)}, "b is not the same cell"),
        ({"a": (b"A", 7, 900), "b": (b"B", 6, None)}, "b is not the same cell"),
        ({"a": (b"A", 7, 900), "b": NONE}, "b is not there"),
        ({"a": (b"A", 7, 900), "b": (b"X", 8, 1)}, ""),  # superseded
        (None, "is not there"),
    ],
)
def test_what_a_target_must_hold(up: Layout, there: dict[str, Cell] | None, says: str) -> None:
    row = row_of(up, KEY, a=(b"A", 7, 900), b=(b"B", 7, None), dest=(b"+2", 7, None))
    assert Lookup("ks", UP, up).lacks(row, found(there), 60) == says


def found(there: dict[str, Cell] | None) -> RawRow | None:
    if there is None:
        return None
    return [
        part
        for value, written, ttl in there.values()
        for part in (
            value,
            None if written is None else long(written),
            None if ttl is None else seconds(ttl),
        )
    ]


def test_another_row_on_the_same_key_is_no_copy_of_it(up: Layout) -> None:
    lookup = Lookup("ks", UP, up)
    row = row_of(up, KEY, a=(b"A", 7, None), dest=(b"+2", 7, None))
    newer = found({"a": (b"X", 9, None), "b": NONE})
    more = found({"a": (b"A", 7, None), "b": (b"B", 3, None)})
    assert lookup.lacks(row, newer, 60) == lookup.lacks(row, more, 60) == ""
    assert lookup.lacks(row, newer, 60, exactly=True) == "a is not the same cell"
    assert lookup.lacks(row, more, 60, exactly=True) == ""
    assert lookup.lacks(row, more, 60, exactly=True, alone=True) == "b is there"


def test_what_is_about_to_end_may_be_gone(up: Layout) -> None:
    lookup = Lookup("ks", UP, up)
    ending = row_of(up, KEY, a=(b"A", 7, 59), dest=(b"+2", 7, 30))
    assert lookup.lacks(ending, None, 60) == ""
    staying = row_of(up, KEY, a=(b"A", 7, 59), dest=(b"+2", 7, 61))
    assert lookup.lacks(staying, None, 60) == "is not there"
    without = row_of(up, KEY, a=(b"A", 7, 900))
    assert lookup.lacks(without, None, 60) == "has no key in the target: dest is null"


def test_markers() -> None:
    assert marker_of({(5, 10): {"a"}, (9, 0): {"b"}}) == (5, 0)
    assert marker_of({(5, 10): {"a"}, (3, 7): {"b"}}) == (3, 10)


def test_pages_of_large_rows_are_short() -> None:
    fewest, most = PAGE_ROWS
    assert rows_per_page([(b"x" * 100,)] * 1000, 1000) == 4000
    assert rows_per_page([(b"x" * 100,)] * 4000, 4000) == most
    assert rows_per_page([(b"x" * 10_000, None)] * 1000, 1000) == 104
    assert rows_per_page([(b"x" * 100_000,)] * 50, 50) == fewest
    assert rows_per_page([(b"x" * 10**6,)] * 50, 50) == 8
    assert rows_per_page([(b"x" * 10**8,)] * 50, 50) == 1
    assert rows_per_page([], 777) == 777


def test_pages_are_quartered_for_each_of_calm_and_not_again_for_each_page() -> None:
    _, most = PAGE_ROWS
    for calm in range(5):
        size = max(1, 1000 >> 2 * calm)
        for _ in range(20):
            size = rows_per_page([(b"x" * 10,)] * 100, size, calm)
        assert size == most >> 2 * calm, calm


def test_keys_are_shown_even_where_python_has_no_value_for_them() -> None:
    key = (b"+1", long(0), long(10**15), None, b"\x01")
    types = ("text", "timestamp", "timestamp", "int", "frozen<x>")
    shown = "'+1'  1970-01-01 00:00:00.000  0x00038d7ea4c68000  null  0x01"
    assert show_key(types, key) == shown


@pytest.mark.thorough
def test_tokens_are_the_servers(client: Any, keyspace: str, datacenter: str) -> None:
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    client.execute(f"CREATE TABLE {keyspace}.one (a text PRIMARY KEY)")
    client.execute(f"CREATE TABLE {keyspace}.two (a text, b int, c blob, PRIMARY KEY ((a, b, c)))")
    for n in range(50):
        text, data = random.Random(n).choice(["", "x", "ключ"]) + str(n), bytes(range(n))
        client.execute(f"INSERT INTO {keyspace}.one (a) VALUES (%s)", [text])
        client.execute(f"INSERT INTO {keyspace}.two (a, b, c) VALUES (%s, %s, %s)", [text, n, data])
    for row in client.execute(f"SELECT a, token(a) AS t FROM {keyspace}.one"):
        assert partition_token((row["a"].encode(),)) == row["t"]
    for row in client.execute(f"SELECT a, b, c, token(a, b, c) AS t FROM {keyspace}.two"):
        raw = (row["a"].encode(), struct.pack(">i", row["b"]), row["c"])
        assert partition_token(raw) == row["t"]
        part = grid(64)[index_of(row["t"], 64)]
        assert part.low < row["t"] <= part.high
