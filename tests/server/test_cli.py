"""The command line as a person or a pipeline meets it: questions, Ctrl-C, waiting, JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session

from tests.support.bookkeeping import lease_of_another
from tests.support.cli import Cli, Result
from tests.support.terminal import Terminal
from tests.support.told import only, tables, told, until

CONFIRM = "confirm = true\nkeep_shadow = 0\n\n[replication]\n{} = 1\n"


def ends(process: subprocess.Popen[str], seconds: float = 60) -> Result:
    out, err = process.communicate(timeout=seconds)
    return Result(process.returncode, out, err)


def says(process: subprocess.Popen[str], words: str) -> None:
    """Waits for a line on stderr."""
    assert process.stderr
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


# -- questions ------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_down_asks_for_a_yes(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    assert cli("up").code == 0
    with Terminal(cli, "down", "1") as terminal:
        terminal.shows("Go on? [y/N]")
        assert "Down to 0001 takes back 1 revision:" in terminal.text
        assert "0002 b  DROP TABLE b" in terminal.text
        terminal.types("no\n")
        assert terminal.ends() == 2
        assert "not confirmed\n  Nothing was changed.\n" in terminal.text
        assert "To begin again:  calldrop-migrate down 1" in terminal.text
    for keys, code in (("", 130), ("\x04", 2)):
        with Terminal(cli, "down", "base") as terminal:
            terminal.shows("Go on? [y/N]")
            terminal.types(keys)
            assert (terminal.ends() if keys else terminal.interrupted()) == code
            assert "Nothing was changed." in terminal.text
            assert "Traceback" not in terminal.text
    with Terminal(cli, "down", "1", stdout=subprocess.DEVNULL) as terminal:
        terminal.shows("Go on? [y/N]")
        terminal.types("y\n")
        assert terminal.ends() == 0
    assert cli.json("status")["current"] == 1


def test_a_profile_that_confirms_asks_for_the_name(cli: Cli, datacenter: str) -> None:
    only(cli, r0001_a=tables("a"))
    (cli.folder / "calldrop-migrate.toml").write_text(CONFIRM.format(datacenter), encoding="utf-8")
    with Terminal(cli, "up") as terminal:
        terminal.shows(f"Type the keyspace's name ({cli.keyspace}) to go on:")
        terminal.types("yes\n")
        assert terminal.ends() == 2
        assert "not confirmed" in terminal.text
    told(cli("up", "--yes"), 2, "which --yes doesn't answer", f"--confirm {cli.keyspace}")
    assert cli("up", "--confirm", cli.keyspace).code == 0


@pytest.mark.thorough
def test_each_command_asks_for_the_name_where_a_profile_confirms(cli: Cli, datacenter: str) -> None:
    """Every changing command, also `up` on a new keyspace and `seed`; but not when there is nothing
    to do.
    """
    only(cli, r0001_a=tables("call_records").replace("id int", "source_phone_number text"))
    (cli.folder / "calldrop-migrate.toml").write_text(CONFIRM.format(datacenter), encoding="utf-8")
    question = f"Type the keyspace's name ({cli.keyspace}) to go on:"
    with Terminal(cli, "up") as terminal:
        terminal.shows(question)
        terminal.types("yes\n")
        assert terminal.ends() == 2
        assert "not confirmed" in terminal.text
    with Terminal(cli, "up") as terminal:
        terminal.shows(question)
        terminal.types(f"{cli.keyspace}\n")
        assert terminal.ends() == 0
        assert f"{cli.keyspace} is at 0001 (head)." in terminal.text
        assert "try: calldrop-migrate status" in terminal.text  # not: seed
    assert cli("up").code == 0
    with Terminal(cli, "seed") as terminal:
        terminal.shows(question)
        assert terminal.interrupted() == 130
        assert "Nothing was changed." in terminal.text
    name, unanswered = ("--confirm", cli.keyspace), "which --yes doesn't answer"
    told(cli("seed"), 2, "no terminal to ask on", f"calldrop-migrate seed --confirm {name[1]}")
    told(cli("seed", "--yes"), 2, unanswered, f"calldrop-migrate seed --yes --confirm {name[1]}")
    told(cli("down", "base"), 2, "no terminal to ask on", f"down base --confirm {name[1]}")
    for command in (("down", "base"), ("stamp", "base"), ("unlock",), ("clean",)):
        told(
            cli(*command, "--yes", "--confirm", "other"),
            2,
            f"the keyspace of this command is {name[1]}",
        )
    told(cli("down", "base", "--yes"), 2, unanswered)
    assert cli.json("status")["current"] == 1
    result = cli("down", "base", *name)
    assert result.code == 0, result.err
    assert cli.json("status")["current"] == 0


def test_no_terminal_and_no_yes(cli: Cli, client: Session) -> None:
    """--yes answers, and allows nothing: neither an outage nor a loss."""
    only(cli, r0001_a=tables("a"))
    assert cli("up").code == 0
    told(
        cli("down", "base", input="y\n"),
        2,
        "this has to be confirmed, and there is no terminal to ask on",
        "Nothing was changed.",
        "calldrop-migrate down base --yes",
    )
    client.execute(f"INSERT INTO {cli.keyspace}.a (id) VALUES (1)")
    told(cli("down", "base", "--yes"), 9, "a has rows", "--set-aside", "--discard-rows")
    refused = cli("plan", "base", "--json")
    assert refused.code == 9
    assert json.loads(refused.out)["refused"]["exit_code"] == 9
    assert cli("down", "base", "--yes", "--discard-rows").code == 0


def test_nobody_reads_what_a_run_says(cli: Cli) -> None:
    """A run goes on: only its result would be missed, and that is not what is closed here."""
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    read, write = os.pipe()
    os.close(read)
    program = str(Path(sys.executable).with_name("calldrop-migrate"))
    done = subprocess.run(
        [program, "up"],
        env=dict(cli.environment),
        cwd=cli.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 0
    assert "is at 0002 (head)" in done.stdout


def test_a_result_that_cannot_be_written(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"))
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        with Terminal(cli, "up", stdout=full.fileno()) as terminal:
            assert terminal.ends() == 1
        with Terminal(cli, "status", "--json", stdout=full.fileno()) as again:
            assert again.ends() == 1
    for shown in (terminal.text, again.text):
        assert shown.count("could not be written to stdout: No space left on device") == 1
        assert "Traceback" not in shown
    assert cli.json("status")["current"] == 1


# -- Ctrl-C ---------------------------------------------------------------------------------------


def made(client: Session, keyspace: str) -> int:
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    return sum(row["table_name"].startswith("t_") for row in client.execute(asked, (keyspace,)))


def test_interrupted_in_the_middle(cli: Cli, client: Session) -> None:
    """It stops behind the statement that is under way; the same command goes on there."""
    names = [f"t_{n:02d}" for n in range(30)]
    only(cli, r0001_many=tables(*names))
    process = cli.start("up")
    until(lambda: made(client, cli.keyspace) > 2)
    process.send_signal(signal.SIGINT)
    result = ends(process)
    told(
        result, 130, "stopping at the next safe point", "interrupted", "Run the same command again"
    )
    done = made(client, cli.keyspace)
    assert 2 < done < 30
    assert f"0001 is half-way (up): {done} of 30 operations are applied." in result.err
    status = cli("status")
    assert f"up, {done} of 30 operations applied" in status.out
    assert "Nobody holds the lease.\n  To go on: calldrop-migrate up 1\n" in status.out
    again = cli("up")
    assert again.code == 0, again.err
    assert f"resumes at operation {done + 1} of 30: CREATE TABLE t_{done:02d}" in again.err
    assert made(client, cli.keyspace) == 30
    log = cli.json("status", "--log")["log"]
    assert sum(event["event"] == "applied" for event in log) == 30


@pytest.mark.thorough
@pytest.mark.as_installed
def test_interrupted_while_waiting_for_a_server(cli: Cli) -> None:
    process = cli.start("up", "--hosts", "127.0.0.1", "--port", "1", "--wait", "60")
    says(process, "connection refused; trying for up to 60 s")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    told(ends(process), 130, "interrupted", "Nothing was changed.", "Run the same command again")
    assert time.monotonic() - began < 30  # not the 60 that it would have waited


@pytest.mark.thorough
@pytest.mark.as_installed
def test_a_lease_that_another_holds(cli: Cli, client: Session) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    assert cli("up", "1").code == 0
    with lease_of_another(client, cli.keyspace):
        told(
            cli("up"),
            6,
            f"the lease on {cli.keyspace} is held by ci@build-7 (pid 4121, `calldrop-migrate up`,",
            "Nothing was changed by this command.",
            "Wait for it:  calldrop-migrate up --wait-for-lease 120",
        )
        assert (
            "A run is at work: ci@build-7 (pid 4121, `calldrop-migrate up`) since"
            in cli("status").out
        )
        process = cli.start("up", "--wait-for-lease", "60")
        says(process, "waiting up to 60 s: the lease on")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        told(ends(process), 130, "interrupted", "Run the same command again")
        assert time.monotonic() - began < 30  # not the 60 that it would have waited
        process = cli.start("up", "--wait-for-lease", "60")
        says(process, "waiting up to 60 s: the lease on")
    result = ends(process)
    assert result.code == 0, result.err
    assert f"{cli.keyspace} is at 0002 (head)." in result.out


VIEW = """\
-- migrate:up
CREATE MATERIALIZED VIEW a_by_x AS SELECT x, id FROM a WHERE x IS NOT NULL AND id IS NOT NULL
    PRIMARY KEY (x, id);
