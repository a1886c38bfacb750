"""The attempt that an earlier run began, as it is to be gone on with.

What has run of it is law: the operations of the file must be the same ones, hash by hash. What has
not run yet follows the present call, if that leads to the same beginning: a run that stopped at
rows which don't fit goes on with --set-aside when it is run again with it, and a table that has
rows by now is not taken for empty. Else it goes on as it was begun; but what is discarded has to be
allowed by each call anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.fencing import taken_back
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.names import is_internal, is_never
from calldrop_migrate.core.operations import (
    Await,
    Copy,
    Operation,
    Proof,
    Rows,
    Run,
    Verify,
    hash_of,
    run,
)
from calldrop_migrate.core.plan import Attempt, Direction, Facts, tables_at_stake
from calldrop_migrate.core.schema import Schema, Table, from_json
from calldrop_migrate.core.undoing import undo
from calldrop_migrate.engine.history import Record
from calldrop_migrate.engine.journal import (
    Event,
    Journal,
    has_journal,
    in_doubt,
    unanswered_drops,
    unsettled,
)
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.review import Wishes
from calldrop_migrate.errors import HistoryError, RowsAtRisk

# A row that came late, and the direction of its attempt.
Late = tuple[Record, Direction]


@dataclass(frozen=True, slots=True)
class Resumed:
    """An attempt, and the objects that a statement of unknown outcome has changed."""

    attempt: Attempt
    in_doubt: tuple[str, ...]


def resume(
    database: Database,
    log: Journal,
    record: Record,
    migration: Migration,
    wishes: Wishes,
    live: Schema,
) -> Resumed:
    """The attempt that holds a revision IN_PROGRESS.

    Raises:
        HistoryError: the journal doesn't know it, or its file changed in a part that has run.
    """
    events = log.events(record.attempt, detail=True) if has_journal(live) else []
    details = [event.details for event in events]
    if being_taken_back(events) and not _only_forwards(events, live):
        raise HistoryError(
            f"revision {record.name} is being taken back",
            state=f"{record.name} is half-way.",
            hint=f"Finish that:  {commands.abort()}",
        )
    before = began_at(events)
    if before is None:
        raise HistoryError(
            f"revision {record.name} is IN_PROGRESS by attempt {record.attempt}, which the"
            " journal doesn't know",
            state="Nothing was changed.",
            hint="Another tool is at work, or the journal was lost. If nobody is at work, record"
            f" the revision that the keyspace is at:  {commands.stamp()}",
        )
    way: Direction = "up" if events[0].direction == "up" else "down"
    stored = Facts.from_json([d for d in details if "facts" in d][-1]["facts"])
    done = applied_operations(events)
    sent = unsettled(events, len(done))
    ran = [*done, *([sent] if _is_fence(sent) else arrived(sent, live))]
    fault: HistoryError | None = None
    filled = _filled_now(database, migration, way, before, live)
    spent = unanswered_drops([event for event in log.events() if event.attempt != record.attempt])
    for facts in _facts(stored, wishes, filled, stored.spent | spent):
        attempt = expand(migration, way, events[0].attempt, before, facts)
        fault = _not_what_ran(attempt, ran) or _not_what_is_copied(attempt, sent)
        if fault is None:
            break
    if fault is not None:
        raise fault
    left = attempt.operations[len(done) :]
    destroying = [op for op in left if isinstance(op, Run) and op.effect.destroys]
    names = {op.effect.name for op in destroying}
    discarded = [op.effect.name for op in destroying if op.proof is Proof.DISCARD]
    at_risk = [] if wishes.discard else discarded
    attempt = replace(
        attempt,
        resumed=True,
        done=len(done),
        outages=tuple(table for table in attempt.outages if table in names),
        at_risk=(*(table for table in attempt.at_risk if table in names), *at_risk),
    )
    if wishes.fence:
        _refuse_unfenced(attempt)
    return Resumed(attempt, in_doubt(events, len(done), live))


def _refuse_unfenced(attempt: Attempt) -> None:
    """See that what was begun without a fence isn't taken for fenced."""
    fenced = {fence.table for fence in attempt.facts.fences}
    open_to = [table for table in attempt.outages if table not in fenced]
    if open_to:
        raise RowsAtRisk(
            f"{attempt.label} was begun without a fence around {', '.join(open_to)}",
            state=f"{attempt.migration.name} is half-way ({attempt.direction}).",
            hint=(
                f"Begin anew, then run the same command again:  {commands.abort()}\n"
                "or stop the writers, and leave --fence out."
            ),
        )


