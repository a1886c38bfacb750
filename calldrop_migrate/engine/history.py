"""The history: the table `database_migrations`, and nothing else touches it.

The layout is cassandra-migrate's, with the column `attempt` added: its `status` reads our work. A
row is a state machine moved by conditional updates alone, never by a plain write
(docs/protocol.md 2 has the schedule that a plain DELETE loses):

    up      (none) -> IN_PROGRESS -> SUCCEEDED
    down    SUCCEEDED -> IN_PROGRESS -> (none)

IN_PROGRESS is there before the first statement runs, so a cassandra-migrate beside us stops by
itself.

A transition also names the `applied_at` that it found. Who goes on with an attempt, or takes it
back, first gives its row another one (`take_over`): what the attempt's earlier runner still has on
its way matches nothing from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.files import Migration, parse
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.core.secrets import is_hidden, shown_file
from calldrop_migrate.engine.ports import Database, Row
from calldrop_migrate.engine.settling import TRIES, repeated
from calldrop_migrate.errors import (
    HistoryError,
    MigrationFileError,
    OutcomeUnknown,
    Unreachable,
)

TABLE = "database_migrations"
NAMESPACE = UUID("6f2b6ac4-1f0b-5c39-9b43-3a9a4f1f2d10")
APPLIED = ("SUCCEEDED", "SKIPPED")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def create_table(keyspace: str) -> str:
    """CQL of the table."""
    return f"""CREATE TABLE IF NOT EXISTS {quote(keyspace)}.{TABLE} (
    id uuid PRIMARY KEY,
    version int,
    name text,
    content text,
    checksum blob,
    state text,
    applied_at timestamp,
    attempt uuid
)"""


@dataclass(frozen=True, slots=True)
class Record:
    """One row: a revision that is applied, or on its way up or down."""

    number: int
    name: str
    state: str
    checksum: bytes
    applied_at: datetime | None
    attempt: UUID | None
    content: str
    id: UUID

    @property
    def applied(self) -> bool:
        """Return whether the revision is applied and nothing is going on with it."""
        return self.state in APPLIED


# Where a row stands: state, attempt, applied_at.
_Place = tuple[str, UUID | None, datetime | None]


class History:
    """The rows of one keyspace."""

    def __init__(
        self, database: Database, sleep: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._database = database
        self._sleep = sleep
        self._table = f"{quote(database.bookkeeping)}.{TABLE}"
        self._shared = database.bookkeeping != database.keyspace
        self._marks: dict[int, datetime | None] = {}  # applied_at of rows as this runner left them

    def id_of(self, number: int) -> UUID:
        """The id of a revision's row: the same from every runner, so that its CAS can exclude
        another's.
        """
        return uuid5(NAMESPACE, f"{self._database.keyspace} {number}")

    def read(self) -> dict[int, Record]:
        """All rows by number. In a shared table a row is a keyspace's own by its id.

        A read at the session's level sees every state that a runner was told it reached; one whose
        reply is still out has begun nothing yet, and is settled by the CAS of whoever comes next.

        Raises:
            HistoryError: a row that another tool wrote, or a revision missing below another.
        """
        found = self._database.query(f"SELECT * FROM {self._table}")
        records: dict[int, Record] = {}
        for record in sorted(map(_record, found), key=lambda r: r.number):
            if record.id != self.id_of(record.number):
                if self._shared:
                    continue
                raise _broken(
                    f"{TABLE} has a row for revision {record.number} ({record.name},"
                    f" {record.state}) that another tool wrote"
                )
            records[record.number] = record
        # A row that says IN_PROGRESS may have come late (resuming.py): the planner looks at it.
        settled = [(n, r) for n, r in enumerate(records.values(), 1) if r.state != "IN_PROGRESS"]
        gaps = [n for n, record in settled if n != record.number]
        if gaps:
            raise _broken(f"{TABLE} has no row for revision {gaps[0]:04d}, but for later ones")
        return records

    def all_rows(self, table: str = TABLE) -> list[Record]:
        """Every row of the table, or of another tool's in the migrated keyspace."""
        foreign = f"{quote(self._database.keyspace)}.{quote(table)}"
        return list(
            map(
                _record,
                self._database.query(f"SELECT * FROM {self._table if table == TABLE else foreign}"),
            )
        )

    def begin_up(self, migration: Migration, attempt: UUID, now: datetime) -> None:
        """(none) -> IN_PROGRESS."""
        self._move(
            f"INSERT INTO {self._table} (id, version, name, content, checksum, state, "
            "applied_at, attempt) VALUES (?, ?, ?, ?, ?, 'IN_PROGRESS', ?, ?) IF NOT EXISTS",
            [
                *(self.id_of(migration.number), migration.number, migration.file),
                *(shown_file(migration.text), migration.checksum, now, attempt),
            ],
            migration.number,
            ("IN_PROGRESS", attempt, now),
        )

    def take_over(self, number: int, attempt: UUID, now: datetime) -> None:
        """IN_PROGRESS stays so, and is this runner's from here on.

        Raises:
            OutcomeUnknown: it isn't any more: what its earlier runner had on its way has arrived.
        """
        # Not `read`, which refuses what another tool wrote and `adopt` is about to take over.
        found = self._place(self.id_of(number))
        was = found[2] if found else None
        if was is not None and _instant(was) == _instant(now):
            now += timedelta(milliseconds=1)
        self._move(
            f"UPDATE {self._table} SET applied_at = ? "
            "WHERE id = ? IF state = 'IN_PROGRESS' AND attempt = ? AND applied_at = ?",
            [now, self.id_of(number), attempt, was],
            number,
            ("IN_PROGRESS", attempt, now),
        )

    def finish_up(self, migration: Migration, attempt: UUID, now: datetime) -> None:
        """IN_PROGRESS -> SUCCEEDED, with the file as it is now: a refused statement may have been
        mended since.
        """
        self._move(
            f"UPDATE {self._table} SET state = 'SUCCEEDED', applied_at = ?, name = ?, content = ?, "
            "checksum = ? WHERE id = ? IF state = 'IN_PROGRESS' AND attempt = ? AND applied_at = ?",
            [
                *(now, migration.file, shown_file(migration.text), migration.checksum),
                *(self.id_of(migration.number), attempt, self._marks.get(migration.number)),
            ],
            migration.number,
            ("SUCCEEDED", attempt, now),
        )

    def adopt(self, migration: Migration, attempt: UUID, theirs: Record) -> None:
        """IN_PROGRESS -> what another tool's row says, which is still there."""
        self._move(
            f"UPDATE {self._table} SET state = ?, applied_at = ? "
            "WHERE id = ? IF state = 'IN_PROGRESS' AND attempt = ? AND applied_at = ?",
            [
                *(theirs.state, theirs.applied_at, self.id_of(migration.number), attempt),
                self._marks.get(migration.number),
            ],
            migration.number,
            (theirs.state, attempt, theirs.applied_at),
        )

    def supersede(self, theirs: Record) -> None:
        """Another tool's row -> (none), once there is one of ours."""
        self._move(
            f"DELETE FROM {self._table} WHERE id = ? IF state = ?",
            [theirs.id, theirs.state],
            theirs.number,
            None,
            theirs.id,
        )

    def accept(self, record: Record, migration: Migration) -> None:
        """The file as it is now for the one that was applied; the state stays."""
        self._move(
            f"UPDATE {self._table} SET name = ?, content = ?, checksum = ? "
            "WHERE id = ? IF state = ? AND attempt = ?",
            [
                *(migration.file, shown_file(migration.text), migration.checksum),
                *(record.id, record.state, record.attempt),
            ],
            record.number,
            (record.state, record.attempt, record.applied_at),
        )

    def begin_down(self, record: Record, attempt: UUID) -> None:
        """SUCCEEDED -> IN_PROGRESS, of another attempt."""
        self._move(
            f"UPDATE {self._table} SET state = 'IN_PROGRESS', attempt = ? "
            "WHERE id = ? IF state = ? AND attempt = ?",
            [attempt, record.id, record.state, record.attempt],
            record.number,
            ("IN_PROGRESS", attempt, record.applied_at),
        )

    def withdraw_down(self, number: int, attempt: UUID) -> None:
        """IN_PROGRESS -> SUCCEEDED of a way down of which nothing was done."""
        self._move(
            f"UPDATE {self._table} SET state = 'SUCCEEDED' "
            "WHERE id = ? IF state = 'IN_PROGRESS' AND attempt = ? AND applied_at = ?",
            [self.id_of(number), attempt, self._marks.get(number)],
            number,
            ("SUCCEEDED", attempt, self._marks.get(number)),
        )

    def remove(self, number: int, attempt: UUID) -> None:
        """IN_PROGRESS -> (none): the way down is done, or nothing of the way up was."""
        self._move(
            f"DELETE FROM {self._table} "
            "WHERE id = ? IF state = 'IN_PROGRESS' AND attempt = ? AND applied_at = ?",
            [self.id_of(number), attempt, self._marks.get(number)],
            number,
            None,
        )

    def _move(
        self,
        cql: str,
        values: Sequence[object],
        number: int,
        wanted: _Place | None,
        id: UUID | None = None,
    ) -> None:
        """One transition, of our row of a revision or of the one with that id; a reply that didn't
        come is settled by reading at SERIAL, then it is tried again.
        """
        aim, row = _comparable(wanted), id or self.id_of(number)
        for _ in range(TRIES):
            try:
                answered = True
                moved = self._database.compare_and_set(cql, values)
            except OutcomeUnknown:
                answered = moved = False
            if moved or _comparable(self._place(row)) == aim:
                if id is None:
                    self._marks[number] = wanted[2] if wanted else None
                return
            if answered:
                break
        found = self._place(row)
        raise OutcomeUnknown(
            f"the row of revision {number:04d} in {TABLE} is"
            f" {f'{found[0]} by attempt {found[1]}' if found else 'gone'}, not as this run left it",
            state="What an earlier run sent has arrived only now, or another tool is at work.",
            hint="Run the same command again: it goes on from what is there.",
        )

    def _place(self, row: UUID) -> _Place | None:
        def read() -> list[Row]:
            return self._database.query(
                f"SELECT state, attempt, applied_at FROM {self._table} WHERE id = ?",
                [row],
                consistency="SERIAL",
            )

        rows = repeated(read, Unreachable, self._sleep)
        return (rows[0]["state"], rows[0]["attempt"], rows[0]["applied_at"]) if rows else None


