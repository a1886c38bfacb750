"""The runner's words for a revision: what it does, what of its rows could not be kept, where in
its file it was refused.

A server names line and column of the text that it got. What was sent can differ from the file: a
table id was put among the options, a table has its shadow's name, an index got one. Mostly that is
one change within the text, so a place before it stays and a place behind it moves by the
difference. A statement that no file has is told by its file.
"""

from __future__ import annotations

from itertools import takewhile
from textwrap import dedent, indent

from calldrop_migrate.core import secrets
from calldrop_migrate.core.cql import Statement, quote
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.operations import TOOL, Copy, Rows, Run, Verify
from calldrop_migrate.core.plan import Attempt, steps_of
from calldrop_migrate.engine.ports import RangeResult
from calldrop_migrate.errors import Place, StatementRefused


def at_revision(number: int) -> str:
    """A revision's number for people."""
    return f"{number:04d}" if number else "base"


def summary(attempt: Attempt, results: dict[int, RangeResult] | None = None) -> tuple[str, ...]:
    """Sums up what a revision does or did, in a few words each: statements of its file, and rows
    that were carried.
    """
    if attempt.direction not in ("up", "down"):
        return tuple(op.label for op in attempt.operations if not isinstance(op, Verify))
    words: list[str] = []
    for step in steps_of(attempt.migration, attempt.direction):
        effect = read(step.statement)
        if not step.rebuild:
            words.append(Run(step.statement, effect).label)
            continue
        copied = [
            results[i].rows
            for i, op in enumerate(attempt.operations)
            if results
            and i in results
            and isinstance(op, Copy)
            and op.target.name == effect.name
            # Values that come back from aside are no rows.
            and op.rows is not Rows.PRESENT
        ]
        rows = "empty" if effect.name not in attempt.facts.filled else "with its rows"
        if copied:
            rows = f"{sum(copied):,} rows"
        words.append(f"rebuild {quote(effect.name)} ({rows})")
    return tuple(words)


def counted(attempt: Attempt, results: dict[int, RangeResult]) -> list[str]:
    """Counts which of the copied rows could not be kept exactly, and which stayed aside."""
    notes = []
    for index, result in results.items():
        operation = attempt.operations[index]
        if result.discarded:
            notes.append(
                f"{result.discarded:,} rows of {operation.names[0]} are deleted for good"
                " (--discard-rows)"
            )
        if not isinstance(operation, Copy):
            continue
        if result.bare and not is_internal(operation.source.name):
            notes.append(
                f"{result.bare:,} rows of {operation.source.name} have keys alone: their write time"
                " is unknown"
            )
        if result.ending and not is_internal(operation.source.name):
            shown = "".join(f"\n      {example}" for example in result.ending_examples)
            notes.append(
                f"{result.ending:,} rows of {operation.source.name} have only cells that end, and"
                f" not all by one write: such a row ends with the last of them{shown}"
            )
        if result.retimed and not is_internal(operation.source.name):
            notes.append(
                f"{result.retimed:,} collections of {operation.source.name} have one write time for"
                " all their elements now"
            )
        if result.unfit and operation.rows.moved:
            why = (
                "their rows are gone, or have newer ones"
                if operation.rows is Rows.PRESENT
                else "their key is taken, or the server hides what is as old as they are (DELETE)"
            )
            what = "rows' values" if operation.rows is Rows.PRESENT else "rows"
            notes.append(f"{result.unfit:,} {what} stay in {operation.source.name}: {why}")
    return notes


def located(
    attempt: Attempt, operation: Run, sent: str, refused: StatementRefused
) -> StatementRefused:
    """The refusal of `sent` with file:line:column and the statement as it is written there."""
    written = _written(operation)
    shown = _indented(written or operation.statement)
    message = secrets.hide(refused.message, operation.statement)
    if written is None:
        said = f"{attempt.migration.file}: the server refused a statement that the tool made for it"
        return _again(attempt, refused, f"{said}: {message}\n{shown}")
    place = written.place
    line, column = getattr(refused, "line", 0), getattr(refused, "column", 0)
    if line:
        at = _offset(sent, line, column)
        text = operation.statement.text
        for have, want in ((sent, text), (text, written.text)):
            at = _moved(at, have, want)
        place = _place(written, at)
        message = message.removeprefix(f"line {line}:{column} ")
    said = f"{place}: the server refused this statement"
    return _again(attempt, refused, f"{said}: {message}\n{shown}")


def _indented(statement: Statement) -> str:
    """A statement as it stands in its file, moved together to a margin of four."""
    margin = " " * (statement.place.column - 1)
    return indent(dedent(margin + secrets.shown(statement)), "    ")


def _again(attempt: Attempt, refused: StatementRefused, message: str) -> StatementRefused:
    mend = f"Mend {attempt.migration.file}, then run the same command again."
    return StatementRefused(message, state=refused.state, hint=refused.hint or mend)


def _written(operation: Run) -> Statement | None:
    """The statement of the file that an operation runs, be it under another name."""
    statement = operation.written or operation.statement
    return statement if statement.place.file != TOOL else None


def _offset(text: str, line: int, column: int) -> int:
    """The offset of a place as servers count: lines from 1, columns from 0."""
    before = text.split("\n")[: line - 1]
    return min(sum(len(passed) + 1 for passed in before) + column, len(text))


def _moved(at: int, have: str, want: str) -> int:
    """An offset in `have` as one in `want`, which differs from it in one place."""
    same = _alike(have, want)
    tail = _alike(have[same:][::-1], want[same:][::-1])
    if at < same:
        return at
    return max(same, at + len(want) - len(have)) if at >= len(have) - tail else same


def _place(statement: Statement, at: int) -> Place:
    lines = statement.text[:at].split("\n")
    column = len(lines[-1]) + (statement.place.column if len(lines) == 1 else 1)
    return Place(statement.place.file, statement.place.line + len(lines) - 1, column)


def _alike(one: str, other: str) -> int:
    """Counts the characters that two texts begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
