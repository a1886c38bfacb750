"""Unknown is settled by reading (PROTOCOLS.md 1), and such a read may itself need a second try.

A read at SERIAL finishes conditional writes that are under way, and gives up when others keep
coming: under contention that is no sign of a server that is away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from calldrop_migrate.errors import Unreachable

T = TypeVar("T")
TRIES = 4


def settled(read: Callable[[], T]) -> T:
    """What a read gives that other runners can get in the way of.

    Raises:
        Unreachable: it gave nothing in several tries.
    """
    for _ in range(TRIES - 1):
        try:
            return read()
        except Unreachable:
            continue
    return read()
