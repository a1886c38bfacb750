"""The jobs that run under the lease: up and down, and what keeps a keyspace in order besides.

A job makes its plan twice, to be shown and again under the lease. What of it are operations the
runner runs like any other; what touches the bookkeeping alone (`Review.chores` says it) is `begin`
and `end`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from calldrop_migrate import commands
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.plan import Direction, Plan, target_number
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.adopting import Adoption, Project
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.drift import drift, fitting, is_left_by, not_as_declared
from calldrop_migrate.engine.executing import Executor
from calldrop_migrate.engine.history import (
    History,
    Record,
    put_back,
    ran_otherwise,
    read_history,
)
from calldrop_migrate.engine.journal import Event, Journal, has_journal
from calldrop_migrate.engine.planning import Planner
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.resuming import (
    being_taken_back,
    in_the_way,
    still_revoked,
    stranded,
    to_clear,
)
from calldrop_migrate.engine.review import Review, Wishes
from calldrop_migrate.engine.upkeep import Upkeep
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import DriftError, HistoryError


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be run.

    Attributes:
        plan: makes the plan; called to show it, and again under the lease.
        begin, end: before and behind its operations.
        revisions: its attempts pass revisions, each planned again from what the ones before left.
    """

    plan: Callable[[], Review]
    begin: Callable[[], None] = lambda: None
    end: Callable[[Review], None] = lambda review: None
    revisions: bool = False


