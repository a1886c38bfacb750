"""`calldrop-migrate` as processes that begin at once: forks of one that has imported everything.

A run of a few milliseconds of work takes half a second of imports, which thousands of them can't
wait for. What begins here is a process like any other: a pid, a connection, memory of its own, and
SIGKILL ends it. The one that they are forked from runs no thread and has never connected.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType

PRELOADED = Path(__file__).with_name("preloaded.py")


class Forked:
    """A process of a `Forks`, with what `subprocess.Popen` has of methods."""

    def __init__(self, forks: Forks, pid: int, files: Sequence[Path]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        # Its pid stays its own until it has been waited for.
        self._ended = os.pidfd_open(pid)
        self._forks = forks
        self._files = files
        self._said: list[str] = []

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()
        self.wait(10)

    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]:
        assert input is None
        self.wait(timeout)
        if not self._said:
            self._said = [file.read_text(encoding="utf-8") for file in self._files]
            for file in self._files:
                file.unlink()
        out, err = self._said
        return out, err

    def poll(self) -> int | None:
        """Its exit code if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._ended, select.POLLIN)
            if not ended.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("calldrop-migrate", timeout or 0)
            os.close(self._ended)
            self.returncode = self._forks.ask({"wait": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def state_of(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return stat.rpartition(")")[2].split()[0]


class Forks:
    """The process that the others are forked from."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PRELOADED)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="calldrop-forks-")
        self._numbers = count(1)
        self._one = threading.Lock()
        self._told()

    def begin(self, args: Sequence[str], env: Mapping[str, str], cwd: Path, at: str = "") -> Forked:
        """`calldrop-migrate` with these arguments; `at` as in tests/support/at.py."""
        number = next(self._numbers)
        files = [Path(self._folder.name) / f"{name} {number}" for name in ("out", "err")]
        asked = {"args": [*args], "env": dict(env), "cwd": str(cwd), "at": at}
        return Forked(self, self.ask({**asked, "files": [*map(str, files)]}), files)

    def end(self) -> None:
        self._process.communicate(timeout=10)
        self._folder.cleanup()

    def ask(self, question: Mapping[str, object]) -> int:
        """One answer to each question, whichever thread asks."""
        with self._one:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            return self._told()

    def _told(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def forking() -> Iterator[Forks]:
    forks = Forks()
    try:
        yield forks
    finally:
        forks.end()
