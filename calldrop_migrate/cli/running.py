"""Carrying out a job from the command line: its plan is made, shown, asked for, run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli import folders
from calldrop_migrate.cli.feed import in_short, replication_in_short
from calldrop_migrate.cli.opening import Opened, ask, is_answered, pickled_connect, timing
from calldrop_migrate.cli.options import Call
from calldrop_migrate.cli.planned import current_of, notes_of, plan_shown, resumes
from calldrop_migrate.cli.process import Stop, is_dead, this_process
from calldrop_migrate.cli.render import cut, say, show, shows, width
from calldrop_migrate.core.operations import Carried
from calldrop_migrate.core.plan import effect_of
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.jobs import Job
from calldrop_migrate.engine.news import Finished
from calldrop_migrate.engine.pools import Crew
from calldrop_migrate.engine.review import Review, Wishes
from calldrop_migrate.engine.runner import Outcome, Runner, Tools
from calldrop_migrate.engine.wording import at_revision, summary
from calldrop_migrate.errors import CalldropError, ConfigurationError, Interrupted


@dataclass(frozen=True, slots=True)
class Flags:
    """The permissions that the user gives to a run."""

    set_aside: bool = False
    discard: bool = False
    outage: bool = False
    scan: bool = True
    fence: bool = False
    no_writer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a run; `hint` is what to type next."""

    keyspace: str
    current: int
    head: int
    finished: tuple[Finished, ...]
    chores: tuple[str, ...]
    warnings: tuple[str, ...]
    hint: str


@shows(Done)
def _done(result: Done) -> list[str]:
    where = f"{result.keyspace} is at {result.current:04d}"
    if not result.current:
        where = f"{result.keyspace} is at base: no revision is applied"
    elif result.current >= result.head:
        where += " (head)" if result.current == result.head else ", ahead of this folder"
    where += "." if result.finished or result.chores else "; there was nothing to do."
    return [f"{where:<48}  try: {result.hint}" if result.hint else where]


