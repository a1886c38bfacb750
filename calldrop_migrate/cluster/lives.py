"""Counts rows of a copy's source, and those of them that end, by keys, write times and TTLs alone.
Sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from calldrop_migrate.cluster.elements import items
from calldrop_migrate.cluster.layout import Layout
from calldrop_migrate.cluster.raw import RawRow
from calldrop_migrate.core.lives import Lives


class Lifetimes:
    """The ends of rows, as the cells that a target gets tell them.

    Attributes:
        select: CQL that reads a range for it.
    """

    def __init__(self, layout: Layout) -> None:
        cells = layout.own_times_at
        elements = [many.times_at for many in layout.row.many if many.times_at]
        self._layout = layout
        self.select = layout.key_select_with(at for pair in (*cells, *elements) for at in pair)
        first = layout.key_width
        places = range(first, first + 2 * (len(cells) + len(elements)), 2)
        self._cells, self._elements = places[: len(cells)], places[len(cells) :]

    def of(self, rows: Sequence[RawRow]) -> Lives:
        """The rows of a page, as `select` gives them."""
        total = self._layout.count(rows)
        if not self._cells and not self._elements:
            return Lives(total)
        found = [self._lasts(row) for row in rows if self._layout.is_row(row)]
        return Lives(total, found.count(True), found.count(False))

    def _lasts(self, row: RawRow) -> bool | None:
        """Return whether a row has a cell that never ends; None if nothing tells of its end."""
        told = None
        for at in self._cells:
            if row[at] is not None:
                if row[at + 1] is None:
                    return True
                told = False
        for at in self._elements:
            if row[at] is not None:
                ttls = items(row[at + 1])
                if not ttls or None in ttls:
                    return True
                told = False
        return told
