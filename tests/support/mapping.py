"""Statements of a simulated run, found again among the requests of a real one.

A statement is known by its shape: its text without what differs from run to run, which are ids and
names made of them, keyspaces, and options of tables that a server has by default; and by how many
of that shape come before it. Rows of a copy go by their table: the simulator sends one statement
for each partition, and so does the tool unless a partition has many; where their numbers differ,
`Meant.differs` says so. How often the lease is renewed depends on the clock; so a renewal is known
by what comes before it, and nothing else is counted by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from calldrop_migrate.core.names import BOOKKEEPING
from tests.support.simulator.faults import Sent
from tests.support.wire import Request, Tap

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=_)[0-9a-f]{8,32}\b")
_KEYSPACE = re.compile(r'\b\w+\.(?=[\w"])')
_OF_ROWS = re.compile(r"(?:INSERT INTO|UPDATE|DELETE\b.*? FROM) ([\w*]+)", re.DOTALL)
_MADE = re.compile(r"CREATE (?:TABLE|MATERIALIZED VIEW) (?:IF NOT EXISTS )?[\w*]+")
_ROWS = "rows of "
_RENEWAL = re.compile(r"UPDATE migration_journal USING TTL \?")


def shape(text: str) -> str:
    """Return a statement's text without ids, keyspaces and the way it is broken into lines."""
    plain = _ID.sub("*", _KEYSPACE.sub("", " ".join(text.split())))
    made = _MADE.match(plain)
    return made[0] if made else plain


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


def is_renewal(shape: str) -> bool:
    """Return whether it is the lease that is renewed, and nothing else."""
    return bool(_RENEWAL.match(shape))


@dataclass(frozen=True, slots=True)
class Meant:
    """One statement of a simulated run.

    Attributes:
        shapes: of all that the run sends up to this one.
    """

    shapes: tuple[str, ...]

    @property
    def shape(self) -> str:
        """Its own."""
        return self.shapes[-1]

    def finder(self) -> Callable[[Request], bool]:
        """Return what tells of each request of a run, in order, whether it is this statement.

        Where a run goes on without the renewal that is meant, it is what comes instead.
        """
        others = [shape for shape in self.shapes if not is_renewal(shape)]
        last = others[-1] if others else ""
        wanted, renewals = others.count(last), 0
        for shape in reversed(self.shapes):
            if not is_renewal(shape):
                break
            renewals += 1
        seen = 0

        def is_it(request: Request) -> bool:
            nonlocal seen, renewals
            shape = shape_on_wire(request)
            if not shape:
                return False
            if seen >= wanted:
                renewals -= is_renewal(shape)
                return renewals == 0 or not is_renewal(shape)
            seen += shape == last
            return seen == wanted and not renewals

        return is_it

    def differs(self, tap: Tap) -> list[str]:
        """Return what is not the same up to this statement on the wire, as sentences."""
        at = next((n for n, r in enumerate(tap.requests) if r is tap.struck), len(tap.requests))
        real = _runs([shape for r in tap.requests[: at + 1] if (shape := shape_on_wire(r))])
        simulated = _runs(self.shapes)
        told = [
            f"{here}: {many} in the simulation, {wired} on the wire"
            for (here, many), (there, wired) in zip(simulated, real, strict=False)
            if here == there and many != wired
        ]
        if [shape for shape, _ in simulated] != [shape for shape, _ in real]:
            told.append(
                f"other statements come before it on the wire: {len(real)}, and {len(simulated)}"
                " in the simulation, without renewals"
            )
        return told


def _runs(shapes: Sequence[str]) -> list[tuple[str, int]]:
    """Return shapes but for renewals; of rows that follow each other one, with their number."""
    found: list[tuple[str, int]] = []
    for each, group in groupby(shape for shape in shapes if not is_renewal(shape)):
        count = len(list(group))
        found += [(each, count)] if each.startswith(_ROWS) else [(each, 1)] * count
    return found


def meant(sent: Sequence[Sent], number: int) -> Meant | None:
    """Return the statement of that number; None where the run sends fewer."""
    return Meant(tuple(map(shape_of, sent[:number]))) if number <= len(sent) else None
