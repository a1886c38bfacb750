"""Bad input through the real process: its exit code, what failed, what state the database is in,
what to type next.

No case ends with a traceback, none hangs, and none writes to stdout what isn't a result.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest
from cassandra.cluster import Session

from tests.support.cli import Cli, Result
from tests.support.sampling import sample
from tests.support.schema import tables_of
from tests.support.settings import NOWHERE
from tests.support.told import ok, only, tables, told, told_as_json, write

# -- the call -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["5", "-1"])
def test_unknown_target(cli: Cli, target: str) -> None:
    told(
        cli("up", "--", target), 2, f"no revision '{target}'", "0001 to 0004", "Nothing was changed"
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("up", "--nonsense"), ("No such option: --nonsense", "calldrop-migrate up --help")),
        (("up", "--port", "x"), ("'--port'", "integer")),
        (("up", "--lease-ttl", "5"), ("--lease-ttl 5", "--ddl-timeout 30", "--lease-ttl 38")),
        (("up", "--profile", "prod"), ("no profile 'prod'", "[profiles.prod]")),
        (("up", "-k", "call-drop"), ("--keyspace", "'call-drop'")),
        (("down",), ("needs a target", "calldrop-migrate down base")),
        (("seed", "--now", "soon"), ("--now 'soon'", "ISO 8601", "--now 2026-11-23T00:00:00Z")),
        (("seed", "nobody"), ("no seed module 'nobody'", "call_records", "seed --list")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_calls_are_told_before_any_connection(
    cli: Cli, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """More of them, without a process of their own, are in tests/unit/test_cli_calls.py."""
    told(cli(*args, env=NOWHERE), 2, *words, "Nothing was changed.")


def test_bad_calls_as_json(cli: Cli) -> None:
    told_as_json(cli("up", "--json", "--nonsense", env=NOWHERE), 2, "--nonsense", "up --help")
    told_as_json(cli("up", "--json", "-k", "a-b", env=NOWHERE), 2, "'a-b'")


@pytest.mark.thorough
def test_targets_on_the_wrong_side(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"), r0003_c=tables("c"))
    assert cli("up", "2").code == 0
    told(cli("up", "1"), 2, "at 0002; 0001 is below", "calldrop-migrate down 1")
    told(cli("down", "3", "--yes"), 2, "at 0002; 0003 is above", "calldrop-migrate up 3")
    told(cli("down", "--steps", "3", "--yes"), 2, "--steps 3", "at 0002, 2 steps above base")
    told(cli("down", "--steps", "0", "--yes"), 2, "--steps 0")
    told(cli("down", "9" * 40, "--yes"), 2, "no revision '999", "0001 to 0003")
    told(cli("down", "0002_b.cql", "--yes"), 2, "no revision '0002_b.cql'", "A target is a number")
    for target in ("", "+", "+9", "1.5", "-1", "\u0661"):
        told(cli("up", "--", target), 2, f"no revision {target!r}", "0001 to 0003")
    told(cli("stamp", "x", "--yes"), 2, "no revision 'x'")
    told(cli("seed", "--at-revision", "9"), 2, "no revision '9'")
    told(cli("show", "3", "--applied"), 2, "revision 3 is not applied", "calldrop-migrate status")
    told(cli("seed", "--at-revision", "3"), 2, "at 0002, not at 0003", "calldrop-migrate up 3")


def test_down_of_a_keyspace_that_is_not_there(cli: Cli) -> None:
    told(cli("down", "base", "--yes"), 2, f"no keyspace {cli.keyspace}", "--keyspace")


# -- files ----------------------------------------------------------------------------------------


def test_faults_of_all_files_in_one_report_before_any_connection(cli: Cli) -> None:
    only(
        cli,
        r0001_one=(
            "-- migrate:up\nCREATE TABLE a (id int PRIMARY KEY);\n-- migrat:down\nDROP TABLE a;\n"
        ),
        r0002_two="-- migrate:up\nCREATE TABLE b (id int PRIMARY KEY);\n",
        r0002_too=tables("c"),
        r0004_four=tables("d"),
    )
    for command in ("up", "seed"):
        err = told(cli(command, env=NOWHERE), 4, "Nothing was changed.", "Mend what is named")
        assert "0001_one.cql:3:1: `-- migrat:down` is no directive" in err
        assert "did you mean `-- migrate:down`?" in err
        assert "0002_two.cql:1:1: no `-- migrate:down`" in err
        assert "0002_too.cql has the number 0002 too" in err
        assert "0004_four.cql:1:1: a gap in the numbers: no 0003 before it" in err
    error = told_as_json(cli("up", "--json", env=NOWHERE), 4, "is no directive")
    assert len(error["faults"]) == 4
    assert error["faults"][0]["place"] == {"file": "0001_one.cql", "line": 3, "column": 1}


def test_no_migrations(cli: Cli) -> None:
    only(cli)
    told(cli("up", env=NOWHERE), 2, "no migrations in ./migrations", "calldrop-migrate new initial")
    shutil.rmtree(cli.folder / "migrations")
    told(
        cli("up", env=NOWHERE),
        2,
        "no folder ./migrations",
        "calldrop-migrate new initial",
        "--demo",
    )


def test_a_folder_that_cannot_be_read(cli: Cli) -> None:
    if os.getuid() == 0:  # who may read everything
        (cli.folder / "calldrop-migrate.toml").write_bytes(b'keyspace = "\xff"\n')
        told(cli("up", env=NOWHERE), 2, "calldrop-migrate.toml", "Nothing was changed.")
        return
    (cli.folder / "migrations").chmod(0)
    told(cli("up", env=NOWHERE), 2, "migrations: Permission denied", "may this user read")


REBUILT = """\
-- migrate:up

