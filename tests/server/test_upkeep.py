"""What keeps a keyspace in order besides up and down: stamp, repair, abort, clean, unlock, diff."""

from __future__ import annotations

import re
import signal
import time
from typing import Any

import pytest

from tests.support import cells
from tests.support.cli import Cli
from tests.support.handful import TABLE, insert, numbers
from tests.support.sampling import sample
from tests.support.schema import ddl, internal
from tests.support.settings import GO, KEPT, SHORT
from tests.support.told import ok, only, tables, told, until

# -- repair ----------------------------------------------------------------------------------------


def test_repair_shows_both_ways_and_takes_either(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    assert "nothing to repair" in ok(cli("repair"))
    ddl(
        client,
        cli,
        "DROP MATERIALIZED VIEW KS.calls_by_completion",
        "ALTER TABLE KS.call_records ADD more int",
        "ALTER TABLE KS.call_records WITH default_time_to_live = 60",
        "CREATE TABLE KS.other (a int PRIMARY KEY)",
    )
    said = told(cli("repair"), 5, "two ways", "--accept", "--restore")
    assert "--restore  ALTER TABLE call_records WITH default_time_to_live = 7776000" in said
    assert "--restore  CREATE MATERIALIZED VIEW calls_by_completion AS" in said
    assert "--restore  call_records.more: stays" in said
    assert "--accept   recorded: call_records: default_time_to_live: 7776000 -> 60" in said
    told(cli("repair", "--restore"), 2, "has to be confirmed")

    ok(cli("repair", "--restore", "--yes"))
    left = told(cli("verify"), 5, "column more added", "other: exists")
    assert "calls_by_completion" not in left
    assert "default_time_to_live" not in left
    told(cli("repair", "--restore", "--yes"), 5, "nothing that differs", "call_records.more: stays")
    ok(cli("repair", "--accept", "--yes"))
    ok(cli("verify"))
    ok(cli("down", "2", "--yes"))
    ok(cli("verify"))


@pytest.mark.thorough
def test_a_view_that_follows_its_table_is_no_drift(cli: Cli) -> None:
    only(
        cli,
        r0001_all="""-- migrate:up
CREATE TABLE a (k int, c int, v int, PRIMARY KEY (k, c));
CREATE MATERIALIZED VIEW w AS SELECT * FROM a WHERE k IS NOT NULL AND c IS NOT NULL
    PRIMARY KEY (c, k);
-- migrate:down
DROP MATERIALIZED VIEW w;
DROP TABLE a;
""",
        r0002_more="""-- migrate:up
ALTER TABLE a ADD more int;
ALTER TABLE a RENAME c TO d;
-- migrate:irreversible nobody asks
""",
    )
    ok(cli("up"))
    ok(cli("verify"))


@pytest.mark.thorough
def test_a_journal_that_is_gone_is_told_and_made_again(cli: Cli, client: Any) -> None:
    """Nothing is believed to be as recorded then, and nothing goes on without a record."""
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    ok(cli("up", "1"))
    ddl(client, cli, "DROP TABLE KS.migration_journal")
    assert "The schema is not as recorded" in ok(cli("status"))
    for command in (["verify"], ["up"], ["down", "base", "--yes"]):
        told(cli(*command), 5, "the journal is gone", "calldrop-migrate repair")
    told(cli("repair"), 2, "nothing is recorded", "calldrop-migrate repair --accept")
    ok(cli("repair", "--accept", "--yes"))
    ok(cli("verify"))
    ok(cli("up"))
    ok(cli("down", "base", "--yes"))


@pytest.mark.thorough
def test_repair_brings_back_what_somebody_took_away(cli: Cli, client: Any) -> None:
    only(
        cli,
        r0001_all="""-- migrate:up
CREATE TYPE spot (lat double, "Lon" double);
CREATE TABLE t (k int, c int, v text, s text STATIC, p frozen<spot>, PRIMARY KEY (k, c))
    WITH CLUSTERING ORDER BY (c DESC);
CREATE INDEX by_v ON t (v);
-- migrate:irreversible nobody asks
""",
    )
    ok(cli("up"))
    ddl(client, cli, "DROP TABLE KS.t", "DROP TYPE KS.spot")
    told(cli("verify"), 5, "t: is gone", "type spot: is gone", "index by_v: is gone")
    said = ok(cli("repair", "--restore", "--yes"))
    assert "t: is made again; its rows are gone" in said
    ok(cli("verify"))
    ddl(client, cli, "DROP INDEX KS.by_v", "ALTER TABLE KS.t DROP v")
    assert "t.v: is made again; its values are gone" in ok(cli("repair", "--restore", "--yes"))
    ok(cli("verify"))


@pytest.mark.thorough
def test_a_file_that_changed_can_be_accepted(cli: Cli) -> None:
    ok(cli("up"))
    file = cli.folder / "migrations" / "0003_twcs_and_ttl.cql"
    file.write_text(file.read_text("utf-8") + "\n-- a remark\n", encoding="utf-8")
    told(cli("up"), 5, "0003_twcs_and_ttl.cql changed after it was applied")
    assert "0003_twcs_and_ttl.cql: recorded as it is now" in ok(cli("repair", "--accept", "--yes"))
    ok(cli("verify"))
    assert "a remark" in cli("show", "3", "--applied").out


@pytest.mark.thorough
def test_only_comments_and_the_way_down_can_be_accepted(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"))
    ok(cli("up"))
    file = cli.folder / "migrations" / "0001_a.cql"
    text = file.read_text("utf-8")
    file.write_text(text.replace("id int", "id int, more int"), encoding="utf-8")
    words = ("its statements are not those that were applied", "calldrop-migrate show 1 --applied")
    told(cli("repair", "--accept", "--yes"), 5, *words)
    assert "more int" not in cli("show", "1", "--applied").out
    file.write_text(text.replace("DROP TABLE a", "DROP TABLE IF EXISTS a"), encoding="utf-8")
    ok(cli("repair", "--accept", "--yes"))
    ok(cli("down", "base", "--yes"))


# -- stamp -----------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_keyspace_that_is_there_already_is_stamped(cli: Cli, client: Any) -> None:
    ok(cli("up", "3"))
    for table in ("database_migrations", "migration_journal", "migration_progress"):
        client.execute(f"DROP TABLE {cli.keyspace}.{table}")
    told(cli("up"), 5, "has tables, and no history", "calldrop-migrate stamp 3")
    told(cli("stamp", "2", "--yes"), 5, "default_time_to_live: 0 -> 7776000")
    told(cli("stamp", "head", "--yes"), 5, "calls_by_completion: is gone")
    told(cli("stamp", "5", "--yes"), 2, "no revision")
    told(cli("stamp", "3"), 2, "has to be confirmed")
    assert "0003 counts as applied" in ok(cli("stamp", "3", "--yes"))
    assert cli.json("status")["current"] == 3
    ok(cli("up"))
    ok(cli("verify"))
    # And back: as if the view had been dropped by hand.
    ddl(client, cli, "DROP MATERIALIZED VIEW KS.calls_by_completion")
    assert "0004 counts as not applied" in ok(cli("stamp", "3", "--yes"))
    ok(cli("up"))
    ok(cli("down", "base", *GO))


@pytest.mark.thorough
def test_tables_of_others_are_none_of_our_business(cli: Cli, client: Any) -> None:
    client.execute(
        f"CREATE KEYSPACE {cli.keyspace} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    ddl(client, cli, "CREATE TABLE KS.theirs (a int PRIMARY KEY)")
    told(cli("up"), 5, "has tables, and no history of them: theirs")
    ok(cli("stamp", "base", "--yes"))
    ok(cli("up"))
    ok(cli("down", "base", *GO))
    assert client.execute(f"SELECT * FROM {cli.keyspace}.theirs").one() is None


# -- abort -----------------------------------------------------------------------------------------


@pytest.mark.twin
@pytest.mark.parametrize(
    "at",
    sample(
        [
            "before | DROP TABLE call_records",
            "noted | CREATE TABLE call_records__0002",
            "after | COPY call_records TO call_records__aside",
            "noted | VERIFY call_records IN call_records__0002",
        ]
    ),
)
def test_what_destroyed_nothing_yet_can_be_aborted(filled: Cli, client: Any, at: str) -> None:
    insert(client, filled, 9, None)
    before = cells.read(client, filled.keyspace)
    told(filled("abort"), 2, "nothing is half-way")
    killed = filled.at(f"kill | {at}", "up", *GO, "--set-aside", env=SHORT)
    assert killed.code == -signal.SIGKILL
    told(filled("abort", env=SHORT), 2, "has to be confirmed")
    ok(filled("abort", "--yes", env=SHORT))
    assert cells.differences(before, cells.read(client, filled.keyspace)) == []
    assert internal(client, filled) == []
    status = filled.json("status")
    assert [r["state"] for r in status["revisions"]] == ["applied", *["pending"] * 3]
    ok(filled("verify"))
    ok(filled("up", *GO, "--set-aside"))
    assert numbers(client, filled) == [f"+1{n}" for n in range(5)]


@pytest.mark.thorough
def test_behind_the_drop_there_is_no_way_but_forward(filled: Cli, client: Any) -> None:
    killed = filled.at("kill | noted | DROP TABLE call_records", "up", *GO, env=SHORT)
    assert killed.code == -signal.SIGKILL
    told(filled("abort", "--yes", env=SHORT), 5, "DROP TABLE call_records", "calldrop-migrate up")
    # Also when nobody knows yet that it has been dropped.
    ok(filled("up", *GO, env=SHORT))
    killed = filled.at("kill | after | DROP TABLE call_records", "down", "1", *GO, env=SHORT)
    assert killed.code == -signal.SIGKILL
    told(filled("abort", "--yes", env=SHORT), 5, "DROP TABLE call_records", "down 1")
    ok(filled("down", "1", *GO, env=SHORT))
    assert numbers(client, filled) == [f"+1{n}" for n in range(5)]


AGAIN = """-- migrate:up
DROP INDEX by_b;
DROP MATERIALIZED VIEW v;
CREATE INDEX by_b ON t (c);
CREATE MATERIALIZED VIEW v AS SELECT * FROM t
    WHERE c IS NOT NULL AND a IS NOT NULL PRIMARY KEY (c, a);
ALTER TABLE t WITH nosuch = 1;
-- migrate:irreversible x
"""
FIRST = """-- migrate:up
CREATE TABLE t (a int PRIMARY KEY, b int, c int);
CREATE INDEX by_b ON t (b);
CREATE MATERIALIZED VIEW v AS SELECT * FROM t
    WHERE b IS NOT NULL AND a IS NOT NULL PRIMARY KEY (b, a);
-- migrate:irreversible x
"""


@pytest.mark.thorough
@pytest.mark.parametrize("at", ["", "after | DROP MATERIALIZED VIEW", "after | CREATE INDEX"])
def test_an_abort_brings_back_what_was_made_again_by_its_name(cli: Cli, at: str) -> None:
    only(cli, r0001_first=FIRST, r0002_again=AGAIN)
    told(cli("up"), 7, "0002_again.cql:7")
    if at:
        assert cli.at(f"kill | {at}", "abort", "--yes", env=SHORT).code == -signal.SIGKILL
    ok(cli("abort", "--yes", env=SHORT))
    ok(cli("verify"))
    assert "1 and live are the same" in ok(cli("diff", "1", "live"))


@pytest.mark.thorough
def test_an_abort_that_is_killed_is_finished_by_the_next(filled: Cli, client: Any) -> None:
    ok(filled("up", *GO))
    killed = filled.at("kill | before | DROP TABLE", "down", "1", *GO, env=SHORT)
    assert killed.code == -signal.SIGKILL
    assert cells.read(client, filled.keyspace, "call_records")
    killed = filled.at("kill | after | DROP TABLE", "abort", "--yes", env=SHORT)
    assert killed.code == -signal.SIGKILL
    told(filled("down", "1", *GO, env=SHORT), 5, "is being taken back", "calldrop-migrate abort")
    ok(filled("abort", "--yes", env=SHORT))
    ok(filled("verify"))
    assert internal(client, filled) == []
    assert filled.json("status")["current"] == 2


# -- clean -----------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_second_copy_goes_when_its_time_has_come(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=KEPT))
    (shadow,) = internal(client, filled)
    assert f"{shadow} stays until" in ok(filled("clean", "--yes", env=KEPT))
    assert internal(client, filled) == [shadow]
    # What was written and overwritten since is no difference.
    key = "source_phone_number = '+10' AND destination_number = '+2' AND call_timestamp = "
    ddl(
        client,
        filled,
        f"UPDATE KS.{TABLE} SET call_completed = false WHERE {key} 1700000000000",
    )
    insert(client, filled, 20)
    assert re.search(rf"DROP TABLE {shadow}", ok(filled("clean", "--yes")))
    assert internal(client, filled) == []
    assert numbers(client, filled) == ["+10", "+11", "+12", "+120", "+13", "+14"]


@pytest.mark.thorough
def test_the_next_run_takes_the_second_copy_with_it(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=KEPT))
    ok(filled("up", "3", env=KEPT))
    assert len(internal(client, filled)) == 1
    ok(filled("up", "4"))
    assert internal(client, filled) == []
    ok(filled("verify"))


@pytest.mark.thorough
def test_what_was_deleted_since_is_for_a_person(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=KEPT))
    (shadow,) = internal(client, filled)
    ddl(client, filled, f"DELETE FROM KS.{TABLE} WHERE source_phone_number = '+11'")
    told(filled("clean", "--yes"), 9, "1 rows of range", "clean --discard-rows")
    # It is not copied back, and is no reason for another run to fail.
    assert "+11" not in numbers(client, filled)
    assert f"{shadow} stays" in ok(filled("up"))
    assert internal(client, filled) == [shadow]
    ok(filled("clean", "--yes", "--discard-rows"))
    assert internal(client, filled) == []


@pytest.mark.thorough
def test_a_copy_of_a_table_that_was_rebuilt_since_goes_with_its_time(
    filled: Cli, client: Any
) -> None:
    """Nothing reads it: what was deleted since is no reason to keep it."""
    ok(filled("up", "2", *GO, env=KEPT))
    ddl(client, filled, f"DELETE FROM KS.{TABLE} WHERE source_phone_number = '+11'")
    ok(filled("down", "1", *GO, env=KEPT))
    assert "stays until" in ok(filled("clean", "--yes", env=KEPT))
    assert len(internal(client, filled)) == 2
    ok(filled("clean", "--yes"))
    assert internal(client, filled) == []
    assert len(numbers(client, filled)) == 4


@pytest.mark.thorough
def test_a_copy_of_a_table_that_somebody_dropped_is_for_a_person(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=KEPT))
    ddl(client, filled, f"DROP TABLE KS.{TABLE}")
    said = ok(filled("clean", "--yes"))
    assert "is not the table any more that took its place" in said
    assert len(internal(client, filled)) == 1
    ok(filled("clean", "--yes", "--discard-rows"))
    assert internal(client, filled) == []


