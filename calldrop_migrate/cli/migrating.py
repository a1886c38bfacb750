"""`up`, `down`, `plan`: through the revisions."""

from __future__ import annotations

from typing import Annotated

import typer

from calldrop_migrate.cli.opening import opened
from calldrop_migrate.cli.options import CHANGING, CONNECTION, FILES, Call, Yes, command
from calldrop_migrate.cli.running import Flags, Running
from calldrop_migrate.core.plan import Direction
from calldrop_migrate.errors import UsageError

Target = Annotated[
    str, typer.Argument(metavar="[TARGET]", help="A revision's number, head, base, or +N.")
]
DownTarget = Annotated[
    str,
    typer.Argument(
        metavar="[TARGET]",
        show_default=False,
        help="The last revision that shall stay applied: its number, or base.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps", metavar="N", show_default=False, help="Take that many back, without TARGET."
    ),
]
SetAside = Annotated[
    bool, typer.Option("--set-aside", help="Keep rows that don't fit in a table beside.")
]
Discard = Annotated[bool, typer.Option("--discard-rows", help="Delete rows that don't fit.")]
Outage = Annotated[
    bool, typer.Option("--outage-accepted", help="A rebuilt table may be incomplete for a while.")
]
Fence = Annotated[
    bool, typer.Option("--fence", help="Revoke MODIFY on a table while it is rebuilt.")
]
NoWriter = Annotated[
    list[str] | None,
    typer.Option(
        *("--no-writer",), metavar="ROLE", help="It can write, and doesn't; for each such role."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
NoScan = Annotated[bool, typer.Option("--no-scan", help="Don't count the rows that don't fit.")]


def _migrate(
    call: Call,
    way: tuple[Direction, str, int | None],
    flags: Flags,
    *,
    yes: bool,
    dry: bool,
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
            running.carry_out(job, review, call, yes=yes, always=back)


def register(app: typer.Typer) -> None:
    """Adds the commands."""

    @command(app, "up", CONNECTION, FILES, CHANGING)
    def up(
        call: Call,
        target: Target = "head",
        dry_run: DryRun = False,
        yes: Yes = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
        fence: Fence = False,
        no_writer: NoWriter = None,
    ) -> None:
        """Apply revisions, up to TARGET."""
        flags = Flags(
            *(set_aside, discard_rows, outage_accepted),
            fence=fence or bool(no_writer),
            no_writer=tuple(no_writer or ()),
        )
        _migrate(call, ("up", target, None), flags, yes=yes, dry=dry_run)

    @command(app, "down", CONNECTION, FILES, CHANGING)
    def down(
        call: Call,
        target: DownTarget = "",
        steps: Steps = None,
        dry_run: DryRun = False,
        yes: Yes = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
        fence: Fence = False,
        no_writer: NoWriter = None,
    ) -> None:
        """Take revisions back, down to TARGET, which stays."""
        if bool(target) == (steps is not None):
            raise UsageError(
                "down takes a target or --steps, not both"
                if target
                else "down needs a target: which revision shall be the last one applied?",
                hint=(
                    "calldrop-migrate down 1          leaves 0001 applied\n"
                    "calldrop-migrate down --steps 1  takes one back\n"
                    "calldrop-migrate down base       takes all back"
                ),
            )
        flags = Flags(
            *(set_aside, discard_rows, outage_accepted),
            fence=fence or bool(no_writer),
            no_writer=tuple(no_writer or ()),
        )
        _migrate(call, ("down", target, steps), flags, yes=yes, dry=dry_run)

    @command(app, "plan", CONNECTION, FILES, CHANGING)
    def plan(
        call: Call,
        target: Target = "head",
        no_scan: NoScan = False,
        set_aside: SetAside = False,
        discard_rows: Discard = False,
        outage_accepted: Outage = False,
        fence: Fence = False,
        no_writer: NoWriter = None,
    ) -> None:
        """Show what up or down to TARGET would do; exits as they would."""
        flags = Flags(
            *(set_aside, discard_rows, outage_accepted, not no_scan),
            fence=fence or bool(no_writer),
            no_writer=tuple(no_writer or ()),
        )
        with opened(call) as place:
            running = Running(place, flags)
            way = running.jobs.planner.direction_to(target)
            running.show_plan(running.plan(running.jobs.migrate(way, target)), call)
