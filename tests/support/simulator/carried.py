"""Rows of a copy: what of a source row its target gets, and whether the target holds it.

These are the rules of docs/protocol.md 5 and 6 for tables of regular cells, written down a second
time: cluster/layout.py and lookup.py have them for the server's bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from calldrop_migrate.core.carrying import uncarried
from calldrop_migrate.core.names import MARKER, aside_of
from calldrop_migrate.core.ranges import Range
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import NULL, CopyTask
from calldrop_migrate.engine.ports import Key as RawKey
from tests.support.simulator.cells import Cell
from tests.support.simulator.statements import Unmodelled
from tests.support.simulator.storage import Found, Key, token_of

GONE = "is not there"
KEYS_GONE = f"has no cells, and {GONE}"


@dataclass(frozen=True, slots=True)
class Life:
    """A cell to be written: its write time in microseconds, and the seconds that it lives; None is
    for ever.
    """

    written: int
    seconds: int | None
    value: object = True


@dataclass(frozen=True, slots=True)
class RowWrite:
    """A row as a copy sends it: no marker adds cells to a row that is there."""

    partition: Key
    clustering: Key
    marker: Life | None
    cells: tuple[tuple[str, Life], ...]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the source, as the target would have it.

    Attributes:
        key: in the source.
        into: in the target; with None where a part of it is null.
        cells: of the target, live ones with a write time: value, time, end.
        keyed: cells of the source that are part of the target's key.
        untimed: values that share the marker's fate.
        kept: the marker as the source's own column has it.
        others: cells of the source that the target doesn't take: the row lives as long as they do.
    """

    key: Key
    into: tuple[object, ...]
    cells: Mapping[str, Cell]
    keyed: Mapping[str, Cell]
    untimed: Mapping[str, object]
    kept: Cell | None
    others: tuple[Cell, ...] = ()

    @property
    def all_cells(self) -> list[Cell]:
        """Return all that tells of the row's life."""
        kept = [self.kept] if self.kept else []
        return [*self.cells.values(), *self.keyed.values(), *kept, *self.others]


