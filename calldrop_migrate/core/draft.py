"""Operations in the making: what is planned so far, and what the keyspace will be like after it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from calldrop_migrate.core import names
from calldrop_migrate.core.carrying import identity
from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.declared import describe
from calldrop_migrate.core.effects import after
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.operations import (
    Await,
    Copy,
    Operation,
    Pairs,
    Proof,
    Rows,
    Run,
    Verify,
    holds_statics,
    run,
)
from calldrop_migrate.core.plan import Direction, Facts
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.errors import Fault, Place


@dataclass
class Draft:
    """Operations so far, and what is known of the keyspace after them.

    Attributes:
        filled: tables that have rows then.
        made: tables that this revision creates.
        rebuilt: tables that it has brought into another shape.
        emptied: tables that it has truncated.
        refusals: what the server would refuse because of rows that are kept.
        perhaps_empty: tables made for rows of which nobody knows yet whether there are any.
    """

    migration: Migration
    direction: Direction
    attempt: UUID
    facts: Facts
    schema: Schema
    operations: list[Operation] = field(default_factory=list)
    outages: list[str] = field(default_factory=list)
    at_risk: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    rebuilt: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    perhaps_empty: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.filled |= self.facts.filled

    def add(self, *operations: Operation) -> None:
        """These operations, and the waiting for a view that one of them makes."""
        for operation in operations:
            self.operations.append(operation)
            if isinstance(operation, Run):
                self._ran(operation.effect)
            elif isinstance(operation, Copy):
                self.filled.add(operation.target.name)

    def _ran(self, effect: Effect) -> None:
        name = effect.name
        match effect.verb, effect.kind:
            case "create", "table" if self.schema.table(name) is None:
                self.made.add(name)
                self.filled.discard(name)
            case "create", "view" if not names.is_internal(name):
                self.operations.append(Await(name))
            case "drop", "table":
                self.filled.discard(name)
            case "truncate", "table":  # rows may come to it while the run goes on
                self.emptied.add(name)
        self.filled |= set(effect.writes)
        self.schema = after(self.schema, effect)

    def ask_to_drop(self) -> None:
        """A DROP of nothing, before anything is made or copied: a server that has them disabled, or
        a role that lacks the permission, is known then.
        """
        asks = run(f"DROP TABLE IF EXISTS {names.never(self.attempt)}", Proof.ASKS)
        if asks not in self.operations:
            self.add(asks)

    def fault(self, place: Place, message: str, hint: str = "") -> None:
        """Something wrong in the file."""
        self.faults.append(Fault(place, message, hint))

    def set_aside(
        self,
        table: Table,
        columns: Collection[str] | None = None,
        rows: Rows = Rows.ALL,
        fits: Table | None = None,
        fit_columns: Pairs = (),
    ) -> None:
        """Copies rows, or only the values of some columns and the keys, into a table of their own.

        It is a new one each time: were rows added to those of an earlier time that found no way
        back, one key would merge what are two rows. Nor by the name of one whose DROP may still
        arrive (`Facts.spent`).
        """
        cells = columns is not None
        kept = tuple(c for c in table.columns if columns is None or c.is_key or c.name in columns)
        if rows is Rows.MISFITS and fits is not None:
            # What the new shape holds of their partitions must not come back over its own values.
            held = holds_statics(table, fits, fit_columns)
            kept = tuple(c for c in kept if c.name not in held)
        taken = self.facts.spent | {other.name for other in self.schema.tables}
        name = next(n for nth in count(1) if (n := self._aside(table, nth, cells)) not in taken)
        # No default TTL of its own: each cell brings the one it has left.
        options = tuple(o for o in table.options if o[0] == "compaction")
        shape = Table(name, kept, options)
        same = identity(c.name for c in kept)
        self.add(
            run(describe(shape)),
            Copy(table, shape, same, rows, fits, fit_columns),
            Verify(table, shape, same, rows, fits, fit_columns, final=True),
        )
        what = f"values of {', '.join(columns)}" if columns is not None else str(rows)
        if rows is Rows.MISFITS or table.name in self.emptied:
            self.perhaps_empty.append(name)
            what += ", if any,"
        self.notes.append(
            f"{table.name}: {what} go to {name}; the opposite direction brings them back"
        )

    def _aside(self, table: Table, nth: int, cells: bool) -> str:
        return names.aside(table.name, self.migration.number, self.direction, cells=cells, nth=nth)
