"""One line of a schedule on a real server: real processes behind the proxy of wire.py, judged by
what holding.py asks for.

Which request a statement of the simulated run is, mapping.py tells. The proxy does to it what the
line says; a run that stands still is stopped (SIGSTOP) as it sends it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from calldrop_migrate.core.names import BOOKKEEPING
from calldrop_migrate.engine.lease import Timing
from tests.support import cells
from tests.support.asking import is_scylla
from tests.support.bookkeeping import history
from tests.support.cli import Cli, Result
from tests.support.held import First
from tests.support.mapping import Meant, meant, shape_on_wire
from tests.support.pace import seconds
from tests.support.schema import tables_in
from tests.support.scylla import AsScylla
from tests.support.servers import Address
from tests.support.settings import GO, GO_ASIDE, OTHERS, WAIT
from tests.support.simulator import holding
from tests.support.simulator.exploring import ABORTED, MAY_END, Explorer, expected, writes
from tests.support.simulator.faults import Fate
from tests.support.simulator.holding import Rows, kept_rows
from tests.support.simulator.judging import NOTHING, PATIENCE, goes_on
from tests.support.simulator.lines import Happening, Line, Part
from tests.support.simulator.runs import Ended
from tests.support.told import ok, until
from tests.support.wire import Fault, Harm, Tap

# The times of simulated runs, 60, 30 and 45 s, in about their proportions: then a lease is renewed
# at the same places.
TIMES = {
    "CALLDROP_LEASE_TTL": "8",
    "CALLDROP_DDL_TIMEOUT": "3",
    "CALLDROP_SETTLE_TIME": "6",
}
# Of a run that stands still until another one has ended.
_SECOND = {
    "CALLDROP_LEASE_TTL": "20",
    "CALLDROP_DDL_TIMEOUT": "8",
    "CALLDROP_SETTLE_TIME": "15",
}
_LATE = 1.5  # seconds
_HARMS: dict[str, Harm] = {
    Fate.KILLED: "cut request",
    Fate.LOST: "swallow request",
    Fate.UNANSWERED: "swallow reply",
    Fate.REFUSED: "refuse",
    Fate.LATE: "delay reply",
    Fate.HELD: "hold request",
    Happening.DELAYED: "hold request",
    Happening.STRAYS: "hold request",
    Happening.STANDS: "hold request",
}
# Done to the process as its request waits.
_DONE_TO_IT: dict[str, str] = {
    Fate.KILLED: "kill",
    Fate.HELD: "kill",
    Happening.DELAYED: "kill",
    Happening.STANDS: "stop",
}


class Broken(AssertionError):
    """Something doesn't hold on the server."""


class NotReplayed(Exception):
    """A line can't be made again on the server, and why."""


