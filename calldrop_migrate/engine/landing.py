"""The schema behind a way down, against the one from which the way up began."""

from __future__ import annotations

from calldrop_migrate.core.comparing import diff
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.schema import Schema, from_json
from calldrop_migrate.engine.journal import Journal


def landed(attempt: Attempt, log: Journal, live: Schema) -> list[str]:
    """Lists how the schema differs from the one recorded before the revision went up.

    On any other way than down there is nothing to compare.
    """
    if attempt.direction != "down":
        return []
    number, name = attempt.migration.number, attempt.migration.name
    ups = [
        event.details
        for event in log.events(detail=True)
        if event.operation == 0 and event.revision == number and event.direction == "up"
    ]
    found = [detail["before"] for detail in ups if "before" in detail]
    if not found:
        return [f"no schema was recorded before {name} went up"]
    before = from_json(found[-1])
    return [
        f"differs from before {name} went up: {line}"
        for line in diff(before.comparable(), live.comparable())
    ]
