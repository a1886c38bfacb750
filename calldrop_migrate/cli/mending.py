"""`stamp`, `repair`, `abort`, `clean`, `unlock`: what keeps a keyspace in order besides up and
down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli.opening import ask, opened
from calldrop_migrate.cli.options import CHANGING, CONNECTION, FILES, Call, Page, command
from calldrop_migrate.cli.render import show, shows
from calldrop_migrate.cli.running import Flags, Running
from calldrop_migrate.engine.journal import has_journal
from calldrop_migrate.errors import DriftError, LeaseHeld, UsageError

Revision = Annotated[
    str,
    typer.Argument(
        metavar="REVISION",
        show_default=False,
        help="A number, head, or base; if none, the one whose schema the keyspace has.",
    ),
]
Accept = Annotated[
    bool,
    typer.Option("--accept", help="Record the schema, and changed comments of files."),
]
Restore = Annotated[
    bool, typer.Option("--restore", help="Alter the schema back to what is recorded.")
]
Discard = Annotated[
    bool, typer.Option("--discard-rows", help="Drop also copies with rows that the table lacks.")
]
DiscardMade = Annotated[
    bool, typer.Option("--discard-rows", help="Drop also tables of it that have rows by now.")
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="TOKEN",
        show_default=False,
        help="The token of a lease whose holder is known to be gone.",
    ),
]


@dataclass(frozen=True, slots=True)
class AsRecorded:
    """The result of `repair` where there is nothing to repair."""

    keyspace: str


@shows(AsRecorded)
def _as_recorded(result: AsRecorded) -> list[str]:
    return [f"{result.keyspace} is as recorded; there is nothing to repair."]


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The result of `unlock`: whose lease was taken away; empty when there was none."""

    keyspace: str
    holder: str


@shows(Unlocked)
def _unlocked(result: Unlocked) -> list[str]:
    if not result.holder:
        return [f"Nobody holds the lease on {result.keyspace}."]
    return [f"The lease on {result.keyspace} was {result.holder}'s, and is free."]


def _unlock(call: Call, token: str) -> Unlocked:
    with opened(call) as place:
        log, keyspace = place.journal(), place.settings.keyspace
        if not has_journal(place.database.schema()):
            return Unlocked(keyspace, "")
        found = log.read()
        if found.owner is None:
            return Unlocked(keyspace, "")
        holder = found.holder
        who = f"{holder.who} (pid {holder.pid}, `{holder.command}`)" if holder else "somebody"
        free = commands.unlock_from(str(found.owner))
        if token and token != str(found.owner):
            raise UsageError(
                f"that is not the token of the lease, which is held by {who}",
                hint=f"If you know that this process is gone:  {free}",
            )
        if not found.dead and not token:
            raise LeaseHeld(
                f"the lease on {keyspace} is held by {who}; it ends in {found.left} s unless"
                " it is renewed",
                hint=f"If you know that this process is gone:  {free}",
            )
        ask(place.settings, call, always=True)
        if not log.take_away(UUID(str(found.owner))):
            raise LeaseHeld(
                "the lease has changed hands meanwhile",
                hint=f"Who holds it now:  {commands.status()}",
            )
        return Unlocked(keyspace, who)


_STAMP_PAGE = Page(
    examples=(
        "calldrop-migrate stamp       record the revision whose schema the keyspace has",
        "calldrop-migrate stamp base  record that no revision is applied",
    ),
    asks=True,
)

_REPAIR_PAGE = Page(
    examples=(
        "calldrop-migrate repair            show what either way would do",
        "calldrop-migrate repair --accept   record the schema as it is now",
        "calldrop-migrate repair --restore  alter the schema back",
    ),
    asks=True,
)

_ABORT_PAGE = Page(
    examples=("calldrop-migrate abort  take back what an interrupted `up` or `down` has done",),
    asks=True,
)

_CLEAN_PAGE = Page(
    examples=(
        "calldrop-migrate clean                  drop what was kept for long enough",
        "calldrop-migrate clean --keep-shadow 0  drop all of them now",
    ),
    asks=True,
    shown=("keep_shadow",),
)

_UNLOCK_PAGE = Page(
    examples=("calldrop-migrate unlock  name the holder; free the lease if it has died",),
    asks=True,
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @command(app, "stamp", CONNECTION, FILES, CHANGING, page=_STAMP_PAGE)
    def stamp(call: Call, revision: Revision = "") -> None:
        """Record that the keyspace is at REVISION, after comparing the schema; runs nothing."""
        with opened(call) as place:
            running = Running(place, Flags())
            job = running.jobs.stamp(revision)
            running.carry_out(job, running.plan(job), call, always=True)

    @command(app, "repair", CONNECTION, FILES, CHANGING, page=_REPAIR_PAGE)
    def repair(call: Call, accept: Accept = False, restore: Restore = False) -> None:
        """Settle a difference between the schema, or the files, and what is recorded."""
        if accept and restore:
            raise UsageError("repair takes --accept or --restore, not both")
        with opened(call) as place:
            running = Running(place, Flags())
            if not accept and not restore:
                show(_nothing_to_choose(running), json_wanted=call.json)
                return
            job = running.jobs.accept() if accept else running.jobs.restore()
            plan = running.plan(job)
            if restore and plan.empty and plan.warnings:
                raise DriftError(
                    "nothing that differs can be put back without destroying something:\n"
                    + "\n".join(f"  {warning}" for warning in plan.warnings),
                    hint=f"Do it by hand, or take it as it is:  {commands.accept()}",
                )
            running.carry_out(job, plan, call, always=True)

    @command(app, "abort", CONNECTION, FILES, CHANGING, page=_ABORT_PAGE)
    def abort(call: Call, discard_rows: DiscardMade = False) -> None:
        """Take back an interrupted revision, as long as it has destroyed nothing."""
        with opened(call) as place:
            running = Running(place, Flags())
            job = running.jobs.abort(discard=discard_rows)
            running.carry_out(job, running.plan(job), call, always=True)

    @command(app, "clean", CONNECTION, FILES, CHANGING, page=_CLEAN_PAGE)
    def clean(call: Call, discard_rows: Discard = False) -> None:
        """Drop the second copies of tables that rebuilds have kept, after checking each."""
        with opened(call) as place:
            running = Running(place, Flags(discard=discard_rows))
            job = running.jobs.clean(discard=discard_rows)
            running.carry_out(job, running.plan(job), call, always=True)

    @command(app, "unlock", CONNECTION, FILES, page=_UNLOCK_PAGE)
    def unlock(call: Call, token: Token = "") -> None:
        """Take the lease, which keeps other runs out, from a holder that is gone."""
        show(_unlock(call, token), json_wanted=call.json)


def _nothing_to_choose(running: Running) -> AsRecorded:
    """Reports that nothing is to be repaired.

    Raises:
        DriftError: something is; what either way would do.
    """
    accept, restore = (running.plan(job) for job in (running.jobs.accept(), running.jobs.restore()))
    if accept.empty and restore.empty:
        return AsRecorded(accept.schema.keyspace)
    lines = [f"  --accept   {chore}" for chore in accept.chores]
    lines += [
        f"  --restore  {' '.join(operation.text.split())}"
        for attempt in restore.plan.attempts
        for operation in attempt.operations
    ]
    lines += [f"  --restore  {warning}" for warning in restore.warnings]
    raise DriftError(
        "there are two ways:\n" + "\n".join(lines),
        hint=f"{commands.accept()}\n{commands.restore()}",
    )
