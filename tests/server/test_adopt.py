"""`adopt`: a project that the real cassandra-migrate has brought half-way, with its own files,
yml and table, is taken over, and goes on from there.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bookkeeping import history
from tests.support.cli import Cli, Result
from tests.support.held import First
from tests.support.killing import Killing
from tests.support.servers import Address
from tests.support.theirs import THEIRS
from tests.support.told import ok, told
from tests.support.wire import Fault

YES = ("adopt", "--yes")
OURS = ["0001_create_users.cql", "0002_addtowers.cql", "0003_more.cql"]
Peer = Callable[..., Result]


@pytest.fixture
def half_way(project: Path, peer: Peer) -> Path:
    result = peer("--assume-yes", "migrate", "2")
    assert result.code == 0, result
    return project


def rows(client: Any, cli: Cli) -> list[dict[str, Any]]:
    return sorted(
        client.execute(f"SELECT * FROM {cli.keyspace}.database_migrations"),
        key=lambda row: row["version"],
    )


def is_taken_over(cli: Cli, client: Any, peer: Peer) -> None:
    """What holds behind an adoption, and that both tools go on from there."""
    files = sorted(path.name for path in (cli.folder / "migrations").iterdir())
    assert files == OURS
    assert sorted(p.name for p in (cli.folder / "migrations.adopted").iterdir()) == sorted(THEIRS)
    found = rows(client, cli)
    assert [(r["version"], r["name"]) for r in found] == list(enumerate(OURS[:2], 1))
    for row in found:
        text = (cli.folder / "migrations" / row["name"]).read_bytes()
        assert row["content"].encode() == text
        assert bytes(row["checksum"]) == hashlib.sha256(text).digest()
    attempts = f"SELECT attempt, event FROM {cli.keyspace}.migration_journal"
    adopted = [r["attempt"] for r in client.execute(attempts) if r["event"] == "adopted"]
    assert {row["attempt"] for row in found} <= set(adopted)
    ok(cli("verify"))
    ok(cli("up"))
    ok(cli("verify"))
    users = client.execute(f"SELECT * FROM {cli.keyspace}.users").one()
    assert users == {"id": 1, "name": f"{cli.keyspace}.users; -- no comment", "email": None}
    told(cli("down", "2", "--yes"), 5, "0003_more.cql", "no way back")
    (cli.folder / "cassandra-migrate.yml.adopted").rename(cli.folder / "cassandra-migrate.yml")
    assert peer("status").code == 0


def test_a_project_half_way_is_shown_taken_over_and_goes_on(
    cli: Cli, client: Any, half_way: Path, peer: Peer
) -> None:
    before = {row["version"]: row["applied_at"] for row in rows(client, cli)}
    told(cli("up"), 4, "v10_more.cql", "calldrop-migrate adopt")
    told(cli("plan", "--migrations", str(cli.folder / "none")), 2, "no folder", "none")
    told(cli("status", "--migrations", str(cli.folder / "none")), 5, "calldrop-migrate adopt")
    shown = told(cli("adopt"), 2, "has to be confirmed", "migrations becomes migrations.adopted")
    assert "migrations/0003_more.cql from v10_more.cql" in shown
    assert "v2_AddTowers.cql: its row becomes one of 0002_addtowers.cql" in shown
    assert sorted(path.name for path in half_way.iterdir()) == sorted(THEIRS)
    assert "attempt" not in rows(client, cli)[0]

    said = ok(cli(*YES))
    assert f"{cli.keyspace} is at 0002 (1 pending)" in said
    assert "warning" not in said
    assert {row["version"]: row["applied_at"] for row in rows(client, cli)} == before
    is_taken_over(cli, client, peer)


@pytest.mark.thorough
def test_it_can_be_killed_anywhere(
    cli: Cli, client: Any, half_way: Path, peer: Peer, server: Address
) -> None:
    """At a later request each time, on one project: a run goes on from what the last one left."""
    killing, ends = Killing(cli, server, random.Random()), []
    # First where a revision has a row of ours and one of theirs.
    first = Fault(1, "none", of=r"^UPDATE .*database_migrations")
    for fault in (first, *(Fault(at, "none") for at in range(10, 400, 7))):
        result, _ = killing.run(YES, fault)
        ends.append(result.code)
        if result.code == 0:
            break
    assert set(ends[:-1]) == {-9}
    assert len(ends) > 5
    is_taken_over(cli, client, peer)


@pytest.mark.thorough
def test_it_was_killed_between_two_files(cli: Cli, client: Any, half_way: Path, peer: Peer) -> None:
    half_way.rename(cli.folder / "migrations.adopted")
    ok(cli(*YES))
    assert "there is no cassandra-migrate.yml, but" in told(cli(*YES), 2, "adopted already")
    is_taken_over(cli, client, peer)


@pytest.mark.thorough
def test_what_it_left_unclear_is_told_with_the_ways_out(
    cli: Cli, client: Any, half_way: Path
) -> None:
    """Two rows of one version are what two runs at once write: each chooses an id of its own."""
    first, last = rows(client, cli)
    table = f"{cli.keyspace}.database_migrations"
    columns = "id, version, name, content, checksum, state, applied_at"
    client.execute(
        f"INSERT INTO {table} ({columns}) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [uuid4(), *(first[name] for name in columns.split(", ")[1:])],
    )
    said = told(cli(*YES), 5, "two runs both ran it", "leave one of them")
    ways = [line.strip().rstrip(";") for line in said.splitlines() if "DELETE" in line]
    assert len(ways) == 2
    client.execute(ways[0])
    for state, says in (
        ("FAILED", "a part of it ran"),
        ("IN_PROGRESS", "was killed in the middle"),
    ):
        client.execute(f"UPDATE {table} SET state = '{state}' WHERE id = {last['id']}")
        said = told(cli(*YES), 5, f"version 2, v2_AddTowers.cql, {state}", says)
        ways = [line.strip() for line in said.splitlines() if str(last["id"]) in line]
        assert [way.split()[0] for way in ways] == ["DELETE", "UPDATE"]
    assert (cli.folder / "cassandra-migrate.yml").exists()
    client.execute(ways[1].rstrip(";"))
    assert "is at 0002" in ok(cli(*YES))
    assert history(client, cli) == [(1, "SUCCEEDED"), (2, "SUCCEEDED")]


@pytest.mark.thorough
def test_a_failed_one_of_its_own_is_undone_and_applied_by_us(
    cli: Cli, client: Any, half_way: Path, peer: Peer
) -> None:
    file = half_way / "v10_more.cql"
    file.write_text("ALTER TABLE users ADD email text; ALTER TABLE users WITH nosuch = 1;")
    assert peer("--assume-yes", "migrate").code == 1
    said = told(cli(*YES), 5, "version 3, v10_more.cql, FAILED")
    (undone,) = [line.strip().rstrip(";") for line in said.splitlines() if "DELETE" in line]
    client.execute(f"ALTER TABLE {cli.keyspace}.users DROP email")
    client.execute(undone)
    file.write_text("ALTER TABLE users ADD email text;")
    ok(cli(*YES))
    ok(cli("up"))
    ok(cli("verify"))


@pytest.mark.thorough
def test_files_that_its_history_does_not_know(cli: Cli, half_way: Path) -> None:
    applied = half_way / "v1_create_users.cql"
    text = applied.read_text("utf-8")
    applied.write_text(text + "-- more\n", encoding="utf-8")
    told(cli(*YES), 5, "version 1, v1_create_users.cql: the file changed", "column content")
    applied.write_text(text, encoding="utf-8")
    (half_way / "v2_AddTowers.cql").rename(cli.folder / "elsewhere.cql")
    told(cli(*YES), 5, "version 2, v2_AddTowers.cql: its file is missing", "v10_more.cql")


@pytest.mark.thorough
def test_what_our_format_does_not_allow_is_mended_in_our_files(
    cli: Cli, client: Any, project: Path, peer: Peer
) -> None:
    (project / "v10_more.cql").unlink()
    (project / "v3_fill.py").write_text(
        'def execute(session):\n    session.execute("INSERT INTO users (id) VALUES (2)")\n'
    )
    assert peer("--assume-yes", "migrate").code == 0
    written = told(cli(*YES), 4, "0003_fill.cql:5:1", "the database was not touched")
    assert "0001" not in written.partition("becomes")[0]
    mended = cli.folder / "migrations" / "0003_fill.cql"
    text = mended.read_text("utf-8")
    assert '--      session.execute("INSERT INTO users (id) VALUES (2)")' in text
    insert = "-- migrate:up\nINSERT INTO users (id) VALUES (2);\n"
    mended.write_text(text.replace("\n-- migrate:up\n", f"\n{insert}"), encoding="utf-8")
    assert "is at 0003 (head)" in ok(cli(*YES))
    ok(cli("verify"))
    assert client.execute(f"SELECT COUNT(*) AS n FROM {cli.keyspace}.users").one()["n"] == 2


@pytest.mark.thorough
def test_what_the_files_do_not_make_is_warned_of(cli: Cli, client: Any, half_way: Path) -> None:
    client.execute(f"ALTER TABLE {cli.keyspace}.towers ADD height int")
    assert "warning: not as 0002 makes it: towers: column height added" in ok(cli(*YES))
    ok(cli("up"))


@pytest.mark.thorough
def test_calls_that_can_not_be(cli: Cli, half_way: Path) -> None:
    told(cli(*YES, "-k", "other"), 2, f"about the keyspace {cli.keyspace}", f"-k {cli.keyspace}")
    told(cli("adopt", "nowhere.yml", "--yes"), 2, "there is no nowhere.yml", "configuration file")
    (cli.folder / "broken.yml").write_text("keyspace: [", encoding="utf-8")
    told(cli("adopt", "broken.yml", "--yes"), 2, "can't read this project", "broken.yml")
    own = cli.folder / "ours"
    own.mkdir()
    (own / "0001_other.cql").write_text("-- migrate:up\n", encoding="utf-8")
    told(cli(*YES, "--migrations", "ours"), 2, "not of this project: 0001_other.cql")
    own = half_way / "cassandra-migrate.yml"
    own.write_text(f"keyspace: {cli.keyspace}\nmigrations_path: .\n", encoding="utf-8")
    told(cli("adopt", str(own), "--yes"), 2, "beside cassandra-migrate.yml", "--migrations")


@pytest.mark.thorough
def test_a_table_of_another_name_stays(cli: Cli, client: Any, project: Path, peer: Peer) -> None:
    yml = cli.folder / "cassandra-migrate.yml"
    yml.write_text(yml.read_text("utf-8") + "migrations_table: versions\n", encoding="utf-8")
    assert peer("--assume-yes", "migrate", "2").code == 0
    ok(cli(*YES))
    assert len(list(client.execute(f"SELECT * FROM {cli.keyspace}.versions"))) == 2
    assert history(client, cli) == [(1, "SUCCEEDED"), (2, "SUCCEEDED")]
    ok(cli("up"))


@pytest.mark.thorough
def test_up_behind_an_adoption_that_was_killed(
    cli: Cli, client: Any, project: Path, peer: Peer, server: Address
) -> None:
    """Its table has another name: nothing of theirs is in the way of `up`."""
    yml = cli.folder / "cassandra-migrate.yml"
    yml.write_text(yml.read_text("utf-8") + "migrations_table: versions\n", encoding="utf-8")
    make = "CREATE TABLE users (id int PRIMARY KEY, name text);\n"
    (project / "v1_create_users.cql").write_text(make)
    (project / "v2_AddTowers.cql").write_text("INSERT INTO users (id, name) VALUES (1, 'a');\n")
    (project / "v10_more.cql").write_text("INSERT INTO users (id, name) VALUES (2, 'b');\n")
    assert peer("--assume-yes", "migrate").code == 0
    first = First(cli, server)
    fault = Fault(3, "swallow request", of=r"^INSERT INTO .*database_migrations", act=first.kill)
    with first.begun(fault, "adopt", "--yes", env={}) as tap:
        first.process.communicate(timeout=60)
        assert tap.struck
    client.execute(f"UPDATE {cli.keyspace}.users SET name = 'by the application' WHERE id = 1")
    result = cli("up", "--yes")
    (name,) = (
        r["name"] for r in client.execute(f"SELECT name FROM {cli.keyspace}.users WHERE id = 1")
    )
    assert name == "by the application", (name, result.code, result.err)
    ok(cli("adopt", "--yes"))
