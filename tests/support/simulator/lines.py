"""A schedule as one line of text: what a failing test prints, and what makes it again.

    up keep=0; killed 14; killed 9
    down keep=7 elsewhere; held 9 arrives 20
    up keep=7; stands 14 while 9
    down keep=0 abort; killed 14; killed 3
    up keep=0; lags 14 for 45
    up keep=0; killed 27; writes 1

The first part is the journey: which way through the four CallDrop revisions, for how many days
second copies are kept, whether who comes next is on another machine (and waits for the end of the
lease), whether the servers are ScyllaDB, how many seconds each read of rows takes and the clock of
the tool's machine is ahead, and whether what was begun is taken back: then each run behind the
first is an `abort`. Each further part is a run of the command and what happens to one of its
statements, counted from 1. Behind the last one the command is run again, without faults, until it
ends with 0; with `again` it is the first command, whatever was taken back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from tests.support.simulator.faults import Fate

Way = Literal["up", "down"]


class Happening(StrEnum):
    """Happenings of a run, besides the fates of a statement.

    STANDS: it stands still before a statement arrives, another takes over, and it goes on.
    PAUSES: the same, at a point between two statements (engine/course.py).
    MET: somebody else runs the command before that statement, and waits for nothing.
    DELAYED: the process is killed, and the statement arrives so many seconds later.
    STRAYS: nobody is killed; the statement gets no answer, and arrives so many seconds later.
    LAGS: a node doesn't show what the run changes in the schema; later runs ask that one.
    STALE: the same, and the run is killed behind its change.
    WRITES: an application writes a row before that statement.
    ALTERS: somebody adds a column with a value before it, and takes it away behind the run.
    """

    STANDS = "stands"
    PAUSES = "pauses"
    MET = "met"
    DELAYED = "delayed"
    STRAYS = "strays"
    LAGS = "lags"
    STALE = "stale"
    WRITES = "writes"
    ALTERS = "alters"


# The word between the two numbers of a part.
_BETWEEN: dict[str, str] = {
    Fate.HELD: "arrives",
    Happening.STANDS: "while",
    Happening.PAUSES: "while",
    Happening.DELAYED: "by",
    Happening.STRAYS: "by",
    Happening.LAGS: "for",
    Happening.STALE: "for",
}
_WORDS = (*Fate, *Happening)
_FLAGS = ("elsewhere", "scylla", "abort", "again")
_NUMBERS = ("keep", "slow", "clock")


@dataclass(frozen=True, slots=True)
class Journey:
    """From where to where, and how: with rows from revision 1 to 4, or back.

    Attributes:
        keep: for how many days second copies are kept.
        slow: seconds that each read of rows takes.
        clock: seconds that the clock of the tool's machine is ahead of the servers'.
        elsewhere: whether each run is on a machine of its own.
        abort: whether what was begun is taken back.
        again: whether the way is gone all the same, behind the last part.
    """

    way: Way
    keep: int = 0
    slow: int = 0
    clock: int = 0
    elsewhere: bool = False
    scylla: bool = False
    abort: bool = False
    again: bool = False

    def __str__(self) -> str:
        numbers = [(name, getattr(self, name)) for name in _NUMBERS]
        words = [self.way, *(f"{name}={n}" for name, n in numbers if n or name == "keep")]
        words += [name for name in _FLAGS if getattr(self, name)]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Part:
    """One run, and what happens to one of its statements.

    Attributes:
        what: a `Fate`, or a `Happening`.
        number: of the statement, from 1; of PAUSES, of the point.
        at: of the run that takes over: the statement before which the held one arrives, or before
            which it stands still itself until the first has ended. Of DELAYED, STRAYS, LAGS and
            STALE: seconds.
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
    number, flag = "|".join(_NUMBERS), "|".join(_FLAGS)
    found = re.fullmatch(rf"(up|down)((?: (?:(?:{number})=-?\d+|{flag}))*)", first)
    words = found[2].split() if found else []
    given = [word.partition("=")[0] for word in words]
    if not found or len(set(given)) < len(given):
        raise ValueError(f"no journey: {first!r}")
    values = dict(zip(given, (word.partition("=")[2] for word in words), strict=True))
    direction: Way = "up" if found[1] == "up" else "down"
    journey = Journey(
        direction,
        keep=int(values.get("keep", 0)),
        slow=int(values.get("slow", 0)),
        clock=int(values.get("clock", 0)),
        elsewhere="elsewhere" in values,
        scylla="scylla" in values,
        abort="abort" in values,
        again="again" in values,
    )
    return Line(journey, tuple(map(_part, rest)))


def _part(text: str) -> Part:
    found = re.fullmatch(r"(\w+) (\d+)(?: (\w+) (\d+))?", text)
    if not found or found[1] not in _WORDS or _BETWEEN.get(found[1]) != found[3]:
        raise ValueError(f"no part of a schedule: {text!r}")
    return Part(found[1], int(found[2]), int(found[4] or 0))
