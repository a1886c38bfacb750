"""Every command that a message names (calldrop_migrate/commands.py), typed as it stands there, in a
state in which it is printed: it ends with 0. Those that ask are answered by --yes.

tests/unit/test_commands.py sees that none is left out here; the embedded server's are in
test_embedded.py.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from calldrop_migrate import commands
from tests.support.bookkeeping import lease_of_another
from tests.support.cli import Cli, Result
from tests.support.sampling import sample
from tests.support.schema import ddl
from tests.support.servers import Address
from tests.support.settings import GO, KEPT, SHORT
from tests.support.told import ok, only, tables, told, write

YES = ("--yes",)
BROKEN = """\
-- migrate:up
CREATE TABLE b (id int PRIMARY KEY);
CREATE TABLE c (id int PRIMARY KEY, x nosuch);
-- migrate:down
DROP TABLE c;
DROP TABLE b;
"""
MENDED = BROKEN.replace("nosuch", "int")


def named(printed: Result, command: str) -> None:
    """Sees that a command was printed, which is typed elsewhere here."""
    said = printed.err + printed.out
    assert re.search(rf"{re.escape(command)}$", said, re.MULTILINE), f"no {command!r} in\n{said}"


def typed(
    cli: Cli,
    printed: Result,
    command: str,
    more: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> str:
    """Types a command that was printed; what it says."""
    named(printed, command)
    return ok(cli(*shlex.split(command)[1:], *more, env=env))


def test_through_the_revisions(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"), r0003_c=tables("c"))
    typed(cli, cli("verify"), commands.up())
    typed(cli, cli("up", "1"), commands.down_to(1), YES)
    typed(cli, cli("down", "3"), commands.up_to(3))
    typed(cli, cli("up", "+1"), commands.status())
    typed(cli, cli("down", "2"), "calldrop-migrate down 2 --yes")
    typed(cli, cli("down"), commands.down_one(), YES)
    named(cli("up", "2"), commands.up())
    named(cli("down", "-1"), commands.down_one())
    named(cli("down", "1", "--yes"), commands.status())
    typed(cli, cli("down"), commands.down_to(0), YES)
    named(cli("seed"), commands.up())
    typed(cli, cli("seed", "nobody"), commands.seed_list())
    typed(cli, cli("show", "base"), commands.show(1))
    typed(cli, cli("diff", "2", "2"), commands.diff_example())


@pytest.mark.thorough
def test_what_comes_after_a_run_needs_no_flag(filled: Cli) -> None:
    """Not `up` where it would end with 9."""
    told(filled("up"), 9, "--outage-accepted")
    typed(filled, filled("up", "2", *GO), commands.up())
    typed(filled, filled("down", "1", *GO), commands.status())
    (filled.folder / "migrations" / "0005_more.cql").write_text(tables("more"), encoding="utf-8")
    typed(filled, filled("up", *GO), commands.seed())
    again = ok(filled("seed", "--random-seed", "3", "--now", "2026-11-23T00:00:00Z"))
    assert "calldrop-migrate seed --random-seed 3 --now 2026-11-23T00:00:00.000Z" in again


def test_seeding_again(cli: Cli) -> None:
    ok(cli("up", "1"))
    said = cli("seed", "--users", "3", "--random-seed", "3")
    (again,) = re.findall(r"The same rows again:  (.*)", said.out)
    assert again == commands.seed(*shlex.split(again)[2:])
    assert "verified" in typed(cli, said, again)


def test_an_interrupted_revision(cli: Cli, client: Any) -> None:
    only(cli, r0001_a=tables("a"), r0002_bc=BROKEN)
    told(cli("up"), 7, "0002_bc.cql:3:1")
    printed = cli("status")
    write(cli, "0002_bc", MENDED)
    assert "is at 0002" in typed(cli, printed, commands.resume("up", 2))
    # Taken back, because its file is not there; with the rows that a table of it got.
    for rows, way in ((0, commands.abort), (1, commands.abort_discarding)):
        write(cli, "0003_ef", BROKEN.replace("TABLE b", "TABLE e").replace("TABLE c", "TABLE f"))
        told(cli("up"), 7, "0003_ef.cql")
        for row in range(rows):
            client.execute(f"INSERT INTO {cli.keyspace}.e (id) VALUES ({row})")
        (cli.folder / "migrations" / "0003_ef.cql").unlink()
        printed = cli("up") if not rows else cli("abort", "--yes")
        typed(cli, printed, way(), YES)  # commands.abort() and commands.abort_discarding()
    assert cli.json("status")["current"] == 2


@pytest.mark.thorough
def test_an_interrupted_way_down(cli: Cli) -> None:
    """See test_bad_input.py, too, for a refusal on the way down."""
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    refused = "DROP TABLE d;\nALTER TABLE a WITH nosuch = 1"
    write(cli, "0003_d", tables("d").replace("DROP TABLE d", refused))
    ok(cli("up"))
    told(cli("down", "2", "--yes"), 7, "0003_d.cql:5:1")
    printed = cli("status")
    write(cli, "0003_d", tables("d"))
    assert "is at 0002" in typed(cli, printed, commands.resume("down", 3), YES)


def test_a_drop_that_may_still_arrive(filled: Cli) -> None:
    killed = filled.at("kill | before | DROP TABLE call_records", "up", "2", *GO, env=KEPT | SHORT)
    assert killed.code == -signal.SIGKILL
    printed = filled("abort", "--yes", env=KEPT | SHORT)
    typed(filled, printed, commands.abort_at_once(), YES, env=KEPT | SHORT)


@pytest.mark.thorough
def test_a_copy_that_is_gone(filled: Cli, client: Any) -> None:
    """There is no way back, and none forwards; test_docs.py types `stamp` and `show`, too."""
    killed = filled.at("kill | before | COPY call_records__", "up", "2", *GO)
    assert killed.code == -signal.SIGKILL
    (copy,) = (t for t in table_names(client, filled) if t.startswith("call_records__0002_"))
    ddl(client, filled, f"DROP TABLE KS.{copy}")
    printed = filled("abort", "--yes", env=SHORT)
    assert "call_timestamp" in typed(filled, printed, commands.show_schema(2))
    typed(filled, printed, commands.stamp(), YES, env=SHORT)
    assert filled.json("status")["current"] == 2


def table_names(client: Any, cli: Cli) -> list[str]:
    found = client.execute(
        "SELECT table_name AS n FROM system_schema.tables WHERE keyspace_name = %s", [cli.keyspace]
    )
    return [row["n"] for row in found if "$" not in row["n"]]  # ScyllaDB's own


@pytest.mark.thorough
def test_a_second_copy_that_has_more_than_the_table(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=KEPT))
    ddl(client, filled, "DELETE FROM KS.call_records WHERE source_phone_number = '+11'")
    printed = filled("clean", "--keep-shadow", "0", "--yes", env=KEPT)
    clean = f"{commands.clean_discarding()} --keep-shadow 0"
    assert "DROP TABLE call_records__0002_" in typed(filled, printed, clean, YES, env=KEPT)


def test_a_file_that_was_edited(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"))
    ok(cli("up"))
    write(cli, "0001_a", tables("a", "b"))
    printed = cli("up")
    assert "CREATE TABLE a" in typed(cli, printed, commands.show_applied(1))
    assert "CREATE TABLE a" in typed(cli, cli("status"), commands.show_applied(1))
    assert "0002_change_a.cql" in typed(cli, printed, commands.new("change a"))


def test_a_schema_that_has_drifted(cli: Cli, client: Any) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    ok(cli("up", "1"))
    ddl(client, cli, "ALTER TABLE KS.a WITH default_time_to_live = 60")
    for command in ("up", "verify"):
        named(cli(command), commands.restore())
    typed(cli, cli("status"), commands.restore(), YES)
    ddl(client, cli, "ALTER TABLE KS.a ADD more int")
    typed(cli, cli("repair", "--restore", "--yes"), commands.accept(), YES)
    ok(cli("up"))


@pytest.mark.thorough
def test_a_keyspace_without_a_history(cli: Cli, client: Any) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    ok(cli("up"))
    lost = [f"DROP TABLE KS.{name}" for name in table_names(client, cli) if "migration" in name]
    ddl(client, cli, *lost)
    typed(cli, cli("up"), commands.stamp_at(2), YES)
    ddl(client, cli, *lost, "ALTER TABLE KS.b ADD more int")
    assert "column more" in typed(cli, cli("up"), commands.diff_live("head"))
    assert "column more" in typed(cli, cli("stamp", "--yes"), commands.diff_live(2))
    ddl(client, cli, "DROP TABLE KS.a", "DROP TABLE KS.b", "CREATE TABLE KS.z (a int PRIMARY KEY)")
    typed(cli, cli("up"), commands.stamp_base(), YES)
    ok(cli("up"))


def test_a_lease_that_another_holds(cli: Cli, client: Any) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    ok(cli("up", "1"))
    with lease_of_another(client, cli.keyspace):
        token = cli.json("status")["lease"]["token"]
        wait = "calldrop-migrate up --wait-for-lease 120"
        assert wait in told(cli("up"), 6, "is held by")
        waiting = cli.start(*shlex.split(wait)[1:])
        typed(cli, cli("verify"), commands.status())
        typed(cli, cli("unlock"), commands.unlock_from(token), YES)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, out + err


def test_no_files_yet(cli: Cli) -> None:
    only(cli)
    typed(cli, cli("up"), commands.new("initial"))
    printed = cli("new", "next")
    only(cli, r0001_a=tables("a"), r0002_next=tables("b"))
    typed(cli, printed, commands.plan())
    (cli.folder / "migrations").rename(cli.folder / "elsewhere")
    assert f"{cli.keyspace}" in typed(cli, cli("plan"), "calldrop-migrate plan --demo")
    typed(cli, cli("plan"), commands.new("initial"))


def test_a_file_that_is_too_large_because_it_has_rows(cli: Cli) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=f"-- {'x' * 2**20}\n{tables('b')}")
    printed = cli("up")
    write(cli, "0002_b", tables("b"))
    ok(cli("up"))
    typed(cli, printed, commands.new_seed("rows"))


def test_calls_that_cannot_be_understood(cli: Cli) -> None:
    typed(cli, cli("up", "--nonsense"), commands.help_on("up"))
    typed(cli, cli("up", env={"CALLDROP_HOST": "h"}), commands.help_settings())
    ok(cli("up", "1"))
    ok(cli(*shlex.split(commands.log())[1:]))  # printed where this package has a bug


def test_a_project_of_cassandra_migrate(cli: Cli, project: Any, peer: Any) -> None:
    typed(cli, cli("up"), commands.adopt(), YES)
    ok(cli("up"))


@contextmanager
def where(cli: Cli, server: Address) -> Iterator[tuple[Cli, tuple[str, ...]]]:
    """The command line without its environment, and the flags that say the same."""
    lost = ("CALLDROP_HOSTS", "CALLDROP_PORT", "CALLDROP_KEYSPACE")
    (cli.folder / "migrations").rename(cli.folder / "my files")
    bare = Cli(
        cli.folder,
        cli.keyspace,
        {k: v for k, v in cli.environment.items() if k not in lost},
        forks=cli.forks,
    )
    flags = ("-k", cli.keyspace, "--hosts", server.hosts[0], "--port", str(server.port))
    yield bare, (*flags, "--migrations", "my files")


@pytest.mark.parametrize("command", sample(["verify", "seed", "status"]))
def test_flags_that_were_typed_are_repeated(cli: Cli, server: Address, command: str) -> None:
    """Each ends in the keyspace that the first call was about."""
    with where(cli, server) as (bare, flags):
        printed = bare(command, *flags)
        assert "is at 0004" in typed(bare, printed, f"{commands.up()} {shlex.join(flags)}")
        assert bare.json("status", *flags)["current"] == 4
        told(bare("status"), 10, "no hosts were given")
