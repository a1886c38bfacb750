"""A runner that stands still, or whose statement is kept back, for longer than its lease lasts:
another one takes over and finishes, and then the first, or its statement, comes back.

The lease can't stop what has been sent already (docs/protocol.md 3). What must hold: every row is
in the table or in its second copy, from where `repair` brings it back; the history is true; the
first runner says that it lost the lease.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Address, Cli, Result
from tests.server.test_kills import FULL, draw, history
from tests.server.test_rebuild_rows import AT_1, AT_2, Writer, calls, write_mixed
from tests.support import cells
from tests.support.cells import Rows
from tests.support.forks import state_of
from tests.support.told import ok, told, until
from tests.support.wire import Fault, Harm, Tap, tapped

__all__ = ["draw"]
STOPS = int(os.environ.get("CALLDROP_ROUNDS") or (100 if FULL else 1))
GO = ("--yes", "--outage-accepted")
WAIT = ("--wait-for-lease", "60")
# A second copy is kept: without it a statement that comes this late may destroy the only one.
SHORT = {
    "CALLDROP_DDL_TIMEOUT": "1.5",
    "CALLDROP_LEASE_TTL": "4",
    "CALLDROP_SETTLE_TIME": "0.3",
    "CALLDROP_KEEP_SHADOW": "7",
}
# Of the runs behind it nothing is asked in a hurry: they share the machine.
OTHERS = SHORT | {"CALLDROP_DDL_TIMEOUT": "10", "CALLDROP_LEASE_TTL": "20"}
# A TTL counts from when the server gets it: cells that are written late end late.
MINUTE = 60
DROP = r"^DROP TABLE call_records\b"


class Calls:
    """Revision 1 with calls, and what they must be at revision 2."""

    def __init__(self, cli: Cli, client: Any) -> None:
        self.cli, self.client = cli, client
        ok(cli("up", "1"))
        writer = Writer(client, cli.keyspace)
        write_mixed(writer, each=2)
        self.at_1, shape = calls(client, cli)
        self.at_2 = cells.by(self.at_1, shape, AT_2)

    def wanted(self, revision: int) -> Rows:
        if revision > 1:
            return self.at_2
        shape = cells.columns(self.client, self.cli.keyspace, "call_records")
        return cells.by(self.at_2, cells.Columns(AT_2, shape.regular), AT_1)

    def check(self, revision: int, *, perhaps_gone: bool = False) -> None:
        """That nothing is lost, and the history is true; from the second copy if need be."""
        cli, number = self.cli, revision
        if perhaps_gone and cli("verify").code == 5:
            ok(cli("repair", "--restore", "--yes", env=OTHERS))
        ok(cli("verify"))
        now, _ = calls(self.client, cli)
        times = {"earlier": 3 * cells.EARLIER, "later": MINUTE if perhaps_gone else cells.LATER}
        assert cells.differences(self.wanted(revision), now, **times) == []
        assert history(self.client, cli) == [(n, "SUCCEEDED") for n in range(1, number + 1)]


@pytest.fixture
def filled(cli: Cli, client: Any) -> Calls:
    return Calls(cli, client)


class First:
    """The runner that is in for it."""

    def __init__(self, cli: Cli, server: Address) -> None:
        self.cli, self.server = cli, server
        self.stopped = threading.Event()
        self._begun = threading.Event()

    def stop(self) -> None:
        self._begun.wait(10)
        self.process.send_signal(signal.SIGSTOP)
        self.stopped.set()

    @contextmanager
    def begun(self, fault: Fault, *command: str, env: Mapping[str, str] = SHORT) -> Iterator[Tap]:
        with tapped(self.server.hosts[0], self.server.port, fault) as tap:
            here = {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
            self.process: Any = self.cli.start(*command, env={**env, **here})
            self._begun.set()
            yield tap

    def kill(self) -> None:
        self._begun.wait(10)
        self.process.kill()

    def is_over(self) -> bool:
        """Whether it stands still, or has ended without."""
        return self.stopped.is_set() or self.process.poll() is not None

    def ended(self) -> Result:
        self.process.send_signal(signal.SIGCONT)
        out, err = self.process.communicate(timeout=60)
        return Result(self.process.returncode, out, err)


def let_go(tap: Tap) -> None:
    tap.let_go.set()
    assert tap.answered.wait(30)


def test_a_drop_lands_behind_the_run_that_took_over(filled: Calls, server: Address) -> None:
    """Its sender gave up waiting for the answer. It hits the table that the other one made."""
    first, cli = First(filled.cli, server), filled.cli
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("up", "2", *GO, env=OTHERS))
        let_go(tap)
    told(cli("verify"), 5, "call_records: is gone")
    filled.check(2, perhaps_gone=True)
    ok(cli("up", *GO, env=OTHERS))
    filled.check(4)


@pytest.mark.parametrize("settle", ["0.3", "4"] if FULL else ["4"])
def test_a_drop_of_a_stopped_runner_lands_when_its_lease_is_over(
    filled: Calls, server: Address, settle: str
) -> None:
    """Behind the other run; or while that one waits for it, and then it is the other's own."""
    first, cli = First(filled.cli, server), filled.cli
    fault = Fault(1, "hold request", of=DROP, act=first.stop)
    with first.begun(fault, "up", "2", *GO) as tap:
        assert first.stopped.wait(60)
        env = OTHERS | {"CALLDROP_SETTLE_TIME": settle}
        second = cli.start("up", "2", *GO, *WAIT, env=env)
        if settle == "4":
            until(lambda: (cli.json("status")["lease"] or {}).get("pid") == second.pid)
        else:
            assert second.wait(60) == 0
        let_go(tap)
        out, err = second.communicate(timeout=60)
        ok(Result(second.returncode or 0, out, err))
        told(first.ended(), 6, "lost")
    filled.check(2, perhaps_gone=settle != "4")