class Jobs:
    """Makes jobs for one database and one folder.

    Attributes:
        planner: of revisions.
    """

    def __init__(
        self,
        database: Database,
        migrations: Sequence[Migration],
        wishes: Wishes,
        log: Journal,
        history: History,
        copier: Copier,
        executor: Executor,
    ) -> None:
        self._database = database
        self._migrations = migrations
        self._wishes = wishes
        self._log = log
        self._history = history
        self._executor = executor
        self.planner = Planner(database, migrations, wishes, log, copier)
        self._upkeep = Upkeep(database, log)

    def migrate(self, direction: Direction, target: str, steps: int | None = None) -> Job:
        """Up or down to a target."""

        found: list[str] = []  # what +N or --steps came to when it was shown

        def plan() -> Review:
            if found:
                return self.planner.review(direction, found[0])
            review = self.planner.review(direction, target, steps=steps)
            if steps is not None or target.startswith(("+", "-")):
                found.append(str(review.plan.target or "base"))
            return review

        return Job(plan, self._take_back_late, revisions=True)

    def _take_back_late(self) -> None:
        """Take back what is left in the history of an attempt that another one has overtaken."""
        for record, way in self.planner.late(self._executor.schema):
            self._take_back(record, way)

    def _take_back(self, record: Record, way: str) -> None:
        """A row that says IN_PROGRESS, of an attempt of which nothing is there (any more)."""
        assert record.attempt is not None
        self._history.take_over(record.number, record.attempt, self._log.now())
        back = self._history.remove if way == "up" else self._history.withdraw_down
        back(record.number, record.attempt)

    # -- abort, clean ------------------------------------------------------------------------------

    def abort(self, *, discard: bool) -> Job:
        """Takes back what is half-way, as long as nothing of it has destroyed anything."""

        def begin() -> None:
            half = self._upkeep.half_way(self._executor.schema)
            if half.in_doubt is not None:
                # As the plan saw them, which counts what had arrived by then as applied.
                planned = self._executor.schema
                doubtful = json.loads(half.in_doubt.digest or "{}")
                seen = {name: planned.digest_of(name) for name in doubtful}
                self._executor.see_unchanged(seen)
            record = half.record
            assert record.attempt is not None
            self._history.take_over(record.number, record.attempt, self._log.now())
            # From here on it can only be taken back: its shadow may be gone already.
            self._log.append(Event("aborting", record.attempt, record.number, half.direction))

        def end(review: Review) -> None:
            half = self._upkeep.half_way(self._executor.schema)
            self._take_back(half.record, half.direction)

        keep = self._wishes.keep_shadow
        return Job(lambda: self._upkeep.abort(discard=discard, keep_shadow=keep), begin, end)

    def clean(self, schema: Schema | None = None, *, discard: bool) -> Job:
        """Drops the second copies that rebuilds have kept for long enough."""
        keep = timedelta(days=self._wishes.keep_shadow)

        def plan() -> Review:
            live = schema or self._database.schema()
            return self._upkeep.clean(live, self._log.now(), keep, discard=discard)

        return Job(plan)

    # -- repair ------------------------------------------------------------------------------------

    def restore(self) -> Job:
        """Brings the schema back to what is recorded."""
        return Job(self._upkeep.restore)

    def accept(self) -> Job:
        """Takes the schema and the files for what is recorded, as they are now."""

        def plan() -> Review:
            schema = self._database.schema()
            recorded = self._log.read().recorded if has_journal(schema) else ""
            records = read_history(self._history, schema)
            current = sum(record.applied for record in records.values())
            found = drift(schema, recorded, applied=current)
            half = next((record for record in records.values() if not record.applied), None)
            its = half.attempt if half and has_journal(schema) else None
            events = self._log.events(its, detail=True) if its else []
            if others := in_the_way(events, schema):
                raise DriftError(
                    f"{', '.join(others)} can't be taken as it is: a rebuild is half-way",
                    state="Nothing was changed.",
                    hint=to_clear(others, schema),
                )
            chores = [f"recorded: {line}" for line in found]
            changed = self._changed(schema)
            if other := next((m for m, r in changed if ran_otherwise(r, m)), None):
                raise HistoryError(
                    f"{other.file}: its statements are not those that were applied; only comments,"
                    " and the way down, can be recorded as they are now",
                    state="Nothing was changed.",
                    hint=put_back(other),
                )
            chores += [f"{m.file}: recorded as it is now" for m, _ in changed]
            plan = Plan(None, (), current, current)
            return Review(plan, schema, records, chores=tuple(chores))

        def end(review: Review) -> None:
            for migration, record in self._changed(review.schema):
                self._history.accept(record, migration)
            number = review.plan.current
            self._note("accepted", number, "up", review.schema)

        return Job(plan, end=end)

    def _changed(self, schema: Schema) -> list[tuple[Migration, Record]]:
        """The files that are not as they were when they were applied."""
        records = read_history(self._history, schema)
        found = [(m, records[m.number]) for m in self._migrations if m.number in records]
        return [(m, r) for m, r in found if r.applied and r.checksum != m.checksum]

    # -- stamp -------------------------------------------------------------------------------------

    def stamp(self, target: str) -> Job:
        """Says that the keyspace is at a revision, without running anything; without a target, at
        the one whose schema it has.
        """

        def plan() -> Review:
            schema = self._database.schema()
            records = read_history(self._history, schema)
            forgotten = self._forgotten(records, schema)
            records = {n: r for n, r in records.items() if n not in forgotten}
            if half := next((r for r in records.values() if not r.applied), None):
                raise HistoryError(
                    f"revision {half.name} is half-way",
                    hint=f"To see how to finish it:  {commands.status()}",
                )
            known = sorted({m.number for m in self._migrations})
            goal = target_number(target, len(records), known) if target else self._fitting(schema)
            newer = [f"{n:04d}" for n in records if n not in known and n > goal]
            if newer:
                raise HistoryError(
                    f"the history is ahead of this folder: {', '.join(newer)} applied by a newer"
                    " release, and whether that is there can't be seen from here",
                    state="Nothing was changed.",
                    hint="Use the newer release's folder.",
                )
            found = not_as_declared(self._migrations, goal, schema)
            if found and not is_left_by(self._migrations, goal, schema):
                lines = "".join(f"\n    {line}" for line in found)
                raise DriftError(
                    f"{schema.keyspace} is not as {at_revision(goal)} makes it:{lines}",
                    hint=self._how_to_stamp(fitting(self._migrations, schema), goal),
                )
            chores = [f"{n:04d}: what was begun of it is forgotten" for n in forgotten]
            chores += [
                f"{n:04d} counts as applied" for n in known if n <= goal and n not in records
            ]
            chores += [f"{n:04d} counts as not applied" for n in reversed(records) if n > goal]
            if not (has_journal(schema) and self._log.read().recorded):
                chores.append("the schema is recorded as it is")
            lost = [
                f"granted by nobody any more:  {text};"
                for record in forgotten.values()
                if has_journal(schema)
                for text in still_revoked(self._log.events(record.attempt, detail=True))
            ]
            return Review(
                Plan(None, (), len(records), goal),
                *(schema, records),
                warnings=tuple(lost),
                chores=tuple(chores),
            )

        def end(review: Review) -> None:
            found = read_history(self._history, review.schema)
            for record in self._forgotten(found, review.schema).values():
                self._take_back(record, "up")
            for number in range(review.plan.current + 1, review.plan.target + 1):
                migration = self._migrations[number - 1]
                attempt = self._note("stamped", number, "up", review.schema)
                # In two steps, between which the lease is looked at: a row that comes late is known
                # by its IN_PROGRESS (`without_late`).
                self._history.begin_up(migration, attempt, self._log.now())
                self._log.append(None)
                self._history.finish_up(migration, attempt, self._log.now())
            for number in range(review.plan.current, review.plan.target, -1):
                attempt = self._note("stamped", number, "down", review.schema)
                self._history.begin_down(review.records[number], attempt)
                self._log.append(None)
                self._history.remove(number, attempt)
            if review.plan.current == review.plan.target:
                self._note("stamped", review.plan.target, "up", review.schema)

        return Job(plan, end=end)

    def _fitting(self, schema: Schema) -> int:
        """The revision whose schema the keyspace has.

        Raises:
            DriftError: none has it, or several.
        """
        found = fitting(self._migrations, schema)
        if len(found) == 1:
            return found[0]
        fits = ", ".join(map(at_revision, sorted(found))) or "no revision"
        raise DriftError(
            f"{schema.keyspace} has the schema of {fits}",
            state="Nothing was changed.",
            hint=self._how_to_stamp(found, len(self._migrations)),
        )

    @staticmethod
    def _how_to_stamp(fits: Sequence[int], other: int) -> str:
        if fits:
            return f"To record that it is at {at_revision(fits[0])}:  {commands.stamp_at(fits[0])}"
        return f"How it differs from {at_revision(other)}:  {commands.diff_live(other)}"

    def _forgotten(self, records: Mapping[int, Record], schema: Schema) -> dict[int, Record]:
        """Rows that say IN_PROGRESS by an attempt that nobody can go on with: no journal knows an
        operation of it (it was lost, or a `stamp` was killed), an `abort` of it was begun, or its
        second copy is gone.
        """
        half = {n: r for n, r in records.items() if not r.applied and r.attempt is not None}
        if not (half and has_journal(schema)):
            return half
        forgotten = {}
        for number, record in half.items():
            events = self._log.events(record.attempt, detail=True)
            known = any(event.event == "before" for event in events)
            if not known or being_taken_back(events) or stranded(events, schema):
                forgotten[number] = record
        return forgotten

    def _note(self, event: str, number: int, direction: Direction, schema: Schema) -> UUID:
        """A row of the journal that also records the schema; gives the attempt that it is of."""
        attempt = uuid4()
        recorded = json.dumps(schema.comparable())
        self._log.append(Event(event, attempt, number, direction), recorded)
        return attempt

    # -- adopt -------------------------------------------------------------------------------------

    def adopt(self, project: Project) -> Job:
        """Takes over what cassandra-migrate has recorded; the files are its own, as ours."""
        adoption = Adoption(*(self._database, self._log, self._history, project, self._migrations))
        return Job(adoption.review, end=adoption.carry_out)
