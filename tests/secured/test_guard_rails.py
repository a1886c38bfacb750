"""What a server doesn't allow, it says while the table is whole; and what it doesn't allow any more
behind the DROP, ends the run with what to change, after which the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.guards import closed
from tests.support.killing import killed
from tests.support.roles import as_role, listed
from tests.support.schema import internal
from tests.support.secured import Secured
from tests.support.settings import GO, OTHERS
from tests.support.told import ok, only, told

MADE = "CREATE TABLE t (a int PRIMARY KEY, b int, c text)"
VIEW = (
    "CREATE MATERIALIZED VIEW {} AS SELECT * FROM t WHERE {} IS NOT NULL AND a IS NOT NULL AND"
    " b IS NOT NULL PRIMARY KEY ({});\n"
)
FIRST = (
    f"-- migrate:up\n{MADE} WITH comment = 'calls';\nCREATE INDEX by_c ON t (c);\n"
    + VIEW.format("v", "b", "b, a")
    + VIEW.format("w", "a", "a, b")
    + "-- migrate:down\nDROP MATERIALIZED VIEW w;\nDROP MATERIALIZED VIEW v;\nDROP TABLE t;\n"
)
REBUILT = (
    "-- migrate:up\n-- migrate:rebuild\n"
    "CREATE TABLE t (a int, b int, c text, PRIMARY KEY (a, b)) WITH comment = 'calls';\n"
    f"-- migrate:down\n-- migrate:rebuild\n{MADE} WITH comment = 'calls';\n"
)
ROWS = [(1, 10, "x"), (2, 20, "y"), (3, 30, "z")]


@pytest.fixture
def make_indexed(
    make_cli: Callable[[str], Cli], client: Any, keyspace: str, role: str, secured: Secured
) -> Iterator[Callable[..., Cli]]:
    """Makes keyspaces at revision 1, with rows, an index and two views, and command lines of an
    ordinary role: guard rails don't keep a superuser from anything.
    """
    made: list[Cli] = []

    def make(second: str = REBUILT) -> Cli:
        name = f"{keyspace}_{'abcd'[len(made)]}"
        client.execute(
            f"CREATE KEYSPACE {name} WITH replication ="
            " {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
        )
        for grant in listed("migrator", name, role):
            client.execute(grant)
        cli = make_cli(name)
        cli = as_role(replace(cli, environment={**cli.environment, **secured.tls}), role)
        made.append(cli)
        only(cli, r0001_t=FIRST, r0002_t=second)
        ok(cli("up", "1"))
        for row in ROWS:
            client.execute(f"INSERT INTO {name}.t (a, b, c) VALUES (%s, %s, %s)", row)
        return cli

    yield make
    for cli in made:
        client.execute(f"DROP KEYSPACE {cli.keyspace}")


def rows(client: Any, cli: Cli, table: str = "t") -> list[tuple[int, int, str]]:
    found = client.execute(f"SELECT a, b, c FROM {cli.keyspace}.{table}")
    return sorted((row["a"], row["b"], row["c"]) for row in found)


def whole(client: Any, cli: Cli) -> None:
    """That table, index and views are there, with all rows."""
    assert rows(client, cli) == rows(client, cli, "v") == rows(client, cli, "w") == ROWS
    by_index = client.execute(f"SELECT a FROM {cli.keyspace}.t WHERE c = 'y'")
    assert [row["a"] for row in by_index] == [2]


# The first statement that changes anything is refused, or not even sent: there is nothing to abort.
NOT_BEGUN = ("drop_truncate_table_enabled", "table_properties")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("closing", "said"),
    [
        ({"DropTruncateTableEnabled": "false"}, "drop_truncate_table_enabled"),
        ({"SecondaryIndexesEnabled": "false"}, "secondary_indexes"),
        ({"MaterializedViewsPerTable": "1,1"}, "materialized_views_per_table"),
        ({"TablePropertiesDisallowedCSV": "comment"}, "table_properties"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_it_is_said_before_anything_is_dropped(
    make_indexed: Callable[..., Cli],
    client: Any,
    secured: Secured,
    closing: dict[str, str],
    said: str,
) -> None:
    cli = make_indexed()
    with closed(secured.pid, **closing):
        told(cli("up", *GO, env=OTHERS), 7, f"({said})", "run the same command again")
        whole(client, cli)
        if said not in NOT_BEGUN:
            ok(cli("abort", "--yes", env=OTHERS))
        assert internal(client, cli) == []
        told(cli("up", *GO, env=OTHERS), 7, f"({said})", "run the same command again")
        whole(client, cli)
    ok(cli("up", *GO, env=OTHERS))
    whole(client, cli)
    ok(cli("verify"))
    ok(cli("down", "1", *GO, env=OTHERS))
    whole(client, cli)
    assert internal(client, cli) == []


@pytest.mark.thorough
def test_a_drop_or_truncate_is_asked_for_before_rows_go_aside(
    make_indexed: Callable[..., Cli], client: Any, secured: Secured
) -> None:
    dropping = "DROP MATERIALIZED VIEW w;\nDROP MATERIALIZED VIEW v;\nDROP TABLE t;\n"
    cases = [
        make_indexed(f"-- migrate:up\n{text}-- migrate:irreversible it is gone\n")
        for text in (dropping, "TRUNCATE t;\n")
    ]
    with closed(secured.pid, DropTruncateTableEnabled="false"):
        for cli in cases:
            told(cli("up", *GO, "--set-aside", env=OTHERS), 7, "drop_truncate_table_enabled")
            assert internal(client, cli) == []
            assert rows(client, cli) == ROWS
    for cli in cases:
        ok(cli("up", *GO, "--set-aside", env=OTHERS))
        assert rows(client, cli, "t__aside_0002_up") == ROWS


# Where a run is killed, and what the server doesn't allow any more when it goes on.
BEHIND: dict[str, tuple[str, dict[str, str]]] = {
    "noted | DROP TABLE t": ("table_properties", {"TablePropertiesDisallowedCSV": "comment"}),
    "noted | CREATE TABLE t (": ("secondary_indexes", {"SecondaryIndexesEnabled": "false"}),
    "noted | CREATE INDEX by_c ON": ("user_timestamps", {"UserTimestampsEnabled": "false"}),
    "noted | VERIFY t__0002": (
        "materialized_views_per_table",
        {"MaterializedViewsPerTable": "1,1"},
    ),
}


@pytest.mark.thorough
def test_behind_the_drop_the_way_on_is_named(
    make_indexed: Callable[..., Cli], client: Any, secured: Secured
) -> None:
    runs = [("up", *GO), ("down", "1", *GO)] * 2
    clis = [make_indexed() for _ in BEHIND]
    for cli, at, run in zip(clis, BEHIND, runs, strict=True):
        if run[0] == "down":
            ok(cli("up", *GO, env=OTHERS))
        killed(cli, at, *run, env=OTHERS)
    for cli, (said, closing), run in zip(clis, BEHIND.values(), runs, strict=True):
        with closed(secured.pid, **closing):
            err = told(cli(*run, env=OTHERS), 7, f"({said})", "run the same command again")
            on = f"calldrop-migrate {' '.join(word for word in run if word[0] != '-')}"
            assert on in err, err
            assert "t is incomplete" in err, err
            told(cli("abort", "--yes", env=OTHERS), 5, on)
    for cli, run in zip(clis, runs, strict=True):
        ok(cli(*run, env=OTHERS))
        whole(client, cli)
        ok(cli("verify"))
        assert internal(client, cli) == []


@pytest.mark.thorough
def test_a_copy_that_cannot_be_dropped_again(
    make_indexed: Callable[..., Cli], client: Any, secured: Secured
) -> None:
    """A guard rail that comes up in the middle keeps `abort` from dropping the copy, too."""
    cli = make_indexed()
    killed(cli, "noted | COPY t TO t__0002", "up", *GO, env=OTHERS)
    with closed(secured.pid, DropTruncateTableEnabled="false"):
        told(cli("abort", "--yes", env=OTHERS), 7, "drop_truncate_table_enabled", "abort")
        whole(client, cli)
    ok(cli("abort", "--yes", env=OTHERS))
    whole(client, cli)
    ok(cli("verify"))
    assert internal(client, cli) == []


@pytest.mark.thorough
def test_rows_that_the_server_gives_up_reading(
    make_indexed: Callable[..., Cli], client: Any, secured: Secured
) -> None:
    """More deleted rows in one partition than it reads over."""
    cli = make_indexed()
    only(
        cli,
        r0001_t=FIRST,
        r0002_t="-- migrate:up\nCREATE TABLE u (a int, b int, PRIMARY KEY (a, b));\n"
        "-- migrate:down\nDROP TABLE u;\n",
        r0003_t="-- migrate:up\n-- migrate:rebuild\n"
        "CREATE TABLE u (a int, b int, PRIMARY KEY (b, a));\n-- migrate:irreversible no\n",
    )
    ok(cli("up", "2"))
    deletes = "".join(f"DELETE FROM {cli.keyspace}.u WHERE a = 1 AND b = {b};" for b in range(300))
    client.execute(f"BEGIN UNLOGGED BATCH {deletes} APPLY BATCH")
    client.execute(f"INSERT INTO {cli.keyspace}.u (a, b) VALUES (1, 1000)")
    with closed(secured.pid, TombstoneFailureThreshold="200"):
        for command in (("plan", "3"), ("up", "3", *GO), ("down", "1", "--yes")):
            err = told(cli(*command, env=OTHERS), 7, "tombstone_failure_threshold")
            assert "gives up reading u" in err, err
            assert "nodetool compact" in err, err
    ok(cli("up", "3", *GO, env=OTHERS))
    assert [r["b"] for r in client.execute(f"SELECT b FROM {cli.keyspace}.u")] == [1000]


@pytest.mark.thorough
@pytest.mark.parametrize("permission", ["DROP", "CREATE"])
def test_a_permission_that_is_missing_is_asked_for_first(
    make_indexed: Callable[..., Cli], client: Any, role: str, permission: str
) -> None:
    cli = make_indexed()
    where = f"{permission} ON KEYSPACE {cli.keyspace}"
    client.execute(f"REVOKE {where} FROM {role}")
    told(cli("up", *GO, env=OTHERS), 7, f"GRANT {where} TO {role};", "run the same command again")
    whole(client, cli)
    assert internal(client, cli) == []
    client.execute(f"GRANT {where} TO {role}")
    ok(cli("up", *GO, env=OTHERS))
    whole(client, cli)
    ok(cli("verify"))


@pytest.mark.thorough
def test_a_permission_that_is_taken_behind_the_drop(
    make_indexed: Callable[..., Cli], client: Any, role: str
) -> None:
    cli = make_indexed()
    killed(cli, "noted | DROP TABLE t", "up", *GO, env=OTHERS)
    create = f"CREATE ON KEYSPACE {cli.keyspace}"
    client.execute(f"REVOKE {create} FROM {role}")
    err = told(cli("up", *GO, env=OTHERS), 7, f"GRANT {create} TO {role};", "calldrop-migrate up")
    assert "t is incomplete until it is finished" in err, err
    told(cli("abort", "--yes", env=OTHERS), 5, "calldrop-migrate up")
    client.execute(f"GRANT {create} TO {role}")
    ok(cli("up", *GO, env=OTHERS))
    whole(client, cli)
    ok(cli("verify"))
