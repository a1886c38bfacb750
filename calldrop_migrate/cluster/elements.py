"""The elements of a collection or user type that isn't frozen: each is a cell of its own. Bytes in,
bytes out; sends nothing.

Cassandra from 5.0 on tells write time and TTL of each, as a list in the order of the value. So the
elements of a set, a map and a user type are carried like every other cell, grouped by (write time,
TTL left), by `m = m + ?` or `u.field = ?`: that leaves no tombstone and repeats safely. Where a
server doesn't tell them (ScyllaDB has no such list), the elements take the row's own time and have
no end: rather one too many than one lost.

A list is different. The server gives each element an id of the moment it is written, so a list that
is written twice at one time has each element twice. It is written whole, which deletes what was
written at an earlier time, and each time (a range tried again, a resumed run) a little later than
the last: some microseconds for each `turn` behind its newest element. The latest wins, whichever
arrives last. So the elements keep order and life, and take one write time.

What is too large for one request goes in parts. Those of a list are appended, one acknowledged
before the next is sent, and each at a time of its own: Cassandra orders elements by the moment at
which a node got them, ScyllaDB by the write time that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from calldrop_migrate.cluster.raw import RawRow, Times, left, long, number
from calldrop_migrate.core.carrying import elements_of
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.keys import sized

_PARTS = 32  # of a list at most: microseconds between two turns
# A list's copies are at most so many microseconds behind it; what is newer, somebody else wrote.
LATEST_TURN = 1_000_000 * _PARTS
_LIST_ELEMENTS = 100_000  # in one statement; ScyllaDB refuses 131,073
T = TypeVar("T")
# A statement's SET, and the values that it binds.
Assignment = tuple[str, list[bytes]]


@dataclass(frozen=True, slots=True)
class UserType:
    """The fields of a user type, in order: their names, and their types."""

    names: Sequence[str]
    types: Sequence[str]


@dataclass(frozen=True, slots=True)
class Element:
    """One element: of a map by its key, of a set by itself, of a user type by its field's name.

    Attributes:
        written, ttl: None where the server doesn't tell, and no TTL where it has no end.
    """

    key: bytes
    value: bytes
    written: int | None = None
    ttl: int | None = None


class Elements:
    """The elements of one column.

    Attributes:
        kind: list, set, map or udt.
        times_at: places of the lists of write times and TTLs, where the server has them.
    """

    def __init__(
        self,
        name: str,
        type_name: str,
        fields: Sequence[str],
        at: int,
        times_at: tuple[int, int] | None,
    ) -> None:
        self.name = name
        self.kind = elements_of(type_name) or "udt"
        self.at = at
        self.times_at = times_at
        self._type, self._fields = type_name, fields
        self._column = quote(name)

    @property
    def is_list(self) -> bool:
        """Return whether its elements can't be named, and it is written whole."""
        return self.kind == "list"

    def at_other(self, at: int, times_at: tuple[int, int] | None) -> Elements:
        """The same column where it stands at other places."""
        return Elements(self.name, self._type, self._fields, at, times_at)

    def named(self, name: str) -> Elements:
        """The same elements in a column of another name."""
        return Elements(name, self._type, self._fields, self.at, self.times_at)

    # -- reading -----------------------------------------------------------------------------------

    def read(self, row: RawRow) -> list[Element]:
        """The elements in a row, in order."""
        values = self._values(row[self.at])
        written, ttls = (self._times(row, nth, len(values)) for nth in (0, 1))
        return [
            Element(key, value, when, ttl)
            for (key, value), when, ttl in zip(values, written, ttls, strict=True)
            if value is not None
        ]

    def _times(self, row: RawRow, nth: int, count: int) -> list[int | None]:
        raw = row[self.times_at[nth]] if self.times_at else None
        return [number(part) for part in items(raw)] or [None] * count

    def _values(self, raw: bytes | None) -> list[tuple[bytes, bytes | None]]:
        if raw is None:
            return []
        if self.kind == "udt":
            found = list(sized(raw, 0))
            found += [None] * (len(self._fields) - len(found))
            return [(f.encode(), value) for f, value in zip(self._fields, found, strict=True)]
        parts = [part or b"" for part in items(raw, 2 if self.kind == "map" else 1)]
        if self.kind == "map":
            return list(zip(parts[::2], parts[1::2], strict=True))
        if self.kind == "set":
            return [(part, b"") for part in parts]
        return [(long(place), part) for place, part in enumerate(parts)]

    # -- writing -----------------------------------------------------------------------------------

    def groups(self, row: RawRow, since: float, otherwise: int) -> dict[Times, list[Element]]:
        """The live elements by write time and what is left of their life.

        Args:
            otherwise: the write time where the server doesn't tell it.
        """
        found: dict[Times, list[Element]] = {}
        for element in self.read(row):
            life = left(element.ttl, since)
            if life is not None:
                written = otherwise if element.written is None else element.written
                found.setdefault((written, life), []).append(element)
        return found

    def writes(
        self, groups: dict[Times, list[Element]], turn: int, most: int
    ) -> Iterator[tuple[Times, Assignment, bool]]:
        """Yield what makes these elements: times and assignments, in order, and whether all before
        it has to be there first.

        Args:
            most: bytes that one of them may have, where it has more than one element.
        """
        if self.is_list:
            yield from self._list(groups, turn, most)
            return
        for times, elements in groups.items():
            for part in divided(elements, most, _size):
                yield times, self.put(part), False

    def _list(
        self, groups: dict[Times, list[Element]], turn: int, most: int
    ) -> Iterator[tuple[Times, Assignment, bool]]:
        lives = sorted(
            ((e, life) for (_, life), es in groups.items() for e in es), key=lambda one: one[0].key
        )
        first = max((written for written, _ in groups), default=0) + turn * _PARTS
        size = sum(_size(element) for element, _ in lives)
        # Parts are half full at least: with these there are fewer than _PARTS.
        most = max(most, 4 * size // _PARTS)
        count = max(_LIST_ELEMENTS, 4 * len(lives) // _PARTS)
        parts = divided(lives, most, lambda one: _size(one[0]), count)
        for nth, part in enumerate(parts):
            runs = groupby(part, key=lambda one: one[1])
            for at, (life, run) in enumerate(runs):
                value = pack([element.value for element, _ in run])
                more = f"{self._column} + ?" if nth or at else "?"
                assignment = f"{self._column} = {more}", [value]
                yield (first + nth, life), assignment, nth > 0 and at == 0

    def put(self, elements: Sequence[Element]) -> Assignment:
        """Adds elements of a set or map, or sets fields."""
        if self.kind == "udt":
            fields = [f"{self._column}.{quote(e.key.decode())} = ?" for e in elements]
            return ", ".join(fields), [e.value for e in elements]
        parts = [part for e in elements for part in self._parts(e)]
        return f"{self._column} = {self._column} + ?", [pack(parts, len(elements))]

    def remove(self, elements: Sequence[Element]) -> tuple[str, str, list[bytes]]:
        """Deletes elements of a set or map, or fields: verb, what it says, its values."""
        if self.kind == "udt":
            fields = [f"{self._column}.{quote(e.key.decode())}" for e in elements]
            return "DELETE", ", ".join(fields), []
        gone = pack([e.key for e in elements])
        return "UPDATE", f"{self._column} = {self._column} - ?", [gone]

    def _parts(self, element: Element) -> list[bytes]:
        return [element.key, element.value] if self.kind == "map" else [element.key]


def divided(
    things: Sequence[T], most: int, size: Callable[[T], int], count: int = 2**31
) -> Iterator[list[T]]:
    """Things in order, in parts of at most `most` bytes and `count` things, or of one that is
    larger.
    """
    part: list[T] = []
    taken = 0
    for thing in things:
        its = size(thing)
        if part and (taken + its > most or len(part) == count):
            yield part
            part, taken = [], 0
        part.append(thing)
        taken += its
    if part:
        yield part


def _size(element: Element) -> int:
    return len(element.key) + len(element.value) + 8


def items(raw: bytes | None, each: int = 1) -> list[bytes | None]:
    """Return what a collection consists of: its number of elements, then of each length and
    bytes.
    """
    if raw is None:
        return []
    found = list(sized(raw, 4))
    assert len(found) == each * int.from_bytes(raw[:4], "big")
    return found


def pack(parts: Sequence[bytes], count: int | None = None) -> bytes:
    """A collection of these parts."""
    sized = (len(part).to_bytes(4, "big") + part for part in parts)
    return (len(parts) if count is None else count).to_bytes(4, "big") + b"".join(sized)
