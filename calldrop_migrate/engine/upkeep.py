"""The plans of what is done besides up and down: abort, clean, repair. Reads only; the runner runs
them like every other plan.

All of it is read from the journal, not from files: what ran is law, whatever the folder is by now.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from calldrop_migrate import commands
from calldrop_migrate.core import names
from calldrop_migrate.core.carrying import can_misfit, left_behind, shared_columns
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.operations import Copy, Operation, Proof, Run, Verify, run
from calldrop_migrate.core.plan import Attempt, Facts, Plan, Purpose
from calldrop_migrate.core.restoring import restore
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.drift import concerned
from calldrop_migrate.engine.history import History, Record, read_history
from calldrop_migrate.engine.journal import Event, Journal, has_journal, in_doubt, unsettled
from calldrop_migrate.engine.permissions import masked_copies, masked_of
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.resuming import (
    applied_operations,
    arrived,
    began_at,
    being_taken_back,
    operation_of,
    stranded,
    way_back,
    without_late,
)
from calldrop_migrate.engine.review import Review
from calldrop_migrate.engine.shadows import (
    bereft,
    story_of,
    successors,
    unlike,
)
from calldrop_migrate.errors import HistoryError, RowsAtRisk, UsageError


@dataclass(frozen=True, slots=True)
class HalfWay:
    """A revision that is under way: its row in the history, its direction, and a statement in
    doubt.
    """

    record: Record
    direction: str
    in_doubt: Event | None


class Upkeep:
    """Makes these plans for one database."""

    def __init__(self, database: Database, log: Journal) -> None:
        self._database = database
        self._log = log

    # -- abort -------------------------------------------------------------------------------------

    def half_way(self, schema: Schema) -> HalfWay:
        """The revision that is under way.

        Raises:
            UsageError: none is.
        """
        records = read_history(History(self._database), schema)
        journal = self._log.events() if has_journal(schema) else []
        settled, _ = without_late(records, journal)
        record = next((r for r in settled.values() if not r.applied), None)
        if record is None or record.attempt is None:
            raise UsageError(
                f"nothing is half-way in {schema.keyspace}",
                hint=f"What there is:  {commands.status()}",
            )
        events = [event for event in journal if event.attempt == record.attempt]
        done = len(applied_operations(events))
        way = events[0].direction if events else "up"
        return HalfWay(record, way, unsettled(events, done))

    def abort(self, *, discard: bool, keep_shadow: float) -> Review:
        """Return what takes back the revision that is under way.

        Args:
            discard: a table that it made may be dropped with rows that are nowhere else.
            keep_shadow: days; with 0 nothing is kept for the sake of what arrives late.

        Raises:
            UsageError: none is.
            HistoryError: there is no way back any more, or the journal doesn't know it.
            RowsAtRisk: a table that it made has rows by now.
        """
        schema = self._database.schema()
        half = self.half_way(schema)
        events = self._log.events(half.record.attempt, detail=True) if has_journal(schema) else []
        before = began_at(events)
        if before is None:
            raise HistoryError(
                f"the journal doesn't know how revision {half.record.name} began",
                state="Nothing was changed.",
                hint=f"To record the revision that the keyspace is at:  {commands.stamp()}",
            )
        sent = half.in_doubt
        operations, blocked = way_back(events, sent, before, schema)
        forwards = commands.resume(half.direction, half.record.number)
        hint = f"Only forwards:  {forwards}"
        waits = keep_shadow and not arrived(sent, schema) and not being_taken_back(events)
        doubtful = operation_of(sent) if sent and waits else None
        if isinstance(doubtful, Run) and doubtful.effect.destroys:
            # What holds a copy of it would be dropped, and then it could arrive.
            blocked.append(f"{doubtful.label} was sent, perhaps, and may still arrive")
            hint += (
                "\nor, if it can't any more (all nodes were restarted since, or it is long ago):\n"
                f"  {commands.abort_at_once()}"
            )
        if blocked:
            if gone := stranded(events, schema):
                hint = (
                    f"Nor forwards: {', '.join(gone)} is gone, and with it what was not back yet."
                    " Is there a backup?\nBring the tables to a revision's shape by hand:\n"
                    f"  {commands.show_schema(half.record.number)}\n"
                    f"then have it recorded:\n  {commands.stamp()}"
                )
            raise HistoryError(
                f"{half.record.name} can't be taken back any more: {'; '.join(blocked)}",
                state="Nothing was changed.",
                hint=hint,
            )
        at_risk = [op for op in operations if self._has_only_copy(op, schema)]
        if discard:
            operations = [
                replace(op, proof=Proof.DISCARD) if isinstance(op, Run) and op in at_risk else op
                for op in operations
            ]
        elif at_risk:
            tables = "".join(f"\n    {op.names[0]}" for op in at_risk)
            raise RowsAtRisk(
                f"{half.record.name} made tables that have rows which may be nowhere else:{tables}",
                state="Nothing was changed.",
                hint=(
                    f"To finish it:       {forwards}\n"
                    f"To delete the rows: {commands.abort_discarding()}"
                ),
            )
        title = f"what was begun of it ({half.direction})"
        number = half.record.number
        lands_at = number - (half.direction == "up")
        review = _review(schema, lands_at, [_Planned("abort", number, title, operations)])
        return replace(review, chores=(f"{number:04d} is as it was before",))

    def _has_only_copy(self, operation: Operation, schema: Schema) -> bool:
        """Return whether a DROP would take rows with it that aren't known to be elsewhere."""
        if not isinstance(operation, Run):
            return False
        if operation.proof is Proof.COPY:
            now = {table.name: table.id for table in schema.tables}
            return any(now.get(name) != table_id for name, table_id in operation.originals)
        table = schema.table(operation.effect.name)
        return (
            operation.proof is Proof.EMPTY and table is not None and self._database.has_rows(table)
        )

    # -- clean -------------------------------------------------------------------------------------

    def clean(self, schema: Schema, now: datetime, keep: timedelta, *, discard: bool) -> Review:
        """Return what drops the second copies that rebuilds have kept for long enough.

        A copy may go when the table that took its place is still that very table and holds all of
        it, or was rebuilt since into what is still there. Rows deleted since can't be told from
        lost ones: then a person decides.
        """
        shadows = [t for t in schema.tables if names.is_shadow(t.name) and not t.base]
        events = self._log.events(detail=True) if shadows and has_journal(schema) else []
        records = self._records(schema).values()
        under_way = {r.attempt for r in records if not r.applied}
        # Who says that they aren't missed means all of them, however old.
        missed = {copy.name for copy, _ in bereft(self._log, schema)} if events else set()
        plans: list[_Planned] = []
        kept: list[str] = []
        stories = [(story_of(shadow.name, events), shadow) for shadow in shadows]
        # The oldest first: it may go while a later one has the rows.
        for story, shadow in sorted(stories, key=lambda one: one[0].ended if one[0] else now):
            if story is None and not under_way and not self._database.has_rows(shadow):
                # Made by a run that was stopped, when that was aborted already.
                drop = _drop(shadow, schema, Proof.EMPTY)
                plans.append(_clean(shadow, names.revision_of(shadow.name), drop))
            elif story is None:
                kept.append(f"{shadow.name} stays: the journal doesn't know it")
            elif story.attempt in under_way:
                kept.append(f"{shadow.name} stays: its revision is half-way")
            elif story.ended + keep > now and not (discard and shadow.name in missed):
                until = f"{story.ended + keep:%Y-%m-%d %H:%M}"
                kept.append(f"{shadow.name} stays until {until} UTC (--keep-shadow)")
            elif discard:
                drop = _drop(shadow, schema, Proof.DISCARD)
                plans.append(_clean(shadow, story.revision, drop))
            elif holders := successors(shadow, story, events, under_way, schema):
                drop = _drop(shadow, schema, Proof.COPY, holders)
                plans.append(_clean(shadow, story.revision, drop))
            elif why := unlike(shadow, schema.table(story.live), story, events):
                kept.append(f"{shadow.name} stays: {why}; --discard-rows drops it all the same")
            else:
                live = schema.table(story.live)
                assert live is not None
                if masked := masked_of((shadow, live), self._database):
                    kept.append(f"{shadow.name} stays: {masked.message}")
                    continue
                columns = shared_columns(shadow, live)
                proof = Verify(shadow, live, columns, final=True, mends=False)
                drop = [proof, *_drop(shadow, schema, Proof.VERIFIED)]
                plans.append(_clean(shadow, story.revision, drop))
        return _review(schema, sum(r.applied for r in records), plans, warnings=kept)

    def _records(self, schema: Schema) -> Mapping[int, Record]:
        return read_history(History(self._database), schema)

    # -- repair ------------------------------------------------------------------------------------

    def restore(self) -> Review:
        """Return what brings the schema back to what is recorded, as far as that destroys nothing.

        Raises:
            UsageError: nothing is recorded.
        """
        schema = self._database.schema()
        recorded = self._log.read().recorded if has_journal(schema) else ""
        if not recorded:
            raise UsageError(
                f"nothing is recorded of {schema.keyspace}, so nothing can be brought back",
                hint=f"To record it as it is:  {commands.accept()}",
            )
        operations, told = restore(json.loads(recorded), schema)
        records = self._records(schema)
        # What a run that is half-way may have dropped itself is its own to go on with.
        half = next((r for r in records.values() if not r.applied), None)
        rows = self._log.events(half.attempt) if half else []
        its = set(in_doubt(rows, len(applied_operations(rows)), schema))
        going_on = [f"{name}: the run that is half-way goes on with it" for name in sorted(its)]
        told += going_on
        operations = [op for op in operations if not its & set(concerned(op))]
        told = [line for line in told if line.partition(":")[0] not in its or line in going_on]
        operations = self._with_rows(operations, told, schema)
        number = sum(r.applied for r in records.values())
        plans = [_Planned("repair", number, "as recorded", operations)] if operations else []
        review = _review(schema, number, plans, warnings=told)
        return replace(review, masked=masked_copies(self._database, review.plan.attempts, schema))

    def _with_rows(
        self, operations: Sequence[Operation], told: list[str], schema: Schema
    ) -> list[Operation]:
        """A table that was dropped, and that somebody may have made again, gets its rows back where
        a rebuild kept a copy.
        """
        made = {
            op.effect.name: op.effect.table
            for op in operations
            if isinstance(op, Run) and op.effect.verb == "create" and op.effect.table
        }
        found = list(operations)
        for shadow, name in bereft(self._log, schema):
            table = made.get(name) or schema.table(name)
            has_not = _no_way_into(shadow, table) if table else ""
            if table is None or has_not:
                why = f" and {name} has {has_not}" if has_not else ""
                told.append(f"{shadow.name} has rows of {name}{why}: they stay there")
                continue
            columns = shared_columns(shadow, table)
            at = next((i + 1 for i, op in enumerate(found) if op.names == (name,)), len(found))
            copied = Copy(shadow, table, columns), Verify(shadow, table, columns)
            found[at:at] = copied
            told.append(f"{table.name}: gets back the rows that {shadow.name} has")
        return found


