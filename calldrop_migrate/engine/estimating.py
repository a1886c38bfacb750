"""About how long the rebuilds of a plan take, and how much of that their readers notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from calldrop_migrate.core.operations import Carried, Copy, Operation, Rows, Run
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.ports import Size

# Rows a second of one copy, where server and tool share two cores (PERFORMANCE.md has 64,000 on a
# quiet machine). Reading both sides to compare takes less than the copy.
COPIED = 40_000.0
VERIFIED = COPIED / 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """What rebuilding a table with rows comes to.

    Attributes:
        attempt: which of the plan's.
        bytes: of its values; 0 where that isn't known. The disk that it takes is another matter.
        exact: whether the rows were counted.
        seconds: until its rows are back in it.
        outage: seconds of these in which readers see it incomplete.
    """

    attempt: UUID
    table: str
    rows: int
    bytes: int
    exact: bool
    seconds: float
    outage: float


def estimates(
    attempt: Attempt, schema: Schema, size_of: Callable[[Table], Size], most: float | None
) -> Iterator[Estimate]:
    """For each table of an attempt that readers see incomplete for a while.

    Args:
        schema: as it is now; of what later revisions make nothing is known.
        most: rows a second that the user allows.
    """
    left = attempt.operations[attempt.done :]
    for name in attempt.outages:
        work = [op for op in left if isinstance(op, Carried) and name in op.names]
        sources = {op.source.name for op in work if op.rows in (Rows.ALL, Rows.FITS)}
        sizes = [size_of(table) for n in sorted(sources) if (table := schema.table(n))]
        if not sizes:
            continue
        size = max(sizes, key=lambda size: size.rows)
        dropped = next((at for at, op in enumerate(left) if _drops(op, name)), 0)
        behind = [op for op in left[dropped:] if op in work]
        takes, of_it = (size.rows * _per_row(part, most) for part in (work, behind))
        yield Estimate(attempt.id, name, size.rows, size.bytes, size.exact, takes, of_it)


def _drops(operation: Operation, name: str) -> bool:
    if not isinstance(operation, Run):
        return False
    return operation.effect.verb == "drop" and operation.effect.name == name


def _per_row(work: Sequence[Carried], most: float | None) -> float:
    """Seconds; rows that don't fit are few."""
    rates = [
        COPIED if isinstance(op, Copy) else VERIFIED
        for op in work
        if op.rows in (Rows.ALL, Rows.FITS)
    ]
    return sum(1 / min(rate, most or rate) for rate in rates)
