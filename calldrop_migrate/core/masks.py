"""The masks of columns (Cassandra 5.0): as CQL, from a statement and from the server's own tables.

A mask is a function without its first argument: `mask_inner(1, null)`. The server keeps its
arguments as text by their types. Those of collections, tuples and user types it keeps in a form
that is no CQL: such a mask can be compared, and not be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calldrop_migrate.core.cql import Kind, Token, literal, quote, tokenize

_QUOTED = ("ascii", "text", "varchar", "date", "time", "timestamp", "inet")
_NATIVE = "system"


def from_row(row: Mapping[str, Any]) -> str:
    """The mask in a row of system_schema.column_masks."""
    name = quote(row["function_name"])
    if row["function_keyspace"] != _NATIVE:
        name = f"{quote(row['function_keyspace'])}.{name}"
    values = zip(
        row["function_argument_types"] or (),
        row["function_argument_values"] or (),
        row["function_argument_nulls"] or (),
        strict=True,
    )
    return f"{name}({', '.join(_argument(*value) for value in values)})"


def _argument(type_: str, value: str, is_null: bool) -> str:
    if is_null:
        return "null"
    if type_ in _QUOTED:
        return literal(value)
    if type_ == "blob":
        return f"0x{value}"
    if "<" in type_ or not type_.isalpha():
        return f"<{type_} {value}>"
    return value


def can_be_written(mask: str) -> bool:
    """Return whether a mask is CQL."""
    return not any(token.is_symbol("<") for token in tokenize(mask))


def declared(tokens: Sequence[Token]) -> str:
    """The mask that stands behind MASKED WITH."""
    if len(tokens) == 1 and tokens[0].is_word("default"):
        return "mask_default()"
    text = ""
    for token in tokens:
        word = token.text.lower() if token.kind in (Kind.WORD, Kind.NUMBER) else token.text
        text += ", " if word == "," else literal(token.value) if token.kind is Kind.STRING else word
    return text.removeprefix(f"{_NATIVE}.")


def are_same(one: str, other: str) -> bool:
    """Return whether two texts are of one mask. What mask_replace and functions of users put in
    place of a value is of any type, and its text is the server's own.
    """
    if one == other or not (one and other):
        return one == other
    name, other_name = (text.partition("(")[0].rpartition(".")[2] for text in (one, other))
    native = name.startswith("mask_") and name != "mask_replace"
    return name == other_name and not native
