"""The plan of a run, as values: attempts of operations in order, made before anything runs.

`path` says which revisions are passed in which direction; expansion.py turns one of them into
operations. What these depend on besides files and schema (which tables have rows, what the flags
allow) are `Facts`: the journal keeps them with the schema found at the beginning, so that an
attempt that was killed expands to the same list when it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

from calldrop_migrate import commands
from calldrop_migrate.core.cql import CqlError, Statement
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.fencing import Fence
from calldrop_migrate.core.files import Migration, Step
from calldrop_migrate.core.operations import Operation, Run
from calldrop_migrate.core.refusals import Server
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.errors import MigrationFileError, UsageError

Direction = Literal["up", "down"]
# What an attempt is for, besides a revision's own two directions.
Purpose = Literal["up", "down", "abort", "clean", "repair"]
_SETS = ("filled", "elder", "spent")  # of `Facts`


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that an expansion depends on besides files and schema.

    Attributes:
        filled: tables that have rows.
        elder: tables that an earlier run created; somebody may be using them.
        keep_shadow: days that a shadow table stays; 0 drops it at the end of the attempt.
        element_times: whether the server tells the times of a collection's elements.
        server: Cassandra or ScyllaDB; empty where only files are read.
        fences: around tables that are rebuilt, where one was asked for.
        spent: names of tables of ours whose DROP got no answer: it would take another one by that
            name.
    """

    filled: frozenset[str] = frozenset()
    elder: frozenset[str] = frozenset()
    set_aside: bool = False
    discard: bool = False
    outage_accepted: bool = False
    keep_shadow: float = 7
    element_times: bool = True
    fences: tuple[Fence, ...] = ()
    spent: frozenset[str] = frozenset()
    server: Server = ""

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self) | {name: sorted(getattr(self, name)) for name in _SETS}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Facts:
        """Return what `to_json` gave."""
        sets = {name: frozenset(stored.get(name, ())) for name in _SETS}
        fences = tuple(map(Fence.from_json, stored.get("fences", ())))
        return cls(**{**stored, **sets, "fences": fences})

    def fence(self, table: str) -> Fence | None:
        """The fence around a table, if one was asked for."""
        return next((fence for fence in self.fences if fence.table == table), None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of one revision in one direction, or of something else that is done to it, as
    operations.

    Attributes:
        resumed: an earlier run began it.
        done: operations that the journal already has as applied.
        outages: tables that readers see incomplete for a while, and views that are built again.
        at_risk: tables whose rows, or values of a column, no flag allows to move or delete.
        refusals: why rows that have to be copied can't be, whatever the flags.
        filled: of the tables that are known to this plan, those that have rows afterwards.
        notes: what a reader of the plan should know.
    """

    id: UUID
    migration: Migration
    direction: Purpose
    operations: tuple[Operation, ...]
    before: Schema
    after: Schema
    facts: Facts
    resumed: bool = False
    done: int = 0
    outages: tuple[str, ...] = ()
    at_risk: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    filled: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its number and title: `0002 destination clustering`."""
        return f"{self.migration.name} {self.migration.title}"

    def is_view(self, name: str) -> bool:
        """Return whether one of the outages is that of a view alone."""
        found = self.after.table(name) or self.before.table(name)
        return found is not None and bool(found.base)

    @property
    def lands_at(self) -> int:
        """The revision that the keyspace is at after it."""
        return self.migration.number - (self.direction == "down")


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run: the keyspace if it has to be made, then attempts in order."""

    keyspace: Run | None
    attempts: tuple[Attempt, ...]
    current: int
    target: int

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to do."""
        return self.keyspace is None and not self.attempts

    def same_work(self, other: Plan) -> bool:
        """Return whether both plans consist of the same operations."""
        return _work(self) == _work(other)


def _work(plan: Plan) -> list[object]:
    texts = [[op.text for op in a.operations[a.done :]] for a in plan.attempts]
    return [plan.keyspace and plan.keyspace.text, *texts]


def target_number(text: str, current: int, numbers: Sequence[int]) -> int:
    """The revision that TARGET means: a number with or without zeros, `head`, `base`, `+N`.

    Raises:
        UsageError: it names no revision of the folder.
    """
    head = max(numbers, default=0)
    if text == "head":
        return head
    if text == "base":
        return 0
    if text.startswith("+") and current == head and text.strip("+0").isdigit():
        raise UsageError(
            f"the keyspace is already at {head:04d} (head): no revision comes after it",
            state="Nothing was changed.",
            hint=f"What is applied:  {commands.status()}",
        )
    digits = text.removeprefix("+").lstrip("0") or "0" * (text.removeprefix("+") != "")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        number = current + int(digits) if text.startswith("+") else int(digits)
        if number == 0 or number in numbers:
            return number
    known = f"{min(numbers):04d} to {head:04d}" if numbers else "none"
    raise UsageError(
        f"there is no revision {text!r}; the folder has {known}",
        state="Nothing was changed.",
        hint=f"A target is a number, head, base, or +N:  {commands.status()}",
    )


def path(current: int, target: int) -> list[tuple[int, Direction]]:
    """The revisions to pass, in order, each with its direction."""
    if target >= current:
        return [(number, "up") for number in range(current + 1, target + 1)]
    return [(number, "down") for number in range(current, target, -1)]


def steps_of(migration: Migration, direction: Purpose) -> tuple[Step, ...]:
    """The section of a migration for a direction."""
    return {"up": migration.up, "down": migration.down}.get(direction, ())


def effect_of(statement: Statement) -> Effect:
    """The effect of a statement of a migration.

    Raises:
        MigrationFileError: it can't be made out.
    """
    try:
        return read(statement)
    except CqlError as error:
        raise MigrationFileError((error.fault,)) from None


def tables_at_stake(migration: Migration, direction: Direction, schema: Schema) -> list[str]:
    """The tables of which it matters whether they have rows.

    They are rebuilt, dropped, deleted from or truncated, lose a column, or get a TTL that their
    rows don't have.
    """
    stake = []
    for step in steps_of(migration, direction):
        effect = effect_of(step.statement)
        new_life = "default_time_to_live" in dict(effect.options)
        if (step.rebuild or effect.destroys or new_life) and schema.table(effect.name):
            stake.append(effect.name)
    return list(dict.fromkeys(stake))
