"""Columns that are added again under the name of one that was dropped, and why a server may refuse.

A server keeps name and type of a dropped column for ever: sstables may still hold its cells.

    Cassandra   only as the same kind, and as a type that reads the old cells. It keeps a user type
                as a tuple of its fields, and takes no user type for that.
    ScyllaDB    as any type, but a collection that isn't frozen only as the same one
    both        never in a table of counters
"""

from __future__ import annotations

import json

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.schema import Column, Dropped, Schema, Table, plain_type, type_parts

_NATIVE = frozenset(
    (
        *("ascii", "bigint", "blob", "boolean", "counter", "date", "decimal", "double"),
        *("duration", "float", "inet", "int", "smallint", "text", "time", "timestamp"),
        *("timeuuid", "tinyint", "uuid", "varint"),
    )
)
# Of native types, what reads the cells of what: tried on Cassandra 5.0.9, each with each.
_READS = {
    "bigint": {"timestamp"},
    "blob": {
        *("ascii", "date", "decimal", "duration", "inet", "smallint", "text", "time"),
        *("tinyint", "varint"),
    },
    "text": {"ascii"},
    "timestamp": {"bigint"},
    "uuid": {"timeuuid"},
}


def cannot_return(schema: Schema, table: Table, column: Column, gone: Dropped, server: str) -> str:
    """Return why a server refuses to add a column in place of a dropped one; empty where it
    doesn't.
    """
    old, new = gone.type, column.type
    if any(c.type == "counter" for c in table.columns) or old == "counter":
        return "a counter of that name was dropped"
    frozen = [text.startswith("frozen<") for text in (old, new)]
    collections = all(_head(text) in ("list", "set", "map") for text in (old, new))
    if collections and not any(frozen) and is_incompatible(new, old):
        return f"a {old} of that name was dropped, and stays known"
    if server != "Cassandra":
        return ""
    if (gone.kind == "static") != (column.kind == "static"):
        was, becomes = ("a static" if gone.kind == "static" else "no static"), column.kind
        return f"{was} column of that name was dropped, and Cassandra takes no {becomes} one for it"
    kept = as_kept(schema, old)
    if is_incompatible(new, kept):
        return f"a {kept} of that name was dropped, and Cassandra takes no {new} for it"
    return ""


def as_kept(schema: Schema, type_: str) -> str:
    """A type as Cassandra keeps it of a dropped column: a user type as a tuple of its fields."""
    head, parts = type_parts(type_)
    if parts:
        return f"{head}<{', '.join(as_kept(schema, part) for part in parts)}>"
    made = schema.extra("type", head.removeprefix('"').removesuffix('"').replace('""', '"'))
    if made is None or head != quote(made.name):
        return type_
    fields = json.loads(made.definition)[1]
    return f"tuple<{', '.join(as_kept(schema, field) for field in fields)}>"


def is_incompatible(new: str, old: str) -> bool:
    """Return whether a type surely doesn't read the cells of another one, by Cassandra's rules."""
    new, old = plain_type(new), plain_type(old)
    (head, parts), (old_head, old_parts) = type_parts(new), type_parts(old)
    if new == old or not old:
        return False
    if not parts and not old_parts:
        known = {head, old_head} <= _NATIVE
        return old_head not in _READS.get(head, ()) if known else True
    if head != old_head:
        return not (head == "blob" and old_head == "tuple")
    if head in ("tuple", "vector"):  # which may have got more fields
        return len(parts) < len(old_parts) or any(
            _is_user_type(part) != _is_user_type(old_part)
            for part, old_part in zip(parts, old_parts, strict=False)
        )
    return any(is_incompatible(*pair) for pair in zip(parts, old_parts, strict=True))


def _is_user_type(type_: str) -> bool:
    head, parts = type_parts(type_)
    return not parts and head not in _NATIVE and not head.isdigit()


def _head(type_: str) -> str:
    head, parts = type_parts(type_)
    return _head(parts[0]) if head == "frozen" else head
