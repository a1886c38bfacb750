"""Rows and cells that are in the target of a copy and not in its source: deleted while it was
copied, or written into the target by a choice between rows that didn't last.

It is the comparison of compare.py the other way round: of each row of the target, whether the
source holds it. What the source has nowhere is deleted at its own write time (at a tie the
tombstone wins, a later write is not hidden). A cell that another row of the source has put over the
right one can't be mended so: its tombstone would hide the older right one. That is only told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from time import monotonic

from calldrop_migrate.cluster.cells import Cells
from calldrop_migrate.cluster.compare import Comparison, partition_token
from calldrop_migrate.cluster.elements import LATEST_TURN, Element
from calldrop_migrate.cluster.lookup import Lookup
from calldrop_migrate.cluster.raw import RawRow, long, where
from calldrop_migrate.cluster.wire import Wire
from calldrop_migrate.cluster.writing import Window
from calldrop_migrate.core.carrying import can_tell
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import Range, grid, index_of
from calldrop_migrate.core.widening import origin
from calldrop_migrate.engine.ports import CopyTask, Difference, Key

Part = tuple[Cells, Lookup]


class Strays:
    """The strays of one task."""

    def __init__(self, wire: Wire, task: CopyTask, parts: int) -> None:
        self._wire = wire
        self._task = task
        self._parts = parts
        columns, casts = dict[str, str](), dict[str, str]()
        for name, what in task.columns:
            its = origin(task.source, what)
            if its and its not in columns and (its == what or its not in task.source.key):
                columns[its] = name
                casts |= {its: what} if its != what else {}
        # Where a column of the source's key isn't in the target, its rows can't be told apart.
        self._can_tell = can_tell(task.source, task.columns)
        # Cells of the source that are part of the target's key: another value is another row.
        self._into_key = {what for what, name in columns.items() if name in task.target.key} - set(
            task.source.key
        )
        self._back = replace(
            task,
            source=task.target,
            target=task.source,
            columns=tuple(columns.items()),
            casts=tuple(casts.items()),
            skip=(),
            only=None,
        )
        came_from = [columns.get(name) for name in task.source.partition_key]
        self._same_partitions = tuple(came_from) == task.target.partition_key

    def found(self, buckets: Collection[int], slack: float, *, remove: bool) -> list[Difference]:
        """See `Bulk.strays`."""
        if not self._can_tell:
            return []
        comparison = Comparison(self._wire, self._back)
        ranges = [part for part in grid(self._parts) if self._may_hold(part, buckets)]
        told: list[Difference] = []
        for rows, there, age in comparison.pairs(ranges):
            gone: list[RawRow] = []
            for row, source in zip(rows, there, strict=True):
                if self._is_of(row, comparison, buckets) and (
                    what := self._stray(row, source, comparison, slack + age)
                ):
                    told.append(comparison.difference(row, what))
                    gone += [row] if self._may_go(row, source, comparison) else []
                    if remove and source is not None:
                        self._delete_cells(row, source, comparison)
            if remove:
                comparison.delete(gone)
        for row, source, asked in comparison.statics(ranges):
            age = monotonic() - asked
            what = comparison.static_lookup.lacks(row, source, slack + age, exactly=True)
            if what and self._is_of(row, comparison, buckets):
                told.append(comparison.difference(row, what))
                if remove:
                    self._delete_statics(row, source, comparison)
        return told

    def _may_hold(self, part: Range, buckets: Collection[int]) -> bool:
        """Return whether rows of these ranges of the source can lie in a range of the target."""
        return not self._same_partitions or part.index in buckets or -1 in buckets

    def _is_of(self, row: RawRow, comparison: Comparison, buckets: Collection[int]) -> bool:
        if -1 in buckets:
            return True
        partition = comparison.layout.target_key.partition_of(row)
        return index_of(partition_token(partition), self._parts) in buckets

    def _stray(
        self, row: RawRow, source: RawRow | None, comparison: Comparison, slack: float
    ) -> str:
        """Return what of a target's row the source doesn't hold, in words; empty when it
        holds all.
        """
        key = comparison.layout.target_key.of(row)
        if source is not None and not self._is_meant(key):
            return "is there beside the row that has its key"
        what = comparison.lookup.lacks(row, source, slack, exactly=True, same_key=True)
        return "is not there any more" if source is None and what else what

    def _is_meant(self, key: tuple[bytes | None, ...]) -> bool:
        task = self._task
        return key not in task.skip and (task.only is None or key in task.only)

    def _may_go(self, row: RawRow, source: RawRow | None, comparison: Comparison) -> bool:
        """Return whether a row may be deleted: it isn't in the source, or has another key by now,
        or is one that isn't meant and stands alone there.
        """
        key = comparison.layout.target_key.of(row)
        if source is None or comparison.lookup.differs(row, source, self._into_key):
            return True
        return self._task.only is not None and not self._is_meant(key)

    def _delete_cells(self, row: RawRow, source: RawRow, comparison: Comparison) -> None:
        """Cells that the source's row doesn't have, each at its own time."""
        layout = comparison.layout
        self._delete((layout.row, comparison.lookup), row, source, layout.key_of(row))

    def _delete_statics(self, row: RawRow, source: RawRow | None, comparison: Comparison) -> None:
        """The same of a partition's statics."""
        layout = comparison.layout
        if layout.statics:
            key = layout.source_partition_of(row)
            self._delete((layout.statics, comparison.static_lookup), row, source, key)

    def _delete(self, part: Part, row: RawRow, there: RawRow | None, key: Key) -> None:
        cells, lookup = part
        table, columns = self._back.source, dict(self._back.columns)
        into = f"{quote(self._wire.keyspace)}.{quote(table.name)}"
        of_key = table.key if len(key) == len(table.key) else table.partition_key
        window = Window(self._wire, self._task.between, self._task.calm)

        def send(verb: str, change: str, values: Sequence[bytes], at: int) -> None:
            cql = (
                f"DELETE {change} FROM {into} USING TIMESTAMP ? WHERE {where(of_key)}"
                if verb == "DELETE"
                else f"UPDATE {into} USING TIMESTAMP ? SET {change} WHERE {where(of_key)}"
            )
            window.send([self._wire.bound(cql, [long(at), *values, *key])])

        for name in lookup.extra(row, there):
            send("DELETE", quote(columns[name]), (), cells.times(row, name)[0] or 0)
        # Elements whose times are not told: behind all that a copy has written of this row.
        untold = LATEST_TURN + cells.newest(row)

        def written(element: Element) -> int:
            return untold if element.written is None else element.written

        for many, elements in lookup.extra_elements(row, there):
            of_table = many.named(columns[many.name])
            if many.is_list:
                send("DELETE", quote(columns[many.name]), (), max(map(written, elements)))
                continue
            for at, same in groupby(sorted(elements, key=written), key=written):
                send(*of_table.remove(list(same)), at)
        window.drain()
