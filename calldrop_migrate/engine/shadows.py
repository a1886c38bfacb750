"""The second copies that rebuilds keep, as the journal tells of them: whose they are, whether the
table that took the old one's place still has their rows, and when nobody needs them any more. Reads
only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from calldrop_migrate import commands
from calldrop_migrate.core import names
from calldrop_migrate.core.carrying import left_behind, shared_columns
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.operations import run
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.journal import Event, Journal
from calldrop_migrate.engine.resuming import verified
from calldrop_migrate.errors import DriftError


def to_restore() -> str:
    """Return what a person does about rows that only a second copy has."""
    return (
        f"To bring them back:         {commands.restore()}\n"
        f"or, if they aren't missed:  {commands.clean_discarding()}"
    )


def lacking(log: Journal, schema: Schema) -> list[str]:
    """Return what is to be told of tables that are there and may lack the rows of a second copy."""
    return [
        f"{name} was dropped since {copy.name} was copied into it, and may lack rows"
        for copy, name in bereft(log, schema)
        if schema.table(name)
    ]


def refuse_lacking(log: Journal, schema: Schema, state: str, hint: str = "") -> None:
    """See that no table lacks such rows.

    Raises:
        DriftError: one does.
    """
    if lines := lacking(log, schema):
        raise DriftError("\n".join(lines), state=state, hint=hint or to_restore())


def bereft(log: Journal, schema: Schema) -> list[tuple[Table, str]]:
    """Second copies, each with the name of the table that it was copied into, where that table was
    dropped since and whatever has its name now hasn't got the rows.
    """
    shadows = [t for t in schema.tables if names.is_shadow(t.name) and not t.base]
    events = log.events(detail=True) if shadows else []
    found = []
    for shadow in shadows:
        story = story_of(shadow.name, events)
        # An older copy has been superseded by the rebuild that made the table anew.
        if story and story.live_id == _made_last(story.live, events):
            live = schema.table(story.live)
            if live is None or not _holds(live, story, shadow.name, events):
                found.append((shadow, story.live))
    return found


@dataclass(frozen=True, slots=True)
class Story:
    """The attempt and revision that made a shadow, when it ended, and the table that took the old
    one's place, with its id.
    """

    attempt: UUID
    revision: int
    ended: datetime
    live: str
    live_id: str


def story_of(shadow: str, events: Sequence[Event]) -> Story | None:
    """Return which attempt made a shadow, and the table that took the old one's place."""
    for event in events:
        if event.event == "applied" and shadow in event.details.get("ids", {}):
            return _rest_of(shadow, [e for e in events if e.attempt == event.attempt])
    return None


def _rest_of(shadow: str, events: Sequence[Event]) -> Story | None:
    copied = (c for c in (e.details.get("carried") for e in events) if c and c[0] == shadow)
    live = next((target for _, target, _ in copied), "")
    applied = (e for e in events if e.event == "applied")
    ids = {name: made for e in applied for name, made in e.details.get("ids", {}).items()}
    at = events[-1].at
    if not live or live not in ids or at is None:
        return None
    return Story(events[0].attempt, events[0].revision, at, live, ids[live])


def _made_last(table: str, events: Sequence[Event]) -> str:
    """The id of the table of that name that a revision made last; none behind a DROP of it."""
    made, before = "", ""
    for event in events:
        of_it = table in json.loads(event.digest or "{}") and event.direction in ("up", "down")
        if event.event == "aborting" or (of_it and event.event == "refused"):
            made = made or before  # that DROP was not applied
        elif of_it and run(event.statement or "").effect.drops_table:
            before = made or before if event.event in ("before", "unknown") else ""
            made = ""
        elif of_it and event.event == "applied":
            made = str(event.details.get("ids", {}).get(table, made))
    return made


def _holds(live: Table, story: Story, shadow: str, events: Sequence[Event]) -> bool:
    """Return whether a table is the one that got a shadow's rows in a rebuild, or one that they
    were brought back to since.
    """
    return str(live.id) == story.live_id or (shadow, live.name, str(live.id)) in verified(events)


def successors(
    shadow: Table,
    story: Story,
    events: Sequence[Event],
    under_way: Collection[UUID | None],
    schema: Schema,
) -> list[Table]:
    """Return what has the rows of a shadow, where the table that they went to was rebuilt since:
    what that had was proven to be in these before its DROP. None if one of them is not there any
    more.
    """
    went = (shadow.name, story.live)
    live = {story.live_id} | {made for *pair, made in verified(events) if tuple(pair) == went}
    drop = f"DROP TABLE {quote(story.live)}"
    proven: dict[UUID, dict[str, str]] = {}
    for event in events:
        text, ids = event.statement or "", event.details.get("ids", {})
        carried = event.details.get("carried", ("", ""))
        final = text.startswith("VERIFY ") and text.endswith(" AT ALL")
        if final and carried[0] == story.live and ids.get(story.live) in live:
            proven.setdefault(event.attempt, {})[carried[1]] = ids[carried[1]]
        elif event.event == "applied" and text == drop and event.attempt in proven:
            if event.attempt in under_way:
                return []
            its = [e for e in events if e.attempt == event.attempt and e.event == "applied"]
            left = {name: what for e in its for name, what in json.loads(e.digest or "{}").items()}
            found = [
                _heir(name, made, events, schema)
                for name, made in proven[event.attempt].items()
                if left.get(name) != "absent"  # an aside for which there were no rows
            ]
            return [table for table in found if table] if all(found) else []
    return []


def _heir(name: str, table_id: str, events: Sequence[Event], schema: Schema) -> Table | None:
    """A second copy or an aside, or the table that its rows have gone to since."""
    known = [(name, table_id)]
    if names.is_shadow(name):
        story = story_of(name, events)
        if story and (name, story.live, story.live_id) in verified(events):
            known.append((story.live, story.live_id))
    elif gone := _moved_out_of(name, table_id, events):
        known.append(gone)
    tables = ((schema.table(name), made) for name, made in known)
    return next((table for table, made in tables if table and str(table.id) == made), None)


def _moved_out_of(aside: str, table_id: str, events: Sequence[Event]) -> tuple[str, str] | None:
    """The table, with its id, that all rows of an aside have gone back to: it was empty then."""
    into: dict[UUID, tuple[str, str]] = {}
    for event in events:
        carried, ids = event.details.get("carried", ("", "")), event.details.get("ids", {})
        if carried[0] == aside and ids.get(aside) == table_id and not names.is_shadow(carried[1]):
            into[event.attempt] = carried[1], ids.get(carried[1], "")
        done = event.event == "applied" and event.attempt in into
        if done and json.loads(event.digest or "{}").get(aside) == "absent":
            return into[event.attempt]
    return None


def unlike(shadow: Table, live: Table | None, story: Story, events: Sequence[Event]) -> str:
    """Return why the live table can't be compared with a shadow; empty when it can."""
    if live is None or not _holds(live, story, shadow.name, events):
        return f"{story.live} is not the table any more that took its place"
    gone = [
        name for name in left_behind(shadow, shared_columns(shadow, live)) if name != names.MARKER
    ]
    return f"{story.live} has no {', '.join(gone)} any more" if gone else ""
