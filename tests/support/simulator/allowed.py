"""Refuses what a schema doesn't let a statement change, in the words of either server."""

from __future__ import annotations

from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.effects import needed_by
from calldrop_migrate.core.schema import Schema, Table
from tests.support.simulator.statements import Unmodelled
from tests.support.simulator.storage import Refusal


def applies(schema: Schema, effect: Effect, *, scylla: bool) -> bool:
    """Return whether there is something to do.

    Raises:
        Refusal: it can't be done.
    """
    there = schema.table(effect.name) or schema.extra(effect.kind, effect.name)
    if effect.verb == "create":
        needed = needed_by(effect)[1]
        if needed and schema.table(needed) is None:
            raise _absent(schema, needed, scylla=scylla)
        if there is not None and not effect.conditional:
            raise Refusal(f"Table '{schema.keyspace}.{effect.name}' already exists")
        return there is None
    if there is None:
        if effect.conditional:
            return False
        raise _absent(schema, effect.name, scylla=scylla)
    if isinstance(there, Table) and bool(there.base) != (effect.kind == "view"):
        raise Refusal(f"'{schema.keyspace}.{effect.name}' is no {effect.kind}")
    if scylla:
        _see_free_on_scylla(schema, effect)
    else:
        _see_free(schema, effect)
    if isinstance(there, Table) and effect.verb == "alter":
        _see_alterable(there, effect)
    return True


def _absent(schema: Schema, name: str, *, scylla: bool) -> Refusal:
    told = f"Table '{schema.keyspace}.{name}' doesn't exist"
    return Refusal(f"unconfigured table {name}" if scylla else told)


def _see_free(schema: Schema, effect: Effect) -> None:
    """See that no view is in the way."""
    names = ", ".join(view.name for view in schema.views_on(effect.name))
    if names and effect.drops_table:
        raise Refusal(f"Cannot drop a table when materialized views still depend on it ({names})")
    if names and effect.drop:
        raise Refusal(f"Cannot drop a column of a table with materialized views ({names})")


def _see_free_on_scylla(schema: Schema, effect: Effect) -> None:
    if effect.name.endswith("$paxos"):
        raise Refusal("Unauthorized")
    views = schema.views_on(effect.name)
    names = ", ".join(view.name for view in views)
    if names and effect.drops_table:
        on = f"({schema.keyspace}.{{{names}}})"
        raise Refusal(f"Cannot drop table when materialized views still depend on it {on}")
    if effect.drop and any(view.whole for view in views):
        raise Refusal(f"Cannot drop a column of a table with a view of all of them ({names})")
    if effect.drop and views:
        raise Unmodelled("a column that may be dropped or not, as its views are")


def _see_alterable(table: Table, effect: Effect) -> None:
    gone = {dropped.name: dropped for dropped in table.dropped}
    for column in effect.add:
        if table.column(column.name) and not effect.loose:
            raise Refusal(f"Column with name '{column.name}' already exists")
        was = gone.get(column.name)
        if was and (was.type, was.kind) != (column.type, column.kind):
            raise Refusal(f"Cannot re-add previously dropped column '{column.name}'")
    for name in effect.drop:
        found = table.column(name)
        if found is None and not effect.loose:
            raise Refusal(f"Column {name} was not found in table '{table.name}'")
        if found is not None and found.is_key:
            raise Refusal(f"Cannot drop PRIMARY KEY column {name}")
