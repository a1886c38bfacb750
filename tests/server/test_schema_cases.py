"""Schemas that people have: options, views, indexes, and columns that were dropped before. What the
server made of a statement counts; what it would refuse is known before anything runs.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
from cassandra.cluster import NoHostAvailable

from calldrop_migrate.core.readding import is_incompatible
from tests.support.asking import REFUSALS, is_scylla
from tests.support.cli import Cli
from tests.support.sampling import sample
from tests.support.told import ok, only, told

READINGS = """CREATE TABLE r
 (sensor int, day date, ts timestamp, v int, PRIMARY KEY ((sensor, day), ts))
 WITH CLUSTERING ORDER BY (ts DESC)"""
VIEW = """CREATE MATERIALIZED VIEW rv AS SELECT sensor, day, ts FROM r
 WHERE sensor IS NOT NULL AND day IS NOT NULL AND ts IS NOT NULL PRIMARY KEY (day, ts, sensor)
 WITH comment = '{"owner": "team-a"}'"""
KEEP = ("--set-aside", "--outage-accepted", "--yes")


def ups(*statements: str, down: str = "-- migrate:irreversible no way back") -> str:
    body = ";\n".join(statements)
    return f"-- migrate:up\n{body};\n{down}\n"


def rows(client: Any, cli: Cli, table: str) -> list[Any]:
    return sorted(map(str, client.execute(f"SELECT * FROM {cli.keyspace}.{table}")))


# -- views -----------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_view_without_an_order_of_its_own(cli: Cli, client: Any) -> None:
    """The order is the server's choice; a comment that looks like a map stays one."""
    only(
        cli,
        r0001_a=ups(
            READINGS, VIEW, down="-- migrate:down\nDROP MATERIALIZED VIEW rv; DROP TABLE r"
        ),
        r0002_b=ups(
            "-- migrate:rebuild\n"
            + READINGS.replace("((sensor, day), ts)", "((sensor), day, ts)").replace(
                "(ts DESC)", "(day ASC, ts DESC)"
            ),
            down=f"-- migrate:down\n-- migrate:rebuild\n{READINGS}",
        ),
    )
    ok(cli("up", "1"))
    client.execute(
        f"INSERT INTO {cli.keyspace}.r (sensor, day, ts, v) VALUES (1, '2026-11-01', 1, 2)"
    )
    columns = f"SELECT * FROM system_schema.columns WHERE keyspace_name = '{cli.keyspace}'"
    view = f"SELECT comment FROM system_schema.views WHERE keyspace_name = '{cli.keyspace}'"

    def of_view() -> list[str]:
        found = (row for row in client.execute(columns) if row["table_name"] == "rv")
        return sorted(str({**row, "keyspace_name": ""}) for row in found)

    before = of_view()
    ok(cli("verify"))
    for command in (("up",), ("down", "1"), ("up", "2")):
        ok(cli(*command, "--outage-accepted", "--yes"))
        assert of_view() == before
        assert client.execute(view).one()["comment"] == '{"owner": "team-a"}'
        assert len(rows(client, cli, "rv")) == 1
        ok(cli("verify"))
    ok(cli("down", "base", "--discard-rows", "--outage-accepted", "--yes"))


@pytest.mark.parametrize("selected", sample(["sensor, day, ts", "*"]))
def test_a_column_of_a_table_with_a_view_is_dropped(cli: Cli, client: Any, selected: str) -> None:
    view = VIEW.replace("SELECT sensor, day, ts", f"SELECT {selected}")
    only(
        cli,
        r0001_a=ups(READINGS, view),
        r0002_b=ups(
            "ALTER TABLE r ADD roaming boolean",
            down="-- migrate:down\nALTER TABLE r DROP roaming",
        ),
    )
    ok(cli("up"))
    insert = f"INSERT INTO {cli.keyspace}.r (sensor, day, ts, roaming) VALUES"
    client.execute(f"{insert} (1, '2026-11-01', 1, true)")
    before = rows(client, cli, "rv")
    plan = told(cli("plan", "1"), 9, "rv is dropped and built again", "--outage-accepted", out=True)
    assert "Nothing was changed." in plan
    points = ("after | DROP MATERIALIZED VIEW rv", "after | ALTER TABLE r DROP roaming")
    for point in points if selected == "*" else ():
        killed = cli.at(f"kill | {point}", "down", "1", *KEEP)
        assert killed.code == -signal.SIGKILL
        if "ALTER" not in point:  # nothing is destroyed yet: the view comes back
            ok(cli("abort", "--yes"))
            assert rows(client, cli, "rv") == before
    ok(cli("down", "1", *KEEP))
    assert [str(row).replace(", 'roaming': True", "") for row in before] == rows(client, cli, "rv")
    ok(cli("verify"))
    ok(cli("up", "--yes"))
    assert "True" in rows(client, cli, "r")[0]
    ok(cli("verify"))


