"""Ids that the engine makes up, from a counter of the simulated cluster: a run made again from the
same state makes the same ones.
"""

from __future__ import annotations

from functools import cache
from uuid import UUID, uuid5

from calldrop_migrate.engine import adopting, jobs, journal, planning, upkeep
from tests.support.simulator.cluster import Cluster

_SPACE = UUID("0b1d6f0e-9f1c-4d0d-8b4e-5a1f6a0f7d11")
_MAKERS = (adopting, jobs, journal, planning, upkeep)
_MADE_BY = "uuid4"
_of: list[Cluster] = []


def take_from(cluster: Cluster) -> None:
    """Let the ids of what runs next in this process come from a cluster's counter."""
    _replace()
    _of[:] = [cluster]


@cache
def _numbered(number: int) -> UUID:
    return uuid5(_SPACE, str(number))


def _next() -> UUID:
    cluster = _of[0]
    cluster.ids += 1
    return _numbered(cluster.ids)


@cache
def _replace() -> None:
    for module in _MAKERS:
        assert _MADE_BY in vars(module)
        setattr(module, _MADE_BY, _next)
