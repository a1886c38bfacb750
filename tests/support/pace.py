"""The patience of this run's tests: a node that needs longer for everything gets longer.

Limits in seconds, the times of leases, pauses and delays are written for a Cassandra on this
machine, and are multiplied. A ScyllaDB gets four times as much, since a CREATE TABLE took it
seconds among many others; CALLDROP_TEST_PACE says another number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

OF_SCYLLA = 4.0
_TIMES = ("CALLDROP_LEASE_TTL", "CALLDROP_DDL_TIMEOUT", "CALLDROP_SETTLE_TIME")
_PAUSE = re.compile(r"(?<=^pause )[\d.]+")


class Pace:
    """The factor: 1 until the server of the run is known."""

    factor = 1.0


PACE = Pace()


def go_by(*, scylla: bool) -> None:
    """Settle the pace once it is known which server it is."""
    given = os.environ.get("CALLDROP_TEST_PACE")
    PACE.factor = float(given) if given else OF_SCYLLA if scylla else 1.0


def seconds(of_cassandra: float) -> float:
    """As many for the server of this run."""
    return of_cassandra * PACE.factor


def slowed(environment: Mapping[str, str], factor: float) -> dict[str, str]:
    """Settings of a run with its lease, its timeout and its settle time multiplied."""
    times = {n: f"{float(environment[n]) * factor:g}" for n in _TIMES if n in environment}
    return {**environment, **(times if factor != 1 else {})}


def paused(point: str, factor: float) -> str:
    """A point of tests/support/at.py with its pause multiplied."""
    return _PAUSE.sub(lambda found: f"{float(found[0]) * factor:g}", point)
