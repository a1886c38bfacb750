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
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.support.calls import Calls
from tests.support.cli import Cli, Result
from tests.support.forks import state_of
from tests.support.held import DROP, First, let_go
from tests.support.sampling import sample
from tests.support.servers import Address
from tests.support.settings import BRIEF_KEPT, FULL, GO, OTHERS_KEPT, WAIT
from tests.support.told import ok, told, until
from tests.support.wire import Fault, Harm

STOPS = int(os.environ.get("CALLDROP_ROUNDS") or (100 if FULL else 1))


@pytest.mark.twin
def test_a_drop_lands_behind_the_run_that_took_over(mixed_calls: Calls, server: Address) -> None:
    """Its sender gave up waiting for the answer. It hits the table that the other one made."""
    first, cli = First(mixed_calls.cli, server), mixed_calls.cli
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("up", "2", *GO, env=OTHERS_KEPT))
        let_go(tap)
    told(cli("verify"), 5, "call_records: is gone")
    mixed_calls.check(2, perhaps_gone=True)
    ok(cli("up", *GO, env=OTHERS_KEPT))
    mixed_calls.check(4)


@pytest.mark.twin
@pytest.mark.parametrize("settle", ["0.3", "4"] if FULL else ["4"])
def test_a_drop_of_a_stopped_runner_lands_when_its_lease_is_over(
    mixed_calls: Calls, server: Address, settle: str
) -> None:
    """Behind the other run; or while that one waits for it, and then it is the other's own."""
    first, cli = First(mixed_calls.cli, server), mixed_calls.cli
    fault = Fault(1, "hold request", of=DROP, act=first.stop)
    with first.begun(fault, "up", "2", *GO) as tap:
        assert first.stopped.wait(60)
        env = OTHERS_KEPT | {"CALLDROP_SETTLE_TIME": settle}
        second = cli.start("up", "2", *GO, *WAIT, env=env)
        if settle == "4":
            until(lambda: (cli.json("status")["lease"] or {}).get("pid") == second.pid)
        else:
            assert second.wait(60) == 0
        let_go(tap)
        out, err = second.communicate(timeout=60)
        ok(Result(second.returncode or 0, out, err))
        told(first.ended(), 6, "lost")
    mixed_calls.check(2, perhaps_gone=settle != "4")


CASES = {
    "begin up": (r"^INSERT INTO .*database_migrations.* IF NOT EXISTS", ("up", "2")),
    "finish up": (r"^UPDATE .* SET state = 'SUCCEEDED', applied_at", ("up", "2")),
    "begin down": (r"^UPDATE .* SET state = 'IN_PROGRESS', attempt", ("down", "1")),
    "remove": (r"^DELETE FROM .*database_migrations.* IF state = 'IN_PROGRESS'", ("down", "1")),
}


@pytest.mark.twin
@pytest.mark.parametrize(
    ("case", "then"),
    [(case, then) for case in CASES for then in ("there", "back", "on")]
    if FULL
    else [("begin up", "back"), ("begin down", "on")],
)
def test_a_row_of_the_history_comes_late(
    mixed_calls: Calls, server: Address, case: str, then: str
) -> None:
    """Another run has finished the same meanwhile, and perhaps has gone back, or on to the end."""
    of, command = CASES[case]
    first, cli = First(mixed_calls.cli, server), mixed_calls.cli
    back, target = ("down", "1") if command[0] == "up" else ("up", "2"), int(command[1])
    if command[0] == "down":
        ok(cli("up", "2", *GO))
    # What is prepared is no write yet: only an execution has a reply that says [applied].
    fault = Fault(2, "hold request", of=of, act=first.stop)
    with first.begun(fault, *command, *GO) as tap:
        assert first.stopped.wait(60)
        if then == "on":
            ok(cli("up", *GO, *WAIT, env=OTHERS_KEPT))
            target = 4
        else:
            ok(cli(*command, *GO, *WAIT, env=OTHERS_KEPT))
        if then == "back":
            ok(cli(*back, *GO, env=OTHERS_KEPT))
            target = 3 - target
        let_go(tap)
        ended = first.ended()
    # What it wrote last may be as it wanted it, by whomever.
    codes = (0, 6, 8) if case in ("finish up", "remove") else (6, 8)
    assert ended.code in codes, ended
    # Whatever it left, the next run settles.
    ok(cli("up" if target > 1 else "down", str(target), *GO, env=OTHERS_KEPT))
    mixed_calls.check(target)


@pytest.mark.parametrize(
    "point", sample(["DROP TABLE call_records", "CREATE TABLE call_records ("])
)
def test_stopped_between_its_last_look_and_sending(
    mixed_calls: Calls, client: Any, cli: Cli, point: str
) -> None:
    """The lease is checked, nothing is sent yet: it goes out when another one has finished."""
    first = cli.begin(f"stop | checked | {point}", "up", "2", *GO, env=BRIEF_KEPT)
    until(lambda: state_of(first.pid) == "T")
    ok(mixed_calls.cli("up", "2", *GO, *WAIT, env=OTHERS_KEPT))
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    told(Result(first.returncode, out, err), 6, "lost")
    mixed_calls.check(2, perhaps_gone=True)


@pytest.mark.twin
def test_stopped_at_any_moment(
    make_cli: Callable[[str], Cli], client: Any, server: Address, draw: random.Random
) -> None:
    for at in range(STOPS):
        cli = make_cli(f"s_{uuid4().hex[:12]}")
        made, first = Calls(cli, client), First(cli, server)
        command, revision = (("up", *GO), 4) if at % 2 == 0 else (("down", "1", *GO), 1)
        if revision == 1:
            ok(cli("up", *GO, env=OTHERS_KEPT | {"CALLDROP_KEEP_SHADOW": "0"}))
        number = draw.randrange(25, 210)
        harms: list[Harm] = ["none", "hold request"]
        harm = draw.choice(harms)
        fault = Fault(number, harm, act=first.stop)
        print(f"{at} {command[0]} {fault}", end=" ", flush=True)
        with first.begun(fault, *command) as tap:
            until(first.is_over)
            ok(cli(*command, *WAIT, env=OTHERS_KEPT))
            if harm == "hold request" and tap.struck:
                let_go(tap)
            ended = first.ended()
        print(f"struck {tap.struck}: exit {ended.code}", flush=True)
        # A read that it stood still in looks to it like a server that does not answer: 10. What it
        # had sent itself looks, when it arrives, like what somebody else has done: 8.
        assert ended.code in (0, 6, 8, 10), f"{tap.struck}\n{ended.err}"
        made.check(revision, perhaps_gone=True)
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")
