"""Which ways down lead back to where the way up began."""

from __future__ import annotations

import pytest

from calldrop_migrate.core.folder import load
from calldrop_migrate.errors import MigrationFileError

TABLE = "CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c)) WITH comment = 'calls';"
FIRST = f"-- migrate:up\n{TABLE}\n-- migrate:down\nDROP TABLE t;\n"
REBUILT = "-- migrate:rebuild\nCREATE TABLE t (k int, c int, v text, PRIMARY KEY (c, k)){};"
BACK = "-- migrate:rebuild\nCREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c)){};"


def leaves(up: str, down: str) -> tuple[str, ...]:
    text = f"-- migrate:up\n{up}\n-- migrate:down\n-- migrate:partial why\n{down}\n"
    return load({"0001_t.cql": FIRST.encode(), "0002_t.cql": text.encode()})[1].leaves


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
    assert any(line.startswith(left) for line in leaves(up, down)), leaves(up, down)


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
    text = f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"
    assert load({"0001_t.cql": FIRST.encode(), "0002_t.cql": text.encode()})[1].leaves == ()


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
    text = f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"
    with pytest.raises(MigrationFileError, match=message):
        load({"0001_t.cql": FIRST.encode(), "0002_t.cql": text.encode()})
