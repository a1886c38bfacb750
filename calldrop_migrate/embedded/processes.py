"""Processes of the operating system: start one that outlives us, know it again, end it.

A pid alone says nothing: after a crash or a reboot another process may wear it. So a process is a
pid together with the moment it began, and a mark that must stand in its command line; all three are
looked at before a signal is sent. What the processes are for is not known here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The shell leaves at once, so the program becomes init's child: it stays when its starter goes, and
# is never our zombie. Errors go to the log from the first moment: "not found" is one of them.
_DETACH = 'exec 2>>"$0"; "$@" </dev/null >>"$0" & echo $!'


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started here; `began` is opaque and only compared."""

    pid: int
    began: str


def detach(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
    """Start `command` in a session of its own; everything it prints is appended to `log`."""
    import subprocess

    started = subprocess.run(
        ["/bin/sh", "-c", _DETACH, str(log), *command],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    pid = int(started.stdout)
    began, line = _look(pid)
    until = time.monotonic() + 1
    # For a moment it is still the shell, and for another one it has no command line at all.
    while (not line or _DETACH in line) and time.monotonic() < until:
        time.sleep(0.005)
        _, line = _look(pid)
    return Process(pid, began)


def alive(process: Process, mark: str) -> bool:
    """Return whether this very process runs: same pid, same beginning, `mark` in its
    command line.
    """
    began, command = _look(process.pid)
    return bool(began) and began == process.began and mark in command


def is_gone(pid: int) -> bool:
    """Return whether no process of this machine has that pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, and alive
        pass
    return False


def terminate(processes: Iterable[Process], mark: str, grace: float) -> bool:
    """Ask all to end, kill those that still run after `grace` seconds; whether any ran at all."""
    left = [process for process in processes if alive(process, mark)]
    if not left:
        return False
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        for process in left:
            _signal(process, number)
        until = time.monotonic() + patience
        while left and time.monotonic() < until:
            time.sleep(0.05)
            left = [process for process in left if alive(process, mark)]
    return True


def _signal(process: Process, number: signal.Signals) -> None:
    # It may have ended between the look and the signal, which is what was wanted.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _look(pid: int) -> tuple[str, str]:
    """Return when the process began, and its command line; two empty strings when there is none."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        return _ask_ps(pid)
    try:
        # The second field is the program's name in parentheses, and may hold any character.
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        command = (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return "", ""
    state, began = fields[0], fields[19]
    return ("", "") if state in "ZX" else (began, command.decode(errors="replace"))


def _ask_ps(pid: int) -> tuple[str, str]:
    import subprocess

    asked = subprocess.run(
        ["ps", "-ww", "-o", "stat=", "-o", "lstart=", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, *words = asked.stdout.split() or ["Z"]
    return ("", "") if state.startswith("Z") else (" ".join(words[:5]), " ".join(words[5:]))
