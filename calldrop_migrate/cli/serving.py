"""`server start|stop|status|logs`: the embedded Cassandra, for development and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli.options import Call, Page, command, help_if_alone
from calldrop_migrate.cli.render import say, show, shows, size
from calldrop_migrate.errors import ConfigurationError

if TYPE_CHECKING:
    from calldrop_migrate.embedded.server import Server

Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="PORT",
        min=1,
        max=65535,
        show_default=False,
        help="The CQL port. Default: 9042.",
    ),
]
Version = Annotated[
    str | None,
    typer.Option(
        "--version",
        metavar="VERSION",
        show_default=False,
        help="Which Cassandra to start: 4.1, 5.0 or 6.0. Default: 5.0.",
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        "--nodes",
        metavar="N",
        min=1,
        max=9,
        show_default=False,
        help="How many nodes to start, on 127.0.0.1, 127.0.0.2 and so on. Default: 1.",
    ),
]
Wipe = Annotated[bool, typer.Option("--wipe", help="Delete its data, too.")]
Lines = Annotated[
    int, typer.Option("--lines", "-n", metavar="N", min=1, help="How many lines to show.")
]


@dataclass(frozen=True, slots=True)
class Served:
    """The result of the server commands."""

    running: bool
    hosts: tuple[str, ...] = ()
    port: int = 0
    version: str = ""
    directory: str = ""
    pids: tuple[int, ...] = ()
    data_bytes: int | None = None
    uptime: float | None = None


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the log."""

    text: str


@shows(Served)
def _served(result: Served) -> list[str]:
    if not result.running:
        return [f"The embedded server is not running.       try: {commands.server_start()}"]
    where = f"{', '.join(result.hosts)}:{result.port}"
    pids = f"pid {', '.join(map(str, result.pids))}"
    since = f", for {result.uptime / 60:.0f} min" if result.uptime is not None else ""
    data = f" ({size(result.data_bytes)})" if result.data_bytes is not None else ""
    there = f"{result.directory}{data}"
    return [f"Cassandra {result.version} runs on {where}{since} ({pids}), in {there}"]


@shows(Tail)
def _tail(result: Tail) -> list[str]:
    return result.text.splitlines() or ["There is no log: the embedded server was never started."]


def _running(found: Server, data_bytes: int | None = None, uptime: float | None = None) -> Served:
    where = (found.hosts, found.port, found.version, str(found.directory), found.pids)
    return Served(True, *where, data_bytes, uptime)


_START_PAGE = Page(
    examples=(
        "calldrop-migrate server start            one node on 127.0.0.1:9042",
        "calldrop-migrate server start --nodes 3  three of them",
        "calldrop-migrate server start --version 4.1",
    ),
)

_STOP_PAGE = Page(
    examples=("calldrop-migrate server stop --wipe  end it and delete its data",),
)

_STATUS_PAGE = Page(examples=("calldrop-migrate server status",))

_LOGS_PAGE = Page(examples=("calldrop-migrate server logs -n 200",))


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    about = "Run a real Cassandra on this machine, for development."
    group = typer.Typer(help=about, invoke_without_command=True)
    group.callback()(help_if_alone)
    app.add_typer(group, name="server")

    @command(group, "start", page=_START_PAGE)
    def start(call: Call, port: Port = None, nodes: Nodes = None, version: Version = None) -> None:
        """Start the server. It goes on running when this command has ended."""
        from calldrop_migrate.embedded import releases, server
        from calldrop_migrate.embedded.tuning import Tuning

        release = releases.release(version or releases.DEFAULT)
        if found := server.find():
            other = f"on port {found.port}" if port not in (None, found.port) else ""
            if nodes not in (None, found.nodes):
                other = f"with {found.nodes} node{'s' * (found.nodes > 1)}"
            if version and found.version != release.version:
                other = f"Cassandra {found.version}"
            if other:
                raise ConfigurationError(
                    f"a server is running already, {other}",
                    hint=f"Stop it first; its data stays:  {commands.server_stop()}",
                )
        tuning = Tuning() if nodes in (None, 1) else Tuning(heap_mb=Tuning().heap_mb // 2)
        asked = (port or server.PORT, nodes or 1)
        started = server.start(
            version=release.line, port=asked[0], nodes=asked[1], tuning=tuning, say=say
        )
        show(_running(started), json_wanted=call.json)

    @command(group, "stop", page=_STOP_PAGE)
    def stop(call: Call, wipe: Wipe = False) -> None:
        """Stop the server; its data stays."""
        from calldrop_migrate.embedded import server

        server.stop(wipe=wipe, say=say)
        show(Served(False), json_wanted=call.json)

    @command(group, "status", page=_STATUS_PAGE)
    def status(call: Call) -> None:
        """Show whether the server is running, and where."""
        from calldrop_migrate.embedded import server

        found = server.status()
        result = _running(found.server, found.data_bytes, found.uptime) if found else Served(False)
        show(result, json_wanted=call.json)

    @command(group, "logs", page=_LOGS_PAGE)
    def logs(call: Call, lines: Lines = 40) -> None:
        """Show the end of the server's log."""
        from calldrop_migrate.embedded import server

        show(Tail(server.log_tail(lines)), json_wanted=call.json)
