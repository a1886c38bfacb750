"""The result of `plan` and `--dry-run`: what a run would do, to the last statement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from calldrop_migrate.cli.render import lasting, rough, shows, size
from calldrop_migrate.core.operations import Copy, Operation, Proof, Run
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.engine.estimating import Estimate
from calldrop_migrate.engine.review import Review
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import CalldropError

SHORT = 5.0  # seconds; what takes less is not estimated


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
    chores: tuple[str, ...]
    estimates: tuple[Estimate, ...]
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
        keyspace=keyspace,
        current=current_of(review),
        target=plan.target,
        revisions=revisions,
        create_keyspace=create,
        misfits=tuple(misfits),
        warnings=review.warnings,
        chores=review.chores,
        estimates=review.estimates,
        refused=refused,
    )


def current_of(review: Review) -> int:
    """The last revision that is applied as a whole on the way that the plan goes."""
    first = next(iter(review.plan.attempts), None)
    if first is None or first.direction not in ("up", "down"):
        return review.plan.current
    return first.migration.number - (first.direction == "up")


def _planned(attempt: Attempt, review: Review) -> PlannedRevision:
    migration, operations = attempt.migration, tuple(map(_operation, attempt.operations))
    return PlannedRevision(
        number=migration.number,
        title=migration.title,
        direction=attempt.direction,
        operations=operations,
        resumes_at=attempt.done,
        notes=notes_of(attempt, review),
        outages=attempt.outages,
    )


def _operation(operation: Operation) -> PlannedOperation:
    kind, label, proof = type(operation).__name__.lower(), operation.label, ""
    if isinstance(operation, Run):
        proof = "" if operation.proof is Proof.NONE else str(operation.proof)
    elif isinstance(operation, Copy):
        changed = [f"{c} = {s}" for c, s in operation.columns if c != s]
        label += f" ({', '.join(changed)})" if changed else ""
    return PlannedOperation(kind, label, operation.text, proof)


def notes_of(attempt: Attempt, review: Review) -> tuple[str, ...]:
    """Notes that a person should read before one revision of a plan runs."""
    found = {e.table: e for e in review.estimates if e.attempt == attempt.id}
    notes = [*attempt.notes, *review.losses.get(attempt.id, ())]
    notes += [line for e in found.values() for line in _estimated(e)]
    for table in attempt.outages:
        if attempt.is_view(table):
            continue
        if table not in attempt.facts.filled:
            notes.append(f"{table} is made anew; what is written to it meanwhile is lost")
            continue
        about, estimate = "until its rows are back", found.get(table)
        if estimate is not None and _takes_long(estimate):
            about = f"for about {lasting(estimate.outage)} of that"
        elif estimate is not None:
            about += f" ({estimate.rows:,})"
        elif table in review.unread:
            about += " (they were not counted: --no-scan)"
        writers = "writers must be stopped"
        if fence := attempt.facts.fence(table):
            writers = "nobody else can write to it"
            if fence.roles:
                writers = f"{', '.join(fence.roles)} may not write to it until then"
        notes.append(f"{table} is incomplete for readers {about}; {writers}")
    return tuple(notes)


def _takes_long(estimate: Estimate) -> bool:
    """Tells whether a time is worth showing: a shorter one is mostly not the rows'."""
    return estimate.seconds >= SHORT


def _estimated(estimate: Estimate) -> Iterator[str]:
    """Says how many rows a table carries, how long that takes, and which of them end."""
    if _takes_long(estimate):
        yield (
            f"{estimate.table}: {estimate.rows:,} rows, {size(estimate.bytes)}; carrying them takes"
            f" about {lasting(estimate.seconds)} (this server reads {rough(int(estimate.rate)):,}"
            " rows/s now), and up to 3 times their disk: the second copy, and snapshots where"
            " auto_snapshot is on"
        )
    if estimate.ending:
        shown = "".join(f"\n         {example}" for example in estimate.examples)
        yield (
            f"{estimate.table}: {estimate.ending:,} rows have only cells that end, from several"
            " statements; such a row ends with the last of its cells, also where an INSERT without"
            f" TTL has made it:{shown}"
        )


@shows(PlanShown)
def _plan(result: PlanShown) -> list[str]:
    if not result.revisions and not result.create_keyspace and not result.chores:
        return [f"{result.keyspace} is at {at_revision(result.current)}; there is nothing to do."]
    way = f"from {at_revision(result.current)} to {at_revision(result.target)}"
    text = [f"{result.keyspace}: {way}"] if result.current != result.target else []
    if result.create_keyspace:
        text += ["", f"  {result.create_keyspace}"]
    for revision in result.revisions:
        text += ["", f"  {revision.number:04d} {revision.title} ({revision.direction})"]
        text += [f"       {note}" for note in revision.notes]
        if revision.resumes_at:
            text.append(f"       {resumes(revision.resumes_at, len(revision.operations))}")
        for at, operation in enumerate(revision.operations, 1):
            done = "done: " if at <= revision.resumes_at else ""
            whole = operation.text if operation.kind == "run" else operation.label
            first, *rest = whole.splitlines()
            proof = f"      [{operation.proof}]" if operation.proof else ""
            text += [f"    {at:>2} {done}{first}{proof}", *(f"       {line}" for line in rest)]
    for lines in (result.chores, result.misfits):
        text += ([""] if lines else []) + [f"  {line}" for line in lines]
    return text


def resumes(done: int, total: int) -> str:
    """The operation at which an interrupted revision goes on."""
    return f"resumes at operation {done + 1} of {total}"
