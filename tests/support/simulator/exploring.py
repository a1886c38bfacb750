"""Carries out schedules, each from a saved state; judging.py judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from calldrop_migrate.errors import MigrationFileError
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.database import TAKES, deliver, let_pass
from tests.support.simulator.faults import Fate, Schedule, Sent
from tests.support.simulator.holding import (
    Broken,
    Kept,
    Rows,
    changes,
    differ,
    kept,
    see_given_back,
    see_met,
    see_said,
    see_waited,
    see_waited_for_nobody,
    see_withdrawn,
)
from tests.support.simulator.lines import Happening, Journey, Line, Part
from tests.support.simulator.runs import KEYSPACE, KILLED, Ended, Operator, packaged
from tests.support.simulator.storage import Refusal
from tests.support.simulator.together import together

LEASE_IS_OVER = 120  # seconds
INSERT = (
    "INSERT INTO {} (source_phone_number, call_timestamp, destination_number, "
    "call_duration_seconds) VALUES (?, ?, ?, ?) USING TIMESTAMP {}"
)
# Caller, day, callee, TTL. The third has no place in 0002's key.
# Written while a run is at work, or between two, with a life of its own whatever the table's is.
MEANWHILE = ("+4", 2, "+6", 5_002_000)
CALLS = (("+1", 1, "+9", 0), ("+1", 2, "+8", 5_000_000), ("+2", 1, None, 0), ("+3", 1, "+7", 0))
FIRST_WRITTEN = 1_700_000_000_000_000  # microseconds
Row = tuple[object, ...]
_NEVER = 10**6  # the number of no statement
# What a run says that was hindered, and can be run again: see errors.py.
MAY_END = (0, KILLED, 5, 6, 7, 8, 9, 10)
# The same, of an `abort`: nothing is half-way, or it is too late for it.
ABORTED = (*MAY_END, 2)


@dataclass(frozen=True, slots=True)
class Trace:
    """A run without faults.

    Attributes:
        states: the cluster before each of its statements.
        sent: these statements.
        points: how many points between statements it had.
        end: the cluster behind it.
    """

    states: tuple[Cluster, ...]
    sent: tuple[Sent, ...]
    points: int
    end: Cluster


@dataclass(slots=True)
class Explorer:
    """Carries out schedules on one journey.

    Attributes:
        start: the cluster at its beginning.
        judged: schedules that were, and that others come down to.
    """

    journey: Journey
    start: Cluster = field(init=False)
    judged: set[tuple[Part, ...]] = field(default_factory=set)
    _wanted: dict[int, Kept] = field(default_factory=dict)
    _nothing: dict[tuple[Part, ...], bool] = field(default_factory=dict)
    _sent: dict[tuple[Part, ...], tuple[Sent, ...]] = field(default_factory=dict)
    _traces: dict[tuple[Part, ...], Trace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start = _start(self.journey)

    @property
    def goal(self) -> int:
        """The revision that the command leads to."""
        return 4 if self.journey.way == "up" else 1

    @property
    def wanted(self) -> dict[int, Kept]:
        """The rows and shapes that have to be there, by revision of the journey.

        Raises:
            Broken: the way through them, one by one and without faults, leads elsewhere.
        """
        if not self._wanted:
            cluster, way = self.start.copy(), self.journey.way
            self._wanted[5 - self.goal] = kept(cluster)
            for revision in (2, 3, 4) if way == "up" else (3, 2, 1):
                who = self.who(cluster)
                ended = who.up(str(revision)) if way == "up" else who.down(str(revision))
                found = self._wanted[revision] = kept(cluster)
                if ended.code or found.rows != expected(revision):
                    raise Broken(f"{self.journey}\n{way} {revision}: {ended}\nrows: {found.rows}")
        return self._wanted

    # -- running -----------------------------------------------------------------------------------

    def step(self, cluster: Cluster, schedule: Schedule | None = None, wait: float = 0) -> Ended:
        """Run the command."""
        schedule = schedule or Schedule()
        schedule.reads_take = self.journey.slow
        who = self.who(cluster, wait)
        if self.journey.way == "up":
            return who.up("head", schedule)
        return who.down("1", schedule)

    def next(self, cluster: Cluster, schedule: Schedule | None = None, wait: float = 0) -> Ended:
        """Run what comes behind the first run: the command again, or an `abort`."""
        if not self.journey.abort:
            return self.step(cluster, schedule, wait)
        return self.who(cluster, wait).abort(schedule)

    def who(self, cluster: Cluster, wait: float = 0) -> Operator:
        """Return who types on this journey."""
        return Operator(
            cluster,
            packaged(),
            keep_shadow=self.journey.keep,
            alive=self.journey.elsewhere,
            wait=wait,
            skew=self.journey.clock,
        )

    def trace(self, parts: tuple[Part, ...]) -> Trace:
        """Run without faults behind a schedule."""
        if parts not in self._traces:
            # Schedules come in the order of their first parts: what they begin with is kept.
            self._traces = {k: t for k, t in self._traces.items() if k == parts[: len(k)]}
            cluster, states = self.after(parts), list[Cluster]()
            schedule = Schedule(before=lambda number: states.append(cluster.copy()))
            ended = (self.next if parts else self.step)(cluster, schedule)
            if ended.code not in (ABORTED if parts and self.journey.abort else (0,)):
                raise Broken(f"{Line(self.journey, parts)}: {ended}")
            if not parts:
                see_given_back(cluster)
                if not self.journey.slow:
                    see_waited_for_nobody(cluster.now - self.start.now)
            self._traces[parts] = Trace(
                tuple(states), tuple(schedule.all), schedule.points, cluster
            )
        return self._traces[parts]

    def sent(self, parts: tuple[Part, ...]) -> tuple[Sent, ...]:
        """Return what the run behind a schedule sends, however it ends."""
        schedule = Schedule()
        (self.next if parts else self.step)(self.after(parts), schedule)
        return tuple(schedule.all)

    def length(self, parts: tuple[Part, ...] = ()) -> int:
        """Return how many statements the run behind a schedule sends."""
        return len(self.known(parts))

    def known(self, parts: tuple[Part, ...]) -> tuple[Sent, ...]:
        """Return the statements that the run behind a schedule sends, which are kept."""
        if parts not in self._sent:
            self._sent[parts] = self.trace(parts).sent
        return self._sent[parts]

    def after(self, parts: Sequence[Part]) -> Cluster:
        """Return a cluster behind a schedule, when the next run may begin."""
        if not parts:
            return self.start.copy()
        *before, last = parts
        prefix = tuple(before)
        match last.what:
            case Fate.KILLED | Happening.DELAYED | Happening.STALE:
                cluster = self._killed(prefix, last)
            case Fate.HELD:
                cluster = self._held(prefix, last)
            case _:
                cluster = self.after(prefix)
                self._hindered(cluster, last, first=not prefix)
        if self.journey.elsewhere:
            let_pass(cluster, LEASE_IS_OVER)
        if last.what == Happening.STALE:  # from now on: nobody waits until it is over
            states = self.trace(prefix).states[last.number - 1 :]
            cluster.lag(1, states[0].schemas if states else cluster.schemas, last.at)
        return cluster

    def _killed(self, prefix: tuple[Part, ...], part: Part) -> Cluster:
        """Return a cluster behind a run that was killed before a statement, or behind its last."""
        trace, behind = self.trace(prefix), part.number + (part.what == Happening.STALE)
        if behind > len(trace.states):
            return trace.end.copy()
        cluster = trace.states[behind - 1].copy()
        if part.what == Happening.DELAYED:
            cluster.on_its_way.append((cluster.now + part.at, trace.sent[part.number - 1]))
        let_pass(cluster, TAKES)
        return cluster

    def _held(self, prefix: tuple[Part, ...], part: Part) -> Cluster:
        """Return a cluster behind a run that was killed while a statement was on its way, and the
        one that took over, during which that statement arrived.
        """
        cluster = self._killed(prefix, part)
        held = list(self.trace(prefix).sent[part.number - 1 : part.number])
        let_pass(cluster, LEASE_IS_OVER)

        def arrive(number: int) -> None:
            if held and number >= part.at:
                with suppress(Refusal):
                    deliver(cluster, held.pop())

        self._see_ends(part, [self.next(cluster, Schedule(before=arrive))])
        arrive(part.at)  # the run was over sooner
        return cluster

    def _hindered(self, cluster: Cluster, part: Part, *, first: bool) -> None:
        step = self.step if first else self.next
        run, other = partial(step, cluster), partial(self.next, cluster, wait=2 * LEASE_IS_OVER)
        match part.what:
            case Happening.STANDS:
                ends = together(run, other, part.number, part.at)
            case Happening.PAUSES:
                ends = together(run, other, part.number, part.at, point=True)
            case Happening.MET:
                ends = self._met(cluster, part)
            case Happening.LAGS:
                ends = [self._lagging(cluster, part)]
            case Happening.WRITES:
                ends = [run(Schedule(before=partial(self._write, cluster, part.number)))]
            case Happening.ALTERS:
                ends = [self._altering(cluster, part, run)]
            case Happening.STRAYS:
                ends = [run(Schedule(straying={part.number: part.at}))]
            case _:
                schedule = Schedule({part.number: Fate(part.what)})
                ends = [run(schedule)]
                see_said(cluster, schedule, part.number)
                if first and part.what == Fate.REFUSED:
                    see_withdrawn(cluster, ends[0])
        self._see_ends(part, ends)

    def _see_ends(self, part: Part, ends: list[Ended]) -> None:
        """See that each run ended in a way that can be gone on from.

        Raises:
            Broken: one didn't.
        """
        may = ABORTED if self.journey.abort else MAY_END
        if part.what == Happening.ALTERS:
            may = (*may, MigrationFileError.exit_code)  # the new shape doesn't take the column
        if any(ended.code not in may for ended in ends):
            raise Broken(f"{self.journey}; {part}: {ends}")

    def _write(self, cluster: Cluster, at: int, number: int) -> None:
        """Let an application write its row, if the table is there."""
        if number == at:
            ((cql, values),) = writes([MEANWHILE], at=len(CALLS))
            with suppress(Refusal):
                cluster.write(cql, values, KEYSPACE)
                cluster.taken += 1

    def _altering(self, cluster: Cluster, part: Part, run: Callable[[Schedule], Ended]) -> Ended:
        """Have a column added, with a value, while a run is at work: the run must not end as if
        nothing were, with the value gone.
        """
        there = list[str]()

        def before(number: int) -> None:
            if number == part.number:
                with suppress(Refusal):
                    cluster.change_schema("ALTER TABLE call_records ADD sneaked int", KEYSPACE)
                    ((cql, values),) = writes(CALLS[:1], at=0)
                    cql = cql.replace("call_duration_seconds", "sneaked")
                    cluster.write(cql, values, KEYSPACE)
                    there.append(cql)

        ended = run(Schedule(before=before))
        table = cluster.schema(KEYSPACE).table("call_records")
        if there and not ended.code and not (table and table.column("sneaked")):
            raise Broken(f"a column that somebody added is gone, and nobody said so: {ended}")
        if there and table and table.column("sneaked"):
            cluster.change_schema("ALTER TABLE call_records DROP sneaked", KEYSPACE)
        return ended

    def _met(self, cluster: Cluster, part: Part) -> list[Ended]:
        """Have the command typed while it is running: it must say so, and change nothing."""
        stranger = replace(self.who(cluster), alive=True)

        def meet(_schedule: Schedule) -> Ended:
            before = cluster.copy()
            ended = stranger.up() if self.journey.way == "up" else stranger.down("1")
            see_met(ended, unchanged=not differ(before, cluster))
            return ended

        return together(partial(self.step, cluster), meet, part.number, _NEVER)

    def _lagging(self, cluster: Cluster, part: Part) -> Ended:
        def before(number: int) -> None:
            if number == part.number:
                cluster.lag(1, cluster.schemas, part.at)

        schedule = Schedule(before=before)
        ended = self.step(cluster, schedule)
        see_waited(cluster, schedule.all[part.number :])
        return ended

    def is_nothing(self, parts: tuple[Part, ...]) -> bool:
        """Return whether a schedule ends with a held statement that changes nothing where it
        arrives: the run that took over goes on as without it.
        """
        if not parts:
            return False
        *before, held = parts
        prefix = tuple(before)
        if held.what != Fate.HELD or any(part.what != Fate.KILLED for part in prefix):
            return False
        if parts not in self._nothing:
            self._nothing[parts] = not self._arrives_to_change(prefix, held)
        return self._nothing[parts]

    def _arrives_to_change(self, prefix: tuple[Part, ...], held: Part) -> bool:
        trace = self.trace((*prefix, Part(Fate.KILLED, held.number)))
        sent = self.trace(prefix).sent[held.number - 1 : held.number]
        at = (*trace.states, trace.end)[min(held.at, len(trace.states) + 1) - 1]
        return any(changes(at, each) for each in sent)


def expected(revision: int, *, taken: bool = False) -> Rows:
    """Return the rows that there are at a revision, whichever way led there: each with its cells,
    their values, write times, and the hours that they live. From revision 2 on, what has no
    destination is set aside.

    Args:
        taken: an application has written a row meanwhile.
    """
    plain, keyed, aside = list[Row](), list[Row](), list[Row]()
    calls = (*CALLS, MEANWHILE) if taken else CALLS
    for number, (caller, day, callee, ttl) in enumerate(calls):
        source = ("source_phone_number", caller)
        at = ("call_timestamp", datetime(2026, 9, day, tzinfo=UTC).replace(tzinfo=None))
        life = FIRST_WRITTEN + number, ttl // 3600
        lasts = ("call_duration_seconds", 60 + number, *life)
        if callee is None:
            aside.append((source, at, lasts))
            plain.append(aside[-1])
        else:
            plain.append((source, at, lasts, ("destination_number", callee, *life)))
            keyed.append((source, ("destination_number", callee), at, lasts))
    if revision == 1:
        return {"call_records": sorted(plain, key=str)}
    return {"call_records": sorted(keyed), "call_records__aside_0002_up": aside}


def writes(
    calls: Sequence[tuple[str, int, str | None, int]] = CALLS,
    table: str = "call_records",
    at: int = 0,
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the statements that write calls, and their values.

    Args:
        at: the number of the first of them.
    """
    for number, (caller, day, callee, ttl) in enumerate(calls, start=at):
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
