"""A developer's check, no part of `make test`: does ScyllaDB's own grammar take all that is sent?

    make check-scylla-grammar CHECKER=... GITDIR=...

Every CQL text is kept that the command sends to a real server in a long story, and put into the
form in which ScyllaDB would get it; those are added that only ScyllaDB gets. CHECKER is a program
that is given GITDIR, a git directory of scylladb/scylladb, and reads statements between lines of
`;;`. It says OK or ERROR of each, and ends with 1 where there is an ERROR.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from calldrop_migrate.cluster import catalog, platform, survey
from calldrop_migrate.core.demands import Demand, Windows
from calldrop_migrate.core.preflight import Placement, Places, Server, examine
from calldrop_migrate.engine.keyspace import create_keyspace
from calldrop_migrate.engine.ports import Platform
from tests.support.bookkeeping import APART
from tests.support.cli import Cli
from tests.support.servers import Address
from tests.support.settings import GO, SHORT
from tests.support.told import ok, write
from tests.support.wire import tapped

# Of our own, and Cassandra's alone.
_ID = re.compile(r" ID = [0-9a-f-]{36} AND| WITH ID = [0-9a-f-]{36}(?! AND)")
_CASSANDRAS = ("system_views.",)

_MORE = """\
-- migrate:up
CREATE TYPE place (lat double, lon double);
CREATE TABLE towers (id int, part int, "Name" text, at frozen<place>, tags frozen<set<text>>, s int,
    PRIMARY KEY (id, part)) WITH CLUSTERING ORDER BY (part DESC) AND comment = 'it''s one';
CREATE INDEX towers_by_name ON towers ("Name");
CREATE MATERIALIZED VIEW by_part AS SELECT * FROM towers WHERE part IS NOT NULL AND id IS NOT NULL
    PRIMARY KEY (part, id);
INSERT INTO towers (id, part, "Name") VALUES (1, 1, 'a');
-- migrate:down
DROP MATERIALIZED VIEW by_part;
DROP INDEX towers_by_name;
DROP TABLE towers;
DROP TYPE place;
"""
_REBUILT = """\
-- migrate:up
-- migrate:rebuild drop=s
CREATE TABLE towers (id int, part int, "Name" text, at frozen<place>, tags frozen<set<text>>,
    PRIMARY KEY (id, part));
ALTER TABLE towers ADD more int;
-- migrate:down
-- migrate:rebuild drop=more
CREATE TABLE towers (id int, part int, "Name" text, at frozen<place>, tags frozen<set<text>>, s int,
    PRIMARY KEY (id, part)) WITH CLUSTERING ORDER BY (part DESC) AND comment = 'it''s one';
"""


def story(cli: Cli, client: Any) -> None:
    """All that the command can do to a keyspace, or nearly so."""
    rows = ("--outage-accepted", "--set-aside", "--yes")
    ok(cli("plan"))
    ok(cli("up", "1"))
    ok(cli("seed", "--random-seed", "1"))
    client.execute(
        f"INSERT INTO {cli.keyspace}.call_records (source_phone_number, call_timestamp)"
        " VALUES ('+1', 1000)"
    )
    for step in ("kill | after | COPY call_records", "kill | before | DROP TABLE"):
        assert cli.at(step, "up", "2", *rows, env=SHORT).code == -9
    ok(cli("abort", "--yes", env=SHORT))
    ok(cli("up", *rows, env={"CALLDROP_KEEP_SHADOW": "7"}))
    ok(cli("clean", "--yes"))
    for command in (["status", "--log"], ["verify"], ["show", "2", "--applied"], ["unlock"]):
        ok(cli(*command))
    ok(cli("diff", "live", "1"))
    client.execute(f"DROP MATERIALIZED VIEW {cli.keyspace}.calls_by_completion")
    client.execute(f"ALTER TABLE {cli.keyspace}.call_records WITH default_time_to_live = 60")
    ok(cli("repair", "--restore", "--yes"))
    client.execute(f"ALTER TABLE {cli.keyspace}.call_records WITH default_time_to_live = 50")
    ok(cli("repair", "--accept", "--yes"))
    ok(cli("down", "3", "--yes"))
    ok(cli("down", "base", *rows))
    ok(cli("stamp", "base", "--yes"))
    ok(cli("up", *rows))
    write(cli, "0005_more", _MORE)
    write(cli, "0006_rebuilt", _REBUILT)
    ok(cli("up", *rows))
    ok(cli("down", "4", "--discard-rows", *GO))
    ok(cli("up", *rows))
    ok(cli("seed", "--random-seed", "2"))


def for_scylla_alone() -> list[str]:
    """What is sent to ScyllaDB and never to Cassandra, and what a hint tells to send."""
    sent: list[str] = []

    def ask(queries: Sequence[str]) -> list[list[catalog.Row]]:
        sent.extend(queries)
        return [[] for _ in queries]

    def ask_each(query: str) -> dict[str, None]:
        sent.append(query)
        return {}

    place = Platform("ScyllaDB", "2026.1", "", "", {}, {})
    survey.read(ask, ask_each, place, {"k", "Other"})
    catalog.unbuilt(ask, "k", "v", {}, platform.view_status({"view_build_status_v2"}))
    networks = {"class": "NetworkTopologyStrategy", "dc1": "3"}
    made = [create_keyspace("k", networks, tablets) for tablets in (None, True, False)]
    demand = Demand("windows", "t", "", Windows(7776000, 1, "DAYS"))
    server = Server(True, "ScyllaDB", {}, {"n": {"twcs_max_window_count": "50"}})
    (found,) = examine([demand], Places("k", Placement()), server)
    hinted = [line for line in found.hint.splitlines() if line.strip().startswith("UPDATE")]
    assert len(hinted) == 1
    return [*sent, *made, *hinted, platform.SCYLLA_VERSION]


@pytest.fixture
def texts(cli: Cli, client: Any, server: Address) -> list[str]:
    with tapped(server.hosts[0], server.port) as tap:
        through = {**cli.environment, "CALLDROP_PORT": str(tap.port)}
        story(Cli(cli.folder, cli.keyspace, through), client)
        apart = f"{cli.keyspace}_b"
        other = Cli(cli.folder, f"{cli.keyspace}_2", {**through, APART: apart})
        environment = {**other.environment, "CALLDROP_KEYSPACE": other.keyspace}
        try:
            ok(Cli(cli.folder, other.keyspace, environment)("up", "4"))
        finally:
            for name in (other.keyspace, apart):
                client.execute(f"DROP KEYSPACE IF EXISTS {name}")
    sent = {_ID.sub("", r.cql).strip() for r in tap.requests if r.cql}
    sent = {cql for cql in sent if not any(words in cql for words in _CASSANDRAS)}
    return sorted({*sent, *for_scylla_alone()})


def test_the_grammar_of_scylla_takes_all(texts: list[str]) -> None:
    checker, source = os.environ["SCYLLA_GRAMMAR_CHECKER"], os.environ["SCYLLA_GRAMMAR_SOURCE"]
    done = subprocess.run(
        [checker, source],
        input="\n;;\n".join(texts) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(("OK", "ERROR"))]
    print(f"{len(texts)} texts, {sum(line.startswith('OK') for line in said)} of them taken")
    assert done.returncode == 0, "\n".join(line for line in said if line.startswith("ERROR"))
    assert len(said) == len(texts), done.stderr
