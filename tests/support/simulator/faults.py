"""What happens to a statement on its way to the cluster, and to its answer.

A `Schedule` says it for each statement that changes something, counted from 1 over one run: the
run is killed before or behind it, it is lost before or after it was applied, refused, answered
late, or held and delivered behind a later statement of whoever comes next. Reads have no effect,
so they are numbered by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from calldrop_migrate.cluster.failures import says_absent
from calldrop_migrate.errors import CalldropError, StatementRefused, Unreachable
from tests.support.simulator.storage import Refusal, Unknown


class Fate(StrEnum):
    """What happens to one statement.

    KILLED: the process ends before the statement is sent.
    LOST: it never arrives, and the sender gets no answer.
    UNANSWERED: it is applied, and the sender gets no answer.
    REFUSED: the server says no.
    LATE: it is applied, and its answer takes `Schedule.delay` seconds.
    HELD: the process ends while it is on its way; it arrives when somebody delivers it.
    """

    KILLED = "killed"
    LOST = "lost"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    LATE = "late"
    HELD = "held"


class Killed(BaseException):
    """The process ended: nothing that it still tries has any effect."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One statement that changes something, as it was sent: enough to be applied at any time.

    Attributes:
        kind: `schema`, `rows`, or `copy` (cells with their own times).
        keyspace: in which unqualified names are.
        written: the write time that its sender gave it, in microseconds; None: the server's own.
        key: of `copy`, the columns of the primary key.
    """

    kind: str
    text: str
    values: tuple[object, ...]
    keyspace: str
    node: int = 0
    written: int | None = None
    key: tuple[str, ...] = ()


@dataclass(slots=True)
class Schedule:
    """What happens in one run.

    Attributes:
        fates: by the number of the statement, from 1.
        straying: by the number of the statement: it gets no answer, and arrives so many seconds
            after it was sent.
        delay: seconds that a late answer takes, and that are waited for one that doesn't come.
        before: called with each number before the statement is applied: where states are saved
            and held statements delivered.
        point: called with each number of a point between two statements (engine/course.py).
        reads_take: seconds that each read of rows takes.
        sent: how many statements were sent so far.
        held: those that are on their way.
        all: what was sent, in order.
    """

    fates: Mapping[int, Fate] = field(default_factory=dict)
    straying: Mapping[int, float] = field(default_factory=dict)
    delay: float = 20.0
    before: Callable[[int], None] = lambda number: None
    point: Callable[[int], None] = lambda number: None
    reads_take: float = 0.0
    sent: int = 0
    points: int = 0
    held: list[Sent] = field(default_factory=list)
    all: list[Sent] = field(default_factory=list)

    def next(self, statement: Sent) -> Fate | None:
        """Return what happens to the next statement."""
        self.sent += 1
        self.all.append(statement)
        self.before(self.sent)
        return self.fates.get(self.sent)

    def at(self, when: str, _text: str) -> None:
        """Be at the next point, as a hook of the engine. Behind "checked" a statement is as good as
        sent, and may come as late as any.
        """
        if when != "checked":
            self.points += 1
            self.point(self.points)


def refused_by(refusal: Refusal) -> CalldropError:
    """Return what a refusal is for the engine."""
    if isinstance(refusal, Unknown):
        return Unreachable(f"nodes failed to read: {refusal}")
    told = StatementRefused(str(refusal))
    told.absent = says_absent(refusal)
    return told
