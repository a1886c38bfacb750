"""Selectors of a copy that give a column's values: as they are, or under a CAST that loses none.

What is exact was tried on Cassandra 5.0.9 for every pair of numeric types, and read in ScyllaDB's
castas_fcts.cc. Only an empty value, which no literal of CQL makes, becomes null.
"""

from __future__ import annotations

from calldrop_migrate.core.cql import CqlError, tokenize
from calldrop_migrate.core.schema import Table, plain_type

# A value of the one is a value of the other, byte by byte, with the same meaning as a key.
_SAME_BYTES = {("ascii", "text"), ("timeuuid", "uuid")}
_EXACT = {
    "tinyint": {"smallint", "int", "bigint", "varint", "decimal", "float", "double"},
    "smallint": {"int", "bigint", "varint", "decimal", "float", "double"},
    "int": {"bigint", "varint", "decimal", "double"},
    "bigint": {"varint", "decimal"},
    "varint": {"decimal"},
    "float": {"double"},
}


def same_bytes(here: str, there: str) -> bool:
    """Return whether a value of one type is a value of the other, byte by byte."""
    here, there = plain_type(here), plain_type(there)
    return here == there or (here, there) in _SAME_BYTES


def same_value(here: str, there: str) -> bool:
    """Return whether one value of a type is one of the other, whichever of them is frozen."""
    within = (plain_type(f"tuple<{kind}>") for kind in (here, there))
    return same_bytes(here, there) or next(within) == next(within)


def cast_of(selector: str) -> tuple[str, str] | None:
    """Column and type of a selector that is CAST(column AS type) and nothing else."""
    try:
        tokens = tokenize(selector)
    except CqlError:
        return None
    if len(tokens) != 6 or not tokens[0].is_word("cast") or not tokens[2].is_name():
        return None
    marks = tokens[1].is_symbol("("), tokens[3].is_word("as"), tokens[5].is_symbol(")")
    return (tokens[2].value, tokens[4].value) if all(marks) else None


def origin(source: Table, selector: str) -> str:
    """The column of the source all of whose values a selector gives; empty where there is none."""
    if source.column(selector) is not None:
        return selector
    name, kind = cast_of(selector) or ("", "")
    column = source.column(name)
    if column is None:
        return ""
    exact = same_bytes(column.type, kind) or kind in _EXACT.get(column.type, ())
    return name if exact else ""
