"""Several statements of one section about one table: each that destroys is proven for itself, and
what a file's own DELETE takes is gone for good.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.killing import killed
from tests.support.sampling import sample
from tests.support.schema import internal
from tests.support.sections import BY_B, MADE, NO_C, ROWS, given
from tests.support.settings import GO, OTHERS
from tests.support.told import ok, told

BACK = "-- migrate:rebuild\nCREATE TABLE t (a int PRIMARY KEY, b int, {}d int);\n"
ADD_C = "ALTER TABLE t ADD c int;\n"
# What a section does, and how its opposite is written.
PAIRS = {
    "column and column": (f"{NO_C}ALTER TABLE t DROP d;\n", f"ALTER TABLE t ADD d int;\n{ADD_C}"),
    "column and rebuild": (NO_C + BY_B.format(""), BACK.format("") + ADD_C),
    "rebuild and column": (BY_B.format("c int, ") + NO_C, ADD_C + BACK.format("c int, ")),
    "column and table": (f"{NO_C}DROP TABLE t;\n", MADE),
    "column and rows": (f"{NO_C}TRUNCATE t;\n", ADD_C),
    "rows and column": (f"TRUNCATE t;\n{NO_C}", ADD_C),
    "rows and rebuild": ("TRUNCATE t;\n" + BY_B.format("c int, "), BACK.format("c int, ")),
    "rebuild and rows": (BY_B.format("c int, ") + "TRUNCATE t;\n", BACK.format("c int, ")),
    "rebuild and table": (BY_B.format("c int, ") + "DROP TABLE t;\n", MADE),
    "table and column": (f"DROP TABLE t;\n{MADE}{NO_C}", ADD_C),
}


def rows(client: Any, cli: Cli) -> list[tuple[int | None, ...]]:
    found = client.execute(f"SELECT a, b, c, d FROM {cli.keyspace}.t")
    return sorted(tuple(row[name] for name in "abcd") for row in found)


@pytest.mark.thorough
@pytest.mark.parametrize("pair", PAIRS)
def test_two_statements_that_destroy_go_up_and_back(cli: Cli, client: Any, pair: str) -> None:
    up, down = PAIRS[pair]
    given(cli, client, up, down)
    ok(cli("up", "2", *GO, "--set-aside"))
    ok(cli("verify"))
    ok(cli("down", "1", *GO, "--set-aside"))
    assert rows(client, cli) == ROWS
    assert internal(client, cli) == []
    ok(cli("verify"))


@pytest.mark.parametrize(
    ("pair", "at"),
    sample(
        [
            ("column and column", "after | ALTER TABLE t DROP c"),
            ("column and column", "noted | ALTER TABLE t DROP c"),
            ("column and column", "noted | VERIFY t IN t__aside_0002_up_cells_2"),
            ("column and rebuild", "noted | ALTER TABLE t DROP c"),
            ("rebuild and column", "after | CREATE TABLE t__aside_0002_up_cells "),
            ("rows and column", "after | TRUNCATE t"),
            ("rebuild and table", "noted | VERIFY t IN t__aside_0002_up_2"),
        ]
    ),
)
def test_a_run_that_is_killed_between_the_two(cli: Cli, client: Any, pair: str, at: str) -> None:
    """Somebody writes before the next one: that comes back as well."""
    given(cli, client, *PAIRS[pair])
    killed(cli, at, "up", "2", *GO, "--set-aside", env=OTHERS)
    client.execute(f"INSERT INTO {cli.keyspace}.t (a, b, d) VALUES (5, 50, 5000)")
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS))
    ok(cli("down", "1", *GO, "--set-aside", env=OTHERS))
    assert rows(client, cli) == [*ROWS, (5, 50, None, 5000)]
    ok(cli("verify"))


@pytest.mark.thorough
@pytest.mark.parametrize("written", [False, True])
def test_a_truncate_of_which_nobody_knows_whether_it_came(
    cli: Cli, client: Any, written: bool
) -> None:
    """Its rows are aside alone by then, and stay there; what is written since goes there, too."""
    given(cli, client, "TRUNCATE t;\n", "GRANT SELECT ON TABLE t TO nobody;\n")
    killed(cli, "after | TRUNCATE t", "up", "2", *GO, "--set-aside", env=OTHERS)
    if written:
        client.execute(f"INSERT INTO {cli.keyspace}.t (a, b) VALUES (5, 50)")
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS))
    assert rows(client, cli) == []
    found = client.execute(f"SELECT a FROM {cli.keyspace}.t__aside_0002_up")
    assert sorted(row["a"] for row in found) == [1, 2, 3, 4, *([5] * written)]


@pytest.mark.thorough
@pytest.mark.parametrize("pair", ["column and column", "rebuild and column", "rows and column"])
def test_two_statements_that_discard(cli: Cli, client: Any, pair: str) -> None:
    given(cli, client, *PAIRS[pair])
    told(cli("up", "2", *GO), 9, "--set-aside", "--discard-rows")
    killed(cli, "noted | ALTER TABLE t DROP c", "up", "2", *GO, "--discard-rows", env=OTHERS)
    ok(cli("up", "2", *GO, "--discard-rows", env=OTHERS))
    ok(cli("down", "1", *GO, env=OTHERS))
    kept = {
        "column and column": [(a, b, None, None) for a, b, _, _ in ROWS],
        "rebuild and column": [(a, b, None, d) for a, b, _, d in ROWS if b],
        "rows and column": [],
    }
    assert rows(client, cli) == kept[pair]
    assert internal(client, cli) == []


@pytest.mark.thorough
def test_rows_that_come_between_two_statements_of_an_empty_table(cli: Cli, client: Any) -> None:
    """What was planned as empty can't go aside any more: the message says what leads out."""
    up, down = PAIRS["rows and column"]
    given(cli, client, up, down)
    client.execute(f"TRUNCATE {cli.keyspace}.t")
    killed(cli, "noted | TRUNCATE t", "up", "2", *GO, env=OTHERS)
    client.execute(f"INSERT INTO {cli.keyspace}.t (a, c) VALUES (1, 1)")
    told(cli("up", "2", *GO, env=OTHERS), 9, "t has rows", "--discard-rows")
    told(cli("up", "2", *GO, "--set-aside", env=OTHERS), 9, "t has rows now", "--discard-rows")
    ok(cli("up", "2", *GO, "--discard-rows", env=OTHERS))
    ok(cli("down", "1", *GO, env=OTHERS))
    assert rows(client, cli) == [(1, None, None, None)]