def _comparable(place: _Place | None) -> tuple[str, UUID | None, int | None] | None:
    if place is None:
        return None
    state, attempt, at = place
    return state, attempt, None if at is None else _instant(at)


def _instant(at: datetime) -> int:
    """Milliseconds since 1970, as the server keeps a timestamp; it comes back without a zone."""
    return (at.replace(tzinfo=at.tzinfo or UTC) - _EPOCH) // timedelta(milliseconds=1)


def read_history(records: History, schema: Schema) -> dict[int, Record]:
    """The history; empty where its table is not there yet.

    Raises:
        HistoryError: the table is another tool's.
    """
    table = schema.table(TABLE)
    if table is None:
        return {}
    if table.column("attempt") is None:
        raise HistoryError(
            f"{schema.keyspace}.{TABLE} was made by cassandra-migrate",
            state="Nothing was changed.",
            hint=f"To take it over, with its files:  {commands.adopt()}",
        )
    return records.read()


def _record(row: Row) -> Record:
    return Record(
        number=row["version"] or 0,
        name=row["name"] or "",
        state=row["state"],
        checksum=bytes(row["checksum"] or b""),
        applied_at=row["applied_at"],
        attempt=row.get("attempt"),
        content=row["content"] or "",
        id=row["id"],
    )


