"""`up`, `down`, `plan`: one plan, shown, asked for, run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from calldrop_migrate.cli.feed import in_short, replication_in_short, say
from calldrop_migrate.cli.opening import Opened, ask, opened, timing
from calldrop_migrate.cli.options import CHANGING, CONNECTION, FILES, Call, Yes, command
from calldrop_migrate.cli.process import Stop, is_dead, this_process
from calldrop_migrate.cli.render import cut, show, shows, size, width
from calldrop_migrate.core.operations import Copy, Operation, Run
from calldrop_migrate.core.plan import Attempt, Direction
from calldrop_migrate.engine.news import Finished
from calldrop_migrate.engine.review import Review, Wishes
from calldrop_migrate.engine.runner import Outcome, Runner, Tools
from calldrop_migrate.engine.wording import at_revision, summary
from calldrop_migrate.errors import CalldropError, Interrupted, UsageError

_BYTES_PER_SECOND = 5e6  # of one copy; for the estimate of an outage

Target = Annotated[
    str, typer.Argument(metavar="[TARGET]", help="A revision's number, head, base, or +N.")
]
DownTarget = Annotated[
    str,
    typer.Argument(
        metavar="[TARGET]",
        show_default=False,
        help="The last revision that shall stay applied: its number, or base.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps", metavar="N", show_default=False, help="Take that many back, without TARGET."
    ),
]
SetAside = Annotated[
    bool, typer.Option("--set-aside", help="Keep rows that don't fit in a table beside.")
]
Discard = Annotated[bool, typer.Option("--discard-rows", help="Delete rows that don't fit.")]
Outage = Annotated[
    bool, typer.Option("--outage-accepted", help="A rebuilt table may be incomplete for a while.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
NoScan = Annotated[bool, typer.Option("--no-scan", help="Don't count the rows that don't fit.")]


@dataclass(frozen=True, slots=True)
class Flags:
    """What the user allows of a run."""

    set_aside: bool = False
    discard: bool = False
    outage: bool = False
    scan: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """The result of `up` and `down`; `hint` is what to type next."""

    keyspace: str
    current: int
    head: int
    finished: tuple[Finished, ...]
    warnings: tuple[str, ...]
    hint: str


@shows(Done)
def _done(result: Done) -> list[str]:
    where = f"{result.keyspace} is at {result.current:04d}"
    if not result.current:
        where = f"{result.keyspace} is at base: no revision is applied"
    elif result.current >= result.head:
        where += " (head)" if result.current == result.head else ", ahead of this folder"
    where += "." if result.finished else "; there was nothing to do."
    return [f"{where:<48}  try: {result.hint}" if result.hint else where]


@dataclass(frozen=True, slots=True)
class PlannedOperation:
    """One operation: in short, and its whole text. `kind`: run, copy, verify or await."""

    kind: str
    label: str
    text: str
    proof: str


@dataclass(frozen=True, slots=True)
class PlannedRevision:
    """One revision of a plan; `resumes_at` are the operations that are applied already."""

    number: int
    title: str
    direction: str
    operations: tuple[PlannedOperation, ...]
    resumes_at: int
    notes: tuple[str, ...]
    outages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanShown:
    """The result of `plan` and `--dry-run`; `refused` is the error that running it would give."""

    keyspace: str
    current: int
    target: int
    revisions: tuple[PlannedRevision, ...]
    create_keyspace: str
    misfits: tuple[str, ...]
    warnings: tuple[str, ...]
    refused: CalldropError | None


def plan_shown(review: Review, keyspace: str, refused: CalldropError | None) -> PlanShown:
    """A review as a result."""
    plan = review.plan
    misfits = [f"{m.table}: {m.count:,} rows do not fit" for m in review.misfits if m.count]
    misfits += [f"{m.table}: all rows fit" for m in review.misfits if not m.count]
    misfits += [f"{table}: rows that do not fit were not counted" for table in review.uncounted]
    revisions = tuple(_planned(attempt, review) for attempt in plan.attempts)
    create = plan.keyspace.text if plan.keyspace else ""
    return PlanShown(
        *(keyspace, _current(review), plan.target, revisions, create),
        *(tuple(misfits), review.warnings, refused),
    )


def _current(review: Review) -> int:
    """The last revision that is applied as a whole on the way that the plan goes."""
    first = next(iter(review.plan.attempts), None)
    if first is None:
        return review.plan.current
    return first.migration.number - (first.direction == "up")


def _planned(attempt: Attempt, review: Review) -> PlannedRevision:
    migration, operations = attempt.migration, tuple(map(_operation, attempt.operations))
    return PlannedRevision(
        *(migration.number, migration.title, attempt.direction, operations, attempt.done),
        *(_notes(attempt, review), attempt.outages),
    )


def _operation(operation: Operation) -> PlannedOperation:
    kind, label, proof = type(operation).__name__.lower(), operation.label, ""
    if isinstance(operation, Run):
        proof = str(operation.proof) if operation.effect.destroys else ""
    elif isinstance(operation, Copy):
        changed = [f"{c} = {s}" for c, s in operation.columns if c != s]
        label += f" ({', '.join(changed)})" if changed else ""
    return PlannedOperation(kind, label, operation.text, proof)


def _notes(attempt: Attempt, review: Review) -> tuple[str, ...]:
    sizes = {s.table: s.bytes for s in review.sizes}
    notes = list(attempt.notes)
    for table in attempt.outages:
        if table not in attempt.facts.filled:
            notes.append(f"{table} is made anew; what is written to it meanwhile is lost")
            continue
        taken = sizes.get(table, 0)
        minutes = max(1, round(taken / _BYTES_PER_SECOND / 60))
        about = f"for about {minutes} min ({size(taken)})" if taken else "until its rows are back"
        notes.append(f"{table} is incomplete for readers {about}; writers must be stopped")
    return tuple(notes)


@shows(PlanShown)
def _plan(result: PlanShown) -> list[str]:
    if not result.revisions and not result.create_keyspace:
        return [f"{result.keyspace} is at {at_revision(result.current)}; there is nothing to do."]
    way = f"from {at_revision(result.current)} to {at_revision(result.target)}"
    text = [f"{result.keyspace}: {way}"]
    if result.create_keyspace:
        text += ["", f"  {result.create_keyspace}"]
    for revision in result.revisions:
        text += ["", f"  {revision.number:04d} {revision.title} ({revision.direction})"]
        text += [f"       {note}" for note in revision.notes]
        if revision.resumes_at:
            text.append(f"       {_resumes(revision.resumes_at, len(revision.operations))}")
        for at, operation in enumerate(revision.operations, 1):
            done = "done: " if at <= revision.resumes_at else ""
            whole = operation.text if operation.kind == "run" else operation.label
            first, *rest = whole.splitlines()
            proof = f"      [{operation.proof}]" if operation.proof else ""
            text += [f"    {at:>2} {done}{first}{proof}", *(f"       {line}" for line in rest)]
    return text + ([""] if result.misfits else []) + [f"  {line}" for line in result.misfits]


def _resumes(done: int, total: int) -> str:
    return f"resumes at operation {done + 1} of {total}"


# -- running ---------------------------------------------------------------------------------------


def _runner(place: Opened, flags: Flags, stop: Stop) -> Runner:
    settings = place.settings
    wishes = Wishes(
        settings.replication,
        *(flags.set_aside, flags.discard, flags.outage),
        *(settings.keep_shadow, flags.scan, settings.strict),
    )
    tools = Tools(
        place.clock(stop), timing(settings), this_process(), is_dead, place.feed, interrupted=stop
    )
    return Runner(place.database, place.migrations, wishes, tools, repaired=settings.repaired)


def _reviewed(review: Review, place: Opened) -> Review:
    place.feed.close()
    for warning in review.warnings:
        say(f"  warning: {warning}")
    return review


@dataclass(frozen=True, slots=True)
class _Goal:
    direction: Direction
    target: str
    steps: int | None = None


def _run(call: Call, goal: _Goal, flags: Flags, *, yes: bool, dry: bool) -> None:
    with opened(call) as place:
        stop = Stop()
        runner = _runner(place, flags, stop)
        review = _reviewed(runner.review(goal.direction, goal.target, goal.steps), place)
        if goal.direction == "down" and not review.schema.exists:
            raise UsageError(
                f"there is no keyspace {place.settings.keyspace}", hint="Is --keyspace right?"
            )
        if dry:
            _show_plan(review, place, call)
            return
        while True:
            _agree(review, place, yes=yes)
            outcome = _execute(runner, stop, review, goal, place, ask_again=not yes)
            if outcome.changed_plan is None:
                break
            review = outcome.changed_plan
            say("  something changed meanwhile; the plan is made again")
        head = max(m.number for m in place.migrations)
        hint = _next(review, place, outcome, head)
        result = Done(
            *(place.settings.keyspace, outcome.current, head, outcome.finished),
            *(review.warnings, hint),
        )
        show(result, json_wanted=call.json)


def _execute(
    runner: Runner, stop: Stop, review: Review, goal: _Goal, place: Opened, *, ask_again: bool
) -> Outcome:
    try:
        with stop:
            return runner.execute(
                *(review, goal.direction, goal.target, goal.steps),
                ask_again=ask_again,
                wait=place.settings.wait_for_lease,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted for the second time, perhaps in the middle of a statement",
            state="What was finished is recorded.",
            hint="Run the same command again: it looks what happened, and goes on from there.",
        ) from None
    except CalldropError as error:
        error.state = error.state or "What was finished is recorded:  calldrop-migrate status"
        raise


def _next(review: Review, place: Opened, outcome: Outcome, head: int) -> str:
    """What to type after a run."""
    if not outcome.finished:
        return ""
    if outcome.current < head:
        return "calldrop-migrate up"
    there = review.plan.attempts and review.plan.attempts[-1].after.table("call_records")
    return f"calldrop-migrate {'seed' if there and not place.settings.confirm else 'status'}"


def _show_plan(review: Review, place: Opened, call: Call) -> None:
    """The plan on stdout; then the error that running it would give, so that the exit code is the
    same.
    """
    refused = None
    try:
        review.refuse()
    except CalldropError as error:
        refused = error
    show(plan_shown(review, place.settings.keyspace, refused), json_wanted=call.json)
    if refused and call.json:
        raise typer.Exit(refused.exit_code)
    if refused:
        raise refused


def _agree(review: Review, place: Opened, *, yes: bool) -> None:
    """Says what a run is going to do; asks where that is due.

    Raises:
        RowsAtRisk, MisfitRows: the flags do not allow it.
        UsageError: the answer was no, or nobody could be asked.
    """
    attempts = review.plan.attempts
    labels = [a.label for a in attempts]
    what = [f"{'down: ' * (a.direction == 'down')}{in_short(summary(a))}" for a in attempts]
    if review.plan.keyspace:
        labels.append(f"create keyspace {place.settings.keyspace}")
        what.append(replication_in_short(review.plan.keyspace.text.partition(" = ")[2]))
    place.feed.expect(labels, what)
    back = any(a.direction == "down" for a in attempts)
    risks = any(a.outages or a.at_risk or a.refusals for a in attempts)
    if back or risks or review.misfits or (place.settings.confirm and attempts):
        _say_work(review, place)
    for attempt in attempts:
        if attempt.done:
            left = [operation.label for operation in attempt.operations[attempt.done :]]
            where = _resumes(attempt.done, len(attempt.operations))
            say(f"  {attempt.label}  {where}: {left[0]}" if left else f"  {attempt.label}  is done")
    review.refuse()
    if not review.plan.empty:
        ask(place.settings, always=back or review.rebuilds_rows, yes=yes)


def _say_work(review: Review, place: Opened) -> None:
    """What takes back, destroys or has to be confirmed is listed before it is done."""
    say(_headline(review))
    room = width([a.label for a in review.plan.attempts])
    mixed = len({a.direction for a in review.plan.attempts}) > 1
    for attempt in review.plan.attempts:
        way = f"{attempt.direction}: " if mixed else ""
        say(f"    {cut(attempt.label, room):<{room}}  {way}{in_short(summary(attempt))}")
        for note in _notes(attempt, review):
            place.feed.note(note)


def _headline(review: Review) -> str:
    plan = review.plan
    last = plan.attempts[-1].direction
    count = sum(attempt.direction == last for attempt in plan.attempts)
    revisions = f"{count} revision{'s' * (count != 1)}"
    begun = "" if count == len(plan.attempts) else ", behind what is half-way"
    if last == "down":
        return f"  Down to {at_revision(plan.target)} takes back {revisions}{begun}:"
    return f"  Up to {plan.target:04d} applies {revisions}{begun}:"


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @command(app, "up", CONNECTION, FILES, CHANGING)
    def up(
        call: Call,
        target: Target = "head",
        dry_run: DryRun = False,
        yes: Yes = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
    ) -> None:
        """Apply revisions, up to TARGET."""
        flags = Flags(set_aside, discard_rows, outage_accepted)
        _run(call, _Goal("up", target), flags, yes=yes, dry=dry_run)

    @command(app, "down", CONNECTION, FILES, CHANGING)
    def down(
        call: Call,
        target: DownTarget = "",
        steps: Steps = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
    ) -> None:
        """Take revisions back, down to TARGET, which stays."""
        if bool(target) == (steps is not None):
            raise UsageError(
                "down takes a target or --steps, not both"
                if target
                else "down needs a target: which revision shall be the last one applied?",
                hint=(
                    "calldrop-migrate down 1          leaves 0001 applied\n"
                    "calldrop-migrate down --steps 1  takes one back\n"
                    "calldrop-migrate down base       takes all back"
                ),
            )
        flags = Flags(set_aside, discard_rows, outage_accepted)
        _run(call, _Goal("down", target, steps), flags, yes=yes, dry=dry_run)

    @command(app, "plan", CONNECTION, FILES, CHANGING)
    def plan(
        call: Call,
        target: Target = "head",
        no_scan: NoScan = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
    ) -> None:
        """Show what up or down to TARGET would do; exits as they would."""
        flags = Flags(set_aside, discard_rows, outage_accepted, scan=not no_scan)
        with opened(call) as place:
            runner = _runner(place, flags, Stop())
            review = _reviewed(runner.review(runner.direction_to(target), target), place)
            _show_plan(review, place, call)
