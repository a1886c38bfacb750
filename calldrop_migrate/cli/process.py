"""This process: who it is, for the lease, and what Ctrl-C does to it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from getpass import getuser
from pathlib import Path
from types import FrameType

from calldrop_migrate import commands
from calldrop_migrate.cli.render import say
from calldrop_migrate.engine.lease import Holder
from calldrop_migrate.errors import Interrupted


def this_process() -> Holder:
    """This process, so that another runner on this machine can see that it has died."""
    pid, boot = os.getpid(), _read("/proc/sys/kernel/random/boot_id")
    try:
        user = getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return Holder(
        user=user,
        host=socket.gethostname(),
        boot=boot,
        namespace=_namespace(),
        pid=pid,
        started=_started(pid),
        command=commands.again()[:200],
    )


def is_dead(holder: Holder) -> bool:
    """Tells whether a holder was a process of this machine and is no more: of the same boot and the
    same pid namespace.
    """
    here = this_process()
    if not here.boot or (holder.boot, holder.namespace) != (here.boot, here.namespace):
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is there, and another user's, who may have hidden what it is
        pass
    started = _started(holder.pid)
    return bool(started) and started != holder.started


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no path: `pid:[4026531836]`)
    except OSError:
        return ""


def _started(pid: int) -> str:
    """A process's start time in ticks since boot, or that it has ended; empty when unknown."""
    # Its name, in brackets, may hold blanks and brackets.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields:
        return ""
    return "ended" if fields[0] in "ZX" else fields[19]


class Stop:
    """Ctrl-C and SIGTERM, while this is entered, end the run at its next safe point; a second one
    at once.
    """

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Tells whether the run shall end."""
        return self._asked

    def __enter__(self) -> None:
        self._before = {
            s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        begin = "\n" if sys.stderr.isatty() else ""  # a terminal shows ^C
        say(f"{begin}stopping at the next safe point; once more to stop at once")

    def sleep(self, seconds: float) -> None:
        """Waits, which is a safe point.

        Raises:
            Interrupted: the run shall end.
        """
        until = time.monotonic() + seconds
        while not self._asked:
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))
        raise Interrupted("interrupted", hint="Run the same command again: it goes on from there.")
