"""A schedule as one line of text: what a failing test prints, and what makes it again.

    up keep=0; killed 14; killed 9
    down keep=7 elsewhere; held 9 arrives 20
    up keep=7; stands 14 while 9
    up keep=0; lags 14 for 45

The first part is the journey: which way through the four CallDrop revisions, for how many days
second copies are kept, whether who comes next is on another machine (and waits for the end of the
lease), and whether the servers are ScyllaDB. Each further part is a run of the command and what
happens to one of its statements, counted from 1. Behind the last one the command is run again,
without faults, until it ends with 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tests.support.simulator.faults import Fate

Way = Literal["up", "down"]
STANDS = "stands"  # the run stands still while another one takes over, and then goes on
LAGS = "lags"  # a node doesn't show what the run changes in the schema; later runs ask that one
STALE = "stale"  # the same, and the run is killed behind its change
_BETWEEN = {Fate.HELD.value: "arrives", STANDS: "while", LAGS: "for", STALE: "for"}
_WHAT = (*Fate, STANDS, LAGS, STALE)


@dataclass(frozen=True, slots=True)
class Journey:
    """From where to where, and how: with rows from revision 1 to 4, or back.

    Attributes:
        keep: for how many days second copies are kept.
        elsewhere: whether each run is on a machine of its own.
    """

    way: Way
    keep: int = 0
    elsewhere: bool = False
    scylla: bool = False

    def __str__(self) -> str:
        words = [self.way, f"keep={self.keep}"]
        words += ["elsewhere"] * self.elsewhere + ["scylla"] * self.scylla
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Part:
    """One run, and what happens to one of its statements.

    Attributes:
        what: a `Fate`, `STANDS`, `LAGS` or `STALE`.
        number: of the statement, from 1.
        at: of the run that takes over: the statement before which the held one arrives, or before
            which it stands still itself until the first has ended. Of a node that lags: seconds.
    """

    what: str
    number: int
    at: int = 0

    def __str__(self) -> str:
        between = _BETWEEN.get(self.what)
        return f"{self.what} {self.number}" + (f" {between} {self.at}" if between else "")


@dataclass(frozen=True, slots=True)
class Line:
    """A journey, and what happens on it."""

    journey: Journey
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, (self.journey, *self.parts)))


def parse(text: str) -> Line:
    """Read a line.

    Raises:
        ValueError: it is none.
    """
    first, *rest = (part.strip() for part in text.split(";"))
    words = first.split()
    way = words.pop(0) if words else ""
    keep = [word for word in words if re.fullmatch(r"keep=\d+", word)]
    more = set(words) - set(keep)
    if way not in ("up", "down") or len(keep) > 1 or not more <= {"elsewhere", "scylla"}:
        raise ValueError(f"no journey: {first!r}")
    days = int(keep[0].partition("=")[2]) if keep else 0
    direction: Way = "up" if way == "up" else "down"
    journey = Journey(direction, days, "elsewhere" in more, "scylla" in more)
    return Line(journey, tuple(map(_part, rest)))


def _part(text: str) -> Part:
    found = re.fullmatch(r"(\w+) (\d+)(?: (\w+) (\d+))?", text)
    if not found or found[1] not in _WHAT or _BETWEEN.get(found[1]) != found[3]:
        raise ValueError(f"no part of a schedule: {text!r}")
    return Part(found[1], int(found[2]), int(found[4] or 0))
