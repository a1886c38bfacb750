"""No more rows a second than a cluster that is in use can spare (--max-rows-per-second)."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_NAP = 0.5  # seconds, after which the lease is looked at


class Pace:
    """Holds up whoever tells it of rows.

    Args:
        most: rows a second; None is as fast as it goes.
        between: is called while it waits; may raise.
    """

    def __init__(
        self, most: float | None, sleep: Callable[[float], None], between: Callable[[], None]
    ) -> None:
        self._most = most
        self._sleep = sleep
        self._between = between
        self._next = 0.0  # on the monotonic clock

    def __call__(self, rows: int) -> None:
        """So many rows were read or made: returns when it is time for more."""
        if self._most is None:
            return
        self._next = max(self._next, monotonic()) + rows / self._most
        while (left := self._next - monotonic()) > 0:
            self._between()
            self._sleep(min(left, _NAP))
