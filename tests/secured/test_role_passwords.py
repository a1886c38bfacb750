"""Passwords in statements of a migration are sent, and neither shown nor kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.told import ok, only, told

SECRET = "s3cret-of-the-app"


@pytest.fixture
def app(cli: Cli, client: Any) -> Iterator[str]:
    name = f"app_{cli.keyspace}"
    yield name
    for each in (name, f"{name}_user"):
        client.execute(f"DROP ROLE IF EXISTS {each}")


def files(app: str) -> dict[str, str]:
    return {
        "r0001_roles": f"""-- migrate:up
CREATE TABLE t (id int PRIMARY KEY);
CREATE ROLE {app} WITH LOGIN = true AND PASSWORD = '{SECRET}';
CREATE USER {app}_user WITH PASSWORD $${SECRET}$$ NOSUPERUSER;
-- migrate:down
DROP ROLE {app}_user;
DROP ROLE {app};
DROP TABLE t;
"""
    }


def test_passwords_are_neither_shown_nor_kept(cli: Cli, client: Any, app: str) -> None:
    only(cli, **files(app))
    said = [ok(cli("plan")), cli("plan", "--json").out, cli("up", "--json").out]
    said += [ok(cli(*args)) for args in (["status", "--log"], ["show", "1", "--applied"])]
    said.append(json.dumps(cli.json("status", "--log")))
    assert "PASSWORD = '***'" in said[0]
    for table in ("database_migrations", "migration_journal"):
        said += map(str, client.execute(f"SELECT * FROM {cli.keyspace}.{table}"))
    assert [text for text in said if SECRET in text] == []
    # What was sent is plain, and the checksum is the file's.
    salted = client.execute(f"SELECT salted_hash FROM system_auth.roles WHERE role = '{app}'")
    assert salted.one()["salted_hash"]
    ok(cli("verify"))
    ok(cli("down", "base", "--discard-rows", "--yes"))


@pytest.mark.thorough
def test_a_file_that_is_gone_is_not_run_without_its_passwords(cli: Cli, app: str) -> None:
    first = "-- migrate:up\nCREATE TABLE u (id int PRIMARY KEY);\n-- migrate:irreversible x\n"
    only(cli, r0001_u=first, r0002_roles=files(app)["r0001_roles"])
    ok(cli("up"))
    only(cli, r0001_u=first)
    words = "keeps its text without the passwords"
    err = told(cli("down", "1", "--discard-rows", "--yes"), 5, words, "Put the file back")
    assert SECRET not in err


@pytest.mark.thorough
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE ROLE {app} WITH PASSWORD = '{secret}' AND NONSENSE = true",
        "CREATE ROLE {app} WITH PASSWORD = '{secret}' LOGIN = true",
        "CREATE ROLE {app} WITH HASHED PASSWORD = '{secret}'",
    ],
)
def test_a_refusal_does_not_show_them(cli: Cli, app: str, statement: str) -> None:
    text = statement.format(app=app, secret=SECRET)
    only(cli, r0001_role=f"-- migrate:up\n{text};\n-- migrate:irreversible x\n")
    err = told(cli("up"), 7, "0001_role.cql:2:", "'***'")
    assert SECRET not in err
    assert SECRET not in cli("status", "--log", "--json").out
