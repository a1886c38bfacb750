"""Rows of a table by what is known about their end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lives:
    """Numbers of rows of a table, by what their cells tell about their end.

    Attributes:
        rows: all of them.
        lasting: have a cell that never ends.
        ending: have cells, and each of them ends. Of the others nothing is told.
    """

    rows: int = 0
    lasting: int = 0
    ending: int = 0

    def __add__(self, other: Lives) -> Lives:
        return Lives(
            self.rows + other.rows, self.lasting + other.lasting, self.ending + other.ending
        )
