"""Families of schedules on one journey, each in the order in which its saved states are shared."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.simulator.exploring import Explorer
from tests.support.simulator.faults import Fate
from tests.support.simulator.lines import DELAYED, LAGS, MET, PAUSES, STALE, STANDS, STRAYS, Part

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
            yield (Part(STANDS, number, at),)


def pausing(on: Explorer) -> Iterator[Parts]:
    """Yield: a run stands still at each point between two statements, another takes over and
    stands still before each of its own; the first goes on, and finds its lease gone.
    """
    for point in range(1, on.trace(()).points + 1):
        for at in range(1, on.length() + 2):
            yield (Part(PAUSES, point, at),)


def met(on: Explorer) -> Iterator[Parts]:
    """Yield: somebody else types the command before each statement of a run but the first, which
    takes the lease, and the last, which gives it back.
    """
    for number in range(2, on.length()):
        yield (Part(MET, number),)


def delayed(on: Explorer) -> Iterator[Parts]:
    """Yield: a run is killed, and the statement that it had sent arrives while the next one, which
    begins at once, is at work: soon, or as late as is waited for.
    """
    for number in range(1, on.length() + 1):
        for seconds in (1, 44):
            yield (Part(DELAYED, number, seconds),)


def lagging(on: Explorer) -> Iterator[Parts]:
    """Yield: a node shows each change of the schema late, sooner than a runner gives up waiting or
    later; the run goes on, or is killed, and the next one asks that node.
    """
    for number, sent in enumerate(on.trace(()).sent, start=1):
        for seconds in (5, 45, 75) if sent.kind == "schema" else ():
            yield (Part(LAGS, number, seconds),)
            yield (Part(STALE, number, seconds),)


def straying(on: Explorer) -> Iterator[Parts]:
    """Yield: a statement gets no answer for the 20 s that are waited for it, and arrives later:
    when the next run has just begun, or as late as is waited for.
    """
    for number in range(1, on.length() + 1):
        for seconds in (21, 64):
            yield (Part(STRAYS, number, seconds),)


def drawn(schedules: Iterator[Parts], most: int | None, seed: int) -> tuple[list[Parts], int]:
    """Return at most so many of the schedules, in their order, and how many there are."""
    every = list(schedules)
    if most is None or most >= len(every):
        return every, len(every)
    chosen = sorted(random.Random(seed).sample(range(len(every)), most))
    return [every[at] for at in chosen], len(every)
