"""The only orchestrator: takes the lease, makes the plan again under it, and runs its operations
one by one.

For each operation of a revision: a "before" row in the journal, the operation, an "applied" row.
Behind the first "before" row the history says IN_PROGRESS; with the last "applied" row the schema
is recorded, and the history says that the revision is there, or gone. A "before" row is a CAS on
the lease, so nothing is begun without it. A run that was killed left a prefix of that sequence, and
the next one goes on behind it: what the last "before" row began is settled by reading the objects
it named (PROTOCOLS.md 4).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.operations import (
    Copy,
    Operation,
    Rows,
    Run,
    Verify,
    hash_of,
)
from calldrop_migrate.core.plan import Attempt, Direction
from calldrop_migrate.core.schema import Schema, diff, from_json, to_json
from calldrop_migrate.engine import keyspace
from calldrop_migrate.engine.copying import Copier, Place
from calldrop_migrate.engine.executing import Executor
from calldrop_migrate.engine.history import History
from calldrop_migrate.engine.journal import Clock, Event, Holder, Journal, LeaseState, Timing
from calldrop_migrate.engine.news import Began, Finished, News, Waiting
from calldrop_migrate.engine.planning import Planner
from calldrop_migrate.engine.ports import Database, RangeResult
from calldrop_migrate.engine.review import Review, Wishes
from calldrop_migrate.engine.wording import counted, summary
from calldrop_migrate.errors import (
    CalldropError,
    Interrupted,
    OutcomeUnknown,
    StatementRefused,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did; `changed_plan` has to be shown again, because nothing was run."""

    current: int
    finished: tuple[Finished, ...] = ()
    changed_plan: Review | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What a runner needs besides a database: each is an argument, so that tests can choose it."""

    clock: Clock
    timing: Timing
    holder: Holder
    is_dead: Callable[[Holder], bool]
    emit: Callable[[News], None]
    interrupted: Callable[[], bool]


class Runner:
    """Brings one keyspace from one revision to another."""

    def __init__(
        self,
        database: Database,
        migrations: Sequence[Migration],
        wishes: Wishes,
        tools: Tools,
        *,
        repaired: bool = False,
    ) -> None:
        self._database = database
        self._tools = tools
        self._clock = tools.clock
        self._log = Journal(database, tools.clock, tools.timing, tools.holder, tools.is_dead)
        self._history = History(database)
        self._copier = Copier(
            database, self._between, tools.emit, tools.clock.sleep, repaired=repaired
        )
        self._planner = Planner(database, migrations, wishes, self._log, self._copier)
        self._executor = Executor(
            database, self._log, self._copier, tools.clock, self._between, tools.emit
        )
        self._leased = False

    def review(self, direction: Direction, target: str, steps: int | None = None) -> Review:
        """What the run would do; reads only."""
        return self._planner.review(direction, target, steps=steps)

    def direction_to(self, target: str) -> Direction:
        """Whether a target lies above or below where the keyspace is."""
        return self._planner.direction_to(target)

    # -- the run -----------------------------------------------------------------------------------

    def execute(
        self,
        shown: Review,
        direction: Direction,
        target: str,
        steps: int | None,
        *,
        ask_again: bool,
        wait: float,
    ) -> Outcome:
        """Runs what was shown, or gives back a plan that came out different under the lease.

        Raises:
            LeaseHeld, LeaseLost, StatementRefused, OutcomeUnknown, RowsAtRisk, Unreachable,
            Interrupted: see errors.py.
        """
        if shown.plan.empty:
            return Outcome(shown.plan.current)
        finished = self._first_contact(shown)
        self._log.acquire(wait, lambda held: self._tools.emit(Waiting(held, wait)))
        self._leased, ended = True, False
        try:
            review = self._planner.review(direction, target, steps=steps, known=self._known(shown))
            review.refuse()
            if ask_again and not _same_but_keyspace(review, shown):
                return Outcome(review.plan.current, tuple(finished), review)
            self._executor.schema = review.schema
            for at, attempt in enumerate(review.plan.attempts):
                finished.append(self._pass(self._again(attempt) if at else attempt))
            ended = True
            return Outcome(review.plan.target, tuple(finished))
        finally:
            self._leased = False
            self._log.release(finished=ended)

    def _again(self, attempt: Attempt) -> Attempt:
        """A later attempt of the plan, planned from what the earlier ones left."""
        try:
            return self._planner.again(
                attempt, self._executor.schema, frozenset(self._executor.made)
            )
        except CalldropError as error:
            error.state = ""
            self._stopped(attempt, 0, error)
            raise

    def _known(self, shown: Review) -> Schema | None:
        """The schema that was read for what was shown, if this run itself made the keyspace: nobody
        else was there.
        """
        return self._executor.schema if not shown.schema.exists else None

    def _first_contact(self, shown: Review) -> list[Finished]:
        """The keyspace and our three tables, if they are not there."""
        started, sleep, made = self._clock.monotonic(), self._clock.sleep, list[Finished]()
        if shown.plan.keyspace is not None:
            text = shown.plan.keyspace.text
            keyspace.make(self._database, sleep, [text], text)
            what = " ".join(text.partition(" WITH replication = ")[2].split())
            took = self._clock.monotonic() - started
            made.append(Finished(0, self._database.keyspace, "up", (what,), took))
            self._tools.emit(made[0])
        changed = keyspace.make_tables(self._database, sleep, shown.schema)
        self._database.use_keyspace()
        self._executor.schema = self._database.schema() if changed else shown.schema
        return made

    def _between(self) -> None:
        if self._tools.interrupted():
            raise Interrupted(
                "interrupted",
                state="What was finished is recorded; nothing is lost.",
                hint="Run the same command again: it goes on from there.",
            )
        if self._leased:
            self._log.keep()

    # -- one revision ------------------------------------------------------------------------------

    def _pass(self, attempt: Attempt) -> Finished:
        started = self._clock.monotonic()
        results: dict[int, RangeResult] = {}
        done = attempt.done
        try:
            for index in range(attempt.done, len(attempt.operations)):
                self._between()
                self._tools.emit(
                    Began(
                        attempt.label,
                        index + 1,
                        len(attempt.operations),
                        attempt.operations[index].label,
                    )
                )
                result = self._operation(attempt, index)
                done = index + 1
                if result is not None:
                    results[index] = result
        except CalldropError as error:
            self._stopped(attempt, done, error)
            raise
        notes = [*attempt.notes, *self._landed(attempt), *counted(attempt, results)]
        if attempt.direction == "up":
            self._history.finish_up(attempt.migration, attempt.id, self._clock.now())
        else:
            self._history.remove(attempt.migration.number, attempt.id)
        finished = Finished(
            attempt.migration.number,
            attempt.migration.title,
            attempt.direction,
            summary(attempt, results),
            self._clock.monotonic() - started,
            tuple(notes),
        )
        self._tools.emit(finished)
        return finished

    def _event(self, attempt: Attempt, event: str, **more: object) -> Event:
        base = Event(event, attempt.id, attempt.migration.number, attempt.direction)
        return replace(base, **more)  # type: ignore[arg-type]

    def _mark(self, attempt: Attempt) -> None:
        """IN_PROGRESS in the history. The journal comes first: a row whose attempt it doesn't know
        is nobody's.
        """
        number = attempt.migration.number
        if attempt.direction == "up":
            self._history.begin_up(attempt.migration, attempt.id, self._clock.now())
        else:
            self._history.begin_down(self._history.read()[number], attempt.id)

    def _stopped(self, attempt: Attempt, done: int, error: CalldropError) -> None:
        """Says in an error what is applied now; a refused revision of which nothing was is pending
        again.
        """
        number, name, up = (
            attempt.migration.number,
            attempt.migration.name,
            attempt.direction == "up",
        )
        if done:
            state = (
                f"{name} is half-way ({attempt.direction}): {done} of {len(attempt.operations)}"
                " operations are applied."
            )
        else:
            state = (
                f"The keyspace is at {number - up:04d}; nothing of {name}"
                f" {'was applied' if up else 'was taken back'}."
            )
        if isinstance(error, OutcomeUnknown):
            state += " Whether the one it stopped at was is not known yet."
        error.state = f"{state} {error.state}".strip()
        if not isinstance(error, StatementRefused):
            return
        if not error.hint:  # `located` gives a statement of the file one
            error.message = f"the server refused a statement of the tool itself: {error.message}"
            error.hint = "Mend what it names, then run the same command again."
        if not done:
            withdraw = self._history.remove if up else self._history.withdraw_down
            with suppress(CalldropError):  # left as it is, it is half-way with nothing done
                withdraw(number, attempt.id)

    def _landed(self, attempt: Attempt) -> list[str]:
        """On the way down: how the schema differs from the one recorded before the revision went
        up.
        """
        if attempt.direction == "up":
            return []
        number = attempt.migration.number
        ups = [
            e
            for e in self._log.events(detail=True)
            if e.operation == 0 and e.revision == number and e.direction == "up" and e.detail
        ]
        if not ups:
            return [f"no schema was recorded before {attempt.migration.name} went up"]
        before = from_json(json.loads(ups[-1].detail or "{}")["before"])
        return [
            f"differs from before {attempt.migration.name} went up: {line}"
            for line in diff(before.comparable(), self._executor.schema.comparable())
        ]

    # -- one operation -----------------------------------------------------------------------------

    def _operation(self, attempt: Attempt, index: int) -> RangeResult | None:
        operation = attempt.operations[index]
        before = self._pending_before(attempt, index)
        common = {"operation": index, "statement": operation.text, "hash": hash_of(operation)}
        if before is not None and self._executor.has_happened(operation, before):
            self._applied(attempt, index, common, None)
            return None
        if before is not None and isinstance(operation, Run):
            self._log.settle()
        place = self._place(attempt, index, operation, before)
        detail: dict[str, object] = {"parts": place.parts} if place else {}
        if index == 0:
            detail |= {"before": to_json(attempt.before), "facts": attempt.facts.to_json()}
        row = {**common, "digest": self._executor.digest(operation), "detail": json.dumps(detail)}
        self._log.append(self._event(attempt, "before", **row))
        if index == 0 and before is None:
            self._mark(attempt)
        started = self._clock.monotonic()
        try:
            result = self._executor.do(attempt, operation, index, place)
        except CalldropError as error:
            kind = "refused" if isinstance(error, StatementRefused) else "unknown"
            with suppress(CalldropError):  # the error that is on its way says more
                self._log.append(self._event(attempt, kind, **common, error=error.message[:2000]))
            raise
        self._applied(attempt, index, common, int((self._clock.monotonic() - started) * 1000))
        return result

    def _applied(
        self, attempt: Attempt, index: int, common: dict[str, object], took: int | None
    ) -> None:
        """The row after; with an attempt's last one, the schema as it is now becomes the recorded
        one.
        """
        last = index + 1 == len(attempt.operations)
        recorded = json.dumps(self._executor.schema.comparable()) if last else None
        row = {
            **common,
            "digest": self._executor.digest(attempt.operations[index]),
            "duration_ms": took,
        }
        self._log.append(self._event(attempt, "applied", **row), recorded)

    def _pending_before(self, attempt: Attempt, index: int) -> Event | None:
        """The "before" row of an operation that an earlier run began and didn't finish."""
        if index != attempt.done or not attempt.resumed:
            return None
        last = [e for e in self._log.events(attempt.id) if e.operation == index]
        return last[-1] if last and last[-1].event in ("before", "unknown") else None

    def _place(
        self, attempt: Attempt, index: int, operation: Operation, before: Event | None
    ) -> Place | None:
        if not isinstance(operation, Copy | Verify):
            return None
        source = operation.source.name
        parts = (before and self._grid_of(attempt, index)) or self._copier.parts_for(source)
        asides = (
            op
            for op in attempt.operations
            if isinstance(op, Copy) and op.rows is Rows.MISFITS and op.source.name == source
        )
        return Place(attempt.id, index, parts, next(asides, None))

    def _grid_of(self, attempt: Attempt, index: int) -> int | None:
        """The number of ranges that the checkpoints of an operation begun by an earlier run count
        in.
        """
        kept = [
            json.loads(e.detail).get("parts")
            for e in self._log.events(attempt.id, detail=True)
            if e.operation == index and e.detail
        ]
        return next(filter(None, kept), None)

    # -- for status --------------------------------------------------------------------------------

    def lease(self) -> LeaseState:
        """Who holds the lease now."""
        return self._log.read()


def _same_but_keyspace(one: Review, other: Review) -> bool:
    """Whether the same operations came out; the keyspace has been made in between."""
    return replace(one.plan, keyspace=None).same_work(replace(other.plan, keyspace=None))
