"""What the tables of a plan hold: read once per command, also where its plan is made twice.

Rows are counted, and those that another shape can't hold looked for, before anything is asked or
run. What is carried later finds its own rows again: nothing depends on these figures but what a
person is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from calldrop_migrate.core.carrying import can_misfit, left_behind
from calldrop_migrate.core.operations import Carried, Copy, Proof, Rows, Run, proofs_of
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.estimating import Estimate, estimates
from calldrop_migrate.engine.misfits import Misfits, Survey


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted for one attempt.

    Attributes:
        uncounted: tables of which rows that don't fit were not looked for.
        unread: tables whose rows were not counted.
        losses: what --discard-rows deletes for good, for people.
    """

    misfits: tuple[Misfits, ...] = ()
    uncounted: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    losses: tuple[str, ...] = ()


class Scans:
    """Reads whole tables for one command.

    Args:
        wanted: whether tables are read at all.
    """

    def __init__(self, copier: Copier, *, wanted: bool) -> None:
        self._copier = copier
        self._wanted = wanted
        self._parts: dict[Table, int] = {}
        self._surveys: dict[Table, Survey] = {}
        self._misfits: dict[tuple[Any, ...], Misfits] = {}

    def of(self, attempt: Attempt, live: Schema) -> Counted:
        """What one attempt carries and deletes, of tables that have that shape already."""
        left = attempt.operations[attempt.done :]
        told: dict[tuple[Any, ...], Misfits | None] = {}
        for op in left:
            if isinstance(op, Copy) and op.fits and can_misfit(op.source, op.fits, op.fit_columns):
                told.setdefault(_shape(op), self._find(op, live))
        # One that is resumed is not held up: its table may lack rows until it is finished.
        names = [] if attempt.resumed else list(dict.fromkeys(_read(left)))
        now = [table for name in names if (table := _as_is(name, attempt, live))]
        surveys = [self._survey(table) for table in now] if self._wanted else []
        found = tuple(one for one in told.values() if one)
        return Counted(
            found,
            tuple(sorted({shape[0] for shape, one in told.items() if one is None})),
            tuple(table.name for table in now) if not self._wanted else (),
            tuple(estimates(attempt, surveys, lambda op: told.get(_shape(op)), self._copier.most)),
            tuple(_losses(attempt, {s.table: s.rows for s in surveys}, found)),
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

    def _survey(self, table: Table) -> Survey:
        if table not in self._surveys:
            self._surveys[table] = self._copier.search.survey(table, self._parts_for(table))
        return self._surveys[table]

    def _parts_for(self, table: Table) -> int:
        if table not in self._parts:
            self._parts[table] = self._copier.parts_for(table)
        return self._parts[table]


def _shape(op: Carried) -> tuple[Any, ...]:
    return (op.source.name, op.fits.key if op.fits else (), op.fit_columns)


def _read(operations: Sequence[object]) -> Iterator[str]:
    """The tables whose rows are worth counting: they are carried, or deleted for good."""
    for op in operations:
        if isinstance(op, Copy):
            yield op.source.name
        elif isinstance(op, Run) and op.effect.destroys and op.proof is Proof.DISCARD:
            yield op.effect.name


def _as_is(name: str, attempt: Attempt, live: Schema) -> Table | None:
    """A table that the attempt begins with, if it is that already."""
    then, now = attempt.before.table(name), live.table(name)
    return now if then and now and then.id == now.id else None


def _losses(attempt: Attempt, rows: dict[str, int], misfits: Sequence[Misfits]) -> Iterator[str]:
    """What each statement that may discard rows deletes for good."""
    apart = {one.table: one.count for one in misfits}
    for index, op in enumerate(attempt.operations):
        if index < attempt.done or not isinstance(op, Run) or op.proof is not Proof.DISCARD:
            continue
        name, copied = op.effect.name, proofs_of(attempt.operations, index)
        carried = attempt.operations[copied[-1]] if copied else None
        if isinstance(carried, Carried):
            lost, fits = left_behind(carried.source, carried.columns), carried.rows is Rows.FITS
            what = [_counted(apart.get(name), "rows that do not fit")] if fits else []
            what += [f"the values of {', '.join(lost)}"] if lost else []
        elif op.effect.verb == "alter":
            what = [f"the values of {', '.join(op.effect.drop)}"]
        else:
            what = [_counted(rows.get(name), "all rows")]
        yield f"{name}: --discard-rows deletes {' and '.join(what)} for good"


def _counted(rows: int | None, otherwise: str) -> str:
    if rows is None:
        return f"{otherwise} (not counted)"
    return f"{rows:,} row{'s' * (rows != 1)}"
