"""Rebuilds of tables with static columns, and with collections and user types that aren't frozen:
each static cell and each element is a cell of its own, with its own time and life.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from cassandra.query import BatchStatement, BatchType

from tests.support import cells
from tests.support.asking import tells_element_times
from tests.support.cells import Rows
from tests.support.cli import Cli
from tests.support.schema import internal
from tests.support.settings import GO, QUICK
from tests.support.told import ok

ASIDE = "shapes__aside_0002"
TYPES = """CREATE TYPE leaf (x int, y frozen<list<text>>);
CREATE TYPE "Spot" (lat double, "Note" text, inner frozen<leaf>);
"""
BEFORE = """CREATE TABLE shapes (
    k int, c int, r text,
    owner text STATIC, limits map<text, int> STATIC, trail list<int> STATIC, home "Spot" STATIC,
    v int, tags set<text>, scores map<text, int>, path list<text>, place "Spot",
    fixed frozen<map<text, frozen<list<int>>>>,
    PRIMARY KEY (k, c)
)"""
# `r` may be null, and shared: rows without it, or beaten by another one, don't fit.
AFTER = BEFORE.replace("PRIMARY KEY (k, c)", "PRIMARY KEY (k, r)").replace(" v int,", ' "V" int,')


def revisions(cli: Cli, second: str, back: str) -> Cli:
    folder = cli.folder / "migrations"
    for file in folder.iterdir():
        file.unlink()
    files = {
        "0001_types": (TYPES, 'DROP TYPE "Spot";\nDROP TYPE leaf;'),
        "0002_shapes": (f"{BEFORE};", "DROP TABLE shapes;"),
        "0003_other": (f"{second};", f"{back};"),
    }
    for name, (up, down) in files.items():
        text = f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"
        (folder / f"{name}.cql").write_text(text, encoding="utf-8")
    ok(cli("up", "2"))
    return cli


@pytest.fixture
def shapes(cli: Cli) -> Cli:
    """A keyspace at revision 2 of these."""
    up = f'-- migrate:rebuild "V"=v\n{AFTER}'
    return revisions(cli, up, f'-- migrate:rebuild v="V"\n{BEFORE}')


def write(client: Any, keyspace: str) -> None:
    """Rows and partitions of every shape, with times and lives of each element."""

    def do(cql: str) -> None:
        client.execute(cql.replace("shapes", f"{keyspace}.shapes", 1))

    for k in range(12):
        for c in range(4):
            at, where = 1000 * k + 10 * c, f"WHERE k = {k} AND c = {c}"
            r = f"'r{c}'" if k % 3 else "null"  # in every third partition no row has it
            do(
                "INSERT INTO shapes (k, c, r, v, tags, scores, path, place, fixed) VALUES "
                f"({k}, {c}, {r}, {c}, {{'a', '', 'z'}}, {{'one': 1, '': 0}}, ['x', 'y', 'x'], "
                f"{{lat: 1.5, \"Note\": 'n', inner: {{x: 1, y: ['']}}}}, {{'f': [1, 2]}}) "
                f"USING TIMESTAMP {at} AND TTL {(0, 90_000)[c % 2]}"
            )
            if c == 1:
                do(
                    f"UPDATE shapes USING TIMESTAMP {at + 5} AND TTL 50000 SET "
                    "tags = tags + {'m'}"
                    f", scores['two'] = 2, path = path + ['later'], place.\"Note\" = '' {where}"
                )
                do(f"UPDATE shapes USING TIMESTAMP {at + 6} SET tags = tags + {{'ü'}} {where}")
                do(f"DELETE scores['one'] FROM shapes USING TIMESTAMP {at + 7} {where}")
            if c == 2:
                do(f"DELETE place FROM shapes USING TIMESTAMP {at + 5} {where}")
                do(f"UPDATE shapes USING TIMESTAMP {at + 6} AND TTL 1 SET path = ['gone'] {where}")
        if k % 2:
            do(
                "INSERT INTO shapes (k, owner, limits, trail) "
                f"VALUES ({k}, 'o', {{'l': 1}}, [1, 2]) USING TIMESTAMP {k + 1} AND TTL 70000"
            )
            do(
                f"UPDATE shapes USING TIMESTAMP {k + 2} SET limits['m'] = {k}, "
                f"home.lat = 0.5 WHERE k = {k}"
            )
    # made by UPDATE alone, of elements alone; keys alone; statics alone
    do("UPDATE shapes USING TIMESTAMP 77 SET r = 'u', tags = {'only'} WHERE k = 1 AND c = 90")
    do("UPDATE shapes USING TIMESTAMP 78 SET scores['only'] = 1 WHERE k = 1 AND c = 91")
    for k in (100, 101):
        do(f"INSERT INTO shapes (k, owner, trail) VALUES ({k}, '', [7, 7]) USING TIMESTAMP {k}")
    if not tells_element_times(client):  # then nobody knows that those of a second end
        time.sleep(2)


def at_rest(client: Any, cli: Cli, table: str = "shapes") -> tuple[Rows, Rows]:
    return (
        cells.read(client, cli.keyspace, table),
        cells.read_statics(client, cli.keyspace, table),
    )


def renamed(rows: Rows, old: str, new: str) -> Rows:
    return {k: {new if n == old else n: c for n, c in row.items()} for k, row in rows.items()}


def differences(before: Rows, after: Rows) -> list[str]:
    """What is not the same, on a machine that may take seconds for a reading."""
    return cells.differences(before, after, earlier=3 * cells.EARLIER, later=3 * cells.LATER)


def test_every_element_and_static_cell_up_and_back(shapes: Cli, client: Any) -> None:
    cli = shapes
    write(client, cli.keyspace)
    rows, statics = at_rest(client, cli)
    shape = cells.columns(client, cli.keyspace, "shapes")
    assert len(statics) == 8
    assert any(name.startswith("place['Note'") for row in rows.values() for name in row)

    said = ok(cli("plan", "--set-aside", "--outage-accepted"))
    if tells_element_times(client):
        assert "shapes.path is a list that is not frozen" in said
        assert "their write times become one" in said
    else:
        assert "shapes.path is not frozen, and this server does not tell the times" in said
    refused = cli("up", *GO)
    assert refused.code == 9
    # 4 partitions of 4 rows without r, one row of elements alone; 2 of statics alone do fit
    assert "17 rows have a null" in refused.err

    said = ok(cli("up", *GO, "--set-aside"))
    assert "collections of shapes have one write time for all their elements now" in said
    fit = {key: row for key, row in rows.items() if "r" in row}
    wanted = renamed(cells.by(fit, shape, ("k", "r")), "v", "V")
    above, statics_above = at_rest(client, cli)
    assert differences(wanted, above) == []
    # also of partitions of which no row fits
    assert differences(statics, statics_above) == []
    aside, none = at_rest(client, cli, "shapes__aside_0003_up")
    unfit = {key: row for key, row in rows.items() if key not in fit}
    assert differences(unfit, aside) == []
    assert none == {}  # they are above, and may change there

    ok(cli("down", "2", *GO))
    again, statics_again = at_rest(client, cli)
    found = [line for line in differences(rows, again) if ".r " not in line]
    assert found == []
    assert differences(statics, statics_again) == []


@pytest.mark.thorough
def test_a_copy_that_is_repeated_doubles_no_list(shapes: Cli, client: Any) -> None:
    """Killed behind the copy, and its checkpoints lost: every range is copied once more, into the
    shadow and back.
    """
    cli = shapes
    write(client, cli.keyspace)
    client.execute(f"DELETE FROM {cli.keyspace}.shapes WHERE k IN (0, 3, 6, 9)")
    client.execute(f"DELETE FROM {cli.keyspace}.shapes WHERE k = 1 AND c = 91")
    rows, statics = at_rest(client, cli)
    shape = cells.columns(client, cli.keyspace, "shapes")
    for point in ("COPY shapes TO", "COPY shapes__0003"):
        killed = cli.at(f"kill | after | {point}", "up", *GO, env=QUICK)
        assert killed.code == -9, killed.err
        client.execute(f"TRUNCATE {cli.keyspace}.migration_progress")
    ok(cli("up", *GO, env=QUICK))
    above, statics_above = at_rest(client, cli)
    wanted = renamed(cells.by(rows, shape, ("k", "r")), "v", "V")
    assert differences(wanted, above) == []
    assert differences(statics, statics_above) == []


@pytest.mark.thorough
def test_a_static_becomes_a_value_of_each_row(cli: Cli, client: Any) -> None:
    regular = BEFORE.replace(" STATIC", "").replace("(k, c)", "((k, c))")
    revisions(cli, f"-- migrate:rebuild\n{regular}", f"-- migrate:rebuild\n{BEFORE}")
    write(client, cli.keyspace)
    rows, statics = at_rest(client, cli)
    refused = cli("plan", "--outage-accepted")
    assert refused.code == 9
    assert "2 rows have a null" in refused.err + refused.out  # partitions without rows
    ok(cli("up", *GO, "--set-aside"))
    wanted = {key: row | statics.get(key[:1], {}) for key, row in rows.items()}
    assert differences(wanted, cells.read(client, cli.keyspace, "shapes")) == []
    none, aside = at_rest(client, cli, "shapes__aside_0003_up")
    assert none == {}
    assert differences({k: s for k, s in statics.items() if k[0] >= 100}, aside) == []

    refused = cli("down", "2", *GO)
    assert refused.code == 9
    assert "owner is static in the new shape" in refused.err


@pytest.mark.thorough
def test_two_partitions_with_statics_do_not_fall_into_one(cli: Cli, client: Any) -> None:
    by_r = BEFORE.replace("(k, c)", "(r, k, c)")
    revisions(cli, f"-- migrate:rebuild\n{by_r}", f"-- migrate:rebuild\n{BEFORE}")
    write(client, cli.keyspace)
    refused = cli("up", *GO, "--set-aside")
    assert refused.code == 9
    assert "without k in its partition key" in refused.err
    assert "Traceback" not in refused.err


@pytest.mark.thorough
def test_statics_and_lists_come_back_to_a_table_that_has_rows(cli: Cli, client: Any) -> None:
    """A row returns onto a free key only; a static cell returns where it isn't newer."""
    revisions(cli, f"-- migrate:rebuild\n{BEFORE}", f"-- migrate:rebuild\n{BEFORE}")
    first = cli.folder / "migrations" / "0002_shapes.cql"
    insert = (
        "INSERT INTO shapes (k, c, owner, path) VALUES (1, 1, 'mine', ['mine']);\n"
        "INSERT INTO shapes (k, c, v) VALUES (200, 1, 1);\n"
    )
    ok(cli("down", "1", *GO))
    text = first.read_text(encoding="utf-8").replace("-- migrate:down", f"{insert}-- migrate:down")
    first.write_text(text, encoding="utf-8")
    ok(cli("up", "2"))
    write(client, cli.keyspace)
    client.execute(f"DELETE FROM {cli.keyspace}.shapes WHERE k = 200")
    rows, statics = at_rest(client, cli)
    ok(cli("down", "1", *GO, "--set-aside"))
    assert differences(rows, cells.read(client, cli.keyspace, ASIDE)) == []
    said = ok(cli("up", "2", "--yes"))
    assert f"1 rows stay in {ASIDE}" in said
    again, statics_again = at_rest(client, cli)
    assert again.pop((200, 1))["v"].value == 1
    mine = again.pop((1, 1))
    assert [mine[name].value for name in mine] == ["mine"]
    taken = {(1, 1): rows.pop((1, 1))}
    assert differences(rows, again) == []
    assert statics_again[(1,)].pop("owner").value == "mine"
    assert statics[(1,)].pop("owner").value == "mine"
    assert differences(statics, statics_again) == []
    stay, none = at_rest(client, cli, ASIDE)
    assert differences(taken, stay) == []
    assert none == {}


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["cli", "scylla"])
def test_what_is_deleted_while_it_is_copied_is_not_there(
    shapes: Cli, request: pytest.FixtureRequest, client: Any, how: str
) -> None:
    """And what is added is: elements, fields, lists, statics, rows, partitions. What lies beside a
    deleted element stays, also where the times of elements aren't told.
    """
    cli: Cli = request.getfixturevalue(how)
    write(client, cli.keyspace)
    client.execute(f"DELETE FROM {cli.keyspace}.shapes WHERE k IN (0, 3, 6, 9)")
    client.execute(f"DELETE FROM {cli.keyspace}.shapes WHERE k = 1 AND c = 91")
    shape = cells.columns(client, cli.keyspace, "shapes")
    killed = cli.at("kill | after | COPY shapes TO", "up", *GO, env=QUICK)
    assert killed.code == -9, killed.err
    for change in (
        "DELETE tags['a'] FROM shapes WHERE k = 1 AND c = 0",
        "DELETE scores['one'], place.\"Note\" FROM shapes WHERE k = 2 AND c = 0",
        "DELETE path FROM shapes WHERE k = 4 AND c = 0",
        "DELETE path[1] FROM shapes WHERE k = 4 AND c = 1",
        "DELETE tags, place, fixed FROM shapes WHERE k = 5 AND c = 0",
        "UPDATE shapes SET path = ['first'] + path, tags = tags + {'new'} WHERE k = 7 AND c = 0",
        "DELETE FROM shapes WHERE k = 7 AND c = 1",
        "DELETE owner, limits['l'], trail FROM shapes WHERE k = 1",
        "DELETE trail[0] FROM shapes WHERE k = 5",
        "DELETE home FROM shapes WHERE k = 7",
        "DELETE FROM shapes WHERE k = 100",
        "UPDATE shapes SET owner = 'new' WHERE k = 102",
    ):
        client.execute(change.replace("shapes", f"{cli.keyspace}.shapes", 1))
    rows, statics = at_rest(client, cli)
    ok(cli("up", *GO, env=QUICK))
    above, statics_above = at_rest(client, cli)
    wanted = renamed(cells.by(rows, shape, ("k", "r")), "v", "V")
    for before, after in ((wanted, above), (statics, statics_above)):
        if how == "scylla":
            before, after = untimed(before, ends=False), untimed(after, ends=False)
        assert differences(before, after) == []


