"""A folder of migration files as migrations, or one report of everything that is wrong in it.

Pure: it gets names and bytes and reads no disk. It knows how files are named and made of sections.
How a directive is written is for directives.py, what a statement may not say for rules.py, and what
it does to a schema for ddl.py.

The theory: directives are comments, so a file is read as tokens and cut at its directives, and what
lies between two of them is split into statements. A fault never ends the reading: all faults of all
files make one report. What is *missing* is only reported of a file that could be read to its end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from calldrop_migrate import commands
from calldrop_migrate.core.cql import CqlError, Kind, Statement, Token, group, scan
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.directives import Directive, Rebuild, rebuild_of, recognise
from calldrop_migrate.core.rules import created_table, misbuilt, misplaced
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.errors import Fault, MigrationFileError, Place

__all__ = ["Migration", "Rebuild", "Step", "load", "parse"]

_BOM = "\ufeff"
# The history keeps the whole text of a file in one cell, which each command reads. Servers take
# up to half a segment of their commit log (16 MiB), and warn of cells above 1 MiB.
MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Step:
    """A statement of a migration, and whether it stands for a rebuild."""

    statement: Statement
    rebuild: Rebuild | None


@dataclass(frozen=True, slots=True)
class Left:
    """The difference that a revision's way up and back down makes.

    Attributes:
        lines: the difference in words.
        schema: the one to which the way down leads.
        whole: all that the way up makes is there, too.
    """

    lines: tuple[str, ...]
    schema: Schema
    whole: bool


@dataclass(frozen=True, slots=True)
class Migration:
    """The file of one revision.

    Attributes:
        number: of the revision, from 1.
        title: the slug as words: `destination clustering`.
        file: its name, `0002_destination_clustering.cql`.
        text: the whole file, with LF for every newline and without a BOM.
        checksum: the sha256 of the text, so it is the same for CRLF and LF.
        irreversible: why there is no way down, when the file says so.
        partial: why the way down leaves something of the way up, when the file says so.
        left: what it leaves, if anything; known once the folder was examined.
    """

    number: int
    slug: str
    title: str
    file: str
    text: str
    checksum: bytes
    up: tuple[Step, ...]
    down: tuple[Step, ...]
    irreversible: str | None
    partial: str | None = None
    left: Left | None = None

    @classmethod
    def bare(cls, number: int, title: str) -> Migration:
        """A revision without its file: for what is done to it besides going up and down."""
        return cls(number, "", title, f"{number:04d}", "", b"", (), (), None)

    @property
    def name(self) -> str:
        """The number as it is written: `0002`."""
        return f"{self.number:04d}"


def parse(file: str, data: bytes) -> Migration:
    """The migration in a file; `MigrationFileError` with all its faults."""
    migration, faults = _read(file, data)
    if faults:
        raise MigrationFileError(tuple(faults))
    return migration


def load(files: Mapping[str, bytes]) -> tuple[Migration, ...]:
    """The migrations of a folder by number; `MigrationFileError` with all faults of all files.

    Hidden files, `__init__.py` and the like, and what is neither .cql nor .py are not looked at.
    """
    migrations: list[Migration] = []
    faults: list[Fault] = []
    for file in sorted(files):
        if file.lower().endswith((".cql", ".py")) and not file.startswith((".", "__")):
            migration, found = _read(file, files[file])
            migrations.append(migration)
            faults += found
    migrations.sort(key=lambda migration: migration.number)
    faults += _misnumbered(migrations)
    # Which tables there are is known only when every file says so.
    if faults := faults or list(_rebuilds_of_nothing(migrations)):
        raise MigrationFileError(tuple(faults))
    return tuple(migrations)


def _too_large(file: str, size: int) -> Fault:
    return Fault(
        Place(file, 1, 1),
        f"the file has {size / 2**20:.1f} MiB; at most 1 MiB, because the history keeps its text",
        f"rows are loaded by a seed module:  {commands.new_seed('rows')}",
    )


def _misnumbered(migrations: Sequence[Migration]) -> Iterator[Fault]:
    before, before_file = 0, ""
    for migration in migrations:
        place, number = Place(migration.file, 1, 1), migration.number
        if number == before and number:
            yield Fault(place, f"{before_file} has the number {number:04d} too")
        elif number > before + 1:
            missing = f"{before + 1:04d}" + (f" to {number - 1:04d}" if number > before + 2 else "")
            hint = f"if it was applied:  {commands.show_applied(before + 1)}"
            yield Fault(place, f"a gap in the numbers: no {missing} before it", hint)
        if number:
            before, before_file = number, migration.file


def _rebuilds_of_nothing(migrations: Sequence[Migration]) -> Iterator[Fault]:
    made: set[str] = set()
    for migration in migrations:
        for step in migration.up + migration.down:
            name = created_table(step.statement)
            table = name.value if name else ""
            if step.rebuild and table not in made:
                message = f"no revision before this makes a table `{table}`"
                yield Fault(step.rebuild.place, message)
            made |= {table, (step.rebuild and step.rebuild.into) or table}


def _read(file: str, data: bytes) -> tuple[Migration, list[Fault]]:
    """Return what could be read of a file, with what is wrong in it."""
    number, slug, misnamed = _name(file)
    faults = [misnamed] if misnamed else []
    text = ""
    reader = _Reader(file, faults)
    if len(data) > MOST_BYTES:
        faults.append(_too_large(file, len(data)))
    elif file.lower().endswith(".cql"):
        try:
            plain = data.removeprefix(_BOM.encode()).decode()
            text = re.sub(r"\r\n?", "\n", plain).lstrip(_BOM)  # some editors add one to one
            reader.read(text)
        except UnicodeDecodeError as error:
            faults.append(_not_utf8(file, error))
    up, down = tuple(reader.steps["up"]), tuple(reader.steps["down"])
    checksum = hashlib.sha256(text.encode()).digest()
    migration = Migration(
        number=number,
        slug=slug,
        title=slug.replace("_", " "),
        file=file,
        text=text,
        checksum=checksum,
        up=up,
        down=down,
        irreversible=reader.reason,
        partial=reader.partial,
    )
    return migration, faults


def _not_utf8(file: str, error: UnicodeDecodeError) -> Fault:
    # What stands before the byte is UTF-8.
    lines = re.split(r"\r\n?|\n", error.object[: error.start].decode())
    hint = "save the file as UTF-8"
    if error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        hint = "the file is UTF-16: " + hint
    byte = f"0x{error.object[error.start]:02x}"
    return Fault(Place(file, len(lines), len(lines[-1]) + 1), f"the byte {byte} is not UTF-8", hint)


def _name(file: str) -> tuple[int, str, Fault | None]:
    """Number and slug of a file; guessed, with a fault, when its name isn't as it must be."""
    place = Place(file, 1, 1)
    stem, _, ending = file.rpartition(".")
    exact = re.fullmatch(r"(\d{4})_([a-z0-9]+(?:_[a-z0-9]+)*)", stem, re.ASCII)
    digits = re.search(r"\d+", stem, re.ASCII)
    number = int(digits.group()) if digits and int(digits.group()) <= 9999 else 0
    if ending.lower() == "py":
        return number, stem, Fault(place, "only .cql migrations are supported so far")
    if exact and number and ending == "cql":
        return number, exact[2], None
    rest = stem[digits.end() :] or stem[: digits.start()] if digits else stem
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", rest)
    slug = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_") or "what_it_does"
    suggestion = f"{number:04d}_{slug}.cql" if number else f"NNNN_{slug}.cql, from 0001"
    fault = Fault(place, "the name of a migration is NNNN_slug.cql", f"rename it to {suggestion}")
    return number, slug, fault


