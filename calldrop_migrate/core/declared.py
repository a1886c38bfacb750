"""Between a declaration and the live table: does it hold, and the CQL that would declare it.

The theory of `holds`: what the server made of a statement is the truth, and only what the statement
names is compared. A server fills in what was left open (min_threshold beside a declared compaction
class, the order of a view's clustering columns), writes values in its own way, and keeps some
options where system_schema.tables doesn't show them (ScyllaDB's tombstone_gc, a boolean of
Cassandra's at its default).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from calldrop_migrate.core import masks
from calldrop_migrate.core import options as table_options
from calldrop_migrate.core.cql import literal, quote
from calldrop_migrate.core.options import map_as_cql
from calldrop_migrate.core.schema import (
    Column,
    Extra,
    Schema,
    Table,
    conditions,
    names_type,
    sorted_columns,
)


def holds(declared: Table, live: Table) -> bool:
    """Return whether the live table has the declared columns, keys, view definition, and
    options.
    """
    if (declared.base, conditions(declared.where)) != (live.base, conditions(live.where)):
        return False
    return as_made(declared, live).same_shape_as(live) and options_hold(declared.options, live)


def as_made(declared: Table, live: Table) -> Table:
    """A declared table with what its statement leaves to the server, or the server writes in its
    own way: the order of a view's clustering columns, the arguments of a mask.
    """
    return replace(declared, columns=sorted_columns(_made(c, live) for c in declared.columns))


def _made(column: Column, live: Table) -> Column:
    there = live.column(column.name)
    if there is None:
        return column
    mask = there.mask if masks.are_same(column.mask, there.mask) else column.mask
    return replace(column, order=column.order or there.order, mask=mask)


def options_hold(declared: Iterable[tuple[str, str]], live: Table) -> bool:
    """Return whether each declared option that the live table shows is so; of a map each entry."""
    return table_options.hold(declared, live.options)


# -- as CQL ----------------------------------------------------------------------------------------


def describe(table: Table) -> str:
    """CQL that makes this table or view, with all options that are known of it."""
    head = _view_head(table) if table.base else _table_head(table)
    order = ", ".join(
        f"{quote(c.name)} {c.order.upper()}"
        for c in table.columns
        if c.kind == "clustering" and c.order
    )
    options = [f"CLUSTERING ORDER BY ({order})"] if order else []
    # A view's rows expire with those of its base, and no view takes a TTL.
    left_out = "default_time_to_live" if table.base else ""
    options += table_options.as_cql(o for o in table.options if o[0] != left_out)
    return head + (" WITH " + "\n   AND ".join(options) if options else "")


def _keys(table: Table) -> str:
    partition = ", ".join(map(quote, table.partition_key))
    if len(table.partition_key) > 1:
        partition = f"({partition})"
    return ", ".join([partition, *map(quote, table.clustering_key)])


def column_as_cql(column: Column) -> str:
    """A column as it stands in a CREATE or behind an ADD."""
    static = " STATIC" * (column.kind == "static")
    masked = f" MASKED WITH {column.mask}" if column.mask else ""
    return f"{quote(column.name)} {column.type}{static}{masked}"


def _table_head(table: Table) -> str:
    columns = "".join(f"    {column_as_cql(c)},\n" for c in table.columns)
    return f"CREATE TABLE {quote(table.name)} (\n{columns}    PRIMARY KEY ({_keys(table)})\n)"


def _view_head(view: Table) -> str:
    selected = "*" if view.whole else ",\n    ".join(quote(c.name) for c in view.columns)
    return (
        f"CREATE MATERIALIZED VIEW {quote(view.name)} AS\n  SELECT\n    {selected}\n"
        f"  FROM {quote(view.base)}\n  WHERE {view.where}\n  PRIMARY KEY ({_keys(view)})"
    )


def as_cql(schema: Schema) -> str:
    """CQL that makes everything of a schema, in an order in which it can be made."""
    types = [describe_type(e) for e in types_in_order(schema)]
    tables = [describe(t) for t in schema.tables if not t.base]
    indexes = [describe_index(e) for e in schema.extras if e.kind == "index"]
    triggers = [describe_trigger(e) for e in schema.extras if e.kind == "trigger"]
    views = [describe(t) for t in schema.tables if t.base]
    texts = (*types, *tables, *indexes, *triggers, *views)
    return "".join(f"{text};\n\n" for text in texts).rstrip() + "\n"


def types_in_order(schema: Schema) -> list[Extra]:
    """The user types, each behind those that it is made of."""
    left = [e for e in schema.extras if e.kind == "type"]
    ordered: list[Extra] = []
    while left:
        free = [e for e in left if not any(uses(e, other.name) for other in left if other != e)]
        ordered += free or left
        left = [e for e in left if e not in ordered]
    return ordered


def uses(made: Extra, type_: str) -> bool:
    """Return whether a user type has a field of another user type."""
    return any(names_type(field, type_) for field in json.loads(made.definition)[1])


def describe_type(made: Extra) -> str:
    """CQL that makes a user type."""
    names, types = json.loads(made.definition)
    fields = ", ".join(f"{quote(n)} {t}" for n, t in zip(names, types, strict=True))
    return f"CREATE TYPE {quote(made.name)} ({fields})"


def describe_trigger(trigger: Extra) -> str:
    """CQL that makes a trigger."""
    _, class_name = json.loads(trigger.definition)
    return f"CREATE TRIGGER {_of_table(trigger)} USING {literal(class_name)}"


def drop_trigger(trigger: Extra) -> str:
    """CQL that drops a trigger."""
    return f"DROP TRIGGER {_of_table(trigger)}"


def _of_table(trigger: Extra) -> str:
    return f"{quote(trigger.name.removesuffix(f' on {trigger.table}'))} ON {quote(trigger.table)}"


def describe_index(index: Extra) -> str:
    """CQL that makes an index, from its definition as the server stores it."""
    table, kind, options = json.loads(index.definition)
    target, using = options["target"], options.get("class_name", "")
    if target.startswith("{"):  # ScyllaDB's local index
        parts = json.loads(target)
        target = f"({_names(parts['pk'])}), {_names(parts['ck'])}"
    custom = "CUSTOM " if kind == "CUSTOM" else ""
    text = f"CREATE {custom}INDEX {quote(index.name)} ON {quote(table)} ({target})"
    rest = {k: v for k, v in options.items() if k not in ("target", "class_name")}
    if using:
        text += f" USING {literal(using)}"
    return text + (f" WITH OPTIONS = {map_as_cql(rest)}" if rest else "")


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(quote, columns))