def test_a_view_that_needs_the_column(cli: Cli) -> None:
    by_v = (
        "CREATE MATERIALIZED VIEW by_v AS SELECT v, sensor, day, ts FROM r WHERE v IS NOT NULL"
        " AND sensor IS NOT NULL AND day IS NOT NULL AND ts IS NOT NULL"
        " PRIMARY KEY (v, sensor, day, ts)"
    )
    only(cli, r0001_a=ups(READINGS, by_v), r0002_b=ups("ALTER TABLE r DROP v"))
    words = ("0002_b.cql:2:1: the view by_v needs v", "put  DROP MATERIALIZED VIEW by_v;  before")
    told(cli("plan"), 4, *words)
    only(cli, r0001_a=ups(READINGS, by_v), r0002_b=ups("DROP TABLE r"))
    told(cli("plan"), 4, "0002_b.cql:2:1: the view by_v stands on r", "DROP MATERIALIZED VIEW by_v")


# -- names that a server chooses -------------------------------------------------------------------


@pytest.mark.thorough
def test_an_index_without_a_name(cli: Cli, client: Any) -> None:
    """The name that the server would choose is taken: it gets the next one, and is known by it."""
    only(
        cli,
        r0001_a=ups(
            "CREATE TABLE users (id int PRIMARY KEY, group_id int, mail text)",
            "CREATE TABLE other (id int PRIMARY KEY, x int)",
            "CREATE INDEX users_group_id_idx ON other (x)",
            "CREATE INDEX ON users (group_id)",
            "CREATE INDEX IF NOT EXISTS ON users (group_id)",
            "create index on users(mail)",
        ),
    )
    shown = cli("plan").out
    assert "CREATE INDEX users_group_id_idx_1 ON users (group_id)" in shown
    assert "create index users_mail_idx on users(mail)" in shown
    killed = cli.at("kill | after | CREATE INDEX users_group_id_idx_1", "up")
    assert killed.code == -signal.SIGKILL
    ok(cli("up"))
    ok(cli("verify"))
    found = client.execute(
        f"SELECT * FROM system_schema.indexes WHERE keyspace_name = '{cli.keyspace}'"
    )
    names = {(row["table_name"], row["index_name"]) for row in found}
    assert names == {
        ("other", "users_group_id_idx"),
        ("users", "users_group_id_idx_1"),
        ("users", "users_mail_idx"),
    }


@pytest.mark.thorough
def test_a_refusal_of_an_index_without_a_name_is_located(cli: Cli) -> None:
    only(
        cli,
        r0001_a=ups("CREATE TABLE c (id int PRIMARY KEY, n counter)", "CREATE INDEX\n  ON c (n)"),
    )
    err = told(cli("up"), 7, "0001_a.cql:3:1: the server refused this statement")
    assert "    CREATE INDEX\n      ON c (n)" in err


# -- options ---------------------------------------------------------------------------------------

BY_HAND = {
    "comment": "'{}'",
    "gc_grace_seconds": "777",
    "crc_check_chance": "0.5",
    "caching": "{'keys': 'NONE', 'rows_per_partition': '10'}",
    "compression": "{'class': 'DeflateCompressor'}",
    "min_index_interval": "64",
    "max_index_interval": "4096",
    "memtable_flush_period_in_ms": "60000",
    "bloom_filter_fp_chance": "0.1",
    "speculative_retry": "'50ms'",
    "default_time_to_live": "5000",
}
OF_CASSANDRA = {
    "additional_write_policy": "'NEVER'",
    "read_repair": "'NONE'",
    "allow_auto_snapshot": "false",
    "incremental_backups": "false",
}


