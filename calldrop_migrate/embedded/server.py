"""The embedded server's public face: find, start, stop, status, log_tail.

One home directory holds at most one server; another home may hold another one beside it, on another
address. What is costly to import is imported when something is started: `find` runs at the start of
every command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calldrop_migrate import commands
from calldrop_migrate.embedded import processes, releases, state
from calldrop_migrate.embedded.tuning import Tuning
from calldrop_migrate.errors import ConfigurationError

NAME = "embedded"
PORT = 9042
_GRACE = 10.0
_USUAL = Tuning()


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server."""

    name: str
    hosts: tuple[str, ...]
    port: int
    pids: tuple[int, ...]
    directory: Path
    version: str
    nodes: int


@dataclass(frozen=True, slots=True)
class Status:
    """A running embedded server, its bytes on disk, the seconds since its start, and its logs."""

    server: Server
    data_bytes: int
    uptime: float
    logs: tuple[Path, ...]


def find(home: Path | None = None) -> Server | None:
    """The running server, if one runs and has been ready; takes about a millisecond."""
    running = _ready(state.home_directory(home))
    return _server(running) if running else None


def status(home: Path | None = None) -> Status | None:
    """Return what `find` finds, with its size, its age and its logs."""
    if (running := _ready(state.home_directory(home))) is None:
        return None
    files = Path(running.directory).glob("node*/data/**/*")
    return Status(
        _server(running),
        data_bytes=sum(_size(file) for file in files),
        uptime=time.time() - running.started,
        logs=log_paths(home),
    )


def log_paths(home: Path | None = None) -> tuple[Path, ...]:
    """The log of each node, of the running server or else of the one started last."""
    home = state.home_directory(home)
    logs = sorted(home.glob("nodes-*/node*/server.log"))
    newest = max(logs, key=lambda log: log.stat().st_mtime, default=None)
    return tuple(log for log in logs if newest and log.parent.parent == newest.parent.parent)


def log_tail(lines: int = 40, home: Path | None = None) -> str:
    """The last lines of each node's log, under the log's path; empty when there is none yet."""
    return "\n".join(
        f"==> {log}\n" + "\n".join(_read(log).splitlines()[-lines:]) for log in log_paths(home)
    )


def start(
    *,
    version: str = releases.DEFAULT,
    port: int = PORT,
    nodes: int = 1,
    home: Path | None = None,
    host: str = "127.0.0.1",
    tuning: Tuning = _USUAL,
    timeout: float = 120.0,
    say: Callable[[str], None],
) -> Server:
    """Start a server that outlives this process, or return the one that runs already.

    Args:
        version: which line of Cassandra, of releases.py.
        port: where each node takes CQL connections.
        nodes: how many nodes, on consecutive addresses from `host` on.
        tuning: room and settings of each node.
        timeout: seconds that each node may take until it answers CQL.
        say: told in one line what is being done.

    Raises:
        ConfigurationError: for the user to mend: a port taken, no Java, the extra not installed.
        Unreachable: a download failed, or a node died or didn't answer; nothing is left running.
    """
    home, release = state.home_directory(home), releases.release(version)
    with state.locked(home, lambda: say("another start or stop is under way; waiting for it")):
        if running := _ready(home):
            if nodes not in (1, len(running.hosts)):
                raise ConfigurationError(
                    f"a server of {len(running.hosts)} is running already, not of {nodes} nodes",
                    hint=f"Stop it first; its data stays:  {commands.server_stop()}",
                )
            say(f"already running on {running.hosts[0]}:{running.port}")
            return _server(running)
        if running := state.read(home):
            # Nodes of a server that lost one of its own, or whose starter was killed in the middle.
            processes.terminate(running.processes, running.directory, _GRACE)
            state.remove(home)
        from calldrop_migrate.embedded.launch import launch
        from calldrop_migrate.embedded.node import lay_out

        # A ring doesn't shrink because fewer of its nodes are started, and an older release can't
        # read what a newer one wrote.
        directory = home / f"nodes-{nodes}-{release.line}"
        layout = lay_out(directory, host, nodes, port, tuning)
        return _server(launch(home, release, layout, timeout, say))


def stop(*, wipe: bool = False, home: Path | None = None, say: Callable[[str], None]) -> bool:
    """Stop the server, and with `wipe` delete its data; whether one was running.

    Raises:
        ConfigurationError: the data can't be deleted.
    """
    home = state.home_directory(home)
    if not home.exists():
        return False
    # Before the lock is asked for: a start under way fails at once instead of being waited for.
    stopped = _end(home, wipe, say)
    with state.locked(home, lambda: say("a start is under way; waiting for it")):
        stopped = _end(home, wipe, say) or stopped
        state.remove(home)
        if wipe:
            _wipe(home, say)
    return stopped


def _end(home: Path, wipe: bool, say: Callable[[str], None]) -> bool:
    running = state.read(home)
    if running is None:
        return False
    # Data that is about to be deleted needs no orderly shutdown.
    grace = 0.0 if wipe else _GRACE
    ended = processes.terminate(running.processes, running.directory, grace)
    if ended:
        say(f"stopped the server on {running.hosts[0]}:{running.port}")
    return ended


def _wipe(home: Path, say: Callable[[str], None]) -> None:
    """Delete what was made here, by name: the home may be a directory that holds other things."""
    import shutil

    for directory in home.glob("nodes-*"):
        try:
            shutil.rmtree(directory)
        except OSError as error:
            raise ConfigurationError(
                f"can't delete {error.filename}: {error.strerror}",
                state="the server is stopped; a part of its data is left",
                hint="delete it yourself",
            ) from error
        say(f"deleted {directory}")


def _ready(home: Path) -> state.Running | None:
    running = state.read(home)
    return running if running and running.ready and running.alive() else None


def _server(running: state.Running) -> Server:
    return Server(
        name=NAME,
        hosts=running.hosts,
        port=running.port,
        pids=tuple(process.pid for process in running.processes),
        directory=Path(running.directory),
        version=running.version,
        nodes=len(running.hosts),
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0  # compacted away between the listing and the look


def _read(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