@pytest.mark.parametrize(
    ("up", "left", "aside"),
    sample(
        [
            ("DELETE FROM t WHERE a = 1;\nALTER TABLE t DROP c;\n", ROWS[1:], []),
            ("ALTER TABLE t DROP c;\nDELETE FROM t WHERE a = 1;\n", ROWS[1:], [1]),
            (
                "BEGIN BATCH DELETE FROM t WHERE a = 1; DELETE FROM t WHERE a = 2 APPLY BATCH;\n"
                "ALTER TABLE t DROP c;\n",
                ROWS[2:],
                [],
            ),
            ("DELETE FROM t WHERE a = 1;\nTRUNCATE t;\nALTER TABLE t DROP c;\n", ROWS[1:], []),
        ]
    ),
)
def test_a_row_that_the_file_deletes_never_comes_back(
    cli: Cli, client: Any, up: str, left: list[Any], aside: list[int]
) -> None:
    given(cli, client, up, ADD_C)
    ok(cli("up", "2", *GO, "--set-aside"))
    ok(cli("down", "1", *GO))
    assert rows(client, cli) == left
    kept = [
        row["a"]
        for name in internal(client, cli)
        for row in client.execute(f"SELECT a FROM {cli.keyspace}.{name}")
    ]
    assert kept == aside


@pytest.mark.thorough
def test_a_delete_needs_no_flag_and_sets_nothing_aside(cli: Cli, client: Any) -> None:
    up = (
        "DELETE FROM t WHERE a = 1;\nUPDATE t SET d = 7 WHERE a = 2;\n"
        "DELETE d FROM t WHERE a = 2;\n"
    )
    given(cli, client, up, "INSERT INTO t (a) VALUES (1);\n")
    said = cli("plan", "2")
    assert said.code == 0, said
    assert "gone for good" in said.out
    ok(cli("up", "2"))
    assert internal(client, cli) == []
    assert rows(client, cli) == [(2, 20, None, None), *ROWS[2:]]
    ok(cli("down", "1", "--yes"))
    assert rows(client, cli) == [(1, None, None, None), (2, 20, None, None), *ROWS[2:]]
