"""The program: its commands, and what becomes of errors.

A command's module is imported when the command is called: `status` shall not wait for what `up`
needs, and --help for neither.

Every error that the package raises on purpose, and every call that can't be understood, ends here
as three lines (or as JSON) and its exit code. What else is raised is a bug: exit code 1, with the
traceback for whoever mends it.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TextIO, cast

import typer
from typer.core import TyperGroup
from typer.main import get_group

from calldrop_migrate import commands
from calldrop_migrate.cli.options import help_if_alone
from calldrop_migrate.cli.render import LostOutput, Stdout, say, show_error
from calldrop_migrate.core.cql import CqlError
from calldrop_migrate.errors import CalldropError, Interrupted, MigrationFileError, UsageError

# Of each command its module, and what --help says of it.
COMMANDS = {
    "up": ("migrating", "Apply pending revisions, or finish an interrupted run."),
    "down": ("migrating", "Take back the revisions above TARGET, which stays applied."),
    "plan": (
        "migrating",
        "Show what going to TARGET would do, and end with the exit code it would have.",
    ),
    "status": (
        "inspecting",
        "Show which revisions are applied and pending, and what a run is doing.",
    ),
    "verify": (
        "inspecting",
        "Compare the live schema, the files and the replication with what is recorded.",
    ),
    "show": ("inspecting", "Print the file of a revision, or the schema that it leads to."),
    "diff": (
        "inspecting",
        "Show how the schemas of two revisions differ, or how the database does from one.",
    ),
    "new": ("creating", "Write an empty revision with the next number, or a seed module."),
    "stamp": (
        "mending",
        "Record that the keyspace is at REVISION, after comparing the schema; runs nothing.",
    ),
    "adopt": ("adopting", "Take over a project of cassandra-migrate: its files and its history."),
    "repair": (
        "mending",
        "Settle a difference between the schema, or the files, and what is recorded.",
    ),
    "abort": (
        "mending",
        "Take back an interrupted revision, as long as it has destroyed nothing.",
    ),
    "clean": (
        "mending",
        "Drop the second copies of tables that rebuilds have kept, after checking each.",
    ),
    "unlock": (
        "mending",
        "Take the lease, which keeps other runs out, from a holder that is gone.",
    ),
    "seed": ("seeding", "Load realistic rows into the keyspace, at whatever revision it is."),
    "server": ("serving", "Run a real Cassandra on this machine, for development."),
    "help": ("manual", "Show the page of a command, or all settings."),
}


class Program(TyperGroup):
    """Finds commands, and turns errors into exit codes: in a real process and under a test runner
    alike.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of --help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command; its module is imported now. A name that is none is compared with all."""
        wanted = [cmd_name] if cmd_name in COMMANDS else COMMANDS
        for module in {COMMANDS[name][0] for name in wanted if name not in self.commands}:
            part = typer.Typer(rich_markup_mode=None)
            import_module(f"calldrop_migrate.cli.{module}").register(part)
            self.commands.update(get_group(part).commands)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Runs the command and exits."""
        arguments = list(sys.argv[1:] if args is None else args)
        stdout, sys.stdout = sys.stdout, cast(TextIO, Stdout(sys.stdout))
        try:
            with commands.calling(commands.Typed(arguments)):
                code = self._carry_out(arguments, *more, **extra)
            sys.stdout.flush()
        except LostOutput as lost:
            code = _lost(lost)
        finally:
            sys.stdout = stdout
        sys.exit(code or 0)

    def _carry_out(self, arguments: list[str], *more: Any, **extra: Any) -> Any:
        """Runs the command and shows its error; gives the exit code.

        Raises:
            LostOutput: what it prints can't be written.
        """
        json_wanted = "--json" in arguments
        extra |= {"standalone_mode": False, "prog_name": commands.PROGRAM}
        try:
            return super().main(arguments, *more, **extra)
        except CalldropError as error:
            return show_error(error, json_wanted=json_wanted)
        except CqlError as error:
            return show_error(MigrationFileError((error.fault,)), json_wanted=json_wanted)
        except typer.TyperException as error:
            return show_error(_usage(error), json_wanted=json_wanted)
        except LostOutput:
            raise
        except Exception as error:  # noqa: BLE001 (the last stop)
            traceback.print_exc()
            bug = CalldropError(
                f"a bug in calldrop-migrate: {type(error).__name__}: {error}",
                state=f"What was finished is recorded:  {commands.log()}",
                hint="Please report it, with the lines above.",
            )
            return show_error(bug, json_wanted=json_wanted)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; Ctrl-C outside of a run (which stops by itself, at a safe point) ends
        here.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as pressed:
            if isinstance(pressed.__context__, CalldropError):  # a second one, on the way out
                raise pressed.__context__ from None
            raise Interrupted("interrupted", hint="Run the same command again.") from None


def _lost(output: LostOutput) -> int:
    """The exit code where stdout can't be written: 141 where nobody reads the pipe any more, as a
    shell says of a program that SIGPIPE has ended, else 1, as cat and its like have it.
    """
    # The interpreter would try to write once more at its end, and say so.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if output.why.errno == errno.EPIPE:
        return 128 + signal.SIGPIPE
    say(f"the result could not be written to stdout: {output.why.strerror} (exit 1)")
    return 1


def _usage(error: Any) -> UsageError:
    """A call that Typer refused, as one of ours."""
    path = error.ctx.command_path if getattr(error, "ctx", None) else commands.PROGRAM
    said, page = error.format_message(), commands.help_on(*path.split()[1:])
    option = getattr(error, "option_name", "")
    if re.fullmatch(r"-\d+", option):
        page = f"To take back the last revision:  {commands.down_one()}\nAll options:  {page}"
    return UsageError(said, hint=page)


app = typer.Typer(
    cls=Program,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Bring a ScyllaDB or Apache Cassandra keyspace from any schema revision to any other,"
    " forwards and back, without losing a row.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"calldrop-migrate {version('calldrop-migrate')}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    show_version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    del show_version
    help_if_alone(context)
