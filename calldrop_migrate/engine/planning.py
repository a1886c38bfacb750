"""From what is there to a plan: reads history, schema and rows, and decides nothing that core could
decide.

A `Review` is what a person is shown before anything runs, and what is made again, from fresh reads,
once the lease is held. `plan` and `--dry-run` end with it. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.fencing import Fence, fences
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.operations import Await, Run, is_replaced
from calldrop_migrate.core.plan import (
    Attempt,
    Direction,
    Facts,
    Plan,
    path,
    steps_of,
    tables_at_stake,
    target_number,
)
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.copying import Copier
from calldrop_migrate.engine.drift import drift, fitting, ways_out
from calldrop_migrate.engine.history import History, Record, check_files, kept, read_history
from calldrop_migrate.engine.journal import Journal, has_journal, unanswered_drops
from calldrop_migrate.engine.keyspace import making, replication_differences
from calldrop_migrate.engine.lease import LeaseState
from calldrop_migrate.engine.permissions import masked_copies
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.resuming import (
    Late,
    Resumed,
    in_the_way,
    resume,
    to_clear,
    without_late,
)
from calldrop_migrate.engine.review import Review, Wishes
from calldrop_migrate.engine.scanning import Scans
from calldrop_migrate.engine.shadows import refuse_lacking
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import (
    DriftError,
    HistoryError,
    StatementRefused,
    Unreachable,
    UsageError,
)

_LATE = "what a run that was stopped wrote into the history comes too late, and is taken back"


class Planner:
    """Makes reviews for one database and one folder of migrations."""

    def __init__(
        self,
        database: Database,
        migrations: Sequence[Migration],
        wishes: Wishes,
        log: Journal,
        copier: Copier,
    ) -> None:
        self._database = database
        self._migrations = {m.number: m for m in migrations}
        self._wishes = wishes
        self._log = log
        self._scans = Scans(copier, wanted=wishes.scan)
        self._history = History(database)
        self._ids: dict[tuple[int, Direction], UUID] = {}
        self._records: Mapping[int, Record] = {}
        self._may_wait = False

    def review(
        self,
        direction: Direction,
        target: str,
        *,
        steps: int | None = None,
    ) -> Review:
        """Return what `direction` to `target` takes from here.

        Raises:
            UsageError, HistoryError, MigrationFileError: it can't be done from here.
        """
        schema = self._database.schema()
        self._records = read_history(self._history, schema)
        check_files(self._records, list(self._migrations.values()))
        lease = self._log.read() if has_journal(schema) else None
        records, late = self._settled(schema)
        under_way = next((r for r in records.values() if not r.applied), None)
        current = len(records) - (under_way is not None)
        goal = self._goal(direction, target, steps, len(records) if steps else current, records)
        resumed = self._resumed(under_way, schema) if under_way else None
        attempts = [resumed.attempt] if resumed else []
        if resumed:
            current = resumed.attempt.lands_at
            if direction == "up" and goal < current:
                raise UsageError(
                    f"revision {resumed.attempt.label} is half-way up, and {at_revision(goal)} is"
                    " below it",
                    state="Nothing was changed.",
                    hint=f"Finish it first:  {commands.up_to(current)}",
                )
        in_doubt = resumed.in_doubt if resumed else ()
        recorded = lease.recorded if lease else ""
        applied = sum(record.applied for record in records.values())
        drifted = drift(schema, recorded, in_doubt, applied=applied)
        if attempts or current != goal:
            its = resumed.attempt.id if resumed and drifted else None
            events = self._log.events(its, detail=True) if its else []
            others = in_the_way(events, schema)
            ways = ways_out(recorded, schema, in_doubt)
            _refuse(schema, drifted, to_clear(others, schema) if others else ways)
            if not resumed and has_journal(schema):
                refuse_lacking(self._log, schema, "Nothing was changed.")
        if not (records or recorded):
            _refuse_unknown(schema, list(self._migrations.values()))
        if records and not schema.exists:
            raise HistoryError(
                f"there is no keyspace {schema.keyspace}, and {self._database.bookkeeping} has its"
                f" history: {len(records)} revisions",
                state="Nothing was changed.",
                hint=f"Was it dropped? To forget that history:  {commands.stamp_base()}",
            )
        at = attempts[0].after if attempts else schema
        ahead = path(current, goal)
        for number, way in ahead:
            attempts.append(self._fresh(number, way, at, schema, lease, attempts))
            at = attempts[-1].after
        keyspace = (
            None
            if schema.exists or direction == "down"
            else making(self._database, self._wishes.replication, self._wishes.tablets)
        )
        counts = [self._scans.of(attempt, schema) for attempt in attempts]
        attempts = [_with_notes(a, c.losses) for a, c in zip(attempts, counts, strict=True)]
        plan = Plan(keyspace, tuple(attempts), current, goal)
        return Review(
            plan,
            schema,
            records,
            misfits=tuple(found for count in counts for found in count.misfits),
            uncounted=tuple(table for count in counts for table in count.uncounted),
            losses={a.id: c.apart for a, c in zip(attempts, counts, strict=True)},
            unread=tuple(table for count in counts for table in count.unread),
            estimates=tuple(found for count in counts for found in count.estimates),
            unreadable=self.unreadable(plan),
            masked=masked_copies(self._database, attempts, schema),
            warnings=(
                *self._ahead(records),
                *self._grants(plan, schema),
                *self._replication_warning(schema),
                *(f"not as recorded: {line}" for line in drifted),
            ),
            chores=tuple(f"{record.number:04d}: {_LATE}" for record, _ in late),
        )

    def late(self, schema: Schema) -> list[Late]:
        """Rows, as `review` read them, that came late."""
        return self._settled(schema)[1]

    def _settled(self, schema: Schema) -> tuple[dict[int, Record], list[Late]]:
        under_way = any(not record.applied for record in self._records.values())
        known = under_way and has_journal(schema)
        return without_late(self._records, self._log.events() if known else ())

    def direction_to(self, target: str) -> Direction:
        """Return whether a target lies above or below where the keyspace is."""
        schema = self._database.schema()
        self._records = read_history(self._history, schema)
        records, _ = self._settled(schema)
        current = sum(r.applied for r in records.values())
        goal = target_number(target, current, sorted({*self._migrations, *records}))
        return "down" if goal < current else "up"

    def again(self, attempt: Attempt, schema: Schema, made: frozenset[str]) -> Attempt:
        """An attempt that was planned from what earlier ones would leave, planned from what they
        did leave.

        Nobody else changes history or schema meanwhile, so of these nothing is read again; rows
        are.

        Args:
            made: tables that this run created.

        Raises:
            MisfitRows, RowsAtRisk: what `Review.refuse` raises.
        """
        number = attempt.migration.number
        way: Direction = "up" if attempt.direction == "up" else "down"
        fresh = self._fresh(number, way, schema, schema, None, (), made)
        counted = self._scans.of(fresh, schema)
        plan = Plan(None, (fresh,), number, number)
        masked = masked_copies(self._database, [fresh], schema)
        Review(plan, schema, {}, counted.misfits, masked=masked).refuse()
        return _with_notes(fresh, counted.losses)

    def _goal(
        self,
        direction: Direction,
        target: str,
        steps: int | None,
        current: int,
        records: Mapping[int, Record],
    ) -> int:
        head = max(self._migrations, default=0)
        if direction == "up" and target == "head" and current > head:
            return current  # the history is ahead of this folder
        if steps is not None:
            goal = current - steps
            if steps < 1 or goal < 0:
                raise UsageError(
                    f"--steps {steps}: the keyspace is at {at_revision(current)}, {current}"
                    f" step{'s' * (current != 1)} above base",
                    state="Nothing was changed.",
                    hint=f"Where it is:  {commands.status()}",
                )
        else:
            goal = target_number(target, current, sorted({*self._migrations, *records}))
        if (direction == "up") == (goal < current) and goal != current:
            other = commands.down_to if direction == "up" else commands.up_to
            raise UsageError(
                f"the keyspace is at {at_revision(current)}; {at_revision(goal)} is"
                f" {'below' if goal < current else 'above'} that",
                state="Nothing was changed.",
                hint=f"To go there:  {other(goal)}",
            )
        return goal

    def _ahead(self, records: Mapping[int, Record]) -> list[str]:
        newer = [f"{n:04d}" for n in records if n not in self._migrations]
        if not newer:
            return []
        text = f"the history is ahead of this folder: {', '.join(newer)} applied by a newer release"
        if self._wishes.strict:
            raise HistoryError(
                text, state="Nothing was changed.", hint="Use the newer release's folder."
            )
        return [text]

    # -- attempts ----------------------------------------------------------------------------------

    def _migration(self, number: int) -> Migration:
        """A revision from its file, or, when that is missing, as it was applied."""
        return self._migrations.get(number) or kept(self._records[number])

    def _told(self, attempt: Attempt) -> Attempt:
        """An attempt that says where its revision comes from, if it isn't the folder."""
        if attempt.migration.number in self._migrations:
            return attempt
        note = f"{attempt.migration.name} from the history: its file is not in this folder"
        return replace(attempt, notes=(note, *attempt.notes))

    def _fresh(
        self,
        number: int,
        way: Direction,
        at: Schema,
        live: Schema,
        lease: LeaseState | None,
        earlier: Sequence[Attempt],
        made: frozenset[str] = frozenset(),
    ) -> Attempt:
        """A revision planned from `at`, to which the `earlier` attempts lead from `live`."""
        migration = self._migration(number)
        attempt_id = self._ids.setdefault((number, way), uuid4())
        filled_then, created = _after(earlier)
        stake = tables_at_stake(migration, way, at)
        found = {t: table for t in stake if t not in created and (table := live.table(t))}
        filled = {t for t, table in found.items() if self._database.has_rows(table)}
        filled |= {t for t in stake if t in created and t in filled_then}
        facts = Facts(
            filled=frozenset(filled),
            elder=self._elder([t for t in found if t not in made], live, lease),
            set_aside=self._wishes.set_aside,
            discard=self._wishes.discard,
            outage_accepted=self._wishes.outage_accepted,
            keep_shadow=self._wishes.keep_shadow,
            element_times=self._database.platform.element_times,
            fences=self._fences([t for t in stake if t in filled], migration, way),
            spent=self._spent(live) if filled or self._wishes.set_aside else frozenset(),
            server="ScyllaDB" if self._database.platform.scylla else "Cassandra",
        )
        return self._told(expand(migration, way, attempt_id, at, facts))

    def _spent(self, live: Schema) -> frozenset[str]:
        return unanswered_drops(self._log.events() if has_journal(live) else ())

    def _fences(
        self, tables: Sequence[str], migration: Migration, way: Direction
    ) -> tuple[Fence, ...]:
        """Return what would keep writers from tables, if that is wished for."""
        if not self._wishes.fence or not tables:
            return ()
        settings = self._database.server(()).settings
        access, trusted = self._database.access(), self._wishes.trusted
        steps, keyspace = steps_of(migration, way), self._database.keyspace
        return fences(tables, steps, access, keyspace, settings, trusted)

    def _elder(
        self, tables: Sequence[str], live: Schema, lease: LeaseState | None
    ) -> frozenset[str]:
        """Return those of the tables that an earlier run made; one that was stopped before its end
        is this one.
        """
        if not tables or not has_journal(live):
            return frozenset(tables)
        ours = {f"CREATE TABLE {quote(t)}": t for t in tables}
        since = ((lease or self._log.read()).finished) or 0
        events = [event for event in self._log.events() if event.epoch > since]
        begun = {ours.get((e.statement or "").split("(")[0].strip()) for e in events}
        return frozenset(tables) - begun

    def _resumed(self, record: Record, live: Schema) -> Resumed:
        migration = self._migration(record.number)
        events = self._log.events(record.attempt) if has_journal(live) else []
        up = any(event.direction == "up" for event in events)
        if up and record.number not in self._migrations:
            raise HistoryError(
                f"revision {migration.name} {migration.title} is half-way up, and its file is not"
                " in this folder",
                state=f"{migration.name} is half-way.",
                hint=(
                    "Finish it with the newer release's folder:  --migrations DIR\n"
                    f"or take back what was begun of it:  {commands.abort()}"
                ),
            )
        found = resume(self._database, self._log, record, migration, self._wishes, live)
        return replace(found, attempt=self._told(found.attempt))

    # -- what else is told ------------------------------------------------------------------------

    def _grants(self, plan: Plan, schema: Schema) -> list[str]:
        """Return what roles were granted on tables that are made anew."""
        told = []
        replaced = (
            op.names[0]
            for attempt in plan.attempts
            for index, op in enumerate(attempt.operations)
            if index >= attempt.done and is_replaced(attempt.operations, index)
        )
        for name in dict.fromkeys(name for name in replaced if schema.table(name)):
            try:
                found = self._database.grants(name)
            except (StatementRefused, Unreachable) as error:
                told.append(
                    f"what roles were granted on {name} alone ends with it, and what that is can't"
                    f" be read: {error.message}\n    {error.hint}"
                )
                continue
            if found:
                of_role = {role: [w for w, r in found if r == role] for _, role in found}
                shown = "; ".join(f"{', '.join(all_)} to {role}" for role, all_ in of_role.items())
                told.append(f"granted on {name} alone, and again on the new one: {shown}")
        return told

    def unreadable(self, plan: Plan) -> StatementRefused | None:
        """Return what keeps this role from seeing when a view is built: asked before anything
        changes.
        """
        ahead = (op for a in plan.attempts for op in a.operations[a.done :])
        view = next((op.view for op in ahead if isinstance(op, Await)), None)
        if view is not None and not self._may_wait:
            try:
                self._database.unbuilt(view)
                self._may_wait = True
            except StatementRefused as refused:
                return refused
        return None

    # -- keyspace ----------------------------------------------------------------------------------

    def _replication_warning(self, schema: Schema) -> list[str]:
        return [
            f"{line}; a migration doesn't change it: ALTER KEYSPACE, then nodetool repair"
            for line in replication_differences(schema, self._wishes.replication)
        ]


