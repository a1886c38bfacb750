"""The rules for statements of a migration that hold whatever the schema.

What needs more than the statement itself (is there such a table, and such a column?) is for the
plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from calldrop_migrate.core.cql import Kind, Statement, Token, bind_markers, quote
from calldrop_migrate.core.directives import Rebuild
from calldrop_migrate.errors import Fault, Place

_CONFIGURED = "the keyspace comes from the configuration"


_READING = ("select", "describe", "desc", "list")
_WRITING = ("insert", "update", "delete", "begin")
_ROWS = (*_WRITING, "select")
# Each time another value.
_OF_THE_MOMENT = re.compile(r"now|uuid|current_?(timestamp|date|time|timeuuid)")
# Reserved words, so nowhere but at the beginning of a statement (or in the permissions of a GRANT).
_BEGINNINGS = ("create", "insert", "update", "delete", "truncate")
_OBJECTS = ("table", "columnfamily", "materialized", "index", "keyspace")

# What no table of the server tells, or what ends with a table that is rebuilt, by first words.
_TRIGGER = (
    "a trigger: it ends with a table that is rebuilt, and only a superuser can make it again",
    "leave it out, and make it by hand, or drop it",
)
_COMMENT = "write  WITH comment = '...'  of a table or view, and `--` comments into the file"
_BEYOND: dict[tuple[str, ...], tuple[str, str]] = {
    ("create", "trigger"): _TRIGGER,
    ("drop", "trigger"): _TRIGGER,
    ("comment", "on"): ("COMMENT ON (Cassandra 6.0)", _COMMENT),
    ("security", "label"): ("a SECURITY LABEL (Cassandra 6.0)", "set it by hand"),
}


def misplaced(statement: Statement) -> Iterator[Fault]:
    """Yield what is wrong with a statement wherever it stands."""
    first = statement.tokens[0]
    if beyond := _BEYOND.get(statement.words(2)):
        yield Fault(statement.place, *beyond)
        return
    if first.is_word(*_READING):
        hint = "read with a program or in cqlsh"
        yield Fault(statement.place, f"{first.text.upper()} changes nothing", hint)
    if first.is_word("use"):
        yield Fault(statement.place, "USE in a migration", _CONFIGURED)
    for token in statement.tokens:
        if token.is_word("keyspace", "schema"):
            message = f"{token.text.upper()} in a migration"
            yield Fault(_place(statement, token), message, _CONFIGURED)
    for keyspace, table in qualified(statement):
        message = f"`{keyspace.text}.{table.text}` names a keyspace"
        hint = f"write `{table.text}`: {_CONFIGURED}"
        yield Fault(_place(statement, keyspace), message, hint)
    if first.is_word(*_WRITING):
        yield from _unrepeatable(statement)
    for marker in bind_markers(statement.tokens):
        hint = "nothing is bound in a migration: write the value itself"
        yield Fault(_place(statement, marker), "a bind marker", hint)
    yield from _unsafe(statement)
    if begins := _second_beginning(statement):
        message = f"{begins.text.upper()} inside the statement of line {first.line}"
        yield Fault(_place(statement, begins), message, "a `;` is missing before it")


def _unrepeatable(statement: Statement) -> Iterator[Fault]:
    """Yield what a run that was killed would do twice: it sends a statement about rows again."""
    hint = "a run that was killed sends it again: write the value that is meant"
    tokens = statement.tokens
    for before, token, following in zip((None, *tokens), tokens, tokens[1:], strict=False):
        called = following.is_symbol("(") and token.kind is Kind.WORD
        if called and _OF_THE_MOMENT.fullmatch(token.value):
            message = f"{token.text}() is another value each time"
            yield Fault(_place(statement, token), message, hint)
        adds = token.is_symbol("+-") or token.text in ("+=", "-=")
        prepends = token.is_symbol("+") and before is not None and before.is_symbol("]")
        if adds and (prepends or _is_added(token, following)):
            message = f"`{token.text} {following.text}` changes what is there, each time"
            yield Fault(_place(statement, token), message, hint)


def _unsafe(statement: Statement) -> Iterator[Fault]:
    """Yield what servers take, and what harms afterwards."""
    tokens = statement.tokens
    if statement.words(1) == ("create",):
        for token, following in pairwise(tokens):
            if token.is_word("compact") and following.is_word("storage"):
                hint = "leave it out: such a table shows other columns than the statement names"
                yield Fault(_place(statement, token), "COMPACT STORAGE", hint)
    if statement.words(3) == ("create", "materialized", "view"):
        yield from _unreadable(statement)


def _unreadable(statement: Statement) -> Iterator[Fault]:
    """Yield what Cassandra writes down of a view's WHERE in a way that it can't read: a node with
    such a view does not start again. It doubles no quote in a string, and quotes no field of a user
    type.
    """
    in_braces = 0
    begins = next((n for n, t in enumerate(statement.tokens) if t.is_word("where")), None)
    for token in statement.tokens[begins:] if begins else ():
        if token.is_word("primary"):
            return
        in_braces += token.is_symbol("{") - token.is_symbol("}")
        field = in_braces and token.kind is Kind.QUOTED and quote(token.value) != token.value
        if field or (token.kind is Kind.STRING and "'" in token.value):
            what = "a quoted field name" if field else "a quote within a string"
            message = f"{what} in the WHERE of a view"
            hint = "a Cassandra node with such a view does not start again: leave the condition out"
            yield Fault(_place(statement, token), message, hint)


def _is_added(sign: Token, operand: Token) -> bool:
    """Return whether an operand adds up: a counter's number, a list's elements; those of a set
    don't.
    """
    return operand.kind is Kind.NUMBER or (operand.is_symbol("[") and "+" in sign.text)


def _place(statement: Statement, token: Token) -> Place:
    return Place(statement.place.file, token.line, token.column)


def _second_beginning(statement: Statement) -> Token | None:
    """Return where another statement begins inside this one."""
    tokens = statement.tokens
    if tokens[0].is_word("begin", "grant", "revoke", "list"):
        return None
    for token, following in pairwise(tokens[1:]):
        if token.is_word(*_BEGINNINGS):
            return token
        if token.is_word("drop", "alter") and following.is_word(*_OBJECTS):
            return token
    return None


def qualified(statement: Statement) -> Iterator[tuple[Token, Token]]:
    """The `keyspace.name` pairs of a statement.

    Where it is about rows, `a.b` may also be the field of a user type, and only three words are
    followed by the name of a table. In all other statements a dot means a keyspace.
    """
    tokens = statement.tokens
    about_rows = tokens[0].is_word(*_ROWS)
    for before, name, dot, other in zip(
        (None, *tokens), tokens, tokens[1:], tokens[2:], strict=False
    ):
        is_pair = name.is_name() and dot.is_symbol(".") and other.is_name()
        if is_pair and (not about_rows or (before and before.is_word("into", "from", "update"))):
            yield name, other


def created_table(statement: Statement) -> Token | None:
    """The name of the table that a statement creates."""
    if statement.words(2) not in (("create", "table"), ("create", "columnfamily")):
        return None
    for token in statement.tokens[2:]:
        if not token.is_word("if", "not", "exists"):
            return token if token.is_name() else None
    return None


def misbuilt(rebuild: Rebuild, statement: Statement) -> Iterator[Fault]:
    """Yield what is wrong with a statement as the one that a rebuild applies to."""
    table = created_table(statement)
    if not table:
        message = "the statement after `-- migrate:rebuild` is no CREATE TABLE"
        yield Fault(rebuild.place, message, f"it is `{' '.join(statement.words(3)).upper()}`")
        return
    if statement.tokens[2].is_word("if"):
        hint = "a rebuild needs the table to be there: remove IF NOT EXISTS"
        yield Fault(_place(statement, statement.tokens[2]), "IF NOT EXISTS under a rebuild", hint)
    if rebuild.into == table.value:
        hint = "without into= the new shape takes the table's place"
        yield Fault(rebuild.place, f"`into={rebuild.into}` is the table itself", hint)
    # Not every name in it is a column: enough to find a misspelt `into=`, the plan knows better.
    names = {token.value for token in statement.tokens if token.is_name()}
    for column, selector in rebuild.assign:
        if column not in names:
            message = f"no column `{column}` in the CREATE TABLE to fill with `{selector}`"
            yield Fault(rebuild.place, message)