def without_late(
    records: Mapping[int, Record], events: Sequence[Event]
) -> tuple[dict[int, Record], list[Late]]:
    """The history without the rows that were written behind the back of later runs; and these.

    Such a row says IN_PROGRESS. Its runner stopped while the write was on its way, and lost the
    lease. Another attempt begins only while none is under way: if one did since, or a revision was
    stamped, the row wasn't there yet. Nothing of its attempt has run then, or another run has
    finished it.
    """
    begun = [
        event.attempt
        for event in events
        if event.direction in ("up", "down")
        and (event.event == "stamped" or (event.event == "before" and event.operation == 0))
    ]
    settled, late = dict(records), list[Late]()
    for number, record in records.items():
        if record.applied or record.attempt not in begun or begun[-1] == record.attempt:
            continue
        up = any(e.attempt == record.attempt and e.direction == "up" for e in events)
        late.append((record, "up" if up else "down"))
        del settled[number]
        if not up:
            settled[number] = replace(record, state="SUCCEEDED")
    return dict(sorted(settled.items())), late


def began_at(events: Sequence[Event]) -> Schema | None:
    """The schema that an attempt began at; None if the journal doesn't know it."""
    found = (event.details["before"] for event in events if "before" in event.details)
    return next(map(from_json, found), None)


def being_taken_back(events: Sequence[Event]) -> bool:
    """Return whether an `abort` was begun, and nobody has gone forwards since."""
    begun = [event.event for event in events if event.event in ("aborting", "before")]
    return bool(begun) and begun[-1] == "aborting"


def way_back(
    events: Sequence[Event], sent: Event | None, before: Schema, live: Schema
) -> tuple[list[Operation], list[str]]:
    """Return what takes back what has run of an attempt, or may have, and what keeps it from being
    so.
    """
    # The last one: a statement that was refused may have been mended in its file since.
    begun = {e.operation: e for e in events if e.event == "before"}
    done = len(applied_operations(events))
    # A copy that was begun has run in part, however it ended; a statement that wasn't applied has
    # not.
    perhaps = sent is not None and (sent.digest is None or bool(arrived(sent, live)))
    copied = done in begun and "carried" in begun[done].details
    count = done + (perhaps or copied)
    return undo([operation_of(begun[index]) for index in range(count)], before, live)


def _only_forwards(events: Sequence[Event], live: Schema) -> bool:
    """Return whether an attempt that is being taken back can only be gone on with: something of it
    was destroyed meanwhile, and what it has made is still there.
    """
    before = began_at(events)
    sent = unsettled(events, len(applied_operations(events)))
    return bool(before and way_back(events, sent, before, live)[1] and not stranded(events, live))


def stranded(events: Sequence[Event], schema: Schema) -> list[str]:
    """The tables of its own that an attempt has made or copied from, and not dropped, and that are
    gone.
    """
    known = {name: id for e in events for name, id in e.details.get("ids", {}).items()}
    dropped = {
        name
        for e in events
        if e.digest and run(e.statement or "").effect.verb == "drop"
        for name in json.loads(e.digest)
    }
    live = {table.name: str(table.id) for table in schema.tables}
    gone = [name for name, id in known.items() if live.get(name) != id and name not in dropped]
    return [*filter(is_internal, gone), *_taken_back(events, schema)]


def _taken_back(events: Sequence[Event], schema: Schema) -> list[str]:
    """Return what an attempt has made, besides, and what an `abort` of it has dropped again."""
    last: dict[str, str] = {}
    for event in events if being_taken_back(events) else ():
        effect = run(event.statement or "").effect if event.digest else None
        if effect and event.event == "applied":
            last[effect.name] = effect.verb
    made = (name for name, verb in last.items() if verb == "create" and not is_internal(name))
    return [name for name in made if schema.digest_of(name) == "absent"]


def operation_of(event: Event) -> Operation:
    """An operation from the journal, as far as `undo` has to know it."""
    text = event.statement or ""
    if carried := event.details.get("carried"):
        source, target, rows = carried
        kind = Copy if text.startswith("COPY") else Verify
        return kind(Table(source, ()), Table(target, ()), (), Rows(rows))
    if text.startswith("AWAIT "):
        return Await(text.removeprefix("AWAIT "))
    return replace(run(text), fence=event.details.get("fence", ""))


def arrived(sent: Event | None, live: Schema) -> list[Event]:
    """The statement of which no outcome is known, if its objects show that it has run."""
    digests = json.loads(sent.digest) if sent and sent.digest else {}
    if sent and any(live.digest_of(name) != digest for name, digest in digests.items()):
        return [sent]
    return []


def _filled_now(
    database: Database, migration: Migration, way: Direction, before: Schema, live: Schema
) -> dict[str, bool]:
    """Return those of the tables that the attempt found, and that are still the same, that have
    rows.
    """
    found = {}
    for name in tables_at_stake(migration, way, before):
        then, now = before.table(name), live.table(name)
        if then and now and then.id == now.id:
            found[name] = database.has_rows(now)
    return found


