"""Statements of a simulated run, found again among the requests of a real one.

A statement is known by its shape: its text without what differs from run to run, which are ids and
names made of them, and keyspaces; and by how many of that shape come before it. Rows of a copy go
by their table: the simulator sends one statement for each partition, and so does the tool unless a
partition has many; where their numbers differ, `Meant.differs` says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from calldrop_migrate.core.names import BOOKKEEPING
from tests.support.simulator.faults import Sent
from tests.support.wire import Request, Tap

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=_)[0-9a-f]{8,32}\b")
_KEYSPACE = re.compile(r'\b\w+\.(?=[\w"])')
_OF_ROWS = re.compile(r"(?:INSERT INTO|UPDATE|DELETE\b.*? FROM) ([\w*]+)", re.DOTALL)
_ROWS = "rows of "


def shape(text: str) -> str:
    """Return a statement's text without ids, keyspaces and the way it is broken into lines."""
    return _ID.sub("*", _KEYSPACE.sub("", " ".join(text.split())))


def shape_of(sent: Sent) -> str:
    """Return the shape of a simulated statement."""
    return shape(sent.text) if sent.kind in ("schema", "rows") else _ROWS + shape(sent.text)


def shape_on_wire(request: Request) -> str:
    """Return the shape of a request; empty where it changes nothing."""
    if request.kind == "PREPARE" or not request.changes:
        return ""
    text = shape(request.cql or request.first)
    found = _OF_ROWS.match(text.replace('"', ""))
    return _ROWS + found[1] if found and found[1] not in BOOKKEEPING else text


@dataclass(frozen=True, slots=True)
class Meant:
    """One statement of a simulated run.

    Attributes:
        nth: of its shape, from 1.
        shapes: of all that the run sends up to this one.
    """

    shape: str
    nth: int
    shapes: tuple[str, ...]

    def is_it(self, request: Request) -> bool:
        """Return whether a request has its shape."""
        return shape_on_wire(request) == self.shape

    def differs(self, tap: Tap) -> list[str]:
        """Return what is not the same up to this statement on the wire, as sentences."""
        at = next((n for n, r in enumerate(tap.requests) if r is tap.struck), len(tap.requests))
        real = [shape for r in tap.requests[: at + 1] if (shape := shape_on_wire(r))]
        pairs = list(zip(_runs(self.shapes), _runs(real), strict=False))
        told = [
            f"{here}: {many} in the simulation, {wired} on the wire"
            for (here, many), (there, wired) in pairs
            if here == there and many != wired and here.startswith(_ROWS)
        ]
        if [s for s, _ in _runs(self.shapes)] != [s for s, _ in _runs(real)]:
            told.append(
                f"before it {len(self.shapes) - 1} statements came in the simulation, and others on"
                f" the wire, {len(real) - 1}"
            )
        return told


def _runs(shapes: Sequence[str]) -> list[tuple[str, int]]:
    """Return shapes; of rows that follow each other one, with their number."""
    found: list[tuple[str, int]] = []
    for each, group in groupby(shapes):
        count = len(list(group))
        found += [(each, count)] if each.startswith(_ROWS) else [(each, 1)] * count
    return found


def meant(sent: Sequence[Sent], number: int) -> Meant | None:
    """Return the statement of that number; None where the run sends fewer."""
    if number > len(sent):
        return None
    shapes = tuple(map(shape_of, sent[:number]))
    return Meant(shapes[-1], shapes.count(shapes[-1]), shapes)
