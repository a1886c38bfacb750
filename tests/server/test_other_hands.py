"""A third reading of the engine: what somebody does by hand, or to a file, between a kill and the
next command. Each by its schedule; the same fixtures as test_half_way.py.
"""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.handful import ALL, TABLE, insert, numbers
from tests.support.held import First, let_go
from tests.support.killing import killed
from tests.support.schema import ddl, internal
from tests.support.servers import Address
from tests.support.settings import AWAITED, GO, OTHERS_AWAITED, SHORT, SHORT_KEPT
from tests.support.told import ok, only, told, until, write
from tests.support.wire import Fault

pytestmark = pytest.mark.thorough

MADE = "CREATE TABLE one (a int PRIMARY KEY);\n"


def made_at(cli: Cli, revision: int) -> str:
    """What makes the table as it is at a revision."""
    shown = cli("show", str(revision), "--schema").out
    found = re.search(rf"^CREATE TABLE {TABLE}[^;]*", shown, re.MULTILINE)
    assert found
    return found[0].replace(TABLE, f"KS.{TABLE}", 1)


def by_hand(cli: Cli, client: Any, revision: int) -> None:
    """Somebody drops the table and makes it again, empty."""
    ddl(client, cli, f"DROP TABLE IF EXISTS KS.{TABLE}", made_at(cli, revision))


# -- rows ------------------------------------------------------------------------------------------


def test_what_may_be_discarded_is_not_all_that_came_since(filled: Cli, client: Any) -> None:
    """The writers are back between the kill and the next run; their rows fit."""
    insert(client, filled, 5, None)
    flags = (*GO, "--discard-rows")
    killed(filled, "before | DROP TABLE", "up", "2", *flags)
    insert(client, filled, 7)
    ok(filled("up", "2", *flags, env=SHORT))
    assert numbers(client, filled) == [*ALL, "+17"]
    ok(filled("verify"))


def test_a_table_made_anew_behind_the_last_verify_is_not_taken_for_filled(
    filled: Cli, client: Any
) -> None:
    killed(filled, f"noted | VERIFY {TABLE}__", "up", "2", *GO, env=SHORT_KEPT)
    by_hand(filled, client, 2)
    told(filled("up", *GO, env=SHORT_KEPT), 5, "may lack rows", "repair --restore")
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    ok(filled("up", *GO, env=SHORT_KEPT))
    assert numbers(client, filled) == ALL
    ok(filled("verify"))


def test_a_table_made_by_hand_and_filled_by_repair_is_the_one(filled: Cli, client: Any) -> None:
    killed(filled, f"before | COPY {TABLE}__", "up", "2", *GO, env=SHORT_KEPT)
    by_hand(filled, client, 2)
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    insert(client, filled, 7)
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    assert numbers(client, filled) == [*ALL, "+17"]
    # The second copy still belongs to it: whoever drops it again gets its rows again.
    by_hand(filled, client, 2)
    told(filled("verify"), 5, "may lack rows")
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    assert numbers(client, filled) == ALL


def test_a_copy_of_what_a_later_run_has_dropped_is_not_offered(filled: Cli, client: Any) -> None:
    """It is days old; what that run has copied is the true one."""
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    ddl(client, filled, f"DELETE FROM KS.{TABLE} WHERE source_phone_number = '+11'")
    killed(filled, "after | DROP TABLE", "down", "1", *GO, env=SHORT_KEPT)
    ddl(client, filled, made_at(filled, 2))
    told(filled("verify"), 5, "half-way")
    assert "may lack rows" not in filled("verify").err
    assert "gets back the rows" not in filled("repair").err
    ddl(client, filled, f"DROP TABLE KS.{TABLE}")
    ok(filled("down", "1", *GO, env=SHORT_KEPT))
    assert numbers(client, filled) == ["+10", "+12", "+13", "+14"]


def test_rows_that_are_not_missed_are_given_up_by_the_command_that_is_told(
    filled: Cli, client: Any
) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    by_hand(filled, client, 2)
    said = told(filled("up", env=SHORT_KEPT), 5, "may lack rows", "clean --discard-rows")
    assert "clean --discard-rows" in said
    ok(filled("clean", "--discard-rows", "--yes", env=SHORT_KEPT))
    assert internal(client, filled) == []
    ok(filled("up", env=SHORT_KEPT))


