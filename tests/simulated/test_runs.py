"""The four CallDrop revisions on the simulated cluster: a run is killed at any statement, or one of
its statements is lost, refused, answered late, or arrives behind later ones. What must hold: the
same command run again ends with 0, no row and no cell is lost or doubled, the history is true.

`CALLDROP_TESTS=full` takes every schedule, otherwise some are drawn; `CALLDROP_SEED` draws them
again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pytest

from tests.support.simulator.cluster import Cluster
from tests.support.simulator.database import deliver
from tests.support.simulator.faults import Fate, Schedule
from tests.support.simulator.runs import KEYSPACE, Ended, Operator, history, packaged, rows
from tests.support.simulator.storage import Refusal

FULL = os.environ.get("CALLDROP_TESTS") == "full"
SEED = int(os.environ.get("CALLDROP_SEED") or 507)
LEASE_IS_OVER = 120  # seconds
Step = Callable[[Operator, Schedule | None], Ended]

INSERT = (
    "INSERT INTO call_records (source_phone_number, call_timestamp, destination_number, "
    "call_duration_seconds) VALUES (?, ?, ?, ?) USING TIMESTAMP {}"
)
# Caller, day, callee, TTL. The third has no place in 0002's key.
CALLS = (("+1", 1, "+9", 0), ("+1", 2, "+8", 5_000_000), ("+2", 1, None, 0), ("+3", 1, "+7", 0))


@dataclass(frozen=True, slots=True)
class Journey:
    """A step from a state to another one.

    Attributes:
        wanted: what `rows` gives behind it.
        sent: how many statements it sends.
        kept: how long its second copies stay, in days.
    """

    start: Cluster
    step: Step
    wanted: dict[str, list[tuple[object, ...]]]
    sent: int
    states: tuple[Cluster, ...]
    texts: tuple[str, ...]
    kept: float


def operator(cluster: Cluster, kept: float, *, alive: bool = False) -> Operator:
    return Operator(cluster, packaged(), keep_shadow=kept, alive=alive)


def live(cluster: Cluster) -> dict[str, list[tuple[object, ...]]]:
    """The rows of tables that are no second copies: these have names of their own in each run."""
    return {name: its for name, its in rows(cluster).items() if "__0002_" not in name}


def journey(start: Cluster, step: Step, kept: float) -> Journey:
    """A step without faults, and the state before each of its statements."""
    cluster, states = start.copy(), list[Cluster]()
    schedule = Schedule(before=lambda number: states.append(cluster.copy()))
    ended = step(operator(cluster, kept), schedule)
    assert ended.code == 0, ended
    return Journey(
        start, step, live(cluster), schedule.sent, tuple(states), tuple(schedule.texts), kept
    )


def filled() -> Cluster:
    """At revision 1, with rows."""
    cluster = Cluster()
    assert operator(cluster, 0).up("1").code == 0
    for number, (caller, day, callee, ttl) in enumerate(CALLS):
        cql = INSERT.format(1_700_000_000_000_000 + number) + (f" AND TTL {ttl}" if ttl else "")
        values = (
            caller,
            datetime(2026, 9, day, tzinfo=UTC).replace(tzinfo=None),
            callee,
            60 + number,
        )
        cluster.write(cql, values, KEYSPACE)
    return cluster


def up(who: Operator, schedule: Schedule | None) -> Ended:
    return who.up("head", schedule)


def down(who: Operator, schedule: Schedule | None) -> Ended:
    return who.down("1", schedule)


@pytest.fixture(scope="module", params=["up", "down"])
def way(request: pytest.FixtureRequest) -> Callable[[float], Journey]:
    """A journey with rows, up or down, by how long second copies are kept."""

    def make(kept: float) -> Journey:
        start = filled()
        if request.param == "up":
            return journey(start, up, kept)
        assert operator(start, kept).up().code == 0
        return journey(start, down, kept)

    return make


def numbers(journey: Journey, few: int) -> Sequence[int]:
    """Numbers of statements: all, or a few drawn ones."""
    every = range(1, journey.sent + 1)
    return every if FULL else sorted(random.Random(SEED).sample(every, min(few, len(every))))


def settled(journey: Journey, cluster: Cluster, what: str, *, alive: bool = False) -> None:
    """That the same command, run again, comes to the end, and nothing is lost."""
    said: list[Ended] = []
    for _ in range(3):
        said.append(journey.step(operator(cluster, journey.kept, alive=alive), None))
        if said[-1].code == 0:
            break
    assert said[-1].code == 0, (what, said)
    if live(cluster) != journey.wanted and journey.kept:
        # A DROP has landed behind the run: the second copy has the rows.
        said.append(operator(cluster, journey.kept).restore())
        assert said[-1].code == 0, (what, said)
    assert live(cluster) == journey.wanted, (what, said)
    assert "IN_PROGRESS" not in history(cluster).values(), (what, said)


@pytest.mark.parametrize("alive", [False, True])
def test_killed_before_any_statement(way: Callable[[float], Journey], alive: bool) -> None:
    """By a process of the same machine, at once; or of another one, when the lease is over."""
    run = way(0)
    for number in numbers(run, 25):
        cluster = run.states[number - 1].copy()
        cluster.wait(LEASE_IS_OVER * alive)
        settled(run, cluster, f"killed before {number}: {run.texts[number - 1]}", alive=alive)


def test_killed_twice(way: Callable[[float], Journey]) -> None:
    run, drawn = way(0), random.Random(SEED)
    for first in numbers(run, 12):
        again = range(1, run.sent + 1) if FULL else [drawn.randint(1, run.sent)]
        for second in again:
            cluster = run.states[first - 1].copy()
            run.step(operator(cluster, 0), Schedule({second: Fate.KILLED}))
            settled(run, cluster, f"killed before {first}, then before {second}")


def fates(journey: Journey) -> Iterator[tuple[int, Fate]]:
    kinds = (Fate.LOST, Fate.UNANSWERED, Fate.REFUSED, Fate.LATE)
    for number in numbers(journey, 28):
        yield from ((number, fate) for fate in kinds) if FULL else [(number, kinds[number % 4])]


def test_one_statement_is_lost_refused_or_answered_late(way: Callable[[float], Journey]) -> None:
    run = way(0)
    for number, fate in fates(run):
        cluster = run.start.copy()
        ended = run.step(operator(cluster, 0), Schedule({number: fate}))
        assert ended.code in (0, 6, 7, 8, 9, 10), ended
        settled(run, cluster, f"{fate} {number}: {run.texts[number - 1]}, exit {ended.code}")


def arrive(cluster: Cluster, stopped: Schedule, place: int, number: int) -> None:
    """Delivers what a stopped run had sent, when the statement of that number is sent."""
    if stopped.held and number == place:
        with suppress(Refusal):
            deliver(cluster, stopped.held.pop())


def test_a_statement_of_a_stopped_run_arrives_behind_later_ones(
    way: Callable[[float], Journey],
) -> None:
    """The stopped run's lease is over, another one has taken over; with second copies."""
    run, drawn = way(7), random.Random(SEED)
    for number in numbers(run, 20):
        places = range(1, run.sent + 1) if FULL else [drawn.randint(1, run.sent)]
        for place in places:
            cluster, first = run.start.copy(), Schedule({number: Fate.HELD})
            run.step(operator(cluster, 7), first)
            cluster.wait(LEASE_IS_OVER)

            arrives = partial(arrive, cluster, first, place)
            run.step(operator(cluster, 7, alive=True), Schedule(before=arrives))
            arrives(place)  # the run was over sooner
            settled(run, cluster, f"{run.texts[number - 1]} ({number}) arrives at {place}")
