"""Passwords in statements about roles: what is sent has them, and nothing that is shown or kept.

A literal behind PASSWORD or HASH (ScyllaDB's SALTED HASH) in CREATE or ALTER of a ROLE or USER.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from calldrop_migrate.core.cql import Kind, Statement, Token, scan

_PUT = "'***'"


def shown(statement: Statement) -> str:
    """The text of a statement, as it may be shown and kept."""
    return _without(statement.text, statement.tokens, statement.tokens[0].start)


def shown_file(text: str) -> str:
    """The text of a whole file, as it may be kept."""
    tokens, _ = scan(text)
    return _without(text, tokens, 0)


def hide(message: str, statement: Statement) -> str:
    """Return what a server said of a statement, without its passwords: it may quote them."""
    for token in _secrets(statement.tokens):
        message = message.replace(token.text, _PUT)
        message = message.replace(token.value, _PUT) if len(token.value) > 3 else message
    return message


def is_hidden(text: str) -> bool:
    """Return whether a file's text lacks its passwords."""
    tokens, _ = scan(text)
    return any(token.text == _PUT for token in _secrets(tokens))


def _without(text: str, tokens: Sequence[Token], first: int) -> str:
    for token in reversed(list(_secrets(tokens))):
        text = f"{text[: token.start - first]}{_PUT}{text[token.end - first :]}"
    return text


def _secrets(tokens: Sequence[Token]) -> Iterator[Token]:
    tokens = [token for token in tokens if token.kind is not Kind.COMMENT]
    of_role, before = False, None
    for token, following in pairwise([*tokens, *tokens[-1:]]):
        if token.is_word("create", "alter"):
            of_role = following.is_word("role", "user")
        elif token.is_symbol(";"):
            of_role = False
        if of_role and before and before.is_word("password", "hash") and token.kind is Kind.STRING:
            yield token
        if not token.is_symbol("="):
            before = token
