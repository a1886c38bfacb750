"""`status`: what it says of files that were edited, of another project's files, of files with
faults, of rows that were set aside and of second copies.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.handful import insert
from tests.support.places import PROJECT
from tests.support.settings import GO, KEPT
from tests.support.told import ok, only, tables, told, write


@pytest.mark.thorough
def test_a_file_that_was_edited_is_named(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    ok(cli("up"))
    assert not any(r["edited"] for r in cli.json("status")["revisions"])
    write(cli, "0001_a", tables("a") + "-- more\n")
    said = ok(cli("status"))
    assert re.search(r"0001  a .* edited since it was applied\n", said), said
    assert "To see 0001 as it was applied:  calldrop-migrate show 1 --applied" in said
    assert [r["edited"] for r in cli.json("status")["revisions"]] == [True, False]


@pytest.mark.thorough
def test_the_files_of_another_project_give_no_titles(cli: Cli) -> None:
    """Neither the folder's own files, nor the packaged ones, name what is applied."""
    only(cli, r0001_users=tables("users"), r0002_towers=tables("towers"))
    ok(cli("up"))
    (cli.folder / "migrations").rename(cli.folder / "theirs")
    for flags in (("--migrations", str(PROJECT / "migrations")), ("--demo",)):
        result = cli("status", *flags)
        assert result.code == 0
        assert "0001  users   applied" in result.out
        assert "initial" not in result.out.partition("The files of this folder")[0]
        assert "pending" not in result.out
        assert "0001_users.cql was applied, and 0001_initial.cql is in the folder" in result.out
        found = cli.json("status", *flags)
        assert [r["title"] for r in found["revisions"]] == ["users", "towers"]
        assert len(found["others"]) == 2
        told(cli("up", *flags), 5, "0001_initial.cql is not 0001_users.cql, which was applied")
    # Where there is no folder at all, the state is shown, and what is wrong.
    result = cli("status")
    assert result.code == 2
    assert "0002  towers  applied" in result.out
    assert "no migrations here" in result.err
    assert "calldrop-migrate status --demo" in result.err


def test_faults_of_files_do_not_hide_the_state(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"))
    ok(cli("up"))
    write(cli, "0002_b", "-- migrate:up\nSELECT 1;\n")
    result = cli("status")
    assert result.code == 4
    assert "0001  a  applied" in result.out
    assert f"{cli.keyspace} is at 0001. Schema as recorded." in result.out
    told(result, 4, "0002_b.cql:2:1: SELECT changes nothing", out=True)
    found = cli.json("status")
    assert found["current"] == 1
    assert found["fault"]["exit_code"] == 4
    assert {fault["place"]["line"] for fault in found["fault"]["faults"]} == {1, 2}
    assert cli("status", "--json").code == 4


def test_set_aside_rows_and_second_copies_are_listed(filled: Cli, client: Any) -> None:
    insert(client, filled, 9, None)
    assert filled.json("status")["asides"] == filled.json("status")["shadows"] == []
    ok(filled("up", "2", *GO, "--set-aside", env=KEPT))
    said = ok(filled("status", env=KEPT))
    aside = "call_records__aside_0002_up"
    assert f"set aside: {aside} has rows of call_records that the way up over 0002" in said
    assert "the next down over 0002 brings them back" in said
    (delete,) = re.findall(r"to delete them in cqlsh:  (.*);\n", said)
    assert delete == f"DROP TABLE {filled.keyspace}.{aside}"
    (copy,) = filled.json("status", env=KEPT)["shadows"]
    line = f"second copy: {copy['name']} has the old rows of the rebuild of call_records by 0002"
    assert re.search(rf"{line}; kept until \d{{4}}-\d\d-\d\d", said), said
    (found,) = filled.json("status")["asides"]
    assert (found["name"], found["revision"], found["direction"]) == (aside, 2, "up")
    client.execute(delete)
    said = ok(filled("status", env=KEPT))
    assert "Schema as recorded." in said
    assert "set aside" not in said


@pytest.mark.thorough
def test_operations_are_counted_once(cli: Cli) -> None:
    """Not rows of the journal, of which a refused operation has one for each try."""
    only(cli, r0001_a=tables("a"))
    path = write(
        cli,
        "0002_b",
        "-- migrate:up\nCREATE TABLE b (id int PRIMARY KEY);\n"
        "CREATE TABLE c (id int PRIMARY KEY, x nosuch);\n-- migrate:irreversible a test\n",
    )
    for _ in range(3):
        told(cli("up"), 7, f"{path.name}:3:1")
    assert "up, 1 of 2 operations applied" in ok(cli("status"))
