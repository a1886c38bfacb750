"""The comments of a migration file that say something to the tool: `-- migrate:up` and the like.

Here lives how a directive is told from a comment, and what the arguments of a rebuild mean. Where a
directive may stand is for files.py.

The theory: a misspelt directive must not pass for a comment, or a way back would run as part of the
way up. So whatever begins like one and isn't one is a fault. It is then taken for the directive it
resembles, and the reading goes on: one mistake, one fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calldrop_migrate.core.cql import Kind, Token, scan
from calldrop_migrate.errors import Fault, Place

NAMES = ("up", "down", "rebuild", "irreversible", "partial")
# What a word in the place of a name may mean; other tools say it so.
_MEANT = {name: name for name in NAMES} | {
    "upgrade": "up",
    "forward": "up",
    "downgrade": "down",
    "rollback": "down",
    "reverse": "down",
    "undo": "down",
}

_EXACT = re.compile(r"-- migrate:(up|down|rebuild|irreversible|partial)(?:[ \t]+(.*?))?[ \t]*")
# Three ways to be nearly one, then the word that should be its name, and the rest.
_NEAR = re.compile(
    r"""
    (?: (?: -- | // ) [\s+-]* migrate (?! [a-z] )                          # -- migrate up
      | (?: (?: -- | // ) [\s+-]* | /\* [ \t*]* )
        (?: migr [a-z]* [:;] (?= \w )                                      # /* migration:up */
          | m (?= [a-z]* g ) (?= [a-z]* r ) [a-z]* [:;]                    # -- mirgate:up
            (?= (?: up | down | rebuild | irreversible | partial ) \b ) ) )
    [\s:;.=_-]* (?P<word> \w* ) [ \t]* (?P<rest> .*? ) \s* (?: \*/ )?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII | re.DOTALL,
)
_TAKES = "it takes into=NAME, drop=COLUMN, COLUMN=SELECTOR; spaces only between them and inside ()"


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive, and where what follows its name begins."""

    place: Place
    name: str
    rest: str
    rest_column: int

    def __str__(self) -> str:
        return f"`-- migrate:{self.name}`"


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The `-- migrate:rebuild` of a CREATE TABLE: bring the table there is into this shape.

    Attributes:
        into: the name for the new shape; None when it takes the place of the old one.
        drop: columns that are left behind.
        assign: (column, selector) for columns that are filled from something else in the old
            row: `("call_day", "toDate(call_timestamp)")`.
    """

    place: Place
    into: str | None
    drop: tuple[str, ...]
    assign: tuple[tuple[str, str], ...]


def recognise(comment: Token, file: str) -> tuple[Directive | None, Fault | None]:
    """The directive that a comment is or should be, and what is wrong with it."""
    place = Place(file, comment.line, comment.column)
    if exact := _EXACT.fullmatch(comment.text):
        rest_column = comment.column + max(exact.start(2), 0)
        return Directive(place, exact[1], exact[2] or "", rest_column), None
    if not (near := _NEAR.fullmatch(comment.text)):
        return None, None
    from difflib import get_close_matches  # costs more than this whole module

    message = f"`{comment.text.splitlines()[0]}` is no directive"
    for word in get_close_matches(near["word"].lower(), _MEANT, n=1):
        name = _MEANT[word]
        rest = near["rest"] if name in ("rebuild", "irreversible", "partial") else ""
        fault = Fault(place, message, f"did you mean `{f'-- migrate:{name} {rest}'.rstrip()}`?")
        return Directive(place, name, rest, comment.column + near.start("rest")), fault
    known = ", ".join(f"`-- migrate:{name}`" for name in NAMES)
    hint = f"the directives are {known}; begin another comment with another word"
    return None, Fault(place, message, hint)


def rebuild_of(directive: Directive) -> tuple[Rebuild, list[Fault]]:
    """Return what a `-- migrate:rebuild` asks for, as far as it can be read, and what is wrong with
    it.
    """
    # The margin puts the text where it stands in the file, so that all places are right.
    margin = "\n" * (directive.place.line - 1) + " " * (directive.rest_column - 1)
    text = margin + directive.rest
    tokens, faults = scan(text, directive.place.file)
    given: dict[tuple[str, str], str] = {}
    for argument in _arguments(tokens):
        place = Place(directive.place.file, argument[0].line, argument[0].column)
        written = text[argument[0].start : argument[-1].end]
        said = _argument(argument, text)
        if said is None:
            faults.append(Fault(place, f"`{written}` is no argument of {directive}", _TAKES))
        elif said[:2] in given:
            faults.append(Fault(place, f"a second argument for `{said[1] or said[0]}`"))
        else:
            given[said[:2]] = said[2]
    drop = tuple(column for what, column in given if what == "drop")
    assign = tuple((column, value) for (what, column), value in given.items() if what == "assign")
    return Rebuild(directive.place, given.get(("into", "")), drop, assign), faults


def _arguments(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Tokens with no space between them make an argument; inside brackets spaces don't count."""
    argument: list[Token] = []
    for token in tokens:
        if argument and token.start > argument[-1].end and _depth(argument) <= 0:
            yield argument
            argument = []
        argument.append(token)
    if argument:
        yield argument


def _depth(tokens: Sequence[Token]) -> int:
    return sum(token.is_symbol("([{") - token.is_symbol(")]}") for token in tokens)


def _argument(tokens: Sequence[Token], text: str) -> tuple[str, str, str] | None:
    """An argument as (what, column, value)."""
    name, value = tokens[0], tokens[2:]
    if not value or not name.is_name() or not tokens[1].is_symbol("="):
        return None
    if name.is_word("into", "drop"):
        if len(value) > 1 or not value[0].is_name():
            return None
        return (
            ("into", "", value[0].value) if name.value == "into" else ("drop", value[0].value, "")
        )
    if _depth(value) or any(token.kind is Kind.COMMENT or token.is_symbol(";") for token in value):
        return None
    return "assign", name.value, text[value[0].start : value[-1].end]
