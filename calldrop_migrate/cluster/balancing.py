"""The order in which the driver asks nodes: those of one data centre, or any. Nothing else lives
here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from cassandra.policies import DCAwareRoundRobinPolicy, HostFilterPolicy, RoundRobinPolicy


class Patient(HostFilterPolicy):  # type: ignore[misc]  # the driver has no types
    """Stops proposing nodes when nobody has answered for long enough: the driver goes through them
    twice.

    Attributes:
        until: when that is (monotonic).
    """

    until = math.inf

    def make_query_plan(self, *args: Any, **more: Any) -> Iterator[Any]:
        """The nodes to ask, as long as there is time."""
        for host in super().make_query_plan(*args, **more):
            if time.monotonic() > self.until:
                return
            yield host


def balancing(local_dc: str) -> Patient:
    """Return a policy that takes the nodes of a data centre in turn, or all nodes."""
    policy = DCAwareRoundRobinPolicy(local_dc) if local_dc else RoundRobinPolicy()
    return Patient(policy, lambda host: True)
