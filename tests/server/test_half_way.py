"""Other hands, other commands and an older folder on a keyspace in which a run was killed, or in
which a statement of one arrives long after it: found by reading the engine, each by its schedule.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.support import cells
from tests.support.cli import Cli
from tests.support.handful import ALL, TABLE, numbers
from tests.support.held import First, let_go
from tests.support.killing import killed
from tests.support.sampling import sample
from tests.support.schema import again, ddl, internal
from tests.support.servers import Address
from tests.support.settings import AWAITED, GO, OTHERS_AWAITED, SHORT, SHORT_KEPT
from tests.support.told import ok, only, told, until
from tests.support.wire import Fault

# -- a table that is another one by the same name --------------------------------------------------


@pytest.mark.twin
@pytest.mark.parametrize("at", sample(["after | DROP TABLE", "noted | VERIFY", "noted | COPY"]))
def test_a_table_that_was_made_anew_is_not_what_was_copied(
    filled: Cli, client: Any, at: str
) -> None:
    """The application starts, finds no table and makes one: the copy is the only one there is."""
    killed(filled, at, "up", "2", *GO)
    ddl(client, filled, f"DROP TABLE IF EXISTS KS.{TABLE}", again(filled))
    told(filled("up", "2", *GO, env=SHORT), 9, "not the table any more", "only copy", "DROP TABLE")
    (copy,) = internal(client, filled)
    assert numbers(client, filled, copy) == ALL
    if at.startswith("after"):
        ddl(client, filled, f"DROP TABLE KS.{TABLE}")
        ok(filled("up", "2", *GO, env=SHORT))
        assert numbers(client, filled) == ALL
    else:
        told(filled("abort", "--yes", env=SHORT), 9, "nowhere else", copy, "abort --discard-rows")
        ok(filled("abort", "--yes", "--discard-rows", env=SHORT))
        assert internal(client, filled) == []
    ok(filled("verify"))


@pytest.mark.thorough
@pytest.mark.parametrize("repair", ["whole", "killed"])
def test_a_repair_while_rows_are_copied_back_is_gone_on_with(
    filled: Cli, client: Any, repair: str
) -> None:
    killed(filled, f"before | COPY {TABLE}__", "up", "2", *GO)
    ddl(client, filled, f"DROP TABLE KS.{TABLE}")
    told(filled("up", "2", *GO, env=SHORT), 5, "call_records: is gone", "repair")
    if repair == "whole":
        ok(filled("repair", "--restore", "--yes", env=SHORT))
        assert numbers(client, filled) == ALL
    else:
        killed(filled, "noted | CREATE TABLE", "repair", "--restore", "--yes")
        assert numbers(client, filled) == []
    ok(filled("up", "2", *GO, env=SHORT))
    assert numbers(client, filled) == ALL
    ok(filled("verify"))


@pytest.mark.thorough
def test_rows_that_a_table_lacks_stop_the_next_plan(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    shown = filled("show", "2", "--schema").out
    text = shown[shown.index("CREATE TABLE call_records") :]
    ddl(
        client,
        filled,
        f"DROP TABLE KS.{TABLE}",
        text.partition(";")[0].replace(TABLE, f"KS.{TABLE}", 1),
    )
    told(filled("verify"), 5, "may lack rows", "repair --restore")
    told(filled("down", "1", *GO, env=SHORT_KEPT), 5, "may lack rows", "repair --restore")
    told(filled("up", env=SHORT_KEPT), 5, "may lack rows", "clean --discard-rows")
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    assert numbers(client, filled) == ALL
    ok(filled("up", env=SHORT_KEPT))


@pytest.mark.thorough
def test_repair_does_not_wait_for_a_view_that_a_killed_run_dropped(filled: Cli) -> None:
    ok(filled("up", *GO))
    killed(filled, "after | DROP MATERIALIZED VIEW", "down", "3", "--yes")
    told(filled("repair", "--restore", "--yes", env=SHORT), 5, "half-way goes on with it")
    ok(filled("down", "3", "--yes", env=SHORT))
    ok(filled("verify"))


@pytest.mark.thorough
def test_repair_leaves_alone_what_a_killed_run_dropped(filled: Cli, client: Any) -> None:
    killed(filled, "after | DROP TABLE", "up", "2", *GO)
    told(filled("repair", "--restore", "--yes", env=SHORT), 5, "half-way goes on with it")
    ok(filled("up", "2", *GO, env=SHORT))
    assert numbers(client, filled) == ALL


@pytest.mark.thorough
def test_a_repair_that_is_killed_is_finished_by_the_next(filled: Cli, client: Any) -> None:
    ok(filled("up", *GO, env=SHORT_KEPT))
    before = cells.read(client, filled.keyspace)
    ddl(
        client,
        filled,
        "DROP MATERIALIZED VIEW KS.calls_by_completion",
        f"DROP TABLE KS.{TABLE}",
    )
    killed(filled, "noted | CREATE TABLE", "repair", "--restore", "--yes", env=SHORT_KEPT)
    told(filled("verify"), 5, "repair")
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    ok(filled("verify"))
    assert cells.differences(before, cells.read(client, filled.keyspace)) == []
    assert "nothing to repair" in ok(filled("repair"))
    # The second copy may go now, as it may behind a rebuild.
    ok(filled("clean", "--yes", env=SHORT))
    assert internal(client, filled) == []


@pytest.mark.thorough
def test_an_older_copy_brings_nothing_back_that_was_deleted_since(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    ddl(client, filled, f"DELETE FROM KS.{TABLE} WHERE source_phone_number = '+11'")
    ok(filled("down", "1", *GO, env=SHORT_KEPT))
    assert len(internal(client, filled)) == 2
    ddl(client, filled, f"DROP TABLE KS.{TABLE}")
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    assert numbers(client, filled) == ["+10", "+12", "+13", "+14"]


@pytest.mark.thorough
def test_two_shapes_of_one_table_have_misfits_of_their_own(cli: Cli, client: Any) -> None:
    """What collides in the second shape is not what doesn't fit into the first one."""
    columns = "src text, ts int, dest text, day int"
    only(
        cli,
        r0001_calls=f"-- migrate:up\nCREATE TABLE calls ({columns}, PRIMARY KEY (src, ts));\n"
        "-- migrate:down\nDROP TABLE calls;\n",
        r0002_both=f"-- migrate:up\n-- migrate:rebuild into=by_dest\n"
        f"CREATE TABLE calls ({columns}, PRIMARY KEY (dest, ts, src));\n-- migrate:rebuild\n"
        f"CREATE TABLE calls ({columns}, PRIMARY KEY (src, day));\n-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    for ts, dest in ((1, "b"), (2, None), (3, "c")):
        client.execute(
            f"INSERT INTO {cli.keyspace}.calls (src, ts, dest, day) VALUES ('a', %s, %s, 7)",
            [ts, dest],
        )
    said = told(cli("plan"), 9, "null in a column", "share their key", out=True)
    assert said.count("calls: ") == 2, said
    ok(cli("up", *GO, "--set-aside"))
    kept = [
        row["ts"]
        for table in ("calls", *internal(client, cli))
        for row in client.execute(f"SELECT ts FROM {cli.keyspace}.{table}")
    ]
    assert set(kept) == {1, 2, 3}
    found = client.execute(f"SELECT ts FROM {cli.keyspace}.by_dest")
    assert sorted(row["ts"] for row in found) == [1, 3]


# -- other commands --------------------------------------------------------------------------------


@pytest.mark.thorough
def test_steps_count_from_where_the_killed_run_began(filled: Cli) -> None:
    ok(filled("up", *GO))
    killed(filled, "before | DROP MATERIALIZED VIEW", "down", "--steps", "1", "--yes")
    ok(filled("down", "--steps", "1", "--yes", env=SHORT))
    assert filled.json("status")["current"] == 3


@pytest.mark.thorough
def test_runners_with_steps_take_back_one_together(filled: Cli) -> None:
    """The second one waits, and finds done what it was asked for."""
    ok(filled("up", *GO))
    point, step = "pause 2 | before | DROP MATERIALIZED VIEW", ("down", "--steps", "1", "--yes")
    first = filled.begin(point, *step)
    until(lambda: (filled.json("status")["lease"] or {}).get("pid") == first.pid)
    ok(filled(*step, "--wait-for-lease", "60"))
    assert first.wait(60) == 0
    assert filled.json("status")["current"] == 3


MADE = "CREATE TABLE one (a int PRIMARY KEY);\n"


@pytest.mark.thorough
def test_an_abort_says_beforehand_that_a_table_has_rows(cli: Cli, client: Any) -> None:
    only(
        cli,
        r0001_t=f"-- migrate:up\n{MADE}CREATE TABLE two (a nonsense PRIMARY KEY);\n"
        "-- migrate:irreversible x\n",
    )
    told(cli("up", "--yes", env=SHORT), 7, "nonsense")
    client.execute(f"INSERT INTO {cli.keyspace}.one (a) VALUES (1)")
    for _ in range(2):
        told(cli("abort", "--yes", env=SHORT), 9, "one", "nowhere else", "up", "--discard-rows")
    ok(cli("abort", "--discard-rows", "--yes", env=SHORT))
    ok(cli("verify"))
    assert cli.json("status")["current"] == 0


@pytest.mark.thorough
def test_a_copy_into_another_table_can_be_taken_back(filled: Cli, client: Any) -> None:
    initial = (filled.folder / "migrations" / "0001_initial.cql").read_text("utf-8")
    shape = again(filled).replace("KS.", "").replace("KEY (", "KEY (destination_number, ")
    only(
        filled,
        r0001_initial=initial,
        r0002_into=f"-- migrate:up\n-- migrate:rebuild into=by_destination\n"
        f"{shape.replace('(call_timestamp DESC', '(source_phone_number ASC, call_timestamp DESC')};"
        "\n-- migrate:irreversible x\n",
    )
    killed(filled, "noted | COPY", "up", "2", *GO)
    told(filled("abort", "--yes", env=SHORT), 9, "by_destination", "--discard-rows")
    ok(filled("abort", "--yes", "--discard-rows", env=SHORT))
    assert numbers(client, filled) == ALL
    ok(filled("verify"))


@pytest.mark.thorough
def test_an_abort_counts_what_the_killed_run_had_sent(filled: Cli, client: Any) -> None:
    """The second copy is made, and no row says so."""
    killed(filled, "after | CREATE TABLE", "up", "2", *GO)
    assert len(internal(client, filled)) == 1
    ok(filled("abort", "--yes", env=SHORT))
    assert internal(client, filled) == []
    ok(filled("verify"))
    assert numbers(client, filled) == ALL


# -- an older folder -------------------------------------------------------------------------------


@pytest.mark.thorough
def test_an_older_folder_stamps_nothing_away(cli: Cli) -> None:
    ok(cli("up", *GO))
    older = cli.folder / "older"
    shutil.copytree(cli.folder / "migrations", older)
    next(older.glob("0004_*")).unlink()
    for target in ("head", "3", "base"):
        told(cli("stamp", target, "--yes", "--migrations", str(older)), 5, "0004", "ahead")
    assert cli.json("status")["current"] == 4


# -- what arrives late -----------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_row_of_a_stamp_comes_late(filled: Cli, client: Any, server: Address) -> None:
    ok(filled("up", "2", *GO))
    for table in ("database_migrations", "migration_journal", "migration_progress"):
        ddl(client, filled, f"DROP TABLE KS.{table}")
    first = First(filled, server)
    fault = Fault(3, "hold request", of=r"^INSERT INTO .*database_migrations", act=first.stop)
    with first.begun(fault, "stamp", "2", "--yes", env=AWAITED) as tap:
        assert first.stopped.wait(60)
        wait = ("--wait-for-lease", "60")
        ok(filled("stamp", "2", "--yes", *wait, env=OTHERS_AWAITED))
        ok(filled("down", "1", *GO, env=OTHERS_AWAITED))
        let_go(tap)
        told(first.ended(), 6, "lost")
    ok(filled("down", "1", *GO, env=OTHERS_AWAITED))
    assert [r["state"] for r in filled.json("status")["revisions"]][:2] == ["applied", "pending"]
    ok(filled("verify"))
    ok(filled("up", "2", *GO, env=OTHERS_AWAITED))
    assert numbers(client, filled) == ALL


@pytest.mark.thorough
def test_a_change_that_comes_late_is_waited_for_before_its_opposite(
    filled: Cli, server: Address
) -> None:
    """An ALTER is kept back, its sender gives up. The next run sends it again; the one after that
    takes it back, and must not do so before nothing can come any more.
    """
    ok(filled("up", "2", *GO))
    first = First(filled, server)
    with first.begun(Fault(1, "hold request", of=r"^ALTER TABLE"), "up", "3", env=AWAITED) as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("up", "3", env=OTHERS_AWAITED))
        third = filled.start("down", "2", "--yes", env=OTHERS_AWAITED)
        until(lambda: (filled.json("status")["lease"] or {}).get("pid") == third.pid)
        let_go(tap)
        out, err = third.communicate(timeout=60)
        assert third.returncode == 0, out + err
    ok(filled("verify"))
    assert filled.json("status")["current"] == 2
