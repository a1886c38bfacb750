"""Cells, rows and partitions as the servers keep them: the newest write wins, whatever the order.

A write never looks at what is there. It adds cells with a write time, and reading merges them:
the contract suite proves each rule here against a real server. Nothing in this module knows CQL,
schemas or clocks; times are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NEVER = -(2**63)  # a write time below every other


class Cell(NamedTuple):
    """One value.

    Attributes:
        written: its write time in microseconds.
        expires: seconds on the cluster's clock; None has no end.
        value: None is a tombstone.
    """

    written: int
    expires: float | None
    value: object

    def is_live(self, now: float, deleted: int) -> bool:
        """Return whether a reader sees it, behind a deletion at that write time."""
        if self.value is None or self.written <= deleted:
            return False
        return self.expires is None or self.expires > now


def newer(one: Cell, other: Cell) -> Cell:
    """Return the cell that wins, as both servers decide it.

    The higher write time wins; at one time a tombstone, then a cell that ends, then the one that
    ends later, then the larger value.
    """
    if one.written != other.written:
        return one if one.written > other.written else other
    return max(one, other, key=_rank)


def _rank(cell: Cell) -> tuple[bool, bool, float, bytes]:
    return cell.value is None, cell.expires is not None, cell.expires or 0, _stored(cell.value)


def _stored(value: object) -> bytes:
    """Return bytes in the order of those that the servers keep: a negative number is above others.

    What no table of the simulator has a column of is in an order of its own.
    """
    if isinstance(value, int):
        return value.to_bytes(8, "big", signed=True)
    return (value if isinstance(value, str) else repr(value)).encode()


@dataclass(slots=True)
class RowData:
    """A row: its marker (written by INSERT alone), a deletion, and its cells by column.

    It is never changed: a write puts another one in its place, so that copies may share it, and
    what a query made of it is kept in `answers`.
    """

    marker: Cell | None = None
    deleted: int = NEVER
    cells: Mapping[str, Cell] = field(default_factory=dict)
    _plain_above: int | None = field(default=None, compare=False, repr=False)
    answers: dict[int, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)

    def merged(self, other: RowData) -> RowData:
        """Return both together: of each cell the one that wins."""
        marker = self.marker
        if marker is None or other.marker is None:
            marker = marker or other.marker
        else:
            marker = newer(marker, other.marker)
        cells = dict(self.cells)
        for name, cell in other.cells.items():
            there = cells.get(name)
            cells[name] = cell if there is None else newer(there, cell)
        return RowData(marker, max(self.deleted, other.deleted), cells)

    def without(self, column: str) -> RowData:
        """Return it without the cells of a column."""
        cells = {name: cell for name, cell in self.cells.items() if name != column}
        return RowData(self.marker, self.deleted, cells)

    def is_plain(self, deleted: int) -> bool:
        """Return whether all its cells are values that a reader sees, and none ends."""
        return max(deleted, self.deleted) < self._lowest()

    def _lowest(self) -> int:
        """Return the oldest write time, if all cells are values that don't end; `NEVER` if not."""
        if self._plain_above is None:
            plain = all(cell[1] is None and cell[2] is not None for cell in self.cells.values())
            times = [cell[0] for cell in self.cells.values()]
            self._plain_above = min(times) if plain and times else NEVER
        return self._plain_above

    def live_cells(self, now: float, deleted: int = NEVER) -> Mapping[str, Cell]:
        """Return the cells that a reader sees; not to be changed."""
        if self.is_plain(deleted):
            return self.cells
        below = max(deleted, self.deleted)
        return {
            name: cell
            for name, cell in self.cells.items()
            if cell[2] is not None and cell[0] > below and (cell[1] is None or cell[1] > now)
        }

    def is_marked(self, now: float, deleted: int = NEVER) -> bool:
        """Return whether a reader sees the row without any cell."""
        return self.marker is not None and self.marker.is_live(now, max(deleted, self.deleted))


EMPTY = RowData()


@dataclass(slots=True)
class Partition:
    """The rows of one partition key by clustering key, its static cells, and a deletion of all."""

    deleted: int = NEVER
    statics: RowData = field(default_factory=RowData)
    rows: dict[tuple[object, ...], RowData] = field(default_factory=dict)

    def copy(self) -> Partition:
        """Return an independent copy; rows are shared."""
        return Partition(self.deleted, self.statics, dict(self.rows))

    def put(self, clustering: tuple[object, ...], row: RowData) -> None:
        """Merge what was written into a row."""
        self.rows[clustering] = self.rows.get(clustering, EMPTY).merged(row)

    def put_statics(self, row: RowData) -> None:
        """Merge static cells."""
        self.statics = self.statics.merged(row)
