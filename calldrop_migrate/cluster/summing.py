"""The part of a row that is in the sums of compare.py, on either side: where it stands in a row of
the source, how it is read from the target, and its digest. Sends nothing.

All cells: the target's key, its cells, and the write times of those that are cells on both sides.
TTLs are left out, because they run, and the times of lists, which a copy changes. Statics are there
with each row, as a SELECT gives them.

Lasting cells: of those with a write time on both sides the ones that never end, and collections
whose elements' times aren't told: nothing says that one of these ends. Where something ends all the
time, these have to be alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from calldrop_migrate.cluster.cells import Cells
from calldrop_migrate.cluster.elements import items
from calldrop_migrate.cluster.layout import Layout
from calldrop_migrate.cluster.raw import RawRow
from calldrop_migrate.core.cql import quote

_ABSENT = b"\xff\xff\xff\xff"


class Summed(Protocol):
    """The part of a row that is summed up, behind the target's key.

    Attributes:
        places: where it stands in a row of the source.
        selected: what to SELECT from the target.
    """

    places: Sequence[int]
    selected: Sequence[str]

    def of(self, row: RawRow) -> RawRow | None:
        """Return what counts of such a row; None if the row doesn't count."""
        ...


def summed(layout: Layout, *, lasting: bool) -> Summed:
    """All cells, or the lasting ones."""
    return LastingCells(layout) if lasting else AllCells(layout)


class AllCells:
    """See `Summed`."""

    def __init__(self, layout: Layout) -> None:
        parts = _parts(layout)
        values = [cell for part in parts for cell in part.cells]
        values += [(many.name, many.at) for part in parts for many in part.many]
        times = [
            (n, part.written_at[n]) for part in parts for n, _ in part.cells if n in part.written_at
        ]
        times += [
            (many.name, many.times_at[0])
            for part in parts
            for many in part.many
            if many.times_at and not many.is_list
        ]
        self.places: Sequence[int] = [at for _, at in (*values, *times)]
        self.selected: Sequence[str] = [
            *(quote(name) for name, _ in values),
            *(f"WRITETIME({quote(name)})" for name, _ in times),
        ]

    def of(self, row: RawRow) -> RawRow:
        """All of it."""
        return row


class LastingCells:
    """See `Summed`. There are value, write time and TTL of each column that has them, and then the
    values of the others.
    """

    def __init__(self, layout: Layout) -> None:
        self._columns = _timed(layout)
        self._width = len(layout.key_at)
        self._timed = self._width + 3 * len(self._columns)
        untold = [m for part in _parts(layout) for m in part.many if not m.times_at]
        self.places: Sequence[int] = [
            *(at for column in self._columns for at in column.places),
            *(many.at for many in untold),
        ]
        names = [quote(column.name) for column in self._columns]
        self.selected: Sequence[str] = [
            *(s for n in names for s in (n, f"WRITETIME({n})", f"TTL({n})")),
            *(quote(many.name) for many in untold),
        ]

    def of(self, row: RawRow) -> RawRow | None:
        """Return nothing of a row whose cells all end; a row of keys alone has nothing that
        ends.
        """
        key, cells = row[: self._width], row[self._width : self._timed]
        lasting = list(row[self._timed :])
        ending = False
        parts = zip(cells[::3], cells[1::3], cells[2::3], strict=True)
        for column, (value, written, ttl) in zip(self._columns, parts, strict=True):
            ends = column.ends(ttl)
            ending = ending or ends
            lasting += (None, None) if ends else (value, None if column.is_list else written)
        if ending and all(part is None for part in lasting):
            return None
        return [*key, *lasting]


@dataclass(frozen=True, slots=True)
class _Timed:
    """A column that has write time and TTL on both sides, and where value, write time and TTL stand
    in the source's row.
    """

    name: str
    places: tuple[int, int, int]
    of_elements: bool = False
    is_list: bool = False

    def ends(self, ttl: bytes | None) -> bool:
        """Return whether it, or an element of it, has a TTL."""
        if self.of_elements:
            return any(part is not None for part in items(ttl))
        return ttl is not None


def _timed(layout: Layout) -> list[_Timed]:
    parts = _parts(layout)
    cells = [
        _Timed(name, (at, part.written_at[name], part.ttl_at[name]))
        for part in parts
        for name, at in part.cells
        if name in part.written_at
    ]
    return cells + [
        _Timed(many.name, (many.at, *many.times_at), of_elements=True, is_list=many.is_list)
        for part in parts
        for many in part.many
        if many.times_at
    ]


def _parts(layout: Layout) -> list[Cells]:
    return [layout.row] + ([layout.statics] if layout.statics else [])


def digest(cells: Sequence[bytes | None]) -> int:
    """64 bits of what is summed up of a row."""
    packed = [_ABSENT if c is None else len(c).to_bytes(4, "big") + c for c in cells]
    return int.from_bytes(blake2b(b"".join(packed), digest_size=8).digest(), "big")
