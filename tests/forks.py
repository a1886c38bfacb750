"""`calldrop-migrate` as processes that begin at once: forks of one that has imported everything.

A run of a few milliseconds of work takes half a second of imports, which hundreds of rounds can't
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.conftest import PROJECT, Cli


class Forked:
    """A process of a `Forks`, with what `subprocess.Popen` has of methods."""

    def __init__(self, forks: Forks, pid: int, files: Sequence[Path]) -> None:
        self.pid = pid
        self.returncode: int | None = None
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
        if self.returncode is None and state_of(self.pid) == "Z":
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = self._forks.wait(self.pid, timeout or 600)
        return self.returncode

    def send_signal(self, number: int) -> None:
        # Nobody waits for it before we do, so its pid is its own until then.
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
            [sys.executable, str(PROJECT / "tests" / "preloaded.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="calldrop-forks-")
        self._begun = 0
        self._told()

    def begin(self, args: Sequence[str], env: Mapping[str, str], cwd: Path) -> Forked:
        self._begun += 1
        files = [Path(self._folder.name) / f"{name} {self._begun}" for name in ("out", "err")]
        asked = {"args": [*args], "env": dict(env), "cwd": str(cwd), "files": [*map(str, files)]}
        self._send(asked)
        return Forked(self, self._told(), files)

    def wait(self, pid: int, timeout: float) -> int:
        self._send({"wait": pid})
        pipe = self._process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], timeout)[0]:
            os.kill(pid, signal.SIGKILL)
            self._told()
            raise subprocess.TimeoutExpired("calldrop-migrate", timeout)
        return self._told()

    def end(self) -> None:
        self._process.communicate(timeout=10)
        self._folder.cleanup()

    def _send(self, question: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()

    def _told(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@dataclass(frozen=True, slots=True)
class ForkedCli(Cli):
    """The command, as such processes."""

    forks: Forks | None = None

    def _popen(self, args: tuple[str, ...], env: Any, cwd: Any, stdin: int, *program: Any) -> Any:
        assert self.forks is not None
        if program:  # tests/at.py changes the program it runs
            return super(ForkedCli, self)._popen(args, env, cwd, stdin, *program)
        return self.forks.begin(args, {**self.environment, **(env or {})}, cwd or self.folder)


@contextmanager
def forking() -> Iterator[Forks]:
    forks = Forks()
    try:
        yield forks
    finally:
        forks.end()


def of(cli: Cli, forks: Forks) -> ForkedCli:
    return ForkedCli(cli.folder, cli.keyspace, cli.environment, cli.started, forks)
