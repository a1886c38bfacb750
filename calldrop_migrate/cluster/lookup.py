"""One row of the target by its key, or one partition's statics, and whether it holds what was read
of the source.
"""

from __future__ import annotations

from collections.abc import Collection

from calldrop_migrate.cluster.elements import LATEST_TURN, Element, Elements
from calldrop_migrate.cluster.layout import Layout
from calldrop_migrate.cluster.raw import RawRow, number, where
from calldrop_migrate.core.cql import quote
from calldrop_migrate.engine.ports import CopyTask

GONE = "is not there"
KEYS_GONE = f"has no cells, and {GONE}"


class Lookup:
    """The look-ups of one copy; `of_statics`: of partitions, not of rows."""

    def __init__(
        self, keyspace: str, task: CopyTask, layout: Layout, *, of_statics: bool = False
    ) -> None:
        casts = dict(task.casts)
        self._layout, self._of_statics = layout, of_statics
        self._cells = cells = layout.statics if of_statics and layout.statics else layout.row
        selected: list[str] = []
        self._value_at: dict[str, int] = {}
        self._many: list[tuple[Elements, Elements]] = []

        def times_of(name: str) -> tuple[int, int]:
            selected.extend([f"WRITETIME({quote(name)})", f"TTL({quote(name)})"])
            return len(selected) - 2, len(selected) - 1

        for name, _ in cells.cells:
            self._value_at[name] = len(selected)
            selected.append(casts.get(name) or quote(name))
            if name in cells.written_at:
                times_of(name)
        for many in cells.many:
            at = len(selected)
            selected.append(quote(many.name))
            self._many.append(
                (many, many.at_other(at, times_of(many.name) if many.times_at else None))
            )
        # Besides, a server gives no row for a key when nothing but statics is selected.
        self._key_at = len(selected)
        selected += map(quote, cells.key)
        self._width = len(selected)
        self.cql = (
            f"SELECT {', '.join(selected)} FROM {quote(keyspace)}.{quote(task.target.name)} "
            f"WHERE {where(cells.key)} LIMIT 1"
        )

    def extra(self, row: RawRow, there: RawRow | None) -> list[str]:
        """The timed columns of one cell that a source row has and the target's row hasn't."""
        there = self._row(there)
        return [
            name
            for name, at in self._cells.cells
            if name in self._cells.written_at
            and row[at] is not None
            and there[self._value_at[name]] is None
        ]

    def extra_elements(
        self, row: RawRow, there: RawRow | None
    ) -> list[tuple[Elements, list[Element]]]:
        """The same of collections: elements by column; of a list all, when there is none."""
        there = self._row(there)
        found = []
        for here, other in self._many:
            have = {element.key for element in other.read(there)}
            more = [element for element in here.read(row) if element.key not in have]
            if more and not (here.is_list and have):
                found.append((here, more))
        return found

    def differs(self, row: RawRow, there: RawRow, names: Collection[str]) -> bool:
        """Return whether one of these columns has another value in the target's row."""
        cells = ((name, at) for name, at in self._cells.cells if name in names)
        return any(there[self._value_at[name]] != row[at] for name, at in cells)

    def _row(self, there: RawRow | None) -> RawRow:
        return [None] * self._width if there is None else there

    def lacks(
        self,
        row: RawRow,
        there: RawRow | None,
        slack: float,
        *,
        exactly: bool = False,
        alone: bool = False,
        same_key: bool = False,
    ) -> str:
        """Return what of a source row the target's row doesn't hold, in words; empty if it holds
        everything.

        Unless `exactly`, a cell is held, too, where the target has a newer one; if it shall stand
        `alone`, cells more than those are a difference. With `same_key` a row whose key the server
        calls equal, and whose bytes differ, is another row.
        """
        layout = self._layout
        stays = self._of_statics or layout.outlives(row, slack)
        if not self._of_statics:
            if why := layout.target_key.unfit(row):
                return f"has no key in the target: {why}"
            if there is None:
                if layout.has_cells(row):
                    return GONE if stays else ""
                return KEYS_GONE
            if same_key and tuple(there[self._key_at :]) != layout.target_key.of(row):
                return f"{GONE}, and another row has its key"
        there = self._row(there)
        for name, at in self._cells.cells:
            same = there[self._value_at[name]] == row[at]
            if name in self._cells.written_at:
                more = alone and row[at] is None and there[self._value_at[name]] is not None
                what = "is there" if more else self._cell(name, row, there, slack, same, exactly)
            else:
                what = "has another value" if stays and not same else ""
            if what:
                return f"{name} {what}"
        for here, other in self._many:
            mine, theirs = here.read(row), other.read(there)
            compare = _list_lacks if here.is_list else _elements_lack
            if what := compare(mine, theirs, slack, exactly, alone):
                return f"{here.name} {what}"
        return ""

    def is_part(self, row: RawRow, there: RawRow, *, large: bool) -> bool:
        """Return whether the target's row has something, and nothing but what a source row has: the
        same cells, and of a list the elements in order. Their write times tell that it wasn't
        written by somebody else; where none is told, or only those of a list, which a copy changes,
        it is believed of a `large` row only.
        """
        if tuple(there[self._key_at :]) != self._layout.target_key.of(row):
            return False
        found = told = False
        for name, at in self._cells.cells:
            if (value := there[self._value_at[name]]) is None:
                continue
            found = True
            if name in self._cells.written_at:
                told = True
                if number(there[self._value_at[name] + 1]) != self._cells.times(row, name)[0]:
                    return False
            if value != row[at]:
                return False
        for here, other in self._many:
            mine, theirs = here.read(row), other.read(there)
            if not (_list_has if here.is_list else _elements_have)(mine, theirs):
                return False
            found = found or bool(theirs)
            told = told or (not here.is_list and any(e.written is not None for e in theirs))
        return told or (found and large)

    def _cell(
        self, name: str, row: RawRow, there: RawRow, slack: float, same: bool, exactly: bool
    ) -> str:
        at = self._value_at[name]
        have = number(there[at + 1]), number(there[at + 2])
        return _differs(self._cells.times(row, name), have, slack, same, exactly)


