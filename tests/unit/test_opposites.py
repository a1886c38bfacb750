"""Which ways down lead back to where the way up began."""

from __future__ import annotations

import pytest

from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.folder import load
from calldrop_migrate.errors import MigrationFileError

TABLE = "CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c)) WITH comment = 'calls';"
FIRST = f"-- migrate:up\n{TABLE}\n-- migrate:down\nDROP TABLE t;\n"
REBUILT = "-- migrate:rebuild\nCREATE TABLE t (k int, c int, v text, PRIMARY KEY (c, k)){};"
BACK = "-- migrate:rebuild\nCREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c)){};"


def second(up: str, down: str) -> Migration:
    """Return a second revision of these sections."""
    text = f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"
    return load({"0001_t.cql": FIRST.encode(), "0002_t.cql": text.encode()})[1]


@pytest.mark.parametrize(
    ("up", "down", "left"),
    [
        ("ALTER TABLE t ADD n int;", "ALTER TABLE t ADD o int;", "t: column n added: int"),
        ("CREATE TABLE u (k int PRIMARY KEY);", "DROP TABLE t;", "t: is gone"),
        (
            "DROP TABLE t;",
            "CREATE TABLE t (k int PRIMARY KEY);",
            "t: clustering key: (c ASC) -> ()",
        ),
        ("CREATE INDEX i ON t (v);", "ALTER TABLE t WITH comment = 'calls';", "index i: is there"),
        ("CREATE TYPE y (a int);", "CREATE INDEX i ON t (v);", "type y: is there"),
        ("ALTER TABLE t WITH comment = 'x';", "CREATE TYPE y (a int);", "t: comment: calls -> x"),
        (
            "ALTER TABLE t WITH gc_grace_seconds = 9;",
            "CREATE TYPE y (a int);",
            "t: gc_grace_seconds: not named -> 9",
        ),
        (REBUILT.format(""), "CREATE TYPE y (a int);", "t: partition key: (k) -> (c)"),
    ],
)
def test_what_a_way_down_leaves(up: str, down: str, left: str) -> None:
    found = second(up, f"-- migrate:partial why\n{down}").left
    assert found
    assert any(line.startswith(left) for line in found.lines), found.lines


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("ALTER TABLE t ADD n int;", "ALTER TABLE t DROP n;"),
        ("ALTER TABLE t DROP v;", "ALTER TABLE t ADD v text;"),
        (
            "ALTER TABLE t WITH gc_grace_seconds = 9;",
            "ALTER TABLE t WITH gc_grace_seconds = 864000;",
        ),
        ("DROP TABLE t;", TABLE),
        (REBUILT.format(""), BACK.format(" WITH comment = 'calls'")),
        ("INSERT INTO t (k, c) VALUES (1, 1);", "DELETE FROM t WHERE k = 1;"),
    ],
)
def test_what_leads_back(up: str, down: str) -> None:
    assert second(up, down).left is None


@pytest.mark.parametrize(
    ("up", "down", "whole"),
    [
        ("ALTER TABLE t ADD n int;", "ALTER TABLE t ADD o int;", True),
        ("CREATE TYPE y (a int);", "ALTER TABLE t ADD o int;", True),
        ("ALTER TABLE t DROP v;", "ALTER TABLE t ADD o int;", True),
        ("CREATE TABLE u (k int PRIMARY KEY);", "DROP TABLE t;", False),
        ("ALTER TABLE t ADD (n int, o int);", "ALTER TABLE t DROP o;", False),
        ("ALTER TABLE t WITH comment = 'x';", "ALTER TABLE t WITH comment = 'y';", False),
    ],
)
def test_whether_all_of_the_way_up_is_still_there(up: str, down: str, whole: bool) -> None:
    left = second(up, f"-- migrate:partial why\n{down}").left
    assert left
    assert left.whole is whole


@pytest.mark.parametrize(
    ("up", "down", "message"),
    [
        ("ALTER TABLE t ADD n int;", "ALTER TABLE t ADD o int;", "does not take back what up does"),
        ("ALTER TABLE t ADD n int;", "-- migrate:partial\nALTER TABLE t ADD o int;", "a reason"),
        (
            "-- migrate:partial why\nALTER TABLE t ADD n int;",
            "ALTER TABLE t ADD o int;",
            "belongs below `-- migrate:down`",
        ),
    ],
)
def test_what_is_refused(up: str, down: str, message: str) -> None:
    with pytest.raises(MigrationFileError, match=message):
        second(up, down)
