"""Runs one operation, and tells from the live schema what a statement has done.

The schema as it is now lives here: after each change the object that was named is read again, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid5

from calldrop_migrate.core.ddl import Effect, with_id
from calldrop_migrate.core.effects import happened
from calldrop_migrate.core.operations import Await, Copy, Operation, Proof, Run, Verify
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.copying import Copier, Place
from calldrop_migrate.engine.journal import Clock, Event, Journal
from calldrop_migrate.engine.news import News, Waiting
from calldrop_migrate.engine.ports import Database, RangeResult
from calldrop_migrate.engine.wording import located
from calldrop_migrate.errors import OutcomeUnknown, RowsAtRisk, StatementRefused, Unreachable

VIEW_PATIENCE = 600.0  # seconds without any node finishing


class Executor:
    """Runs operations on one database.

    Attributes:
        schema: the keyspace as it is now.
        made: tables that this run created.
    """

    def __init__(
        self,
        database: Database,
        log: Journal,
        copier: Copier,
        clock: Clock,
        between: Callable[[], None],
        emit: Callable[[News], None],
    ) -> None:
        self.schema = Schema(database.keyspace)
        self.made: set[str] = set()
        self._database = database
        self._log = log
        self._copier = copier
        self._clock = clock
        self._between = between
        self._emit = emit

    def digest(self, operation: Operation) -> str | None:
        """The digests of the objects that an operation names, as they are now."""
        return ",".join(self.schema.digest_of(name) for name in operation.names) or None

    def has_happened(self, operation: Operation, before: Event) -> bool:
        """Whether an interrupted statement was applied, from its object as it is now (PROTOCOLS.md
        4).
        """
        if not isinstance(operation, Run) or not operation.names:
            return False
        if before.event == "before" and self.digest(operation) == before.digest:
            return False
        if happened(operation.effect, self.schema):
            return True
        if self.digest(operation) == before.digest or before.digest is None:
            return False
        raise OutcomeUnknown(
            f"{operation.label}: {operation.effect.name} is neither as it was before this statement"
            " nor as it is after it",
            state="The statement was sent by a run that ended before its answer came.",
            hint="Did somebody else change the table? Look:  calldrop-migrate verify",
        )

    def do(
        self, attempt: Attempt, operation: Operation, index: int, place: Place | None
    ) -> RangeResult | None:
        """Runs an operation; gives what came of rows.

        Raises:
            StatementRefused, OutcomeUnknown, RowsAtRisk, Unreachable: see errors.py.
        """
        match operation:
            case Run():
                self._run(attempt, operation, index)
                return None
            case Copy() if place:
                return self._copier.copy(operation, place)
            case Verify() if place:
                return self._copier.verify(operation, place)
            case Await():
                self._await(operation)
                return None
        raise AssertionError(operation)

    def _run(self, attempt: Attempt, operation: Run, index: int) -> None:
        effect = operation.effect
        if operation.proof in (Proof.EMPTY, Proof.EMPTY_ELSE_KEEP) and effect.kind == "table":
            table = self.schema.table(effect.name)
            if table is not None and not table.base and self._database.has_rows(table, prove=True):
                if operation.proof is Proof.EMPTY_ELSE_KEEP:
                    return
                raise RowsAtRisk(
                    f"{operation.label}: {effect.name} has rows now, and they would be deleted",
                    state="It was empty when the plan was made; nothing was dropped.",
                    hint="Stop the writers, then run the same command again.",
                )
        if effect.destroys:
            self._settle()
        self._log.check()
        try:
            if effect.changes_schema:
                self._ddl(attempt, operation, index)
            else:
                self._database.write(operation.text)
        except StatementRefused as refused:
            raise located(
                attempt, operation, self._sent(attempt, operation, index), refused
            ) from refused

    def _ddl(self, attempt: Attempt, operation: Run, index: int) -> None:
        effect = operation.effect
        if (effect.verb, effect.kind) == ("create", "table"):
            self.made.add(effect.name)
        try:
            self._database.ddl(self._sent(attempt, operation, index))
        except OutcomeUnknown:
            self._read_back(effect)
            if not happened(effect, self.schema):
                raise
        else:
            self._read_back(effect)
        if effect.name and not happened(effect, self.schema):
            raise OutcomeUnknown(
                f"{operation.label}: the server said it is done, and {effect.name} doesn't show it",
                hint="Run the same command again.",
            )

    def _sent(self, attempt: Attempt, operation: Run, index: int) -> str:
        """A statement as it is sent. A table gets an id chosen beforehand: a CREATE whose reply is
        lost repeats safely.
        """
        effect = operation.effect
        if (effect.verb, effect.kind) != ("create", "table") or self._database.platform.scylla:
            return operation.text
        return with_id(operation.statement, str(uuid5(attempt.id, f"{index} {effect.name}")))

    def _read_back(self, effect: Effect) -> None:
        if effect.name:
            self.schema = self._database.refresh(self.schema, [(effect.kind, effect.name)])

    def _settle(self) -> None:
        """Before destroying: a statement that another runner sent before it stopped may still be on
        its way.
        """
        left = self._log.settle_left
        if left > 0:
            self._emit(
                Waiting(
                    "an earlier run was stopped; its last statement may still be on its way", left
                )
            )
        while self._log.settle_left > 0:
            self._between()
            self._clock.sleep(min(0.2, self._log.settle_left))

    def _await(self, operation: Await) -> None:
        """Until the view is built on every node; the patience starts again whenever one more is
        done.
        """
        pause, left, since = 0.02, -1, self._clock.monotonic()
        while True:
            waiting = self._database.unbuilt(operation.view)
            if not waiting:
                return
            self._between()
            if len(waiting) != left:
                left, since = len(waiting), self._clock.monotonic()
            if self._clock.monotonic() - since > VIEW_PATIENCE:
                raise Unreachable(
                    f"{operation.view} is still being built on {', '.join(waiting)}",
                    state=(
                        "The view exists and is being built; that goes on by itself while all nodes"
                        " are up."
                    ),
                    hint="Run the same command again: it waits on.",
                )
            self._clock.sleep(pause)
            pause = min(1.0, pause * 1.5)
