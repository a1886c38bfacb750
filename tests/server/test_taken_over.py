"""What an attempt's dead runner still has on its way, when another run has gone on with the attempt
or taken it back; and the ways out where the journal was lost, or a row of the history came late.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.bookkeeping import history
from tests.support.cli import Cli, Result
from tests.support.held import First, let_go
from tests.support.servers import Address
from tests.support.settings import OTHERS_KEPT
from tests.support.terminal import Terminal
from tests.support.told import ok, only, told, until
from tests.support.wire import Fault

pytestmark = pytest.mark.thorough

FINISH = r"^UPDATE .* SET state = 'SUCCEEDED', applied_at"
REMOVE = r"^DELETE FROM .*database_migrations.* IF state = 'IN_PROGRESS'"
ONE = "-- migrate:up\nCREATE TABLE one (a int PRIMARY KEY);\n-- migrate:down\nDROP TABLE one;\n"
TWO = ONE.replace("one", "two")


class Killed(First):
    """A runner that is killed where `First` is stopped."""

    def stop(self) -> None:
        self._begun.wait(10)
        self.process.send_signal(signal.SIGKILL)
        self.stopped.set()


@pytest.fixture
def killed(cli: Cli, server: Address) -> Killed:
    return Killed(cli, server)


def held(killed: Killed, pattern: str) -> Fault:
    """The first execution of it, a preparation being no write yet."""
    return Fault(2, "hold request", of=pattern, act=killed.stop)


def test_an_end_that_arrives_behind_an_abort(killed: Killed, client: Any, tmp_path: Path) -> None:
    """All of it had run. The history must not say that it is there when it was taken back."""
    cli, begun = killed.cli, tmp_path / "begun"
    only(cli, r0001_one=ONE, r0002_two=TWO)
    ok(cli("up", "1"))
    with killed.begun(held(killed, FINISH), "up") as tap:
        assert killed.stopped.wait(60)
        point = f"sh touch {begun}; sleep 3 | before | DROP TABLE two"
        abort = cli.begin(point, "abort", "--yes", env=OTHERS_KEPT)
        until(begun.exists)
        let_go(tap)
        out, err = abort.communicate(timeout=60)
        ok(Result(abort.returncode, out, err))
        killed.ended()
    ok(cli("verify"))
    assert history(client, cli) == [(1, "SUCCEEDED")]
    ok(cli("up"))
    ok(cli("verify"))
    assert history(client, cli) == [(1, "SUCCEEDED"), (2, "SUCCEEDED")]


def test_a_withdrawal_that_arrives_behind_the_mended_file(killed: Killed, client: Any) -> None:
    """Nothing of it had run, so it was to be pending again; it has run to its end since."""
    cli = killed.cli
    only(cli, r0001_one=ONE, r0002_two=TWO.replace("a int", "a nothing"))
    ok(cli("up", "1"))
    with killed.begun(held(killed, REMOVE), "up") as tap:
        assert killed.stopped.wait(60)
        only(cli, r0001_one=ONE, r0002_two=TWO)
        ok(cli("up", env=OTHERS_KEPT))
        let_go(tap)
        killed.ended()
    ok(cli("verify"))
    assert history(client, cli) == [(1, "SUCCEEDED"), (2, "SUCCEEDED")]


# -- a journal that was lost -----------------------------------------------------------------------


def test_an_answered_accept_records_the_schema(cli: Cli, client: Any) -> None:
    only(cli, r0001_one=ONE)
    ok(cli("up"))
    client.execute(f"DROP TABLE {cli.keyspace}.migration_journal")
    with Terminal(cli, "repair", "--accept") as terminal:
        terminal.shows("Go on? [y/N]")
        terminal.types("y\n")
        assert terminal.ends() == 0, terminal.text
    ok(cli("verify"))
    client.execute(f"ALTER TABLE {cli.keyspace}.one ADD more int")
    told(cli("verify"), 5, "column more added")


def test_half_way_and_the_journal_lost(cli: Cli, client: Any) -> None:
    only(cli, r0001_one=ONE, r0002_two=TWO)
    ok(cli("up", "1"))
    gone = cli.at("kill | after | CREATE TABLE two", "up", env=OTHERS_KEPT)
    assert gone.code == -signal.SIGKILL
    client.execute(f"DROP TABLE {cli.keyspace}.migration_journal")
    for command in (("up",), ("abort", "--yes")):
        told(cli(*command, env=OTHERS_KEPT), 5, "journal", "calldrop-migrate stamp")
    told(cli("stamp", "1", "--yes", env=OTHERS_KEPT), 5, "two: exists")
    assert "0002: what was begun of it is forgotten" in ok(
        cli("stamp", "2", "--yes", env=OTHERS_KEPT)
    )
    ok(cli("verify"))
    ok(cli("down", "base", "--yes", "--discard-rows"))
    assert history(client, cli) == []
