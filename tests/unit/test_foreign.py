"""Files of cassandra-migrate as files of ours: names, and texts that mean the same."""

from __future__ import annotations

import pytest

from calldrop_migrate.core.files import parse
from calldrop_migrate.core.foreign import Foreign


def foreign(name: str, text: str = "", version: int = 7) -> Foreign:
    return Foreign(version, name, text, b"")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("v7_create_users.cql", "0007_create_users.cql"),
        ("V007__Create Users.cql", "0007_create_users.cql"),
        ("0012_add_x.cql", "0007_add_x.cql"),
        ("20260101120000-add.towers.cql", "0007_add_towers.cql"),
        ("fill.py", "0007_fill.cql"),
        ("v3.cql", "0007_migration.cql"),
        ("ä.cql", "0007_migration.cql"),
    ],
)
def test_names(name: str, file: str) -> None:
    assert foreign(name).file == file


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("CREATE TABLE t (a int PRIMARY KEY)", ["CREATE TABLE t (a int PRIMARY KEY)"]),
        ("DROP TABLE t -- last; words", ["DROP TABLE t"]),
        ("DROP TABLE shop.t; DROP TABLE\n  shop . u;\n", ["DROP TABLE t", "DROP TABLE\n  u"]),
        ('DROP TABLE "shop"."T";', ['DROP TABLE "T"']),
        ("INSERT INTO Shop.t (a) VALUES ('shop.t');", ["INSERT INTO t (a) VALUES ('shop.t')"]),
        ("/* shop.t */ DROP TABLE t; /* shop.t */", ["DROP TABLE t"]),
    ],
)
def test_texts(text: str, statements: list[str]) -> None:
    made = foreign("v7_x.cql", text)
    migration = parse(made.file, made.converted("shop").encode())
    assert [step.statement.text for step in migration.up] == statements
    assert "no way back" in (migration.irreversible or "")


@pytest.mark.parametrize("text", ["DROP TABLE other.t;", "INSERT INTO t (a) VALUES ('", ""])
def test_what_can_not_be_ours_is_left_for_its_reader(text: str) -> None:
    assert text in foreign("v7_x.cql", text).converted("shop")
