"""Families of schedules on one journey, each in the order in which its saved states are shared."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.support.simulator.exploring import Explorer
from tests.support.simulator.faults import Fate
from tests.support.simulator.lines import Happening, Part

Parts = tuple[Part, ...]
_ONE = (Fate.LOST, Fate.UNANSWERED, Fate.REFUSED, Fate.LATE)


def killed(on: Explorer) -> Iterator[Parts]:
    """Yield: killed before each statement."""
    for number in range(1, on.length() + 1):
        yield (Part(Fate.KILLED, number),)


def killed_twice(on: Explorer) -> Iterator[Parts]:
    """Yield: killed before each statement, and the run that resumes before each of its own."""
    for (first,) in killed(on):
        for second in range(1, on.length((first,)) + 1):
            yield first, Part(Fate.KILLED, second)


def killed_then_hindered(on: Explorer) -> Iterator[Parts]:
    """Yield: killed before each statement, and one of the run that resumes is lost, applied without
    an answer, refused, answered late.
    """
    for (first,) in killed(on):
        for second in range(1, on.length((first,)) + 1):
            for fate in _ONE:
                yield first, Part(fate, second)


def hindered(on: Explorer) -> Iterator[Parts]:
    """Yield: each statement lost, applied without an answer, refused, answered late."""
    for number in range(1, on.length() + 1):
        for fate in _ONE:
            yield (Part(fate, number),)


def held(on: Explorer) -> Iterator[Parts]:
    """Yield: each statement of a stopped run arrives before each one of the run that took over,
    and behind its last.
    """
    for number in range(1, on.length() + 1):
        for at in range(1, on.length((Part(Fate.KILLED, number),)) + 2):
            yield (Part(Fate.HELD, number, at),)


def standing(on: Explorer) -> Iterator[Parts]:
    """Yield: a run stands still before each statement, another takes over and stands still before
    each of its own; the first goes on to its end, then the second.
    """
    for number in range(1, on.length() + 1):
        for at in range(1, on.length() + 1):
            yield (Part(Happening.STANDS, number, at),)


def pausing(on: Explorer) -> Iterator[Parts]:
    """Yield: a run stands still at each point between two statements, another takes over and
    stands still before each of its own; the first goes on, and finds its lease gone.
    """
    for point in range(1, on.trace(()).points + 1):
        for at in range(1, on.length() + 2):
            yield (Part(Happening.PAUSES, point, at),)


def met(on: Explorer) -> Iterator[Parts]:
    """Yield: somebody else types the command before each statement of a run but the first, which
    takes the lease, and the last, which gives it back.
    """
    for number in range(2, on.length()):
        yield (Part(Happening.MET, number),)


def delayed(on: Explorer) -> Iterator[Parts]:
    """Yield: a run is killed, and the statement that it had sent arrives while the next one, which
    begins at once, is at work: soon, or as late as is waited for.
    """
    for number in range(1, on.length() + 1):
        for seconds in (1, 44):
            yield (Part(Happening.DELAYED, number, seconds),)


def lagging(on: Explorer) -> Iterator[Parts]:
    """Yield: a node shows each change of the schema late, sooner than a runner gives up waiting or
    later; the run goes on, or is killed, and the next one asks that node.
    """
    for number, sent in enumerate(on.trace(()).sent, start=1):
        for seconds in (5, 45, 75) if sent.kind == "schema" else ():
            yield (Part(Happening.LAGS, number, seconds),)
            yield (Part(Happening.STALE, number, seconds),)


def straying(on: Explorer) -> Iterator[Parts]:
    """Yield: a statement gets no answer for the 20 s that are waited for it, and arrives later:
    when the next run has just begun, or as late as is waited for.
    """
    for number in range(1, on.length() + 1):
        for seconds in (21, 64):
            yield (Part(Happening.STRAYS, number, seconds),)


def drawn(schedules: Iterator[Parts], most: int | None, seed: int) -> tuple[list[Parts], int]:
    """Return at most so many of the schedules, in their order, and how many there are."""
    every = list(schedules)
    if most is None or most >= len(every):
        return every, len(every)
    chosen = sorted(random.Random(seed).sample(range(len(every)), most))
    return [every[at] for at in chosen], len(every)


Family = Callable[[Explorer], Iterator[Parts]]
# A family, its journey, and how many of its schedules are drawn each way; None: all of them.
ALL: tuple[tuple[Family, str, int | None], ...] = (
    (killed, "keep=0", None),
    (killed, "keep=0 elsewhere", None),
    (killed, "keep=0 abort", None),
    (killed, "keep=0 slow=15", 20),
    (killed, "keep=0 clock=-10", 20),
    (killed_twice, "keep=0", 60),
    (killed_twice, "keep=0 abort", 40),
    (killed_twice, "keep=0 abort again", 40),
    (killed_then_hindered, "keep=0", 40),
    (killed_then_hindered, "keep=0 abort", 30),
    (hindered, "keep=0", 80),
    (hindered, "keep=0 abort", 40),
    (delayed, "keep=0", 60),
    (delayed, "keep=0 abort", 40),
    (straying, "keep=0", 40),
    (straying, "keep=0 abort", 20),
    (met, "keep=0", 20),
    (held, "keep=7 elsewhere", 400),
    (held, "keep=7 elsewhere abort", 100),
    (standing, "keep=7 elsewhere", 25),
    (standing, "keep=7 elsewhere abort", 25),
    (pausing, "keep=0 elsewhere", 30),
    (pausing, "keep=0 elsewhere abort", 30),
    (lagging, "keep=0", 30),
    (killed, "keep=0 scylla", None),
    (held, "keep=7 elsewhere scylla", 60),
)
