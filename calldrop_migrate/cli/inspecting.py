"""`status`, `verify`, `show`, `diff`, `new`: what is there, and a file to begin with. None of them
changes a database.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from calldrop_migrate import config
from calldrop_migrate.cli.feed import say
from calldrop_migrate.cli.opening import environment_of, load_migrations, opened, readable
from calldrop_migrate.cli.options import CONNECTION, FILES, SEEDING, Call, command
from calldrop_migrate.cli.render import cut, lasting, moment, show, shows, width
from calldrop_migrate.core.comparing import diff, filled
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.declared import as_cql
from calldrop_migrate.core.expansion import declared_at
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.plan import target_number
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.core.seed_template import seed_template
from calldrop_migrate.engine.history import History, read_history
from calldrop_migrate.engine.journal import Event
from calldrop_migrate.engine.keyspace import create_keyspace
from calldrop_migrate.engine.reports import Situation, Verification, situation, verification
from calldrop_migrate.engine.underway import Underway
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import DriftError, UsageError

Log = Annotated[bool, typer.Option("--log", help="Also what ran, from the journal.")]
Check = Annotated[bool, typer.Option("--check", help="Exit 3 when revisions are pending.")]
Revision = Annotated[str, typer.Argument(metavar="REVISION", help="Its number, or head.")]
Applied = Annotated[
    bool, typer.Option("--applied", help="As it was applied, from the database's history.")
]
SchemaWanted = Annotated[
    bool, typer.Option("--schema", help="The whole schema that it leads to, as CQL.")
]
Either = typer.Argument(help="A revision's number, head, base, or live.", show_default=False)
One = Annotated[str, Either]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What it does, in a few words.")]
SeedWanted = Annotated[bool, typer.Option("--seed", help="Write a seed module instead.")]
TableOfSeed = Annotated[
    str,
    typer.Option(
        *("--table",), metavar="TABLE", show_default=False, help="That a seed module is for."
    ),
]


@dataclass(frozen=True, slots=True)
class Shown:
    """The result of `show`."""

    number: int
    file: str
    checksum: str
    text: str


@dataclass(frozen=True, slots=True)
class SchemaShown:
    """The result of `show --schema`."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Differences:
    """The result of `diff`: from one schema to the other."""

    one: str
    other: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """The result of `new`; `seed` is the module's name if it is one."""

    path: Path
    seed: str | None = None


@shows(Situation)
def _situation(result: Situation) -> list[str]:
    titles, names = (width([getattr(r, f) for r in result.revisions]) for f in ("title", "who"))
    text = []
    for r in result.revisions:
        when = moment(r.at) if r.state == "applied" else ""
        took = f"{r.seconds:.1f} s" if r.seconds is not None else ""
        note = "" if r.state == "half-way" else r.note
        text.append(
            f"  {r.number:04d}  {cut(r.title, titles):<{titles}}  {r.state:<8}  {when:<20}  "
            f"{cut(r.who, names):<{names}}  {took:>8}  {note}".rstrip()
        )
        text += [f"        {r.note}"] if r.note and not note else []
        text += [f"        {_so_far(r.underway)}"] if r.underway else []
    return [*text, " ".join(_remarks(result)), *map(_logged, result.log)]


def _so_far(at: Underway) -> str:
    """How far an operation has come."""
    said = [f"operation {at.operation} of {at.of}: {at.what}"]
    if at.share is None:
        return said[0] if at.seconds is None else f"{said[0]}   for {lasting(at.seconds)}"
    said.append(f"{100 * at.share:.0f} %   {at.rows:,} rows")
    if at.rows_per_second is not None and at.seconds_left is not None:
        said.append(f"{at.rows_per_second:,.0f} rows/s   {lasting(at.seconds_left)} left")
    return "   ".join(said)


def _remarks(result: Situation) -> list[str]:
    said = [f"{result.pending} pending." if result.pending else f"{result.keyspace} is at head."]
    lease = result.lease
    if result.current > result.head:
        said = [f"{result.keyspace} is at {result.current:04d}, ahead of this folder."]
    if not result.exists:
        return [*said, f"There is no keyspace {result.keyspace} yet: calldrop-migrate up makes it."]
    if result.current and not result.to_go_on:
        drift = "The schema is not as recorded: calldrop-migrate verify"
        said.append(drift if result.drift else "Schema as recorded.")
    if lease and lease.owner and lease.holder:
        holder = lease.holder
        who = f"{holder.who} (pid {holder.pid}, `{holder.command}`)"
        ended = f"The lease was {who}'s, which has died: the next run takes it."
        said.append(ended if lease.dead else f"The lease is held by {who}.")
    else:
        said.append("Nobody holds the lease.")
    return [*said, f"To go on: {result.to_go_on}"] if result.to_go_on else said


