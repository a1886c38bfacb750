"""Expectations of the calls of the CallDrop revisions: a model that knows nothing of
how they are moved.

A call is in the table if it fits the table's shape, else aside; it comes back when that revision is
passed in the other direction and its key is free. Its cells keep values, write times and ends.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

NUMBER, TOWER = "call_duration_seconds", "source_cell_tower_id"
TABLE = "table"
ASIDE_1, ASIDE_2, ASIDE_2_UP = "aside 1", "aside 2", "aside 2 up"
Told = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """Contents of a cell: `written` in microseconds, `expires` in seconds, None for ever."""

    value: object
    written: int
    expires: float | None = None

    def is_live(self, now: float) -> bool:
        """Return whether a reader sees it."""
        return self.value is not None and (self.expires is None or self.expires > now)


@dataclass(slots=True)
class Call:
    """One call. Its destination is a cell like others in shape 1, and a part of the key in 2."""

    source: str
    at: datetime
    destination: Value | None
    cells: dict[str, Value] = field(default_factory=dict)

    def key(self, shape: int) -> tuple[object, ...]:
        """Return its primary key."""
        called = (self.destination.value if self.destination else None,) if shape == 2 else ()
        return (self.source, self.at, *called)

    def live(self, now: float) -> dict[str, Value]:
        """Return the cells that a reader sees."""
        return {name: cell for name, cell in self.cells.items() if cell.is_live(now)}

    def told(self, where: str, now: float) -> tuple[Told, list[float | None]]:
        """Return what must be the same of it, and the ends of its cells, which a copy rounds."""
        called = self.destination.value if self.destination else None
        cells = sorted(self.live(now).items())
        same = (where, self.source, self.at, called, *((n, c.value, c.written) for n, c in cells))
        return same, [cell.expires for _, cell in cells]


@dataclass(slots=True)
class Model:
    """All calls: in the table, and aside by what moved them there.

    Attributes:
        shape: of the table; 0 where there is none.
    """

    shape: int = 0
    table: list[Call] = field(default_factory=list)
    aside: dict[str, list[Call]] = field(
        default_factory=lambda: {ASIDE_1: [], ASIDE_2: [], ASIDE_2_UP: []}
    )

    # -- what applications do ----------------------------------------------------------------------

    def find(self, key: tuple[object, ...]) -> Call | None:
        """Return the call of the table that has this key."""
        return next((call for call in self.table if call.key(self.shape) == key), None)

    def put(self, call: Call) -> None:
        """Insert a call, over what is there."""
        there = self.find(call.key(self.shape))
        if there is None:
            self.table.append(call)
            return
        there.destination = call.destination or there.destination
        there.cells |= call.cells

    def remove(self, call: Call) -> None:
        """Delete a call of the table."""
        self.table = [other for other in self.table if other is not call]

    def forget(self, now: float) -> None:
        """Let go what has ended."""

        def alive(calls: Iterable[Call]) -> list[Call]:
            calls = list(calls)
            for call in calls:
                call.cells = call.live(now)
                if call.destination and not call.destination.is_live(now):
                    call.destination = None
            return [call for call in calls if call.cells]

        self.table = alive(self.table)
        self.aside = {where: alive(calls) for where, calls in self.aside.items()}

    # -- what revisions do -------------------------------------------------------------------------

    def reshape(self, shape: int, now: float) -> None:
        """Go to the shape of another revision."""
        self.forget(now)
        while self.shape != shape:
            if shape > self.shape:
                self._up()
            else:
                self._down()

    def _up(self) -> None:
        self.shape += 1
        if self.shape == 1:
            self._come_back(ASIDE_1)
            return
        self._leave(ASIDE_2_UP, [call for call in self.table if call.destination is None])
        for call in self.table:
            assert call.destination is not None
            call.destination = replace(call.destination, expires=None)  # a key has no end
        self._come_back(ASIDE_2)

    def _down(self) -> None:
        self.shape -= 1
        if self.shape == 0:
            self._leave(ASIDE_1, self.table)
            return
        newest: dict[tuple[object, ...], Call] = {}
        for call in sorted(self.table, key=_newest):
            newest[call.key(1)] = call
        stays = list(map(id, newest.values()))
        self._leave(ASIDE_2, [call for call in self.table if id(call) not in stays])
        for call in self.table:
            call.destination = _as_cell(call)
        self._come_back(ASIDE_2_UP)

    def _leave(self, where: str, calls: list[Call]) -> None:
        gone = list(map(id, calls))
        self.aside[where] = [*self.aside[where], *calls]
        self.table = [call for call in self.table if id(call) not in gone]

    def _come_back(self, where: str) -> None:
        calls, self.aside[where] = self.aside[where], []
        for call in reversed(calls):  # the latest first
            if self.find(call.key(self.shape)) is None:
                self.table.append(call)
            else:
                self.aside[where].insert(0, call)

    def loses(self, shape: int, now: float) -> bool:
        """Return whether calls would have to go aside on the way to a shape."""
        tried = copy.deepcopy(self)
        while tried.shape != shape:
            step = 1 if shape > tried.shape else -1
            was = {where: list(map(id, calls)) for where, calls in tried.aside.items()}
            tried.reshape(tried.shape + step, now)
            if any(id(c) not in was[w] for w, calls in tried.aside.items() for c in calls):
                return True
        return False

    # -- comparing ---------------------------------------------------------------------------------

    def told(self, now: float) -> list[tuple[Told, list[float | None]]]:
        """Return all calls as `Call.told` says them, in an order."""
        self.forget(now)
        placed = [(TABLE, self.table), *self.aside.items()]
        return in_order(call.told(where, now) for where, calls in placed for call in calls)

    def ends(self) -> list[float]:
        """Return when cells end."""
        calls = [*self.table, *(call for calls in self.aside.values() for call in calls)]
        values = [cell for call in calls for cell in (call.destination, *call.cells.values())]
        return [value.expires for value in values if value and value.expires is not None]


def in_order(
    told: Iterable[tuple[Told, list[float | None]]],
) -> list[tuple[Told, list[float | None]]]:
    """Return what is told of calls in one order."""
    return sorted(told, key=repr)


def _newest(call: Call) -> int:
    return max(cell.written for cell in call.cells.values())


def _as_cell(call: Call) -> Value | None:
    """Return the destination of a call as a cell again: it lives as long as the others."""
    assert call.destination is not None
    ends = [cell.expires for cell in call.cells.values()]
    longest = None if None in ends else max(end for end in ends if end is not None)
    return Value(call.destination.value, 0, longest)
