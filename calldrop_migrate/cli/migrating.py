"""`up`, `down`, `plan`: through the revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli.opening import opened
from calldrop_migrate.cli.options import CHANGING, CONNECTION, FILES, Call, Page, command
from calldrop_migrate.cli.running import Flags, Running
from calldrop_migrate.core.plan import Direction
from calldrop_migrate.errors import UsageError

Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="The last revision to apply: a number, head, or +N."),
]
DownTarget = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="The last revision that stays applied: a number, or base for none.",
    ),
]
PlanTarget = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="The revision to go to: a number, head, base, or +N."),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        show_default=False,
        help="Take back the last N revisions, instead of naming a TARGET.",
    ),
]
SetAside = Annotated[
    bool,
    typer.Option(
        "--set-aside",
        help="Keep rows that don't fit in a table of their own; the way back returns them.",
    ),
]
Discard = Annotated[
    bool, typer.Option("--discard-rows", help="Delete the rows that don't fit, for good.")
]
Outage = Annotated[
    bool,
    typer.Option(
        "--outage-accepted", help="Accept that a rebuilt table is incomplete for a while."
    ),
]
Fence = Annotated[
    bool,
    typer.Option("--fence", help="Take MODIFY from other roles while a table is rebuilt."),
]
NoWriter = Annotated[
    list[str] | None,
    typer.Option(
        "--no-writer",
        metavar="ROLE",
        help="Fence, though this role can still write: it won't. Once for each role.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
NoScan = Annotated[bool, typer.Option("--no-scan", help="Don't count the rows that don't fit.")]
_SHOWN = ("wait_for_lease", "keep_shadow", "max_rows_per_second", "workers")


def _allowed(
    set_aside: bool, discard: bool, outage: bool, fence: bool, no_writer: Sequence[str] | None
) -> Flags:
    """Puts together what the flags permit.

    Raises:
        UsageError: two of them contradict each other.
    """
    if set_aside and discard:
        raise UsageError(
            "--set-aside keeps the rows that don't fit, --discard-rows deletes them: give one of"
            " the two"
        )
    trusted = tuple(no_writer or ())
    return Flags(set_aside, discard, outage, fence=fence or bool(trusted), no_writer=trusted)


def _migrate(
    call: Call, way: tuple[Direction, str, int | None], flags: Flags, *, dry: bool
) -> None:
    direction, target, steps = way
    with opened(call) as place:
        running = Running(place, flags)
        job = running.jobs.migrate(direction, target, steps)
        review = running.plan(job)
        if direction == "down" and not review.schema.exists:
            raise UsageError(
                f"there is no keyspace {place.settings.keyspace}", hint="Is --keyspace right?"
            )
        if dry:
            running.show_plan(review, call)
        else:
            back = any(a.direction == "down" for a in review.plan.attempts)
            running.carry_out(job, review, call, always=back)


_UP_PAGE = Page(
    examples=(
        "calldrop-migrate up                    apply everything that is pending",
        "calldrop-migrate up 2                  stop behind revision 0002",
        "calldrop-migrate up --outage-accepted  rebuild tables that have rows",
    ),
    asks=True,
    shown=_SHOWN,
)

_DOWN_PAGE = Page(
    examples=(
        "calldrop-migrate down 3                               leave 0001 to 0003 applied",
        "calldrop-migrate down --steps 1                       take back the last revision",
        "calldrop-migrate down 1 --outage-accepted --set-aside  keep the rows that don't fit",
    ),
    asks=True,
    shown=_SHOWN,
)

_PLAN_PAGE = Page(
    examples=(
        "calldrop-migrate plan    what `up` would do, statement by statement",
        "calldrop-migrate plan 1  what going to revision 0001 would do",
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @command(app, "up", CONNECTION, FILES, CHANGING, page=_UP_PAGE)
    def up(
        call: Call,
        target: Target = "head",
        dry_run: DryRun = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
        fence: Fence = False,
        no_writer: NoWriter = None,
    ) -> None:
        """Apply pending revisions, or finish an interrupted run."""
        flags = _allowed(set_aside, discard_rows, outage_accepted, fence, no_writer)
        _migrate(call, ("up", target, None), flags, dry=dry_run)

    @command(app, "down", CONNECTION, FILES, CHANGING, page=_DOWN_PAGE)
    def down(
        call: Call,
        target: DownTarget = "",
        steps: Steps = None,
        dry_run: DryRun = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
        fence: Fence = False,
        no_writer: NoWriter = None,
    ) -> None:
        """Take back the revisions above TARGET, which stays applied."""
        if bool(target) == (steps is not None):
            raise UsageError(
                "down takes a target or --steps, not both"
                if target
                else "down needs a target: which revision shall be the last one applied?",
                hint=(
                    f"To take back the last one:  {commands.down_one()}\n"
                    f"To take back all:           {commands.down_to(0)}"
                ),
            )
        flags = _allowed(set_aside, discard_rows, outage_accepted, fence, no_writer)
        _migrate(call, ("down", target, steps), flags, dry=dry_run)

    @command(app, "plan", CONNECTION, FILES, CHANGING, page=_PLAN_PAGE)
    def plan(
        call: Call,
        target: PlanTarget = "head",
        no_scan: NoScan = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
        fence: Fence = False,
        no_writer: NoWriter = None,
    ) -> None:
        """Show what going to TARGET would do, and end with the exit code it would have."""
        flags = _allowed(set_aside, discard_rows, outage_accepted, fence, no_writer)
        with opened(call) as place:
            running = Running(place, replace(flags, scan=not no_scan))
            way = running.jobs.planner.direction_to(target)
            running.show_plan(running.plan(running.jobs.migrate(way, target)), call)
