"""Ways down that are mended after they were applied, and those that are no opposites."""

from __future__ import annotations

import pytest

from tests.support.cli import Cli
from tests.support.sampling import sample
from tests.support.told import ok, only, tables, told

A = "CREATE TABLE a (id int PRIMARY KEY, n int);\n"
FILE = "migrations/0002_b.cql"
UP = "-- migrate:up\nALTER TABLE a ADD (m int, n int);\n"
NOTE = """-- migrate:up
ALTER TABLE a ADD note text;
-- migrate:down
{}ALTER TABLE a ADD other text;
"""


def write(cli: Cli, text: str) -> None:
    (cli.folder / FILE).write_text(text, encoding="utf-8")


def test_a_way_down_that_never_ran_may_be_mended(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=f"{UP}-- migrate:down\nALTER TABLE a DROP (m, n);\n")
    ok(cli("up"))
    write(cli, f"{UP}-- migrate:down\nALTER TABLE a DROP m;\n")
    told(
        cli("down", "1", "--yes"), 4, "0002_b.cql:4:1", "down does not take back", "column n added"
    )
    write(cli, f"{UP}-- migrate:down\nALTER TABLE a DROP m;\nALTER TABLE a DROP n;\n")
    ok(cli("verify"))
    assert "its way down, or a comment, was edited" in ok(cli("status"))
    ok(cli("down", "1", "--yes"))
    ok(cli("up"))


def test_the_way_up_may_not(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"))
    ok(cli("up"))
    file = cli.folder / "migrations/0001_a.cql"
    text = file.read_text("utf-8")
    file.write_text(text.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"), encoding="utf-8")
    told(cli("verify"), 5, "0001_a.cql changed after it was applied", "show 1 --applied")
    file.write_text(text.replace("DROP TABLE a", "DROP TABLE IF EXISTS a"), encoding="utf-8")
    ok(cli("down", "base", "--yes"))


def test_a_way_down_that_leaves_something_says_so_and_stamp_leads_out(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=NOTE.format(""))
    told(cli("plan"), 4, "0002_b.cql:4:1", "column note added", "-- migrate:partial REASON")
    write(cli, NOTE.format("-- migrate:partial wanted\n"))
    ok(cli("up"))
    assert "down leaves a: column note added: text (wanted)" in ok(cli("plan", "1"))
    ok(cli("down", "1", "--yes"))
    told(cli("up"), 4, "0002_b.cql:2:1", "a.note is there already", "calldrop-migrate stamp 2")
    ok(cli("stamp", "2", "--yes"))
    told(cli("down", "1", "--yes"), 4, "calldrop-migrate stamp 1")
    ok(cli("stamp", "1", "--yes"))
    ok(cli("verify"))


@pytest.mark.parametrize(
    "made", sample(["TABLE x (k int PRIMARY KEY)", "TYPE x (k int)", "INDEX x ON a (n)"])
)
def test_what_is_left_of_any_kind(cli: Cli, made: str) -> None:
    only(
        cli,
        r0001_a=f"-- migrate:up\n{A}-- migrate:down\nDROP TABLE a;\n",
        r0002_b=f"-- migrate:up\nCREATE {made};\n-- migrate:down\n-- migrate:partial wanted\n"
        "INSERT INTO a (id) VALUES (1);\n",
    )
    ok(cli("up"))
    ok(cli("down", "1", "--yes"))
    told(cli("up"), 4, "0002_b.cql:2:1", " x already", "calldrop-migrate stamp 2")
    for revision in ("2", "1", "2"):
        ok(cli("stamp", revision, "--yes"))
        ok(cli("verify"))


def test_a_stamp_where_something_of_the_way_up_is_gone(cli: Cli) -> None:
    only(
        cli,
        r0001_a=tables("a"),
        r0002_b="-- migrate:up\nCREATE TABLE x (k int PRIMARY KEY);\n"
        "-- migrate:down\n-- migrate:partial wanted\nDROP TABLE a;\n",
    )
    ok(cli("up"))
    ok(cli("down", "1", "--yes"))
    told(cli("up"), 4, "a table x already", "alter it by hand", "calldrop-migrate diff live 2")
    told(cli("stamp", "2", "--yes"), 5, "a: is gone")
    ok(cli("stamp", "1", "--yes"))
    ok(cli("verify"))
