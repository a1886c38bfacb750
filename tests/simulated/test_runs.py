"""The four CallDrop revisions on the simulated cluster: a run is killed at any statement, or one of
its statements is lost, refused, answered late, or arrives behind later ones, or another run comes
between; and then the same command comes again, or an `abort`. What must hold is in
tests/support/simulator/holding.py.

`CALLDROP_TESTS=full` takes every schedule, otherwise some are drawn; `CALLDROP_SEED` draws them
again. A schedule that breaks something is printed as a line: `tests/support/replay LINE` makes it
again, here and on a real server.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import pytest

from tests.support.sampling import SCHEDULES
from tests.support.settings import FULL
from tests.support.simulator import families
from tests.support.simulator.exploring import Explorer
from tests.support.simulator.families import Draw
from tests.support.simulator.holding import Broken
from tests.support.simulator.judging import judge
from tests.support.simulator.lines import Line, parse

SEED = int(os.environ.get("CALLDROP_SEED") or 507)


@cache
def _explorer(journey: str) -> Explorer:
    """Families on one journey share what is known of it."""
    return Explorer(parse(journey).journey)


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("draw", families.ALL, ids=str)
def test_nothing_is_lost(way: str, draw: Draw, record_property: Callable[..., None]) -> None:
    explorer = _explorer(f"{way} {draw.journey}")
    judged, stand_for, broken = 0, 0.0, list[str]()
    for schedules, these in (draw.whole() if FULL else draw).drawn(explorer, SEED):
        judged, stand_for = judged + len(schedules), stand_for + these
        for parts in schedules:
            try:
                judge(explorer, Line(explorer.journey, parts))
            except Broken as found:
                broken.append(str(found))
    record_property(SCHEDULES, (judged, round(stand_for)))
    assert judged
    assert not broken, f"{len(broken)} of {judged} schedules:\n\n" + "\n\n".join(broken[:5])


@pytest.mark.parametrize(
    "text",
    [
        "up keep=0; killed 14; killed 9",
        "down keep=7 elsewhere scylla; held 9 arrives 20",
        "up keep=0 slow=15 clock=-10 abort again; pauses 3 while 9; delayed 4 by 44",
        "up keep=0; lags 14 for 45",
    ],
)
def test_a_line_is_read_as_it_is_printed(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "sideways", "up; killed", "up; held 9", "up; killed 1 at 2", "up slow=1 slow=2"]
)
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no "):
        parse(text)
