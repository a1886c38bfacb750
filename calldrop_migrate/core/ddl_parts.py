"""Parts of statements that change a schema: types, options, and what CREATE TYPE and CREATE INDEX
declare; and the end, behind which nothing may be left. What the statements do is in ddl.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from calldrop_migrate.core.cql import Kind, Token, quote
from calldrop_migrate.core.cursor import Cursor
from calldrop_migrate.core.options import written
from calldrop_migrate.core.schema import Extra


def type_text(tokens: Sequence[Token]) -> str:
    """A type, or an index's target, as the server writes it: `map<text, int>`, `keys(m)`."""
    text = ""
    for token in tokens:
        word = token.text
        if token.kind is Kind.WORD:
            word = {"varchar": "text"}.get(token.value, token.value)
        elif token.kind is Kind.QUOTED:
            word = quote(token.value)
        text += ", " if word == "," else word
    return text


def declared_type(reader: Cursor) -> Extra:
    """A user type."""
    name = reader.name()
    reader.expect("(")
    names, types = [], []
    while True:
        names.append(reader.name())
        types.append(type_text(reader.type()))
        if not reader.take(","):
            break
    reader.expect(")")
    return Extra("type", name, json.dumps([names, types]))


def declared_index(reader: Cursor, *, custom: bool) -> Extra:
    """An index; one without a name gets the one that servers choose, when it is free."""
    name = "" if reader.peek() == "on" else reader.name()
    reader.expect("on")
    table = reader.name()
    reader.expect("(")
    tokens = reader.until(")")
    reader.expect(")")
    options = {"target": type_text(tokens)}
    if reader.take("using"):
        options["class_name"] = reader.next().value
        custom = True
    if reader.take("with", "options", "="):
        options |= entries(reader)
    ended(reader)
    if not name:
        columns = [t.value for t in tokens if t.is_name()]
        name = re.sub(r"\W", "", f"{table}_{columns[-1] if columns else ''}_idx")
    kind = "CUSTOM" if custom else "COMPOSITES"
    return Extra("index", name, json.dumps([table, kind, dict(sorted(options.items()))]))


def option(reader: Cursor) -> tuple[str, str]:
    """One `name = value`, the value as JSON."""
    name = reader.name()
    reader.expect("=")
    if reader.peek() == "{":
        return name, json.dumps(dict(sorted(entries(reader).items())))
    return name, written(reader.until("and"))


def entries(reader: Cursor) -> dict[str, str]:
    """A map's entries, as text."""
    reader.expect("{")
    entries: dict[str, str] = {}
    while not reader.take("}"):
        key = reader.next().value
        reader.expect(":")
        entries[key] = "".join(t.value for t in reader.until(","))
        reader.take(",")
    return entries


# What newer servers take, and no table of system_schema tells, or no copy of a table would have.
_CHECK = (
    "a constraint (CHECK or NOT NULL, Cassandra 6.0), which a rebuilt table would not have",
    "leave it out, and check values where they are written",
)
_BEYOND = {
    "check": _CHECK,
    "not": _CHECK,
    "like": (
        "CREATE TABLE ... LIKE (Cassandra 6.0): its columns are what another table has by then",
        "write the columns and options out",
    ),
    "with": (
        "an option of an index besides OPTIONS, which the index of a rebuilt table would not have",
        "leave it out",
    ),
    "ttl": (
        "a TTL column, which ends whole rows (ScyllaDB 2026.2): a rebuilt table would have none",
        "leave it out: WITH default_time_to_live = ... for the table, or USING TTL for each write",
    ),
}


def ended(reader: Cursor, *closing: str) -> None:
    """Sees that a statement, or what is in brackets, ends here: what isn't read, isn't kept."""
    if reader.take(*closing) if closing else reader.ended:
        return
    expected = f"expected {closing[0]}" if closing else "expected the end of the statement"
    message, hint = _BEYOND.get(reader.peek(), (expected, ""))
    raise reader.error(message, hint=hint)
