"""Estimates how long the rows of a plan take, and how much of that readers notice: from a table
that was read as a whole just now, on this server.

Nothing is assumed of the server but how much longer than such a reading each operation takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from calldrop_migrate.core.operations import Carried, Copy, Operation, Rows, Run
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.engine.misfits import Misfits, Survey

# Microseconds of two cores, which an embedded Cassandra 5.0 shared with the tool: of 50,000 rows of
# 20 to 70 bytes in partitions of 1, 20, 100 and 50,000 rows, copied into the same partitions and
# into others, and of rows of 10 kB, 100 kB and 1 MB. Only how they stand to each other counts: a
# server is taken to be as much faster or slower in all of them as it was when the table was read
# just now. Other processes (--workers) are not reckoned with: on two cores they were no faster.
CELL, PARTITION, READ_BYTE = 2.1, 23.0, 0.007
ROW, WRITTEN_BYTE = 55.0, 0.008
COMPARED_ROW, COMPARED_BYTE = 2.0, 0.006
REQUEST = 1200.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The time that carrying the rows of one table takes.

    Attributes:
        attempt: which of the plan's.
        rows: exact, at the moment of reading.
        bytes: of its keys, values and times. The disk that it takes is another matter.
        rate: rows a second, as they were read.
        seconds: until its rows are where they go.
        outage: seconds of these in which readers see it incomplete.
        ending, examples: of `Survey`.
    """

    attempt: UUID
    table: str
    rows: int
    bytes: int
    rate: float
    seconds: float
    outage: float
    ending: int = 0
    examples: tuple[str, ...] = ()


def estimates(
    attempt: Attempt,
    surveys: Sequence[Survey],
    misfits: Callable[[Carried], Misfits | None],
    most: float | None,
) -> Iterator[Estimate]:
    """For each table that was read, and whose rows an attempt carries.

    Args:
        misfits: rows that don't fit, where an operation tells them from others.
        most: rows a second that the user allows.
    """
    left = attempt.operations[attempt.done :]
    for survey in surveys:
        name = survey.table
        work = [op for op in left if isinstance(op, Carried) and name in op.names]
        if not work:
            continue
        dropped = next((at for at, op in enumerate(left) if _drops(op, name)), len(left))
        behind = [op for op in left[dropped:] if op in work]
        takes, of_it = (
            sum(_seconds(op, survey, misfits(op), most) for op in part) for part in (work, behind)
        )
        rate = survey.rows / max(survey.seconds, 0.001)
        yield Estimate(
            *(attempt.id, name, survey.rows, survey.bytes, rate, takes, of_it),
            *(survey.ending, survey.examples),
        )


def _drops(operation: Operation, name: str) -> bool:
    if not isinstance(operation, Run):
        return False
    return operation.effect.verb == "drop" and operation.effect.name == name


def _seconds(
    operation: Carried, survey: Survey, misfits: Misfits | None, most: float | None
) -> float:
    """One operation; of a table that was read as slowly as is allowed nothing else is known."""
    apart = misfits.count if misfits else 0
    counts = {Rows.MISFITS: apart, Rows.FITS: survey.rows - apart}
    rows = counts.get(operation.rows, survey.rows)
    share = rows / max(1, survey.rows)
    rate = survey.rows / max(survey.seconds, 0.001)
    if most is not None and rate > most * 0.8:
        return rows / most
    read = _read(survey)
    takes = read + share * _written(survey) if isinstance(operation, Copy) else _compared(survey)
    return max(takes * survey.seconds / read, rows / most if most else 0)


def _read(survey: Survey) -> float:
    effort = survey.effort
    of_rows = effort.cells * CELL + effort.partitions * PARTITION + survey.bytes * READ_BYTE
    return of_rows + survey.parts * REQUEST


def _written(survey: Survey) -> float:
    """With one more request for each range, which notes that it is done."""
    requests = survey.effort.requests + survey.parts
    return survey.rows * ROW + survey.bytes * WRITTEN_BYTE + requests * REQUEST


def _compared(survey: Survey) -> float:
    """Both sides are read, also where few rows are meant."""
    return 2 * _read(survey) + survey.rows * COMPARED_ROW + survey.bytes * COMPARED_BYTE