-- migrate:down
DROP MATERIALIZED VIEW a_by_x;
"""
FUTURE = 4_000_000_000_000_000  # microseconds; the server's own writes of the status come too early


def pretend(client: Session, keyspace: str, status: str, when: int) -> None:
    """How far a view is built, as if the server had written it."""
    node = client.execute("SELECT host_id FROM system.local").one()["host_id"]
    client.execute(
        "INSERT INTO system_distributed.view_build_status (keyspace_name, view_name, host_id, "
        f"status) VALUES (%s, 'a_by_x', %s, %s) USING TIMESTAMP {when}",
        (keyspace, node, status),
    )


@pytest.mark.thorough
@pytest.mark.as_installed
@pytest.mark.cassandra_only("of a ScyllaDB the status of views can't be written")
def test_interrupted_while_a_view_is_built(cli: Cli, client: Session) -> None:
    """The runner that waits for the view holds the lease; another waits for that, and finishes what
    it left.
    """
    only(cli, r0001_a=tables("a").replace("id int", "x int, id int"), r0002_view=VIEW)
    assert cli("up", "1").code == 0
    pretend(client, cli.keyspace, "STARTED", FUTURE)
    first = cli.start("up")
    asked = "SELECT view_name FROM system_schema.views WHERE keyspace_name = %s"
    until(lambda: client.execute(asked, (cli.keyspace,)).one())
    held = told(cli("up"), 6, "is held by", f"pid {first.pid}", "--wait-for-lease 120")
    assert "Traceback" not in held
    second = cli.start("up", "--wait-for-lease", "60")
    says(second, "waiting up to 60 s: the lease on")
    first.send_signal(signal.SIGINT)
    told(ends(first), 130, "0002 is half-way (up): 1 of 2 operations are applied.")
    until(lambda: str(second.pid) in cli("status").out)
    pretend(client, cli.keyspace, "SUCCESS", FUTURE + 1)
    result = ends(second)
    assert result.code == 0, result.err
    assert cli("status", "--check").code == 0


# -- what is shown --------------------------------------------------------------------------------


@pytest.mark.thorough
def test_columns_stand_under_each_other(cli: Cli) -> None:
    """Whatever the titles: they are cut, and what follows them stays in its column."""
    only(
        cli,
        r0001_a=tables("a"),
        **{f"r0002_{'long_' * 20}name": tables(*(f"b{n}" for n in range(9)))},
        r0003_c=tables("c"),
    )
    with Terminal(cli, "up") as terminal:
        assert terminal.ends() == 0
        shown = [line for line in terminal.text.splitlines() if " s" in line and "CREATE" in line]
    below = cli("up", "--json").err.splitlines()[1:]
    assert not [line for line in below if "000" in line]
    rows = [line for line in shown if line.startswith("  000") and line.endswith(" s")]
    assert len(rows) == 3, shown
    assert len({line.index("CREATE TABLE") for line in rows}) == 1
    assert len({len(line) for line in rows}) == 1
    assert "CREATE TABLE b0 and 8 more" in rows[1]
    status = cli("status").out.splitlines()
    assert len({line.index(" applied ") for line in status[:3]}) == 1


def test_stdout_holds_json_and_nothing_else(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    for command in (
        ("up", "1"),
        ("plan",),
        ("status", "--log"),
        ("verify",),
        ("down", "base", "--yes"),
    ):
        result = cli(*command, "--json")
        assert result.code == 0, result.err
        document: Any = json.loads(result.out)
        assert document["schema_version"] == 1
        assert document.get("keyspace", cli.keyspace) == cli.keyspace
    assert document["finished"][0]["number"] == 1
