"""Two runners on one simulated cluster, of which one moves at a time: threads that hand a baton to
each other at given statements, so that the same places give the same run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from tests.support.simulator.faults import Schedule
from tests.support.simulator.runs import Ended

Run = Callable[[Schedule], Ended]
PATIENCE = 60  # seconds of the real clock; nothing that is simulated takes one


class _Runner:
    """A run in a thread of its own, which stands still before one of its statements, or at one of
    the points between them.
    """

    def __init__(self, threads: Executor, run: Run, stands_at: int, *, point: bool = False) -> None:
        self._threads, self._run, self._at = threads, run, stands_at
        self._schedule = Schedule()
        if point:
            self._schedule.point = self._before
        else:
            self._schedule.before = self._before
        self._stopped, self._mine = threading.Event(), threading.Event()
        self._work: Future[Ended] | None = None

    def _before(self, number: int) -> None:
        if number == self._at:
            self._stopped.set()
            self._mine.wait(PATIENCE)

    def go(self) -> None:
        """Let it move until it stands still or ends."""
        if self._work is None:
            self._work = self._threads.submit(self._run, self._schedule)
            self._work.add_done_callback(lambda work: self._stopped.set())
        elif self._work.done():
            return
        else:
            self._stopped.clear()
            self._mine.set()
        if not self._stopped.wait(PATIENCE):
            raise AssertionError("a runner of the simulator hangs")

    def result(self) -> Ended:
        """Return how it ended."""
        assert self._work is not None
        return self._work.result(PATIENCE)


def together(
    first: Run, second: Run, first_at: int, second_at: int, *, point: bool = False
) -> list[Ended]:
    """Let the first move until before its statement of that number; then the second, until before
    its own; then the first to its end, and the second to its.

    Args:
        point: the first one's number is of a point between two statements.

    Returns:
        How they ended.
    """
    with ThreadPoolExecutor(2) as threads:
        runners = [
            _Runner(threads, first, first_at, point=point),
            _Runner(threads, second, second_at),
        ]
        for runner in (*runners, *runners):
            runner.go()
        return [runner.result() for runner in runners]
