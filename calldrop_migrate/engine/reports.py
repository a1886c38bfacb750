"""The reports of the reading commands: where each revision stands, who holds the lease, what
drifted. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from calldrop_migrate import commands
from calldrop_migrate.core import names
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.drift import drift, ways_out
from calldrop_migrate.engine.history import History, Record, check_files, is_another, read_history
from calldrop_migrate.engine.journal import Event, Journal, has_journal, in_doubt
from calldrop_migrate.engine.keyspace import replication_differences
from calldrop_migrate.engine.lease import LeaseState
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.resuming import applied_operations, still_revoked, without_late
from calldrop_migrate.engine.shadows import lacking, story_of, to_restore
from calldrop_migrate.engine.underway import Underway, underway
from calldrop_migrate.errors import CalldropError, HistoryError


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One line of `status`.

    Attributes:
        state: applied, pending, half-way, or unknown to the folder.
        direction: of a revision that is half-way.
        underway: the operation of it that was begun and hasn't ended.
        edited: its file is not as it was when it was applied.
    """

    number: int
    title: str
    state: str
    direction: str = ""
    at: datetime | None = None
    who: str = ""
    seconds: float | None = None
    note: str = ""
    underway: Underway | None = None
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A table with rows of another one: set aside, or the shadow table of a rebuild.

    Attributes:
        revision, direction: in which it was made.
        until: when a shadow table may be dropped; None where the journal doesn't know it.
        back: how rows that were set aside come back.
        delete: the statement that deletes them.
    """

    name: str
    table: str
    revision: int
    direction: str
    what: str
    until: datetime | None = None
    back: str = ""
    delete: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """The situation of a keyspace.

    Attributes:
        asides: tables of rows, or of values of dropped columns, that were set aside.
        shadows: second copies that rebuilds have kept.
        ways_out: the commands that settle the drift.
        others: applied revisions, each with the file of the folder that isn't the one applied.
        fault: why the folder's files could not be read; then nothing is known to be pending.
    """

    keyspace: str
    exists: bool
    current: int
    head: int
    revisions: tuple[RevisionState, ...]
    drift: tuple[str, ...]
    lease: LeaseState | None
    log: tuple[Event, ...]
    asides: tuple[Kept, ...] = ()
    shadows: tuple[Kept, ...] = ()
    others: tuple[str, ...] = ()
    fault: CalldropError | None = None
    ways_out: str = ""

    @property
    def pending(self) -> int:
        """Revisions of the folder that are not applied."""
        return sum(r.state in ("pending", "half-way") for r in self.revisions)

    @property
    def edited(self) -> list[int]:
        """The applied revisions whose file was edited since."""
        return [r.number for r in self.revisions if r.edited]

    @property
    def is_running(self) -> bool:
        """Tells whether a run holds the lease, and hasn't died."""
        return self.lease is not None and self.lease.owner is not None and not self.lease.dead

    @property
    def to_go_on(self) -> str:
        """The command that finishes what is half-way; empty when nothing is, or a run is at it."""
        half = next((r for r in self.revisions if r.state == "half-way"), None)
        if half is None or self.is_running:
            return ""
        return commands.resume(half.direction, half.number)


def situation(
    database: Database, migrations: Sequence[Migration], log: Journal, keep_shadow: float = 7
) -> Situation:
    """Reads where the keyspace stands against the folder.

    Args:
        keep_shadow: days that a shadow table is kept.
    """
    schema = database.schema()
    lease = log.read() if has_journal(schema) else None
    events = log.events() if has_journal(schema) else []
    records, _ = without_late(read_history(History(database), schema), events)
    others = _others(records, migrations)
    known = {} if others else {m.number: m for m in migrations}
    titles = {m.number: m.title for m in known.values()}
    titles |= {n: _title(r.name) for n, r in records.items() if n not in titles}
    revisions = tuple(
        _revision(n, titles[n], records.get(n), events, known) for n in sorted(titles)
    )
    half = next((r for r in records.values() if not r.applied), None)
    if half is not None and has_journal(schema):
        at = _interrupted(database, log, half, lease)
        revisions = tuple(at(r) if r.number == half.number else r for r in revisions)
    applied = [r.number for r in records.values() if r.applied]
    recorded, doubtful = lease.recorded if lease else "", _in_doubt(records, events, schema)
    differs = drift(schema, recorded, doubtful, applied=len(applied))
    return Situation(
        keyspace=database.keyspace,
        exists=schema.exists,
        current=max(applied, default=0),
        head=max((m.number for m in migrations), default=0),
        revisions=revisions,
        drift=tuple(differs),
        ways_out=ways_out(recorded, schema, doubtful) if differs else "",
        lease=lease,
        log=tuple(events),
        asides=tuple(_asides(schema, half.number if half else 0)),
        shadows=tuple(
            _shadows(schema, log, timedelta(days=keep_shadow), half.number if half else 0)
        ),
        others=others,
    )


def _interrupted(
    database: Database, log: Journal, half: Record, lease: LeaseState | None
) -> Callable[[RevisionState], RevisionState]:
    """Makes what is added to the line of a revision that is half-way."""
    running = lease is not None and lease.owner is not None and not lease.dead
    its = log.events(half.attempt, detail=True)
    at = underway(database, its, log.now() if running else None)
    done, of = len(applied_operations(its)), max((e.details.get("of", 0) for e in its), default=0)
    way = its[0].direction if its else "?"
    failed = next((e.error for e in reversed(its) if e.error), "") or ""
    note = f"{way}, {done} of {of} operations applied" if of else f"{way}, nothing applied"
    note += f"; {failed.splitlines()[0]}" if failed and not running else ""
    if fenced := ", ".join(text.rpartition(" TO ")[2] for text in still_revoked(its)):
        note += f"; until it is finished or aborted these may not write: {fenced}"
    return lambda found: replace(found, direction=way, underway=at, note=note)


