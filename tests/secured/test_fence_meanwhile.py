"""Fences under what is done to roles, runs and files while they stand: none lets a writer through,
and none is left behind without a word.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.forks import state_of
from tests.support.roles import FENCED, FENCED_PLAN, SUPERUSER, may_modify
from tests.support.settings import GO, SHORT
from tests.support.told import ok, told, until


@pytest.mark.thorough
def test_interrupted_while_it_waits_until_nobody_writes(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    table, app = written
    running = mine.start("up", "2", *FENCED)
    until(lambda: app not in may_modify(client, table))
    time.sleep(0.7)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert app not in may_modify(client, table)
    assert "nothing of 0002" not in err
    assert app in err, err


@pytest.mark.thorough
def test_a_new_superuser_behind_a_drop_of_which_no_row_tells(
    mine: Cli, client: Any, make_role: Callable[..., str]
) -> None:
    make_role("app")
    killed = mine.at("kill | after | DROP TABLE", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    boss = make_role("boss")
    client.execute(f"ALTER ROLE {boss} WITH SUPERUSER = true")
    up = mine("up", "2", *GO, "--fence", "--no-writer", SUPERUSER, "--no-writer", boss)
    abort = mine("abort", "--yes")
    assert up.code == 0, f"{up.err}\n----\n{abort.err}"


@pytest.mark.thorough
def test_a_revoke_of_a_runner_that_was_stopped(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    table, app = written
    first = mine.begin("stop | checked | REVOKE", "up", "2", *FENCED, env=SHORT)
    until(lambda: state_of(first.pid) == "T")
    ok(mine("up", "2", *GO, "--wait-for-lease", "60"))
    assert app in may_modify(client, table)
    first.send_signal(signal.SIGCONT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 6, err
    left = app not in may_modify(client, table)
    assert not left or f"TO {app}" in err, err


@pytest.mark.thorough
def test_a_file_that_grants_in_front_of_its_rebuild(
    mine: Cli, client: Any, written: tuple[str, str], make_role: Callable[..., str]
) -> None:
    table, _ = written
    other = make_role("other")
    file = next((mine.folder / "migrations").glob("0002*"))
    text = file.read_text(encoding="utf-8")
    grant = f"GRANT MODIFY ON TABLE call_records TO {other};\n"
    file.write_text(text.replace("-- migrate:rebuild", f"{grant}-- migrate:rebuild", 1))
    plan = mine("plan", "2", *FENCED_PLAN)
    assert plan.code == 9
    told(mine("up", "2", *FENCED), 9, "changes roles or grants in front of a rebuild")
    assert mine.json("status")["revisions"][1]["state"] == "pending"
    ok(mine("up", "2", *GO))
    assert other in may_modify(client, table)


@pytest.mark.thorough
def test_a_plain_drop_and_create_is_not_fenced(mine: Cli, written: tuple[str, str]) -> None:
    file = next((mine.folder / "migrations").glob("0002*"))
    file.write_text(
        "-- migrate:up\nDROP TABLE call_records;\nCREATE TABLE call_records (a int PRIMARY KEY);\n"
        "-- migrate:irreversible x\n"
    )
    told(mine("up", "2", *FENCED, "--set-aside"), 9, "only a rebuild is fenced")
    ok(mine("up", "2", *GO, "--set-aside"))


@pytest.mark.thorough
def test_a_fence_that_had_nobody_to_revoke_from_is_watched_too(
    mine: Cli, client: Any, make_role: Callable[..., str]
) -> None:
    table, app = f"{mine.keyspace}.call_records", make_role("app")
    running = mine.begin("pause 5 | noted | VERIFY", "up", "2", *FENCED)
    until(lambda: mine.json("status")["revisions"][1]["note"].startswith("up, 4 of "))
    client.execute(f"GRANT MODIFY ON TABLE {table} TO {app}")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 9, err


@pytest.mark.thorough
def test_a_fence_that_is_opened_while_the_proof_is_made_again(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    table, app = written
    killed = mine.at("kill | noted | VERIFY", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    running = mine.begin("pause 8 | after | VERIFY", "up", "2", *GO)
    until(
        lambda: any(
            e["statement"].startswith("VERIFY") and e["event"] == "before"
            for e in mine.json("status", "--log")["log"][-1:]
        )
    )
    time.sleep(1.5)
    client.execute(f"GRANT MODIFY ON TABLE {table} TO {app}")
    client.execute(
        f"INSERT INTO {table} (source_phone_number, destination_number, call_timestamp)"
        " VALUES ('lost', 'd', 1)"
    )
    _, err = running.communicate(timeout=60)
    there = {r["n"] for r in client.execute(f"SELECT source_phone_number AS n FROM {table}")}
    assert running.returncode == 9 or "lost" in there, (running.returncode, err)


@pytest.mark.thorough
def test_a_writer_without_login_whose_session_is_open(
    mine: Cli, client: Any, make_role: Callable[..., str]
) -> None:
    wide = make_role("wide")
    client.execute(f"GRANT MODIFY ON KEYSPACE {mine.keyspace} TO {wide}")
    client.execute(f"ALTER ROLE {wide} WITH LOGIN = false")
    told(mine("up", "2", *FENCED), 9, "can't be fenced", f"{wide} has MODIFY", "no LOGIN")


@pytest.mark.thorough
def test_a_fence_waits_also_where_it_revokes_from_nobody(mine: Cli) -> None:
    """What a refusal said to take from somebody may be remembered by a node."""
    assert "no node may let a writer through" in ok(mine("up", "2", *FENCED))


@pytest.mark.thorough
@pytest.mark.parametrize("change", ["file", "rows"])
def test_a_revoke_of_which_no_row_tells_and_a_plan_that_needs_none(
    mine: Cli, client: Any, written: tuple[str, str], change: str
) -> None:
    """Killed while it waited until nobody writes."""
    table, app = written
    killed = mine.at("kill | after | REVOKE", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    if change == "file":
        file = next((mine.folder / "migrations").glob("0002*"))
        file.write_text(
            "-- migrate:up\nALTER TABLE call_records ADD x int;\n-- migrate:irreversible x\n"
        )
        told(mine("up", "2", *GO), 5, "changed in a part that has already run", "REVOKE")
        ok(mine("abort", "--yes"))
    else:
        client.execute(f"TRUNCATE {table}")
        ok(mine("up", "2", *GO))
    assert app in may_modify(client, table)


@pytest.mark.thorough
def test_a_grant_that_is_refused_to_the_tool_is_no_success(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    """Its own right to grant was taken meanwhile. Nothing keeps the GRANT for later."""
    table, app = written
    us = mine.environment["CALLDROP_USERNAME"]
    killed = mine.at("kill | noted | COPY", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    for what in (f"TABLE {table}", f"KEYSPACE {mine.keyspace}"):
        client.execute(f"REVOKE AUTHORIZE ON {what} FROM {us}")
    time.sleep(0.5)  # until that counts
    told(mine("abort", "--yes"), 7, f"TO {app}")
    client.execute(f"GRANT AUTHORIZE ON TABLE {table} TO {us}")
    time.sleep(0.5)
    ok(mine("abort", "--yes"))
    assert app in may_modify(client, table)


@pytest.mark.thorough
def test_another_role_goes_on(mine: Cli, cli: Cli, client: Any, written: tuple[str, str]) -> None:
    """The migrator's run was killed, an administrator finishes it."""
    killed = mine.at("kill | noted | COPY", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    us = mine.environment["CALLDROP_USERNAME"]
    ok(cli("up", "2", *GO, "--no-writer", us))


@pytest.mark.thorough
def test_status_says_who_may_not_write(mine: Cli, client: Any, written: tuple[str, str]) -> None:
    _, app = written
    killed = mine.at("kill | noted | COPY", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    assert app in ok(mine("status"))
    assert app in told(mine("verify"), 5)


@pytest.mark.thorough
def test_a_rebuild_into_another_table_needs_no_fence(mine: Cli, written: tuple[str, str]) -> None:
    file = next((mine.folder / "migrations").glob("0002*"))
    text = file.read_text(encoding="utf-8").partition("-- migrate:down")[0]
    into = text.replace("-- migrate:rebuild", "-- migrate:rebuild into=other", 1)
    file.write_text(f"{into}-- migrate:irreversible x\n")
    ok(mine("up", "2", *FENCED))
