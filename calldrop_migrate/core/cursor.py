"""A cursor over the tokens of one statement: what comes next, and a fault where it must not."""

from __future__ import annotations

from collections.abc import Sequence

from calldrop_migrate.core.cql import CqlError, Kind, Statement, Token
from calldrop_migrate.errors import Fault, Place

_OPENING = "([{"
_CLOSING = ")]}"


class Cursor:
    """Reads a statement from its first token to its last.

    Words are compared in lower case, and a quoted name is never taken for a word.
    """

    def __init__(self, statement: Statement, at: int = 0) -> None:
        self._file = statement.place.file
        self._tokens: Sequence[Token] = statement.tokens
        self._at = at

    def peek(self, ahead: int = 0) -> str:
        """A coming word or symbol; empty at the end, and for everything that is neither."""
        at = self._at + ahead
        token = self._tokens[at] if at < len(self._tokens) else None
        return token.value if token and token.kind in (Kind.WORD, Kind.SYMBOL) else ""

    @property
    def ended(self) -> bool:
        """Return whether nothing is left."""
        return self._at >= len(self._tokens)

    def take(self, *words: str) -> bool:
        """Step over these words if they come next."""
        if any(self.peek(n) != word for n, word in enumerate(words)):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Step over these words, which must come next."""
        if not self.take(*words):
            raise self.error(f"expected {' '.join(words).upper()}")

    @property
    def last(self) -> Token:
        """The token that was read last."""
        return self._tokens[self._at - 1]

    def next(self) -> Token:
        """The next token, whatever it is."""
        if self.ended:
            raise self.error("the statement ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def name_token(self) -> Token:
        """The next token, which must be a name."""
        token = self.next()
        if not token.is_name():
            raise self.error("expected a name", token)
        return token

    def name(self) -> str:
        """The next name, without its quotes."""
        return self.name_token().value

    def names(self) -> tuple[str, ...]:
        """Names with commas between them."""
        names = [self.name()]
        while self.take(","):
            names.append(self.name())
        return tuple(names)

    def names_in_brackets(self) -> tuple[str, ...]:
        """Names with commas between them, in round brackets."""
        self.expect("(")
        names = self.names()
        self.expect(")")
        return names

    def type(self) -> list[Token]:
        """A type: its name, and what stands in angle brackets behind that."""
        taken, depth = [self.next()], 0
        while depth or self.peek() == "<":
            taken.append(self.next())
            depth += self.last.is_symbol("<") - self.last.is_symbol(">")
        return taken

    def until(self, *words: str) -> list[Token]:
        """The tokens before one of these words, or before the bracket that they are in ends."""
        taken: list[Token] = []
        depth = 0
        while not self.ended and (depth or self.peek() not in words):
            token = self._tokens[self._at]
            depth += token.is_symbol(_OPENING) - token.is_symbol(_CLOSING)
            if depth < 0:
                break
            taken.append(self.next())
        return taken

    def written(self, name: str) -> Token | None:
        """Return where a name was read last."""
        read = reversed(self._tokens[: self._at])
        return next((t for t in read if t.is_name() and t.value == name), None)

    def error(self, message: str, token: Token | None = None, hint: str = "") -> CqlError:
        """Return what is wrong, at a token or where the cursor stands."""
        token = token or self._tokens[min(self._at, len(self._tokens) - 1)]
        return CqlError(Fault(Place(self._file, token.line, token.column), message, hint))
