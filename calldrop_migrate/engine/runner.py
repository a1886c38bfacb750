"""The only orchestrator: takes the lease, makes the plan again under it, passes its revisions.

What is done for one revision is in passage.py. Under the lease everything is read again that was
read before: only then can nobody else change it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.names import is_shadow
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.engine import keyspace
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.course import Course, Hook, nothing
from calldrop_migrate.engine.executing import Executor
from calldrop_migrate.engine.history import History
from calldrop_migrate.engine.jobs import Job, Jobs
from calldrop_migrate.engine.journal import Journal, has_journal
from calldrop_migrate.engine.lease import Clock, Holder, Timing
from calldrop_migrate.engine.news import Finished, News, Note, Waiting
from calldrop_migrate.engine.passage import Doing, Passage
from calldrop_migrate.engine.pools import Crew
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.preflight import findings
from calldrop_migrate.engine.review import Review, Wishes
from calldrop_migrate.engine.spreading import Spread
from calldrop_migrate.errors import (
    CalldropError,
    HistoryError,
    Interrupted,
    MigrationFileError,
    OutcomeUnknown,
    RowsAtRisk,
    StatementRefused,
    Unreachable,
)

# What a person has to act on ends a run for good; after any other end the same command again goes
# on with it (docs/commands.md).
_FOR_A_PERSON = (2, 4, 5, 7, 9)
_LOOKS = 3
_BETWEEN_LOOKS = 0.3  # seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run; `changed_plan` has to be shown again, because nothing was run."""

    current: int
    finished: tuple[Finished, ...] = ()
    changed_plan: Review | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """The things that a runner needs besides a database: arguments, so that tests can
    choose them.
    """

    clock: Clock
    timing: Timing
    holder: Holder
    is_dead: Callable[[Holder], bool]
    emit: Callable[[News], None]
    interrupted: Callable[[], bool]
    at: Hook = nothing


