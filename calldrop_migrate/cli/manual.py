"""`help`: the page of a command, and the settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from calldrop_migrate.cli import settings
from calldrop_migrate.cli.options import Call, Page, command
from calldrop_migrate.cli.render import show, shows

Topic = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="COMMAND|settings", show_default=False, help="What to show the page of."
    ),
]


@dataclass(frozen=True, slots=True)
class SettingShown:
    """One setting; `flag` is empty where it has none."""

    name: str
    variable: str
    flag: str
    section: str
    help: str
    default: str


@dataclass(frozen=True, slots=True)
class SettingsShown:
    """The result of `help settings`."""

    settings: tuple[SettingShown, ...]


@shows(SettingsShown)
def _settings(result: SettingsShown) -> list[str]:
    del result
    return list(settings.page())


def _all() -> SettingsShown:
    return SettingsShown(
        tuple(
            SettingShown(
                name=s.name,
                variable=f"CALLDROP_{s.name.upper()}",
                flag=s.typed,
                section=title,
                help=s.help,
                default=s.default,
            )
            for title, section in settings.SECTIONS.items()
            for s in section
        )
    )


_HELP_PAGE = Page(
    examples=(
        "calldrop-migrate help up        the page of `up`",
        "calldrop-migrate help settings  all settings: flags, variables, defaults",
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "help", page=_HELP_PAGE)
    def help_(call: Call, topic: Topic = None) -> None:
        """Show the page of a command, or all settings."""
        from calldrop_migrate.cli.program import app as program

        if topic == ["settings"]:
            show(_all(), json_wanted=call.json)
        else:
            sys.argv[1:] = [*(topic or []), "--help"]
            program()