@pytest.mark.thorough
def test_each_option_that_changes_is_told(cli: Cli, client: Any) -> None:
    """By hand: `verify` says it and `repair` brings it back. By a rebuild: the plan says it."""
    options = {**BY_HAND, **({} if is_scylla(client) else OF_CASSANDRA)}
    plain = "CREATE TABLE t (id int, c int, PRIMARY KEY (id))"
    only(cli, r0001_a=ups(plain))
    ok(cli("up"))
    ok(cli("verify"))
    changes = " AND ".join(f"{name} = {value}" for name, value in options.items())
    client.execute(f"ALTER TABLE {cli.keyspace}.t WITH {changes}")
    found = told(cli("verify"), 5)
    assert [name for name in options if f"t: {name}" not in found] == []
    ok(cli("repair", "--restore", "--yes"))
    ok(cli("verify"))
    client.execute(f"ALTER TABLE {cli.keyspace}.t WITH {changes}")
    ok(cli("repair", "--accept", "--yes"))
    ok(cli("verify"))
    client.execute(f"INSERT INTO {cli.keyspace}.t (id, c) VALUES (1, 2)")
    only(
        cli,
        r0001_a=ups(plain),
        r0002_b=ups("-- migrate:rebuild\nCREATE TABLE t (id int, c int, PRIMARY KEY (c, id))"),
    )
    planned = cli("plan").out
    assert [name for name in options if f"t: {name}" not in planned] == []
    done = ok(cli("up", "--outage-accepted", "--yes"))
    assert [name for name in options if f"t: {name}" not in done] == []
    ok(cli("verify"))


@pytest.mark.thorough
def test_what_a_server_makes_of_a_create_is_told(cli: Cli, client: Any) -> None:
    """What the plan couldn't know: here, the table that tells it what new ones get was altered."""
    only(
        cli,
        r0001_a=ups("CREATE TABLE t (id int, c int, PRIMARY KEY (id)) WITH gc_grace_seconds = 5"),
        r0002_b=ups("-- migrate:rebuild\nCREATE TABLE t (id int, c int, PRIMARY KEY (c, id))"),
    )
    ok(cli("up", "1"))
    client.execute(f"INSERT INTO {cli.keyspace}.t (id, c) VALUES (1, 2)")
    client.execute(f"ALTER TABLE {cli.keyspace}.migration_journal WITH gc_grace_seconds = 5")
    assert "gc_grace_seconds" not in cli("plan").out
    done = ok(cli("up", "--outage-accepted", "--yes"))
    assert "t: gc_grace_seconds: 5 -> 864000" in done


# -- columns that were dropped ---------------------------------------------------------------------

NATIVE = (
    *("ascii", "bigint", "blob", "boolean", "date", "decimal", "double", "duration", "float"),
    *("inet", "int", "smallint", "text", "time", "timestamp", "timeuuid", "tinyint", "uuid"),
    "varint",
)


@pytest.mark.thorough
@pytest.mark.cassandra_only("a ScyllaDB takes all of them")
def test_which_types_a_dropped_column_may_come_back_as(
    client: Any, keyspace: str, datacenter: str
) -> None:
    """Each native type in place of each other one, as the server has it."""
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    taken = {(old, new) for old in NATIVE for new in NATIVE if not is_incompatible(new, old)}
    names = {pair: f"c_{nth}" for nth, pair in enumerate(sorted(taken))}
    columns = [
        *(f"{name} {old}" for (old, _), name in names.items()),
        *(f"t_{n} {n}" for n in NATIVE),
    ]
    client.execute(f"CREATE TABLE {keyspace}.t (id int PRIMARY KEY, {', '.join(columns)})")
    dropped = ", ".join(column.split()[0] for column in columns)
    client.execute(f"ALTER TABLE {keyspace}.t DROP ({dropped})")
    for old in NATIVE:
        for new in NATIVE:
            if (old, new) not in taken:
                with pytest.raises(REFUSALS):
                    client.execute(f"ALTER TABLE {keyspace}.t ADD t_{old} {new}")
    back = ", ".join(f"{name} {new}" for (_, new), name in names.items())
    client.execute(f"ALTER TABLE {keyspace}.t ADD ({back})")


