"""Schedules carried out: each begins at a saved state, and is judged by what must always hold.

What holds: the same command, run again, ends with 0, if need be behind the command that its message
names; each row is there once, with its cells and their write times; the history is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from calldrop_migrate.core.names import is_internal
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.database import TAKES, deliver
from tests.support.simulator.faults import Fate, Schedule, Sent
from tests.support.simulator.lines import STANDS, Journey, Line, Part
from tests.support.simulator.runs import (
    KEYSPACE,
    KILLED,
    Ended,
    Operator,
    history,
    packaged,
    rows,
)
from tests.support.simulator.storage import Refusal
from tests.support.simulator.together import together

LEASE_IS_OVER = 120  # seconds
INSERT = (
    "INSERT INTO {} (source_phone_number, call_timestamp, destination_number, "
    "call_duration_seconds) VALUES (?, ?, ?, ?) USING TIMESTAMP {}"
)
# Caller, day, callee, TTL. The third has no place in 0002's key.
CALLS = (("+1", 1, "+9", 0), ("+1", 2, "+8", 5_000_000), ("+2", 1, None, 0), ("+3", 1, "+7", 0))
FIRST_WRITTEN = 1_700_000_000_000_000  # microseconds
PATIENCE = 6  # commands until all must have come to an end
# What a run says that was hindered, and can be run again: see errors.py.
MAY_END = (0, KILLED, 5, 6, 7, 8, 9, 10)
Rows = dict[str, list[tuple[object, ...]]]


class Broken(AssertionError):
    """A schedule after which something doesn't hold; its text has the line that makes it again."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A run without faults.

    Attributes:
        states: the cluster before each of its statements.
        sent: these statements.
        end: the cluster behind it.
    """

    states: tuple[Cluster, ...]
    sent: tuple[Sent, ...]
    end: Cluster


@dataclass(slots=True)
class Explorer:
    """Carries out schedules on one journey.

    Attributes:
        wanted: the rows behind it.
    """

    journey: Journey
    start: Cluster = field(init=False)
    wanted: Rows = field(init=False)
    _traces: dict[tuple[Part, ...], Trace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start = _start(self.journey)
        self.wanted = live(self.trace(()).end)

    # -- running -----------------------------------------------------------------------------------

    def step(self, cluster: Cluster, schedule: Schedule | None = None, wait: float = 0) -> Ended:
        """Run the command."""
        who = self._who(cluster, wait)
        if self.journey.way == "up":
            return who.up("head", schedule)
        return who.down("1", schedule)

    def _who(self, cluster: Cluster, wait: float = 0) -> Operator:
        return Operator(
            cluster,
            packaged(),
            keep_shadow=self.journey.keep,
            alive=self.journey.elsewhere,
            wait=wait,
        )

    def trace(self, parts: tuple[Part, ...]) -> Trace:
        """Run the command without faults behind a schedule."""
        if parts not in self._traces:
            if len(self._traces) > 2:  # schedules come in the order of their first parts
                for known in [known for known in self._traces if known]:
                    del self._traces[known]
            cluster, states = self._after(parts), list[Cluster]()
            schedule = Schedule(before=lambda number: states.append(cluster.copy()))
            ended = self.step(cluster, schedule)
            if ended.code:
                raise Broken(f"{Line(self.journey, parts)}: {ended}")
            self._traces[parts] = Trace(tuple(states), tuple(schedule.all), cluster)
        return self._traces[parts]

    def sent(self, parts: tuple[Part, ...]) -> tuple[Sent, ...]:
        """Return what the run behind a schedule sends, however it ends."""
        schedule = Schedule()
        self.step(self._after(parts), schedule)
        return tuple(schedule.all)

    def length(self, parts: tuple[Part, ...] = ()) -> int:
        """Return how many statements the run behind a schedule sends."""
        return len(self.trace(parts).sent)

    def _after(self, parts: tuple[Part, ...]) -> Cluster:
        """Return a cluster behind a schedule, when the next run may begin."""
        if not parts:
            return self.start.copy()
        *before, last = parts
        prefix = tuple(before)
        if last.what == Fate.KILLED:
            states = self.trace(prefix).states
            if last.number > len(states):
                return self.trace(prefix).end.copy()
            cluster = states[last.number - 1].copy()
            cluster.wait(TAKES)
        else:
            cluster = self._after(prefix)
            self._hindered(cluster, last)
        if self.journey.elsewhere:
            cluster.wait(LEASE_IS_OVER)
        return cluster

    def _hindered(self, cluster: Cluster, part: Part) -> None:
        schedule = Schedule({part.number: Fate(part.what)} if part.what != STANDS else {})
        if part.what == STANDS:
            first = partial(self.step, cluster)
            second = partial(self.step, cluster, wait=2 * LEASE_IS_OVER)
            ends = together(first, second, part.number, part.at)
        elif part.what == Fate.HELD:
            ends = self._held(cluster, schedule, part)
        else:
            ends = [self.step(cluster, schedule)]
        if any(ended.code not in MAY_END for ended in ends):
            raise Broken(f"{self.journey}; {part}: {ends}")

    def _held(self, cluster: Cluster, schedule: Schedule, part: Part) -> list[Ended]:
        ends = [self.step(cluster, schedule)]
        cluster.wait(LEASE_IS_OVER)

        def arrive(number: int) -> None:
            if schedule.held and number >= part.at:
                with suppress(Refusal):
                    deliver(cluster, schedule.held.pop())

        ends.append(self.step(cluster, Schedule(before=arrive)))
        arrive(part.at)  # the run was over sooner
        return ends

    # -- judging -----------------------------------------------------------------------------------

    def judge(self, line: Line) -> None:
        """Carry out a schedule.

        Raises:
            Broken: something doesn't hold behind it.
        """
        last = line.parts[-1]
        if last.what == Fate.HELD and len(line.parts) == 1 and self._is_nothing(last):
            return
        try:
            self._settle(self._after(line.parts), line.parts)
        except Broken as broken:
            raise Broken(f"{line}\n{broken}") from None

    def _is_nothing(self, part: Part) -> bool:
        """Return whether a held statement changes nothing where it arrives: then the run that took
        over goes on as without it.
        """
        trace = self.trace((Part(Fate.KILLED, part.number),))
        at = trace.states[part.at - 1] if part.at <= len(trace.states) else trace.end
        return not changes(at, self.trace(()).sent[part.number - 1])

    def _settle(self, cluster: Cluster, parts: Sequence[Part]) -> None:
        said = [self.step(cluster)]
        while said[-1].code and len(said) < PATIENCE:
            if len(said) > 1 and said[-1] == said[-2]:
                said.append(self._follow(cluster, said[-1]))
            said.append(self.step(cluster))
        if said[-1].code:
            raise Broken(f"neither the same command nor what its message names ends it: {said}")
        late = any(part.what in (Fate.HELD, STANDS) for part in parts)
        if late and self.journey.keep and live(cluster) != self.wanted:
            # A DROP may have landed behind the run: the second copy has the rows.
            said.append(self._who(cluster).restore())
        if (found := live(cluster)) != self.wanted:
            raise Broken(f"rows: {found}\nwanted: {self.wanted}\n{said}")
        known = history(cluster)
        revisions = range(1, 5 if self.journey.way == "up" else 2)
        if known != dict.fromkeys(revisions, "SUCCEEDED"):
            raise Broken(f"history: {known}\n{said}")

    def _follow(self, cluster: Cluster, ended: Ended) -> Ended:
        """Run the first command that a message names."""
        who = self._who(cluster)
        match named(ended.hint):
            case ["repair", *_]:
                return who.restore()
            case ["abort"]:
                return who.abort()
            case ["up", target]:
                return who.up(target)
            case ["down", target]:
                return who.down(target)
        return ended


def named(hint: str) -> list[str]:
    """Return the first command that a message names and that goes on; none if there is none."""
    for command, rest in re.findall(r"calldrop-migrate ([a-z]+)(.*)", hint):
        match command, rest.split():
            case "repair", ["--restore", *_]:
                return ["repair", "--restore"]
            case "abort", _:
                return ["abort"]
            case "up" | "down" as way, [target]:
                return [way, target]
    return []


def changes(cluster: Cluster, sent: Sent) -> bool:
    """Return whether a statement changes anything when it arrives now."""
    after = cluster.copy()
    try:
        deliver(after, sent)
    except Refusal:
        return False
    before = cluster.data
    return after.schemas != cluster.schemas or any(
        rows is not before.get(table) and rows != before.get(table)
        for table, rows in after.data.items()
    )


def live(cluster: Cluster) -> Rows:
    """Return the rows of tables that are no second copies, which are named anew in each run; an
    empty table that is the tool's own holds nothing of anybody.
    """
    return {name: its for name, its in rows(cluster).items() if lives(name, its)}


def lives(name: str, its: Sequence[object]) -> bool:
    """Return whether the rows of a table are somebody's."""
    return "__0002_" not in name and (bool(its) or not is_internal(name))


def writes(table: str = "call_records") -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the statements that write the calls, and their values."""
    for number, (caller, day, callee, ttl) in enumerate(CALLS):
        cql = INSERT.format(table, FIRST_WRITTEN + number) + (f" AND TTL {ttl}" if ttl else "")
        moment = datetime(2026, 9, day, tzinfo=UTC).replace(tzinfo=None)
        yield cql, (caller, moment, callee, 60 + number)


def _start(journey: Journey) -> Cluster:
    """Return a cluster at the beginning of a journey, with rows."""
    cluster = Cluster(scylla=journey.scylla)
    who = Operator(cluster, packaged(), keep_shadow=journey.keep)
    assert who.up("1").code == 0
    for cql, values in writes():
        cluster.write(cql, values, KEYSPACE)
    if journey.way == "down":
        assert who.up().code == 0
    return cluster
