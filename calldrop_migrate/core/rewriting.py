"""The text of a CREATE, changed: another name, a column, masks, an id, the name of an index."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from calldrop_migrate.core.cql import Statement, quote
from calldrop_migrate.core.cursor import Cursor
from calldrop_migrate.core.ddl import kind_of

_NOTHING: Mapping[str, str] = MappingProxyType({})


def rewritten(
    statement: Statement, name: str, column: str = "", masked: Mapping[str, str] = _NOTHING
) -> str:
    """The text of a CREATE TABLE with another name, one more column before the others, and masks.

    Args:
        name, column: as CQL; a column with its type.
        masked: columns that the statement gives no mask, and the one that each gets.
    """
    reader = Cursor(statement)
    reader.expect("create")
    kind_of(reader)
    reader.take("if", "not", "exists")
    token = reader.name_token()
    changes = [(token.start, token.end, name)]
    bracket = reader.next()
    if column:
        changes.append((bracket.end, bracket.end, f"{column}, "))
    while not (reader.ended or reader.peek() == ")"):
        if not reader.take("primary", "key"):
            mask = masked.get(reader.name(), "")
            reader.type()
            reader.take("static")
            end = reader.last.end
            changes += [(end, end, f" MASKED WITH {mask}")] if mask else []
        reader.until(",")
        reader.take(",")
    text, first = statement.text, statement.tokens[0].start
    for start, end, put in reversed(changes):
        text = f"{text[: start - first]}{put}{text[end - first :]}"
    return text


def named(statement: Statement, index: str) -> str:
    """The text of a CREATE INDEX without a name, with this one."""
    at = next(token.start for token in statement.tokens if token.is_word("on"))
    at -= statement.tokens[0].start
    return f"{statement.text[:at]}{quote(index)} {statement.text[at:]}"


def with_id(statement: Statement, table_id: str) -> str:
    """The text of a CREATE TABLE with `ID = table_id` among its options (Cassandra only)."""
    start, depth = statement.tokens[0].start, 0
    for token in statement.tokens:
        depth += token.is_symbol("(") - token.is_symbol(")")
        if depth == 0 and token.is_word("with"):
            at = token.end - start
            return f"{statement.text[:at]} ID = {table_id} AND{statement.text[at:]}"
    return f"{statement.text} WITH ID = {table_id}"
