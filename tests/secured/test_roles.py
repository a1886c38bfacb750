"""Roles with the grants that docs/grants.md lists, and no other: enough for what it says, and what
is missing is told as the GRANT to type.
"""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.roles import KNOWS, as_role, listed
from tests.support.told import told

KEEP = ("--set-aside", "--outage-accepted")


def ok(cli: Cli, *args: str) -> str:
    result = cli(*args)
    assert result.code == 0, result
    return result.out + result.err


@pytest.fixture
def made(client: Any, keyspace: str) -> None:
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
    )


@pytest.mark.usefixtures("made")
def test_the_migrators_grants_are_enough(cli: Cli, client: Any, role: str) -> None:
    for grant in listed("migrator", cli.keyspace, role):
        client.execute(grant)
    mine = as_role(cli, role)
    ok(mine, "up", "--outage-accepted")
    ok(mine, "seed", "--random-seed", "1")
    ok(mine, "down", "1", *KEEP, "--yes")
    assert "rebuild call_records (with its rows)" in ok(mine, "up", "--outage-accepted", "--yes")
    ok(mine, "verify")


@pytest.mark.thorough
@pytest.mark.usefixtures("made")
def test_what_is_half_way_is_finished_whatever_comes_after_it(
    cli: Cli, client: Any, role: str
) -> None:
    """A later revision's missing permission must not leave a table without its rows."""
    *grants, waiting = listed("migrator", cli.keyspace, role)
    for grant in grants:
        client.execute(grant)
    mine = as_role(cli, role)
    ok(mine, "up", "1")
    ok(mine, "seed", "--random-seed", "1")
    killed = mine.at(
        "kill | after | DROP TABLE call_records", "up", "2", "--outage-accepted", "--yes"
    )
    assert killed.code == -signal.SIGKILL
    err = told(mine("up", "--outage-accepted", "--yes"), 7, waiting)
    assert "0002 destination clustering is finished; nothing after it was begun." in err
    ok(mine, "verify")
    assert mine.json("status")["current"] == 2


@pytest.mark.thorough
def test_who_makes_the_keyspace_needs_two(cli: Cli, client: Any, role: str) -> None:
    for grant in listed("creator", cli.keyspace, role):
        client.execute(grant)
    mine = as_role(cli, role)
    for target in "1234":
        ok(mine, "up", target, "--outage-accepted")
    ok(mine, "seed", "--random-seed", "1")
    ok(mine, "down", "1", *KEEP, "--yes")
    ok(mine, "verify")
    ok(mine, "down", "base", "--discard-rows", "--outage-accepted", "--yes")


@pytest.mark.thorough
def test_who_reads_needs_one_and_can_do_no_more(cli: Cli, client: Any, role: str) -> None:
    ok(cli, "up", "3")
    ok(cli, "seed", "--random-seed", "1")
    for grant in listed("reader", cli.keyspace, role):
        client.execute(grant)
    mine = as_role(cli, role)
    for args in (["status", "--log"], ["verify"], ["show", "1", "--applied"], ["diff", "1", "3"]):
        ok(mine, *args)
    told(mine("plan", "1"), 9, "--outage-accepted", out=True)
    wait = f"GRANT SELECT ON TABLE system_distributed.view_build_status TO {role};"
    told(mine("plan"), 7, "view_build_status", wait, "Nothing was changed.", out=True)
    modify = f"GRANT MODIFY ON KEYSPACE {cli.keyspace} TO {role};"
    told(mine("seed"), 7, modify)
    told(mine("down", "2", "--yes"), 7, modify)
    ok(cli, "verify")


@pytest.mark.thorough
def test_what_is_missing_is_told_until_nothing_is(cli: Cli, client: Any, role: str) -> None:
    """Everything was made by somebody else; each refusal names one grant of docs/grants.md's."""
    ok(cli, "up", "3")
    ok(cli, "seed", "--random-seed", "1")
    mine, typed = as_role(cli, role), list[str]()
    for args in (["down", "1", *KEEP], ["up", "--outage-accepted"]):
        while (result := mine(*args, "--yes")).code:
            told(result, 7, f"User {role} has no", "run the same command again:")
            found = re.findall(r"GRANT .*(?=;)", result.err)
            (grant,) = (text for text in found if KNOWS not in text)
            assert grant not in typed, typed
            client.execute(grant)
            typed.append(grant)
    assert sorted(typed) == sorted(listed("migrator", cli.keyspace, role))


def test_a_keyspace_that_may_not_be_made(cli: Cli, client: Any, role: str) -> None:
    client.execute(f"GRANT SELECT ON system_distributed.view_build_status TO {role}")
    told(as_role(cli, role)("up"), 7, f"GRANT CREATE ON ALL KEYSPACES TO {role};", "No revision")


@pytest.mark.thorough
@pytest.mark.usefixtures("made")
def test_what_was_granted_on_a_table_is_granted_again_on_the_new_one(
    cli: Cli, client: Any, role: str
) -> None:
    """DROP takes the permissions on a table with it; a kill in between must not."""
    for grant in listed("migrator", cli.keyspace, role):
        client.execute(grant)
    mine, table = as_role(cli, role), f"{cli.keyspace}.call_records"
    ok(mine, "up", "1")
    ok(mine, "seed", "--random-seed", "1")
    application = f"{role}_app"
    client.execute(f"CREATE ROLE {application}")

    def held() -> list[tuple[str, set[str]]]:
        rows = client.execute(f"LIST ALL PERMISSIONS ON TABLE {table} NORECURSIVE")
        found = [(row["role"], row["permission"]) for row in rows]
        return [(who, {what for n, what in found if n == who}) for who in (application, role)]

    for permission in ("SELECT", "MODIFY"):
        client.execute(f"GRANT {permission} ON TABLE {table} TO {application}")
    before = held()
    assert before[0] == (application, {"SELECT", "MODIFY"})
    # Who may not see it is told what to ask for.
    assert f"{KNOWS} {role};" in told(mine("plan", "2"), 9, "on call_records alone", out=True)
    client.execute(f"{KNOWS} {role}")
    assert f"MODIFY, SELECT to {application}" in mine("plan", "2").err
    for at in ("after | DROP TABLE call_records", "after | CREATE TABLE call_records ("):
        killed = mine.at(f"kill | {at}", "up", "2", "--outage-accepted", "--yes")
        assert killed.code == -signal.SIGKILL
        ok(mine, "up", "2", "--outage-accepted", "--yes")
        assert held() == before
        ok(mine, "down", "1", *KEEP, "--yes")
        assert held() == before
    # Over two rebuilds in one run.
    folder = mine.folder / "migrations"
    for later in (*folder.glob("0003*"), *folder.glob("0004*")):
        later.unlink()
    second = next(folder.glob("0002*")).read_text(encoding="utf-8").partition("-- migrate:down")[0]
    other = second.replace(
        "destination_number, call_timestamp)", "call_timestamp, destination_number)"
    )
    other = re.sub(
        r"ORDER BY \([^)]*\)", "ORDER BY (call_timestamp DESC, destination_number ASC)", other
    )
    assert other != second
    (folder / "0003_other.cql").write_text(f"{other}-- migrate:irreversible x\n", encoding="utf-8")
    # What is revoked between a kill and the next run stays revoked.
    killed = mine.at("kill | before | DROP TABLE call_records", "up", "--outage-accepted", "--yes")
    assert killed.code == -signal.SIGKILL
    client.execute(f"REVOKE MODIFY ON TABLE {table} FROM {application}")
    ok(mine, "up", "--outage-accepted", "--yes")
    assert held() == [(application, {"SELECT"}), before[1]]
