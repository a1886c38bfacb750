"""Every error the tool raises on purpose, and the exit code each one ends with.

An error says three things: what failed (`message`, with file:line:column where there is one), what
state the database is in now (`state`), and what to type next (`hint`). The command line shows all
three, as text or as JSON. Nothing here prints, and nothing here knows the driver:
cluster/session.py turns the driver's exceptions into these.

    CalldropError                       1   a bug, when nothing below fits
      UsageError                        2   the call is wrong: unknown target, no terminal to ask on
        ConfigurationError              2   a setting is wrong: bad file, wrong password, RF above
        the nodes
      MigrationFileError                4   faults in migration files, all of them
      HistoryError                      5   files and history do not fit together
        DriftError                      5   the live schema is not the recorded one
        Irreversible                    5   a revision that says it cannot be taken back
      LeaseHeld                         6   somebody else may change the schema now
        LeaseLost                       6   we could, and no longer can
      StatementRefused                  7   the server said no
      OutcomeUnknown                    8   not known yet whether a statement was applied: run again
      RowsAtRisk                        9   rows would be lost, or differ after a copy
        MisfitRows                      9   rows that the target shape cannot hold
      Unreachable                      10   no server, no agreement, replicas down
        Unreadable                      7   rows that the server gives up reading
      Interrupted                     130   Ctrl-C; what was done is recorded
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a text: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in a file, and what would be right."""

    place: Place
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class CalldropError(Exception):
    """The base of all errors of this package; never raised itself.

    Attributes:
        message: what failed, with file:line:column where there is one.
        state: what state the database is in now; empty when it was not touched.
        hint: what to type next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, state: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.state = state
        self.hint = hint


class UsageError(CalldropError):
    """The call itself is wrong; nothing was changed."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A setting is wrong or missing; nothing was changed."""


class MigrationFileError(CalldropError):
    """Faults in migration files or seed modules: all at once, before the server is touched."""

    exit_code = 4

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        said = "\n".join(str(fault) for fault in sorted(faults))
        super().__init__(said, hint="Mend what is named, then run the same command again.")
        self.faults = faults


class HistoryError(CalldropError):
    """Files and history do not fit together."""

    exit_code = 5


class DriftError(HistoryError):
    """The live schema is not the recorded one."""


class Irreversible(HistoryError):
    """A revision that says in its file that it cannot be taken back."""


class LeaseHeld(CalldropError):
    """Another runner may change the schema now."""

    exit_code = 6


class LeaseLost(LeaseHeld):
    """We held the lease and no longer do: nothing may be begun."""


class StatementRefused(CalldropError):
    """The server refused a statement: it was not applied.

    Attributes:
        absent: it says that a table or keyspace doesn't exist.
    """

    exit_code = 7
    absent = False


class OutcomeUnknown(CalldropError):
    """It isn't known yet whether a statement was applied; running again settles it."""

    exit_code = 8


class RowsAtRisk(CalldropError):
    """Rows would be lost, or are not the same after a copy."""

    exit_code = 9


class MisfitRows(RowsAtRisk):
    """Rows that the target shape cannot hold, and nobody said what to do with them."""


class Unreachable(CalldropError):
    """No server answers, the nodes do not agree on the schema, or replicas are down."""

    exit_code = 10


class Unreadable(Unreachable):
    """Rows that the server gives up reading, also in smaller pieces: a person has to do something
    about them, or about its limit.
    """

    exit_code = 7


class Interrupted(CalldropError):
    """Ctrl-C: what was done is recorded, the same command goes on from there."""

    exit_code = 130