class Running:
    """Carries out jobs on one connection."""

    def __init__(self, place: Opened, flags: Flags) -> None:
        self._place = place
        self._stop = Stop()
        self._crew = Crew(place.settings.workers, place.settings.dask)
        settings = place.settings
        wishes = Wishes(
            settings.replication,
            set_aside=flags.set_aside,
            discard=flags.discard,
            outage_accepted=flags.outage,
            keep_shadow=settings.keep_shadow,
            scan=flags.scan,
            strict=settings.strict,
            tablets=settings.tablets,
            fence=flags.fence,
            trusted=frozenset(flags.no_writer),
        )
        tools = Tools(
            clock=place.clock(self._stop),
            timing=timing(settings),
            holder=this_process(),
            is_dead=is_dead,
            emit=place.feed,
            interrupted=self._stop,
            at=place.at,
        )
        self._runner = Runner(
            place.database,
            place.migrations,
            wishes,
            tools,
            repaired=settings.repaired,
            max_rows_per_second=settings.max_rows_per_second,
            helpers=(self._crew, pickled_connect(place.database.endpoint, settings)),
        )
        self.jobs = self._runner.jobs
        self._files = {migration.number for migration in place.migrations}

    def plan(self, job: Job) -> Review:
        """A job's plan; what it warns of is said."""
        review = self._runner.review(job, self._place.settings.wait_for_lease)
        self._place.feed.close()
        for warning in review.warnings:
            say(f"  warning: {warning}")
        return review

    def show_plan(self, review: Review, call: Call) -> None:
        """The plan on stdout; then the error that running it would give, so that the exit code is
        the same.
        """
        refused = None
        try:
            review.refuse()
        except CalldropError as error:
            refused = error
        show(plan_shown(review, self._place.settings.keyspace, refused), json_wanted=call.json)
        if refused and call.json:
            raise typer.Exit(refused.exit_code)
        if refused:
            raise refused

    def carry_out(self, job: Job, review: Review, call: Call, *, always: bool) -> None:
        """Asks, runs, and shows what was done.

        Args:
            always: it is asked about in any case, not only where the profile says so.
        """
        place = self._place
        while True:
            self._agree(review, call, always=always)
            answered = is_answered(place.settings, call)
            outcome = self.run(job, review, ask_again=not answered)
            if outcome.changed_plan is None:
                break
            review = outcome.changed_plan
            say("  something changed meanwhile; the plan is made again")
        head = max(self._files)
        result = Done(
            keyspace=place.settings.keyspace,
            current=outcome.current,
            head=head,
            finished=outcome.finished,
            chores=review.chores,
            warnings=review.warnings,
            hint=self._next(review, outcome, head),
        )
        show(result, json_wanted=call.json)

    def run(self, job: Job, review: Review, *, ask_again: bool = False) -> Outcome:
        """Runs what was agreed to."""
        try:
            if any(isinstance(op, Carried) for a in review.plan.attempts for op in a.operations):
                self._crew.find()
            with self._stop:
                wait = self._place.settings.wait_for_lease
                return self._runner.run(job, review, ask_again=ask_again, wait=wait)
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted for the second time, perhaps in the middle of a statement",
                state="What was finished is recorded.",
                hint="Run the same command again: it looks what happened, and goes on from there.",
            ) from None
        except CalldropError as error:
            error.state = error.state or f"What was finished is recorded:  {commands.status()}"
            raise
        finally:
            self._crew.close()

    def _next(self, review: Review, outcome: Outcome, head: int) -> str:
        """The command to type after a run: one that needs no flag which permits something."""
        attempts = review.plan.attempts
        if not outcome.finished or not attempts:
            return ""
        if outcome.current >= head:
            return commands.seed() if self._can_seed(attempts[-1].after) else commands.status()
        if attempts[-1].direction == "down" or self._has_rows_at_stake(review, outcome.current):
            return commands.status()
        return commands.up()

    def _has_rows_at_stake(self, review: Review, current: int) -> bool:
        """Tells whether what is still pending needs a flag that permits it."""
        schema = review.plan.attempts[-1].after
        pending = [m for m in self._place.migrations if m.number > current]
        names = {
            effect.name
            for step in (step for m in pending for step in m.up)
            if (effect := effect_of(step.statement)).destroys or step.rebuild
        }
        tables = (table for name in sorted(names) if (table := schema.table(name)))
        return any(self._place.database.has_rows(table) for table in tables)

    def _can_seed(self, schema: Schema) -> bool:
        """Tells whether `seed` has its usual module and table, and asks nothing."""
        place = self._place
        with suppress(ConfigurationError):
            folder = folders.seeds_folder(place.environment, Path.cwd()).path
            there = schema.table("call_records") is not None
            return there and not place.settings.confirm and (folder / "call_records.py").is_file()
        return False

    # -- the question ------------------------------------------------------------------------------

    def _agree(self, review: Review, call: Call, *, always: bool) -> None:
        """Says what a run is going to do; asks where that is due.

        Raises:
            RowsAtRisk, MisfitRows: the flags do not allow it.
            UsageError: the answer was no, or nobody could be asked.
        """
        settings, attempts = self._place.settings, review.plan.attempts
        labels = [a.label for a in attempts]
        what = [f"{'down: ' * (a.direction == 'down')}{in_short(summary(a))}" for a in attempts]
        if review.plan.keyspace:
            labels.append(f"create keyspace {settings.keyspace}")
            what.append(replication_in_short(review.plan.keyspace.text.partition(" = ")[2]))
        self._place.feed.expect(labels, what)
        risks = any(a.outages or a.at_risk or a.refusals for a in attempts)
        if always or risks or review.misfits or (settings.confirm and attempts):
            self._say_work(review)
        for attempt in attempts:
            if attempt.done:
                left = [operation.label for operation in attempt.operations[attempt.done :]]
                where = resumes(attempt.done, len(attempt.operations))
                what_next = f"{where}: {left[0]}" if left else "is done"
                say(f"  {attempt.label}  {what_next}")
        review.refuse()
        if not review.empty:
            ask(settings, call, always=always or review.rebuilds_rows)

    def _say_work(self, review: Review) -> None:
        """Lists what takes back, destroys or has to be confirmed, before it is done."""
        attempts = review.plan.attempts
        if attempts:
            say(_headline(review))
        room = width([a.label for a in attempts])
        mixed = len({a.direction for a in attempts}) > 1
        for attempt in attempts:
            way = f"{attempt.direction}: " if mixed else ""
            say(f"    {cut(attempt.label, room):<{room}}  {way}{in_short(summary(attempt))}")
            for note in notes_of(attempt, review):
                self._place.feed.note(note)
            if attempt.migration.number not in self._files:  # no file to read them in
                for step in attempt.migration.down:
                    say(indent(step.statement.text, " " * 9))
        for chore in review.chores:
            say(f"    {chore}")


def _headline(review: Review) -> str:
    plan = review.plan
    last = plan.attempts[-1].direction
    count = sum(attempt.direction == last for attempt in plan.attempts)
    revisions = f"{count} revision{'s' * (count != 1)}"
    begun = "" if count == len(plan.attempts) else ", behind what is half-way"
    match last:
        case "down":
            return f"  Down to {at_revision(plan.target)} takes back {revisions}{begun}:"
        case "up":
            return f"  Up to {plan.target:04d} applies {revisions}{begun}:"
    return f"  {last.capitalize()}, at {at_revision(current_of(review))}:"
