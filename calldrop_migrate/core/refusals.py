"""The refusals of a server that are known before, from the schema that a statement will find.

A statement that is refused in the middle of a revision leaves it interrupted. The rules are those
of both servers' sources; where they differ, the server counts that was asked. Without a server,
when only files are read, a rule counts that both have, and nothing is said of an object that no
file makes: it may have been there before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Literal

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote, tokenize
from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.declared import describe_trigger, drop_trigger
from calldrop_migrate.core.effects import needed_by
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.readding import cannot_return
from calldrop_migrate.core.schema import Column, Extra, Schema, Table, names_type

Server = Literal["", "Cassandra", "ScyllaDB"]
Refusal = tuple[str, str]  # what is wrong, and what to do about it
_SPOKEN = {"view": "materialized view"}


def refusals(schema: Schema, effect: Effect, server: Server) -> Iterator[Refusal]:
    """Yield why a statement would be refused, each reason with a hint."""
    there = _is_there(schema, effect.kind, effect.name)
    match effect.verb, effect.kind:
        case "create", "table" | "view" | "type" | "index":
            yield from _create(schema, effect, server)
        case "drop" | "alter", "table" | "view" | "type" | "index":
            if effect.conditional and not there:
                return
            if there:
                yield from _of_what_is_there(schema, effect, server)
            elif (table := schema.table(effect.name)) and effect.kind in ("table", "view"):
                other = "view" if table.base else "table"
                what = _SPOKEN.get(other, other).upper()
                hint = f"write  {effect.verb.upper()} {what} {quote(effect.name)}"
                yield f"{effect.name} is a {_SPOKEN.get(other, other)}", hint
            elif server:
                yield _missing(effect.kind, effect.name)


def _is_there(schema: Schema, kind: str, name: str) -> bool:
    if kind in ("table", "view"):
        table = schema.table(name)
        return table is not None and bool(table.base) == (kind == "view")
    return schema.extra(kind, name) is not None


def _missing(kind: str, name: str) -> Refusal:
    return (
        f"there is no {_SPOKEN.get(kind, kind)} {name}",
        f"what is there:  {commands.status()}",
    )


def _create(schema: Schema, effect: Effect, server: Server) -> Iterator[Refusal]:
    name, kind = effect.name, effect.kind
    needed = needed_by(effect)
    if kind in ("view", "index") and not _is_there(schema, *needed):
        if server:
            yield _missing(*needed)
        return
    found = schema.table(name) if kind in ("table", "view") else schema.extra(kind, name)
    if found and not effect.conditional:
        what = ("view" if found.base else "table") if isinstance(found, Table) else kind
        article = "an" if what == "index" else "a"
        message = f"there is {article} {_SPOKEN.get(what, what)} {name} already"
        hint = "choose another name, or drop it first"
        if kind == "table":
            hint += "; to change its key:  -- migrate:rebuild"
        yield message, hint


def _of_what_is_there(schema: Schema, effect: Effect, server: Server) -> Iterator[Refusal]:
    table = schema.table(effect.name)
    match effect.verb, effect.kind:
        case "drop", "table":
            for view in schema.views_on(effect.name):
                hint = f"put  DROP MATERIALIZED VIEW {quote(view.name)};  before it"
                yield f"the view {view.name} stands on {effect.name}", hint
        case "drop", "type":
            yield from _used(schema, effect.name)
        case "alter", "table" if table:
            for column in effect.add:
                yield from _added(schema, table, effect, column, server)
            for name in effect.drop:
                yield from _dropped(schema, table, name, effect, server)
            for old, new in effect.rename:
                yield from _renamed(schema, table, old, new, loose=effect.loose)
            for name, _ in effect.masks:
                if table.column(name) is None and not effect.loose:
                    yield _no_column(table, name)


def _used(schema: Schema, name: str) -> Iterator[Refusal]:
    """Yield where a type is used. Of what the tool keeps aside its plan says so itself."""
    users = [t.name for t in schema.tables if t.has_type(name) and not is_internal(t.name)]
    for extra in schema.extras:
        if extra.kind == "type" and any(
            names_type(field, name) for field in json.loads(extra.definition)[1]
        ):
            users.append(f"the type {extra.name}")
    if users:
        yield f"the type {name} is used by {', '.join(users)}", "drop what uses it before it"


def _no_column(table: Table, name: str) -> Refusal:
    have = ", ".join(quote(c.name) for c in table.columns)
    return f"{table.name} has no column {quote(name)}", f"it has {have}"


def _added(
    schema: Schema, table: Table, effect: Effect, column: Column, server: Server
) -> Iterator[Refusal]:
    name = f"{table.name}.{quote(column.name)}"
    if table.column(column.name):
        if not effect.loose:
            yield f"{name} is there already", "remove it from the ADD"
        return
    if column.kind == "static" and not table.clustering_key:
        hint = "leave STATIC out: each partition has one row"
        yield f"{name} can't be static: {table.name} has no clustering column", hint
    gone = next((d for d in table.dropped if d.name == column.name), None)
    if gone and (why := cannot_return(schema, table, column, gone, server)):
        hint = (
            "give it another name, or rebuild the table, which a new one has no memory of:"
            "  -- migrate:rebuild"
        )
        yield f"{name} can't be added as it stands here: {why}", hint


def _dropped(
    schema: Schema, table: Table, name: str, effect: Effect, server: Server
) -> Iterator[Refusal]:
    column = table.column(name)
    if column is None:
        if not effect.loose:
            yield _no_column(table, name)
        return
    if column.is_key:
        hint = "a rebuild makes the table anew with another key:  -- migrate:rebuild"
        yield f"{quote(name)} is part of the key of {table.name}", hint
    for index in schema.indexes_on(table.name):
        if name in indexed(index, table):
            hint = f"put  DROP INDEX {quote(index.name)};  before it"
            yield f"the index {index.name} needs {table.name}.{quote(name)}", hint
    if schema.extra("type", column.type.strip('"')) and server == "Cassandra":
        hint = "a rebuild leaves it out:  -- migrate:rebuild drop=" + quote(name)
        yield f"Cassandra drops no column of a user type that isn't frozen: {quote(name)}", hint


def _renamed(schema: Schema, table: Table, old: str, new: str, *, loose: bool) -> Iterator[Refusal]:
    column = table.column(old)
    if column is None:
        if not loose:
            yield _no_column(table, old)
        return
    if not column.is_key:
        hint = f"a rebuild renames it:  -- migrate:rebuild {quote(new)}={quote(old)}"
        yield f"{quote(old)} is no part of the key: only key columns can be renamed", hint
    if table.column(new):
        yield f"{table.name} has a column {quote(new)} already", "choose another name"
    for index in schema.indexes_on(table.name):
        if old in indexed(index, table):
            hint = f"put  DROP INDEX {quote(index.name)};  before it, and a CREATE INDEX behind it"
            yield f"the index {index.name} needs {table.name}.{quote(old)}", hint


def indexed(index: Extra, table: Table) -> set[str]:
    """The columns of a table that an index needs."""
    target = json.loads(index.definition)[2].get("target", "")
    if target.startswith("{"):  # ScyllaDB's local index
        parts = json.loads(target)
        return {*parts["pk"], *parts["ck"]}
    named = [t.value for t in tokenize(target) if t.is_name()]
    return {name for name in named if table.column(name)}


def triggers_in_the_way(schema: Schema, table: str) -> Iterator[Refusal]:
    """The triggers of a table that is to be rebuilt: only a superuser can make one again."""
    for trigger in schema.triggers_on(table):
        hint = (
            f"as a superuser:  {drop_trigger(trigger)};  and behind the rebuild "
            f" {describe_trigger(trigger)};  each time with  {commands.accept()}"
        )
        yield f"the trigger {trigger.name} ends with the table that is rebuilt", hint


# -- views on a table that loses columns -----------------------------------------------------------


def views_against(schema: Schema, effect: Effect, server: Server) -> list[Table]:
    """The views for which a server refuses an ALTER TABLE ... DROP: on Cassandra all, on ScyllaDB
    those that have the column, or keep it to know which rows are alive.
    """
    views = list(schema.views_on(effect.name))
    table = schema.table(effect.name)
    if server != "ScyllaDB" or table is None:
        return views

    def needs(view: Table) -> bool:
        keeps_all = view.whole or set(view.key) <= set(table.key)
        return keeps_all or any(view.column(name) for name in effect.drop)

    return [view for view in views if needs(view)]


def lost_by_view(view: Table, dropped: tuple[str, ...]) -> str:
    """The first dropped column without which a view can't be made again; empty if it can."""
    where = {token.value for token in tokenize(view.where) if token.is_name()}
    named = where | set(view.key) | (set() if view.whole else {c.name for c in view.columns})
    return next((name for name in dropped if name in named), "")


def free_index_name(schema: Schema, effect: Effect) -> str:
    """The name that a server would give an index that has none: the first that is free.

    Of one that is only to be made IF NOT EXISTS, and is there, it is the name that it has.
    """
    assert effect.extra is not None
    taken = [e for e in schema.extras if e.kind == "index"]
    if effect.conditional:
        for index in taken:
            if _same_index(index, effect.extra, schema.table):
                return index.name
    names, number, name = {e.name for e in taken}, 0, effect.name
    while name in names:
        number += 1
        name = f"{effect.name}_{number}"
    return name


def _same_index(one: Extra, other: Extra, table_of: Callable[[str], Table | None]) -> bool:
    table = table_of(one.table)
    if table is None or one.table != other.table:
        return False
    kinds = (json.loads(e.definition)[1] for e in (one, other))
    return len(set(kinds)) == 1 and indexed(one, table) == indexed(other, table)
