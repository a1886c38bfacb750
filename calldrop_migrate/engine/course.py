"""The course of a run: its time, what is asked and told between its steps, and the points of an
operation at which a hook is called. Tests kill, stop and pause a run there; nobody else has a hook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from calldrop_migrate.engine.lease import Clock
from calldrop_migrate.engine.news import News

# Before an operation; when all has been looked at and a statement is about to be sent; behind the
# operation; behind its "applied" row in the journal.
When = Literal["before", "checked", "after", "noted"]
Hook = Callable[[When, str], None]  # gets the text of the operation, too


def nothing(_when: When, _text: str) -> None:
    """The hook that does nothing."""


@dataclass(frozen=True, slots=True)
class Course:
    """The surroundings of the operations of a run.

    Attributes:
        between: called wherever it may stop; keeps the lease.
        at: called at each point.
    """

    clock: Clock
    between: Callable[[], None]
    emit: Callable[[News], None]
    at: Hook
