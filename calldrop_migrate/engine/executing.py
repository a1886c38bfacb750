"""Runs one operation, and tells from the live schema what a statement has done.

The schema as it is now lives here: after each change the object that was named is read again, and
nothing else.

The order in front of a statement that destroys is what keeps rows (docs/protocol.md 3, 4, 6): wait
until nothing that an earlier run sent can still arrive; read what is there; prove it; look whether
the lease has enough left; send. What was read or proven before the wait counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from uuid import uuid5

from calldrop_migrate import commands
from calldrop_migrate.core.comparing import diff
from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.effects import happened, is_there, needed_by
from calldrop_migrate.core.fencing import is_up
from calldrop_migrate.core.operations import Await, Copy, Operation, Proof, Run, Verify
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.rewriting import with_id
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.balance import Proven
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.course import Course
from calldrop_migrate.engine.drift import drift, ways_out
from calldrop_migrate.engine.journal import Event, Journal
from calldrop_migrate.engine.news import Note, Waiting
from calldrop_migrate.engine.permissions import Permissions
from calldrop_migrate.engine.place import Place
from calldrop_migrate.engine.ports import Database, RangeResult
from calldrop_migrate.engine.wording import located
from calldrop_migrate.errors import (
    DriftError,
    OutcomeUnknown,
    RowsAtRisk,
    StatementRefused,
    Unreachable,
)

TABLE_PATIENCE = 30.0  # seconds
VIEW_PATIENCE = 600.0  # seconds without any node finishing
VIEW_NEWS = 5.0  # seconds after which a person is told what is waited for


class Executor:
    """Runs operations on one database.

    Attributes:
        schema: the keyspace as it is now.
        made: tables that this run created.
        sent: whether the operation that was begun last has sent a statement.
        permissions: who may do what to its tables.
    """

    def __init__(
        self,
        database: Database,
        log: Journal,
        copier: Copier,
        course: Course,
    ) -> None:
        self.schema = Schema(database.keyspace)
        self.made: set[str] = set()
        self.sent = False
        self._database = database
        self._log = log
        self._copier = copier
        self._clock = course.clock
        self._between = course.between
        self._emit = course.emit
        self._at = course.at
        self.permissions = Permissions(database, log, course.clock, course.between, course.emit)

    def digest(self, operation: Operation) -> str | None:
        """The objects that a statement names, with their digests as they are now: JSON."""
        if not isinstance(operation, Run) or not operation.names:
            return None
        return json.dumps({name: self.schema.digest_of(name) for name in operation.names})

    def recovered(self, operation: Operation, before: Event) -> bool:
        """Return whether a statement that an earlier run began was applied, from its object as it
        is when nothing of that run can arrive any more (docs/protocol.md 4).

        Raises:
            OutcomeUnknown: the object is neither as it was nor as the statement would leave it.
        """
        if not isinstance(operation, Run) or not operation.names:
            return False
        self._log.settle()
        if operation.effect.destroys:
            self._settle()
        self._read_back(operation.effect)
        if self.digest(operation) == before.digest:
            return False
        if happened(operation.effect, self.schema):
            return True
        recorded = self._log.read().recorded
        if recorded and not drift(self.schema, recorded, applied=0):
            return False  # somebody changed it, and has put it back or had it accepted
        raise OutcomeUnknown(
            f"{operation.label}: {operation.effect.name} is neither as it was before this statement"
            " nor as it is after it",
            state="The statement was sent by a run that ended before its answer came.",
            hint=f"Did somebody else change it? What differs:  {commands.status()}",
        )

    def see_unchanged(self, digests: Mapping[str, str]) -> None:
        """See that nothing of what an earlier run sent arrives any more: objects are as they were
        seen.

        Raises:
            OutcomeUnknown: one has changed.
        """
        self._log.settle()
        self._settle()
        self.schema = self._database.schema()
        for name, digest in digests.items():
            if self.schema.digest_of(name) != digest:
                raise OutcomeUnknown(
                    f"{name} has changed: what an earlier run sent has arrived only now",
                    hint="Run the same command again: it goes on from there.",
                )

    def do(
        self,
        attempt: Attempt,
        index: int,
        place: Place | None,
        proven: Proven | None,
        *,
        unsettled: bool,
    ) -> RangeResult | None:
        """Runs an operation; gives what came of rows.

        Args:
            proven: what is known of the rows of the table that a statement destroys in.
            unsettled: an earlier run may have sent this statement, and it may still arrive.

        Raises:
            StatementRefused, OutcomeUnknown, RowsAtRisk, Unreachable: see errors.py.
        """
        self.sent = False
        match attempt.operations[index]:
            case Run() as operation:
                return self._run(attempt, operation, index, proven, unsettled=unsettled)
            case Copy() as operation if place:
                return self._copier.copy(operation, place)
            case Verify() as operation if place:
                if operation.final:
                    self._settle()
                return self._copier.verify(operation, place)
            case Await() as operation:
                self._await(operation)
                return None
        raise AssertionError(attempt.operations[index])

    # -- one statement -----------------------------------------------------------------------------

    def _run(
        self,
        attempt: Attempt,
        operation: Run,
        index: int,
        proven: Proven | None,
        *,
        unsettled: bool,
    ) -> RangeResult | None:
        effect, result = operation.effect, None
        # One that is still on its way may be the opposite of this one: of another attempt, or what
        # an earlier run of this one sent and a later one sent again.
        sent_again = _about(attempt.operations[: min(index, attempt.done + 1)])
        if effect.destroys or not attempt.resumed or effect.name in sent_again:
            self._settle()
        if effect.verb == "alter" and not unsettled and effect.name not in self.made:
            self._see_unchanged_by_others(effect)
        if effect.destroys:
            self._read_back(effect)
            if proven is not None:
                self._see_as_proven(operation, proven.source)
                result = RangeResult(discarded=self._copier.balance.see(operation, proven))
            if not self._may_destroy(operation):
                return None
        if effect.destroys:
            self._log.append(None)  # what came before may have taken long
            if effect.drops_table and (fence := attempt.facts.fence(effect.name)):
                self.permissions.see_fenced(fence)
        self._log.check()
        self._at("checked", operation.text)
        sent = self._sent(attempt, operation, index)
        try:
            if effect.changes_schema:
                self._ddl(effect, sent, unsettled=unsettled)
            else:
                self.sent = True
                self._database.write(sent)
        except StatementRefused as refused:
            if not (operation.fence and refused.absent):
                raise located(attempt, operation, sent, refused) from refused
            # Its role is gone by now: no reason to stop half-way.
            what = "revoked" if is_up(operation) else "granted again"
            self._emit(Note(f"not {what} ({refused.message}):  {sent};"))
        return result

    def _see_unchanged_by_others(self, effect: Effect) -> None:
        """See that an object is as this run last saw it: what it is behind a statement is recorded.

        Raises:
            DriftError: it isn't.
        """
        seen = self.schema
        self._read_back(effect)
        if self.schema.digest_of(effect.name) != seen.digest_of(effect.name):
            was, now = seen.comparable(), self.schema.comparable()
            lines = "".join(f"\n    {line}" for line in diff(was, now))
            raise DriftError(
                f"{effect.name} was changed by somebody else meanwhile:{lines}",
                hint=ways_out(self._log.read().recorded, self.schema),
            )

    def _see_as_proven(self, operation: Run, proven: Table) -> None:
        """See that what is destroyed is what was proven to be elsewhere.

        Raises:
            RowsAtRisk: it isn't.
        """
        live = self.schema.table(proven.name)
        if live is None or (live.same_rows_as(proven) and proven.id in (None, live.id)):
            return
        then, now = (Schema("", tables=(table,)).comparable() for table in (proven, live))
        lines = "".join(f"\n    {line}" for line in diff(then, now)) or " it was made anew"
        raise RowsAtRisk(
            f"{operation.label}: {proven.name} is not the table any more that was verified:{lines}",
            state="It was not dropped.",
            hint=(
                f"Take back what was begun:  {commands.abort()}\nWhere that is too late, bring"
                f" {proven.name} back to that shape by hand, have it recorded, and run the same"
                f" command again:  {commands.accept()}"
            ),
        )

    def _may_destroy(self, operation: Run) -> bool:
        """Return whether a statement may be sent; it shall be left out where its table isn't empty.

        Raises:
            RowsAtRisk: it would delete rows.
        """
        name = operation.effect.name
        if operation.proof is Proof.COPY:
            self._originals(operation)
        if operation.proof not in (Proof.EMPTY, Proof.EMPTY_ELSE_KEEP):
            return True
        table = self.schema.table(name)
        if table is None or not self._database.has_rows(table, prove=True, between=self._between):
            return True
        if operation.proof is Proof.EMPTY_ELSE_KEEP:
            return False
        raise RowsAtRisk(
            f"{operation.label}: {name} has rows now, and they would be deleted",
            state="The table was not dropped.",
            hint=(
                "Stop the writers, then run the same command again: it says what can be done.\n"
                f"To take back what was begun:  {commands.abort()}\n"
                "Where neither helps, the same command with --discard-rows deletes them."
            ),
        )

    def _originals(self, operation: Run) -> None:
        """See that the tables of which a table is a copy are still the same ones."""
        self.schema = self._database.schema()
        for name, table_id in operation.originals:
            found = self.schema.table(name)
            if found is None or found.id != table_id:
                raise RowsAtRisk(
                    f"{operation.label}: {name} is not the table any more that it is a copy of",
                    state="The copy was not dropped.",
                    hint=f"What there is now:  {commands.status()}",
                )

    def _ddl(self, effect: Effect, sent: str, *, unsettled: bool) -> None:
        """Sends a schema change. Whatever the answer is, what the nodes show decides.

        A statement of an earlier run can arrive at any moment, also between our reading and our
        sending: then ours is refused, because what it makes exists, and that is no refusal.
        """
        if effect.makes_table:
            self.made.add(effect.name)
        try:
            self._once_it_is_there(needed_by(effect), sent)
        except StatementRefused:
            if not (unsettled and self._is_done(effect)):
                raise
        except OutcomeUnknown as unknown:
            try:
                done = self._is_done(effect)
            except Unreachable:
                raise unknown from None
            if not done:
                raise
        else:
            self._read_back(effect)
            if effect.name and not is_there(effect, self.schema):
                raise OutcomeUnknown(
                    f"the server said that {effect.verb.upper()} is done, and {effect.name} doesn't"
                    " show it",
                    hint="Run the same command again.",
                )

    def _once_it_is_there(self, needed: tuple[str, str], sent: str) -> None:
        """Sends a schema change, and again while the server names what it has to be there for, says
        that it isn't, and shows it in its own schema: it is written there first
        (docs/protocol.md 1). A refusal was not applied.
        """
        end = self._clock.monotonic() + TABLE_PATIENCE
        while True:
            try:
                self.sent = True
                return self._database.ddl(sent)
            except StatementRefused as refused:
                waits = refused.absent and needed[1] and needed[1] in refused.message
                if not waits or self._clock.monotonic() > end:
                    raise
                self.schema = self._database.refresh(self.schema, [needed])
                if self.schema.digest_of(needed[1]) == "absent":
                    raise
            self._clock.sleep(0.2)
            self._between()
            self._log.check()

    def _is_done(self, effect: Effect) -> bool:
        self._database.agree()
        self._read_back(effect)
        return bool(effect.name) and happened(effect, self.schema)

    def _sent(self, attempt: Attempt, operation: Run, index: int) -> str:
        """A statement as it is sent. A table gets an id chosen beforehand: a CREATE whose reply is
        lost repeats safely.
        """
        effect = operation.effect
        if not effect.makes_table or self._database.platform.scylla:
            return operation.statement.text
        return with_id(operation.statement, str(uuid5(attempt.id, f"{index} {effect.name}")))

    def _read_back(self, effect: Effect) -> None:
        """Reads the object of a statement again, and the views that an ALTER changes with it."""
        if effect.name:
            follow = effect.add or effect.rename or effect.masks
            views = self.schema.views_on(effect.name) if follow else ()
            objects = [(effect.kind, effect.name), *(("view", view.name) for view in views)]
            self.schema = self._database.refresh(self.schema, objects)

    # -- waiting -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """A statement that another runner sent before it stopped may still be on its way."""
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
        pause, left, since, told = 0.1, -1, self._clock.monotonic(), False
        while True:
            self._clock.sleep(pause)  # none is built at once
            waiting = self._database.unbuilt(operation.view)
            if not waiting:
                return
            self._between()
            if len(waiting) != left:
                left, since = len(waiting), self._clock.monotonic()
            waited = self._clock.monotonic() - since
            if waited > VIEW_PATIENCE:
                raise Unreachable(
                    f"{operation.view} is still being built on {', '.join(waiting)}",
                    state=(
                        "The view exists and is being built; that goes on by itself while all nodes"
                        " are up."
                    ),
                    hint="Run the same command again: it waits on.",
                )
            if waited > VIEW_NEWS and not told:
                what = f"{operation.view} is being built on {', '.join(waiting)}"
                self._emit(Waiting(what, VIEW_PATIENCE))
                told = True
            pause = min(1.0, pause * 1.5)


def _about(operations: Sequence[Operation]) -> set[str]:
    """The objects of statements that are sent again without waiting: those that destroy no rows."""
    effects = (op.effect for op in operations if isinstance(op, Run))
    return {effect.name for effect in effects if not effect.destroys} - {""}