@pytest.mark.twin
def test_a_table_that_a_late_drop_took_comes_back_from_the_second_copy(
    filled: Cli, client: Any
) -> None:
    ok(filled("up", *GO, env=KEPT))
    before = cells.read(client, filled.keyspace)
    ddl(
        client,
        filled,
        "DROP MATERIALIZED VIEW KS.calls_by_completion",
        "DROP TABLE KS.call_records",
    )
    told(filled("verify"), 5, "call_records: is gone")
    said = ok(filled("repair", "--restore", "--yes"))
    assert "call_records: gets back the rows that call_records__0002_" in said
    ok(filled("verify"))
    assert cells.differences(before, cells.read(client, filled.keyspace)) == []
    ok(filled("seed"))


# -- unlock ----------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_unlock_names_the_holder_and_wants_its_token(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    assert "Nobody holds the lease" in ok(cli("unlock"))
    stopped = "sh kill -STOP $PPID | before | DROP TABLE"
    holder = cli.begin(stopped, "up", "2", *GO, env={"CALLDROP_LEASE_TTL": "100"})
    until(lambda: cli.json("status")["lease"])
    time.sleep(1)  # until it stands still
    token = cli.json("status")["lease"]["token"]
    said = told(cli("unlock", "--yes"), 6, "is held by", "calldrop-migrate up", "--token")
    assert token in said
    wrong = "00000000-0000-4000-8000-000000000000"
    told(cli("unlock", "--token", wrong, "--yes"), 2, "not the token")
    told(cli("unlock", "--token", token), 2, "has to be confirmed")
    ok(cli("unlock", "--token", token, "--yes"))
    ok(cli("up", *GO, env=SHORT))
    holder.send_signal(signal.SIGCONT)
    _, err = holder.communicate(timeout=60)
    assert holder.returncode == 6, err
    ok(cli("verify"))