AGAIN = {
    "a": ("frozen<u>", "frozen<u>"),
    "b": ("list<frozen<u>>", "list<frozen<u>>"),
    "d": ("int", "text"),
    "e": ("int static", "int"),
    "f": ("int", "int static"),
    "g": ("list<int>", "list<text>"),
    "h": ("set<int>", "list<int>"),
    "i": ("list<int>", "frozen<list<int>>"),
}
OF_BOTH = ("g", "h")  # what ScyllaDB refuses, too


@pytest.mark.thorough
def test_columns_that_can_not_be_added_again(cli: Cli, client: Any) -> None:
    shape = "CREATE TABLE t (k int, c int, PRIMARY KEY (k, c))"
    made = ("CREATE TYPE u (a int, b text)", shape)
    add = [f"ALTER TABLE t ADD {name} {old}" for name, (old, _) in AGAIN.items()]
    drop = [f"ALTER TABLE t DROP {name}" for name in AGAIN]
    again = [f"ALTER TABLE t ADD {name} {new}" for name, (_, new) in AGAIN.items()]
    refused = OF_BOTH if is_scylla(client) else tuple(AGAIN)
    only(cli, r0001_a=ups(*made, *add, *drop, *again))
    # Nothing is there yet: the files tell it.
    first = 2 + len(made) + 2 * len(AGAIN)
    places = {name: f"0001_a.cql:{first + nth}:1" for nth, name in enumerate(AGAIN)}
    words = {name: f"{places[name]}: t.{name} can't be added as it stands here" for name in AGAIN}
    told(cli("plan"), 4, *(words[name] for name in OF_BOTH), "-- migrate:rebuild")
    others = [text for name, text in zip(AGAIN, again, strict=True) if name not in OF_BOTH]
    only(cli, r0001_a=ups(*made, *add, *drop, *others))
    told(cli("plan"), 4, *(f"t.{name} can't" for name in refused if name not in OF_BOTH))
    only(cli, r0001_a=ups(*made), r0002_b=ups(*add, down="-- migrate:down\n" + ";\n".join(drop)))
    ok(cli("up"))
    ok(cli("down", "1", "--yes"))
    # On the server, where they were added and dropped before.
    only(cli, r0001_a=ups(*made), r0002_b=ups(*again))
    told(cli("up"), 4, *(f"t.{name} can't be added as it stands here" for name in refused))
    for name in refused:
        with pytest.raises(REFUSALS):
            client.execute(f"ALTER TABLE {cli.keyspace}.t ADD {name} {AGAIN[name][1]}")
    # The way out that it names: what a rebuild makes has no memory of it.
    only(cli, r0001_a=ups(*made), r0002_b=ups(f"-- migrate:rebuild\n{shape}", *again))
    ok(cli("up", "--outage-accepted", "--yes"))


# -- what the schema tells of a statement ----------------------------------------------------------

MADE = (
    "CREATE TYPE u (a int)",
    "CREATE TABLE t (k int, c int, v text, w int, o frozen<u>, PRIMARY KEY (k, c))",
    "CREATE TABLE base (k int PRIMARY KEY, v int)",
    "CREATE MATERIALIZED VIEW mv AS SELECT * FROM base WHERE k IS NOT NULL AND v IS NOT NULL"
    " PRIMARY KEY (v, k)",
    "CREATE INDEX i ON t (v)",
)


REFUSED = {
    "CREATE TABLE t (a int PRIMARY KEY)": "there is a table t already",
    "CREATE TABLE mv (a int PRIMARY KEY)": "there is a materialized view mv already",
    "CREATE TYPE u (b int)": "there is a type u already",
    "CREATE INDEX i ON t (w)": "there is an index i already",
    "CREATE INDEX j ON nothing (w)": "there is no table nothing",
    "DROP TABLE nothing": "there is no table nothing",
    "DROP TABLE mv": "mv is a materialized view",
    "DROP TABLE base": "the view mv stands on base",
    "DROP MATERIALIZED VIEW t": "t is a table",
    "DROP MATERIALIZED VIEW nothing": "there is no materialized view nothing",
    "DROP TYPE nothing": "there is no type nothing",
    "DROP TYPE u": "the type u is used by t",
    "DROP INDEX nothing": "there is no index nothing",
    "ALTER TABLE nothing ADD x int": "there is no table nothing",
    "ALTER TABLE t ADD v text": "t.v is there already",
    "ALTER TABLE base ADD s int static": "base.s can't be static",
    "ALTER TABLE t DROP nothing": "t has no column nothing",
    "ALTER TABLE t DROP c": "c is part of the key of t",
    "ALTER TABLE t DROP v": "the index i needs t.v",
    "ALTER TABLE t RENAME v TO x": "v is no part of the key",
    "ALTER TABLE t RENAME c TO w": "t has a column w already",
    "ALTER TABLE t RENAME nothing TO w": "t has no column nothing",
    "ALTER TYPE nothing ADD x int": "there is no type nothing",
}


