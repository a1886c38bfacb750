"""What somebody does to a keyspace while a run is at work in it, or between a kill and the next
one: rows, columns and whole tables that no proof knows.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.bookkeeping import done
from tests.support.cli import Cli
from tests.support.handful import TABLE, insert, numbers
from tests.support.killing import killed
from tests.support.pace import seconds
from tests.support.schema import again, ddl
from tests.support.settings import GO, SHORT
from tests.support.told import ok, only, told, until, write

EXTRA = (
    f"ALTER TABLE KS.{TABLE} ADD extra int",
    f"UPDATE KS.{TABLE} SET extra = 7 WHERE source_phone_number = '+10'"
    " AND call_timestamp = 1700000000000",
)


def columns(client: Any, cli: Cli, table: str = TABLE) -> set[str]:
    cql = (
        "SELECT column_name AS n FROM system_schema.columns WHERE keyspace_name = %s"
        " AND table_name = %s"
    )
    return {row["n"] for row in client.execute(cql, [cli.keyspace, table])}


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_directive_that_changes_in_the_middle_of_its_copy(cli: Cli, client: Any) -> None:
    """What the copy has written stays in the shadow under another key."""
    shape = "CREATE TABLE calls (src text, {}ts timestamp, ts2 timestamp, PRIMARY KEY ({}, ts));\n"
    end = "-- migrate:irreversible x\n"
    by_day = shape.format("day date, ", "(src, day)")
    second = "-- migrate:up\n-- migrate:rebuild day=toDate({})\n" + by_day + end
    only(
        cli,
        r0001_calls=f"-- migrate:up\n{shape.format('', 'src')}{end}",
        r0002_day=second.format("ts"),
    )
    ok(cli("up", "1"))
    for n in range(5):
        client.execute(
            f"INSERT INTO {cli.keyspace}.calls (src, ts, ts2) VALUES (%s, %s, %s)",
            [f"+{n}", 1_700_000_000_000, 1_600_000_000_000],
        )
    killed(cli, "after | COPY calls TO calls__", "up", *GO)
    write(cli, "0002_day", second.format("ts2"))
    told(cli("up", *GO, env=SHORT), 5, "changed in a part", "calldrop-migrate abort")
    ok(cli("abort", "--yes", env=SHORT))
    ok(cli("up", *GO, env=SHORT))
    days = [str(row["day"]) for row in client.execute(f"SELECT day FROM {cli.keyspace}.calls")]
    assert days == ["2020-09-13"] * 5


@pytest.mark.thorough
@pytest.mark.parametrize("dropped", [True, False])
def test_a_group_whose_newest_row_comes_while_rows_are_copied(
    cli: Cli, client: Any, *, dropped: bool
) -> None:
    """The older row of the group goes aside (docs/protocol.md 7), whether the new shape has the
    column that told them apart or not.
    """
    to = "src text PRIMARY KEY, note text, x text" + (", ts int" if not dropped else "")
    drop = " drop=ts" if dropped else ""
    only(
        cli,
        r0001_calls="-- migrate:up\nCREATE TABLE calls (src text, ts int, note text, x text,"
        " PRIMARY KEY (src, ts));\n-- migrate:irreversible x\n",
        r0002_one=f"-- migrate:up\n-- migrate:rebuild{drop}\nCREATE TABLE calls ({to});\n"
        "-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    insert_into = f"INSERT INTO {cli.keyspace}.calls"
    client.execute(f"{insert_into} (src, ts, note, x) VALUES ('a', 1, 'old', 'X')")
    client.execute(f"{insert_into} (src, ts, note, x) VALUES ('b', 1, 'one', 'Y')")
    running = cli.begin(
        "pause 4 | noted | COPY calls TO calls__0002", "up", *GO, "--set-aside", env=SHORT
    )
    until(lambda: done(cli, 2, 9 if dropped else 6))
    client.execute(f"{insert_into} (src, ts, note) VALUES ('a', 2, 'new')")
    _, err = running.communicate(timeout=90)
    assert running.returncode == 9, err
    assert "came or changed while they were copied" in err
    again = cli("up", *GO, "--set-aside", env=SHORT)
    if again.code == 9:
        ok(cli("abort", "--yes", env=SHORT))
        ok(cli("up", *GO, "--set-aside", env=SHORT))
    rows = {
        table: {
            (r["src"], r["note"], r["x"])
            for r in client.execute(f"SELECT src, note, x FROM {cli.keyspace}.{table}")
        }
        for table in ("calls", "calls__aside_0002_up")
    }
    assert rows["calls"] == {("a", "new", None), ("b", "one", "Y")}
    assert rows["calls__aside_0002_up"] == {("a", "old", "X")}


@pytest.mark.thorough
def test_a_column_that_becomes_key_is_written_while_it_is_copied(filled: Cli, client: Any) -> None:
    running = filled.begin("pause 4 | noted | COPY call_records", "up", "2", *GO, env=SHORT)
    until(lambda: done(filled, 2, 3))
    ddl(
        client,
        filled,
        f"UPDATE KS.{TABLE} SET destination_number = '+9' WHERE source_phone_number = '+10'"
        " AND call_timestamp = 1700000000000",
    )
    _, err = running.communicate(timeout=90)
    assert running.returncode == 0, err
    found = client.execute(f"SELECT destination_number AS d FROM {filled.keyspace}.{TABLE}")
    assert sorted(row["d"] for row in found) == ["+2"] * 4 + ["+9"]


# -- tables ----------------------------------------------------------------------------------------


def test_a_column_that_somebody_adds_while_rows_are_copied(filled: Cli, client: Any) -> None:
    """It is in no proof, and would go with the old table."""
    running = filled.begin("pause 4 | noted | COPY call_records", "up", "2", *GO, env=SHORT)
    until(lambda: done(filled, 2, 3))
    ddl(client, filled, *EXTRA)
    _, err = running.communicate(timeout=90)
    assert running.returncode == 9, err
    assert "is not the table any more that was verified" in err
    assert "calldrop-migrate abort" in err
    assert "extra" in columns(client, filled)
    ok(filled("abort", "--yes", env=SHORT))
    told(filled("up", "2", *GO, env=SHORT), 5, "extra")


@pytest.mark.thorough
def test_a_column_that_somebody_adds_and_repair_accepts(filled: Cli, client: Any) -> None:
    killed(filled, "noted | COPY", "up", "2", *GO)
    ddl(client, filled, *EXTRA)
    told(filled("up", "2", *GO, env=SHORT), 5, "extra", "repair")
    ok(filled("repair", "--accept", "--yes", env=SHORT))
    told(filled("up", "2", *GO, env=SHORT), 9, "extra", "calldrop-migrate abort")
    assert "extra" in columns(client, filled)
    ok(filled("abort", "--yes", env=SHORT))
    told(filled("up", "2", *GO, env=SHORT), 4, "doesn't take call_records.extra")


@pytest.mark.thorough
def test_a_table_made_anew_between_the_last_verify_and_the_drop(filled: Cli, client: Any) -> None:
    running = filled.begin("pause 4 | noted | VERIFY call_records", "up", "2", *GO, env=SHORT)
    until(lambda: done(filled, 2, 4))
    ddl(client, filled, f"DROP TABLE KS.{TABLE}", again(filled))
    insert(client, filled, 7)
    _, err = running.communicate(timeout=90)
    assert running.returncode == 9, err
    assert numbers(client, filled) == ["+17"]


@pytest.mark.thorough
def test_a_table_that_an_application_makes_behind_the_drop(filled: Cli, client: Any) -> None:
    """CREATE TABLE IF NOT EXISTS, as some do at their start."""
    killed(filled, "noted | DROP TABLE", "up", "2", *GO)
    ddl(client, filled, again(filled))
    clear = f"DROP TABLE {filled.keyspace}.{TABLE};"
    told(filled("up", "2", *GO, env=SHORT), 5, "call_records: exists", clear)
    told(filled("repair", "--accept", "--yes", env=SHORT), 5, "half-way", clear)
    client.execute(clear)
    ok(filled("up", "2", *GO, env=SHORT))
    assert len(numbers(client, filled)) == 5


@pytest.mark.thorough
def test_our_own_table_is_nobody_elses(filled: Cli, client: Any) -> None:
    """It was made, and no row says so yet; another one has drifted."""
    killed(filled, "after | CREATE TABLE call_records (", "up", "2", *GO)
    ddl(client, filled, "CREATE TABLE KS.other (a int PRIMARY KEY)")
    said = told(filled("up", "2", *GO, env=SHORT), 5, "other: exists", "calldrop-migrate repair")
    assert "DROP TABLE" not in said
    ok(filled("repair", "--accept", "--yes", env=SHORT))
    ok(filled("up", "2", *GO, env=SHORT))
    assert len(numbers(client, filled)) == 5


def test_a_column_that_is_not_there_is_refused_at_once(cli: Cli) -> None:
    only(
        cli,
        r0001_t="-- migrate:up\nCREATE TABLE t (a int PRIMARY KEY);\nCREATE INDEX i ON t (typo);\n"
        "-- migrate:irreversible x\n",
    )
    began = time.monotonic()
    told(cli("up"), 7, "0001_t.cql:3:1", "typo")
    assert time.monotonic() - began < seconds(15)


@pytest.mark.thorough
def test_a_foreign_column_is_not_recorded_as_ours(cli: Cli, client: Any) -> None:
    end = "-- migrate:irreversible x\n"
    only(
        cli,
        r0001_two="-- migrate:up\nCREATE TABLE one (a int PRIMARY KEY);\nCREATE TABLE two (a int"
        f" PRIMARY KEY);\n{end}",
        r0002_more=f"-- migrate:up\nALTER TABLE one ADD b int;\nALTER TABLE two ADD b int;\n{end}",
    )
    ok(cli("up", "1"))
    running = cli.begin("pause 4 | noted | ALTER TABLE one", "up", "2", env=SHORT)
    until(lambda: done(cli, 2, 1))
    client.execute(f"ALTER TABLE {cli.keyspace}.two ADD foreign_one int")
    _, err = running.communicate(timeout=90)
    assert running.returncode == 5, err
    assert "foreign_one" in err
    told(cli("up", "2", env=SHORT), 5, "foreign_one", "repair")
    ok(cli("repair", "--accept", "--yes", env=SHORT))
    ok(cli("up", "2", env=SHORT))
    assert columns(client, cli, "two") == {"a", "b", "foreign_one"}


# -- what is said ----------------------------------------------------------------------------------


@pytest.mark.thorough
def test_status_of_an_operation_that_took_the_place_of_a_copy(filled: Cli, client: Any) -> None:
    insert(client, filled, 9, None)
    copy = "after | COPY call_records TO call_records__0002"
    killed(filled, copy, "up", "2", *GO, "--discard-rows")
    aside = "before | CREATE TABLE call_records__aside"
    killed(filled, aside, "up", "2", *GO, "--set-aside")
    ok(filled("status"))
    assert filled("verify").code == 5


@pytest.mark.thorough
def test_an_abort_says_where_the_keyspace_is(filled: Cli) -> None:
    killed(filled, "noted | COPY", "up", "2", *GO)
    assert filled.json("abort", "--yes", env=SHORT)["current"] == 1
    assert filled.json("status")["current"] == 1
