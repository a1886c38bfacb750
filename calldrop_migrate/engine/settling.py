"""Tries reading or repeating several times: unknown is settled by that (docs/protocol.md 1).

A read at SERIAL finishes conditional writes that are under way, and gives up when others keep
coming; a node that was restarted is away for a moment. Neither is a sign of a server that is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from calldrop_migrate.errors import CalldropError

T = TypeVar("T")
TRIES = 5
_PAUSE = 0.2  # seconds, twice as long each time


def repeated(action: Callable[[], T], on: type[CalldropError], sleep: Callable[[float], None]) -> T:
    """Return what an action gives that is safe to repeat; tried again when it fails with `on`."""
    for again in range(TRIES - 1):
        try:
            return action()
        except on:
            sleep(_PAUSE * 2**again)
    return action()
