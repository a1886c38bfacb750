"""Mutations of the engine, each noticed by a schedule of the simulator: the list is in
tests/support/mutations.py. `python -m tests.support.mutating` searches for the schedule.
"""

from __future__ import annotations

import pytest

from tests.support.mutating import noticed
from tests.support.mutations import MUTATIONS, UPKEEP, Mutation
from tests.support.simulator.exploring import Explorer
from tests.support.simulator.judging import judge
from tests.support.simulator.lines import parse

LINES = sorted({mutation.notices for mutation in MUTATIONS if "::" not in mutation.notices})


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.title for m in MUTATIONS])
def test_it_is_noticed(mutation: Mutation) -> None:
    assert noticed(mutation, mutation.notices)


@pytest.mark.parametrize("text", LINES)
def test_without_any_it_holds(text: str) -> None:
    line = parse(text)
    judge(Explorer(line.journey), line)


@pytest.mark.parametrize("nothing", ["up keep=0; eaten 3", f"{UPKEEP}test_nothing"])
def test_what_is_no_schedule_notices_nothing(nothing: str) -> None:
    with pytest.raises(RuntimeError, match=MUTATIONS[0].title):
        noticed(MUTATIONS[0], nothing)
