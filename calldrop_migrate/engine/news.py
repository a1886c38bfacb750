"""News of a run while it works. Values only: who shows them, and how, is cli/feed.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an operation."""

    label: str
    done: int
    total: int
    rows: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A revision that was passed, or the keyspace that was made (`number` 0)."""

    number: int
    title: str
    direction: str
    what: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Began:
    """An operation of a revision begins: the `number`th of `total`."""

    label: str
    number: int
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about what the run found."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run waits, and why."""

    what: str
    seconds: float


News = Began | Finished | Note | Progress | Waiting
