"""The lease (who may change the schema now) and the journal (what ran): one table, one partition
per keyspace.

They share a partition so that they can share a conditional write: each row appended to the journal
renews the lease in the same CAS, and is refused when the lease is no longer ours. A runner that
lost it can't begin an operation, and every operation starts with a full lease. The static columns
owner, holder and since carry a TTL; a crashed holder's lease ends by itself.

The lease is trusted until (monotonic clock when its renewal was *sent*) + 5/6 of the TTL. What it
can't stop is one statement that was in flight when its sender stopped: hence the settle time before
the first destroying statement after a lease that was never released (docs/protocol.md 3).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.effects import happened
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.operations import run
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.lease import Clock, Holder, LeaseState, Timing
from calldrop_migrate.engine.ports import ABSENT, Database, Row
from calldrop_migrate.engine.settling import repeated
from calldrop_migrate.errors import (
    LeaseHeld,
    LeaseLost,
    OutcomeUnknown,
    StatementRefused,
    Unreachable,
)

TABLE = "migration_journal"
_POLL = 0.5  # seconds between two looks at a lease that is held


def create_table(keyspace: str) -> str:
    """CQL of the table; the newest rows come first."""
    return f"""CREATE TABLE IF NOT EXISTS {quote(keyspace)}.{TABLE} (
    keyspace_name text,
    epoch bigint,
    seq int,
    owner uuid static,
    holder text static,
    since timestamp static,
    lease_epoch bigint static,
    released_epoch bigint static,
    finished_epoch bigint static,
    recorded text static,
    event text,
    attempt uuid,
    revision int,
    direction text,
    operation int,
    statement text,
    hash text,
    digest text,
    detail text,
    who text,
    at timestamp,
    duration_ms int,
    error text,
    PRIMARY KEY (keyspace_name, epoch, seq)
) WITH CLUSTERING ORDER BY (epoch DESC, seq DESC)"""


_COLUMNS = (
    *("event", "attempt", "revision", "direction", "operation", "statement", "hash", "digest"),
    *("detail", "at", "duration_ms", "error"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the journal. `event`: before, then applied, refused or unknown.

    Attributes:
        digest: JSON: the objects that a statement names, with digests of what they are when the row
            is written.
        detail: JSON: of a "before" what a resume needs; an attempt's first one has what its
            expansion depends on.
    """

    event: str
    attempt: UUID
    revision: int
    direction: str
    operation: int | None = None
    statement: str | None = None
    hash: str | None = None
    digest: str | None = None
    detail: str | None = None
    at: datetime | None = None
    duration_ms: int | None = None
    error: str | None = None
    who: str = ""
    epoch: int = 0

    @property
    def details(self) -> Mapping[str, Any]:
        """`detail`, read; empty where there is none, or the row was read without."""
        found: Mapping[str, Any] = json.loads(self.detail) if self.detail else {}
        return found