def _drop(
    shadow: Table, schema: Schema, proof: Proof, originals: Sequence[Table] = ()
) -> list[Operation]:
    """The DROP of a shadow, behind that of a view which a run has left on it."""
    drop = run(f"DROP TABLE {quote(shadow.name)}", proof)
    left = [run(f"DROP MATERIALIZED VIEW {quote(v.name)}") for v in schema.views_on(shadow.name)]
    return [*left, replace(drop, originals=tuple((t.name, t.id) for t in originals))]


def _clean(shadow: Table, number: int, operations: Sequence[Operation]) -> _Planned:
    return _Planned("clean", number, shadow.name, operations)


def _no_way_into(table: Table, other: Table) -> str:
    """Return what another one has or hasn't, so that the rows can't go there; empty if they can."""
    columns = shared_columns(table, other)
    if left := set(left_behind(table, columns)) - {names.MARKER}:
        return f"no {', '.join(sorted(left))}"
    keyed = set(other.key) <= {name for name, _ in columns}
    return "" if keyed and not can_misfit(table, other, columns) else "another key"


@dataclass(frozen=True, slots=True)
class _Planned:
    purpose: Purpose
    number: int
    title: str
    operations: Sequence[Operation]


def _review(
    schema: Schema, current: int, plans: Sequence[_Planned], warnings: Sequence[str] = ()
) -> Review:
    attempts = [
        Attempt(
            *(uuid4(), Migration.bare(p.number, p.title), p.purpose, tuple(p.operations)),
            *(schema, schema, Facts()),
        )
        for p in plans
    ]
    plan = Plan(None, tuple(attempts), current, current)
    return Review(plan, schema, {}, warnings=tuple(warnings))
