"""Cells, rows and partitions as the servers keep them: the newest write wins, whatever the order.

A write never looks at what is there. It adds cells with a write time, and reading merges them:
the contract suite proves each rule here against a real server. Nothing in this module knows CQL,
schemas or clocks; times are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

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


def _rank(cell: Cell) -> tuple[bool, bool, float, str]:
    return cell.value is None, cell.expires is not None, cell.expires or 0, repr(cell.value)


@dataclass(slots=True)
class RowData:
    """A row: its marker (written by INSERT alone), a deletion, and its cells by column."""

    marker: Cell | None = None
    deleted: int = NEVER
    cells: dict[str, Cell] = field(default_factory=dict)

    def copy(self) -> RowData:
        """Return an independent copy; cells are immutable."""
        return RowData(self.marker, self.deleted, dict(self.cells))

    def put(self, name: str, cell: Cell) -> None:
        """Add a cell."""
        there = self.cells.get(name)
        self.cells[name] = cell if there is None else newer(there, cell)

    def mark(self, marker: Cell) -> None:
        """Add a row marker."""
        self.marker = marker if self.marker is None else newer(self.marker, marker)

    def live_cells(self, now: float, deleted: int = NEVER) -> dict[str, Cell]:
        """Return the cells that a reader sees."""
        below = max(deleted, self.deleted)
        return {name: cell for name, cell in self.cells.items() if cell.is_live(now, below)}

    def exists(self, now: float, deleted: int = NEVER) -> bool:
        """Return whether a reader sees the row: by its marker, or by any cell."""
        below = max(deleted, self.deleted)
        if self.marker is not None and self.marker.is_live(now, below):
            return True
        return any(cell.is_live(now, below) for cell in self.cells.values())


@dataclass(slots=True)
class Partition:
    """The rows of one partition key by clustering key, its static cells, and a deletion of all."""

    deleted: int = NEVER
    statics: RowData = field(default_factory=RowData)
    rows: dict[tuple[object, ...], RowData] = field(default_factory=dict)

    def copy(self) -> Partition:
        """Return an independent copy."""
        rows = {key: row.copy() for key, row in self.rows.items()}
        return Partition(self.deleted, self.statics.copy(), rows)

    def row(self, clustering: tuple[object, ...]) -> RowData:
        """Return the row of a clustering key, made where there is none."""
        return self.rows.setdefault(clustering, RowData())
