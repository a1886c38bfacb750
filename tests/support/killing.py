"""Runs that are killed: at a point that is named, or when they send their Nth request."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from tests.support.cli import Cli, Result
from tests.support.servers import Address
from tests.support.settings import QUICK, SHORT
from tests.support.wire import HANDSHAKE, Fault, Harm, tapped

AGAIN = 4  # runs behind a kill, at most


def killed(cli: Cli, at: str, *command: str, env: dict[str, str] = SHORT) -> None:
    assert cli.at(f"kill | {at}", *command, env=env).code == -signal.SIGKILL


class Killing:
    """Runs commands through a proxy, and kills them there, `delay` seconds behind a fault."""

    def __init__(self, cli: Cli, server: Address, draw: random.Random) -> None:
        self.cli, self.server, self.draw = cli, server, draw
        self.kills = 0

    def run(self, command: tuple[str, ...], fault: Fault | None = None) -> tuple[Result, int]:
        """One run; how many requests it sent."""
        pids: list[int] = []
        begun = threading.Event()

        def kill() -> None:
            begun.wait(10)
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pids[0], 9)

        if fault is not None:
            act = kill if not fault.delay else threading.Timer(fault.delay, kill).start
            fault = replace(fault, act=act)
        with tapped(self.server.hosts[0], self.server.port, fault) as tap:
            env = QUICK | {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
            process = self.cli.start(*command, env=env)
            pids.append(process.pid)
            begun.set()
            out, err = process.communicate(timeout=120)
        self.kills += process.returncode == -9
        sent = sum(request.kind not in HANDSHAKE for request in tap.requests)
        return Result(process.returncode, out, err), sent

    def until_done(self, moments: Sequence[float], requests: int, command: tuple[str, ...]) -> str:
        """Killed at each of the moments, parts of a whole run; then run until it is done."""
        told = []
        for moment in moments:
            number = 1 + int(moment * requests)
            harm: Harm = self.draw.choice(["swallow request", "none", "none"])
            delay = self.draw.choice([0.0, self.draw.uniform(0, 0.1)]) if harm == "none" else 0.0
            fault = Fault(number, harm, delay)
            result, sent = self.run(command, fault)
            told.append(f"{fault}: exit {result.code} behind {sent} requests\n{result.err}")
            if result.code == 0:  # it needed fewer: there was less left to do
                return "\n".join(told)
            assert result.code == -9, "\n".join(told)
        for _ in range(AGAIN):
            again, _ = self.run(command)
            told.append(f"again: exit {again.code}\n{again.err}")
            assert again.code in (0, 6, 8, 10), "\n".join(told)
            if again.code == 0:
                return "\n".join(told)
        raise AssertionError("\n".join(told))