def _broken(message: str) -> HistoryError:
    return HistoryError(
        message,
        state="Nothing was changed.",
        hint=(
            "Look at the rows:  SELECT id, version, name, state, attempt FROM database_migrations\n"
            f"To take over what cassandra-migrate wrote:  {commands.adopt()}"
        ),
    )


def kept(record: Record) -> Migration:
    """An applied revision from the text that the history keeps, for its way down when its file is
    missing. Python is never run from there.

    Raises:
        HistoryError: the text isn't one that may be run.
    """
    why = ""
    if not record.name.lower().endswith(".cql"):
        why = "a program that the database keeps is never run"
    elif hashlib.sha256(record.content.encode()).digest() != record.checksum:
        if is_hidden(record.content):
            why = f"{TABLE} keeps its text without the passwords, so it can't be run from there"
        else:
            why = f"the text of it in {TABLE} is not the one that was applied: its checksum differs"
    else:
        try:
            migration = parse(record.name, record.content.encode())
        except MigrationFileError as error:
            why = f"this release can't read the text of it in {TABLE}: {error.message}"
        else:
            if migration.number == record.number:
                return migration
            why = f"the text of it in {TABLE} is of {record.name}"
    raise HistoryError(
        f"revision {record.number:04d} was applied from {record.name}, which is not in the folder,"
        f" and {why}",
        state="Nothing was changed.",
        hint=f"Put the file back; what was applied:  {commands.show_applied(record.number)}",
    )