def _unread(statement: Statement) -> Iterator[Fault]:
    try:
        read(statement)
    except CqlError as error:
        yield error.fault


class _Reader:
    """One pass over the text of one file; what is wrong in it goes to the list that it is given."""

    def __init__(self, file: str, faults: list[Fault]) -> None:
        self.steps: dict[str, list[Step]] = {"": [], "up": [], "down": [], "irreversible": []}
        self.reason: str | None = None
        self.partial: str | None = None
        self._file = file
        self._faults = faults
        self._section = ""
        self._opened: dict[str, Place] = {}  # where each section begins
        self._begun: dict[str, Place] = {}  # where the first statement of each section begins
        self._rebuild: Rebuild | None = None  # waits for its CREATE TABLE
        self._whole = True  # every token of the text could be read

    def read(self, text: str) -> None:
        """Fill `steps`, `reason` and `partial`, and find all faults."""
        tokens, unreadable = scan(text, self._file)
        self._faults += unreadable
        self._whole = not unreadable
        between: list[Token] = []
        for token in tokens:
            directive = None
            if token.kind is Kind.COMMENT:
                directive, fault = recognise(token, self._file)
                self._faults += [fault] if fault else []
            if directive and self._may_cut(between, directive):
                self._statements(between, text)
                self._obey(directive)
                between = []
            else:
                between.append(token)
        self._statements(between, text)
        if not unreadable:
            self._end_rebuild()
            self._missing()

    def _fault(self, place: Place, message: str, hint: str = "") -> None:
        self._faults.append(Fault(place, message, hint))

    def _may_cut(self, tokens: Sequence[Token], directive: Directive) -> bool:
        """Return whether a directive ends what stands before it: inside a statement a rebuild
        doesn't, nor a reason.
        """
        first = None
        for token in tokens:
            if token.kind is not Kind.COMMENT:
                first = None if token.is_symbol(";") else first or token
        if first:
            hint = f"end the statement that begins in line {first.line} with `;`"
            self._fault(directive.place, f"{directive} inside a statement", hint)
        return first is None or directive.name not in ("rebuild", "partial")

    def _statements(self, tokens: Sequence[Token], text: str) -> None:
        try:
            for statement in group(tokens, text, self._file):
                self._statement(statement)
        except CqlError as error:
            self._begun.setdefault(self._section, error.fault.place)
            self._faults.append(error.fault)
            self._rebuild = None

    def _statement(self, statement: Statement) -> None:
        rebuild, self._rebuild = self._rebuild, None
        self._begun.setdefault(self._section, statement.place)
        faults = list(misplaced(statement))
        if rebuild:
            faults += misbuilt(rebuild, statement)
        self._faults += faults or (_unread(statement) if self._whole else ())
        self.steps[self._section].append(Step(statement, rebuild))

    def _obey(self, directive: Directive) -> None:
        if directive.name == "partial":
            self._is_partial(directive)
            return
        if directive.name != "rebuild":
            self._end_rebuild()
            self._open(directive)
            return
        if self._rebuild:
            hint = f"the first is in line {self._rebuild.place.line}"
            self._fault(directive.place, f"a second {directive} for one statement", hint)
        self._rebuild, faults = rebuild_of(directive)
        self._faults += faults

    def _is_partial(self, directive: Directive) -> None:
        if self._section != "down":
            self._fault(directive.place, f"{directive} belongs below `-- migrate:down`")
        if not directive.rest:
            hint = "say why: `-- migrate:partial REASON`"
            self._fault(directive.place, f"{directive} without a reason", hint)
        self.partial = directive.rest

    def _open(self, directive: Directive) -> None:
        """Begin a section."""
        name, place, rest = directive.name, directive.place, directive.rest
        if name in self._opened:
            hint = f"the first is in line {self._opened[name].line}"
            self._fault(place, f"a second {directive}", hint)
        elif self._opened and name == "up":
            self._fault(place, "`-- migrate:up` comes first, the way back after it")
        elif {"down", "irreversible"} & set(self._opened):
            message = "a revision has either `-- migrate:down` or `-- migrate:irreversible`"
            self._fault(place, message, "remove one of them")
        if name == "irreversible":
            self.reason = rest
            if not rest:
                hint = "say why: `-- migrate:irreversible REASON`"
                self._fault(place, f"{directive} without a reason", hint)
        elif rest:
            hint = f"`{rest}` belongs in a line of its own"
            self._fault(place, f"{directive} takes no argument", hint)
        self._opened.setdefault(name, place)
        self._section = name

    def _end_rebuild(self) -> None:
        if self._rebuild:
            hint = "it applies to the CREATE TABLE directly after it"
            self._fault(self._rebuild.place, "no statement after `-- migrate:rebuild`", hint)
        self._rebuild = None

    def _missing(self) -> None:
        """Find what a whole file must have and this one hasn't."""
        up, stray = self._opened.get("up"), self._begun.get("")
        if not up:
            hint = "write `-- migrate:up` before the statements that make the revision"
            self._fault(stray or Place(self._file, 1, 1), "no `-- migrate:up`", hint)
        elif stray:
            self._fault(stray, "a statement before `-- migrate:up`", "move it after that line")
        if place := self._begun.get("irreversible"):
            self._fault(
                place, "a statement after `-- migrate:irreversible`", "nothing would run it"
            )
        for name in ("up", "down"):
            if name in self._opened and name not in self._begun:
                hint = ""
                if name == "down":
                    hint = "a revision that can't go back says `-- migrate:irreversible REASON`"
                self._fault(self._opened[name], f"no statement after `-- migrate:{name}`", hint)
        if up and not {"down", "irreversible"} & set(self._opened):
            hint = "write it and its statements, or `-- migrate:irreversible REASON`"
            self._fault(up, "no `-- migrate:down`", hint)
