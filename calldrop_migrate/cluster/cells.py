"""The cells that one key of a copy's target addresses: where they stand in a row of the source, and
the statements that write them. Bytes in, bytes out; sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cassandra.query import UNSET_VALUE

from calldrop_migrate.cluster.elements import Assignment, Elements, divided
from calldrop_migrate.cluster.raw import RawRow, Times, left, long, number, seconds, where
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.schema import Table

STAMP = "TIMESTAMP ?"


class Write(NamedTuple):
    """A statement and the values that it binds.

    Attributes:
        behind: it is sent when all before it is acknowledged, and to the same node.
        ttl_at: place of its TTL among the values.
    """

    cql: str
    values: list[Any]
    behind: bool = False
    ttl_at: int = 1

    def later(self, passed: float) -> Write | None:
        """The same so many seconds later; None when what it writes has ended by then."""
        life = number(self.values[self.ttl_at])
        rest = left(life or None, passed)
        if rest is None:
            return None
        values = list(self.values)
        values[self.ttl_at] = seconds(rest)
        return self._replace(values=values)


class Cells:
    """All that one key of the target addresses: the cells of a row, or the statics of a partition.

    Args:
        shown: by column, the time before which the server hides its cells: microseconds.

    Attributes:
        key: names of that key's columns.
        cells: (name, place of the value) of columns that are one cell.
        many: those of which each element is a cell.
        written_at, ttl_at: places of write time and TTL of the columns that have them.
    """

    def __init__(self, into: str, key: Sequence[str], shown: Mapping[str, int]) -> None:
        self.key = tuple(key)
        self.cells: list[tuple[str, int]] = []
        self.many: list[Elements] = []
        self.written_at: dict[str, int] = {}
        self.ttl_at: dict[str, int] = {}
        self._into = into
        self._shown = shown

    @property
    def timed(self) -> tuple[str, ...]:
        """The columns of one cell whose write time and TTL are read."""
        return tuple(self.written_at)

    def times(self, row: RawRow, name: str) -> tuple[int | None, int | None]:
        """Write time and TTL of a timed column; None: an absent cell, and one without end."""
        return number(row[self.written_at[name]]), number(row[self.ttl_at[name]])

    def are_in(self, row: RawRow) -> bool:
        """Return whether any of them is there."""
        return any(row[at] is not None for _, at in self.cells) or any(
            row[elements.at] is not None for elements in self.many
        )

    def retimed_in(self, row: RawRow) -> int:
        """Return how many collections there are whose elements take one write time."""
        return sum(row[e.at] is not None for e in self.many if e.is_list or e.times_at is None)

    def newest(self, row: RawRow) -> int:
        """The newest write time of all; 0 where there is none."""
        plain = (number(row[at]) or 0 for at in self.written_at.values())
        return max((*plain, self.newest_element(row)))

    def untold_in(self, row: RawRow) -> bool:
        """Looks for elements whose times the server doesn't tell."""
        return any(many.times_at is None and row[many.at] is not None for many in self.many)

    def newest_element(self, row: RawRow) -> int:
        """The newest write time of elements; 0 where it isn't told."""
        elements = (e.written or 0 for many in self.many for e in many.read(row))
        return max(elements, default=0)

    def values(self, row: RawRow, chosen: Iterable[str]) -> list[Any]:
        """To be bound: an absent cell is left unset, never null: a null is a tombstone that hides
        what arrives later.
        """
        return [
            UNSET_VALUE if name not in chosen or row[at] is None else row[at]
            for name, at in self.cells
        ]

    def element_writes(
        self, row: RawRow, key: RawRow, since: float, otherwise: int, turn: int, most: int
    ) -> Iterator[Write]:
        """The statements that make the elements of a row; those whose time isn't told are written
        at `otherwise`, or where the server would hide that, as soon as it doesn't.
        """
        for elements in self.many:
            least = self._shown.get(elements.name, otherwise)
            groups = elements.groups(row, since, max(otherwise, least))
            for (written, life), assignment, behind in elements.writes(groups, turn, most):
                cql, values = self.update(assignment, f"{STAMP} AND TTL ?")
                yield Write(cql, [long(written), seconds(life), *values, *key], behind)

    def divided(self, row: RawRow, chosen: Iterable[str], most: int) -> list[set[str]]:
        """Columns in parts whose values have at most `most` bytes, or that are one; at least one
        part, be it empty.
        """
        sizes = {name: len(row[at] or b"") for name, at in self.cells}
        parts = divided(sorted(chosen), most, lambda name: sizes.get(name, 0))
        return [set(part) for part in parts] or [set()]

    def update(self, assignment: Assignment, using: str) -> tuple[str, list[bytes]]:
        """An UPDATE, and the values of its SET."""
        text, values = assignment
        return f"UPDATE {self._into} USING {using} SET {text} WHERE {where(self.key)}", values


def inserting(into: str, target: Table, cells: Sequence[str]) -> tuple[str, str]:
    """The INSERT of a row with these cells, and the UPDATE of the cells alone."""
    columns = [*target.key, *cells]
    insert = (
        f"INSERT INTO {into} ({', '.join(map(quote, columns))}) "
        f"VALUES ({', '.join('?' * len(columns))}) USING {STAMP} AND TTL ?"
    )
    update = (
        f"UPDATE {into} USING {STAMP} AND TTL ? "
        f"SET {', '.join(f'{quote(n)} = ?' for n in cells)} WHERE {where(target.key)}"
    )
    return insert, update


def marker_of(lives: Iterable[Times]) -> Times:
    """Write time and TTL for a row's marker, which can't be read: oldest time, longest life."""
    lives = list(lives)
    oldest = min(written for written, _ in lives)
    return oldest, 0 if any(ttl == 0 for _, ttl in lives) else max(ttl for _, ttl in lives)