def _title(file: str) -> str:
    return file.rpartition(".")[0].partition("_")[2].replace("_", " ")


def _others(records: Mapping[int, Record], migrations: Sequence[Migration]) -> tuple[str, ...]:
    """Revisions for which the folder has another file, by name and text, than was applied."""
    files = {m.number: m for m in migrations}
    return tuple(
        f"{record.name} was applied, and {files[n].file} is in the folder"
        for n, record in records.items()
        if n in files and files[n].file != record.name and files[n].checksum != record.checksum
    )


def _revision(
    number: int,
    title: str,
    record: Record | None,
    events: Sequence[Event],
    known: Mapping[int, Migration],
) -> RevisionState:
    if record is None:
        return RevisionState(number, title, "pending")
    if not record.applied:
        return RevisionState(number, title, "half-way", "?", record.applied_at)
    of_attempt = [e for e in events if e.attempt == record.attempt]
    begin, end = (of_attempt[0].at, of_attempt[-1]) if of_attempt else (None, None)
    seconds = (end.at - begin).total_seconds() if end and end.at and begin else None
    file = known.get(number)
    edited = file is not None and is_another(record, file)
    note = "edited since it was applied" if edited else ""
    if file is not None and not edited and file.checksum != record.checksum:
        note = "its way down, or a comment, was edited since it was applied"
    if known and file is None:
        note = "not in this folder"
    return RevisionState(
        number=number,
        title=title,
        state="applied",
        at=record.applied_at,
        who=end.who if end else "",
        seconds=seconds,
        note=note,
        edited=edited,
    )


def _in_doubt(records: Mapping[int, Record], events: Sequence[Event], live: Schema) -> list[str]:
    """Lists what a statement has changed whose outcome the journal doesn't know yet."""
    half_way = [r.attempt for r in records.values() if not r.applied]
    rows = [event for event in events if event.attempt in half_way]
    return [name for n in {e.operation or 0 for e in rows} for name in in_doubt(rows, n, live)]


# -- rows that are kept beside a table -------------------------------------------------------------


def _asides(schema: Schema, half: int) -> Iterator[Kept]:
    """Return the tables set aside. Those of a revision that is half-way are still needed: nobody is
    told to delete them.
    """
    for table in schema.tables:
        if (found := names.aside_of(table.name)) is None:
            continue
        of, revision, direction, cells = found
        other = "down" if direction == "up" else "up"
        yield Kept(
            name=table.name,
            table=of,
            revision=revision,
            direction=direction,
            what="values of dropped columns" if cells else "rows",
            back=f"the next {other} over {revision:04d} brings them back"
            if revision != half
            else f"{revision:04d} is half-way and needs them",
            delete=f"DROP TABLE {quote(schema.keyspace)}.{quote(table.name)};"
            if revision != half
            else "",
        )


def _shadows(schema: Schema, log: Journal, keep: timedelta, half: int) -> Iterator[Kept]:
    """Second copies, but for the one of a revision that is half-way: its line says more."""
    found = [
        table
        for table in schema.tables
        if names.is_shadow(table.name) and names.revision_of(table.name) != half
    ]
    events = log.events(detail=True) if found and has_journal(schema) else []
    for table in found:
        story = story_of(table.name, events)
        yield Kept(
            name=table.name,
            table=story.live if story else table.name.rpartition("__")[0],
            revision=names.revision_of(table.name),
            direction=next(
                (e.direction for e in events if story and e.attempt == story.attempt), ""
            ),
            what="the old rows",
            until=story.ended + keep if story else None,
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """The findings of `verify`; none is good.

    Attributes:
        ahead: revisions that are applied and not in the folder.
        remedies: what to do about the findings.
    """

    keyspace: str
    current: int
    tables: int
    ahead: tuple[str, ...]
    findings: tuple[str, ...]
    remedies: tuple[str, ...]


def verification(
    database: Database,
    migrations: Sequence[Migration],
    log: Journal,
    replication: Mapping[str, str],
) -> Verification:
    """Live schema against the recorded one, files against history, replication against the
    configured one.

    Raises:
        LeaseHeld: somebody is changing them.
    """
    found = situation(database, migrations, log)
    if found.lease and found.lease.owner and not found.lease.dead:
        held = log.held(found.lease)  # whatever is found now may be different in a moment
        held.hint = f"To see how far it is:  {commands.status()}"
        raise held
    schema = database.schema()
    half_way = [r for r in found.revisions if r.state == "half-way"]
    findings = [
        (f"{r.number:04d} {r.title} is half-way: {r.note}", f"Finish it:  {found.to_go_on}")
        for r in half_way
    ]
    findings += [(line, found.ways_out) for line in found.drift]
    if has_journal(schema):
        findings += [(line, to_restore()) for line in lacking(log, schema)]
    findings += [(line, _REPLICATION) for line in replication_differences(schema, replication)]
    for record in read_history(History(database), schema).values():
        try:
            check_files({record.number: record}, migrations)
        except HistoryError as error:
            findings.append((error.message, error.hint))
    if not schema.exists:
        findings.append((f"there is no keyspace {database.keyspace}", f"Make it:  {commands.up()}"))
    return Verification(
        keyspace=database.keyspace,
        current=found.current,
        tables=len(schema.owned().tables),
        ahead=tuple(f"{r.number:04d}" for r in found.revisions if r.number > found.head),
        findings=tuple(what for what, _ in findings),
        remedies=tuple(dict.fromkeys(remedy for _, remedy in findings)),
    )


_REPLICATION = (
    "Change the configuration, or the keyspace:  ALTER KEYSPACE ... WITH replication, then nodetool"
    " repair"
)
