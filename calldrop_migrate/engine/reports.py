"""What the reading commands show: where each revision stands, who holds the lease, what drifted.
Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.drift import drift
from calldrop_migrate.engine.history import History, Record, check_files, read_history
from calldrop_migrate.engine.journal import Event, Journal, has_journal, in_doubt
from calldrop_migrate.engine.keyspace import replication_differences
from calldrop_migrate.engine.lease import LeaseState
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.resuming import still_revoked, without_late
from calldrop_migrate.engine.shadows import TO_RESTORE, lacking
from calldrop_migrate.engine.underway import Underway, underway
from calldrop_migrate.engine.wording import to_go_on
from calldrop_migrate.errors import HistoryError


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One line of `status`.

    Attributes:
        state: applied, pending, half-way, or unknown to the folder.
        direction: of a revision that is half-way.
        underway: the operation of it that was begun and hasn't ended.
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


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a keyspace stands."""

    keyspace: str
    exists: bool
    current: int
    head: int
    revisions: tuple[RevisionState, ...]
    drift: tuple[str, ...]
    lease: LeaseState | None
    log: tuple[Event, ...]

    @property
    def pending(self) -> int:
        """Revisions of the folder that are not applied."""
        return sum(r.state in ("pending", "half-way") for r in self.revisions)

    @property
    def to_go_on(self) -> str:
        """The command that finishes what is half-way; empty when nothing is."""
        half = next((r for r in self.revisions if r.state == "half-way"), None)
        if half is None:
            return ""
        return to_go_on(half.direction, half.number)


def situation(database: Database, migrations: Sequence[Migration], log: Journal) -> Situation:
    """Where the keyspace stands against the folder."""
    schema = database.schema()
    lease = log.read() if has_journal(schema) else None
    events = log.events() if has_journal(schema) else []
    records, _ = without_late(read_history(History(database), schema), events)
    titles = {m.number: m.title for m in migrations}
    titles |= {n: _title(r.name) for n, r in records.items() if n not in titles}
    revisions = tuple(
        _revision(n, titles[n], records.get(n), events, {m.number for m in migrations})
        for n in sorted(titles)
    )
    half = next((r for r in records.values() if not r.applied), None)
    if half is not None and has_journal(schema):
        running = lease is not None and lease.owner is not None and not lease.dead
        now = log.now() if running else None
        its = log.events(half.attempt, detail=True)
        at = underway(database, its, now)
        fenced = ", ".join(text.rpartition(" TO ")[2] for text in still_revoked(its))
        note = f"; until it is finished or aborted these may not write: {fenced}" if fenced else ""
        revisions = tuple(
            replace(r, underway=at, note=r.note + note) if r.number == half.number else r
            for r in revisions
        )
    applied = [r.number for r in records.values() if r.applied]
    recorded, doubtful = lease.recorded if lease else "", _in_doubt(records, events, schema)
    return Situation(
        *(database.keyspace, schema.exists, max(applied, default=0)),
        *(max((m.number for m in migrations), default=0), revisions),
        tuple(drift(schema, recorded, doubtful, applied=len(applied))),
        lease,
        tuple(events),
    )


def _title(file: str) -> str:
    return file.rpartition(".")[0].partition("_")[2].replace("_", " ")


def _revision(
    number: int, title: str, record: Record | None, events: Sequence[Event], known: set[int]
) -> RevisionState:
    if record is None:
        return RevisionState(number, title, "pending")
    of_attempt = [e for e in events if e.attempt == record.attempt]
    if not record.applied:
        done = sum(e.event == "applied" for e in of_attempt)
        way = of_attempt[0].direction if of_attempt else "?"
        failed = next((e.error for e in reversed(of_attempt) if e.error), "") or ""
        note = f"{way}, {done} operation{'s' * (done != 1)} applied" + (
            f"; {failed.splitlines()[0]}" if failed else ""
        )
        return RevisionState(number, title, "half-way", way, record.applied_at, note=note)
    begin = of_attempt[0].at if of_attempt else None
    end = of_attempt[-1] if of_attempt else None
    seconds = (end.at - begin).total_seconds() if end and end.at and begin else None
    note = "" if number in known else "applied by a newer release; not in this folder"
    return RevisionState(
        number, title, "applied", "", record.applied_at, end.who if end else "", seconds, note
    )


def _in_doubt(records: Mapping[int, Record], events: Sequence[Event], live: Schema) -> list[str]:
    """What a statement has changed whose outcome the journal doesn't know yet."""
    half_way = [r.attempt for r in records.values() if not r.applied]
    rows = [event for event in events if event.attempt in half_way]
    return [name for n in {e.operation or 0 for e in rows} for name in in_doubt(rows, n, live)]


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found; no findings is good.

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
        raise log.held(found.lease)  # whatever is found now may be different in a moment
    schema = database.schema()
    half_way = [r for r in found.revisions if r.state == "half-way"]
    findings = [
        (f"{r.number:04d} {r.title} is half-way: {r.note}", f"Finish it:  {found.to_go_on}")
        for r in half_way
    ]
    findings += [(line, _DRIFT) for line in found.drift]
    if has_journal(schema):
        findings += [(line, TO_RESTORE) for line in lacking(log, schema)]
    findings += [(line, _REPLICATION) for line in replication_differences(schema, replication)]
    for record in read_history(History(database), schema).values():
        try:
            check_files({record.number: record}, migrations)
        except HistoryError as error:
            findings.append((error.message, error.hint))
    if not schema.exists:
        findings.append(
            (f"there is no keyspace {database.keyspace}", "Make it:  calldrop-migrate up")
        )
    return Verification(
        *(database.keyspace, found.current, len(schema.owned().tables)),
        tuple(f"{r.number:04d}" for r in found.revisions if r.number > found.head),
        tuple(what for what, _ in findings),
        tuple(dict.fromkeys(remedy for _, remedy in findings)),
    )


_DRIFT = "To put it back, or to take it as it is:  calldrop-migrate repair"
_REPLICATION = (
    "Change the configuration, or the keyspace:  ALTER KEYSPACE ... WITH replication, then nodetool"
    " repair"
)