def _with_notes(attempt: Attempt, notes: Sequence[str]) -> Attempt:
    return replace(attempt, notes=(*attempt.notes, *notes))


def _refuse_unknown(schema: Schema, migrations: Sequence[Migration]) -> None:
    """Tables that nobody knows the history of may be what revisions would make."""
    if tables := [table.name for table in schema.owned().tables]:
        shown = ", ".join(tables[:5]) + (", ..." if len(tables) > 5 else "")
        raise HistoryError(
            f"{schema.keyspace} has tables, and no history of them: {shown}",
            state="Nothing was changed.",
            hint="\n".join(
                f"It has the schema of {n:04d}. To record that:  {commands.stamp_at(n)}"
                if n
                else f"If these tables are not from revisions:  {commands.stamp_base()}"
                for n in fitting(migrations, schema)
            )
            or f"How it differs from the last revision:  {commands.diff_live('head')}",
        )


def _refuse(schema: Schema, drifted: Sequence[str], hint: str) -> None:
    if drifted:
        lines = "".join(f"\n    {line}" for line in drifted)
        raise DriftError(
            f"the schema of {schema.keyspace} is not as it was recorded:{lines}",
            state="Nothing was changed.",
            hint=hint,
        )


def _after(attempts: Sequence[Attempt]) -> tuple[set[str], set[str]]:
    """Tables that have rows once these attempts have run, and those that they create."""
    filled: set[str] = set()
    created: set[str] = set()
    for attempt in attempts:
        made = {
            op.effect.name
            for op in attempt.operations
            if isinstance(op, Run) and op.effect.verb == "create"
        }
        created |= made
        filled = filled - made | attempt.filled
    return filled, created
