"""One revision in one direction: its operations one by one, and the rows that say so.

For each operation a "before" row in the journal, the operation, an "applied" row. Behind the first
"before" row the history says IN_PROGRESS; behind the last "applied" row it says that the revision
is there, or gone. A "before" row is a CAS on the lease, so nothing is begun without it. With each
"applied" row of a schema change the schema as it is now becomes the recorded one: whatever differs
from that was not our doing.

A run that was killed left a prefix of that sequence, and the next one goes on behind it. What the
last "before" row began is settled by reading the objects that it named (docs/protocol.md 4). One
thing is done again: a Verify counts only for the run that made it. Between a kill and the next run
an hour may lie, and the writers be back, so before a statement that destroys every proof that it
relies on and that this run hasn't made is made once more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import UUID

from calldrop_migrate import commands
from calldrop_migrate.core.fencing import is_up, taken_back
from calldrop_migrate.core.names import is_shadow
from calldrop_migrate.core.operations import (
    Copy,
    Operation,
    Proof,
    Rows,
    Run,
    Verify,
    hash_of,
    incomplete,
    is_replaced,
    proofs_of,
)
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.rebuilding import changed_by
from calldrop_migrate.core.schema import Table, to_json
from calldrop_migrate.engine.balance import Proven, Read
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.course import Course
from calldrop_migrate.engine.drift import without
from calldrop_migrate.engine.executing import Executor
from calldrop_migrate.engine.history import History
from calldrop_migrate.engine.journal import Event, Journal, unsettled
from calldrop_migrate.engine.news import Began, Finished, Note
from calldrop_migrate.engine.place import Place
from calldrop_migrate.engine.ports import RangeResult
from calldrop_migrate.engine.resuming import verified
from calldrop_migrate.engine.shadows import refuse_lacking
from calldrop_migrate.engine.wording import at_revision, counted, summary
from calldrop_migrate.errors import (
    CalldropError,
    LeaseLost,
    OutcomeUnknown,
    StatementRefused,
    Unreachable,
)


@dataclass(frozen=True, slots=True)
class Doing:
    """The things that passing a revision needs."""

    log: Journal
    history: History
    executor: Executor
    copier: Copier
    course: Course


class Passage:
    """Passes one revision."""

    def __init__(self, doing: Doing, attempt: Attempt) -> None:
        self._do = doing
        self._attempt = attempt
        self._past: Sequence[Event] = ()
        self._proven: dict[int, Read] = {}  # what Verifys of this run have read
        self._ids = {t.name: str(t.id) for t in attempt.before.tables if t.id}
        self._grants: dict[str, list[tuple[str, str]]] = {}
        self._notes: list[str] = []
        self._closed: set[str] = set()  # tables that nobody else can write to any more
        self._is_open = False  # something was sent, and no row says yet what came of it
        self._done = attempt.done
        self._events = 0  # of this attempt, in the journal

    def run(self) -> Finished:
        """Runs what is left of the attempt.

        Raises:
            CalldropError: with what is applied now in its `state`.
        """
        attempt, do, course = self._attempt, self._do, self._do.course
        started = course.clock.monotonic()
        results: dict[int, RangeResult] = {}
        try:
            if attempt.resumed:
                do.history.take_over(attempt.migration.number, attempt.id, course.clock.now())
                self._recall(do.log.events(detail=True))
            for index, operation in enumerate(attempt.operations):
                if index < attempt.done:
                    continue
                course.between()
                total = len(attempt.operations)
                course.emit(Began(attempt.label, index + 1, total, operation.label))
                result = self._operation(index)
                self._done = index + 1
                if result is not None:
                    results[index] = result
            if attempt.resumed:  # somebody may have dropped what was filled before
                state = f"{attempt.label}: all its operations are applied."
                hint = f"To bring them back:  {commands.restore()}"
                refuse_lacking(do.log, do.executor.schema, state, hint)
            notes = [*attempt.notes, *self._notes, *counted(attempt, results)]
            self._finish()
        except CalldropError as error:
            self.stopped(error)
            raise
        finished = Finished(
            attempt.migration.number,
            attempt.migration.title,
            attempt.direction,
            summary(attempt, results),
            course.clock.monotonic() - started,
            tuple(notes),
        )
        course.emit(finished)
        return finished

    def _recall(self, journal: Sequence[Event]) -> None:
        """Read what earlier runs of the attempt left to know.

        A table that the attempt made and somebody dropped may be one since that `repair` made, or
        filled, with its rows.
        """
        self._past = [event for event in journal if event.attempt == self._attempt.id]
        self._events = len(self._past)
        made = dict[str, str]()
        for event in journal:
            ids = event.details.get("ids", {})
            if event.attempt == self._attempt.id:
                self._ids |= ids
                self._grants |= event.details.get("grants", {})
                made |= ids if event.event == "applied" else {}
            elif event.event == "applied" and event.direction == "repair":
                self._ids |= {name: ids[name] for name in ids.keys() & made.keys()}
        by_repair = verified([event for event in journal if event.direction == "repair"])
        self._ids |= {target: id for _, target, id in by_repair if target in made}

    # -- one operation -----------------------------------------------------------------------------

    def _operation(self, index: int, *, emptied: bool = False) -> RangeResult | None:
        """Runs one operation, with the rows of the journal around it.

        Args:
            emptied: of a Verify: see `Place`.
        """
        do, operation = self._do, self._attempt.operations[index]
        before = unsettled(self._past, index)
        if before is not None and before.hash != hash_of(operation):
            do.executor.see_unchanged(json.loads(before.digest or "{}"))
            # It is over, so that the next row begins what the file says now.
            do.log.append(
                replace(before, event="refused", error="it never arrived, and was changed")
            )
            before = None
        if before is not None and do.executor.recovered(operation, before):
            self._give_back(operation)
            self._append("applied", index, recorded=True)
            return None
        if isinstance(operation, Copy | Verify):
            self._close_fence(operation.source.name, index)
        for proof in proofs_of(self._attempt.operations, index):
            if proof not in self._proven:
                # A TRUNCATE leaves no trace in the schema: an earlier run's may have come.
                truncates = isinstance(operation, Run) and operation.effect.verb == "truncate"
                self._operation(proof, emptied=truncates and before is not None)
        place = self._place(index)
        if place:
            place = replace(place, emptied=emptied)
        self._append("before", index, detail=self._detail(index, place))
        if index == 0 and not self._attempt.resumed:
            self._mark()
        started = do.course.clock.monotonic()
        result = self._carry_out(index, place, unsettled=before is not None)
        self._give_back(operation)
        took = int((do.course.clock.monotonic() - started) * 1000)
        self._append("applied", index, recorded=True, duration_ms=took)
        self._is_open = False
        if isinstance(operation, Verify) and place and result and result.counted:
            self._proven[index] = Read(operation, place.parts, result.counted, emptied)
        return result

    def _carry_out(self, index: int, place: Place | None, *, unsettled: bool) -> RangeResult | None:
        """Has an operation done. What kept it from that goes into the journal, too.

        Args:
            unsettled: an earlier run may have sent the statement, and it may still arrive.
        """
        do, operation = self._do, self._attempt.operations[index]
        self._is_open = isinstance(operation, Run)
        try:
            proven = self._proven_by(index)
            do.course.at("before", operation.text)
            result = do.executor.do(self._attempt, index, place, proven, unsettled=unsettled)
            do.course.at("after", operation.text)
        except CalldropError as error:
            kind = "refused" if isinstance(error, StatementRefused) else "unknown"
            if isinstance(operation, Run) and not unsettled and not do.executor.sent:
                kind = "refused"  # by ourselves
            self._is_open = self._is_open and isinstance(error, OutcomeUnknown | Unreachable)
            try:
                self._append(kind, index, error=error.message[:2000])
            except LeaseLost as lost:  # then it is another runner's work that was in the way
                raise lost from error
            except CalldropError:
                pass  # the error that is on its way says more
            raise
        return result

    def _proven_by(self, index: int) -> Proven | None:
        """Return what a statement that destroys relies on; None if it relies on nothing."""
        reads = tuple(self._proven[at] for at in proofs_of(self._attempt.operations, index))
        if not reads:
            return None
        source = reads[0].verify.source
        known = self._ids.get(source.name)
        return Proven(replace(source, id=UUID(known) if known else None), reads)

    def _close_fence(self, table: str, index: int) -> None:
        """Once in each run, before rows are carried out of a fenced table or proven to be: as long
        as the fence is up.
        """
        fence = self._attempt.facts.fence(table)
        earlier = [op for op in self._attempt.operations[:index] if isinstance(op, Run)]
        swapped = any(op.effect.drops_table and op.effect.name == table for op in earlier)
        if fence is None or swapped or table in self._closed:
            return
        if {op.text for op in fence.up()} <= {op.text for op in earlier}:
            self._do.executor.permissions.close_fence(fence)
            self._closed.add(table)

    def _append(self, event: str, index: int, *, recorded: bool = False, **more: object) -> None:
        """A row of the journal; `recorded`: the schema as it is now becomes the recorded one."""
        attempt, operation = self._attempt, self._attempt.operations[index]
        row = Event(
            event,
            attempt.id,
            attempt.migration.number,
            attempt.direction,
            operation=index,
            statement=operation.text,
            hash=hash_of(operation),
            digest=self._do.executor.digest(operation),
        )
        schema = None
        if recorded and isinstance(operation, Run) and operation.effect.changes_schema:
            schema = self._recorded(operation.effect.name)
            made = self._do.executor.schema.table(operation.effect.name)
            if made is not None and operation.effect.verb == "create":
                self._tell_options(made)
                self._ids[made.name] = str(made.id)
                row = replace(row, detail=json.dumps({"ids": {made.name: str(made.id)}}))
        self._events += 1
        self._do.log.append(replace(row, **more), schema)  # type: ignore[arg-type]
        if event == "applied":
            self._do.course.at("noted", operation.text)

    def _recorded(self, name: str) -> str | None:
        """Return what becomes the recorded schema behind a change of that object; None: it stays.

        Behind a revision it is the schema as it is. What else is done changes its own object alone:
        somebody else's change that was drift before it still is.
        """
        live = self._do.executor.schema.comparable()
        match self._attempt.direction:
            case "repair":  # it brings back what is recorded, or a part of it
                return None
            case "abort" | "clean":
                kept = without(json.loads(self._do.log.read().recorded or "{}"), [name])
                others = without(live, [name])
                live = kept | {k: shape for k, shape in live.items() if k not in others}
        return json.dumps(live)

    def _tell_options(self, made: Table) -> None:
        """Says how the options differ of a table, or a view, that is made in place of another one:
        what a statement doesn't name is the server's choice, and only now it is known.
        """
        copies = (op for op in self._attempt.operations if isinstance(op, Copy))
        sources = (op.source.name for op in copies if op.target.name == made.name)
        name = next(sources, "") if is_shadow(made.name) else made.name
        before = self._attempt.before.table(name)
        for line in changed_by(before, made) if before else ():
            if line not in (*self._attempt.notes, *self._notes):
                self._do.course.emit(Note(line))
                self._notes.append(line)

    def _detail(self, index: int, place: Place | None) -> str:
        """Return what a resume, or who looks on, needs to know besides the operation
        itself: JSON.
        """
        operation = self._attempt.operations[index]
        detail: dict[str, object] = {
            "facts": self._attempt.facts.to_json(),
            "label": operation.label,
            "of": len(self._attempt.operations),
        }
        if index == 0:
            detail["before"] = to_json(self._attempt.before)
        if isinstance(operation, Run) and operation.fence:
            detail["fence"] = operation.fence
        if isinstance(operation, Copy | Verify):
            detail["carried"] = [*operation.names, operation.rows]
        if is_replaced(self._attempt.operations, index):
            detail["replaced"] = name = operation.names[0]
            found = self._do.executor.permissions.grants_of(name)
            if found is not None:
                self._grants[name] = found
                detail["grants"] = {name: found}
        if place:
            detail |= {"parts": place.parts, "ids": place.ids}
        return json.dumps(detail)

    def _give_back(self, operation: Operation) -> None:
        """Give back what roles were granted on a table that is made anew: it ended with the old
        one.
        """
        if isinstance(operation, Run) and operation.effect.makes_table:
            name = operation.effect.name
            refused = self._do.executor.permissions.give_back(name, self._grants.get(name, ()))
            for note in refused:
                self._do.course.emit(
                    Note(note)
                )  # also of a run that ends before it can say what it did
            self._notes += refused

    def _place(self, index: int) -> Place | None:
        operation: Operation = self._attempt.operations[index]
        if not isinstance(operation, Copy | Verify):
            return None
        source = operation.source.name
        parts = self._grid_of(index) or self._do.copier.parts_for(operation.source)
        asides = (
            op
            for op in self._attempt.operations
            if isinstance(op, Copy) and op.rows is Rows.MISFITS and op.source.name == source
            if (op.fits, op.fit_columns) == (operation.fits, operation.fit_columns)
        )
        aside = next(asides, None) if self._attempt.resumed else None
        also = operation.also if isinstance(operation, Copy) else None
        tables = (*operation.names, also.name) if also else operation.names
        ids = {name: self._ids[name] for name in tables if name in self._ids}
        return Place(self._attempt.id, index, parts, ids, aside, self._events)

    def _grid_of(self, index: int) -> int | None:
        """The number of ranges that the checkpoints of an operation begun by an earlier run count
        in.
        """
        details = [event.details for event in self._past if event.operation == index]
        return next((detail["parts"] for detail in details if "parts" in detail), None)

    # -- begin and end -----------------------------------------------------------------------------

    def _mark(self) -> None:
        """IN_PROGRESS in the history. The journal comes first: a row whose attempt it doesn't know
        is nobody's.
        """
        attempt, history = self._attempt, self._do.history
        match attempt.direction:
            case "up":
                history.begin_up(attempt.migration, attempt.id, self._do.course.clock.now())
            case "down":
                history.begin_down(history.read()[attempt.migration.number], attempt.id)

    def _finish(self) -> None:
        """In the history: the revision is there, or gone."""
        attempt, history = self._attempt, self._do.history
        match attempt.direction:
            case "up":
                history.finish_up(attempt.migration, attempt.id, self._do.course.clock.now())
            case "down":
                history.remove(attempt.migration.number, attempt.id)

    def stopped(self, error: CalldropError) -> None:
        """Says in an error what is applied now; a refused revision of which nothing was is pending
        again.
        """
        attempt, up = self._attempt, self._attempt.direction == "up"
        number, name, done = attempt.migration.number, attempt.migration.name, self._done
        refused, begun = isinstance(error, StatementRefused), self._has_begun()
        if attempt.direction not in ("up", "down"):
            total = len(attempt.operations)
            state = f"{attempt.direction}: {done} of {total} operations are done."
        elif begun:
            state = (
                f"{name} is half-way ({attempt.direction}): {done} of {len(attempt.operations)}"
                " operations are applied."
            )
        elif isinstance(error, LeaseLost):
            state = f"{name} was begun; where it is by now:  {commands.status()}\n   "
        elif self._is_open or isinstance(error, (OutcomeUnknown, Unreachable)):
            state = f"The keyspace is at {at_revision(number - up)}; {name} was begun."
        else:
            what = "was applied" if up else "was taken back"
            state = f"The keyspace is at {at_revision(number - up)}; nothing of {name} {what}."
        if tables := incomplete(attempt.operations, done):
            finish = commands.resume(attempt.direction, number)
            state += f" {', '.join(tables)} is incomplete until it is finished:  {finish}\n   "
        if isinstance(error, LeaseLost) and (grants := self._being_revoked()):
            error.hint += f"\nIf the other run is over, and its writers may not write:\n  {grants};"
        if fenced := self._fenced():
            state += f" Until it is finished or aborted these may not write: {fenced}."
        if isinstance(error, OutcomeUnknown):
            state += " Whether the statement it stopped at was applied is not known yet."
        error.state = f"{state} {error.state}".strip()
        if refused and not error.hint:  # `located` gives a statement of the file one
            error.message = f"the server refused a statement of the tool itself: {error.message}"
            error.hint = "Mend what it names, then run the same command again."
        of_revision = attempt.direction in ("up", "down")
        # What was refused may be the row that tells of a statement, and not the statement.
        sure = not self._is_open and unsettled(self._past, done) is None
        if refused and of_revision and not begun and sure:
            withdraw = self._do.history.remove if up else self._do.history.withdraw_down
            with suppress(CalldropError):  # left as it is, it is half-way with nothing done
                withdraw(number, attempt.id)

    def _has_begun(self) -> bool:
        """Return whether anything was done besides asking."""
        done = self._attempt.operations[: self._done]
        return any(not (isinstance(op, Run) and op.proof is Proof.ASKS) for op in done)

    def _being_revoked(self) -> str:
        """Return what gives back what is being revoked now."""
        now = self._attempt.operations[self._done : self._done + 1]
        return "".join(taken_back(op).text for op in now if isinstance(op, Run) and is_up(op))

    def _fenced(self) -> str:
        """The roles from which MODIFY is revoked now."""
        done = self._attempt.operations[: self._done]
        revoked = [taken_back(op).text for op in done if isinstance(op, Run) and is_up(op)]
        granted = {op.text for op in done}
        return ", ".join(text.rpartition(" TO ")[2] for text in revoked if text not in granted)