CASES = {
    "begin up": (r"^INSERT INTO .*database_migrations.* IF NOT EXISTS", ("up", "2")),
    "finish up": (r"^UPDATE .* SET state = 'SUCCEEDED', applied_at", ("up", "2")),
    "begin down": (r"^UPDATE .* SET state = 'IN_PROGRESS', attempt", ("down", "1")),
    "remove": (r"^DELETE FROM .*database_migrations.* IF state = 'IN_PROGRESS'", ("down", "1")),
}


@pytest.mark.parametrize(
    ("case", "then"),
    [(case, then) for case in CASES for then in ("there", "back", "on")]
    if FULL
    else [("begin up", "back"), ("begin down", "on")],
)
def test_a_row_of_the_history_comes_late(
    filled: Calls, server: Address, case: str, then: str
) -> None:
    """Another run has finished the same meanwhile, and perhaps has gone back, or on to the end."""
    of, command = CASES[case]
    first, cli = First(filled.cli, server), filled.cli
    back, target = ("down", "1") if command[0] == "up" else ("up", "2"), int(command[1])
    if command[0] == "down":
        ok(cli("up", "2", *GO))
    # What is prepared is no write yet: only an execution has a reply that says [applied].
    fault = Fault(2, "hold request", of=of, act=first.stop)
    with first.begun(fault, *command, *GO) as tap:
        assert first.stopped.wait(60)
        if then == "on":
            ok(cli("up", *GO, *WAIT, env=OTHERS))
            target = 4
        else:
            ok(cli(*command, *GO, *WAIT, env=OTHERS))
        if then == "back":
            ok(cli(*back, *GO, env=OTHERS))
            target = 3 - target
        let_go(tap)
        ended = first.ended()
    # What it wrote last may be as it wanted it, by whomever.
    codes = (0, 6, 8) if case in ("finish up", "remove") else (6, 8)
    assert ended.code in codes, ended
    # Whatever it left, the next run settles.
    ok(cli("up" if target > 1 else "down", str(target), *GO, env=OTHERS))
    filled.check(target)


@pytest.mark.parametrize("point", ["DROP TABLE call_records", "CREATE TABLE call_records ("])
def test_stopped_between_its_last_look_and_sending(
    filled: Calls, client: Any, cli: Cli, point: str
) -> None:
    """The lease is checked, nothing is sent yet: it goes out when another one has finished."""
    first = cli.begin(f"stop | checked | {point}", "up", "2", *GO, env=SHORT)
    until(lambda: state_of(first.pid) == "T")
    ok(filled.cli("up", "2", *GO, *WAIT, env=OTHERS))
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    told(Result(first.returncode, out, err), 6, "lost")
    filled.check(2, perhaps_gone=True)


def test_stopped_at_any_moment(
    make_cli: Callable[[str], Cli], client: Any, server: Address, draw: random.Random
) -> None:
    for at in range(STOPS):
        cli = make_cli(f"s_{uuid4().hex[:12]}")
        made, first = Calls(cli, client), First(cli, server)
        command, revision = (("up", *GO), 4) if at % 2 == 0 else (("down", "1", *GO), 1)
        if revision == 1:
            ok(cli("up", *GO, env=OTHERS | {"CALLDROP_KEEP_SHADOW": "0"}))
        number = draw.randrange(25, 210)
        harms: list[Harm] = ["none", "hold request"]
        harm = draw.choice(harms)
        fault = Fault(number, harm, act=first.stop)
        print(f"{at} {command[0]} {fault}", end=" ", flush=True)
        with first.begun(fault, *command) as tap:
            until(first.is_over)
            ok(cli(*command, *WAIT, env=OTHERS))
            if harm == "hold request" and tap.struck:
                let_go(tap)
            ended = first.ended()
        print(f"struck {tap.struck}: exit {ended.code}", flush=True)
        # A read that it stood still in looks to it like a server that does not answer: 10. What it
        # had sent itself looks, when it arrives, like what somebody else has done: 8.
        assert ended.code in (0, 6, 8, 10), f"{tap.struck}\n{ended.err}"
        made.check(revision, perhaps_gone=True)
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")