-- migrate:rebuild
    CREATE TABLE a (
        id int,
        x int STATIC,
        PRIMARY KEY (id)
    ) WITH comment = 'wider' AND nosuch = 1;

-- migrate:irreversible the old shape is too narrow
"""


def test_a_statement_that_the_server_refuses(cli: Cli, client: Session) -> None:
    """In its third line, indented, behind a statement that was applied: what is told, and how it
    goes on.
    """
    broken = (
        "-- migrate:up\n"
        "CREATE TABLE b (id int PRIMARY KEY);\n"
        "  CREATE TABLE c (\n"
        "      id int PRIMARY KEY,\n"
        "      x text<int>\n"
        "  );\n"
        "-- migrate:down\nDROP TABLE c;\nDROP TABLE b;\n"
    )
    only(cli, r0001_a=tables("a"), r0002_bc=broken)
    err = told(cli("up"), 7, "0002_bc.cql:5:13: the server refused this statement: ")
    shown = "CREATE TABLE c (\n        id int PRIMARY KEY,\n        x text<int>\n    )"
    assert f"\n    {shown}\n" in err
    assert "line 3" not in err  # of the statement that was sent: only the file's count
    assert "0002 is half-way (up): 1 of 2 operations are applied." in err
    assert "Mend 0002_bc.cql, then run the same command again." in err
    assert tables_of(client, cli.keyspace) == {"a", "b"}
    assert "0002  bc  half-way" in cli("status").out
    told(cli("up", "1"), 2, "half-way up", "calldrop-migrate up 2")
    told(cli("verify"), 5, "0002 bc is half-way", "calldrop-migrate up")
    told(cli("seed"), 5, "half-way", "Nothing was loaded", "calldrop-migrate status")

    write(cli, "0002_bc", broken.replace("TABLE b", "TABLE bb"))
    told(cli("up"), 5, "0002_bc.cql changed in a part that has already run", "CREATE TABLE b")

    write(cli, "0002_bc", broken.replace("<int>", ""))
    result = cli("up")
    assert result.code == 0, result.err
    assert "resumes at operation 2 of 2: CREATE TABLE c" in result.err
    assert tables_of(client, cli.keyspace) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("statement", "place", "said"),
    sample(
        [
            ("CREATE TABLE b (id int PRIMARY KEY, v nosuch)", "2:1", "nosuch"),
            (
                "CREATE TABLE b (id int PRIMARY KEY) WITH compaction = {'class': 'Nope'}",
                "2:1",
                "Nope",
            ),
            (f"CREATE TABLE {'b' * 300} (id int PRIMARY KEY)", "2:1", "b" * 48),
            ("INSERT INTO a (id, x) VALUES (1, 2)", "2:1", "x"),
            ("INSERT INTO a (id) VALUES ('x')", "2:1", "id"),
            ("ALTER TABLE a WITH nosuch = 1", "2:1", "nosuch"),
        ]
    ),
    ids=lambda value: str(value)[:24],
)
def test_each_kind_of_refusal_has_its_place_and_leaves_nothing(
    cli: Cli, client: Session, statement: str, place: str, said: str
) -> None:
    only(cli, r0001_a=tables("a"))
    assert cli("up").code == 0
    text = f"-- migrate:up\n{statement};\n-- migrate:irreversible a test\n"
    write(cli, "0002_b", text)
    err = told(cli("up"), 7, f"0002_b.cql:{place}: the server refused this statement: ", said)
    assert "The keyspace is at 0001; nothing of 0002 was applied." in err
    assert tables_of(client, cli.keyspace) == {"a"}
    assert cli.json("status")["revisions"][1]["state"] == "pending"


@pytest.mark.thorough
def test_a_refused_rebuild_is_told_in_its_file(cli: Cli, client: Session) -> None:
    """It was sent under the shadow's name and with an id: the place is the file's all the same."""
    only(cli, r0001_a=tables("a"))
    assert cli("up").code == 0
    client.execute(f"INSERT INTO {cli.keyspace}.a (id) VALUES (1)")
    run = ("up", "--yes", "--outage-accepted")
    write(cli, "0002_wide", REBUILT.replace("STATIC", "STATIK"))
    told(cli(*run), 7, "0002_wide.cql:6:15: the server refused this statement", "STATIK")
    write(cli, "0002_wide", REBUILT.replace(" STATIC", ""))
    err = told(cli(*run), 7, "0002_wide.cql:4:5: the server refused this statement", "nosuch")
    assert "    CREATE TABLE a (\n        id int,\n        x int,\n" in err
    assert "The keyspace is at 0001; nothing of 0002 was applied." in err
    write(cli, "0002_wide", REBUILT.replace(" STATIC", "").replace(" AND nosuch = 1", ""))
    assert cli(*run).code == 0
    assert client.execute(f"SELECT id, x FROM {cli.keyspace}.a").one() == {"id": 1, "x": None}


def test_a_refused_way_down(cli: Cli, client: Session) -> None:
    only(
        cli,
        r0001_a=(
            "-- migrate:up\nCREATE TABLE a (id int PRIMARY KEY);\n"
            "-- migrate:down\n-- migrate:partial a test\nALTER TABLE a WITH nosuch = 1;\n"
        ),
    )
    assert cli("up").code == 0
    err = told(cli("down", "base", "--yes"), 7, "0001_a.cql:5:1: the server refused this statement")
    assert "The keyspace is at 0001; nothing of 0001 was taken back." in err
    assert "0001  a  applied" in cli("status").out
    assert tables_of(client, cli.keyspace) == {"a"}


# -- history --------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_file_that_changed_after_it_was_applied(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"))
    assert cli("up").code == 0
    path = write(cli, "0001_a", tables("a", "b"))
    changed = ("0001_a.cql changed after it was applied", "calldrop-migrate show 1 --applied")
    told(cli("up"), 5, *changed, "nothing was changed", "calldrop-migrate new 'change a'")
    told(cli("verify"), 5, *changed)
    told(cli("down", "base", "--yes"), 5, *changed)
    shown = cli("show", "1", "--applied")
    assert shown.out == tables("a"), shown.err
    path.write_text(shown.out, encoding="utf-8")
    assert cli("up").code == 0


@pytest.mark.thorough
def test_a_history_ahead_of_the_folder(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    assert cli("up").code == 0
    (cli.folder / "migrations" / "0002_b.cql").unlink()
    result = cli("up")
    assert result.code == 0, result.err
    assert (
        "warning: the history is ahead of this folder: 0002 applied by a newer release"
        in result.err
    )
    assert f"{cli.keyspace} is at 0002, ahead of this folder" in result.out
    told(cli("up", "--strict"), 5, "ahead of this folder: 0002", "newer release's folder")
    assert "not in this folder" in cli("status").out


def test_irreversible(cli: Cli) -> None:
    only(
        cli,
        r0001_a=(
            "-- migrate:up\nCREATE TABLE a (id int PRIMARY KEY);\n-- migrate:irreversible no need\n"
        ),
    )
    assert cli("up").code == 0
    told(cli("down", "base", "--yes"), 5, "0001_a.cql says that it can't be taken back: no need")


# -- the keyspace ---------------------------------------------------------------------------------


def replicated(cli: Cli, **factors: object) -> None:
    text = "confirm = false\nkeep_shadow = 0\n\n[replication]\n"
    text += "".join(f"{name} = {factor}\n" for name, factor in factors.items())
    (cli.folder / "calldrop-migrate.toml").write_text(text, encoding="utf-8")


def test_replication_that_the_cluster_cannot_have(cli: Cli, datacenter: str) -> None:
    replicated(cli, **{datacenter: 99})
    told(cli("up"), 2, f"99 copies in {datacenter}", f"the cluster has {datacenter} (", "node")
    replicated(cli, mars=1)
    told(cli("up"), 2, "data centre 'mars'", f"the cluster has {datacenter} (", "replication")
    told(cli("plan", "--local-dc", "mars"), 2, "no data centre 'mars'", datacenter)


def test_a_keyspace_with_another_replication(cli: Cli, client: Session) -> None:
    only(cli, r0001_a=tables("a"))
    client.execute(
        f"CREATE KEYSPACE {cli.keyspace} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    result = cli("up")
    assert result.code == 0, result.err
    assert "warning: " in result.err
    assert "SimpleStrategy replication_factor: 1" in result.err
    assert "ALTER KEYSPACE" in result.err
    told(cli("verify"), 5, "has replication SimpleStrategy", "ALTER KEYSPACE", "is at 0001")


# -- the server -----------------------------------------------------------------------------------


def test_a_refused_port_and_an_unknown_name(cli: Cli) -> None:
    told(
        cli("status", env=NOWHERE), 10, "no server answers at 127.0.0.1, port 1: connection refused"
    )
    told(cli("up", "--hosts", "nosuch.invalid"), 10, "nosuch.invalid", "the name is not known")
    told(cli("up", "--hosts", "db.invalid:9042"), 10, "--hosts db.invalid --port 9042")
    two = told(cli("up", "--hosts", "127.0.0.1,127.0.0.2", "--port", "1"), 10, "connection refused")
    assert "--wait SECONDS" in two
    told_as_json(cli("up", "--json", env=NOWHERE), 10, "connection refused")


@pytest.mark.thorough
def test_hosts_that_never_answer(cli: Cli) -> None:
    """One, and eight with a wait, beside each other: each ends within its wait and 10 seconds,
    on a machine that has nothing else to do."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = str(first.getsockname()[1])
        hosts = ",".join(f"127.0.0.{n}" for n in range(1, 9))
        for n in range(2, 9):
            stack.enter_context(socket.create_server((f"127.0.0.{n}", int(port))))
        one = cli.start("status", "--hosts", "127.0.0.1", "--port", port)
        many = cli.start("status", "--hosts", hosts, "--port", port, "--wait", "1")
        began = time.monotonic()
        for process, limit in ((one, 20), (many, 21)):
            out, err = process.communicate(timeout=30)
            assert time.monotonic() - began < limit
            told(Result(process.returncode, out, err), 10, "no server answers", "no answer in time")