def test_what_would_be_refused_is_known_before(cli: Cli, client: Any) -> None:
    """All of it at once, and the server indeed refuses each."""
    only(cli, r0001_a=ups(*MADE))
    ok(cli("up"))
    only(cli, r0001_a=ups(*MADE), r0002_b=ups("ALTER TABLE t ADD x int", *REFUSED))
    lines = {s: f"0002_b.cql:{n}:1: {words}" for n, (s, words) in enumerate(REFUSED.items(), 3)}
    # First what the files tell, then what only the server's own schema does.
    absent = [s for s, words in REFUSED.items() if words.startswith("there is no")]
    told(cli("up"), 4, *(lines[s] for s in REFUSED if s not in absent))
    only(cli, r0001_a=ups(*MADE), r0002_b=ups("ALTER TABLE t ADD x int", *absent))
    said = [f"0002_b.cql:{n}:1: {REFUSED[s]}" for n, s in enumerate(absent, 3)]
    told(cli("up"), 4, *said)
    client.set_keyspace(cli.keyspace)
    try:
        for statement in REFUSED:
            # Of an index that is there a Cassandra says it by an exception of its own.
            with pytest.raises((*REFUSALS, NoHostAvailable)):
                client.execute(statement)
    finally:
        client.set_keyspace("system")


@pytest.mark.parametrize(
    ("statement", "words"),
    sample(
        [
            ("CREATE TABLE x (id int PRIMARY KEY, v int) WITH COMPACT STORAGE", "COMPACT STORAGE"),
            (
                "CREATE TABLE x (id int PRIMARY KEY) WITH comment = '' AND compact storage",
                "COMPACT STORAGE",
            ),
            (VIEW.replace("PRIMARY", "AND ts > 'it''s' PRIMARY"), "a quote within a string"),
            (VIEW.replace("PRIMARY", "AND ts > $$it's$$ PRIMARY"), "a quote within a string"),
            (VIEW.replace("PRIMARY", 'AND ts = {"a b": 1} PRIMARY'), "a quoted field name"),
        ]
    ),
)
def test_what_harms_a_cassandra_is_refused_in_files(cli: Cli, statement: str, words: str) -> None:
    only(cli, r0001_a=ups(READINGS, statement))
    err = told(cli("plan"), 4, words)
    assert "0001_a.cql:" in err


@pytest.mark.thorough
@pytest.mark.cassandra_only("a ScyllaDB makes no table WITH COMPACT STORAGE unless it is told to")
def test_a_table_with_compact_storage_is_refused_by_name(cli: Cli, client: Any) -> None:
    shape = "CREATE TABLE old (id int PRIMARY KEY, v int)"
    only(cli, r0001_a=ups("CREATE TABLE t (id int PRIMARY KEY)"))
    ok(cli("up"))
    client.execute(f"{shape.replace('old', f'{cli.keyspace}.old')} WITH COMPACT STORAGE")
    client.execute(f"INSERT INTO {cli.keyspace}.old (id, v) VALUES (1, 2)")
    ok(cli("repair", "--accept", "--yes"))
    only(
        cli,
        r0001_a=ups("CREATE TABLE t (id int PRIMARY KEY)"),
        r0002_b=ups("DROP TABLE old"),
    )
    told(cli("up", "--set-aside", "--yes"), 9, "old was made WITH COMPACT STORAGE", "DROP COMPACT")
    assert len(rows(client, cli, "old")) == 1
    ok(cli("up", "--discard-rows", "--yes"))
