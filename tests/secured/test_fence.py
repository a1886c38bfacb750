"""--fence: nobody can write to a table while it is rebuilt, or the plan says who could.

The writers are roles of their own with connections of their own, and go on through all of it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cassandra import DriverException, Unauthorized

from tests.support.cli import Cli
from tests.support.roles import FENCED, FENCED_PLAN, SUPERUSER, may_modify
from tests.support.secured import Secured
from tests.support.settings import FULL, GO
from tests.support.told import ok, told, until

PAUSE = 0 if FULL else 0.02  # seconds: what is written is copied, too


class Hammer:
    """A writer that never stops, and remembers what it was told is written."""

    def __init__(self, secured: Secured, role: str, table: str) -> None:
        self.acknowledged: list[str] = []
        self.refused = 0
        self._end = threading.Event()
        self._cluster = secured.cluster(role)
        self._session = self._cluster.connect()
        self._role, self._table = role, table
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        insert = (
            f"INSERT INTO {self._table} (source_phone_number, destination_number, call_timestamp)"
            " VALUES (%s, 'd', 1)"
        )
        number = 0
        while not self._end.wait(PAUSE):
            number += 1
            key = f"{self._role} {number}"
            try:
                self._session.execute(insert, [key])
            except Unauthorized:
                self.refused += 1
            except DriverException:  # the table is away: nothing was acknowledged
                continue
            else:
                self.acknowledged.append(key)

    def ends(self) -> None:
        self._end.set()
        self._thread.join()
        self._cluster.shutdown()


@contextmanager
def hammered(secured: Secured, table: str, *roles: str) -> Iterator[list[Hammer]]:
    hammers = [Hammer(secured, role, table) for role in roles]
    try:
        yield hammers
    finally:
        for hammer in hammers:
            hammer.ends()


@pytest.mark.thorough
def test_who_could_write_all_the_same_is_named(
    mine: Cli, client: Any, make_role: Callable[..., str]
) -> None:
    table = f"{mine.keyspace}.call_records"
    of_keyspace, group, member = make_role("ks"), make_role("group", False), make_role("member")
    client.execute(f"GRANT MODIFY ON KEYSPACE {mine.keyspace} TO {group}")
    client.execute(f"GRANT MODIFY ON KEYSPACE {mine.keyspace} TO {of_keyspace}")
    client.execute(f"GRANT {group} TO {member}")
    said = told(
        mine("up", "2", "--fence", *GO),
        9,
        "call_records can't be fenced",
        f"{of_keyspace} has MODIFY on KEYSPACE {mine.keyspace}",
        f"{member} is a member of {group}, which has MODIFY on KEYSPACE {mine.keyspace}",
        f"{SUPERUSER} is a superuser",
        "--no-writer ROLE",
    )
    assert mine.json("status")["current"] == 1
    assert f"{group} has MODIFY" not in said.replace(f"{group}, which has MODIFY", "")
    # A direct grant, and one to a role that others are members of, can be taken.
    client.execute(f"REVOKE MODIFY ON KEYSPACE {mine.keyspace} FROM {group}")
    client.execute(f"REVOKE MODIFY ON KEYSPACE {mine.keyspace} FROM {of_keyspace}")
    for role in (of_keyspace, group):
        client.execute(f"GRANT MODIFY ON TABLE {table} TO {role}")
    plan = mine("plan", "2", *FENCED_PLAN)
    assert plan.code == 0, plan.err
    assert f"REVOKE MODIFY ON TABLE call_records FROM {group}" in plan.out
    assert f"{group}, {of_keyspace} may not write to it until then" in plan.out
    # Our own way to the table stays.
    assert f"FROM {mine.environment['CALLDROP_USERNAME']}\n" not in plan.out


def test_no_acknowledged_write_is_lost_behind_a_fence(
    mine: Cli, client: Any, secured: Secured, make_role: Callable[..., str]
) -> None:
    table = f"{mine.keyspace}.call_records"
    direct, group, member = make_role("direct"), make_role("group", False), make_role("member")
    client.execute(f"GRANT {group} TO {member}")
    for role in (direct, group):
        client.execute(f"GRANT MODIFY ON TABLE {table} TO {role}")
    before = may_modify(client, table)
    with hammered(secured, table, direct, member) as hammers:
        ok(mine("up", "2", *FENCED))
        reached = [len(hammer.acknowledged) for hammer in hammers]
        for hammer, so_far in zip(hammers, reached, strict=True):
            while len(hammer.acknowledged) < so_far + 20:  # they can write again
                pass
    assert all(hammer.refused for hammer in hammers)
    assert may_modify(client, table) == before
    keys = client.execute(f"SELECT source_phone_number AS n FROM {table}", timeout=60)
    there = {row["n"] for row in keys}
    for hammer in hammers:
        assert len(hammer.acknowledged) > 20
        assert not set(hammer.acknowledged) - there
    ok(mine("verify"))


@pytest.mark.thorough
def test_what_was_revoked_is_granted_again_however_it_ends(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    table, app = written
    before = may_modify(client, table)
    # Killed, and taken back.
    killed = mine.at("kill | after | REVOKE", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    assert may_modify(client, table) == before - {app}
    ok(mine("abort", "--yes"))
    assert may_modify(client, table) == before
    # Killed at each turn, and gone on with; what stops it says who may not write.
    for at in ("noted | REVOKE", "before | DROP TABLE", "noted | DROP TABLE", "after | GRANT"):
        killed = mine.at(f"kill | {at}", "up", "2", *FENCED)
        assert killed.code == -signal.SIGKILL, at
    ok(mine("up", "2", *GO))
    assert may_modify(client, table) == before
    ok(mine("down", "1", *FENCED, "--set-aside"))
    assert may_modify(client, table) == before


@pytest.mark.thorough
def test_an_interrupted_run_says_who_may_not_write(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    _, app = written
    stopped = mine.at("sh kill -INT $PPID | noted | REVOKE", "up", "2", *FENCED)
    said = told(stopped, 130, "0002 is half-way (up): 2 of ", "these may not write")
    assert app in said
    ok(mine("abort", "--yes"))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("at", "said"),
    [
        (
            "noted | REVOKE",
            "not revoked",
        ),
        ("noted | DROP TABLE", "not granted again"),
    ],
)
def test_a_role_that_is_dropped_meanwhile_is_in_nobodys_way(
    mine: Cli, client: Any, make_role: Callable[..., str], at: str, said: str
) -> None:
    table, app, short = f"{mine.keyspace}.call_records", make_role("app"), make_role("short")
    for role in (app, short):
        client.execute(f"GRANT MODIFY ON TABLE {table} TO {role}")
    killed = mine.at(f"kill | {at}", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    client.execute(f"DROP ROLE {short}")
    told_of = ok(mine("up", "2", *GO))
    client.execute(f"CREATE ROLE {short}")
    assert said in told_of
    assert f"GRANT MODIFY ON TABLE call_records TO {short};" in told_of
    assert app in may_modify(client, table)


@pytest.mark.thorough
def test_a_fence_that_was_opened_since_keeps_the_table(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    table, app = written
    killed = mine.at("kill | noted | COPY", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    client.execute(f"GRANT MODIFY ON TABLE {table} TO {app}")
    told(mine("up", "2", *GO), 9, "was opened to writers since", app, "Take MODIFY on call_records")
    client.execute(f"REVOKE MODIFY ON TABLE {table} FROM {app}")
    # Within one run, too: while it stands between its last proof and the DROP.
    running = mine.begin("pause 4 | noted | VERIFY", "up", "2", *GO)
    until(lambda: mine.json("status")["revisions"][1]["note"].startswith("up, 5 of "))
    client.execute(f"GRANT MODIFY ON TABLE {table} TO {app}")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 9, err
    assert "was opened to writers since" in err
    client.execute(f"REVOKE MODIFY ON TABLE {table} FROM {app}")
    ok(mine("up", "2", *GO))
    assert app in may_modify(client, table)


@pytest.mark.thorough
def test_what_was_begun_without_a_fence_is_not_taken_for_fenced(mine: Cli) -> None:
    killed = mine.at("kill | noted | COPY", "up", "2", *GO)
    assert killed.code == -signal.SIGKILL
    told(mine("up", "2", *FENCED), 9, "begun without a fence around call_records", "abort")
    ok(mine("abort", "--yes"))
    ok(mine("up", "2", *FENCED))


@pytest.mark.thorough
def test_a_revision_may_revoke_and_grant_itself(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    """What a file says is no fence; taking it back is the file's business."""
    table, app = written
    file = next((mine.folder / "migrations").glob("0002*"))
    text = file.read_text(encoding="utf-8")
    mine_too = f"REVOKE MODIFY ON TABLE call_records FROM {app};\n"
    file.write_text(f"-- migrate:up\n{mine_too}-- migrate:irreversible x\n", encoding="utf-8")
    ok(mine("up", "2"))
    assert app not in may_modify(client, table)
    ok(mine("stamp", "1", "--yes"))
    # In front of a rebuild it would be granted again by that rebuild's fence.
    file.write_text(text.replace("-- migrate:rebuild", f"{mine_too}-- migrate:rebuild", 1))
    client.execute(f"GRANT MODIFY ON TABLE {table} TO {app}")
    told(mine("up", "2", *FENCED), 9, "the revision itself revokes")
    ok(mine("up", "2", *GO))
    assert app not in may_modify(client, table)


@pytest.mark.thorough
def test_a_stamp_over_a_fence_says_what_it_leaves_revoked(
    mine: Cli, client: Any, written: tuple[str, str]
) -> None:
    _, app = written
    killed = mine.at("kill | before | COPY call_records__", "up", "2", *FENCED)
    assert killed.code == -signal.SIGKILL
    tables = client.execute(
        f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{mine.keyspace}'"
    )
    (copy,) = (row["table_name"] for row in tables if "__0002" in row["table_name"])
    client.execute(f"DROP TABLE {mine.keyspace}.{copy}")
    said = ok(mine("stamp", "2", "--yes"))
    assert f"GRANT MODIFY ON TABLE call_records TO {app};" in said
