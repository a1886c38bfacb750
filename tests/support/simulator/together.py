"""Two runners on one simulated cluster, of which one moves at a time: threads that hand a baton to
each other at given statements, so that the same places give the same run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.simulator.faults import Schedule
from tests.support.simulator.runs import Ended

Run = Callable[[Schedule], Ended]
PATIENCE = 60  # seconds of the real clock; nothing that is simulated takes one


class _Runner:
    """A run in a thread of its own, which stands still before one of its statements."""

    def __init__(self, run: Run, stands_at: int) -> None:
        self._at = stands_at
        self._turn, self._mine = threading.Event(), threading.Event()
        self._run = run
        self._ended: list[Ended | BaseException] = []
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            self._ended.append(self._run(Schedule(before=self._before)))
        except BaseException as error:
            self._ended.append(error)
        finally:
            self._turn.set()

    def _before(self, number: int) -> None:
        if number == self._at:
            self._turn.set()
            self._mine.wait(PATIENCE)

    def go(self) -> None:
        """Let it move until it stands still or ends."""
        self._turn.clear()
        if self._thread.ident is None:
            self._thread.start()
        elif self._thread.is_alive():
            self._mine.set()
        else:
            return
        if not self._turn.wait(PATIENCE):
            raise AssertionError("a runner of the simulator hangs")

    def result(self) -> Ended:
        """Return how it ended."""
        self._thread.join(PATIENCE)
        (ended,) = self._ended
        if isinstance(ended, BaseException):
            raise ended
        return ended


def together(first: Run, second: Run, first_at: int, second_at: int) -> list[Ended]:
    """Let the first move until before its statement of that number; then the second, until before
    its own; then the first to its end, and the second to its.

    Returns:
        How they ended.
    """
    runners = [_Runner(first, first_at), _Runner(second, second_at)]
    for runner in (*runners, *runners):
        runner.go()
    return [runner.result() for runner in runners]