def _facts(
    stored: Facts, wishes: Wishes, filled: dict[str, bool], spent: frozenset[str]
) -> Iterator[Facts]:
    """Yield what an attempt may go on from: the present call first, as it was begun last, also by
    names that are spent by now.
    """
    known = stored.filled - filled.keys() | {name for name, has in filled.items() if has}
    accepted = stored.outage_accepted or wishes.outage_accepted
    fences = tuple(fence.trusting(wishes.trusted) for fence in stored.fences)
    flags = stored
    if wishes.set_aside or wishes.discard:
        flags = replace(stored, set_aside=wishes.set_aside, discard=wishes.discard)
    for names in (spent, stored.spent):
        for facts in (replace(flags, filled=known), flags, stored):
            yield replace(facts, outage_accepted=accepted, fences=fences, spent=names)


def verified(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    """Return what has been proven of copies: source, target, and the target's id; details
    included.
    """
    applied = {(e.attempt, e.operation) for e in events if e.event == "applied"}
    rows = (e for e in events if (e.statement or "").startswith("VERIFY") and e.detail)
    details = (e.details for e in rows if (e.attempt, e.operation) in applied)
    return [
        (*detail["carried"][:2], detail["ids"].get(detail["carried"][1], ""))
        for detail in details
        if "ids" in detail
    ]


def still_revoked(events: Sequence[Event]) -> list[str]:
    """The GRANTs that an attempt's fence has still to give back; details included."""
    before = [e for e in events if e.event == "before" and e.detail and e.statement]
    up = [e for e in before if e.details.get("fence") == "up"]
    granted = {e.statement for e in events if e.event == "applied"}
    given = (taken_back(run(e.statement or "")).text for e in up)
    return [text for text in dict.fromkeys(given) if text not in granted]


def applied_operations(events: Sequence[Event]) -> list[Event]:
    """The `applied` rows of an attempt, one per operation, in order."""
    done: list[Event] = []
    for event in events:
        if event.event == "applied" and event.operation == len(done):
            done.append(event)
    return done


def in_the_way(events: Sequence[Event], live: Schema) -> list[str]:
    """Tables that an attempt has dropped to make them anew, and that somebody else has made;
    details included.
    """
    replaced = {event.details.get("replaced") for event in events}
    ours = in_doubt(events, len(applied_operations(events)), live)
    gone: dict[str, None] = {}
    for event in events:
        if event.event == "applied" and event.digest:
            effect = run(event.statement or "").effect
            if effect.drops_table:
                gone[effect.name] = None
            elif effect.makes_table:
                gone.pop(effect.name, None)
    return [name for name in gone if name in replaced and name not in ours and live.table(name)]


def to_clear(names: Sequence[str], live: Schema) -> str:
    """Return what a person does about these."""
    drops = "".join(f"\n  DROP TABLE {quote(live.keyspace)}.{quote(name)};" for name in names)
    return (
        f"The revision that is half-way makes {', '.join(names)} anew. What somebody else has"
        f" made meanwhile is in its way; take from it what you need, then in cqlsh:{drops}\n"
        "and the same command again."
    )


def _is_fence(sent: Event | None) -> bool:
    """Return whether it is part of putting up a fence: it has no object that shows whether it has
    run.
    """
    return bool(sent and sent.details.get("fence") == "up")


def _not_what_is_copied(attempt: Attempt, sent: Event | None) -> HistoryError | None:
    """Return how an attempt differs from a copy that was begun: what it wrote is there. Which rows
    it is about may change with the flags, but not which cells go where.
    """
    text = (sent and sent.statement) or ""
    copies = [op for op in attempt.operations if isinstance(op, Copy)]
    if not text.startswith("COPY ") or any(text.startswith(copy.head) for copy in copies):
        return None
    return HistoryError(
        f"{attempt.migration.file} changed in a part that has already run in part: \n    {text}",
        state=f"{attempt.migration.name} is half-way ({attempt.direction}).",
        hint=f"Put that part of the file back as it was, or begin anew:  {commands.abort()}",
    )


def _not_what_ran(attempt: Attempt, done: Sequence[Event]) -> HistoryError | None:
    """Return how an attempt differs from what has run of it."""
    pairs = zip(done, attempt.operations, strict=False)
    differs = next((i for i, (event, op) in enumerate(pairs) if event.hash != hash_of(op)), None)
    if differs is None and len(done) <= len(attempt.operations):
        return None
    # What was only asked of the server is no part of the file.
    ran = [event for event in done[differs:] if not _asks(event)] if differs is not None else []
    if ran:
        what = f"operation {(ran[0].operation or 0) + 1} was\n    {ran[0].statement}"
        what = f"changed in a part that has already run: {what}"
        hint = "Put that part of the file back as it was; what has not run yet may change."
    else:
        what = "lost operations that have already begun"
        hint = f"Put the file back as it was, or begin anew:  {commands.abort()}"
    return HistoryError(
        f"{attempt.migration.file} {what}",
        state=f"{attempt.migration.name} is half-way ({attempt.direction}).",
        hint=hint,
    )


def _asks(event: Event) -> bool:
    text = event.statement or ""
    return text.startswith("DROP TABLE ") and is_never(run(text).effect.name)