@dataclass
class Replaying:
    """A line on a keyspace of its own.

    Attributes:
        say: is told what happens.
        times: of the runs to which something happens.
    """

    line: Line
    cli: Cli
    client: Any
    server: Address
    say: Callable[[str], None]
    times: Mapping[str, str] = field(default_factory=lambda: TIMES)
    explorer: Explorer = field(init=False)
    _machines: Iterator[int] = field(default_factory=count)
    _began: float = 0

    def __post_init__(self) -> None:
        self.explorer = Explorer(self.line.journey)
        up = self.line.journey.way == "up"
        self.command = ("up", *GO_ASIDE) if up else ("down", "1", *GO_ASIDE)
        self.next = ("abort", "--yes") if self.line.journey.abort else self.command

    def run(self) -> None:
        """Carry out the line.

        Raises:
            Broken: something doesn't hold behind it.
            NotReplayed: it didn't come to what the line says.
        """
        self._see_replayable()
        self._begin()
        for at, part in enumerate(self.line.parts):
            before = self.line.parts[:at]
            if part.what == Happening.STANDS:
                self._stands(before, part)
            elif part.what == Fate.HELD:
                self._held(before, part)
            elif part.what in (Happening.DELAYED, Happening.STRAYS):
                self._delayed(before, part)
            else:
                self._hindered(before, part)
            if self.line.journey.elsewhere:
                self._lease_is_over()
        self._settle()

    def _see_replayable(self) -> None:
        journey = self.line.journey
        alone = [part.what for part in self.line.parts if part.what not in _HARMS]
        alone += ["slow"] * bool(journey.slow) + ["clock"] * bool(journey.clock)
        if alone:
            raise NotReplayed(f"{alone[0]} is for the simulator alone")

    def _begin(self) -> None:
        """Bring the keyspace to where the journey begins, with the rows of exploring.py."""
        ok(self.cli("up", "1", *GO, env=self._environment(OTHERS)))
        for cql, values in writes(table=f"{self.cli.keyspace}.call_records"):
            self.client.execute(self.client.prepare(cql), values)
        self._began = time.time()
        if self.line.journey.way == "down":
            ok(self.cli("up", *GO_ASIDE, env=self._environment(OTHERS)))

    # -- one part ----------------------------------------------------------------------------------

    def _hindered(self, before: tuple[Part, ...], part: Part) -> None:
        it = self._meant(before, part.number)
        with self._struck(it, part, bool(before)) as (run, tap):
            ended = run.ended()
        self._told(part, it, tap, ended)

    def _delayed(self, before: tuple[Part, ...], part: Part) -> None:
        it = self._meant(before, part.number)
        settle = seconds(float(TIMES["CALLDROP_SETTLE_TIME"]))
        with self._struck(it, part, bool(before)) as (run, tap):
            arrives = threading.Timer(part.at * settle / Timing().settle_time, tap.let_go.set)
            if it:
                until(lambda: bool(tap.struck))
            arrives.start()
            self._told(part, it, tap, run.ended())
            self._again(*self.next)
            arrives.join()
            if tap.struck:
                tap.answered.wait(30)

    def _held(self, before: tuple[Part, ...], part: Part) -> None:
        it = self._meant(before, part.number)
        other = self._meant((*before, Part(Fate.KILLED, part.number)), part.at, elsewhere=True)
        with self._struck(it, part, bool(before)) as (run, tap):
            self._told(part, it, tap, run.ended())
            if self.line.journey.elsewhere:
                self._lease_is_over()

            def arrive() -> None:
                tap.let_go.set()
                tap.answered.wait(30)

            fault = Fault(1, "none", of=other.finder(), act=arrive) if other else None
            with self._begun(fault, self.times, self.next) as (second, its):
                ended = second.ended()
                if tap.struck and not tap.let_go.is_set():
                    arrive()  # the run was over sooner
        self._told_of_second(part, other, its, ended)

    def _stands(self, before: tuple[Part, ...], part: Part) -> None:
        it = self._meant(before, part.number)
        other = self._meant((*before, Part(Fate.KILLED, part.number)), part.at, elsewhere=True)
        with self._struck(it, part, bool(before)) as (run, tap):
            until(run.is_over)
            with self._second(other) as (second, its):
                until(second.is_over)
                ends = []
                for each, its_tap in ((run, tap), (second, its)):
                    its_tap.let_go.set()
                    if its_tap.struck:
                        its_tap.answered.wait(30)
                    ends.append(each.ended())
        self._told(part, it, tap, ends[0])
        self._told_of_second(part, other, its, ends[1])

    @contextmanager
    def _struck(
        self, it: Meant | None, part: Part, later: bool = False
    ) -> Iterator[tuple[First, Tap]]:
        """Begin a run to which a part happens; `later`: it is not the first one."""
        fault = None
        if it:
            says = "the server says no"
            fault = Fault(1, _HARMS[part.what], delay=_LATE, of=it.finder(), says=says)
        command = self.next if later else self.command
        with self._begun(fault, self.times, command, _DONE_TO_IT.get(part.what, "")) as begun:
            yield begun

    @contextmanager
    def _second(self, it: Meant | None) -> Iterator[tuple[First, Tap]]:
        """Begin a run that stands still before a statement of its own."""
        fault = Fault(1, "hold request", of=it.finder()) if it else None
        with self._begun(fault, _SECOND, (*self.next, *WAIT), "stop") as begun:
            yield begun

    @contextmanager
    def _begun(
        self, fault: Fault | None, times: Mapping[str, str], command: Sequence[str], act: str = ""
    ) -> Iterator[tuple[First, Tap]]:
        """Begin a run; `act` is what is done to it where the fault strikes."""

        def answers() -> AsScylla:
            return AsScylla(lambda cql: list(self.client.execute(cql)))

        told = self.line.journey.scylla and not is_scylla(self.client)
        run = First(self.cli, self.server, answers if told else None)
        if fault and act:
            fault = replace(fault, act=run.kill if act == "kill" else run.stop)
        with run.begun(fault, *command, env=self._environment(times)) as tap:
            yield run, tap

    def _environment(self, times: Mapping[str, str]) -> dict[str, str]:
        environment = {**times, "CALLDROP_KEEP_SHADOW": str(self.line.journey.keep)}
        if self.line.journey.elsewhere:
            environment["TEST_MACHINE"] = f"machine {next(self._machines)}"
        return environment

    def _lease_is_over(self) -> None:
        """Wait until nobody holds the lease."""
        asked = f"SELECT owner FROM {self.cli.keyspace}.migration_journal LIMIT 1"
        until(lambda: not any(row["owner"] for row in self.client.execute(asked)))

    # -- what the simulator says -------------------------------------------------------------------

    def _meant(
        self, before: tuple[Part, ...], number: int, *, elsewhere: bool = False
    ) -> Meant | None:
        """Return the statement of that number in the simulated run behind these parts."""
        explorer = self.explorer
        if elsewhere and not self.line.journey.elsewhere:
            explorer = Explorer(replace(self.line.journey, elsewhere=True))
        try:
            return meant(explorer.sent(before), number)
        except holding.Broken as broken:
            raise NotReplayed(f"which statement is meant isn't known: {broken}") from None

    def _told(self, part: Part, it: Meant | None, tap: Tap, ended: Result) -> None:
        self._may_have_ended(part, ended)
        if it and not tap.struck:
            raise NotReplayed(
                f"{part}: the run ended with {ended.code} before this statement: {it.shape[:150]}\n"
                + "\n".join(it.differs(tap))
            )
        if it and tap.struck and part.what != Fate.KILLED and shape_on_wire(tap.struck) != it.shape:
            raise NotReplayed(f"{part}: a renewal of the lease, which this run did without")
        self.say(f"{part}: exit {ended.code} at {_shown(tap)}")
        for difference in it.differs(tap) if it else ():
            self.say(f"  not the same: {difference}")

    def _told_of_second(self, part: Part, it: Meant | None, tap: Tap, ended: Result) -> None:
        self._may_have_ended(part, ended)
        self.say(f"  who took over: exit {ended.code}; {part.at} was {_shown(tap)}")
        for difference in it.differs(tap) if it else ():
            self.say(f"  not the same: {difference}")

    def _may_have_ended(self, part: Part, ended: Result) -> None:
        may = ABORTED if self.line.journey.abort else MAY_END
        if ended.code not in may or "Traceback" in ended.err:
            raise Broken(f"{part}: exit {ended.code}\n{ended.err}")

    # -- judging -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        journey, reached = self.line.journey, self.explorer.goal
        aborts = journey.abort and not journey.again
        self._end(self.next if aborts else self.command, aborts=aborts)
        if aborts:
            states = history(self.client, self.cli)
            reached = sum(state == "SUCCEEDED" for _, state in states)
        late = any(part.what in (Fate.HELD, Happening.STANDS) for part in self.line.parts)
        if late and journey.keep and self.live() != expected(reached):
            self._again("repair", "--restore", "--yes")
        self.judge(reached)

    def judge(self, reached: int) -> None:
        """See that the history is true of a revision, and that the rows are those that are wanted.

        Raises:
            Broken: it isn't, or they aren't.
        """
        known = history(self.client, self.cli)
        if known != [(n, "SUCCEEDED") for n in range(1, reached + 1)]:
            raise Broken(f"history: {known}")
        wanted = expected(reached)
        if (found := self.live()) != wanted:
            raise Broken(f"rows: {found}\nwanted: {wanted}")
        views = self.client.execute(
            f"SELECT view_name FROM system_schema.views WHERE keyspace_name = '{self.cli.keyspace}'"
        )
        if [row["view_name"] for row in views] != ["calls_by_completion"] * (reached == 4):
            raise Broken("the view isn't as the history says")

    def _end(self, command: Sequence[str], *, aborts: bool) -> None:
        """Run the same command, and what its message names, until it ends."""
        said = [self._again(*command)]
        while said[-1].code and len(said) < PATIENCE:
            if aborts and said[-1].code == NOTHING:
                return
            if len(said) > 1 and said[-1] == said[-2] and (way := goes_on(said[-1].hint)):
                flags = GO_ASIDE if way[0] in ("up", "down") else ("--yes",)
                said.append(self._again(*way, *flags))
                if aborts and not said[-1].code:
                    return
            said.append(self._again(*command))
        if said[-1].code:
            raise Broken(f"neither the same command nor what its message names ends it: {said}")

    def _again(self, *command: str) -> Ended:
        ended = self.cli(*command, "--json", env=self._environment(OTHERS))
        self.say(f"{' '.join(command[:2])}: exit {ended.code}")
        if not ended.code:
            return Ended(0)
        try:
            error = json.loads(ended.out)["error"]
        except ValueError:
            raise Broken(f"{command}: {ended}") from None
        return Ended(ended.code, error["message"], error["hint"])

    def live(self) -> Rows:
        """Return the rows of each table, as `holding.kept_rows` returns the simulated ones."""
        tables = {
            table: self._rows(table)
            for table in sorted(tables_in(self.client, self.cli) - set(BOOKKEEPING))
        }
        return kept_rows(tables)

    def _rows(self, table: str) -> list[tuple[object, ...]]:
        key = cells.columns(self.client, self.cli.keyspace, table).key
        return sorted(
            (*zip(key, values, strict=True), *its)
            for values, found in cells.read(self.client, self.cli.keyspace, table).items()
            for its in [sorted((name, *self._told_of(cell)) for name, cell in found.items())]
        )

    def _told_of(self, cell: cells.Cell) -> tuple[object, int | None, int]:
        hour = 0 if cell.ends is None else int(cell.ends - self._began) // 3600
        return cell.value, cell.written, hour


def _shown(tap: Tap) -> str:
    """Return the request that was harmed, shortly."""
    if not tap.struck:
        return "its end"
    return f"{tap.struck.kind} {' '.join((tap.struck.cql or tap.struck.first).split())[:100]}"
