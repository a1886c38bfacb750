"""The token grid: the whole ring, once, and one answer for where a token lies."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calldrop_migrate.core.ranges import HIGHEST, LOWEST, grid, index_of

PARTS = st.one_of(st.integers(1, 300), st.sampled_from([1024, 4096]))
TOKENS = st.one_of(
    st.integers(LOWEST, HIGHEST), st.integers(LOWEST, LOWEST + 9), st.integers(HIGHEST - 9, HIGHEST)
)


def test_one_range_is_the_ring() -> None:
    (ring,) = grid(1)
    assert (ring.index, ring.low, ring.high) == (0, -(2**63), 2**63 - 1)


@given(PARTS)
@settings(max_examples=25)
def test_the_ring_is_covered_once(parts: int) -> None:
    ranges = grid(parts)
    assert len(ranges) == parts
    assert ranges[0].low == LOWEST
    assert ranges[-1].high == HIGHEST
    for at, (one, following) in enumerate(pairwise(ranges)):
        assert one.index == at
        assert one.high == following.low
    widths = {r.high - r.low for r in ranges}
    assert max(widths) - min(widths) <= 1
    assert min(widths) > 0


@given(PARTS)
@settings(max_examples=25)
def test_index_of_every_edge(parts: int) -> None:
    for part in grid(parts):
        assert index_of(part.low + 1, parts) == part.index
        assert index_of(part.high, parts) == part.index


@given(TOKENS, PARTS)
@settings(max_examples=50)
def test_index_of_any_token(token: int, parts: int) -> None:
    part = grid(parts)[index_of(token, parts)]
    # No key has the lowest token; asked about it all the same, the first range is the answer.
    assert part.low < token <= part.high or (token == LOWEST and part.index == 0)


@given(PARTS)
@settings(max_examples=20)
def test_the_grid_is_always_the_same(parts: int) -> None:
    """Checkpoints of an earlier run name ranges by their index."""
    assert grid(parts) == grid(parts)


def test_a_known_grid() -> None:
    """These edges are in checkpoints: they never change."""
    assert [r.low for r in grid(4)] == [
        -9223372036854775808,
        -4611686018427387905,
        -1,
        4611686018427387903,
    ]


@pytest.mark.parametrize("parts", [0, -1])
def test_no_ranges(parts: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        grid(parts)
    with pytest.raises(ValueError, match="at least one"):
        index_of(0, parts)
