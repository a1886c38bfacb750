"""A plugin: what `make test` leaves to `make test-faults`, and how many schedules were judged."""

from __future__ import annotations

import pytest

from tests.support.settings import FULL

SCHEDULES = "schedules"  # the property of a test: how many it judged, and of how many


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the simulator shows as well, unless a mark is asked for."""
    if FULL or config.option.markexpr:
        return
    twins = [item for item in items if item.get_closest_marker("twin")]
    config.hook.pytest_deselected(items=twins)
    items[:] = [item for item in items if item not in twins]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many schedules of the simulator were judged, and how many there are."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [dict(report.user_properties).get(SCHEDULES) for report in reports]
    judged = [pair for pair in told if pair]
    if judged:
        counts, totals = zip(*judged, strict=True)
        text = f"simulated: {sum(counts)} of {sum(totals)} schedules"
        terminalreporter.write_sep("-", text)