class Runner:
    """Runs jobs on one keyspace.

    Args:
        helpers: other processes, and a pickled `Connect` for them.

    Attributes:
        jobs: what can be run.
    """

    def __init__(
        self,
        database: Database,
        migrations: Sequence[Migration],
        wishes: Wishes,
        tools: Tools,
        *,
        repaired: bool = False,
        max_rows_per_second: float | None = None,
        helpers: tuple[Crew, bytes] | None = None,
    ) -> None:
        self._database = database
        self._tools = tools
        self._wishes = wishes
        self._crew = helpers[0] if helpers else None
        clock, emit = tools.clock, tools.emit
        self._log = Journal(database, clock, tools.timing, tools.holder, tools.is_dead)
        history = History(database, clock.sleep)
        copier = Copier(
            *(database, self._between, emit, clock.sleep),
            repaired=repaired,
            max_rows_per_second=max_rows_per_second,
            spread=helpers and Spread(*helpers, database.keyspace, lambda: self._log.token),
        )
        course = Course(clock, self._between, emit, tools.at)
        self._executor = Executor(database, self._log, copier, course)
        self.jobs = Jobs(database, migrations, wishes, self._log, history, copier, self._executor)
        self._doing = Doing(self._log, history, self._executor, copier, course)
        self._leased = False

    def review(self, job: Job, wait: float) -> Review:
        """A job's plan, to be shown, with what this server would say to it; reads only.

        While somebody else is at work a table may be away for a moment, or the schema newer than
        what is recorded: a fault that is found then is none. So it is looked for once more when
        nobody holds the lease.

        Raises:
            LeaseHeld: there was a fault, and somebody else is at work.
            CalldropError: there is a fault.
        """
        return self._judged(self._settled(job, wait))

    def _judged(self, review: Review) -> Review:
        """A plan with what this server would say to it."""
        found = findings(self._database, review, self._wishes)
        warned = [f"{f.message}\n    {f.hint}".rstrip() for f in found if f.kind == "warning"]
        return replace(review, findings=found, warnings=(*review.warnings, *warned))

    def _settled(self, job: Job, wait: float) -> Review:
        deadline = self._tools.clock.monotonic() + wait
        for _ in range(_LOOKS - 1):
            try:
                return job.plan()
            except (StatementRefused, Unreachable, HistoryError, MigrationFileError):
                if not has_journal(self._database.schema()):
                    raise
                self._log.wait_until_free(
                    deadline, lambda held: self._tools.emit(Waiting(held, wait))
                )
            self._tools.clock.sleep(_BETWEEN_LOOKS)
        return job.plan()

    def run(self, job: Job, shown: Review, *, ask_again: bool, wait: float) -> Outcome:
        """Runs what was shown, or gives back a plan that came out different under the lease.

        Raises:
            LeaseHeld, LeaseLost, StatementRefused, OutcomeUnknown, RowsAtRisk, Unreachable,
            Interrupted: see errors.py.
        """
        if shown.empty:
            return Outcome(shown.plan.current)
        finished = self._first_contact(shown)
        self._log.acquire(wait, lambda held: self._tools.emit(Waiting(held, wait)))
        self._leased, ended, settled = True, True, True
        try:
            # A node that lags would show an old schema, and a statement be sent twice.
            self._database.agree()
            review = job.plan()
            if not review.same_work(shown):
                review = self._judged(review)
            review.refuse()
            if ask_again and not review.same_work(shown):
                ended = False
                return Outcome(review.plan.current, tuple(finished), review)
            self._executor.schema = review.schema
            job.begin()
            for at, attempt in enumerate(review.plan.attempts):
                if at == 1 and review.goes_on:
                    self._may_go_on(review)
                finished.append(self._pass(attempt, again=job.revisions and at > 0))
            job.end(review)
            if job.revisions:
                finished += self._clean()
            return Outcome(review.plan.target, tuple(finished))
        except CalldropError as error:
            ended = error.exit_code in _FOR_A_PERSON
            settled = not isinstance(error, OutcomeUnknown)
            raise
        except BaseException:
            ended = settled = False
            raise
        finally:
            self._leased = False
            if self._crew is not None:
                self._crew.close()
            self._log.release(finished=ended, settled=settled)

    def _may_go_on(self, review: Review) -> None:
        """See that the server has nothing against what comes after the revision that was
        half-way.
        """
        first, *rest = review.plan.attempts
        plan = replace(review.plan, keyspace=None, attempts=tuple(rest))
        ahead = self._judged(
            replace(review, plan=plan, unreadable=self.jobs.planner.unreadable(plan))
        )
        ahead.refuse_by_server(f"{first.label} is finished; nothing after it was begun.")

    def _clean(self) -> list[Finished]:
        """Second copies that were kept for long enough go with the next run; a difference, which is
        for a person to look at, or a node that is down is no reason for that run to fail.
        """
        schema = self._executor.schema
        if not any(is_shadow(table.name) for table in schema.tables):
            return []
        made = []
        for attempt in self.jobs.clean(schema, discard=False).plan().plan.attempts:
            try:
                made.append(Passage(self._doing, attempt).run())
            except (RowsAtRisk, StatementRefused) as found:
                why = found.message.splitlines()[0]
                self._tools.emit(Note(f"{attempt.migration.title} stays: {why}  {found.hint}"))
            except Unreachable as found:
                why = found.message.splitlines()[0]
                self._tools.emit(Note(f"{attempt.migration.title} may not be gone yet: {why}"))
                break
        return made

    def _pass(self, attempt: Attempt, *, again: bool) -> Finished:
        """Passes one revision; a later one of the plan as it is planned from what the earlier ones
        left.
        """
        if again:
            try:
                attempt = self.jobs.planner.again(
                    attempt, self._executor.schema, frozenset(self._executor.made)
                )
            except CalldropError as error:
                error.state = ""
                Passage(self._doing, attempt).stopped(error)
                raise
        return Passage(self._doing, attempt).run()

    def _first_contact(self, shown: Review) -> list[Finished]:
        """The keyspace and our three tables, if they are not there."""
        clock, made = self._tools.clock, list[Finished]()
        started = clock.monotonic()
        if shown.plan.keyspace is not None:
            text = shown.plan.keyspace.text
            keyspace.make(self._database, clock.sleep, [text], text)
            what = " ".join(text.partition(" WITH replication = ")[2].split())
            took = clock.monotonic() - started
            made.append(Finished(0, self._database.keyspace, "up", (what,), took))
            self._tools.emit(made[0])
        keyspace.make_tables(*(self._database, clock.sleep, shown.schema), self._wishes.replication)
        if made or shown.schema.exists:
            self._database.use_keyspace()
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
