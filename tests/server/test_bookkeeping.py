"""Lease and history of several keyspaces in one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bookkeeping import APART
from tests.support.cli import Cli
from tests.support.settings import GO, SHORT
from tests.support.told import ok, told

OWN = ("database_migrations", "migration_journal", "migration_progress")


@pytest.fixture
def bookkeeping(client: Any) -> Iterator[str]:
    name = f"b_{uuid4().hex[:16]}"
    yield name
    client.execute(f"DROP KEYSPACE IF EXISTS {name}")


@pytest.fixture
def two(make_cli: Callable[[str], Cli], client: Any, bookkeeping: str) -> Iterator[tuple[Cli, Cli]]:
    names = [f"t_{uuid4().hex[:16]}" for _ in range(2)]
    made = [make_cli(name) for name in names]
    one, other = (replace(c, environment={**c.environment, APART: bookkeeping}) for c in made)
    yield one, other
    for name in names:
        client.execute(f"DROP KEYSPACE IF EXISTS {name}")


def without(cli: Cli) -> Cli:
    """The same keyspace, with its bookkeeping in itself."""
    return replace(cli, environment={k: v for k, v in cli.environment.items() if k != APART})


def tables(client: Any, keyspace: str) -> list[str]:
    """But for those that ScyllaDB has beside a table with conditional writes."""
    rows = client.execute(
        f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{keyspace}'"
    )
    return sorted(row["table_name"] for row in rows if "$" not in row["table_name"])


def current(cli: Cli) -> int:
    return int(cli.json("status")["current"])


@pytest.mark.thorough
def test_each_keyspace_has_its_own_history(
    two: tuple[Cli, Cli], client: Any, bookkeeping: str
) -> None:
    one, other = two
    ok(one("up"))
    assert current(other) == 0
    ok(other("up", "2"))
    assert (current(one), current(other)) == (4, 2)
    assert tables(client, one.keyspace) == tables(client, other.keyspace) == ["call_records"]
    assert tables(client, bookkeeping) == list(OWN)

    for cli in two:
        ok(cli("verify"))
        assert "there is nothing to do" in ok(cli("plan", str(current(cli))))
    client.execute(f"ALTER TABLE {one.keyspace}.call_records WITH default_time_to_live = 60")
    told(one("verify"), 5, "default_time_to_live: 7776000 -> 60")
    ok(other("verify"))
    ok(one("repair", "--restore", "--yes"))

    ok(one("seed", "--random-seed", "1"))
    ok(one("down", "base", "--set-aside", "--outage-accepted", "--yes"))
    assert (current(one), current(other)) == (0, 2)
    ok(other("up"))
    ok(one("up", *GO))
    assert (current(one), current(other)) == (4, 4)
    assert client.execute(f"SELECT COUNT(*) AS n FROM {one.keyspace}.call_records").one()["n"] > 0


def test_a_keyspace_with_tables_of_its_own_keeps_nobody_elses_history(
    cli: Cli, make_cli: Callable[[str], Cli]
) -> None:
    ok(cli("up", "1"))
    other = make_cli(f"{cli.keyspace}_b")
    shared = {"CALLDROP_BOOKKEEPING_KEYSPACE": cli.keyspace}
    told(other("up", env=shared), 2, "has tables of its own: call_records")
    ok(cli("verify"))


@pytest.mark.twin
def test_a_killed_run_is_gone_on_with(two: tuple[Cli, Cli], client: Any, bookkeeping: str) -> None:
    one, other = two
    ok(one("up", "1"))
    ok(one("seed", "--random-seed", "1"))
    count = f"SELECT COUNT(*) AS n FROM {one.keyspace}.call_records"
    before = client.execute(count).one()["n"]
    assert one.at("kill | after | VERIFY call_records", "up", "2", *GO, env=SHORT).code == -9
    assert one.json("status")["revisions"][1]["state"] == "half-way"
    ok(other("up"))  # which is no business of the other one
    ok(one("up", *GO, env=SHORT))
    assert client.execute(count).one()["n"] == before
    assert tables(client, one.keyspace) == ["call_records"]
    finished = client.execute(f"SELECT DISTINCT attempt FROM {bookkeeping}.migration_progress")
    assert len(list(finished)) == 1


@pytest.mark.thorough
def test_the_lease_on_one_is_none_on_the_other(two: tuple[Cli, Cli], client: Any) -> None:
    one, other = two
    ok(one("up", "1"))
    ok(one("seed", "--random-seed", "1"))
    point = "sh touch held; while ! test -e go; do sleep 0.1; done | before | COPY call_records"
    holder = one.begin(point, "up", "2", *GO)
    while not (one.folder / "held").exists():
        assert holder.poll() is None, holder.communicate()
    told(one("up"), 6, "the lease on", one.keyspace)
    ok(other("up"))
    (one.folder / "go").touch()
    out, err = holder.communicate(timeout=120)
    assert holder.returncode == 0, (out, err)
    assert (current(one), current(other)) == (2, 4)


@pytest.mark.thorough
def test_a_keyspace_with_a_history_of_its_own_is_refused(two: tuple[Cli, Cli], client: Any) -> None:
    one, _ = two
    ok(without(one)("up", "2"))
    for command in (["up"], ["status"], ["verify"], ["stamp", "2", "--yes"]):
        told(one(*command), 5, "has a history of its own", "docs/settings.md")
    ok(without(one)("up"))

    for table in OWN:
        client.execute(f"DROP TABLE {one.keyspace}.{table}")
    told(one("up"), 5, "has tables, and no history", "stamp")
    ok(one("stamp", "4", "--yes"))
    assert "there was nothing to do" in ok(one("up"))
    ok(one("down", "2", "--yes"))


@pytest.mark.thorough
def test_another_tools_history_is_named(two: tuple[Cli, Cli], client: Any, datacenter: str) -> None:
    one, _ = two
    client.execute(
        f"CREATE KEYSPACE {one.keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    client.execute(
        f"CREATE TABLE {one.keyspace}.database_migrations (id uuid PRIMARY KEY, version int,"
        " name text, content text, checksum blob, state text, applied_at timestamp)"
    )
    told(one("up"), 5, "cassandra-migrate's", "calldrop-migrate adopt")


@pytest.mark.thorough
def test_a_history_of_no_keyspace(two: tuple[Cli, Cli], client: Any) -> None:
    one, other = two
    ok(one("up"))
    ok(other("up", "1"))
    client.execute(f"DROP KEYSPACE IF EXISTS {one.keyspace}")
    told(one("up"), 5, "there is no keyspace", "stamp base")
    told(one("verify"), 5, "there is no keyspace")
    ok(one("stamp", "base", "--yes"))
    ok(one("up"))
    ok(one("verify"))
    assert (current(one), current(other)) == (4, 1)


@pytest.mark.thorough
def test_tables_that_are_no_business_of_revisions(
    two: tuple[Cli, Cli], client: Any, datacenter: str
) -> None:
    one, other = two
    ok(other("up", "1"))
    client.execute(
        f"CREATE KEYSPACE {one.keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    client.execute(f"CREATE TABLE {one.keyspace}.theirs (a int PRIMARY KEY)")
    told(one("up"), 5, "has tables, and no history", "stamp base")
    ok(one("stamp", "base", "--yes"))
    ok(one("up"))
    assert tables(client, one.keyspace) == ["call_records", "theirs"]


def test_the_servers_own_keyspace_is_none_for_bookkeeping(cli: Cli) -> None:
    told(cli("up", "--bookkeeping-keyspace", "system_auth"), 2, "the server's own keyspace")
