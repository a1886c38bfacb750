"""The decorator that makes a command: it adds the settings' flags and --json to the command's own
options, and writes its help page.

A command is a function of what is its own, with a `Call` first. Its page shows its own options, the
few settings that matter to it, and an example; the others are in `calldrop-migrate help settings`.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from calldrop_migrate import commands
from calldrop_migrate.cli import settings
from calldrop_migrate.cli.settings import Setting
from calldrop_migrate.engine.course import Hook, nothing

_SETTINGS = "Settings"
CONNECTION, FILES = settings.CONNECTION, settings.FILES
CHANGING = (*settings.RUNS, *settings.KEYSPACE)
SEEDING = (settings.SEEDS, settings.MOST, settings.WORKERS)
_SHOWN = ("keyspace", "hosts", "profile", "migrations", "seeds")  # on every page that has them


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments that every command gets.

    Attributes:
        flags: the settings that were typed.
        yes: ordinary questions are answered.
        confirm: the keyspace's name, where that was typed beforehand.
        at: a hook for what is run, of the process that began the command.
    """

    flags: Mapping[str, Any]
    json: bool
    name: str
    yes: bool = False
    confirm: str = ""
    at: Hook = nothing


@dataclass(frozen=True, slots=True)
class Page:
    """A command's page, and how it is called.

    Attributes:
        examples: commands with a comment behind each.
        asks: it asks before it changes anything, and has --yes and --confirm.
        shown: settings on the page, besides those that every page has.
        unknown_options: all other options come with its arguments.
    """

    examples: Sequence[str] = ()
    asks: bool = False
    shown: Sequence[str] = ()
    unknown_options: bool = False


_ANSWERS: dict[str, Any] = {
    "yes": Annotated[
        bool, typer.Option("--yes", help="Answer a question with yes. Permits nothing else.")
    ],
    "confirm": Annotated[
        str,
        typer.Option(
            "--confirm",
            metavar="KEYSPACE",
            show_default=False,
            help="Answer for the keyspace's name, where a profile asks for it.",
        ),
    ],
}
_JSON = Annotated[bool, typer.Option("--json", help="Print the result, or the error, as JSON.")]


class _Page(TyperCommand):
    """A command whose --help shows its own options, then the settings, then examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options by section."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            argument = param.param_type_name == "argument"
            panel = getattr(param, "rich_help_panel", None)
            title = panel or ("Arguments" if argument else "Options")
            if record := param.get_help_record(ctx):
                name = re.sub(r" <\S+>$", "", record[0])  # a type is no news for people
                about = re.sub(r" +\[\S*<=\S*\]$", "", record[1])
                sections.setdefault(title, []).append((name, about))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the first line, in the brackets that manuals have."""
        pieces = (re.sub(r"^\{(.*)\}$", r"\1", p) for p in super().collect_usage_pieces(ctx))
        return [re.sub(r"^\[(\[.*\.\.\.)\]\.\.\.$", r"\1", piece) for piece in pieces]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the epilog as it is."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")


def _option(setting: Setting, shown: Sequence[str]) -> Any:
    option = typer.Option(
        *setting.flags,
        help=setting.meaning,
        metavar=setting.metavar or None,
        rich_help_panel=_SETTINGS,
        show_default=False,
        hidden=setting.name not in shown,
    )
    return Annotated[setting.kind | None, option]


def _as_typed(flags: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The flags that were typed, of the settings that hints repeat."""
    typed: dict[str, tuple[str, ...]] = {}
    for name in (*commands.WHERE, "keep_shadow"):
        flag = "-k" if name == "keyspace" else f"--{name.replace('_', '-')}"
        match flags.get(name):
            case None:
                pass
            case True:
                typed[name] = (flag,)
            case False:
                typed[name] = (flag.replace("--", "--no-"),)
            case float(number):
                typed[name] = (flag, f"{number:g}")
            case value:
                typed[name] = (flag, str(value))
    return typed


def _epilog(examples: Sequence[str], *, more: bool) -> str:
    lines = ["Examples:" if len(examples) > 1 else "Example:"] if examples else []
    lines += [f"  {line}" for line in examples]
    if more:
        lines += [
            "",
            f"All settings, as flags, variables and in a file:  {commands.help_settings()}",
        ]
    return "\n".join(lines)


def command(
    app: typer.Typer, name: str, *groups: Sequence[Setting], page: Page
) -> Callable[..., Any]:
    """Registers a command whose function takes a Call and its own parameters.

    Args:
        groups: settings that it has flags for.
    """
    known = {setting.name: setting for group in groups for setting in group if setting.flags}
    on_page = (*_SHOWN, *page.shown)

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(context: typer.Context, **values: Any) -> None:
            given = {k: values.pop(k) for k in known}
            flags = {k: v for k, v in given.items() if v is not None}
            answers = {k: values.pop(k) for k in _ANSWERS} if page.asks else {}
            call = Call(flags, values.pop("json"), name, **answers, at=context.obj or nothing)
            with commands.calling(replace(commands.present(), flags=_as_typed(flags))):
                function(call, **values)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("context", kind, annotation=typer.Context)]
        parameters += [p.replace(kind=kind) for p in own]
        for answer, annotation in _ANSWERS.items() if page.asks else ():
            default = False if answer == "yes" else ""
            parameters.append(
                inspect.Parameter(answer, kind, default=default, annotation=annotation)
            )
        parameters.append(inspect.Parameter("json", kind, default=False, annotation=_JSON))
        for setting in known.values():
            annotation = _option(setting, on_page)
            parameters.append(
                inspect.Parameter(setting.name, kind, default=None, annotation=annotation)
            )
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        context = {"ignore_unknown_options": page.unknown_options}
        epilog = _epilog(page.examples, more=bool(known))
        app.command(name, cls=_Page, context_settings=context, epilog=epilog)(run)
        return function

    return register


def help_if_alone(context: typer.Context) -> None:
    """A group of commands without a command shows what there is."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
