"""The progress of the operation that a run is at, for whoever looks on: from its checkpoints and
their write times. Reads only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from calldrop_migrate.core.cql import quote
from calldrop_migrate.engine import copying
from calldrop_migrate.engine.journal import Event
from calldrop_migrate.engine.ports import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Underway:
    """One operation that was begun, and of which nothing says yet that it ended.

    Attributes:
        operation, of: its number, from 1, and how many there are.
        seconds: since it was begun, by the run that is at it; None where none is.
        share: of its ranges, those that are done; None where it has no checkpoints.
        rows: carried so far, by earlier runs too.
        rows_per_second, seconds_left: of the run that is at it; None where nothing is known yet.
    """

    operation: int
    of: int
    what: str
    seconds: float | None
    share: float | None = None
    rows: int = 0
    rows_per_second: float | None = None
    seconds_left: float | None = None


def underway(database: Database, events: Sequence[Event], now: datetime | None) -> Underway | None:
    """Reads where an attempt is.

    Args:
        events: its rows of the journal, details included.
        now: None when no run is at it.
    """
    last = events[-1] if events else None
    if last is None or last.event != "before" or last.operation is None or last.at is None:
        return None
    detail = json.loads(last.detail or "{}")
    if "of" not in detail:  # of an older release
        return None
    begun, since = last.at, (now - last.at).total_seconds() if now else None
    at = Underway(last.operation + 1, detail["of"], detail["label"], since)
    done = database.query(
        "SELECT range, rows, WRITETIME(rows) AS written FROM "
        f"{quote(database.bookkeeping)}.{copying.TABLE} WHERE attempt = ? AND operation = ?",
        [last.attempt, last.operation],
    )
    if not done or "parts" not in detail:  # of a copy that had its place before, perhaps
        return at
    parts, furthest = detail["parts"], max(row["range"] for row in done) + 1
    times = [(row, _EPOCH + timedelta(microseconds=row["written"])) for row in done]
    fresh = [(row, written) for row, written in times if now and written > begun]
    rate = left = None
    if fresh:
        took = (max(written for _, written in fresh) - begun).total_seconds()
        rate = sum(row["rows"] for row, _ in fresh) / took
        # Those without rows have no checkpoint: they count as done with the next one that has.
        first = min(row["range"] for row, _ in fresh)
        left = took / (furthest - first) * (parts - furthest)
    rows = sum(row["rows"] for row in done)
    share = furthest / parts
    return replace(at, share=share, rows=rows, rows_per_second=rate, seconds_left=left)
