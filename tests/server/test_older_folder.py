"""Two releases side by side: the older one's folder lacks what the newer one has applied. The way
down is then taken from the history, and nothing else ever is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cassandra.cluster import Session

from tests.support.cli import Cli
from tests.support.schema import tables_of
from tests.support.told import only, tables, told, told_as_json

NEWER = """\
-- migrate:up
CREATE TABLE e (id int PRIMARY KEY); CREATE TABLE f (id int PRIMARY KEY);
-- migrate:down
DROP TABLE f;
DROP TABLE
    e;
"""


@pytest.fixture
def older(cli: Cli) -> Cli:
    """A keyspace at 0005, and a folder that ends with 0004."""
    files = {f"r000{n}_{name}": tables(name) for n, name in enumerate("abcd", 1)}
    only(cli, **files, r0005_newer=NEWER)
    result = cli("up")
    assert result.code == 0, result.err
    newest(cli).unlink()
    return cli


def newest(cli: Cli) -> Path:
    return cli.folder / "migrations" / "0005_newer.cql"


def rewritten(client: Session, cli: Cli, **values: object) -> None:
    """A row of the history, changed by another hand."""
    row = client.execute(f"SELECT id, version FROM {cli.keyspace}.database_migrations")
    (at,) = [r["id"] for r in row if r["version"] == 5]
    for name, value in values.items():
        client.execute(
            f"UPDATE {cli.keyspace}.database_migrations SET {name} = %s WHERE id = %s IF EXISTS",
            (value, at),
        )


@pytest.mark.thorough
def test_what_each_command_says(older: Cli) -> None:
    status = older("status").out
    assert "0005  newer  applied" in status
    assert f"{older.keyspace} is at 0005, ahead of this folder." in status
    assert older("status", "--check").code == 0
    verified = older("verify")
    assert verified.code == 0
    assert "no file of 0005 in this folder" in verified.out
    up = older("up")
    assert up.code == 0
    assert "warning: the history is ahead of this folder: 0005" in up.err
    told(older("up", "--strict"), 5, "ahead of this folder: 0005", "newer release's folder")
    told(older("down", "3", "--strict", "--yes"), 5, "ahead of this folder: 0005")
    assert older("plan").code == 0
    assert older("show", "5", "--applied").out == NEWER
    told(older("show", "5"), 2, "no revision '5'", "0001 to 0004")


def test_down_takes_what_is_missing_from_the_history(older: Cli, client: Session) -> None:
    plan = older("plan", "3")
    assert plan.code == 0
    assert "0005 from the history: its file is not in this folder" in plan.out
    assert "DROP TABLE f" in plan.out
    planned = older.json("plan", "3")["revisions"]
    assert [r["number"] for r in planned] == [5, 4]
    assert "from the history" in planned[0]["notes"][0]
    assert planned[1]["notes"] == []

    asked = told(older("down", "3"), 2, "has to be confirmed", "--yes")
    assert "0005 newer  DROP TABLE f, DROP TABLE e\n" in asked
    assert "       0005 from the history: its file is not in this folder\n" in asked
    assert "         DROP TABLE f\n         DROP TABLE\n             e\n    0004 d " in asked
    assert tables_of(client, older.keyspace) == set("abcdef")

    done = older("down", "3", "--yes")
    assert done.code == 0, done.err
    assert tables_of(client, older.keyspace) == set("abc")
    assert older.json("status")["current"] == 3
    newest(older).write_text(NEWER, encoding="utf-8")
    assert older("up").code == 0
    assert tables_of(client, older.keyspace) == set("abcdef")


@pytest.mark.thorough
def test_a_killed_way_down_goes_on_from_the_history(older: Cli, client: Session) -> None:
    older.at("kill | noted | DROP TABLE f", "down", "4", "--yes")
    assert tables_of(client, older.keyspace) == set("abcde")
    assert "0005  newer  half-way" in older("status").out
    result = older("down", "4", "--yes", "--settle-time", "1")
    assert result.code == 0, result.err
    assert "resumes at operation" in result.err
    assert tables_of(client, older.keyspace) == set("abcd")


@pytest.mark.thorough
def test_what_is_half_way_up_is_not_finished_from_the_history(cli: Cli, client: Session) -> None:
    only(cli, r0001_a=tables("a"), r0002_bc=tables("b", "c"))
    cli.at("kill | noted | CREATE TABLE b", "up")
    (cli.folder / "migrations" / "0002_bc.cql").unlink()
    for command in (["up"], ["plan"], ["down", "base", "--yes"]):
        told(
            cli(*command),
            5,
            "revision 0002 bc is half-way up, and its file is not in this folder",
            "calldrop-migrate abort",
        )
    result = cli("abort", "--yes", "--settle-time", "1")
    assert result.code == 0, result.err
    assert tables_of(client, cli.keyspace) == {"a"}


@pytest.mark.thorough
def test_a_text_that_is_not_the_one_that_was_applied_is_never_run(
    older: Cli, client: Session
) -> None:
    down = ("down", "4", "--yes")
    rewritten(client, older, content=NEWER.replace("DROP TABLE f", "DROP TABLE a"))
    told(older(*down), 5, "its checksum differs", "show 5 --applied")

    text = "def down(db):\n    db.run('DROP TABLE a')\n"
    checksum = hashlib.sha256(text.encode()).digest()
    rewritten(client, older, content=text, checksum=checksum)
    told(older(*down), 5, "can't read the text of it", "0005_newer.cql:1:1: no `-- migrate:up`")

    rewritten(client, older, name="0005_newer.py")
    words = ("revision 0005 was applied from 0005_newer.py", "is never run")
    told(older(*down), 5, *words, "show 5 --applied")
    told(older("plan", "base"), 5, *words)
    told_as_json(older(*down, "--json"), 5, *words)
    assert older("show", "5", "--applied").out == text
    assert tables_of(client, older.keyspace) == set("abcdef")


@pytest.mark.thorough
def test_a_file_that_is_missing_between_others(older: Cli) -> None:
    """Every command says so but the one that gives the file back."""
    newest(older).write_text(NEWER, encoding="utf-8")
    lost = older.folder / "migrations" / "0002_b.cql"
    lost.unlink()
    gap = "0003_c.cql:1:1: a gap in the numbers: no 0002 before it"
    for command in (["up"], ["status"], ["verify"], ["plan"], ["down", "1", "--yes"]):
        shown = command == ["status"]  # the database's state, too
        told(older(*command), 4, gap, "calldrop-migrate show 2 --applied", out=shown)
    lost.write_text(older("show", "2", "--applied").out, encoding="utf-8")
    assert older("verify").code == 0
