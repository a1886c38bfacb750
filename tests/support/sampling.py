"""A plugin: what `make test` leaves to `make test-faults`, and how many schedules were judged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.settings import FULL

SCHEDULES = "schedules"  # the property of a test: how many it judged, and of how many
LEFT = pytest.StashKey[int]()  # how many tests were left out
LATER = ("twin", "thorough")  # marks


def sample(cases: Iterable[Any], stay: int = 1) -> list[Any]:
    """Mark all cases of a table `thorough` but the first of them, which `stay` in `make test`."""
    return [
        case
        if at < stay
        else pytest.param(
            *(case if isinstance(case, tuple) else [case]), marks=pytest.mark.thorough
        )
        for at, case in enumerate(cases)
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a mark leaves to `make test-faults`, unless a mark, or a test, is named."""
    if FULL or config.option.markexpr or any("::" in arg for arg in config.args):
        return
    later = [item for item in items if any(map(item.get_closest_marker, LATER))]
    config.stash[LEFT] = len(later)
    config.hook.pytest_deselected(items=later)
    items[:] = [item for item in items if item not in later]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells how many it left out: all of them collect the same."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if left := getattr(node, "workeroutput", {}).get("left"):
        node.config.stash[LEFT] = left


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how many schedules of the simulator were judged, and how many tests were left out."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [dict(report.user_properties).get(SCHEDULES) for report in reports]
    judged = [pair for pair in told if pair]
    if judged:
        counts, totals = zip(*judged, strict=True)
        text = f"simulated: {sum(counts)} of {sum(totals)} schedules"
        terminalreporter.write_sep("-", text)
    if left := config.stash.get(LEFT, 0):
        terminalreporter.write_sep("-", f"{left} tests are left to make test-faults")
