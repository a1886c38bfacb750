"""`calldrop-migrate` as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.forks import Forks
from tests.support.pace import paused, slowed
from tests.support.places import PROJECT


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a process: its exit code, and its output."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Cli:
    """`calldrop-migrate` as a process, in a folder and on a keyspace of the test's own.

    Without `forks` it is the program as it is installed. `pace` multiplies the times of its lease.
    """

    folder: Path
    keyspace: str
    environment: Mapping[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    forks: Forks | None = None
    pace: float = 1.0

    def __call__(
        self,
        *args: str,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
    ) -> Result:
        process = self._popen(args, env, cwd, typed=input is not None)
        with process:
            try:
                out, err = process.communicate(input, timeout * self.pace)
            except BaseException:
                process.kill()
                raise
        return Result(process.returncode, out, err)

    def at(
        self, point: str, *args: str, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> Result:
        """A process that does something to itself at a point of its run (tests/support/at.py)."""
        process = self.begin(point, *args, env=env)
        out, err = process.communicate(timeout=timeout * self.pace)
        return Result(process.returncode, out, err)

    def begin(
        self, point: str, *args: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Such a process, not waited for."""
        process: subprocess.Popen[str] = self._popen(args, env, None, at=point)
        self.started.append(process)
        return process

    def decoding(self, *args: str) -> Result:
        """As with a driver that decodes all that it reads: see tests/support/decoding.py."""
        return self.changed("decoding", *args)

    def changed(self, script: str, *args: str) -> Result:
        """The program with something of it changed by a script of tests/support/."""
        done = subprocess.run(
            [sys.executable, PROJECT / "tests" / "support" / f"{script}.py", *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environment,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """A process to be killed in the middle; what still runs when the test ends is killed."""
        process: subprocess.Popen[str] = self._popen(args, env, cwd)
        self.started.append(process)
        return process

    def json(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Any:
        """The result that the command prints with --json."""
        result = self(*args, "--json", env=env, cwd=cwd)
        try:
            return json.loads(result.out)
        except ValueError:
            raise AssertionError(f"no JSON: {result}") from None

    def _popen(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        *,
        typed: bool = False,
        at: str = "",
    ) -> Any:
        environment = slowed({**self.environment, **(env or {})}, self.pace)
        folder, at = cwd or self.folder, paused(at, self.pace)
        if self.forks and not typed:
            return self.forks.begin(args, environment, folder, at)
        program = Path(sys.executable).with_name("calldrop-migrate")
        begin = [sys.executable, PROJECT / "tests" / "support" / "at.py", at] if at else [program]
        return subprocess.Popen(
            [*begin, *args],
            stdin=subprocess.PIPE if typed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=folder,
        )

    def end(self) -> None:
        """Kill what was started and still runs."""
        for process in self.started:
            process.kill()
            process.communicate()
