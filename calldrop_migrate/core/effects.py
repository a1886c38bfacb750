"""The results of a statement's effect: the schema after it, and whether it is there already.

`after` tells the plan what later statements will find. `happened` tells recovery whether a
statement whose reply was lost was applied (docs/protocol.md 4). They agree: what `after` gives,
`happened` accepts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

from calldrop_migrate.core import masks
from calldrop_migrate.core.cql import CqlError, quote, tokenize
from calldrop_migrate.core.ddl import Effect
from calldrop_migrate.core.declared import holds, options_hold
from calldrop_migrate.core.schema import (
    Column,
    Dropped,
    Extra,
    Schema,
    Table,
    plain_type,
    sorted_columns,
)


def after(schema: Schema, effect: Effect) -> Schema:
    """The schema once the effect is there; options that a CREATE leaves open stay open."""
    match effect.verb, effect.kind:
        case "create", "table" | "view" if effect.table:
            if effect.conditional and schema.table(effect.name):
                return schema
            return schema.put(completed(effect.table, schema))
        case "drop", "table" | "view":
            return schema.without(effect.name)
        case "alter", "table" | "view":
            table = schema.table(effect.name)
            return schema if table is None else _altered(schema, table, effect)
        case "create", "type" | "index" if effect.extra:
            if effect.conditional and schema.extra(effect.kind, effect.name):
                return schema
            return _with_extra(schema, effect.extra)
        case "alter", "type":
            made = schema.extra("type", effect.name)
            return schema if made is None else _with_extra(schema, _altered_type(made, effect))
        case "drop", "type" | "index":
            kept = [e for e in schema.extras if (e.kind, e.name) != (effect.kind, effect.name)]
            return schema.with_extras(kept)
    return schema


def needed_by(effect: Effect) -> tuple[str, str]:
    """Kind and name of what has to be there for it: of a view its base, of an index its table."""
    if effect.verb != "create":
        return effect.kind, effect.name
    base = effect.extra.table if effect.extra else effect.table.base if effect.table else ""
    return "table", base


def completed(declared: Table, schema: Schema) -> Table:
    """A declared view with what it takes from its base: types and masks, and for SELECT * the
    columns.
    """
    base = schema.table(declared.base) if declared.base else None
    if base is None:
        return declared
    of_base = {c.name: (c.type, c.mask) for c in base.columns}
    columns = []
    for column in declared.columns:
        type_, mask = of_base.pop(column.name, ("", ""))
        columns.append(replace(column, type=type_, mask=mask))
    if declared.whole:
        columns += [Column(name, type_, mask=mask) for name, (type_, mask) in of_base.items()]
    return replace(declared, columns=sorted_columns(columns))


def _altered(schema: Schema, table: Table, effect: Effect) -> Schema:
    kept = [_changed(c, effect) for c in table.columns if c.name not in effect.drop]
    gone = [Dropped(c.name, c.type, c.kind) for c in table.columns if c.name in effect.drop]
    names = {c.name for c in kept}
    added = [c for c in effect.add if c.name not in names]  # IF NOT EXISTS
    changed = replace(
        table,
        columns=sorted_columns([*kept, *added]),
        options=tuple(sorted((dict(table.options) | dict(effect.options)).items())),
        compact=table.compact and not effect.compact,
        # A server remembers of each name the column that was dropped last.
        dropped=(*(d for d in table.dropped if d.name not in effect.drop), *gone),
    )
    views = [_following(view, effect, added) for view in schema.views_on(table.name)]
    return schema.put(changed, *views)


def _changed(column: Column, effect: Effect) -> Column:
    mask = dict(effect.masks).get(column.name, column.mask)
    return replace(column, name=dict(effect.rename).get(column.name, column.name), mask=mask)


def _following(view: Table, effect: Effect, added: list[Column]) -> Table:
    """A view after its base was altered: names and masks change with it, and SELECT * takes what is
    added, but no static column.
    """
    columns = [_changed(c, effect) for c in view.columns]
    if view.whole:
        columns += [Column(c.name, c.type, mask=c.mask) for c in added if c.kind != "static"]
    where = _renamed(view.where, dict(effect.rename))
    return replace(view, columns=sorted_columns(columns), where=where)


def _renamed(where: str, new: Mapping[str, str]) -> str:
    try:
        tokens = tokenize(where) if new else []
    except CqlError:
        return where
    for token in reversed(tokens):
        if token.is_name() and token.value in new:
            where = where[: token.start] + quote(new[token.value]) + where[token.end :]
    return where


def _with_extra(schema: Schema, extra: Extra) -> Schema:
    kept = [e for e in schema.extras if (e.kind, e.name) != (extra.kind, extra.name)]
    return schema.with_extras([*kept, extra])


def _fields(type_: Extra) -> dict[str, str]:
    names, types = json.loads(type_.definition)
    return dict(zip(names, types, strict=True))


def _altered_type(made: Extra, effect: Effect) -> Extra:
    new = dict(effect.rename)
    fields = {new.get(name, name): kind for name, kind in _fields(made).items()}
    for added in effect.add:
        fields.setdefault(added.name, added.type)
    return replace(made, definition=json.dumps([list(fields), list(fields.values())]))


# -- has it happened -------------------------------------------------------------------------------


def happened(effect: Effect, schema: Schema) -> bool:
    """Return whether a statement's postcondition holds in a schema read later
    (docs/protocol.md 4).
    """
    table, extra = schema.table(effect.name), schema.extra(effect.kind, effect.name)
    match effect.verb, effect.kind:
        case "create", "table" | "view" if effect.table:
            if table is None or effect.conditional:  # IF NOT EXISTS is content with any
                return table is not None
            return holds(completed(effect.table, schema), table)
        case "drop", "table" | "view":
            return table is None
        case "alter", "table" | "view":
            return effect.conditional if table is None else _is_altered(table, effect)
        case "create", "type" | "index" if effect.extra:
            if extra is None or effect.conditional:
                return extra is not None
            return _same_extra(effect.extra, extra)
        case "alter", "type":
            return effect.conditional if extra is None else _is_altered_type(extra, effect)
        case "drop", "type" | "index":
            return extra is None
    return False


def is_there(effect: Effect, schema: Schema) -> bool:
    """Return whether a schema read after a statement shows it, where the server said that it is
    done: how the server writes what it made is its own affair.
    """
    if effect.verb != "create":
        return happened(replace(effect, options=()), schema)
    if effect.kind in ("table", "view"):
        return schema.table(effect.name) is not None
    return schema.extra(effect.kind, effect.name) is not None


def _same_extra(declared: Extra, live: Extra) -> bool:
    """Return whether an extra is the declared one. Of an index the table counts: how its target and
    options are written differs."""
    if declared.kind != "type":
        return declared.table == live.table
    return {n: plain_type(t) for n, t in _fields(declared).items()} == {
        n: plain_type(t) for n, t in _fields(live).items()
    }


def _is_altered(table: Table, effect: Effect) -> bool:
    have = {c.name: (plain_type(c.type), c.kind) for c in table.columns}
    added = all(
        have.get(c.name) == (plain_type(c.type), c.kind) or (effect.loose and c.name in have)
        for c in effect.add
    )
    dropped = not any(name in have for name in effect.drop)
    columns = {c.name: c for c in table.columns}
    masked = all(
        masks.are_same(mask, columns[name].mask) for name, mask in effect.masks if name in columns
    )
    renamed = _are_renamed(have, effect)
    return added and dropped and renamed and masked and options_hold(effect.options, table)


def _is_altered_type(made: Extra, effect: Effect) -> bool:
    have = _fields(made)
    return all(c.name in have for c in effect.add) and _are_renamed(have, effect)


def _are_renamed(have: Collection[str], effect: Effect) -> bool:
    return all(old not in have and (new in have or effect.loose) for old, new in effect.rename)
