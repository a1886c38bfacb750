"""Families of schedules on one journey, each in the order in which its saved states are shared."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.support.simulator.exploring import LEASE_IS_OVER, Explorer
from tests.support.simulator.faults import Fate, Sent
from tests.support.simulator.lines import Happening, Part

Parts = tuple[Part, ...]
_DROP, _VERIFY = "DROP TABLE call_records", "VERIFY call_records IN "
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


def arriving(on: Explorer, parts: Parts) -> Iterator[Parts]:
    """Yield: the statement before which the last run was killed was on its way, and arrives before
    each one of the run that takes over, and behind its last.
    """
    *before, last = parts
    for at in range(1, on.length(parts) + 2):
        yield (*before, Part(Fate.HELD, last.number, at))


def alone(_on: Explorer, parts: Parts) -> Iterator[Parts]:
    """Yield the schedule as it is."""
    yield parts


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
    for number, sent in enumerate(on.known(()), start=1):
        for seconds in (5, 45, 75) if sent.kind == "schema" else ():
            yield (Part(Happening.LAGS, number, seconds),)
            yield (Part(Happening.STALE, number, seconds),)


def delayed_then_hindered(on: Explorer) -> Iterator[Parts]:
    """Yield: a statement of a killed run arrives while the next one is at work, and one of those of
    the next one is lost, refused, answered late; or the next one is killed, and it arrives during
    the one behind that.
    """
    wait = LEASE_IS_OVER if on.journey.elsewhere else 0
    for (first,) in killed(on):
        for second in range(1, on.length((first,)) + 1):
            for fate in (*_ONE, Fate.KILLED):
                seconds = wait + 3 if fate != Fate.KILLED else 2 * wait + 44
                yield Part(Happening.DELAYED, first.number, seconds), Part(fate, second)


def written(on: Explorer) -> Iterator[Parts]:
    """Yield: an application writes a row before each statement of a run, or of the one that resumes
    it; not between the last comparison and the DROP, where writers have to stand still.
    """
    for number in _compared(on.known(())):
        yield (Part(Happening.WRITES, number),)
    for (first,) in killed(on):
        for number in _compared(on.known((first,))):
            yield first, Part(Happening.WRITES, number)


def altered(on: Explorer) -> Iterator[Parts]:
    """Yield: somebody adds a column before each statement of a run up to the last comparison before
    the DROP; not within a change of the schema, nor where a view keeps it from being taken away.
    """
    sent = on.known(())
    views = [n for n, each in enumerate(sent, 1) if each.text.startswith("DROP MATERIALIZED VIEW")]
    end = next((n for n, each in enumerate(sent, 1) if each.text == _DROP), 0)
    for number in _compared(sent):
        if max(views, default=0) < number < end and sent[number - 1].kind != "schema":
            yield (Part(Happening.ALTERS, number),)


def _compared(sent: Sequence[Sent]) -> Iterator[int]:
    """Yield the numbers of statements but those from the end of the comparison to the DROP."""
    over = False
    for number, each in enumerate(sent, start=1):
        over |= "applied" in each.values and any(_is_comparison(value) for value in each.values)
        if not over:
            yield number
        over &= each.text != _DROP


def _is_comparison(value: object) -> bool:
    return isinstance(value, str) and value.startswith(_VERIFY) and "rows that fit" in value


def straying(on: Explorer) -> Iterator[Parts]:
    """Yield: a statement gets no answer for the 20 s that are waited for it, and arrives later:
    when the next run has just begun, or as late as is waited for.
    """
    for number in range(1, on.length() + 1):
        for seconds in (21, 64):
            yield (Part(Happening.STRAYS, number, seconds),)


Family = Callable[[Explorer], Iterator[Parts]]


@dataclass(frozen=True, slots=True)
class Draw:
    """How many schedules of a family are judged on a journey.

    Attributes:
        most: how many of the family are drawn each way; None: all of them.
        each: what follows of one that was drawn.
        few: how many of these are judged of which the held statement changes something where it
            arrives: each takes its own run, the others come down to one. 0.3 is one of them, behind
            three of ten that were drawn.
    """

    family: Family
    journey: str
    most: int | None = None
    each: Callable[[Explorer, Parts], Iterator[Parts]] = alone
    few: float | None = None

    def __str__(self) -> str:
        names = [self.family.__name__, *([self.each.__name__] if self.each != alone else [])]
        return f"{self.journey}: {' '.join(names)}"

    def whole(self) -> Draw:
        """Return the same with all of its schedules."""
        return replace(self, most=None, few=None)

    def drawn(self, on: Explorer, seed: int) -> Iterator[tuple[list[Parts], float]]:
        """Yield what is to be judged in the order in which saved states are shared, and for how
        many schedules each part of it stands.
        """
        every = list(self.family(on))
        most = min(len(every), self.most or len(every))
        chance = random.Random(seed)
        for at in sorted(chance.sample(range(len(every)), most)):
            follow = list(self.each(on, every[at]))
            yield self._some(on, follow, chance), len(follow) * len(every) / most

    def _some(self, on: Explorer, follow: list[Parts], chance: random.Random) -> list[Parts]:
        if self.few is None:
            return follow
        changing = [parts for parts in follow if not on.is_nothing(parts)]
        few = int(self.few) + (chance.random() < self.few % 1)
        left = set(changing) - set(chance.sample(changing, min(few, len(changing))))
        return [parts for parts in follow if parts not in left]


ALL = (
    Draw(killed, "keep=0"),
    Draw(killed, "keep=0 elsewhere", 12),
    Draw(killed, "keep=0 abort", 20),
    Draw(killed, "keep=0 slow=15", 10),
    Draw(killed, "keep=0 clock=-10", 10),
    Draw(killed_twice, "keep=0", 15),
    Draw(killed_twice, "keep=0 abort", 14),
    Draw(killed_twice, "keep=0 abort again", 8),
    Draw(killed_then_hindered, "keep=0", 18),
    Draw(killed_then_hindered, "keep=0 abort", 8),
    Draw(hindered, "keep=0", 24),
    Draw(hindered, "keep=0 abort", 14),
    Draw(delayed, "keep=0", 20),
    Draw(delayed, "keep=0 abort", 8),
    Draw(delayed_then_hindered, "keep=0", 14),
    Draw(delayed_then_hindered, "keep=7 elsewhere", 12),
    Draw(written, "keep=0", 20),
    Draw(written, "keep=7 elsewhere", 6),
    Draw(altered, "keep=0", 10),
    Draw(straying, "keep=0", 14),
    Draw(straying, "keep=0 abort", 7),
    Draw(met, "keep=0", 8),
    Draw(killed, "keep=7 elsewhere", each=arriving, few=2),
    Draw(killed, "keep=7 elsewhere abort", each=arriving, few=1),
    Draw(killed_twice, "keep=7 elsewhere", 282, each=arriving, few=0.3),
    Draw(killed_twice, "keep=7 elsewhere abort", 15, each=arriving, few=1),
    Draw(standing, "keep=7 elsewhere", 6),
    Draw(standing, "keep=7 elsewhere abort", 6),
    Draw(pausing, "keep=0 elsewhere", 6),
    Draw(pausing, "keep=0 elsewhere abort", 6),
    Draw(lagging, "keep=0", 8),
    Draw(killed, "keep=0 scylla", 12),
    Draw(killed, "keep=7 elsewhere scylla", 15, each=arriving, few=1),
)
