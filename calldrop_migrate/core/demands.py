"""The parts of a plan that some servers refuse: found in its operations, judged in preflight.py.

    windows   a table's rows live for that many windows of its TimeWindowCompactionStrategy
    view      a materialized view is made, or an index, which ScyllaDB keeps as one
    counter   a table gets a counter
    cdc       a table gets ScyllaDB's change log
    mask      a column gets a mask

A statement is looked at in the schema that it will find: a table's TTL may come from one statement
and its windows from another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.effects import after
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.operations import Run
from calldrop_migrate.core.options import comparable_compaction
from calldrop_migrate.core.plan import Plan
from calldrop_migrate.core.schema import Extra, Schema

_SECONDS = {"MINUTES": 60, "HOURS": 3600, "DAYS": 86400}


@dataclass(frozen=True, slots=True)
class Windows:
    """The life of a table's rows, and the windows in which they are kept; `ttl` is in seconds."""

    ttl: int
    size: int
    unit: str

    @property
    def count(self) -> int:
        """The windows that there can be at one time, as ScyllaDB counts them."""
        return self.ttl // (self.size * _SECONDS[self.unit])

    def smallest(self, most: int) -> int:
        """The smallest size of which there are no more than `most`."""
        return self.ttl // ((most + 1) * _SECONDS[self.unit]) + 1

    def __str__(self) -> str:
        unit = self.unit.lower().removesuffix("s") + "s" * (self.size != 1)
        return (
            f"{self.count} windows (default_time_to_live {self.ttl} in windows of"
            f" {self.size} {unit})"
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """One thing that a statement asks of a server.

    Attributes:
        where: the statement: file:line:column where it stands in a file, then what it is.
        place: file:line of it; empty for a statement of the tool itself.
    """

    kind: Literal["windows", "view", "index", "counter", "cdc", "mask"]
    where: str
    place: str = ""
    windows: Windows | None = None


def demands(plan: Plan) -> tuple[Demand, ...]:
    """Return what the operations of a plan that have not run yet ask of a server."""
    found: list[Demand] = []
    for attempt in plan.attempts:
        schema = attempt.before
        for index, operation in enumerate(attempt.operations):
            if not isinstance(operation, Run):
                continue
            schema = after(schema, operation.effect)
            if index >= attempt.done:
                found += _of(operation, schema)
    return tuple(dict.fromkeys(found))


def _of(operation: Run, schema: Schema) -> Iterator[Demand]:
    """Yield what one statement asks for; `schema` is the one after it."""
    effect = operation.effect
    where, place = _place(operation)
    match effect.verb, effect.kind:
        case "create", "view" if not is_internal(effect.name):
            yield Demand("view", where, place)
        case "create", "index" if effect.extra and _is_seen(effect.extra):
            yield Demand("index", where, place)
    if effect.kind != "table" or effect.verb not in ("create", "alter"):
        return
    made = effect.table.columns if effect.table else effect.add
    if any(column.mask for column in made) or any(mask for _, mask in effect.masks):
        yield Demand("mask", where, place)
    if any(column.type == "counter" for column in made):
        yield Demand("counter", where, place)
    given = dict(effect.table.options if effect.table else effect.options)
    if _has_cdc(given.get("cdc", "")):
        yield Demand("cdc", where, place)
    windows = _windows(effect, schema)
    # The other copies of a table have its options, and are told of with it.
    if windows and windows.count and not is_internal(effect.name):
        yield Demand("windows", where, place, windows)


def _is_seen(index: Extra) -> bool:
    """Return whether a server has it as a view. What is tried on a shadow is asked for
    again later.
    """
    custom = bool(json.loads(index.definition)[1] == "CUSTOM")
    return not (custom or is_internal(index.table))


def _place(operation: Run) -> tuple[str, str]:
    place, label = operation.statement.place, operation.label
    if operation.is_our_own:
        return label, ""
    return f"{place}: {label}", f"{place.file}:{place.line}"


def _has_cdc(option: str) -> bool:
    """ScyllaDB's is a map; Cassandra's is true or false, and another thing."""
    return option.startswith("{") and str(json.loads(option).get("enabled", "")).lower() == "true"


def _windows(effect: Effect, schema: Schema) -> Windows | None:
    """The windows that a CREATE or an ALTER leads to; an ALTER of neither part is let through."""
    table = effect.table if effect.verb == "create" else schema.table(effect.name)
    given = {name for name, _ in effect.options}
    if table is None or (effect.verb == "alter" and not given & _WINDOWING):
        return None
    compaction = comparable_compaction(table.option("compaction"))
    unit = compaction.get("compaction_window_unit", "DAYS").upper()
    size = compaction.get("compaction_window_size", "1")
    ttl = table.option("default_time_to_live") or "0"
    if compaction.get("class") != "TimeWindowCompactionStrategy":
        return None
    if unit not in _SECONDS or not (size.isdigit() and int(size)) or not ttl.isdigit():
        return None  # the server says what is wrong with it
    return Windows(int(ttl), int(size), unit)


_WINDOWING = {"compaction", "default_time_to_live"}
