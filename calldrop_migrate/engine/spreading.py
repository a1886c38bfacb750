"""Ranges of a copy, worked on by other processes (pools.py). How a process connects is the caller's
(`Connect`); what it does in a range is the same code as in this one.

A copy may write only while its run holds the lease. So what another process does looks for itself,
each second and before its first write, whether the lease is still that run's and the tables still
the same ones; the run that lost it, or was killed, has no say any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.engine import journal
from calldrop_migrate.engine.pacing import Pace
from calldrop_migrate.engine.pools import Crew, Pool, connected, forget
from calldrop_migrate.engine.ports import CopyTask, Database, at_once, go_on
from calldrop_migrate.engine.ranging import Do
from calldrop_migrate.engine.sameness import see_same
from calldrop_migrate.errors import LeaseLost, OutcomeUnknown, Unreachable

LOOKS = 1.0  # seconds between two looks at the lease and at the tables


@dataclass(frozen=True, slots=True)
class Tenure:
    """The lease under which a task is worked on, and the ids of its tables."""

    keyspace: str
    token: UUID
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leg:
    """Ranges of a task for another process.

    Attributes:
        do: what is done; `more` are its other arguments.
        most: rows a second, of this process.
    """

    connect: bytes = field(repr=False)  # a worker that logs its work must not tell the password
    do: Do
    task: CopyTask
    ranges: tuple[Range, ...]
    tenure: Tenure
    more: Mapping[str, Any] = field(default_factory=dict)
    most: float | None = None


class Spread:
    """Ranges of one run's copies, by other processes.

    Args:
        connect: pickled.
        token: of the lease that this run holds.
    """

    def __init__(
        self, crew: Crew, connect: bytes, keyspace: str, token: Callable[[], UUID | None]
    ) -> None:
        self.crew = crew
        self._connect = connect
        self._keyspace = keyspace
        self._token = token

    def over(
        self,
        pool: Pool,
        do: Do,
        task: CopyTask,
        ranges: Sequence[Range],
        ids: Mapping[str, str],
        most: float | None,
        **more: Any,
    ) -> Iterator[tuple[Range, Any]]:
        """Yield what `do` gives, from all of them."""
        token = self._token()
        assert token is not None, "copies are made under the lease"
        tenure = Tenure(self._keyspace, token, ids)
        plain = replace(task, between=go_on, pace=at_once)  # what is called is not sent
        each = most and most / pool.width
        legs = (Leg(self._connect, do, plain, (r,), tenure, more, each) for r in ranges)
        for _, found in pool.over(work, legs, task.between):
            yield from found


def work(leg: Leg) -> list[tuple[Range, Any]]:
    """Works on a leg, in another process."""
    try:
        database = connected(leg.connect)
        between = Watch(database, leg.tenure)
        pace = Pace(leg.most, sleep, between)
        task = replace(leg.task, between=between, pace=pace)
        return list(leg.do(database.bulk, task, leg.ranges, **leg.more))
    except (OutcomeUnknown, Unreachable):
        forget(leg.connect)
        raise


class Watch:
    """Looks, now and then, whether work may still go on."""

    def __init__(self, database: Database, tenure: Tenure) -> None:
        self._database = database
        self._tenure = tenure
        self._looked = float("-inf")

    def __call__(self) -> None:
        """
        Raises:
            LeaseLost: the lease is another run's, or nobody's.
            OutcomeUnknown, RowsAtRisk: see `see_same`.
        """
        if monotonic() - self._looked < LOOKS:
            return
        table = f"{quote(self._database.bookkeeping)}.{journal.TABLE}"
        rows = self._database.query(
            f"SELECT owner FROM {table} WHERE keyspace_name = ? LIMIT 1", [self._tenure.keyspace]
        )
        if not rows or rows[0]["owner"] != self._tenure.token:
            raise LeaseLost(
                f"the lease on {self._tenure.keyspace} is not this run's any more",
                hint="Run the same command again: it goes on from there.",
            )
        see_same(self._database, self._tenure.ids)
        self._looked = monotonic()
