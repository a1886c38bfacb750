"""Mutations of the engine, each noticed by a schedule of the simulator: the list is in
tests/support/mutations.py. `python -m tests.support.mutating` searches for the schedule.
"""

from __future__ import annotations

import pytest

from tests.support.mutating import noticed
from tests.support.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.title for m in MUTATIONS])
def test_it_is_noticed(mutation: Mutation) -> None:
    assert noticed(mutation, mutation.notices)