def test_what_does_not_speak_cql(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        port = str(web.getsockname()[1])
        process = cli.start("status", "--hosts", "127.0.0.1", "--port", port)
        for _ in range(2):
            peer, _ = web.accept()
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.close()
        web.close()
        out, err = process.communicate(timeout=30)
    told(Result(process.returncode, out, err), 10, "no server answers at 127.0.0.1")


def test_no_server_at_all(cli: Cli) -> None:
    err = told(cli("up", env={"CALLDROP_HOSTS": ""}), 10, "no hosts were given", "isn't running")
    assert "calldrop-migrate server start" in err
    assert "calldrop-migrate up --hosts 10.0.1.10" in err


# -- seeds ----------------------------------------------------------------------------------------

SEED = """\
from dataclasses import dataclass

TABLE = "a"


@dataclass
class Options:
    count: int = 3


def rows(random, now, options):
    yield {"id": 1}
    raise ValueError("no more of them")
"""


def test_faulty_seed_modules(cli: Cli) -> None:
    folder = cli.folder / "seeds"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    only(cli, r0001_a=tables("a"))
    (folder / "later.py").write_text(SEED, encoding="utf-8")
    (folder / "syntax.py").write_text("TABLE = 'a'\ndef rows(:\n", encoding="utf-8")
    (folder / "part.py").write_text("TABLE = 'a'\n", encoding="utf-8")
    (folder / "ends.py").write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    told(cli("seed", "syntax", env=NOWHERE), 4, "syntax.py:2:10: SyntaxError")
    told(cli("seed", "part", env=NOWHERE), 4, "part.py:1:1", "has no Options, rows")
    told(cli("seed", "ends", env=NOWHERE), 4, "ends.py:2:1: SystemExit")
    told(cli("seed", "../seeds/later", env=NOWHERE), 2, "no seed module", "later")
    told(cli("seed", "later"), 2, "has no table a", "calldrop-migrate up")
    assert cli("up").code == 0
    told(cli("seed", "later"), 4, "later.py:13:5: ValueError: no more of them")
    (folder / "later.py").write_text(
        SEED.replace('"id"', '"ident"').replace("raise", "# "), encoding="utf-8"
    )
    told(cli("seed", "later"), 2, "makes no id", "key")


# -- new ------------------------------------------------------------------------------------------


def test_new(cli: Cli) -> None:
    """Twice without filling the first; an odd name."""
    assert cli("new", "Add roaming!", env=NOWHERE).out.startswith(
        "migrations/0005_add_roaming.cql: "
    )
    made = json.loads(cli("new", "../é", "--json", env=NOWHERE).out)
    assert made == {"schema_version": 1, "path": "migrations/0006_e.cql", "seed": None}
    told(cli("up", env=NOWHERE), 4, "0005_add_roaming.cql:3:1: no statement after `-- migrate:up`")


@pytest.mark.thorough
def test_a_file_as_large_as_may_be(cli: Cli, client: Any) -> None:
    """Its text stands in the history as a whole; a larger one is refused when it is loaded."""
    text = tables("t")
    full = f"-- {'x' * (2**20 - len(text) - 4)}\n{text}"
    only(cli, r0001_t=full)
    ok(cli("up"))
    (row,) = client.execute(f"SELECT content FROM {cli.keyspace}.database_migrations")
    assert len(row["content"]) == 2**20
    write(cli, "0002_u", f"-- x{full}")
    told(cli("up"), 4, "0002_u.cql:1:1", "at most 1 MiB", "new rows --seed")
    (cli.folder / "migrations" / "0002_u.cql").unlink()
    ok(cli("down", "base", "--yes"))
