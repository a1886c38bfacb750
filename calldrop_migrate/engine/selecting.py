"""The choice of rows that an operation is about: all, those that fit another shape, or the others.

Which don't fit is found once per attempt and kept for its operations on them: "the newest of a
group" can change by the mere passing of time, when a cell expires, and a row that is neither put
aside nor copied is lost. Where the last proof finds a difference they are looked for once more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from calldrop_migrate import commands
from calldrop_migrate.core.carrying import can_collide, can_misfit
from calldrop_migrate.core.operations import Carried, Rows, Verify
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.misfits import Misfits, Search
from calldrop_migrate.engine.place import Place
from calldrop_migrate.engine.ports import CopyTask, Key
from calldrop_migrate.engine.ranging import By, Do
from calldrop_migrate.errors import MisfitRows, RowsAtRisk


class Selection:
    """The choices of one run.

    Args:
        consistency: of the search.
        by: who looks at the ranges of a task.
    """

    def __init__(
        self, search: Search, consistency: str, by: Callable[[Do, CopyTask, Place], By]
    ) -> None:
        self._search = search
        self._consistency = consistency
        self._by = by
        self._known: dict[tuple[Any, ...], Misfits] = {}

    def narrowed(self, operation: Carried, task: CopyTask, place: Place) -> CopyTask:
        """The task narrowed to the rows that fit, or to those that don't.

        Raises:
            MisfitRows: there are some, and no flag says what to do with them.
        """
        source, fits, columns = operation.source, operation.fits, operation.fit_columns
        if fits is None or not can_misfit(source, fits, columns):
            return task
        if operation.rows is Rows.ALL and not can_collide(source, fits, columns):
            return task  # a null key shows in the copy itself
        misfits = self._misfits(operation, fits, place)
        match operation.rows:
            case Rows.ALL if misfits.count:
                raise unfit(source.name, misfits.count, misfits.examples)
            case Rows.FITS:
                return replace(task, skip=misfits.keys)
            case Rows.MISFITS:
                return replace(task, only=misfits.keys)
        return task

    def see_same(self, operation: Verify, place: Place) -> None:
        """See that no row has come, since they were looked for, which shares its key in the new
        shape with another one: it would be neither copied nor put aside.

        Raises:
            MisfitRows, RowsAtRisk: one has.
        """
        source, fits, columns = operation.source, operation.fits, operation.fit_columns
        if fits is None or operation.rows is Rows.MISFITS or not can_collide(source, fits, columns):
            return
        known = self._misfits(operation, fits, place)
        since = self._find(operation, fits, place, known.keys)
        if operation.rows is Rows.ALL and since.count:
            raise unfit(source.name, since.count, since.examples)
        if since.keys - known.keys:
            raise changed(operation)

    def _misfits(self, operation: Carried, fits: Table, place: Place) -> Misfits:
        at = (place.attempt, operation.source.name, fits.key, operation.fit_columns)
        if at not in self._known:
            held = self._search.held(place.aside, place.parts) if place.aside else ()
            self._known[at] = self._find(operation, fits, place, held)
        return self._known[at]

    def _find(
        self, operation: Carried, fits: Table, place: Place, held: Collection[Key]
    ) -> Misfits:
        return self._search.find(
            *(operation.source, fits, operation.fit_columns, place.parts),
            held=held,
            consistency=self._consistency,
            by=lambda do, task: self._by(do, task, place),
        )


def changed(operation: Carried) -> RowsAtRisk:
    """Return what is said of rows that came too late to be told from others."""
    return RowsAtRisk(
        f"rows of {operation.source.name} came or changed while they were copied, and share their"
        " key in the new shape with others",
        state="Nothing was dropped.",
        hint=(
            "Stop the writers, then run the same command again. If it says the same then, begin"
            f" anew:  {commands.abort()}"
        ),
    )


def unfit(table: str, count: int, examples: Iterable[str] = ()) -> MisfitRows:
    """Return what is said of rows that don't fit."""
    lines = "".join(f"\n      {example}" for example in examples)
    return MisfitRows(
        f"{table}: {count:,} rows do not fit into the new shape{lines}",
        state="Nothing was dropped; the shadow table that was begun stays until the next attempt.",
        hint="--set-aside keeps them in a table beside it, --discard-rows deletes them.",
    )