class Journal:
    """Lease and journal of one keyspace, as one runner sees them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        timing: Timing,
        holder: Holder,
        is_dead: Callable[[Holder], bool],
    ) -> None:
        self._database = database
        self._clock = clock
        self._timing = timing
        self._holder = holder
        self._is_dead = is_dead
        self._table = f"{quote(database.bookkeeping)}.{TABLE}"
        self._token: UUID | None = None
        self._epoch = 0
        self._seq = 0
        self._since: datetime | None = None
        self._valid_until = 0.0
        self._settle_until = 0.0
        self._sends_take = timing.ddl_timeout + 1

    @property
    def token(self) -> UUID | None:
        """The token of the lease, while this run holds it."""
        return self._token

    def now(self) -> datetime:
        """The wall clock's time, in UTC."""
        return self._clock.now()

    # -- reading -----------------------------------------------------------------------------------

    def read(self, consistency: str = "") -> LeaseState:
        """The lease as it is.

        An ordinary read is enough to begin with: whoever acts on it does so by a CAS on what was
        read. One at SERIAL is a Paxos round of its own, and many waiters that send them hold up the
        holder; it is for settling a CAS whose reply didn't come.
        """
        rows = repeated(lambda: self._read_lease(consistency), Unreachable, self._clock.sleep)
        row: Row = rows[0] if rows else {}
        holder = Holder(**json.loads(row["holder"])) if row.get("holder") else None
        return LeaseState(
            owner=row.get("owner"),
            holder=holder,
            dead=holder is not None and self._is_dead(holder),
            since=row.get("since"),
            left=row.get("seconds") or 0,
            epoch=row.get("lease_epoch"),
            released=row.get("released_epoch"),
            finished=row.get("finished_epoch"),
            recorded=row.get("recorded") or "",
        )

    def _read_lease(self, consistency: str) -> list[Row]:
        return self._database.query(
            "SELECT owner, holder, since, TTL(owner) AS seconds, lease_epoch, released_epoch, "
            f"finished_epoch, recorded FROM {self._table} WHERE keyspace_name = ? LIMIT 1",
            [self._database.keyspace],
            consistency=consistency,
        )

    def events(self, attempt: UUID | None = None, *, detail: bool = False) -> list[Event]:
        """The journal from its beginning, or one attempt's part of it; the details are long."""
        names = [name for name in (*_COLUMNS, "who", "epoch") if detail or name != "detail"]
        rows = self._database.query(
            f"SELECT {', '.join(names)} FROM {self._table} WHERE keyspace_name = ?",
            [self._database.keyspace],
        )
        events = [Event(**{**row, "at": _utc(row["at"])}) for row in rows if row["event"]]
        events.reverse()
        return [e for e in events if attempt is None or e.attempt == attempt]

    # -- the lease ---------------------------------------------------------------------------------

    @property
    def settle_left(self) -> float:
        """Seconds to wait before a destroying statement may be sent."""
        return max(0.0, self._settle_until - self._clock.monotonic())

    def acquire(self, wait: float, waiting: Callable[[str], None]) -> LeaseState:
        """Takes the lease, or waits up to `wait` seconds for it; gives the state that was found.

        Args:
            waiting: is told who holds it, before it is waited for.

        Raises:
            LeaseHeld: somebody else has it.
        """
        deadline = self._clock.monotonic() + wait
        while True:
            found = self.wait_until_free(deadline, waiting)
            if self._take(found):
                return found
            self._clock.sleep(min(_POLL, max(0.0, deadline - self._clock.monotonic())))

    def wait_until_free(self, deadline: float, waiting: Callable[[str], None]) -> LeaseState:
        """The lease once nobody holds it; `deadline` is on the monotonic clock.

        Raises:
            LeaseHeld: somebody else still has it then.
        """
        told = False
        while True:
            found = self.read()
            if found.owner is None or found.dead:
                return found
            if self._clock.monotonic() >= deadline:
                raise self.held(found)
            if not told:
                waiting(self.held(found).message)
                told = True
            self._clock.sleep(min(_POLL, max(0.0, deadline - self._clock.monotonic())))

    def held(self, found: LeaseState) -> LeaseHeld:
        """See that somebody holds the lease, as an error."""
        holder, ends = found.holder, self._clock.now() + timedelta(seconds=found.left)
        who = f"{holder.who} (pid {holder.pid}, `{holder.command}`, " if holder else "somebody ("
        since = f"since {found.since:%H:%M:%S} UTC, " if found.since else ""
        return LeaseHeld(
            f"the lease on {self._database.keyspace} is held by {who}{since}"
            f"ends at {ends:%H:%M:%S} UTC unless renewed)",
            state="Nothing was changed by this command.",
            hint=f"Wait for it:  {commands.again('--wait-for-lease', '120')}",
        )

    def _take(self, found: LeaseState) -> bool:
        token, epoch, now = uuid4(), (found.epoch or 0) + 1, self._clock.now()
        sent = self._clock.monotonic()
        cql = (
            "BEGIN BATCH "
            f"UPDATE {self._table} USING TTL ? SET owner = ?, holder = ?, since = ? "
            "WHERE keyspace_name = ? IF owner = ?; "
            f"UPDATE {self._table} SET lease_epoch = ? WHERE keyspace_name = ? IF lease_epoch = ?; "
            "APPLY BATCH"
        )
        keyspace = self._database.keyspace
        values = [self._timing.lease_ttl, token, self._holder_json(), now, keyspace, found.owner]
        try:
            taken = self._database.compare_and_set(cql, [*values, epoch, keyspace, found.epoch])
        except OutcomeUnknown:
            taken = self.read("SERIAL").owner == token
        if taken:
            self._token, self._epoch, self._seq, self._since = token, epoch, 0, now
            self._valid_from(sent)
            self._settle_until = 0.0
            if not found.released_cleanly:
                self.settle()
        return taken

    def settle(self) -> None:
        """No destroying statement before the settle time is over; it begins once in a tenure."""
        if not self._settle_until:
            self._settle_until = self._clock.monotonic() + self._timing.settle_time

    def _holder_json(self) -> str:
        holder = self._holder
        return json.dumps({name: getattr(holder, name) for name in Holder.__slots__})

    def _valid_from(self, sent: float) -> None:
        self._valid_until = sent + self._timing.lease_ttl * 5 / 6

    def check(self) -> None:
        """See that what is left of the lease is enough for one more statement.

        Raises:
            LeaseLost: it isn't, and the statement must not be sent.
        """
        if self._clock.monotonic() + self._sends_take > self._valid_until:
            raise _lost(self._database.keyspace)

    def keep(self) -> None:
        """Renews the lease when a third of it is used up, and before it is too little for one more
        statement: for what takes long, now and then.
        """
        enough = max(self._timing.lease_ttl / 2, self._sends_take + 0.5)
        if self._clock.monotonic() > self._valid_until - enough:
            self.append(None)

    def append(self, event: Event | None, recorded: str | None = None) -> None:
        """Renews the lease, and adds a row in the same CAS; `recorded` replaces the recorded
        schema.

        Raises:
            LeaseLost: the lease is no longer ours; nothing was written.
        """
        keyspace, seq = self._database.keyspace, self._seq
        sets = ", ".join(f"{name} = ?" for name in _COLUMNS)
        lease = (
            f"UPDATE {self._table} USING TTL ? SET owner = ?, holder = ?, since = ? "
            "WHERE keyspace_name = ? IF owner = ?"
        )
        values: list[object] = [
            self._timing.lease_ttl,
            self._token,
            self._holder_json(),
            self._since,
        ]
        values += [keyspace, self._token]
        cql = lease
        if event is not None:
            row = [getattr(event, name) for name in _COLUMNS]
            row[_COLUMNS.index("at")] = self._clock.now()
            extra = [recorded, self._holder.who, *row]
            values += [ABSENT if value is None else value for value in extra]
            values += [keyspace, self._epoch, seq]
            cql = (
                f"BEGIN BATCH {lease}; "
                f"UPDATE {self._table} SET recorded = ?, who = ?, {sets} "
                "WHERE keyspace_name = ? AND epoch = ? AND seq = ? IF event = null; APPLY BATCH"
            )
        sent = self._clock.monotonic()

        def written() -> bool:
            # One that arrives a second time, late, finds its row and changes nothing.
            return self._database.compare_and_set(cql, values)

        if not repeated(written, OutcomeUnknown, self._clock.sleep) and not (
            event is not None and self._has_row(seq)
        ):
            raise _lost(keyspace)
        self._valid_from(sent)
        self._seq += event is not None

    def _has_row(self, seq: int) -> bool:
        """Return whether this run's row of that number is there, and the lease is still
        this run's.
        """
        cql = (
            f"SELECT event, owner FROM {self._table} "
            "WHERE keyspace_name = ? AND epoch = ? AND seq = ?"
        )
        values = [self._database.keyspace, self._epoch, seq]

        def read() -> list[Row]:
            return self._database.query(cql, values, consistency="SERIAL")

        rows = repeated(read, Unreachable, self._clock.sleep)
        return any(row["event"] and row["owner"] == self._token for row in rows)

    def take_away(self, token: UUID) -> bool:
        """Ends somebody else's lease, if its token is this one; whether it was.

        It isn't given back: whoever comes next waits the settle time before it destroys anything.
        """
        cql = (
            f"UPDATE {self._table} SET owner = null, holder = null, since = null "
            "WHERE keyspace_name = ? IF owner = ?"
        )

        def taken() -> bool:
            return self._database.compare_and_set(cql, [self._database.keyspace, token])

        return repeated(taken, OutcomeUnknown, self._clock.sleep)

    def release(self, *, finished: bool, settled: bool) -> None:
        """Gives the lease back; a lease that was lost meanwhile stays with its new holder.

        Args:
            finished: no run goes on with what this one did.
            settled: nothing that this run sent can still arrive. Otherwise, or where that isn't
                sure of an earlier run, the next one has to wait as for one that was killed.
        """
        if self._token is None:
            return
        cql = (
            f"UPDATE {self._table} SET owner = null, holder = null, since = null, "
            "released_epoch = ?, finished_epoch = ? WHERE keyspace_name = ? IF owner = ?"
        )
        token, self._token = self._token, None
        ended = self._epoch if finished else ABSENT
        clean = self._epoch if settled and not self.settle_left else ABSENT
        values = [clean, ended, self._database.keyspace, token]
        with suppress(OutcomeUnknown, StatementRefused):  # it ends by itself after its TTL
            self._database.compare_and_set(cql, values)