def _differs(
    wanted: tuple[int | None, int | None],
    found: tuple[int | None, int | None],
    slack: float,
    same: bool,
    exactly: bool,
) -> str:
    """Return how one cell, by (write time, TTL), isn't held by another one; empty when it is."""
    (written, ttl), (have, have_ttl) = wanted, found
    if written is None:
        return ""
    if ttl is not None and ttl <= slack and (have is None or have == written):
        return ""
    if have is not None and have > written and not exactly:
        return ""
    if have is None:
        return GONE
    if have != written or not same:
        return "is not the same cell"
    if (ttl is None) != (have_ttl is None) or abs((ttl or 0) - (have_ttl or 0)) > slack:
        return "does not live as long"
    return ""


def _elements_lack(
    mine: list[Element], theirs: list[Element], slack: float, exactly: bool, alone: bool
) -> str:
    found = {element.key: element for element in theirs}
    for element in mine:
        other = found.pop(element.key, None)
        same = other is not None and other.value == element.value
        if element.written is None:
            what = "" if same else "has another element"
        else:
            have = (other.written, other.ttl) if other else (None, None)
            what = _differs((element.written, element.ttl), have, slack, same, exactly)
        if what:
            return what
    return "is there" if alone and found else ""


def _list_lacks(
    mine: list[Element], theirs: list[Element], slack: float, exactly: bool, alone: bool
) -> str:
    """Values in order, and lives; not the times, which a copy has changed."""
    if not mine:
        return "is there" if alone and theirs else ""
    newest, theirs_newest = (max((e.written or 0 for e in es), default=0) for es in (mine, theirs))
    if not exactly and theirs_newest > newest + LATEST_TURN:
        return ""
    if len(mine) != len(theirs):
        mine, theirs = ([e for e in es if e.ttl is None or e.ttl > slack] for es in (mine, theirs))
    if [e.value for e in mine] != [e.value for e in theirs]:
        return "is not the same list" if theirs else GONE
    for one, other in zip(mine, theirs, strict=True):
        if (one.ttl is None) != (other.ttl is None) or abs(
            (one.ttl or 0) - (other.ttl or 0)
        ) > slack:
            return "does not live as long"
    return ""


def _elements_have(mine: list[Element], theirs: list[Element]) -> bool:
    """Return whether all of theirs are mine, with the same values and write times."""
    values = {element.key: (element.value, element.written) for element in mine}
    return all(values.get(e.key) == (e.value, e.written) for e in theirs)


def _list_has(mine: list[Element], theirs: list[Element]) -> bool:
    """Return whether theirs are among mine, in order, written at the times that a copy
    gives them.
    """
    newest = max((element.written or 0 for element in mine), default=0)
    latest = newest + LATEST_TURN
    if any(e.written is not None and not newest <= e.written <= latest for e in theirs):
        return False
    values = iter([element.value for element in mine])
    return all(element.value in values for element in theirs)
