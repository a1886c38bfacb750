"""A runner that stands still, or whose statement is kept back, while others go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.cli import Cli, Result
from tests.support.pace import seconds
from tests.support.servers import Address
from tests.support.settings import BRIEF_KEPT
from tests.support.wire import Fault, Rewriting, Tap, tapped

DROP = r"^DROP TABLE call_records\b"


class First:
    """The runner that is in for it."""

    def __init__(
        self, cli: Cli, server: Address, rewriting: Callable[[], Rewriting] | None = None
    ) -> None:
        self.cli, self.server, self.rewriting = cli, server, rewriting
        self.stopped = threading.Event()
        self._begun = threading.Event()

    def stop(self) -> None:
        self._begun.wait(10)
        self.process.send_signal(signal.SIGSTOP)
        self.stopped.set()

    @contextmanager
    def begun(
        self, fault: Fault | None, *command: str, env: Mapping[str, str] = BRIEF_KEPT
    ) -> Iterator[Tap]:
        with tapped(self.server.hosts[0], self.server.port, fault, self.rewriting) as tap:
            here = {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
            self.process: Any = self.cli.start(*command, env={**env, **here})
            self._begun.set()
            yield tap

    def kill(self) -> None:
        self._begun.wait(10)
        self.process.kill()

    def is_over(self) -> bool:
        """It stands still, or has ended without."""
        return self.stopped.is_set() or self.process.poll() is not None

    def ended(self) -> Result:
        self.process.send_signal(signal.SIGCONT)
        out, err = self.process.communicate(timeout=seconds(60))
        return Result(self.process.returncode, out, err)


def let_go(tap: Tap) -> None:
    tap.let_go.set()
    assert tap.answered.wait(seconds(30))
