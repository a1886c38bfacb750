"""From what is there to a plan: reads history, schema and rows, and decides nothing that core could
decide.

A `Review` is what a person is shown before anything runs, and what is made again, from fresh reads,
once the lease is held. `plan` and `--dry-run` end with it. Nothing here writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from calldrop_migrate.core.carrying import can_misfit
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.operations import Copy, Run, hash_of
from calldrop_migrate.core.plan import (
    Attempt,
    Direction,
    Facts,
    Plan,
    path,
    tables_at_stake,
    target_number,
)
from calldrop_migrate.core.schema import Schema, from_json
from calldrop_migrate.engine.copying import Copier, Misfits
from calldrop_migrate.engine.history import History, Record, check_files, read_history
from calldrop_migrate.engine.journal import Event, Journal, has_journal
from calldrop_migrate.engine.keyspace import create_keyspace, replication_differences
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.review import Review, Size, Wishes
from calldrop_migrate.errors import (
    HistoryError,
    Irreversible,
    UsageError,
)

NewAttempt = Callable[[int, Direction], UUID]


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
        self._copier = copier
        self._history = History(database)
        self._ids: dict[tuple[int, Direction], UUID] = {}

    def review(
        self,
        direction: Direction,
        target: str,
        *,
        steps: int | None = None,
        known: Schema | None = None,
        made: frozenset[str] = frozenset(),
    ) -> Review:
        """What `direction` to `target` takes from here; `made` are tables that this run created."""
        schema = known or self._database.schema()
        records = read_history(self._history, schema)
        check_files(records, list(self._migrations.values()))
        under_way = next((r for r in records.values() if not r.applied), None)
        current = len(records) - (under_way is not None)
        goal = self._goal(direction, target, steps, current, records)
        attempts: list[Attempt] = []
        if under_way:
            attempt = self._resumed(under_way)
            attempts.append(attempt)
            current = under_way.number if attempt.direction == "up" else under_way.number - 1
            if direction == "up" and goal < current:
                raise UsageError(
                    f"revision {attempt.label} is half-way up, and {goal:04d} is below it",
                    state="Nothing was changed.",
                    hint=f"Finish it first:  calldrop-migrate up {current}",
                )
        warnings = [*self._ahead(records), *self._replication_warning(schema)]
        misfits: list[Misfits] = []
        uncounted: list[str] = []
        at = attempts[0].after if attempts else schema
        for number, way in path(current, goal):
            attempt = self._fresh(number, way, at, made, schema, attempts)
            found, skipped = self._count_misfits(attempt, schema)
            misfits += found
            uncounted += skipped
            attempts.append(attempt)
            at = attempt.after
        keyspace = (
            None
            if schema.exists or direction == "down"
            else create_keyspace(self._database, self._wishes.replication)
        )
        plan = Plan(keyspace, tuple(attempts), current, goal)
        return Review(
            *(plan, schema, records, tuple(misfits), tuple(uncounted), self._sizes(plan, schema)),
            tuple(warnings),
        )

    def direction_to(self, target: str) -> Direction:
        """Whether a target lies above or below where the keyspace is."""
        records = read_history(self._history, self._database.schema())
        current = sum(r.applied for r in records.values())
        goal = target_number(target, current, sorted({*self._migrations, *records}))
        return "down" if goal < current else "up"

    def again(self, attempt: Attempt, schema: Schema, made: frozenset[str]) -> Attempt:
        """An attempt that was planned from what earlier ones would leave, planned from what they
        did leave.

        Nobody else changes history or schema meanwhile, so of these nothing is read again; rows
        are.

        Raises:
            MisfitRows, RowsAtRisk: what `Review.refuse` raises.
        """
        number, way = attempt.migration.number, attempt.direction
        fresh = self._fresh(number, way, schema, made, schema, ())
        misfits, _ = self._count_misfits(fresh, schema)
        Review(Plan(None, (fresh,), number, number), schema, {}, tuple(misfits)).refuse()
        return fresh

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
                    f"--steps {steps}: the keyspace is at {current:04d}, {current} steps above"
                    " base",
                    state="Nothing was changed.",
                    hint="calldrop-migrate status",
                )
        else:
            goal = target_number(target, current, sorted({*self._migrations, *records}))
        if (direction == "up") == (goal < current) and goal != current:
            other = "down" if direction == "up" else "up"
            raise UsageError(
                f"the keyspace is at {current:04d}; {goal:04d} is"
                f" {'below' if goal < current else 'above'} that",
                state="Nothing was changed.",
                hint=f"calldrop-migrate {other} {goal}",
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
        if number not in self._migrations:
            raise HistoryError(
                f"revision {number:04d} is applied, and its file is not in the folder",
                state="Nothing was changed.",
                hint=(
                    f"Put the file back; what was applied:  calldrop-migrate show {number}"
                    " --applied"
                ),
            )
        return self._migrations[number]

    def _fresh(
        self,
        number: int,
        way: Direction,
        at: Schema,
        made: frozenset[str],
        live: Schema,
        earlier: Sequence[Attempt],
    ) -> Attempt:
        migration = self._migration(number)
        if way == "down" and migration.irreversible:
            raise Irreversible(
                f"{migration.file} says that it can't be taken back: {migration.irreversible}",
                state="Nothing was changed.",
            )
        attempt_id = self._ids.setdefault((number, way), uuid4())
        planned = {
            op.effect.name
            for attempt in earlier
            for op in attempt.operations
            if isinstance(op, Run) and op.effect.verb == "create"
        }
        stake = {
            name: table
            for name in tables_at_stake(migration, way, at)
            if (table := live.table(name))
        }
        still_filled = {t for a in earlier for t in a.facts.filled}
        filled = {
            t
            for t, table in stake.items()
            if (t in still_filled if t in planned else self._database.has_rows(table))
        }
        facts = Facts(
            filled=frozenset(filled),
            elder=self._elder([t for t in stake if t not in made and t not in planned], live),
            set_aside=self._wishes.set_aside,
            discard=self._wishes.discard,
            outage_accepted=self._wishes.outage_accepted,
            keep_shadow=self._wishes.keep_shadow,
        )
        return expand(migration, way, attempt_id, at, facts)

    def _elder(self, tables: Sequence[str], live: Schema) -> frozenset[str]:
        """Those of the tables that an earlier run made; one that was stopped before its end is this
        one.
        """
        if not tables or not has_journal(live):
            return frozenset(tables)
        ours = {f"CREATE TABLE {quote(t)}": t for t in tables}
        begun = {
            ours.get((e.statement or "").split("(")[0].strip()) for e in self._log.unfinished()
        }
        return frozenset(tables) - begun

    def _resumed(self, record: Record) -> Attempt:
        """The attempt that holds a revision IN_PROGRESS, as it was expanded when it began."""
        events = self._log.events(record.attempt, detail=True)
        begin = events[0] if events else None
        if begin is None or begin.detail is None:
            raise HistoryError(
                f"revision {record.name} is IN_PROGRESS by attempt {record.attempt}, which the"
                " journal doesn't know",
                state="Nothing was changed.",
                hint="Another tool is at work, or was killed:  calldrop-migrate status --log",
            )
        detail = json.loads(begin.detail)
        attempt = expand(
            self._migration(record.number),
            "up" if begin.direction == "up" else "down",
            begin.attempt,
            from_json(detail["before"]),
            Facts.from_json(detail["facts"]),
        )
        done = applied_operations(events)
        _same_prefix(attempt, done)
        return replace(attempt, resumed=True, done=len(done), at_risk=(), outages=())

    # -- rows --------------------------------------------------------------------------------------

    def _count_misfits(self, attempt: Attempt, live: Schema) -> tuple[list[Misfits], list[str]]:
        """The misfits of copies whose table has that shape already; else what can't be counted."""
        found: dict[str, Misfits] = {}
        uncounted: set[str] = set()
        for op in attempt.operations:
            if not isinstance(op, Copy) or op.fits is None or op.source.name in found:
                continue
            if not can_misfit(op.source, op.fits, op.fit_columns):
                continue
            now = live.table(op.source.name)
            if not self._wishes.scan or now is None or not op.source.same_rows_as(now):
                uncounted.add(op.source.name)
            else:
                parts = self._copier.parts_for(now.name)
                found[now.name] = self._copier.misfits(now, op.fits, op.fit_columns, parts)
        return list(found.values()), sorted(uncounted)

    def _sizes(self, plan: Plan, schema: Schema) -> tuple[Size, ...]:
        tables = {t for a in plan.attempts for t in a.facts.filled if schema.table(t)}
        return tuple(Size(t, *self._database.estimate(t)) for t in sorted(tables))

    # -- keyspace ----------------------------------------------------------------------------------

    def _replication_warning(self, schema: Schema) -> list[str]:
        return [
            f"{line}; a migration doesn't change it: ALTER KEYSPACE, then nodetool repair"
            for line in replication_differences(schema, self._wishes.replication)
        ]


def applied_operations(events: Sequence[Event]) -> list[Event]:
    """The `applied` rows of an attempt, one per operation, in order."""
    done: list[Event] = []
    for event in events:
        if event.event == "applied" and event.operation == len(done):
            done.append(event)
    return done


def _same_prefix(attempt: Attempt, done: Sequence[Event]) -> None:
    for event, operation in zip(done, attempt.operations, strict=False):
        if event.hash != hash_of(operation):
            raise HistoryError(
                f"{attempt.migration.file} changed in a part that has already run: operation "
                f"{(event.operation or 0) + 1} was\n    {event.statement}",
                state=f"{attempt.migration.name} is half-way ({attempt.direction}).",
                hint="Put that part of the file back as it was; what has not run yet may change.",
            )
    if len(done) > len(attempt.operations):
        raise HistoryError(
            f"{attempt.migration.file} lost operations that have already run",
            state=f"{attempt.migration.name} is half-way ({attempt.direction}).",
            hint="Put the file back as it was.",
        )
