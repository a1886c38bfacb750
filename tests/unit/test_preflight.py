"""What servers would refuse, known before anything runs: windows, tablets, racks, views.

The servers here are made up of what counts; those of tests/cases/servers are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from calldrop_migrate.core.demands import Demand, Windows, demands
from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.files import Migration, load
from calldrop_migrate.core.plan import Attempt, Facts, Plan
from calldrop_migrate.core.preflight import Finding, Placement, Places, Server, examine
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.keyspace import create_keyspace
from calldrop_migrate.engine.review import Review
from calldrop_migrate.errors import CalldropError, ConfigurationError, StatementRefused
from tests.support.world import loaded

PROJECT = Path(__file__).parent.parent.parent
THREE = {"class": "NetworkTopologyStrategy", "dc1": "3"}
EMPTY = Schema("k", (("class", "NetworkTopologyStrategy"),))
TABLE = "CREATE TABLE t (a int PRIMARY KEY, b int)"
TWCS = (
    "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS',"
    " 'compaction_window_size': %d}"
)
LWT = {"TABLETS", "TABLET_MERGE", "LWT_WITH_TABLETS", "CDC_WITH_TABLETS"}
VIEWS = {*LWT, "VIEWS_WITH_TABLETS"}
ALL = {*VIEWS, "COUNTERS_WITH_TABLETS", "RACK_LIST_RF"}
ON_TABLETS = Places("k", Placement(True, THREE), Placement(True, THREE))


def plan(*migrations: Migration, done: int = 0) -> Plan:
    schema, attempts = EMPTY, list[Attempt]()
    for migration in migrations:
        attempts.append(expand(migration, "up", UUID(int=1), schema, Facts()))
        schema = attempts[-1].after
    attempts[0] = replace(attempts[0], done=done)
    return Plan(None, tuple(attempts), 0, len(attempts))


def asked(*statements: str) -> tuple[Demand, ...]:
    text = "".join(f"{statement};\n" for statement in statements)
    return demands(plan(*loaded(f"-- migrate:up\n{text}-- migrate:irreversible no\n")))


def scylla(
    features: set[str], *settings: Mapping[str, str] | None, racks: int = 3, version: str = "x"
) -> Server:
    told = {f"10.0.0.{at}": each for at, each in enumerate(settings or ({},), 1)}
    return Server(True, f"ScyllaDB {version}", {"dc1": racks}, told, frozenset(features))


def kinds(findings: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def most(*counts: int | None) -> Server:
    return scylla(ALL, *(None if n is None else {"twcs_max_window_count": str(n)} for n in counts))


# -- what a plan asks for


def test_the_shipped_revisions_ask_for_windows_and_a_view() -> None:
    files = {p.name: p.read_bytes() for p in (PROJECT / "migrations").iterdir()}
    found = demands(plan(*load(files)))
    assert [(d.kind, d.place) for d in found] == [
        ("windows", "0003_twcs_and_ttl.cql:5"),
        ("view", "0004_calls_by_completion.cql:3"),
    ]
    assert found[0].windows == Windows(7776000, 1, "DAYS")
    assert str(found[0].windows) == "90 windows (default_time_to_live 7776000 in windows of 1 day)"


TTL = "default_time_to_live = 7776000"


@pytest.mark.parametrize(
    ("statements", "windows"),
    [
        ([f"{TABLE} WITH {TWCS % 1} AND {TTL}"], [90]),
        ([f"{TABLE} WITH {TWCS % 1}", f"ALTER TABLE t WITH {TTL}"], [90]),
        ([f"{TABLE} WITH {TTL}", f"ALTER TABLE t WITH {TWCS % 1}"], [90]),
        ([f"{TABLE} WITH {TWCS % 2} AND {TTL}"], [45]),
        # An ALTER that touches neither is let through, and so is a TTL that has gone by then.
        ([f"{TABLE} WITH {TWCS % 1} AND {TTL}", "ALTER TABLE t WITH comment = 'x'"], [90]),
        (
            [f"{TABLE} WITH {TTL}", f"ALTER TABLE t WITH {TWCS % 1} AND default_time_to_live = 0"],
            [],
        ),
        (
            [
                f"{TABLE} WITH {TWCS % 1}",
                "ALTER TABLE t WITH compaction = {'class': 'SizeTieredCompactionStrategy'}",
                f"ALTER TABLE t WITH {TTL}",
            ],
            [],
        ),
        (
            [
                f"{TABLE} WITH {TTL} AND compaction = {{'class':"
                " 'org.apache.cassandra.db.compaction.TimeWindowCompactionStrategy'}"
            ],
            [90],
        ),
        ([f"{TABLE} WITH {TWCS % 1} AND default_time_to_live = 86399"], []),
        ([f"{TABLE} WITH {TWCS % 0} AND {TTL}"], []),  # which is refused for another reason
    ],
)
def test_windows_by_the_ttl_and_the_compaction_that_a_statement_leads_to(
    statements: list[str], windows: list[int]
) -> None:
    found = [d.windows for d in asked(*statements)]
    assert [w.count for w in found if w] == windows


def test_what_has_run_asks_for_nothing() -> None:
    text = f"-- migrate:up\n{TABLE} WITH {TWCS % 1} AND {TTL};\n-- migrate:irreversible no\n"
    assert len(demands(plan(*loaded(text)))) == 1
    assert demands(plan(*loaded(text), done=1)) == ()


def test_counters_change_logs_indexes() -> None:
    found = asked(
        "CREATE TABLE c (a int PRIMARY KEY, n counter)",
        f"{TABLE} WITH cdc = {{'enabled': true}}",
        "ALTER TABLE t WITH cdc = {'enabled': false}",
        "CREATE INDEX ON t (b)",
        "CREATE CUSTOM INDEX i ON t (b) USING 'StorageAttachedIndex'",
    )
    assert [d.kind for d in found] == ["counter", "cdc", "index"]


# -- windows against what nodes allow


@pytest.mark.parametrize(
    ("size", "counts", "found"),
    [
        (1, (50,), ["refused"]),
        (1, (100, 100), []),
        (1, (100, 50, 100), ["refused"]),
        (1, (90,), []),
        (1, (89,), ["refused"]),
        (1, (0, 0), []),
        (2, (50,), []),
        (2, (44,), ["refused"]),
        (1, (None,), ["warning"]),
        (1, (100, None), ["warning"]),
        (1, (50, None), ["refused"]),
        (2, (None,), []),
    ],
)
def test_windows_must_be_allowed_on_every_node(
    size: int, counts: tuple[int | None, ...], found: list[str]
) -> None:
    demand = asked(f"{TABLE} WITH {TWCS % size} AND {TTL}")
    places = Places("k", Placement(False, THREE))
    assert kinds(examine(demand, places, most(*counts))) == found


def test_refused_windows_name_the_node_and_both_ways_out() -> None:
    demand = asked(f"{TABLE} WITH {TWCS % 1} AND {TTL}")
    (found,) = examine(demand, Places("k", Placement()), most(100, 50, 100))
    assert found.message == (
        "0001_x.cql:2:1: CREATE TABLE t: 90 windows (default_time_to_live 7776000 in windows of"
        " 1 day); 10.0.0.2 allows 50 (twcs_max_window_count)"
    )
    update = "UPDATE system.config SET value = '100' WHERE name = 'twcs_max_window_count'"
    assert f'\n  cqlsh 10.0.0.2 -e "{update}"\n' in found.hint
    assert "10.0.0.1" not in found.hint  # which allows them already
    assert "scylla.yaml:\n  twcs_max_window_count: 100\n" in found.hint
    assert "0001_x.cql:2:\n  'compaction_window_size': 2, 'compaction_window_unit'" in found.hint


def test_every_node_that_does_not_tell_is_named_with_what_to_type() -> None:
    demand = asked(f"{TABLE} WITH {TWCS % 1} AND {TTL}")
    (found,) = examine(demand, Places("k", Placement()), most(100, None, None))
    assert [f"cqlsh 10.0.0.{at} -e " in found.hint for at in (1, 2, 3)] == [False, True, True]


@pytest.mark.parametrize("allowed", [1, 2, 13, 44, 45, 50, 89])
def test_the_size_that_is_proposed_is_the_smallest_that_does(allowed: int) -> None:
    windows = Windows(7776000, 1, "DAYS")
    size = windows.smallest(allowed)
    assert replace(windows, size=size).count <= allowed < replace(windows, size=size - 1).count


def test_cassandra_counts_no_windows() -> None:
    demand = asked(f"{TABLE} WITH {TWCS % 1} AND {TTL}")
    cassandra = Server(False, "Cassandra 5.0.9", {"dc1": 1}, {"10.0.0.1": {}})
    assert examine(demand, Places("k", Placement()), cassandra) == ()


# -- tablets

VIEW = (
    "CREATE MATERIALIZED VIEW v AS SELECT * FROM t WHERE a IS NOT NULL AND b IS NOT NULL"
    " PRIMARY KEY (b, a)"
)
RACKED = {"rf_rack_valid_keyspaces": "true"}
NOT_RACKED = {"rf_rack_valid_keyspaces": "false"}


@pytest.mark.parametrize(
    ("server", "found"),
    [
        (scylla({"TABLETS"}), []),  # 6.2 looks at nothing
        (scylla({"TABLETS", "TABLET_MERGE"}), ["configuration"]),  # 2025.1
        (scylla({"TABLETS", "TABLET_MERGE", "VIEWS_WITH_TABLETS"}, racks=1), []),  # an experiment
        (scylla(VIEWS, RACKED), []),  # 2025.4
        (scylla(VIEWS, RACKED, NOT_RACKED), ["configuration"]),
        (scylla(VIEWS, RACKED, None), ["warning"]),
        (scylla(ALL), []),  # 2026.1
        (scylla(ALL, racks=1), ["configuration"]),
        (scylla(ALL, racks=4), ["configuration"]),
    ],
)
def test_views_on_tablets_by_version_and_racks(server: Server, found: list[str]) -> None:
    places = Places("k", Placement(True, THREE))
    assert kinds(examine(asked(TABLE, VIEW), places, server)) == found
    assert kinds(examine(asked(TABLE, "CREATE INDEX ON t (b)"), places, server)) == found
    assert examine(asked(TABLE, VIEW), Places("k", Placement(False, THREE)), server) == ()


@pytest.mark.parametrize(
    ("replication", "lists", "racks", "valid"),
    [
        ({"dc1": "1"}, (), 3, True),
        ({"dc1": "0"}, (), 3, True),
        ({"dc1": "2"}, (), 3, False),
        ({"dc1": "2"}, ("dc1",), 3, True),
        ({"dc1": "3", "dc2": "3"}, (), 3, True),  # dc2 isn't there, which is told elsewhere
        ({"replication_factor": "3"}, (), 3, True),
        ({"replication_factor": "3"}, (), 1, False),
    ],
)
def test_one_copy_or_one_on_each_rack(
    replication: dict[str, str], lists: tuple[str, ...], racks: int, valid: bool
) -> None:
    whole = {"class": "NetworkTopologyStrategy", **replication}
    places = Places("k", Placement(True, whole, frozenset(lists)))
    found = examine(asked(TABLE, VIEW), places, scylla(ALL, racks=racks))
    assert kinds(found) == ([] if valid else ["configuration"])


@pytest.mark.parametrize(
    ("features", "found"),
    [({"TABLETS"}, ["configuration"]), (LWT, []), (ALL, [])],
)
def test_lease_and_history_need_conditional_writes(features: set[str], found: list[str]) -> None:
    assert kinds(examine((), ON_TABLETS, scylla(features))) == found
    elsewhere = Places("k", Placement(True, THREE), Placement(False, THREE))
    assert examine((), elsewhere, scylla(features)) == ()
    assert examine((), Places("k", Placement(True, THREE)), scylla(features)) == ()


def test_conditional_writes_both_ways_out() -> None:
    (found,) = examine((), ON_TABLETS, scylla({"TABLETS"}, version="6.2.3"))
    assert "bookkeeping_keyspace" in found.hint
    assert "tablets = {'enabled': false}" in found.hint
    assert "6.2.3" in found.message


@pytest.mark.parametrize(
    ("statement", "features"),
    [
        ("CREATE TABLE c (a int PRIMARY KEY, n counter)", {"COUNTERS_WITH_TABLETS"}),
        (f"{TABLE} WITH cdc = {{'enabled': true}}", {"CDC_WITH_TABLETS"}),
    ],
)
def test_counters_and_change_logs_on_tablets(statement: str, features: set[str]) -> None:
    places = Places("k", Placement(True, THREE))
    assert kinds(examine(asked(statement), places, scylla({"TABLETS"}))) == ["configuration"]
    assert examine(asked(statement), places, scylla({"TABLETS", *features})) == ()


@pytest.mark.parametrize(
    ("setting", "wish", "tablets"),
    [
        ({"tablets_mode_for_new_keyspaces": "enabled"}, None, True),
        ({"tablets_mode_for_new_keyspaces": "enabled"}, False, False),
        ({"tablets_mode_for_new_keyspaces": "disabled"}, None, False),
        ({"tablets_mode_for_new_keyspaces": "disabled"}, True, True),
        ({"tablets_mode_for_new_keyspaces": "unset", "enable_tablets": "true"}, None, True),
        ({"enable_tablets": "false"}, None, False),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_how_a_keyspace_would_be_made(
    setting: Mapping[str, str] | None, wish: bool | None, tablets: bool | None
) -> None:
    server = scylla(LWT, setting)
    assert server.made(THREE, wish).tablets is tablets
    simple = {"class": "SimpleStrategy", "replication_factor": "1"}
    assert server.made(simple, wish).tablets is False
    assert scylla(set(), setting).made(THREE, wish).tablets is False


def new(server: Server, tablets: bool | None = None) -> Places:
    made = server.made(THREE, tablets)
    return Places("k", made, made, tablets)


def test_where_it_is_not_known_whether_tablets_come_it_is_a_warning() -> None:
    server = scylla({"TABLETS", "TABLET_MERGE"}, None)
    assert kinds(examine((), new(server), server)) == ["warning"]
    assert examine((), new(server, tablets=False), server) == ()


def test_a_cluster_that_makes_only_tablets() -> None:
    server = scylla(ALL, {"tablets_mode_for_new_keyspaces": "enforced"})
    assert kinds(examine((), new(server, tablets=False), server)) == ["configuration"]
    assert examine((), new(server), server) == ()


@pytest.mark.parametrize(
    ("features", "racks", "found"),
    [(VIEWS, 3, []), (VIEWS, 4, ["configuration"]), (ALL, 4, []), (ALL, 2, ["configuration"])],
)
def test_a_cluster_that_counts_racks(features: set[str], racks: int, found: list[str]) -> None:
    enabled = {"tablets_mode_for_new_keyspaces": "enabled", **RACKED}
    server = scylla(features, enabled, racks=racks)
    assert kinds(examine((), new(server), server)) == found
    assert examine((), new(server, tablets=False), server) == ()


# -- Cassandra


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"10.0.0.1": {"materialized_views_enabled": "true"}}, []),
        ({"10.0.0.1": {"materialized_views_enabled": "false"}}, ["refused"]),
        ({"10.0.0.1": {"enable_materialized_views": "false"}}, ["refused"]),
        ({"10.0.0.1": None}, []),
        ({"10.0.0.1": {}, "10.0.0.2": {"materialized_views_enabled": "false"}}, ["refused"]),
    ],
)
def test_views_are_disabled_on_cassandra(
    settings: dict[str, Mapping[str, str] | None], found: list[str]
) -> None:
    server = Server(False, "Cassandra 5.0.9", {"dc1": 1}, settings)
    result = examine(asked(TABLE, VIEW), Places("k", Placement()), server)
    assert kinds(result) == found
    assert all(list(settings)[-1] in finding.message for finding in result)
    assert examine(asked(TABLE), Places("k", Placement()), server) == ()


# -- what becomes of findings


@pytest.mark.parametrize(
    ("found", "error", "code"),
    [
        (["refused"], StatementRefused, 7),
        (["configuration"], ConfigurationError, 2),
        (["refused", "configuration", "warning"], ConfigurationError, 2),
    ],
)
def test_findings_end_a_run_before_it_begins(
    found: list[str], error: type[CalldropError], code: int
) -> None:
    findings = tuple(Finding(kind, f"{kind} message", "do") for kind in found)  # type: ignore[arg-type]
    review = Review(Plan(None, (), 0, 0), EMPTY, {}, findings=findings)
    with pytest.raises(error) as raised:
        review.refuse()
    assert raised.value.exit_code == code
    assert raised.value.state == "Nothing was changed."
    assert raised.value.hint == "do"


def test_a_warning_ends_nothing() -> None:
    Review(Plan(None, (), 0, 0), EMPTY, {}, findings=(Finding("warning", "x"),)).refuse()


def test_create_keyspace_with_and_without_tablets() -> None:
    assert create_keyspace("k", {"class": "X"}) == (
        "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'X'}"
    )
    assert create_keyspace("k", {"class": "X"}, tablets=False).endswith(
        "{'class': 'X'} AND tablets = {'enabled': false}"
    )


def test_bookkeeping_of_its_own_where_only_tablets_are_made() -> None:
    apart = Places("k", Placement(True, THREE), Placement(False, exists=False))
    server = scylla(ALL, {"tablets_mode_for_new_keyspaces": "enforced"})
    assert kinds(examine((), apart, server)) == ["configuration"]
    assert examine((), apart, scylla(ALL, {"tablets_mode_for_new_keyspaces": "enabled"})) == ()
    there = replace(apart, bookkeeping=Placement(True, THREE))
    assert examine((), there, server) == ()
