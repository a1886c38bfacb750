"""Names that need quotes, everywhere where a name goes into CQL: a keyspace in mixed case, tables,
columns, types, views and indexes; columns with blanks and quotes, which only they may have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.cli import Cli
from tests.support.told import ok, only

KEEP = ("--set-aside", "--outage-accepted", "--yes")

FIRST = """\
-- migrate:up
CREATE TYPE "Spot" ("Lat" double, "from" double);
CREATE TABLE "select" (
    "Key" int, "order" text, "a ""b"" c" text, "it's" frozen<"Spot">, plain int,
    PRIMARY KEY ("Key", "order")
);
CREATE INDEX "Index" ON "select" (plain);
CREATE MATERIALIZED VIEW "TheView" AS SELECT * FROM "select"
    WHERE "Key" IS NOT NULL AND "order" IS NOT NULL AND plain IS NOT NULL
    PRIMARY KEY (plain, "Key", "order");
CREATE TABLE "MixedCase" (id int PRIMARY KEY, "Token" text);
-- migrate:down
DROP TABLE "MixedCase";
DROP MATERIALIZED VIEW "TheView";
DROP INDEX "Index";
DROP TABLE "select";
DROP TYPE "Spot";
"""
SECOND = """\
-- migrate:up
DROP MATERIALIZED VIEW "TheView";
DROP INDEX "Index";
-- migrate:rebuild "From here"="a ""b"" c"
CREATE TABLE "select" (
    "Key" int, "order" text, "From here" text, "it's" frozen<"Spot">, plain int,
    PRIMARY KEY ("Key", plain, "order")
);
-- migrate:rebuild into="IntoIt"
CREATE TABLE "MixedCase" (id int, "Token" text, PRIMARY KEY (id, "Token"));
-- migrate:down
DROP TABLE "IntoIt";
-- migrate:rebuild "a ""b"" c"="From here"
CREATE TABLE "select" (
    "Key" int, "order" text, "a ""b"" c" text, "it's" frozen<"Spot">, plain int,
    PRIMARY KEY ("Key", "order")
);
CREATE INDEX "Index" ON "select" (plain);
CREATE MATERIALIZED VIEW "TheView" AS SELECT * FROM "select"
    WHERE "Key" IS NOT NULL AND "order" IS NOT NULL AND plain IS NOT NULL
    PRIMARY KEY (plain, "Key", "order");
"""


@pytest.fixture
def quoted(make_cli: Callable[[str], Cli], client: Any) -> Iterator[Cli]:
    name = f"CamelCase_{uuid4().hex[:12]}"
    yield make_cli(name)
    client.execute(f'DROP KEYSPACE IF EXISTS "{name}"')


@pytest.mark.thorough
def test_the_calls_in_a_keyspace_that_needs_quotes(quoted: Cli) -> None:
    ok(quoted("up"))
    assert "loaded" in ok(quoted("seed", "--random-seed", "1"))
    ok(quoted("down", "1", *KEEP))
    ok(quoted("up", *KEEP[1:], env={"CALLDROP_KEEP_SHADOW": "7"}))
    ok(quoted("verify"))
    ok(quoted("status", "--log"))
    ok(quoted("clean", "--yes", env={"CALLDROP_KEEP_SHADOW": "0"}))
    ok(quoted("down", "base", "--discard-rows", *KEEP[1:]))


def test_tables_and_columns_that_need_quotes(quoted: Cli, client: Any) -> None:
    only(quoted, r0001_first=FIRST, r0002_second=SECOND)
    ok(quoted("up", "1"))
    ok(quoted("verify"))
    keyspace = f'"{quoted.keyspace}"'
    insert = (
        f'INSERT INTO {keyspace}."select" ("Key", "order", "a ""b"" c", "it\'s", plain) '
        'VALUES (%s, %s, %s, {"Lat": 1, "from": 2}, %s)'
    )
    for key in range(20):
        client.execute(insert, (key, f"o'{key}", f'"{key};', None if key == 7 else key))
    other = f'{keyspace}."MixedCase"'
    for key in range(5):
        client.execute(f'INSERT INTO {other} (id, "Token") VALUES (%s, %s)', (key, "it's"))

    ok(quoted("up", *KEEP))
    ok(quoted("verify"))
    ok(quoted("diff", "1", "2"))
    rows = list(client.execute(f'SELECT "Key", "From here" FROM {keyspace}."select"'))
    assert sorted((r["Key"], r["From here"]) for r in rows) == [
        (key, f'"{key};') for key in range(20) if key != 7
    ]
    assert len(list(client.execute(f'SELECT * FROM {keyspace}."IntoIt"'))) == 5

    ok(quoted("down", "1", "--discard-rows", *KEEP[1:]))
    ok(quoted("verify"))
    rows = list(client.execute(f'SELECT "Key", "a ""b"" c" AS v FROM {keyspace}."select"'))
    assert sorted((r["Key"], r["v"]) for r in rows) == [(key, f'"{key};') for key in range(20)]
    ok(quoted("down", "base", "--discard-rows", *KEEP[1:]))
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    left = {row["table_name"] for row in client.execute(asked, (quoted.keyspace,))}
    assert "select" not in left
