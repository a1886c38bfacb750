"""Which node the driver asks next: those of one data centre, or any. Nothing else lives here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from cassandra.policies import DCAwareRoundRobinPolicy, RoundRobinPolicy


class _Patient:
    """Stops proposing nodes when nobody has answered for long enough: the driver goes through them
    twice.
    """

    until = math.inf

    def make_query_plan(self, *args: Any, **more: Any) -> Iterator[Any]:
        """The nodes to ask, as long as there is time."""
        for host in super().make_query_plan(*args, **more):  # type: ignore[misc]
            if time.monotonic() > self.until:
                return
            yield host


class AnyNode(_Patient, RoundRobinPolicy):  # type: ignore[misc]
    """All nodes in turn."""


class DataCentre(_Patient, DCAwareRoundRobinPolicy):  # type: ignore[misc]
    """Those of one data centre in turn."""


def balancing(local_dc: str) -> AnyNode | DataCentre:
    """For a data centre by name, or for all."""
    return DataCentre(local_dc) if local_dc else AnyNode()
