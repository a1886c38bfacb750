"""`status`, `verify`, `show`, `diff`: what is there. None of them changes a database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli.opening import environment_of, load_migrations, opened
from calldrop_migrate.cli.options import CONNECTION, FILES, Call, Page, command
from calldrop_migrate.cli.render import cut, lasting, moment, say, show, shows, width
from calldrop_migrate.core.comparing import diff, filled
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.declared import as_cql
from calldrop_migrate.core.expansion import declared_at
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.plan import target_number
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.history import History, read_history
from calldrop_migrate.engine.journal import Event
from calldrop_migrate.engine.keyspace import create_keyspace
from calldrop_migrate.engine.reports import (
    Kept,
    Situation,
    Verification,
    situation,
    verification,
)
from calldrop_migrate.engine.underway import Underway
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import DriftError, UsageError

Log = Annotated[bool, typer.Option("--log", help="Show every statement that was run, too.")]
Check = Annotated[bool, typer.Option("--check", help="End with exit code 3 if any is pending.")]
Revision = Annotated[
    str, typer.Argument(metavar="REVISION", help="The revision: its number, or head.")
]
Applied = Annotated[
    bool, typer.Option("--applied", help="Print the text that was applied, from the database.")
]
SchemaWanted = Annotated[
    bool, typer.Option("--schema", help="Print the whole schema that it leads to, as CQL.")
]
Either = typer.Argument(
    help="A revision's number, head, base, or live for the database.", show_default=False
)
One = Annotated[str, Either]


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
    text += [line for kept in result.asides for line in _aside(kept)]
    text += [line for kept in result.shadows for line in _shadow(kept)]
    return [*text, " ".join(_remarks(result)), *_remedies(result), *map(_logged, result.log)]


def _so_far(at: Underway) -> str:
    """The progress of an operation that was begun."""
    said = [f"operation {at.operation} of {at.of}: {at.what}"]
    if at.share is None:
        return said[0] if at.seconds is None else f"{said[0]}   for {lasting(at.seconds)}"
    said.append(f"{100 * at.share:.0f} %   {at.rows:,} rows")
    if at.rows_per_second is not None and at.seconds_left is not None:
        said.append(f"{at.rows_per_second:,.0f} rows/s   {lasting(at.seconds_left)} left")
    return "   ".join(said)


def _aside(kept: Kept) -> list[str]:
    return [
        f"  set aside: {kept.name} has {kept.what} of {kept.table} that the way {kept.direction}"
        f" over {kept.revision:04d} could not keep",
        f"        {kept.back}" + (f"; to delete them in cqlsh:  {kept.delete}" * bool(kept.delete)),
    ]


def _shadow(kept: Kept) -> list[str]:
    until = "the journal doesn't know it"
    if kept.until:
        until = f"kept until {moment(kept.until)}"
    if kept.until and kept.until < datetime.now(UTC):
        until = "the next run drops it, or says why it stays"
    made = f"rebuild of {kept.table} by {kept.revision:04d}"
    return [f"  second copy: {kept.name} has {kept.what} of the {made}; {until}"]


def _remarks(result: Situation) -> list[str]:
    said = [f"{result.pending} pending." if result.pending else f"{result.keyspace} is at head."]
    if result.fault or result.others:
        said = [f"{result.keyspace} is at {at_revision(result.current)}."]
    elif result.current > result.head:
        said = [f"{result.keyspace} is at {result.current:04d}, ahead of this folder."]
    if not result.exists:
        return [f"There is no keyspace {result.keyspace} yet."]
    if result.current and not result.to_go_on and not result.is_running:
        said.append("The schema is not as recorded." if result.drift else "Schema as recorded.")
    return [*said, _holder(result)]


def _holder(result: Situation) -> str:
    """Names the holder of the lease."""
    lease = result.lease
    if lease is None or not lease.owner or not lease.holder:
        return "Nobody holds the lease."
    holder = lease.holder
    who = f"{holder.who} (pid {holder.pid}, `{holder.command}`)"
    if lease.dead:
        return f"The lease was {who}'s, which has died: the next run takes it."
    since = f" since {moment(lease.since)}" if lease.since else ""
    return f"A run is at work: {who}{since}."


def _remedies(result: Situation) -> list[str]:
    """Lists what is not as it should be, and what to type about it."""
    if not result.exists:
        return [] if result.fault else [f"  To create it:  {commands.up()}"]
    said = []
    if result.others:
        said.append("The files of this folder are not those that were applied:")
        said += [f"  {line}" for line in result.others]
        said.append("  To use the right folder:  --migrations DIR")
    if result.drift and not result.to_go_on and not result.is_running:
        said += [f"    {line}" for line in result.drift]
        said += [f"  {line}" for line in result.ways_out.splitlines()]
    for number in result.edited:
        said.append(f"  To see {number:04d} as it was applied:  {commands.show_applied(number)}")
    if result.to_go_on:
        said.append(f"  To go on: {result.to_go_on}")
    return said


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


_NEW = "is new"


def _of_file(call: Call, revision: str) -> Shown:
    migrations, _ = load_migrations(environment_of(call))
    number = target_number(revision, 0, [m.number for m in migrations])
    if number == 0:
        raise UsageError("base has no file", hint=f"The first file:  {commands.show(1)}")
    found = migrations[number - 1]
    return Shown(number, found.file, found.checksum.hex(), found.text)


def _of_history(call: Call, revision: str) -> Shown:
    with opened(call, files=False) as place:
        records = read_history(History(place.database), place.database.schema())
    number = target_number(revision, 0, [*records, *(m.number for m in place.migrations), 1])
    if number not in records:
        raise UsageError(
            f"revision {revision} is not applied", hint=f"What is:  {commands.status()}"
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
        raise UsageError(
            "that is one and the same", hint=f"For example:  {commands.diff_example()}"
        )
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


_STATUS_PAGE = Page(
    examples=(
        "calldrop-migrate status          where the keyspace is, and what a run is doing now",
        "calldrop-migrate status --check  for scripts: exit code 3 while any is pending",
    ),
)

_VERIFY_PAGE = Page(
    examples=("calldrop-migrate verify  exit code 0: schema and files are as recorded",),
)

_SHOW_PAGE = Page(
    examples=(
        "calldrop-migrate show 2            the file of revision 0002",
        "calldrop-migrate show 2 --applied  its text as it was applied",
        "calldrop-migrate show 4 --schema   the schema of revision 0004, as CQL",
    ),
)

_DIFF_PAGE = Page(
    examples=(
        "calldrop-migrate diff 1 4        what the revisions 0002 to 0004 change",
        "calldrop-migrate diff live head  how the database differs from the last revision",
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @command(app, "status", CONNECTION, FILES, page=_STATUS_PAGE)
    def status(call: Call, log: Log = False, check: Check = False) -> None:
        """Show which revisions are applied and pending, and what a run is doing."""
        with opened(call, files=False) as place:
            keep = place.settings.keep_shadow
            found = situation(place.database, place.migrations, place.journal(), keep)
        found = replace(found, fault=place.fault, log=found.log if log else ())
        show(found, json_wanted=call.json)
        if found.fault is not None and call.json:
            raise typer.Exit(found.fault.exit_code)
        if found.fault is not None:
            raise found.fault
        if check and found.pending:
            raise typer.Exit(3)

    @command(app, "verify", CONNECTION, FILES, page=_VERIFY_PAGE)
    def verify(call: Call) -> None:
        """Compare the live schema, the files and the replication with what is recorded."""
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

    @command(app, "show", CONNECTION, FILES, page=_SHOW_PAGE)
    def show_revision(
        call: Call, revision: Revision, applied: Applied = False, schema: SchemaWanted = False
    ) -> None:
        """Print the file of a revision, or the schema that it leads to."""
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

    @command(app, "diff", CONNECTION, FILES, page=_DIFF_PAGE)
    def diff_schemas(call: Call, one: One, other: One) -> None:
        """Show how the schemas of two revisions differ, or how the database does from one."""
        show(_diff(call, one, other), json_wanted=call.json)
