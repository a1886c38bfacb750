"""Our own grid over the token ring: fixed per attempt, never the cluster's layout.

Vnodes and tablets move, also in the middle of a copy; a checkpoint that names a part of our grid
stays true. Both servers' Murmur3Partitioner gives no key the lowest token (it becomes the highest),
so half-open ranges cover all.
"""

from __future__ import annotations

from dataclasses import dataclass

LOWEST = -(2**63)
HIGHEST = 2**63 - 1
_TOKENS = HIGHEST - LOWEST


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Tokens above `low`, up to and with `high`; `index` counts from 0 within its grid."""

    index: int
    low: int
    high: int


def grid(parts: int) -> tuple[Range, ...]:
    """The whole ring in `parts` ranges of equal width, but for one token.

    Raises:
        ValueError: `parts` below 1.
    """
    if parts < 1:
        raise ValueError("a grid has at least one range")
    edges = [LOWEST + _TOKENS * i // parts for i in range(parts + 1)]
    return tuple(Range(i, edges[i], edges[i + 1]) for i in range(parts))


def index_of(token: int, parts: int) -> int:
    """The index of the range of `grid(parts)` in which a token lies.

    It is the highest i whose lower edge, LOWEST + floor(TOKENS * i / parts), is below the token.
    """
    if parts < 1:
        raise ValueError("a grid has at least one range")
    return max(0, ((token - LOWEST) * parts - 1) // _TOKENS)
