"""The few statements about rows that the engine and its migrations send, read from CQL.

SELECT, INSERT, UPDATE, DELETE and conditional batches. Anything else raises `Unmodelled`: a
simulator that guesses would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from calldrop_migrate.core.cql import Kind, Token, tokenize


class Unmodelled(Exception):
    """A statement that the simulator doesn't know."""


@dataclass(frozen=True, slots=True)
class Marker:
    """The place of a bound value."""

    index: int


@dataclass(frozen=True, slots=True)
class Selected:
    """One selected column, or WRITETIME or TTL of it, and its name in the result."""

    function: str
    column: str
    name: str


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation of a WHERE or an IF: column, `=` or `in`, a value or a marker."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Select:
    """A SELECT; no items means all columns."""

    keyspace: str
    table: str
    items: tuple[Selected, ...]
    where: tuple[Relation, ...]
    limit: int | None


@dataclass(frozen=True, slots=True)
class Write:
    """An INSERT, UPDATE or DELETE.

    Attributes:
        sets: column and value; of a DELETE the columns, with None.
        using: `ttl` and `timestamp`, where given.
        conditions: of its IF; `exists` is None, or whether the row must (not) exist.
    """

    verb: str
    keyspace: str
    table: str
    sets: tuple[tuple[str, Any], ...]
    where: tuple[Relation, ...]
    using: tuple[tuple[str, Any], ...] = ()
    conditions: tuple[Relation, ...] = ()
    exists: bool | None = None

    @property
    def is_conditional(self) -> bool:
        """Return whether it has an IF."""
        return bool(self.conditions) or self.exists is not None


@cache
def parse(cql: str) -> Select | tuple[Write, ...]:
    """Read one statement; a batch gives all its writes."""
    return _Parser(tokenize(cql), cql).statement()


class _Parser:
    def __init__(self, tokens: Sequence[Token], cql: str) -> None:
        self._tokens = [token for token in tokens if not token.is_symbol(";")]
        self._at = 0
        self._markers = 0
        self._cql = cql

    # -- tokens ------------------------------------------------------------------------------------

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        return token.value if token.kind in (Kind.WORD, Kind.SYMBOL) else ""

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise Unmodelled(f"ends too early: {self._cql}")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *words: str) -> bool:
        ahead = [t.value for t in self._tokens[self._at : self._at + len(words)]]
        if ahead != list(words):
            return False
        self._at += len(words)
        return True

    def _expect(self, *words: str) -> None:
        if not self._take(*words):
            raise Unmodelled(f"expected {' '.join(words)} at token {self._at} of: {self._cql}")

    def _name(self) -> str:
        return self._next().value

    def _table(self) -> tuple[str, str]:
        first = self._name()
        return (first, self._name()) if self._take(".") else ("", first)

    def _term(self) -> Any:
        token = self._next()
        if token.is_symbol("?"):
            self._markers += 1
            return Marker(self._markers - 1)
        if token.is_symbol("-"):
            return -self._term()
        match token.kind:
            case Kind.STRING:
                return token.value
            case Kind.NUMBER:
                return _number(token.text)
        if token.is_word("null", "true", "false"):
            return {"null": None, "true": True, "false": False}[token.value]
        raise Unmodelled(f"a value {token.text!r} in: {self._cql}")

    def _separated(self, *by: str) -> Iterator[None]:
        """Yield once for each part between these words."""
        yield
        while self._take(*by):
            yield

    # -- statements --------------------------------------------------------------------------------

    def statement(self) -> Select | tuple[Write, ...]:
        if self._take("select"):
            found: Select | tuple[Write, ...] = self._select()
        elif self._take("begin"):
            _ = self._take("unlogged") or self._take("logged")
            self._expect("batch")
            writes = []
            while not self._take("apply", "batch"):
                writes.append(self._write())
            found = tuple(writes)
        else:
            found = (self._write(),)
        if self._at < len(self._tokens):
            raise Unmodelled(f"{self._tokens[self._at].text!r} in: {self._cql}")
        return found

    def _select(self) -> Select:
        items: list[Selected] = []
        if not self._take("*"):
            items = [self._selected() for _ in self._separated(",")]
        self._expect("from")
        keyspace, table = self._table()
        where = self._relations() if self._take("where") else ()
        limit = int(self._next().text) if self._take("limit") else None
        return Select(keyspace, table, tuple(items), where, limit)

    def _selected(self) -> Selected:
        column, function = self._name(), ""
        if self._take("("):
            function, column = column, self._name()
            self._expect(")")
        shown = f"{function}({column})" if function else column
        return Selected(function, column, self._name() if self._take("as") else shown)

    def _relations(self) -> tuple[Relation, ...]:
        found = []
        for _ in self._separated("and"):
            column = self._name()
            operator = "in" if self._take("in") else self._next().text
            if operator not in ("=", "in"):
                raise Unmodelled(f"{operator} in: {self._cql}")
            found.append(Relation(column, operator, self._term()))
        return tuple(found)

    def _write(self) -> Write:
        match self._next().value:
            case "insert":
                return self._insert()
            case "update":
                return self._update()
            case "delete":
                return self._delete()
        raise Unmodelled(self._cql)

    def _insert(self) -> Write:
        self._expect("into")
        keyspace, table = self._table()
        self._expect("(")
        names = [self._name() for _ in self._separated(",")]
        self._expect(")", "values", "(")
        values = [self._term() for _ in self._separated(",")]
        self._expect(")")
        exists = False if self._take("if", "not", "exists") else None
        sets = tuple(zip(names, values, strict=True))
        return Write("insert", keyspace, table, sets, (), self._using(), (), exists)

    def _update(self) -> Write:
        keyspace, table = self._table()
        using = self._using()
        self._expect("set")
        sets = []
        for _ in self._separated(","):
            column = self._name()
            self._expect("=")
            sets.append((column, self._term()))
        self._expect("where")
        where = self._relations()
        conditions = self._relations() if self._take("if") else ()
        return Write("update", keyspace, table, tuple(sets), where, using, conditions)

    def _delete(self) -> Write:
        names = []
        if self._peek() != "from":
            names = [self._name() for _ in self._separated(",")]
        self._expect("from")
        keyspace, table = self._table()
        using = self._using()
        self._expect("where")
        where, exists = self._relations(), None
        conditions: tuple[Relation, ...] = ()
        if self._take("if", "exists"):
            exists = True
        elif self._take("if"):
            conditions = self._relations()
        sets = tuple((name, None) for name in names)
        return Write("delete", keyspace, table, sets, where, using, conditions, exists)

    def _using(self) -> tuple[tuple[str, Any], ...]:
        if not self._take("using"):
            return ()
        return tuple((self._name(), self._term()) for _ in self._separated("and"))


def _number(text: str) -> int | float | UUID:
    if len(text) == 36:
        return UUID(text)
    return float(text) if "." in text or "e" in text.lower() else int(text)