@pytest.mark.thorough
def test_elements_whose_times_are_not_told_are_kept(shapes: Cli, scylla: Cli, client: Any) -> None:
    """As on ScyllaDB: with the time of their row, and for ever."""
    cli = shapes
    write(client, cli.keyspace)
    rows, statics = at_rest(client, cli)
    shape = cells.columns(client, cli.keyspace, "shapes")
    go = (*GO, "--set-aside")
    said = ok(scylla("up", *go))
    assert "this server does not tell the times of its elements" in said
    said = ok(scylla("down", "2", *go))
    assert "stay in" not in said  # nothing of a row that came back is left aside
    assert internal(client, cli) == []
    ok(scylla("up", *go))
    above, statics_above = at_rest(client, cli)
    fit = {key: row for key, row in rows.items() if "r" in row}
    wanted = renamed(cells.by(fit, shape, ("k", "r")), "v", "V")
    for before, after in ((wanted, above), (statics, statics_above)):
        assert differences(untimed(before), untimed(after)) == []
    for row in above.values():
        assert all(cell.ends is None for name, cell in row.items() if name.endswith("]"))


def untimed(rows: Rows, *, ends: bool = True) -> Rows:
    """Without the times of elements, nor when they end."""
    return {
        key: {
            n: cells.Cell(c.value, None, c.ends if ends else None) if n.endswith("]") else c
            for n, c in row.items()
        }
        for key, row in rows.items()
    }


