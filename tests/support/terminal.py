"""A command on a real terminal: what it shows there, and answers that are typed."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.support.cli import Cli

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`calldrop-migrate` with a terminal for input and output, or for all but its stdout."""

    def __init__(self, cli: Cli, *args: str, stdout: int | None = None, columns: int = 100) -> None:
        self._ours, theirs = pty.openpty()
        self.raw = ""
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name("calldrop-migrate")), *args],
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            env={**cli.environment, "TERM": "xterm", "COLUMNS": str(columns)},
            cwd=cli.folder,
            preexec_fn=_own_terminal,
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def text(self) -> str:
        """All that was shown, without colours."""
        return _CONTROL.sub("", self.raw).replace("\r\n", "\n")

    def shows(self, words: str, seconds: float = 60) -> None:
        """Waits until it does."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def types(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def ends(self, seconds: float = 60) -> int:
        """Its exit code."""
        while self._read():
            pass
        return self._process.wait(seconds)

    def interrupted(self) -> int:
        """Its exit code behind Ctrl-C; again where that came too soon, as a person would: Python
        doesn't see one that comes between the question and the reading of the answer.
        """
        for _ in range(6):
            self.types("\x03")
            while self._read(10):
                pass
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(1)
        raise AssertionError(self.text)

    def _read(self, seconds: float = 60) -> bool:
        ready, _, _ = select.select([self._ours], [], [], seconds)
        try:
            found = os.read(self._ours, 65536) if ready else b""
        except OSError:  # the last one closed its end
            found = b""
        self.raw += found.decode(errors="replace")
        return bool(found)


def _own_terminal() -> None:
    """In the child: Ctrl-C on its terminal is a signal to it."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
