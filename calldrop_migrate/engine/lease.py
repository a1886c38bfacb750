"""The lease as values: who holds it, how it stands, and its times.

Taking and renewing it is in journal.py, because each row of the journal does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Holder:
    """A runner: `host` and `process` tell whether it is still alive, `command` is for people."""

    user: str
    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    command: str

    @property
    def who(self) -> str:
        """user@host."""
        return f"{self.user}@{self.host}"


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The state of the lease, as the static columns have it; `left` are seconds.

    Attributes:
        dead: the holder was a process of this machine, and is no more.
        released: the epoch whose holder last gave the lease back.
        finished: the epoch whose holder last ended for good: with its plan, or for a person.
    """

    owner: UUID | None
    holder: Holder | None
    since: datetime | None
    left: int
    epoch: int | None
    released: int | None
    finished: int | None
    recorded: str
    dead: bool = False

    @property
    def released_cleanly(self) -> bool:
        """Return whether the last holder gave the lease back."""
        return self.epoch == self.released


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. See docs/protocol.md 3 for what each protects."""

    lease_ttl: int = 60
    ddl_timeout: float = 30
    settle_time: float = 45


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, as arguments: the wall's, a monotonic one in seconds, and a way to wait."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


def lease_as_json(state: LeaseState) -> Mapping[str, Any] | None:
    """Return who holds the lease, for --json; None when nobody does."""
    if state.owner is None:
        return None
    holder = state.holder
    return {
        "who": holder.who if holder else None,
        "pid": holder.pid if holder else None,
        "command": holder.command if holder else None,
        "since": state.since.replace(tzinfo=UTC).isoformat() if state.since else None,
        "token": str(state.owner),
        "seconds_left": state.left,
        "dead": state.dead,
    }
