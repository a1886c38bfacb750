"""Commands end when they are done: scylla-driver's default reactor makes the end of some processes
5 s late.
"""

from __future__ import annotations

import statistics
import time

import pytest

from tests.support.cli import Cli

pytestmark = [pytest.mark.as_installed, pytest.mark.thorough]
STALL = 3.0  # seconds; the stall is 5, everything else about a second on a busy machine


def test_no_status_ends_late(cli: Cli) -> None:
    assert cli("up", "1").code == 0
    took = []
    for _ in range(20):
        began = time.monotonic()
        assert cli("status").code == 0
        took.append(time.monotonic() - began)
    # Many ended late; of a busy machine one may.
    late = [seconds for seconds in took if seconds > statistics.median(took) + STALL]
    assert len(late) <= 1, took