@pytest.mark.thorough
def test_the_lease_of_a_dead_process_is_anybodys(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    long = {"CALLDROP_LEASE_TTL": "100"}
    killed = cli.at("kill | before | DROP TABLE", "up", "2", *GO, env=long)
    assert killed.code == -signal.SIGKILL
    assert "which has died" in ok(cli("status"))
    assert cli.json("status")["lease"]["dead"] is True
    ok(cli("unlock", "--yes"))
    assert cli.json("status")["lease"] is None
    ok(cli("up", env=SHORT))


# -- diff, show --schema ---------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_live_schema_against_a_revision(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    assert "are the same" in ok(cli("diff", "live", "head"))
    ddl(client, cli, "ALTER TABLE KS.call_records WITH default_time_to_live = 60")
    assert "default_time_to_live: 7776000 -> 60" in ok(cli("diff", "4", "live"))
    assert "default_time_to_live: 60 -> 7776000" in ok(cli("diff", "live", "4"))


@pytest.mark.thorough
def test_the_schema_that_is_shown_makes_the_schema(cli: Cli, client: Any) -> None:
    shown = cli("show", "head", "--schema").out
    for statement in shown.split(";"):
        if statement.strip() and not statement.strip().startswith("USE"):
            text = re.sub(r"(TABLE|VIEW|FROM) (call)", rf"\1 {cli.keyspace}.\2", statement)
            client.execute(text)
    ok(cli("stamp", "head", "--yes"))
    assert "are the same" in ok(cli("diff", "live", "head"))
