"""A simulated cluster, whoever works on it, and the model of what they may expect of it.

`Site` carries out one step after another. A step that was hindered leaves it half-way, until a
command has ended with 0; then all is as the model says: rows, schema, history, second copies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from calldrop_migrate.core.names import BOOKKEEPING, is_shadow
from calldrop_migrate.core.schema import Table
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.commands import Command, Trouble, named
from tests.support.simulator.database import TAKES, deliver
from tests.support.simulator.faults import Schedule, Sent
from tests.support.simulator.model import Model
from tests.support.simulator.observed import (
    AUDIT,
    CALLS,
    COLUMN,
    calls_in,
    declared,
    made_by_others,
    schema_of,
    statements,
    tables_of_rows,
)
from tests.support.simulator.runs import KEYSPACE, KILLED, Ended, Operator, history, packaged
from tests.support.simulator.storage import Refusal

LEASE_IS_OVER = 120  # seconds
HOUR, DAY = 3600, 86400
VIEW, HEAD = "calls_by_completion", 4
_PATIENCE = 8  # commands until all must have come to an end
_HINDERED = (KILLED, 2, 4, 5, 6, 7, 8, 9, 10)
_FOR_A_PERSON = (2, 4, 5, 9)
_ADD = {
    AUDIT: "CREATE TABLE audit (id int PRIMARY KEY)",
    COLUMN: f"ALTER TABLE {CALLS} ADD sneaked int",
}
_TAKE_AWAY = {AUDIT: "DROP TABLE audit", COLUMN: f"ALTER TABLE {CALLS} DROP sneaked"}


@dataclass(slots=True)
class Site:
    """See above.

    Attributes:
        keep: for how many days second copies are kept.
        elsewhere: whether each command comes from another machine.
        revision: the last one that a finished command has left.
        half: the command that was hindered; None: all is settled.
        between: the revisions where that may have left it.
        deleted: whether applications have deleted anything.
        foreign, accepted: what somebody else has made, and of that what is recorded.
    """

    cluster: Cluster
    keep: int
    elsewhere: bool
    model: Model = field(default_factory=Model)
    revision: int = 0
    half: Command | None = None
    between: tuple[int, int] = (0, 0)
    foreign: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    deleted: bool = False
    story: list[str] = field(default_factory=list)
    late: list[Sent] = field(default_factory=list)
    _arrives: int = 0
    _sent: int = 0
    _came_late: bool = False
    _kept: dict[str, float] = field(default_factory=dict)
    _id: object = None
    _was: tuple[int, float] = (0, 0)  # the shape at the last check, and when it was

    # -- commands ----------------------------------------------------------------------------------

    def take(self, command: Command, trouble: Trouble | None = None, skew: float = 0) -> None:
        """Run a command, and judge it."""
        if command.what == "go" and command.target == 0 and COLUMN in self.foreign:
            self.take_away(COLUMN)  # it would go with the table
        ended = self._run(command, trouble, skew)
        if self.half is None and trouble is None:
            self._judge(command, ended)
        elif ended.code == 0 and not self._came_late:
            self._is_over()
            self._is_done(command)
        else:
            self._see(ended.code in (0, *_HINDERED), f"ended with {ended.code}")
            self._is_half(command)

    def _run(self, command: Command, trouble: Trouble | None = None, skew: float = 0) -> Ended:
        if self.half is None:
            self._let_end()
        late, at = self.late, self._arrives
        self.late = []

        def arrive(number: int) -> None:
            if late and number >= at:
                self._deliver(late.pop())

        begun = self._history().get(2) == "IN_PROGRESS"
        table = self.cluster.schema(KEYSPACE).table(CALLS)
        fates = {trouble.number: trouble.fate} if trouble else {}
        schedule = Schedule(fates, before=arrive)
        ended = self._call(command, schedule, skew)
        arrive(at)  # the run was over sooner
        self.late, self._sent = schedule.held, schedule.sent
        self._arrives = trouble.arrives if trouble else 0
        if ended.code == KILLED:
            self.cluster.wait(TAKES)
        elif ended.code == 0 and schedule.sent and command.what in ("accept", "stamp"):
            self.accepted = set(self.foreign)
        elif ended.code == 0 and command.what == "restore":
            back = made_by_others(self.cluster) - self.foreign  # what was recorded
            self.foreign |= back
            self.accepted |= back
        self.story.append(f"{command} {trouble or ''} -> {ended} after {schedule.sent}")
        if begun and command.what == "go":
            self._look_behind(command, ended, table.id if table else None)
        self._look()
        return ended

    def _look_behind(self, command: Command, ended: Ended, was: object) -> None:
        """Let the model follow a rebuild that was gone on with, and then taken back."""
        shape, table = self.model.shape, self.cluster.schema(KEYSPACE).table(CALLS)
        back = table is not None and table.id != was and _shape_of(table) == shape
        to_base = ended.code == 0 and (shape, command.target) == (1, 0) and was == self._id
        if was is not None and (back or to_base):
            self.model.reshape(3 - shape, self.cluster.now)
            self.model.reshape(shape, self.cluster.now)

    def turns(self, command: Command) -> bool:
        """Return whether a command would take back a rebuild that is half-way."""
        half = self._history().get(2) == "IN_PROGRESS"
        return half and command.what == "go" and self.half is not None and command != self.half

    def _deliver(self, sent: Sent) -> None:
        self._came_late = True
        self.story.append(f"arrives: {sent.text[:90]}")
        with suppress(Refusal):
            deliver(self.cluster, sent)

    def _call(self, command: Command, schedule: Schedule, skew: float) -> Ended:
        who = Operator(
            self.cluster,
            packaged(),
            set_aside=command.set_aside,
            keep_shadow=self.keep,
            alive=self.elsewhere,
            skew=skew,
        )
        target = str(command.target) if command.target else "base"
        match command.what:
            case "go" if command.target >= self._applied():
                return who.up(target, schedule)
            case "go":
                return who.down(target, schedule)
            case "stamp":
                return who.stamp(target, schedule)
        run: Callable[[Schedule], Ended] = getattr(who, command.what)
        return run(schedule)

    def _applied(self) -> int:
        return sum(state == "SUCCEEDED" for state in self._history().values())

    def _history(self) -> dict[int, str]:
        if self.cluster.schema(KEYSPACE).table(BOOKKEEPING[0]) is None:
            return {}
        return dict(history(self.cluster))

    def _let_end(self) -> None:
        """Wait as long as a cell might end while the next commands are at work."""
        while any(-HOUR < end - self.cluster.now < 3 * HOUR for end in self.model.ends()):
            self.cluster.wait(HOUR)

    # -- judging a command -------------------------------------------------------------------------

    def _judge(self, command: Command, ended: Ended) -> None:
        """A command that nothing hindered ends with 0, but for a reason that the model knows."""
        reasons = self._reasons(command)
        if ended.code == 0 and 0 in reasons:
            self._is_done(command)
            return
        self._see(ended.code in reasons, f"ended with {ended.code}, and not with {reasons}")
        states = self._history()
        if "IN_PROGRESS" in states.values():
            self._is_half(command)
            return
        low, high = sorted((self.revision, self._lands_at(command)))
        self._see(low <= len(states) <= high, f"history: {states}")
        self.revision = len(states)
        self.check()

    def _reasons(self, command: Command) -> tuple[int, ...]:
        """Return how it may end."""
        drift = self.foreign != self.accepted
        match command.what:
            case "go":
                if drift:
                    return (5,) if command.target != self.revision else (0, 5)
                if COLUMN in self.foreign and self._passes_rebuild(command.target):
                    return (4, 9)
                loses = self.model.loses(_shape(command.target), self.cluster.now)
                return (9,) if loses and not command.set_aside else (0,)
            case "abort":
                return (2,)
            case "stamp":
                fits = (
                    schema_of(self.cluster, self.foreign) == declared(command.target)
                    and COLUMN not in self.foreign
                )
                return (0,) if fits and not drift else (0, 5) if fits else (5,)
            case "restore":
                return (0, 2, 5)
            case "clean":
                return self._ends(command)
        return (0,)

    def _passes_rebuild(self, target: int) -> bool:
        return {_shape(target), _shape(self.revision)} == {1, 2}

    def _lands_at(self, command: Command) -> int:
        return command.target if command.what in ("go", "stamp") else self.revision

    def _is_half(self, command: Command) -> None:
        if self.half is None:
            self.between = (self.revision, self.revision)
        if command.what in ("go", "stamp"):
            low, high = self.between
            self.between = min(low, command.target), max(high, command.target)
        if command.what == "go" or self.half is None:
            self.half = replace(command, set_aside=True)

    def _look(self) -> None:
        """Let the model follow a table that is another one by now."""
        table = self.cluster.schema(KEYSPACE).table(CALLS)
        if table is not None:
            self.model.reshape(_shape_of(table), self.cluster.now)

    def _is_done(self, command: Command) -> None:
        """Note where a command that ended with 0 has left all, and check it."""
        low, high = self.between if self.half else (self.revision, self.revision)
        beside = command.what in ("accept", "clean", "restore", "unlock")
        if beside and self.half and self.half.what != command.what:
            return
        if command.what in ("go", "stamp"):
            self.revision = command.target
        elif command.what == "abort":
            self.revision = self._applied()
            self._see(low <= self.revision <= high, f"abort landed at {self.revision}")
        if self.half and command.what == "go" and self._sent:
            self.accepted = set(self.foreign)  # by an accept that was killed; else it had stopped
        self.half = None
        self.check()

    # -- settling ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Run the same command, or what its message names, until it ends with 0."""
        if self.half is None:
            return
        command = self.half
        for _ in range(_PATIENCE):
            ended = self._run(command)
            if ended.code in self._ends(command) and not self.late:
                break
            self._help(ended)
        else:
            self._see(False, "neither the same command nor what its message names ends it")
        if self._came_late and self.keep:
            # A DROP may have landed behind the run: the second copy has the rows.
            self.model.reshape(_shape(self._lands_at(command)), self.cluster.now)
            if not self._has_its_rows():
                self._run(Command("restore"))
        self._came_late = False
        self._is_over()
        self._is_done(command)

    def _ends(self, command: Command) -> tuple[int, ...]:
        if command.what == "clean" and self.deleted:
            return (0, 9)  # what was deleted since can't be told from what was lost
        return (0, 2) if command.what in ("abort", "restore") else (0,)

    def _is_over(self) -> None:
        """Wait for the end of a lease that a killed command didn't give back."""
        if self.elsewhere:
            self.cluster.wait(LEASE_IS_OVER)

    def _help(self, ended: Ended) -> None:
        """Do what somebody does who reads a message."""
        if ended.code == 6:
            self.cluster.wait(LEASE_IS_OVER)
        elif ended.code in _FOR_A_PERSON and COLUMN in self.foreign:
            self.take_away(COLUMN)
        elif ended.code in _FOR_A_PERSON:
            for command in named(ended.hint)[:1]:
                self._follow(command)

    def _follow(self, command: Command) -> None:
        """Run what a message names, and what the message of that names."""
        ended = self._run(command)
        if ended.code == 6:
            self.cluster.wait(LEASE_IS_OVER)
            ended = self._run(command)
        if ended.code in _FOR_A_PERSON:
            for further in named(ended.hint)[:1]:
                self._run(further)

    # -- what others do ----------------------------------------------------------------------------

    def add(self, what: str) -> None:
        """Let somebody make a table or a column."""
        if what == COLUMN and self.half and self.half.target == 0:
            return
        with suppress(Refusal):
            self.cluster.change_schema(_ADD[what], KEYSPACE)
            self.foreign.add(what)

    def take_away(self, what: str) -> None:
        """Let somebody take it away again, where the server lets them: a view may be in the way."""
        if self.cluster.scylla and self.cluster.schema(KEYSPACE).views_on(CALLS):
            return
        try:
            self.cluster.change_schema(_TAKE_AWAY[what], KEYSPACE)
        except Refusal:
            return
        self.foreign.discard(what)
        if what in self.accepted:
            self.take(Command("accept"))

    def pass_time(self, seconds: int) -> None:
        """Let time pass; half-way no cell ends meanwhile."""
        ends = [end - self.cluster.now for end in self.model.ends()]
        if self.late or (self.half and any(0 < end < seconds + 3 * HOUR for end in ends)):
            return
        self.cluster.wait(seconds)

    @property
    def table(self) -> Table | None:
        """The table, if applications may write now."""
        table = self.cluster.schema(KEYSPACE).table(CALLS)
        return None if self.late or self._came_late else table

    @property
    def is_old(self) -> bool:
        """True where the table is the one that was there when all was settled."""
        return self.table is not None and self.table.id == self._id

    def other_side(self) -> None:
        """Let somebody make the view of revision 4, or drop it."""
        text = f"DROP MATERIALIZED VIEW {VIEW}"
        if self.revision == HEAD - 1:
            text = statements(HEAD)[0]
        self.cluster.change_schema(text, KEYSPACE)

    # -- checking ----------------------------------------------------------------------------------

    def check(self) -> None:
        """See that all is as it must be when all is settled.

        Raises:
            AssertionError: it isn't.
        """
        now, at = self.cluster.now, self.revision
        states = self._history()
        self._see(states == dict.fromkeys(range(1, at + 1), "SUCCEEDED"), f"history: {states}")
        found, wanted = schema_of(self.cluster, self.foreign), declared(at)
        self._see(found == wanted, f"schema: {found}\nof {at:04d}: {wanted}")
        self.model.reshape(_shape(at), now)
        self._see(
            self._has_its_rows(), f"rows: {calls_in(self.cluster)}\nwanted: {self.model.told(now)}"
        )
        self._check_copies({t.name: t for t in self.cluster.schema(KEYSPACE).tables if not t.base})

    def _check_copies(self, tables: Mapping[str, Table]) -> None:
        """See that a rebuild has left a second copy, and that none has gone too early."""
        now = self.cluster.now
        copies = {name: table for name, table in tables.items() if is_shadow(name)}
        for name, since in self._kept.items():
            if now < since + self.keep * DAY - HOUR:
                self._see(name in copies, f"{name} is gone too early")
        was, self._was = self._was, (self.model.shape, now)
        rebuilt = {was[0], self.model.shape} == {1, 2} and now < was[1] + self.keep * DAY - HOUR
        if rebuilt and self.model.table:
            self._see(bool(copies.keys() - self._kept.keys()), "there is no second copy")
        data = {name: self.cluster.rows(table) for name, table in copies.items()}
        filled = {name for name in copies if next(data[name].rows(copies[name], now), None)}
        self._kept |= dict.fromkeys(filled - self._kept.keys(), now)
        self._id = tables[CALLS].id if CALLS in tables else None

    def check_half(self) -> None:
        """See that each call is somewhere."""
        now, found = self.cluster.now, set[object]()
        for table in tables_of_rows(self.cluster):
            for row in self.cluster.rows(table).rows(table, now):
                found |= {(n, c.value, c.written) for n, c in row.cells.items()}
        for told, _ in self.model.told(now):
            gone = {cell for cell in told[4:] if cell not in found}
            self._see(not gone, f"nowhere: {gone} of {told}")

    def _has_its_rows(self) -> bool:
        found, wanted = calls_in(self.cluster), self.model.told(self.cluster.now)
        if [one for one, _ in found] != [one for one, _ in wanted]:
            return False
        pairs = zip(found, wanted, strict=True)
        return all(
            one == other or (one and other and abs(one - other) < HOUR)
            for (_, ends), (_, its) in pairs
            for one, other in zip(ends, its, strict=True)
        )

    def _see(self, holds: bool, what: str) -> None:
        if not holds:
            raise AssertionError("\n".join((what, "", *self.story)))


def _shape(revision: int) -> int:
    return min(revision, 2)


def _shape_of(table: Table) -> int:
    return len(table.key) - 1