class Carrier:
    """The rows of one task."""

    def __init__(self, task: CopyTask) -> None:
        self.task = task
        self.source, self.target = task.source, task.target
        self.chosen = dict(task.columns)
        for table in (self.source, self.target):
            if any(column.kind == "static" for column in table.columns):
                raise Unmodelled(f"static columns of {table.name}")
        for what in self.chosen.values():
            if self.source.column(what) is None:
                raise Unmodelled(f"the expression {what}")
        aside = aside_of(self.target.name) is not None
        self._others = frozenset(() if aside else uncarried(self.source, task.columns))
        self._into_marked = _is_marked(self.target) and not _is_marked(self.source)
        self._from_marked = _is_marked(self.source) and not _is_marked(self.target)

    # -- reading -----------------------------------------------------------------------------------

    def rows(self, all_found: Iterable[Found], part: Range) -> Iterator[SourceRow]:
        """Yield the rows of a range that are meant."""
        for found in all_found:
            if part.low < token_of(found.partition) <= part.high:
                row = self.row(found)
                raw = raw_key(row.key)
                if raw not in self.task.skip and (self.task.only is None or raw in self.task.only):
                    yield row

    def row(self, found: Found) -> SourceRow:
        """Return a row as the target would have it."""
        key = (*found.partition, *(found.clustering or ()))
        keys = dict(zip(self.source.key, key, strict=True))
        cells, keyed, untimed = dict[str, Cell](), dict[str, Cell](), dict[str, object]()
        into: list[object] = []
        for name in self.target.key:
            what = self.chosen[name]
            if what in keys:
                into.append(keys[what])
                continue
            cell = found.cells.get(what)
            into.append(cell.value if cell else None)
            if cell:
                keyed[name] = cell
        for name, what in self.task.columns:
            if name in self.target.key:
                continue
            if what in keys:
                untimed[name] = keys[what]
            elif cell := found.cells.get(what):
                cells[name] = cell
        kept = found.cells.get(MARKER) if self._from_marked else None
        others = tuple(c for name, c in found.cells.items() if name in self._others)
        return SourceRow(key, tuple(into), cells, keyed, untimed, kept, others)

    def unfit(self, row: SourceRow) -> str:
        """Return why the target can't hold a row; empty if it can."""
        pairs = zip(self.target.key, row.into, strict=True)
        nulls = [name for name, part in pairs if part is None]
        return f"{', '.join(nulls)} {NULL}" if nulls else ""

    def newest(self, row: SourceRow) -> int:
        """Return the newest write time of a row; 0 where it has no cell."""
        return max((cell.written for cell in row.all_cells), default=0)

    # -- writing -----------------------------------------------------------------------------------

    def write(self, row: SourceRow, now: float, *, with_marker: bool = True) -> RowWrite | None:
        """Return what is sent for a row; None if nothing of it is alive."""
        lives = {name: _left(cell, now) for name, cell in row.cells.items()}
        alive = {name: life for name, life in lives.items() if life is not None}
        all_lives = [*alive.values()]
        more = (*row.keyed.values(), *row.others)
        all_lives += [life for cell in more if (life := _left(cell, now)) is not None]
        marker = self._marker(row, all_lives, now)
        if marker is None:
            return None
        cells = dict(alive)
        for name, value in row.untimed.items():
            cells[name] = Life(marker.written, marker.seconds, value)
        if self._into_marked:
            cells[MARKER] = Life(marker.written, marker.seconds)
        width = len(self.target.partition_key)
        return RowWrite(
            row.into[:width],
            row.into[width:],
            marker if with_marker else None,
            tuple(sorted(cells.items())),
        )

    def _marker(self, row: SourceRow, lives: Sequence[Life], now: float) -> Life | None:
        if row.kept is not None:
            return _left(row.kept, now)
        if not row.all_cells:
            return Life(self.task.low_timestamp, None)
        if not lives:
            return None
        ends = [life.seconds for life in lives if life.seconds is not None]
        longest = max(ends) if len(ends) == len(lives) else None
        return Life(min(life.written for life in lives), longest)

    # -- comparing ---------------------------------------------------------------------------------

    def lacks(
        self,
        row: SourceRow,
        there: Found | None,
        now: float,
        slack: float,
        *,
        exactly: bool = False,
        alone: bool = False,
    ) -> str:
        """Return what of a row the target doesn't hold; empty if it holds all."""
        if why := self.unfit(row):
            return f"has no key in the target: {why}"
        cells = row.all_cells
        stays = not cells or any(c.expires is None or c.expires - now > slack for c in cells)
        if there is None:
            return KEYS_GONE if not cells else GONE if stays else ""
        for name, cell in row.cells.items():
            if what := _differs(cell, there.cells.get(name), now, slack, exactly):
                return f"{name} {what}"
        if alone:
            known = {*row.cells, *row.untimed, MARKER}
            more = [name for name in there.cells if name not in known]
            if more:
                return f"{more[0]} is there"
        for name, value in row.untimed.items():
            found = there.cells.get(name)
            if stays and (found is None or found.value != value):
                return f"{name} has another value"
        return ""

    def digest(self, into: Sequence[object], cells: Mapping[str, Cell], *, lasting: bool) -> int:
        """Return 64 bits of what is summed up of a row: its key, values, and write times of what
        is a cell on both sides.
        """
        timed = {n for n, what in self.task.columns if self._is_cell(what) and self._is_own(n)}
        parts: list[object] = list(into)
        for name, _ in sorted(self.task.columns):
            if name in self.target.key:
                continue
            cell = cells.get(name)
            if lasting and cell is not None and cell.expires is not None:
                cell = None
            parts += [cell and cell.value, cell.written if cell and name in timed else None]
        packed = repr(parts).encode()
        return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "big")

    def _is_cell(self, what: str) -> bool:
        column = self.source.column(what)
        return column is not None and not column.is_key

    def _is_own(self, name: str) -> bool:
        return name not in self.target.key


def raw_key(key: Sequence[object]) -> RawKey:
    """Return a key as the engine hands keys around: bytes."""
    return tuple(repr(part).encode() for part in key)


def _is_marked(table: Table) -> bool:
    return table.column(MARKER) is not None


def _left(cell: Cell, now: float) -> Life | None:
    if cell.expires is None:
        return Life(cell.written, None, cell.value)
    seconds = int(cell.expires - now)
    return Life(cell.written, seconds, cell.value) if seconds > 0 else None


def _differs(cell: Cell, other: Cell | None, now: float, slack: float, exactly: bool) -> str:
    ends = cell.expires is not None and cell.expires - now <= slack
    if ends and (other is None or other.written == cell.written):
        return ""
    if other is None:
        return GONE
    if other.written > cell.written and not exactly:
        return ""
    if other.written != cell.written or other.value != cell.value:
        return "is not the same cell"
    one, two = cell.expires, other.expires
    if (one is None) != (two is None) or abs((one or 0) - (two or 0)) > slack:
        return "does not live as long"
    return ""
