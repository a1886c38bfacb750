"""CQL as text: tokens with their places, and a file's statements one by one.

Here lives what both servers' lexers agree on, and nothing about what a statement means: no
directives, no schema, no I/O.

The theory: splitting at `;` is safe on tokens only, because strings, quoted names and comments
may hold one. CQL has no backslash escape (a quote inside quotes is written twice), comments
don't nest, a line ends at LF, CRLF or CR, and outside quotes CQL is ASCII. One regular
expression knows all tokens; its alternatives stand in the order in which they are to be tried.
What none of them reads becomes a fault, and scanning goes on behind it, so that one pass finds
all. The only statement with a `;` of its own is BEGIN .. APPLY BATCH.

Inside `{}` a `:` may stand between key and value, so `:name` is two tokens here: see
`bind_markers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from calldrop_migrate.errors import Fault, Place


class Kind(Enum):
    """The kind of a token."""

    WORD = "word"
    QUOTED = "quoted name"
    STRING = "string"
    NUMBER = "number"
    SYMBOL = "symbol"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class Token:
    """One token, as it was written and where.

    Attributes:
        text: as written.
        value: what it says: a WORD in lower case, a QUOTED name or a STRING without its quotes,
            else the text.
        start: offset of its first character in the text.
        end: offset behind its last character.
        line: from 1.
        column: from 1, in characters.
    """

    kind: Kind
    text: str
    value: str
    start: int
    end: int
    line: int
    column: int

    def is_name(self) -> bool:
        """Return whether it can be the name of something."""
        return self.kind in (Kind.WORD, Kind.QUOTED)

    def is_word(self, *words: str) -> bool:
        """Return whether it is one of these words, in any case and not in quotes."""
        return self.kind is Kind.WORD and self.value in words

    def is_symbol(self, symbols: str) -> bool:
        """Return whether it is one of these one-character symbols."""
        return self.kind is Kind.SYMBOL and len(self.text) == 1 and self.text in symbols


class CqlError(Exception):
    """Text that is not CQL, and the place where it goes wrong."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, without its `;`.

    Attributes:
        text: as written from the first token to the last. Comments inside it are kept, those
            around it are not: servers refuse a last `--` comment without a newline.
        place: where it begins.
        tokens: without comments; those of a BATCH include its inner `;`.
    """

    text: str
    place: Place
    tokens: tuple[Token, ...]

    def words(self, n: int) -> tuple[str, ...]:
        """The words among the first `n` tokens, in lower case: `("create", "table")`."""
        return tuple(token.value for token in self.tokens[:n] if token.kind is Kind.WORD)


_TOKEN = re.compile(
    r"""
      (?P<BLANK>   [ \t\r\n]+ )
    | (?P<COMMENT> (?: -- | // ) [^\r\n]* | /\* .*? \*/ )
    # The look-ahead keeps the engine from giving back half of a '' when the string has no end.
    | (?P<STRING>  ' [^']* (?: '' [^']* )* ' (?!') | \$\$ .*? \$\$ )
    | (?P<QUOTED>  " [^"]* (?: "" [^"]* )* " (?!") )
    # A uuid; a blob; durations as 1h30m and in the two ways of ISO 8601; any other number.
    | (?P<NUMBER>  [0-9a-fA-F]{8} (?: - [0-9a-fA-F]{4} ){3} - [0-9a-fA-F]{12}
                 | 0 [xX] [0-9a-fA-F]*
                 | -? (?: \d+ (?i: mo | ms | us | µs | ns | y | w | d | h | m | s ) )+ (?! \w )
                 | -? P \d{4} - \d\d - \d\d T \d\d : \d\d : \d\d
                 | -? P (?= [T\d] ) (?: \d+ [YMWD] )* (?: T (?: \d+ [HMS] )+ )? (?! \w )
                 | -? \d+ (?: \. (?! \. ) \d* )? (?: [eE] [+-]? \d+ )? )
    | (?P<WORD>    [a-zA-Z] \w* )
    | (?P<ENDLESS> ' | " | \$\$ | /\* )                        # begun above, never closed
    | (?P<SYMBOL>  [<>!+-]= | [][;,.(){}<>=+*/%:?-] )
    | (?P<STRAY>   . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_KINDS: dict[str | None, Kind] = {kind.name: kind for kind in Kind}
_MAY_HOLD_LINES = ("BLANK", "COMMENT", "STRING", "QUOTED")
_NEWLINE = re.compile(r"\r\n?|\n")
_BOM = "\ufeff"

_ENDLESS = {
    "'": (
        "this string is never closed",
        "a quote inside a string is written twice: ''; a backslash escapes nothing",
    ),
    '"': ("this quoted name is never closed", 'a quote inside a quoted name is written twice: ""'),
    "$$": ("this $$ string is never closed", "it ends at the next $$"),
    "/*": ("this comment is never closed", "it ends at the next */; comments do not nest"),
}


def tokenize(text: str, file: str = "<cql>") -> list[Token]:
    """All tokens of a text, comments too; `CqlError` for the first thing that is none."""
    tokens, faults = scan(text, file)
    if faults:
        raise CqlError(faults[0])
    return tokens


def scan(text: str, file: str = "<cql>") -> tuple[list[Token], list[Fault]]:
    """All tokens of a text, and what could not be read.

    Nothing is read behind a quote or a comment that is never closed, or a NUL. A stray character
    is a fault where it stands for the first time only.
    """
    tokens: list[Token] = []
    faults: dict[str, Fault] = {}
    line, line_start = 1, int(text.startswith(_BOM))
    for match in _TOKEN.finditer(text, line_start):
        found, name, start = match.group(), match.lastgroup, match.start()
        column = start - line_start + 1
        if kind := _KINDS.get(name):
            value = _value(kind, found)
            tokens.append(Token(kind, found, value, start, match.end(), line, column))
        elif name != "BLANK" and found not in faults:
            message, hint = _ENDLESS.get(found) or _stray(found)
            faults[found] = Fault(Place(file, line, column), message, hint)
        if name == "ENDLESS" or found == "\0":
            break
        if name in _MAY_HOLD_LINES:
            for newline in _NEWLINE.finditer(found):
                line, line_start = line + 1, start + newline.end()
    return tokens, list(faults.values())


def _value(kind: Kind, text: str) -> str:
    if kind is Kind.WORD:
        return text.lower()
    if kind is Kind.QUOTED:
        return text[1:-1].replace('""', '"')
    if kind is Kind.STRING:
        return text[2:-2] if text.startswith("$$") else text[1:-1].replace("''", "'")
    return text


def _stray(character: str) -> tuple[str, str]:
    import unicodedata

    shown = character if character.isprintable() else "this character"
    name = unicodedata.name(character, "a control character")
    hint = "outside strings, comments and quoted names CQL is plain ASCII"
    if character == "\0":
        hint = "the file is not plain text; UTF-16, perhaps: save it as UTF-8"
    elif character == "#":
        hint = "a comment begins with -- or //"
    elif character in "`\u201c\u201d":
        hint = 'names are quoted with "'
    elif character in "\u2018\u2019":
        hint = "strings are quoted with '"
    elif character == "_":
        hint = "a name outside quotes begins with a letter"
    elif character.isascii() and character.isprintable():
        hint = ""
    return f"{shown} (U+{ord(character):04X}, {name}) is not CQL", hint


def split(text: str, file: str = "<cql>") -> list[Statement]:
    """The statements of a text, in order; empty ones are left out."""
    return list(group(tokenize(text, file), text, file))


def group(tokens: Sequence[Token], text: str, file: str = "<cql>") -> Iterator[Statement]:
    """The statements that these tokens of a text make; `CqlError` when a BATCH has no end."""
    current: list[Token] = []
    in_batch = False
    for token in tokens:
        if token.kind is Kind.COMMENT:
            continue
        if token.is_symbol(";") and not in_batch:
            if current:
                yield _statement(current, text, file)
            current = []
            continue
        current.append(token)
        if token.is_word("batch"):
            in_batch = _begins_batch(current) or (in_batch and not current[-2].is_word("apply"))
    if in_batch:
        place = Place(file, current[0].line, current[0].column)
        raise CqlError(Fault(place, "this BATCH has no end", "it ends with APPLY BATCH;"))
    if current:
        yield _statement(current, text, file)


def _begins_batch(tokens: Sequence[Token]) -> bool:
    return [token.text.lower() for token in tokens[:4]] in (
        ["begin", "batch"],
        ["begin", "unlogged", "batch"],
        ["begin", "counter", "batch"],
    )


def _statement(tokens: Sequence[Token], text: str, file: str) -> Statement:
    first, last = tokens[0], tokens[-1]
    place = Place(file, first.line, first.column)
    return Statement(text[first.start : last.end], place, tuple(tokens))


def bind_markers(tokens: Sequence[Token]) -> Iterator[Token]:
    """The `?` of a statement and the `:` of each `:name`, not the `:` between a key and a value."""
    open_brackets: list[str] = []
    for before, token in zip((None, *tokens), tokens, strict=False):
        if token.is_symbol("([{"):
            open_brackets.append(token.text)
        elif token.is_symbol(")]}"):
            del open_brackets[-1:]
        elif token.is_symbol("?"):
            yield token
        elif token.is_symbol(":"):
            key_before = before is not None and not before.is_symbol("{,:+-*/%")
            if not (key_before and open_brackets[-1:] == ["{"]):
                yield token


# What any of Cassandra 3.11 to 5.1 and ScyllaDB 5 to 2026 reserves is quoted for all of them.
_RESERVED = (
    "add aggregates allow alter and ann apply asc authorize batch begin between by cast check "
    "columnfamily concurrency constraint create default delete desc describe drop entries "
    "execute false from full generated grant if in index infinity insert into is keyspace "
    "length limit materialized mbean mbeans modify nan norecursive not null of on or order "
    "primary rename replace revoke schema scylla_clustering_bound scylla_counter_shard_list "
    "scylla_timeuuid_list_index select set superusers table to token true truncate unlogged "
    "unset update use using vector_search_indexing view where with"
)
_RESERVED_WORDS = frozenset(_RESERVED.split())
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")


def quote(name: str) -> str:
    """An identifier, in quotes only when it needs them."""
    if _PLAIN_NAME.fullmatch(name) and name not in _RESERVED_WORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as a CQL literal."""
    return "'" + text.replace("'", "''") + "'"
