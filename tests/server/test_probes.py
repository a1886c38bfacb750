"""Indexes and views of a table are made on its empty shadow first: what can't be made, or can't
take a row, is known while the table is whole.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.killing import killed
from tests.support.schema import internal
from tests.support.settings import GO, OTHERS
from tests.support.told import ok, only, told, until

MADE = "CREATE TABLE t (a int PRIMARY KEY, b int, c text)"
VIEW = (
    "CREATE MATERIALIZED VIEW v AS SELECT * FROM t WHERE b IS NOT NULL AND a IS NOT NULL"
    " PRIMARY KEY (b, a)"
)
FIRST = (
    f"-- migrate:up\n{MADE};\nCREATE INDEX by_c ON t (c);\n{VIEW};\n"
    "-- migrate:down\nDROP MATERIALIZED VIEW v;\nDROP TABLE t;\n"
)
REBUILT = (
    "-- migrate:up\n-- migrate:rebuild\n"
    "CREATE TABLE t (a int, b int, c text, PRIMARY KEY (b, a));\n"
    f"-- migrate:down\n-- migrate:rebuild\n{MADE};\n"
)
ROWS = [(1, 10, "x"), (2, 20, "y"), (3, 30, None)]

LONG = "what an index can't take is no refusal of a ScyllaDB: the write of the index's view fails"


@pytest.fixture
def indexed(cli: Cli, client: Any) -> Cli:
    """Revision 1 with rows, an index and a view."""
    only(cli, r0001_t=FIRST, r0002_t=REBUILT)
    ok(cli("up", "1"))
    for a, b, c in ROWS:
        client.execute(f"INSERT INTO {cli.keyspace}.t (a, b, c) VALUES (%s, %s, %s)", (a, b, c))
    return cli


def shows(client: Any, cli: Cli, cql: str, wanted: list[tuple[Any, ...]]) -> bool:
    rows = client.execute(cql.replace("KS", cli.keyspace))
    return sorted(tuple(row.values()) for row in rows) == wanted


def whole(client: Any, cli: Cli) -> None:
    """That table, index and view are there, with all rows, and nothing else is."""
    for cql, wanted in (
        ("SELECT a, b, c FROM KS.t", ROWS),
        ("SELECT a, b, c FROM KS.v", ROWS),
        ("SELECT a FROM KS.t WHERE c = 'y'", [(2,)]),
    ):  # a view follows its table, and so does an index of a ScyllaDB
        until(partial(shows, client, cli, cql, wanted))
    assert internal(client, cli) == []
    names = client.execute(
        "SELECT view_name AS n FROM system_schema.views WHERE keyspace_name = %s", [cli.keyspace]
    )
    assert {row["n"] for row in names} - {"by_c_index"} == {"v"}
    ok(cli("verify"))


def test_a_plan_says_what_is_tried(indexed: Cli, client: Any) -> None:
    said = indexed("plan", "2").out
    for line in (
        "DROP TABLE IF EXISTS no_such_table_",
        "[asks whether tables may be dropped here; none has this name]",
        "CREATE INDEX by_c__0002_",
        "CREATE MATERIALIZED VIEW v__0002_",
        "[tried before anything is dropped]",
    ):
        assert line in said, said
    ok(indexed("up", "2", *GO))
    whole(client, indexed)
    ok(indexed("down", "1", *GO))
    whole(client, indexed)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "at",
    [
        "after | DROP TABLE IF EXISTS no_such_table",
        "after | CREATE INDEX by_c__0002",
        "after | CREATE MATERIALIZED VIEW v__0002",
        "after | DROP MATERIALIZED VIEW v__0002",
        "noted | CREATE TABLE t (",
    ],
)
def test_a_run_that_is_killed_at_it(indexed: Cli, client: Any, at: str) -> None:
    killed(indexed, at, "up", "2", *GO, env=OTHERS)
    if at.startswith("after"):
        ok(indexed("abort", "--yes", env=OTHERS))
        whole(client, indexed)
        killed(indexed, at, "up", "2", *GO, env=OTHERS)
    ok(indexed("up", "2", *GO, env=OTHERS))
    whole(client, indexed)
    killed(indexed, at, "down", "1", *GO, env=OTHERS)
    ok(indexed("down", "1", *GO, env=OTHERS))
    whole(client, indexed)


@pytest.mark.thorough
def test_what_is_left_of_it_goes_with_its_shadow(indexed: Cli, client: Any) -> None:
    """Somebody stamps the revision instead of finishing an `abort` of it."""
    killed(indexed, "after | CREATE MATERIALIZED VIEW v__0002", "up", "2", *GO, env=OTHERS)
    killed(indexed, "before | DROP MATERIALIZED VIEW", "abort", "--yes", env=OTHERS)
    ok(indexed("stamp", "1", "--yes", env=OTHERS))
    ok(indexed("clean", "--yes", "--keep-shadow", "0", env=OTHERS))
    whole(client, indexed)


@pytest.mark.thorough
@pytest.mark.cassandra_only(LONG)
def test_a_value_that_an_index_cannot_take(cli: Cli, client: Any) -> None:
    """Servers let it stand in the table where it was there before the index."""
    only(
        cli,
        r0001_t=f"-- migrate:up\n{MADE};\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t="-- migrate:up\nCREATE INDEX by_c ON t (c);\n-- migrate:down\nDROP INDEX by_c;\n",
        r0003_t=REBUILT,
    )
    ok(cli("up", "1"))
    client.execute(f"INSERT INTO {cli.keyspace}.t (a, b, c) VALUES (1, 1, %s)", ["x" * 70_000])
    client.execute(f"INSERT INTO {cli.keyspace}.t (a, b, c) VALUES (2, 2, 'y')")
    ok(cli("up", "2", env=OTHERS))
    told(cli("up", "3", *GO, env=OTHERS), 7)
    found = client.execute(f"SELECT a, b FROM {cli.keyspace}.t")
    assert sorted((row["a"], row["b"]) for row in found) == [(1, 1), (2, 2)]
    ok(cli("abort", "--yes", env=OTHERS))
    assert internal(client, cli) == []
    client.execute(f"UPDATE {cli.keyspace}.t SET c = 'x' WHERE a = 1")
    ok(cli("up", "3", *GO, env=OTHERS))
    ok(cli("verify"))


@pytest.mark.thorough
@pytest.mark.cassandra_only(LONG)
def test_a_value_that_an_index_of_entries_cannot_take(cli: Cli, client: Any) -> None:
    """A server says that by an exception of its own, and not by a refusal."""
    only(
        cli,
        r0001_t="-- migrate:up\nCREATE TABLE t (a int PRIMARY KEY, g int, m map<text, text>);\n"
        "-- migrate:irreversible x\n",
        r0002_t="-- migrate:up\nCREATE INDEX t_m ON t (ENTRIES(m));\n-- migrate:rebuild\n"
        "CREATE TABLE t (a int, g int, m map<text, text>, PRIMARY KEY (a, g));\n"
        "-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    into = f"INSERT INTO {cli.keyspace}.t (a, g, m) VALUES (%s, 1, %s)"
    client.execute(into, (1, {"k": "x" * 66_000}))
    client.execute(into, (2, {"k": "y"}))
    told(cli("up", "2", *GO, env=OTHERS), 7, "refuses the row 1", "Length 66")
    ok(cli("abort", "--yes", env=OTHERS))
    client.execute(f"DELETE m FROM {cli.keyspace}.t WHERE a = 1")
    ok(cli("up", "2", *GO, env=OTHERS))


@pytest.mark.thorough
def test_a_file_that_is_no_rebuild_any_more(indexed: Cli, client: Any) -> None:
    """Nothing of it was changed yet: what was only asked is no reason to keep it."""
    killed(indexed, "before | CREATE TABLE t__0002", "up", "2", *GO, env=OTHERS)
    file = next((indexed.folder / "migrations").glob("0002*"))
    file.write_text("-- migrate:up\nALTER TABLE t ADD x int;\n-- migrate:irreversible x\n")
    told(indexed("up", "2", *GO, env=OTHERS), 5, "0002", "or begin anew:  calldrop-migrate abort")
    ok(indexed("abort", "--yes", env=OTHERS))
    ok(indexed("up", "2", *GO, env=OTHERS))
    ok(indexed("verify"))