def _logged(event: Event) -> str:
    statement = cut(" ".join((event.statement or "").split()), 70)
    took = f"{event.duration_ms:,} ms" if event.duration_ms is not None else ""
    fault = cut((event.error or "").partition("\n")[0], 100)
    return (
        f"  {moment(event.at):<20}  {event.who:<16}  {event.revision:04d} {event.direction:<4}  "
        f"{event.event:<8}  {statement:<70}  {took:>9}  {fault}".rstrip()
    )


@shows(Verification)
def _verification(result: Verification) -> list[str]:
    if result.findings:
        return [f"  {line}" for line in result.findings]
    what = f"{result.tables} tables and views as recorded, files as applied"
    missing = f"; no file of {', '.join(result.ahead)} in this folder" if result.ahead else ""
    return [f"{result.keyspace} is at {at_revision(result.current)}: {what}{missing}."]


@shows(Shown)
def _shown(result: Shown) -> list[str]:
    return result.text.removesuffix("\n").split("\n")


@shows(SchemaShown)
def _schema_shown(result: SchemaShown) -> list[str]:
    return result.text.removesuffix("\n").split("\n")


@shows(Differences)
def _differences(result: Differences) -> list[str]:
    if not result.lines:
        return [f"{result.one} and {result.other} are the same."]
    return [f"from {result.one} to {result.other}:", *(f"  {line}" for line in result.lines)]


@shows(Made)
def _made(result: Made) -> list[str]:
    if result.seed:
        return [
            f"{result.path}: write what rows it makes, then  calldrop-migrate seed {result.seed}"
        ]
    return [f"{result.path}: write its two sections, then  calldrop-migrate plan"]


_NEW = "is new"
_LAST = 9999  # what four digits can say
TEMPLATE = """\
-- Why this revision: what reads or writes need it.

-- migrate:up


-- migrate:down

"""


def _of_file(call: Call, revision: str) -> Shown:
    migrations, _ = load_migrations(environment_of(call))
    number = target_number(revision, 0, [m.number for m in migrations])
    if number == 0:
        raise UsageError("base has no file", hint="calldrop-migrate show 1")
    found = migrations[number - 1]
    return Shown(number, found.file, found.checksum.hex(), found.text)


def _of_history(call: Call, revision: str) -> Shown:
    with opened(call, files=False) as place:
        records = read_history(History(place.database), place.database.schema())
    number = target_number(revision, 0, [*records, *(m.number for m in place.migrations), 1])
    if number not in records:
        raise UsageError(
            f"revision {revision} is not applied", hint="What is:  calldrop-migrate status"
        )
    found = records[number]
    return Shown(number, found.name, found.checksum.hex(), found.content)


def _schema_of(call: Call, revision: str) -> SchemaShown:
    environment = environment_of(call)
    migrations, _ = load_migrations(environment)
    number = target_number(revision, 0, [m.number for m in migrations])
    settings = environment.settings
    head = create_keyspace(settings.keyspace, settings.replication)
    text = as_cql(declared_at(migrations, number))
    return SchemaShown(number, f"{head};\nUSE {quote(settings.keyspace)};\n\n{text}")


def _diff(call: Call, one: str, other: str) -> Differences:
    """Two schemas; the live one is read only where it is asked for."""
    if one == other:
        raise UsageError("that is one and the same", hint="calldrop-migrate diff 1 head")
    if "live" not in (one, other):
        migrations, _ = load_migrations(environment_of(call))
        before, after = (_declared(migrations, name).comparable() for name in (one, other))
        return Differences(one, other, tuple(diff(before, after, _NEW, one_sided=True)))
    with opened(call) as place:
        live = place.database.schema()
    declared = _declared(place.migrations, other if one == "live" else one)
    wanted, have = filled(declared, live).comparable(), live.comparable()
    before, after = (have, wanted) if one == "live" else (wanted, have)
    return Differences(one, other, tuple(diff(before, after, _NEW)))


def _declared(migrations: Sequence[Migration], name: str) -> Schema:
    return declared_at(migrations, target_number(name, 0, [m.number for m in migrations]))


