"""The flags that commands share, and the decorator that gives them to a command.

A command is written as a function of what is its own, with a `Call` first; `@command` adds the
shared flags and `--json` to its signature, so that each command's --help shows them and no command
repeats them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_SETTINGS = "Settings (each is also CALLDROP_NAME, and a name in calldrop-migrate.toml)"


@dataclass(frozen=True, slots=True)
class Call:
    """What every command gets: the flags that were given, by setting, and how to answer."""

    flags: dict[str, Any]
    json: bool
    name: str


def _flag(kind: Any, *names: str, help: str, metavar: str | None = None) -> Any:
    option = typer.Option(
        *names, help=help, metavar=metavar, rich_help_panel=_SETTINGS, show_default=False
    )
    return Annotated[kind | None, option]


_SECONDS = "SECONDS"
_FILE = "FILE"
FILES: dict[str, Any] = {
    "migrations": _flag(Path, "--migrations", help="Folder of migrations.", metavar="DIR"),
    "profile": _flag(str, "--profile", help="Profile of the configuration file.", metavar="NAME"),
}
CONNECTION: dict[str, Any] = {
    "hosts": _flag(
        str, "-H", "--hosts", "--contact-points", help="Nodes to connect to.", metavar="A,B,..."
    ),
    "port": _flag(int, "--port", help="CQL port; default 9042.", metavar="PORT"),
    "local_dc": _flag(str, "--local-dc", help="Data centre to talk to.", metavar="NAME"),
    "keyspace": _flag(
        str, "-k", "--keyspace", help="Keyspace to work on; default calldrop.", metavar="NAME"
    ),
    "bookkeeping_keyspace": _flag(
        str,
        "--bookkeeping-keyspace",
        help="Of lease and history; default: the same.",
        metavar="NAME",
    ),
    "username": _flag(str, "--username", help="Password: CALLDROP_PASSWORD, file, or asked."),
    "password_file": _flag(
        Path, "--password-file", help="Holds the password, in one line.", metavar=_FILE
    ),
    "tls": _flag(bool, "--tls/", help="Encrypt; any file for TLS says that, too."),
    "tls_ca": _flag(Path, "--tls-ca", help="Who signs the servers' certificates.", metavar=_FILE),
    "tls_cert": _flag(Path, "--tls-cert", help="Our own certificate.", metavar=_FILE),
    "tls_key": _flag(Path, "--tls-key", help="Its key.", metavar=_FILE),
    "tls_hostname": _flag(
        bool, "--tls-hostname/--no-tls-hostname", help="Certificates have the host's name; default."
    ),
    "consistency": _flag(
        str, "--consistency", help="Of rows; default LOCAL_QUORUM.", metavar="NAME"
    ),
    "wait": _flag(
        float, "--wait", help="For a server that isn't up yet; default 0.", metavar=_SECONDS
    ),
    "ddl_timeout": _flag(
        float, "--ddl-timeout", help="For one statement; default 30.", metavar=_SECONDS
    ),
}
MOST = _flag(
    int, "--max-rows-per-second", help="Spare the cluster; default: no limit.", metavar="N"
)
WORKERS = _flag(int, "--workers", help="Processes that carry rows; default by size.", metavar="N")
CHANGING: dict[str, Any] = {
    "wait_for_lease": _flag(
        float, "--wait-for-lease", help="Wait for another run to end; default 0.", metavar=_SECONDS
    ),
    "lease_ttl": _flag(
        int, "--lease-ttl", help="Life of a crashed run's lease; default 60.", metavar=_SECONDS
    ),
    "settle_time": _flag(
        float, "--settle-time", help="Before destroying after a crashed run.", metavar=_SECONDS
    ),
    "keep_shadow": _flag(
        float, "--keep-shadow", help="How long a rebuild's copy stays; default 7.", metavar="DAYS"
    ),
    "tablets": _flag(
        bool, "--tablets/--no-tablets", help="Of a keyspace that is made on ScyllaDB."
    ),
    "repaired": _flag(bool, "--repaired/", help="Verify at LOCAL_QUORUM: tables are repaired."),
    "max_rows_per_second": MOST,
    "workers": WORKERS,
    "dask": _flag(
        str, "--dask", help="Dask scheduler whose workers carry rows.", metavar="TCP://..."
    ),
    "strict": _flag(bool, "--strict/", help="A history ahead of the folder is an error."),
}
SEEDING: dict[str, Any] = {
    "seeds": _flag(Path, "--seeds", help="Folder of seed modules.", metavar="DIR"),
    "max_rows_per_second": MOST,
    "workers": WORKERS,
}

Yes = Annotated[bool, typer.Option("--yes", help="Answer questions with yes; allows nothing else.")]
Json = Annotated[
    bool, typer.Option("--json", help="The result, or the error, as JSON.", show_default=False)
]


class _Sectioned(TyperCommand):
    """A command whose --help shows its own options first and the settings behind them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            argument = param.param_type_name == "argument"
            title = getattr(param, "rich_help_panel", None) or (
                "Arguments" if argument else "Options"
            )
            if record := param.get_help_record(ctx):
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def command(
    app: typer.Typer, name: str, *groups: dict[str, Any], unknown_options: bool = False
) -> Callable[..., Any]:
    """Registers a command whose function takes a Call and its own parameters; `groups` of flags are
    added to them; with `unknown_options` all others come with its arguments.
    """
    settings = {"ignore_unknown_options": unknown_options}

    def register(function: Callable[..., None]) -> Callable[..., None]:
        shared = {k: v for group in groups for k, v in group.items()}

        @functools.wraps(function)
        def run(**values: Any) -> None:
            given = {k: values.pop(k) for k in shared}
            json_wanted = values.pop("json")
            flags = {k: v for k, v in given.items() if v is not None}
            function(Call(flags, json_wanted, name), **values)

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [p.replace(kind=kind) for p in own]
        parameters.append(inspect.Parameter("json", kind, default=False, annotation=Json))
        for setting, annotation in shared.items():
            parameters.append(inspect.Parameter(setting, kind, default=None, annotation=annotation))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        app.command(name, cls=_Sectioned, context_settings=settings)(run)
        return function

    return register


def help_if_alone(context: typer.Context) -> None:
    """A group of commands without a command shows what there is."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