def test_a_copy_with_more_columns_than_the_table_is_told(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    by_hand(filled, client, 2)
    ddl(client, filled, f"ALTER TABLE KS.{TABLE} DROP source_phone_imei")
    ok(filled("repair", "--accept", "--yes", env=SHORT_KEPT))
    said = filled("repair", "--restore", "--yes", env=SHORT_KEPT).err
    assert "has no source_phone_imei: they stay there" in said, said


def test_a_copy_that_somebody_dropped_is_no_dead_end(filled: Cli, client: Any) -> None:
    killed(filled, f"before | COPY {TABLE}__", "up", "2", *GO)
    (copy,) = internal(client, filled)
    ddl(client, filled, f"DROP TABLE KS.{copy}")
    told(filled("up", "2", *GO, env=SHORT), 8, f"{copy} is gone", "abort")
    told(filled("abort", "--yes", env=SHORT), 5, copy, "backup", "calldrop-migrate stamp")
    ok(filled("stamp", "2", "--yes", env=SHORT))
    assert filled.json("status")["current"] == 2
    ok(filled("verify"))
    ok(filled("up", *GO, env=SHORT))


# -- schema ----------------------------------------------------------------------------------------


def test_an_abort_takes_back_what_ran_and_not_what_was_refused(cli: Cli, client: Any) -> None:
    initial = f"-- migrate:up\n{MADE}-- migrate:irreversible x\n"
    head = "-- migrate:up\nCREATE TABLE zero (a int PRIMARY KEY);\n"
    tail = "CREATE TABLE three (a nonsense PRIMARY KEY);\n"
    end = "-- migrate:irreversible x\n"
    only(
        cli,
        r0001_one=initial,
        r0002_two=f"{head}CREATE TABLE two (a nonsense PRIMARY KEY);\n{tail}{end}",
    )
    told(cli("up", "--yes", env=SHORT), 7, "nonsense")
    write(cli, "0002_two", f"{head}CREATE TABLE other (a int PRIMARY KEY);\n{tail}{end}")
    told(cli("up", "--yes", env=SHORT), 7, "nonsense")
    ok(cli("abort", "--yes", env=SHORT))
    found = client.execute(
        f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{cli.keyspace}'"
    )
    assert not {"zero", "two", "other", "three"} & {row["table_name"] for row in found}
    write(cli, "0002_two", f"{head}CREATE TABLE two (a nonsense PRIMARY KEY);\n{tail}{end}")
    told(cli("up", "--yes", env=SHORT), 7, "nonsense")
    write(cli, "0002_two", f"{head}ALTER TABLE one ADD b int;\n{tail}{end}")
    told(cli("up", "--yes", env=SHORT), 7, "nonsense")
    told(cli("abort", "--yes", env=SHORT), 5, "ALTER TABLE one", "Only forwards")


def test_what_was_begun_and_then_changed_in_its_file_is_over(cli: Cli) -> None:
    text = "-- migrate:up\n{}ALTER TABLE one ADD {} int;\n-- migrate:irreversible x\n"
    only(cli, r0001_one=text.format(MADE, "b"))
    killed(cli, "before | ALTER", "up", "--yes")
    write(cli, "0001_one", text.format(MADE, "c"))
    killed(cli, "after | ALTER", "up", "--yes")
    ok(cli("up", "--yes", env=SHORT))
    ok(cli("verify"))


def test_drift_stays_drift_behind_clean_and_abort(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    ddl(client, filled, f"ALTER TABLE KS.{TABLE} ADD by_hand int")
    ok(filled("clean", "--yes", env=SHORT))
    assert internal(client, filled) == []
    told(filled("verify"), 5, "by_hand")
    ddl(client, filled, f"ALTER TABLE KS.{TABLE} DROP by_hand")
    ok(filled("verify"))
    killed(filled, "noted | CREATE TABLE", "down", "1", *GO)
    ddl(client, filled, f"ALTER TABLE KS.{TABLE} ADD again int")
    ok(filled("abort", "--yes", env=SHORT))
    told(filled("verify"), 5, "again")


def test_a_view_is_not_lost_to_a_drop_that_comes_late(cli: Cli, server: Address) -> None:
    """Its sender is gone. The next run sends it again, and then makes the view anew."""
    view = (
        "CREATE MATERIALIZED VIEW v AS SELECT * FROM one WHERE a IS NOT NULL AND b IS NOT NULL"
        " PRIMARY KEY (b, a);\n"
    )
    only(
        cli,
        r0001_one="-- migrate:up\nCREATE TABLE one (a int PRIMARY KEY, b int);\n"
        f"{view}-- migrate:irreversible x\n",
        r0002_anew=f"-- migrate:up\nDROP MATERIALIZED VIEW v;\n{view}-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    first = First(cli, server)
    held = Fault(1, "hold request", of=r"^DROP MATERIALIZED")
    with first.begun(held, "up", env=AWAITED) as tap:
        until(lambda: tap.struck)
        first.kill()
        first.process.wait()
        second = cli.start("up", "--wait-for-lease", "60", env=OTHERS_AWAITED)

        def is_at_the_view() -> bool:
            rows = cli.json("status", "--log")["log"]
            row: dict[str, Any] = next(
                (r for r in reversed(rows) if "CREATE MATERIALIZED" in r["statement"]), {}
            )
            return row.get("revision") == 2

        until(is_at_the_view)
        time.sleep(1)  # it would be there by now
        let_go(tap)
        out, err = second.communicate(timeout=90)
        assert second.returncode == 0, out + err
    ok(cli("verify"))