def check_files(records: Mapping[int, Record], migrations: Sequence[Migration]) -> None:
    """See that every applied revision's file has the statements that were applied.

    Comments, and the way down, which is run from the file, may be mended.

    Raises:
        HistoryError: a file changed, or its row isn't of this tool.
    """
    by_number = {m.number: m for m in migrations}
    for record in records.values():
        migration = by_number.get(record.number)
        if record.attempt is None or record.state not in (*APPLIED, "IN_PROGRESS"):
            raise _broken(
                f"revision {record.number:04d} is {record.state} in {TABLE}, which another tool"
                " wrote"
            )
        # A file under way may still be mended: what has run of it is compared hash by hash instead.
        if migration and record.applied and is_another(record, migration):
            then, now = (one.checksum.hex()[:12] for one in (record, migration))
            changed = f"{migration.file} changed after it was applied ({then} then, {now} now)"
            hint = put_back(migration)
            if migration.file != record.name:
                changed = f"{migration.file} is not {record.name}, which was applied"
                hint = f"Is this the right folder? To use another one:  --migrations DIR\n{hint}"
            raise HistoryError(
                changed,
                state="The database has it as it was then; nothing was changed.",
                hint=hint,
            )


def put_back(migration: Migration) -> str:
    """Return what to do with a file that isn't as it was applied."""
    return (
        f"Put the file back; what was applied:  {commands.show_applied(migration.number)}\n"
        f"For the change write a new revision:  {commands.new(f'change {migration.title}')}"
    )


def is_another(record: Record, migration: Migration) -> bool:
    """Return whether a file is not the one that was applied: by another name with another text, or
    with other statements on the way up.
    """
    if migration.checksum == record.checksum:
        return False
    then = _on_the_way_up(migration.file, record.content)
    now = _on_the_way_up(migration.file, shown_file(migration.text))
    return migration.file != record.name or then is None or then != now


def ran_otherwise(record: Record, migration: Migration) -> bool:
    """Return whether it is known that a file has other statements on the way up than were applied:
    not of a text that an earlier release has read, and this one doesn't.
    """
    then = _on_the_way_up(migration.file, record.content)
    return then is not None and then != _on_the_way_up(migration.file, shown_file(migration.text))


def _on_the_way_up(file: str, text: str) -> list[tuple[object, ...]] | None:
    """Return what a text does on the way up; None where it can't be read."""
    try:
        steps = parse(file, text.encode()).up
    except MigrationFileError:
        return None
    found: list[tuple[object, ...]] = []
    for step in steps:
        how = (step.rebuild.into, step.rebuild.drop, step.rebuild.assign) if step.rebuild else ()
        found.append(([token.text for token in step.statement.tokens], how))
    return found
