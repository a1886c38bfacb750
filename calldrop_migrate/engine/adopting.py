"""Takes over the history of cassandra-migrate: each of its rows gives way to one of ours.

Its rows have random ids, which exclude nobody; ours have the id that every runner of ours would
choose. So a row can't just be amended. For each revision, in order: a row in the journal, which
also records the schema; our row, by a conditional INSERT; and only then the end of theirs, by a
conditional DELETE. A run that is killed leaves both rows or one of them, never none, and the next
one goes on from what it finds.

What cassandra-migrate left unclear (FAILED, IN_PROGRESS, two rows of one version) is not guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from calldrop_migrate import commands
from calldrop_migrate.core.cql import literal, quote
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.foreign import Foreign
from calldrop_migrate.core.plan import Plan
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine import history
from calldrop_migrate.engine.drift import not_as_declared
from calldrop_migrate.engine.history import APPLIED, History, Record
from calldrop_migrate.engine.journal import Event, Journal
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.review import Review
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import HistoryError


@dataclass(frozen=True, slots=True)
class Project:
    """A project of cassandra-migrate: its migrations by version, and the name of its table."""

    migrations: Sequence[Foreign]
    table: str


class Adoption:
    """Takes one project over; `migrations` are its files as ours."""

    def __init__(
        self,
        database: Database,
        log: Journal,
        records: History,
        project: Project,
        migrations: Sequence[Migration],
    ) -> None:
        self._database = database
        self._log = log
        self._history = records
        self._project = project
        self._migrations = migrations

    def review(self) -> Review:
        """Return what is to be done, as chores.

        Raises:
            HistoryError: what its rows say is unclear, or isn't what its files say.
        """
        schema = self._database.schema()
        ours, theirs = self._rows(schema)
        self._refuse(ours, theirs)
        current = max([0, *ours, *(row.number for row in theirs)])
        chores = [f"{row.name}: its row becomes one of {self._file(row)}" for row in theirs]
        if _lacks_attempt(schema):
            chores.insert(0, f"{history.TABLE} gets a column more, `attempt`")
        differences = not_as_declared(self._migrations, current, schema) if theirs else []
        warnings = [f"not as {at_revision(current)} makes it: {line}" for line in differences]
        plan = Plan(None, (), current, current)
        return Review(plan, schema, ours, warnings=tuple(warnings), chores=tuple(chores))

    def carry_out(self, review: Review) -> None:
        """Does it, under the lease."""
        schema = review.schema
        if _lacks_attempt(schema):
            table = f"{quote(schema.keyspace)}.{history.TABLE}"
            self._database.ddl(f"ALTER TABLE {table} ADD attempt uuid")
            schema = self._database.schema()
        ours, theirs = self._rows(schema)
        recorded = json.dumps(schema.comparable())
        # The last one first: as long as one before it is missing, no other command goes on.
        for row in reversed(theirs):
            begun = ours.get(row.number)
            if begun is None or self._is_unfinished(begun):
                attempt = (begun and begun.attempt) or uuid4()  # of a run that was killed
                self._log.append(Event("adopted", attempt, row.number, "up"), recorded)
                migration, now = self._migrations[row.number - 1], self._log.now()
                if begun is None:
                    self._history.begin_up(migration, attempt, now)
                else:
                    self._history.take_over(row.number, attempt, now)
                self._log.append(None)  # the lease, before anything can be believed
                self._history.adopt(migration, attempt, row)
            if self._project.table == history.TABLE:
                self._history.supersede(row)

    def _file(self, row: Record) -> str:
        return self._project.migrations[row.number - 1].file

    def _is_unfinished(self, record: Record) -> bool:
        """Return whether it is a row whose taking over was killed, and nothing else is at work on
        it.
        """
        events = [] if record.applied else self._log.events(record.attempt)
        return bool(events) and all(event.event == "adopted" for event in events)

    def _rows(self, schema: Schema) -> tuple[dict[int, Record], list[Record]]:
        """Our rows, and theirs in order that have still to give way."""
        found = self._history.all_rows() if schema.table(history.TABLE) else []
        ours = {row.number: row for row in found if row.id == self._history.id_of(row.number)}
        theirs = [row for row in found if row not in ours.values()]
        if self._project.table != history.TABLE:
            # A table of another name is left as it is: none of its rows is in our way.
            there = schema.table(self._project.table) is not None
            found = self._history.all_rows(self._project.table) if there else []
            theirs = [
                row
                for row in found
                if (mine := ours.get(row.number)) is None or self._is_unfinished(mine)
            ]
        return ours, sorted(theirs, key=lambda row: row.number)

    # -- what is unclear ---------------------------------------------------------------------------

    def _refuse(self, ours: dict[int, Record], theirs: Sequence[Record]) -> None:
        faults = [*self._unclear(theirs), *self._unlike_files(ours, theirs)]
        if faults:
            table = f"{self._database.keyspace}.{self._project.table}"
            raise HistoryError(
                f"{table} can't be taken over as it is:"
                + "".join(f"\n    {what}" for what, _ in faults),
                state="Nothing was changed.",
                hint="\n".join(dict.fromkeys(hint for _, hint in faults))
                + f"\nThen again:  {commands.adopt()}",
            )

    def _unclear(self, theirs: Sequence[Record]) -> list[tuple[str, str]]:
        """Rows that don't say what is there, and what a person can do about each."""
        table = f"{quote(self._database.keyspace)}.{quote(self._project.table)}"
        rows = Counter(row.number for row in theirs)
        faults = []
        for row in theirs:
            state = f"IF state = {literal(row.state)}"
            delete = f"DELETE FROM {table} WHERE id = {row.id} {state};"
            update = f"UPDATE {table} SET state = 'SUCCEEDED' WHERE id = {row.id} {state};"
            ways = (
                f"See what of {row.name} is there, in cqlsh, and undo it or finish it by hand."
                f" If it is undone:\n    {delete}\nif it is finished:\n    {update}"
            )
            said = f"version {row.number}, {row.name}"
            if row.state == "FAILED":
                what = f"{said}, FAILED: a part of it ran; which part, nobody recorded"
                faults.append((what, ways))
            elif row.state not in APPLIED:
                what = f"{said}, {row.state}: a run is at work, or was killed in the middle"
                faults.append(
                    (what, f"If a cassandra-migrate is at work, wait for it. Else: {ways}")
                )
            elif rows[row.number] > 1:
                at = f"{row.applied_at:%Y-%m-%d %H:%M:%SZ}" if row.applied_at else "?"
                what = f"{said}, {row.state} at {at} by a row of its own: two runs both ran it"
                hint = "Where one version has two rows, see what is there, and leave one of them:"
                faults.append((what, f"{hint}\n    {delete}"))
        return faults

    def _unlike_files(
        self, ours: dict[int, Record], theirs: Sequence[Record]
    ) -> list[tuple[str, str]]:
        """Return what makes cassandra-migrate itself refuse: rows that its files don't match."""
        files = {migration.version: migration for migration in self._project.migrations}
        numbers = {*ours, *(row.number for row in theirs)}
        faults = [
            (f"version {n} has no row, and later ones have", _LOOK)
            for n in range(1, max(numbers, default=0))
            if n not in numbers
        ]
        for row in theirs:
            file, said = files.get(row.number), f"version {row.number}, {row.name}"
            if file is None or file.name != row.name:
                there = f"; the files have {file.name} in that place" if file else ""
                faults.append((f"{said}: its file is missing{there}", _put_back(row)))
            elif file.checksum != row.checksum:
                faults.append((f"{said}: the file changed after it was applied", _put_back(row)))
        return faults


_LOOK = "Look at the rows:  SELECT id, version, name, state FROM that table;"


def _put_back(row: Record) -> str:
    return f"Put {row.name} back as it was: the column content, in the row of id {row.id}, has it."


def _lacks_attempt(schema: Schema) -> bool:
    table = schema.table(history.TABLE)
    return table is not None and table.column("attempt") is None
