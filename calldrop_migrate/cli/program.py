"""The program: its commands, and what becomes of errors.

A command's module is imported when the command is called: `status` shall not wait for what `up`
needs, and --help for neither.

Every error that the package raises on purpose, and every call that can't be understood, ends here
as three lines (or as JSON) and its exit code. What else is raised is a bug: exit code 1, with the
traceback for whoever mends it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from calldrop_migrate.cli.options import help_if_alone
from calldrop_migrate.cli.render import show_error
from calldrop_migrate.core.cql import CqlError
from calldrop_migrate.errors import CalldropError, Interrupted, MigrationFileError, UsageError

# Of each command its module, and what --help says of it.
COMMANDS = {
    "up": ("migrating", "Apply revisions, up to TARGET."),
    "down": ("migrating", "Take revisions back, down to TARGET, which stays."),
    "plan": ("migrating", "Show what up or down to TARGET would do; exits as they would."),
    "status": ("inspecting", "Show what is applied, what is pending, who holds the lease."),
    "verify": ("inspecting", "Compare schema, files and replication with what is recorded."),
    "show": ("inspecting", "Print a revision's file; with --applied as it was applied."),
    "diff": ("inspecting", "Show how the schemas of two revisions differ, or the live one."),
    "new": ("inspecting", "Write an empty migration with the next number."),
    "stamp": ("mending", "Say that the keyspace is at REVISION already; refused when it isn't."),
    "adopt": ("adopting", "Take over a project of cassandra-migrate: files, history, and all."),
    "repair": ("mending", "Settle a difference between schema or files and what is recorded."),
    "abort": (
        "mending",
        "Take back what is half-way, as long as it destroyed nothing.",
    ),
    "clean": ("mending", "Drop the second copies that rebuilds have kept for --keep-shadow days."),
    "unlock": ("mending", "Take the lease away from a holder that is gone."),
    "seed": ("seeding", "Fill the keyspace with realistic rows, at whatever revision it is."),
    "server": ("serving", "A real Cassandra on this machine, for development."),
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
        json_wanted = "--json" in arguments
        extra |= {"standalone_mode": False, "prog_name": "calldrop-migrate"}
        try:
            code = super().main(arguments, *more, **extra)
        except CalldropError as error:
            code = show_error(error, json_wanted=json_wanted)
        except CqlError as error:
            code = show_error(MigrationFileError((error.fault,)), json_wanted=json_wanted)
        except typer.TyperException as error:
            code = show_error(_usage(error), json_wanted=json_wanted)
        except Exception as error:  # noqa: BLE001 (the last stop)
            traceback.print_exc()
            bug = CalldropError(
                f"a bug in calldrop-migrate: {type(error).__name__}: {error}",
                state="What was finished is recorded:  calldrop-migrate status --log",
                hint="Please report it, with the lines above.",
            )
            code = show_error(bug, json_wanted=json_wanted)
        sys.exit(code or 0)

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


def _usage(error: Any) -> UsageError:
    """A call that Typer refused, as one of ours."""
    path = error.ctx.command_path if getattr(error, "ctx", None) else "calldrop-migrate"
    return UsageError(error.format_message(), hint=f"{path} --help")


app = typer.Typer(
    cls=Program,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Brings a ScyllaDB or Apache Cassandra keyspace from any schema revision to any other, "
    "forwards and back, without losing a row.",
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