def _utc(at: datetime | None) -> datetime | None:
    """A server's timestamp, which the driver gives without a zone."""
    return at.replace(tzinfo=UTC) if at else None


def unsettled(events: Sequence[Event], operation: int) -> Event | None:
    """The earliest "before" row of an operation whose outcome the row behind it doesn't tell."""
    rows = [event for event in events if event.operation == operation]
    for row, behind in zip(rows, [*rows[1:], None], strict=False):
        told = behind is not None and behind.event in ("applied", "refused")
        if row.event == "before" and not told:
            return row
    return None


def in_doubt(events: Sequence[Event], operation: int, live: Schema) -> tuple[str, ...]:
    """The objects of a statement of which no outcome is known, if they are as it leaves them.

    Otherwise they are as they were before it, as recorded, or somebody else changed them.
    """
    row = unsettled(events, operation)
    if row is None or not row.digest or not happened(run(row.statement or "").effect, live):
        return ()
    return tuple(json.loads(row.digest))


def unanswered_drops(events: Sequence[Event]) -> frozenset[str]:
    """Tables of our own whose DROP was sent by a run that got no answer: whatever was seen since,
    another one may be on its way.
    """
    sent: dict[tuple[object, ...], str] = {}
    for event in events:
        at = event.epoch, event.attempt, event.operation
        if event.event == "before" and (event.statement or "").startswith("DROP TABLE "):
            sent[at] = run(event.statement or "").effect.name
        elif event.event in ("applied", "refused"):
            sent.pop(at, None)
    return frozenset(filter(is_internal, sent.values()))


def has_journal(schema: Schema) -> bool:
    """Return whether there is a journal to read."""
    return schema.table(TABLE) is not None


def _lost(keyspace: str) -> LeaseLost:
    return LeaseLost(
        f"the lease on {keyspace} was lost: another runner has it, or it could not be renewed in"
        " time",
        state="What was done is in the journal; nothing was begun after the loss.",
        hint="Run the same command again: it goes on from there.",
    )
