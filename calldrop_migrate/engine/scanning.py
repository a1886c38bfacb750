"""The contents of a plan's tables: read once per command, also where its plan is made twice.

Rows are counted, and those that another shape can't hold looked for, before anything is asked or
run. What is carried later finds its own rows again: nothing depends on these figures but what a
person is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from calldrop_migrate.core.carrying import can_misfit, left_behind
from calldrop_migrate.core.operations import (
    Carried,
    Copy,
    Operation,
    Proof,
    Rows,
    Run,
    proofs_of,
)
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.estimating import Estimate, estimates
from calldrop_migrate.engine.misfits import Misfits, Survey


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts for one attempt.

    Attributes:
        uncounted: tables of which rows that don't fit were not looked for.
        unread: tables whose rows were not counted.
        losses: what --discard-rows deletes for good, for people; `apart`: of rows that a rebuild
            leaves behind, which are counted once more when it is carried out.
    """

    misfits: tuple[Misfits, ...] = ()
    uncounted: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    losses: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


class Scans:
    """Reads whole tables for one command.

    Args:
        wanted: whether tables are read at all.
    """

    def __init__(self, copier: Copier, *, wanted: bool) -> None:
        self._copier = copier
        self._wanted = wanted
        self._parts: dict[Table, int] = {}
        self._surveys: dict[tuple[Any, ...], Survey] = {}
        self._misfits: dict[tuple[Any, ...], Misfits] = {}

    def of(self, attempt: Attempt, live: Schema) -> Counted:
        """Return what one attempt carries and deletes, of tables that have that shape already."""
        if attempt.refusals:  # it won't run, and such a table may not be readable at all
            return Counted()
        left = attempt.operations[attempt.done :]
        told: dict[tuple[Any, ...], Misfits | None] = {}
        for op in left:
            if isinstance(op, Copy) and op.fits and can_misfit(op.source, op.fits, op.fit_columns):
                told.setdefault(_shape(op), self._find(op, live))
        # One that is resumed is not held up: its table may lack rows until it is finished.
        names = [] if attempt.resumed else list(dict.fromkeys(_read(left)))
        now = [table for name in names if (table := _as_is(name, attempt, live))]
        surveys = [self._survey(table, left) for table in now] if self._wanted else []
        found = tuple(one for one in told.values() if one)
        return Counted(
            found,
            tuple(sorted({shape[0] for shape, one in told.items() if one is None})),
            tuple(table.name for table in now) if not self._wanted else (),
            tuple(estimates(attempt, surveys, lambda op: told.get(_shape(op)), self._copier.most)),
            tuple(_losses(attempt, {s.table: s.rows for s in surveys})),
            tuple(_apart(attempt, found)),
        )

    def _find(self, op: Copy, live: Schema) -> Misfits | None:
        table = live.table(op.source.name)
        if not self._wanted or table is None or op.fits is None:
            return None
        if not op.source.same_rows_as(table):
            return None
        key = (table, *_shape(op))
        if key not in self._misfits:
            search, parts = self._copier.search, self._parts_for(table)
            self._misfits[key] = search.find(table, op.fits, op.fit_columns, parts)
        return self._misfits[key]

    def _survey(self, table: Table, operations: Sequence[Operation]) -> Survey:
        """Read a table as it is copied, most of its rows last."""
        into = [op for op in operations if isinstance(op, Copy) and op.source.name == table.name]
        copied = into[-1] if into and into[-1].source.same_rows_as(table) else None
        target, columns = (copied.target, copied.columns) if copied else (None, ())
        key = (table, target and target.partition_key, columns)
        if key not in self._surveys:
            search, parts = self._copier.search, self._parts_for(table)
            self._surveys[key] = search.survey(table, parts, target, columns)
        return self._surveys[key]

    def _parts_for(self, table: Table) -> int:
        if table not in self._parts:
            self._parts[table] = self._copier.parts_for(table)
        return self._parts[table]


def _shape(op: Carried) -> tuple[Any, ...]:
    return (op.source.name, op.fits.key if op.fits else (), op.fit_columns)


def _read(operations: Sequence[Operation]) -> Iterator[str]:
    """The tables whose rows are worth counting: they are carried, or deleted for good."""
    for op in operations:
        if isinstance(op, Copy):
            yield op.source.name
        elif isinstance(op, Run) and op.effect.destroys and op.proof is Proof.DISCARD:
            yield op.effect.name


def _as_is(name: str, attempt: Attempt, live: Schema) -> Table | None:
    """A table that the attempt begins with, if it is that already."""
    then, now = attempt.before.table(name), live.table(name)
    return now if then and now and then.id == now.id and not now.compact else None


def _losses(attempt: Attempt, rows: dict[str, int]) -> Iterator[str]:
    """Yield what statements of the file delete for good, where nothing of it is copied."""
    for op, copied in _discarding(attempt):
        if not copied:
            what = f"the values of {', '.join(op.effect.drop)}"
            if op.effect.verb != "alter":
                what = _counted(rows.get(op.effect.name), "all rows")
            yield f"{op.effect.name}: --discard-rows deletes {what} for good"


def _apart(attempt: Attempt, misfits: Sequence[Misfits]) -> Iterator[str]:
    """Yield what rebuilds delete for good."""
    counts = {one.table: one.count for one in misfits}
    for op, copied in _discarding(attempt):
        if copied and copied.rows is Rows.FITS:
            what = _counted(counts.get(op.effect.name), "rows that do not fit")
            yield f"{op.effect.name}: --discard-rows deletes {what} for good"
        if copied and (lost := left_behind(copied.source, copied.columns)):
            what = f"the values of {', '.join(lost)}"
            yield f"{op.effect.name}: --discard-rows deletes {what} for good"


def _discarding(attempt: Attempt) -> Iterator[tuple[Run, Carried | None]]:
    """The statements that may discard rows, each with what proves where the others are."""
    for index, op in enumerate(attempt.operations):
        if index >= attempt.done and isinstance(op, Run) and op.proof is Proof.DISCARD:
            proofs = [attempt.operations[at] for at in proofs_of(attempt.operations, index)]
            carried = [proof for proof in proofs if isinstance(proof, Carried)]
            yield op, carried[-1] if carried else None


def _counted(rows: int | None, otherwise: str) -> str:
    if rows is None:
        return f"{otherwise} (not counted)"
    return f"{rows:,} row{'s' * (rows != 1)}"
