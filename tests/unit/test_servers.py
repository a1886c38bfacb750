"""Servers of tests/cases/servers: which one it is, its schema, and what it would say to a plan.

Cassandra's answers are recorded from a real server; ScyllaDB's are written after its sources, which
the files say themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from calldrop_migrate.cluster import catalog, platform, survey
from calldrop_migrate.core.declared import holds
from calldrop_migrate.core.demands import demands
from calldrop_migrate.core.expansion import declared_at, expand
from calldrop_migrate.core.files import Migration, load
from calldrop_migrate.core.plan import Attempt, Facts, Plan
from calldrop_migrate.core.preflight import Places, Server, examine
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.ports import Platform

PROJECT = Path(__file__).parent.parent.parent
CASES = PROJECT / "tests" / "cases" / "servers"
NAMES = sorted(path.stem for path in CASES.glob("*.json"))
RECORDED = frozenset({"types", "indexes"})
SCYLLAS_OWN = "scylla_tables"
SCYLLAS = [name for name in NAMES if name.startswith("scylla")]


@cache
def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def ask_of(name: str, **more: Sequence[catalog.Row]) -> catalog.Ask:
    """What a server answers; `more`: rows of a table of system_schema, by its name."""
    answers = case(name)["answers"]

    def answer(query: str) -> list[catalog.Row]:
        its = (rows for table, rows in more.items() if f"system_schema.{table} " in query)
        return [*answers[query], *next(its, ())]

    return lambda queries: [answer(query) for query in queries]


def schema_of(name: str, **more: Sequence[catalog.Row]) -> Schema:
    """The keyspace `calldrop` there; `more` as for `ask_of`."""
    own = {SCYLLAS_OWN} if name in SCYLLAS else set[str]()
    return catalog.read(ask_of(name, **more), "calldrop", RECORDED | own)


def platform_of(name: str) -> Platform:
    """As session.py makes it."""
    ask = ask_of(name)
    (local,), peers, tables = ask([platform.LOCAL, platform.PEERS, platform.TABLES_OF_SYSTEM])
    scylla = platform.is_scylla(row["table_name"] for row in tables)
    version = ask([platform.SCYLLA_VERSION])[0][0]["version"] if scylla else ""
    return platform.describe("10.0.0.1", local, peers, scylla=scylla, scylla_version=version)


def server_of(name: str, nodes: int = 3) -> Server:
    """As session.py makes it: `nodes` of them say the same."""
    ask = ask_of(name)

    def ask_each(query: str) -> Mapping[str, Sequence[catalog.Row] | None]:
        return {f"10.0.0.{at}": ask([query])[0] for at in range(1, nodes + 1)}

    return survey.read(ask, ask_each, platform_of(name), {"calldrop"})


def shipped() -> tuple[Migration, ...]:
    return load({p.name: p.read_bytes() for p in (PROJECT / "migrations").iterdir()})


def plan() -> Plan:
    schema, attempts = Schema("calldrop", (("class", "NetworkTopologyStrategy"),)), list[Attempt]()
    for migration in shipped():
        attempts.append(expand(migration, "up", UUID(int=1), schema, Facts()))
        schema = attempts[-1].after
    return Plan(None, tuple(attempts), 0, len(attempts))


def test_the_cases_say_where_they_come_from() -> None:
    assert len(NAMES) == 5
    for name in NAMES:
        about = case(name)["about"]
        assert about.startswith("Not recorded" if name in SCYLLAS else "Recorded")


@pytest.mark.parametrize("name", NAMES)
def test_which_server_it_is(name: str) -> None:
    found = platform_of(name)
    kind, _, version = name.partition("-")
    assert found.name.lower().startswith(kind)
    assert found.version.startswith(version)
    assert found.nodes == found.racks == {"datacenter1": 3 if name in SCYLLAS else 1}


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_schema_is_found_on_each_server(name: str) -> None:
    live = schema_of(name)
    declared = declared_at(shipped(), 4)
    assert live.exists
    assert [t.name for t in live.owned().tables] == [t.name for t in declared.tables]
    for table in declared.tables:
        found = live.table(table.name)
        assert found is not None
        assert holds(table, found)


@pytest.mark.parametrize("name", SCYLLAS)
def test_a_schema_of_scylla_differs_from_cassandras_in_default_options_alone(name: str) -> None:
    one, other = (schema_of(each).comparable() for each in (NAMES[0], name))
    assert one.keys() == other.keys()
    assert [t for t in one if one[t] | {"options": ""} != other[t] | {"options": ""}] == []
    windows = [
        schema["call_records"]["options"]["compaction"]["compaction_window_size"]
        for schema in (one, other)
    ]
    assert windows == ["1", "1"]


def test_a_servers_own_tables_are_nobodys() -> None:
    live = schema_of("scylla-2026.1.11")
    assert live.table("migration_journal$paxos") is not None
    assert "migration_journal$paxos" not in live.comparable()


def test_scyllas_own_view_of_an_index_is_no_view() -> None:
    index = {"index_name": "by_v", "table_name": "call_records", "kind": "C", "options": {}}
    views = case("scylla-2026.1.11")["answers"][
        "SELECT * FROM system_schema.views WHERE keyspace_name = 'calldrop'"
    ]
    one, other = (
        views[0] | {"view_name": "by_v_index", "base_table_name": base}
        for base in ("call_records", "call_durations")
    )
    own = schema_of("scylla-2026.1.11", views=[one], indexes=[index])
    assert own.table("by_v_index") is None
    # Over another table, and on Cassandra, it is somebody's.
    others = schema_of("scylla-2026.1.11", views=[other], indexes=[index])
    assert others.table("by_v_index") is not None
    cassandras = schema_of("cassandra-5.0.9", views=[one], indexes=[index])
    assert cassandras.table("by_v_index") is not None


def test_options_that_scylla_keeps_beside_the_others() -> None:
    row = {"table_name": "call_records", "tablets": {"min_tablet_count": "8"}}
    found = schema_of("scylla-2026.1.11", scylla_tables=[row]).table("call_records")
    assert found is not None
    assert found.option("tablets") == '{"min_tablet_count": "8"}'


def test_orders_are_read_in_one_spelling() -> None:
    for name in NAMES:
        orders = {c.order for t in schema_of(name).tables for c in t.columns}
        assert orders == {"none", "asc", "desc"}, name


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("cassandra-5.0.9", "system_distributed.view_build_status"),
        *((name, "system.view_build_status_v2") for name in SCYLLAS),
    ],
)
def test_where_views_are_said_to_be_built(name: str, table: str) -> None:
    (tables,) = ask_of(name)([platform.TABLES_OF_SYSTEM])
    names = {row["table_name"] for row in tables}
    assert platform.view_status(names) == table
    before = names - {"view_build_status_v2"}  # ScyllaDB before 6.2
    assert platform.view_status(before) == "system_distributed.view_build_status"


@pytest.mark.parametrize("name", NAMES)
def test_conditional_statements_are_read_by_applied_alone(name: str) -> None:
    told = {what: platform.was_applied(rows) for what, rows in case(name)["conditional"].items()}
    assert told == {"insert": True, "insert again": False, "batch": True, "batch refused": False}


def test_no_answer_is_not_applied() -> None:
    assert not platform.was_applied([])


@pytest.mark.parametrize(
    ("name", "on_tablets", "without"),
    [
        ("cassandra-5.0.9", [], []),
        ("scylla-6.2.3", ["LWT", "windows"], ["windows"]),
        ("scylla-2025.1.14", ["LWT", "views", "windows"], ["windows"]),
        ("scylla-2025.4.10", ["views", "windows"], ["windows"]),
        ("scylla-2026.1.11", ["windows"], ["windows"]),
    ],
)
def test_the_shipped_revisions_on_each_server(
    name: str, on_tablets: list[str], without: list[str]
) -> None:
    """On a new keyspace, as the server makes it, and without tablets; three copies."""
    server = server_of(name)
    three = {"class": "NetworkTopologyStrategy", "datacenter1": "3"}
    for tablets, wanted in ((None, on_tablets), (False, without)):
        made = server.made(three, tablets)
        found = examine(demands(plan()), Places("calldrop", made, made, tablets), server)
        words = {"LWT": "(LWT)", "views": "materialized views", "windows": "90 windows"}
        told = [word for word, text in words.items() if any(text in f.message for f in found)]
        assert told == wanted
        assert len(found) == len(wanted)


@pytest.mark.parametrize("name", SCYLLAS)
def test_a_keyspace_that_exists_is_looked_up(name: str) -> None:
    placed = server_of(name).keyspaces["calldrop"]
    assert placed.exists
    assert placed.tablets is True
    assert placed.replication["datacenter1"] == "3"


def test_placement_from_rows() -> None:
    row = {"replication": {"class": "N", "dc1": "2"}, "replication_v2": None}
    assert survey.placement(row, []).tablets is False
    assert survey.placement(row, [{"initial_tablets": None}]).tablets is False
    racked = row | {"replication_v2": {"class": "N", "dc1:0": "r1", "dc1:1": "r2", "dc2": "1"}}
    assert survey.placement(racked, [{"initial_tablets": 0}]).rack_lists == {"dc1"}


def test_features_are_those_of_all_nodes() -> None:
    rows = [{"supported_features": text} for text in ("A,B", "B,C", None)]
    assert survey.features_of(rows) == {"B"}
    assert survey.features_of([]) == frozenset()


def test_settings_that_a_node_does_not_tell() -> None:
    server = survey.read(
        ask_of("scylla-2026.1.11"),
        lambda query: {"10.0.0.1": None, "10.0.0.2": []},
        platform_of("scylla-2026.1.11"),
        set(),
    )
    assert server.settings == {"10.0.0.1": None, "10.0.0.2": None}
    assert server.keyspaces == {}