@pytest.mark.thorough
def test_a_wide_partition_passes_in_bounded_memory(shapes: Cli, client: Any) -> None:
    """12 MB in one partition, of which a few pages are in memory at a time. Of a million rows:
    docs/rebuild.md.
    """
    cli, rows = shapes, 3_000
    insert = client.prepare(
        f"INSERT INTO {cli.keyspace}.shapes (k, c, r, tags, fixed) VALUES (1, ?, ?, ?, ?)"
    )
    for first in range(0, rows, 20):
        batch = BatchStatement(BatchType.UNLOGGED)
        for c in range(first, first + 20):
            batch.add(insert, [c, f"r{c}", {"a" * 2000, f"{c}"}, {"f" * 2000: [c]}])
        client.execute(batch)
    client.execute(f"UPDATE {cli.keyspace}.shapes SET owner = 'o', trail = [1, 2] WHERE k = 1")
    most = cli.folder / "most"
    look = f"sh grep VmHWM /proc/$PPID/status > {most}"
    ok(cli.at(f"{look} | after | VERIFY shapes__0003", "up", *GO))
    assert int(most.read_text().split()[1]) < 95_000  # KB
    found = client.execute(f"SELECT c FROM {cli.keyspace}.shapes WHERE k = 1")
    assert len({row["c"] for row in found}) == rows
    statics = cells.read_statics(client, cli.keyspace, "shapes")
    assert [c.value for c in statics[(1,)].values()] == ["o", 1, 2]
