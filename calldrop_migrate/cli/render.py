"""Printing: results on stdout, everything else on stderr.

A result is a frozen dataclass. One function makes JSON of any of them, one renderer shows it as the
lines that its kind registers (`shows`). On a terminal a few words get a colour; elsewhere the same
words come plain.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from functools import singledispatch
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from calldrop_migrate.engine.lease import LeaseState, lease_as_json
from calldrop_migrate.errors import CalldropError, MigrationFileError

SCHEMA_VERSION = 1
UNTOUCHED = "Nothing was changed."  # what an error that says nothing of it means
_WIDEST = 44


class LostOutput(Exception):
    """Stdout doesn't take what is written to it."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


class Stdout:
    """Stdout, which tells by an exception of its own that it can't be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text.

        Raises:
            LostOutput: it can't.
        """
        try:
            return self._stream.write(text)
        except OSError as error:
            raise LostOutput(error) from error

    def flush(self) -> None:
        """Writes what is buffered.

        Raises:
            LostOutput: it can't.
        """
        try:
            self._stream.flush()
        except OSError as error:
            raise LostOutput(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def as_json(value: object) -> Any:
    """A result as what JSON has."""
    match value:
        case CalldropError():
            return _error_as_json(value)
        case LeaseState():
            return lease_as_json(value)
        case Mapping():
            return {str(k): as_json(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [as_json(v) for v in value]
        case Enum():
            return value.value
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case bytes():
            return value.hex()
        case UUID() | Path():
            return str(value)
    if dataclasses.is_dataclass(value):
        fields = [f for f in dataclasses.fields(value) if f.repr]
        return {f.name: as_json(getattr(value, f.name)) for f in fields}
    return value


def _error_as_json(error: CalldropError) -> dict[str, Any]:
    body = {
        "type": type(error).__name__,
        "exit_code": error.exit_code,
        "message": error.message,
        "state": error.state or UNTOUCHED,
        "hint": error.hint,
    }
    return body | (
        {"faults": as_json(error.faults)} if isinstance(error, MigrationFileError) else {}
    )


def show(result: object, *, json_wanted: bool) -> None:
    """The result of a command, on stdout."""
    if json_wanted:
        document = {"schema_version": SCHEMA_VERSION, **as_json(result)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        write(sys.stdout, lines(result))
    sys.stdout.flush()


def show_error(error: CalldropError, *, json_wanted: bool) -> int:
    """Shows what failed, what state the database is in, what to type next. Gives the exit code."""
    if json_wanted:
        show({"error": error}, json_wanted=True)
    first, *more = error.message.splitlines() or [type(error).__name__]
    rest = [
        f"  {line}" for line in (*(error.state or UNTOUCHED).splitlines(), *error.hint.splitlines())
    ]
    with suppress(OSError):  # nobody reads it any more; the exit code says it, too
        write(sys.stderr, [first], style="bold red")
        write(sys.stderr, [*more, *rest, f"  (exit {error.exit_code})"])
    return error.exit_code


def say(text: str) -> None:
    """One line on stderr; a run doesn't end because nobody reads it."""
    with suppress(OSError):
        write(sys.stderr, [text])
        sys.stderr.flush()


def write(stream: TextIO, text: Sequence[str], style: str = "") -> None:
    """Lines; a terminal gets the few colours."""
    if stream.isatty():
        from rich.console import Console
        from rich.highlighter import RegexHighlighter
        from rich.theme import Theme

        class Words(RegexHighlighter):
            base_style = "word."
            highlights = (r" {2}(?P<good>applied) ", r" {2}(?P<due>pending|half-way|warning)\b")

        theme = Theme({"word.good": "green", "word.due": "yellow"})
        console = Console(file=stream, soft_wrap=True, theme=theme, highlighter=Words())
        for line in text:
            console.print(line, markup=False, emoji=False, style=style)
    else:
        stream.write("".join(f"{line}\n" for line in text))


@singledispatch
def lines(result: object) -> list[str]:
    """A result for people, line by line; each kind of result registers how (`shows`)."""
    raise TypeError(type(result).__name__)


def shows(kind: type) -> Callable[[Any], Any]:
    """Registers how a kind of result is shown."""
    return lines.register(kind)


def width(texts: Sequence[str]) -> int:
    """The width of a column of these: as the longest one, within reason."""
    return min(max(map(len, texts), default=0), _WIDEST)


def cut(text: str, room: int) -> str:
    """A text that fits into a column."""
    return text if len(text) <= room else text[: room - 1] + "…"


def moment(at: datetime | None) -> str:
    """A time for people, in UTC."""
    return f"{at.astimezone(UTC) if at.tzinfo else at:%Y-%m-%d %H:%M:%SZ}" if at else ""


def rough(count: int) -> int:
    """An estimate, without digits that nobody knows."""
    return round(count, 2 - len(str(count)))


def lasting(seconds: float) -> str:
    """A time that something takes, for people."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