def _slug(name: str) -> str:
    """A file's name for what a person wrote."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", plain.lower())[:60].strip("_")
    if not slug:
        raise UsageError(
            f"{name!r} gives no file name: it has neither letters nor digits",
            hint="calldrop-migrate new add_roaming_flag",
        )
    return slug


def _new_seed(call: Call, name: str, table: str) -> Made:
    """A seed module for a table that the migrations end with: the first one, if none is named."""
    environment, slug = environment_of(call), _slug(name)
    migrations, _ = load_migrations(environment)
    tables = [t for t in declared_at(migrations, migrations[-1].number).tables if not t.base]
    if not tables:
        raise UsageError("the last revision has no table that rows could be made for")
    chosen = next((t for t in tables if t.name == table), None) if table else tables[0]
    known = ", ".join(t.name for t in tables)
    if chosen is None:
        raise UsageError(f"the last revision has no table {table!r}; it has {known}")
    if len(tables) > 1 and not table:
        say(f"for {chosen.name}; --table says another one of {known}")
    folder = environment.settings.seeds or Path("seeds")
    with readable():
        if not folder.is_dir() and environment.settings.seeds is None:
            folder.mkdir()
            say(f"{folder} is new, and is used from now on instead of the packaged modules")
        path = folder / f"{slug}.py"
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(seed_template(chosen))
    return Made(path, seed=slug)


def _new(call: Call, name: str) -> Made:
    environment, slug = environment_of(call), _slug(name)
    folder = environment.settings.migrations or Path("migrations")
    with readable():
        if not folder.is_dir() and not environment.configured:
            folder.mkdir(parents=True)
            say(f"{folder} is new, and is used from now on instead of the packaged revisions")
        config.migrations_folder(environment, Path.cwd())
        # From the names alone: a file that is not finished yet is no reason to refuse the next one.
        numbers = [int(m[0]) for p in folder.iterdir() if (m := re.match(r"\d{4}(?=_)", p.name))]
        number = max(numbers, default=0) + 1
        if number > _LAST:
            raise UsageError(f"{folder} has {_LAST}, and no revision comes after that")
        path = folder / f"{number:04d}_{slug}.cql"
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(TEMPLATE)
    return Made(path)


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @command(app, "status", CONNECTION, FILES)
    def status(call: Call, log: Log = False, check: Check = False) -> None:
        """Show what is applied, what is pending, who holds the lease."""
        with opened(call) as place:
            found = situation(place.database, place.migrations, place.journal())
        show(found if log else replace(found, log=()), json_wanted=call.json)
        if check and found.pending:
            raise typer.Exit(3)

    @command(app, "verify", CONNECTION, FILES)
    def verify(call: Call) -> None:
        """Compare schema, files and replication with what is recorded."""
        with opened(call) as place:
            replication = place.settings.replication
            found = verification(place.database, place.migrations, place.journal(), replication)
        if found.findings and not call.json:
            raise DriftError(
                "\n".join(found.findings),
                state=f"{found.keyspace} is at {at_revision(found.current)}. Nothing was changed.",
                hint="\n".join(found.remedies),
            )
        show(found, json_wanted=call.json)
        if found.findings:
            raise typer.Exit(DriftError.exit_code)

    @command(app, "show", CONNECTION, FILES)
    def show_revision(
        call: Call, revision: Revision, applied: Applied = False, schema: SchemaWanted = False
    ) -> None:
        """Print a revision's file; with --applied as it was applied."""
        if applied and schema:
            raise UsageError("show takes --applied or --schema, not both")
        if schema:
            show(_schema_of(call, revision), json_wanted=call.json)
            return
        found = (_of_history if applied else _of_file)(call, revision)
        say(f"{found.file}, sha256 {found.checksum}")
        if call.json:
            show(found, json_wanted=True)
        else:
            sys.stdout.write(found.text)

    @command(app, "diff", CONNECTION, FILES)
    def diff_schemas(call: Call, one: One, other: One) -> None:
        """Show how the schemas of two revisions differ, or the live one."""
        show(_diff(call, one, other), json_wanted=call.json)

    @command(app, "new", FILES, SEEDING)
    def new(call: Call, name: Name, seed: SeedWanted = False, table: TableOfSeed = "") -> None:
        """Write an empty migration with the next number."""
        if table and not seed:
            raise UsageError("--table goes with --seed", hint="calldrop-migrate new --help")
        made = _new_seed(call, name, table) if seed else _new(call, name)
        show(made, json_wanted=call.json)
