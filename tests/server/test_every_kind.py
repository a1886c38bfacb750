"""A run that is killed at each statement of every kind, once before it is sent and once behind it:
the same command goes on, and what comes out is what comes out without a kill.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.told import ok, only

pytestmark = [pytest.mark.thorough, pytest.mark.journey]

TIMES = {"CALLDROP_LEASE_TTL": "10", "CALLDROP_DDL_TIMEOUT": "5", "CALLDROP_SETTLE_TIME": "0.1"}
UP = (
    "CREATE TYPE place (city text)",
    "CREATE TABLE a (k int, c int, v text, at frozen<place>, PRIMARY KEY (k, c))",
    "CREATE INDEX by_v ON a (v)",
    "CREATE MATERIALIZED VIEW whole AS SELECT * FROM a WHERE k IS NOT NULL AND c IS NOT NULL"
    " PRIMARY KEY (c, k)",
    "ALTER TABLE a ADD more int",
    "ALTER TABLE a RENAME c TO d",
    "ALTER TYPE place ADD street text",
    "ALTER TABLE a WITH default_time_to_live = 7777 AND comment = 'a''s'",
    "ALTER MATERIALIZED VIEW whole WITH comment = 'all'",
    "INSERT INTO a (k, d, v) VALUES (1, 2, 'x')",
    "BEGIN BATCH UPDATE a SET v = 'y' WHERE k = 1 AND d = 3;"
    " DELETE more FROM a WHERE k = 1 AND d = 2; APPLY BATCH",
)
DOWN = (
    "DROP MATERIALIZED VIEW whole",
    "DROP INDEX by_v",
    "ALTER TABLE a DROP more",
    "TRUNCATE a",
    "DROP TABLE a",
    "DROP TYPE place",
)
DISCARDING = ("--yes", "--discard-rows")


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_each_statement(cli: Cli, client: Any, when: str) -> None:
    text = "-- migrate:up\n{};\n-- migrate:down\n{};\n".format(";\n".join(UP), ";\n".join(DOWN))
    only(cli, r0001_all=text)
    for statement in UP:
        killed = cli.at(f"kill | {when} | {statement[:30]}", "up", *DISCARDING, env=TIMES)
        assert killed.code == -signal.SIGKILL, (statement, killed)
    ok(cli("up", *DISCARDING, env=TIMES))
    ok(cli("verify"))
    rows = client.execute(f"SELECT k, d, v FROM {cli.keyspace}.a")
    assert sorted((r["k"], r["d"], r["v"]) for r in rows) == [(1, 2, "x"), (1, 3, "y")]
    shown = ok(cli("show", "1", "--schema"))
    assert "more int" in shown
    for statement in DOWN:
        killed = cli.at(f"kill | {when} | {statement}", "down", "base", *DISCARDING, env=TIMES)
        assert killed.code == -signal.SIGKILL, (statement, killed)
    ok(cli("down", "base", *DISCARDING, env=TIMES))
    ok(cli("verify"))
