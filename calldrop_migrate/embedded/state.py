"""The home directory of the embedded server: the record of what runs there, and its lock.

The record is written before the nodes answer, so that a starter killed in mid-start leaves nothing
unknown behind; it is believed only as far as its processes are really there (processes.py). Read at
the start of every command: keep this cheap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from calldrop_migrate.embedded.processes import Process, alive
from calldrop_migrate.errors import ConfigurationError

_FORMAT = 1
_RECORD = "server.json"


@dataclass(frozen=True, slots=True)
class Running:
    """One started server: its nodes in order. `started` is in seconds since 1970."""

    hosts: tuple[str, ...]
    port: int
    processes: tuple[Process, ...]
    directory: str
    version: str
    started: float
    ready: bool

    def alive(self) -> bool:
        """Return whether every node's process still runs."""
        return all(alive(process, self.directory) for process in self.processes)


def home_directory(home: Path | None = None) -> Path:
    """The argument, else CALLDROP_EMBEDDED_HOME, else a place in the user's data directory."""
    if home is None and (named := os.environ.get("CALLDROP_EMBEDDED_HOME")):
        home = Path(named)
    if home is None:
        from platformdirs import user_data_path

        home = user_data_path("calldrop-migrate", appauthor=False) / "embedded"
    return home.absolute()


def read(home: Path) -> Running | None:
    """The record, or None when there is none that this version understands.

    Fields of other versions are passed over: a server that an upgrade can't find can't be stopped.
    """
    try:
        record = json.loads((home / _RECORD).read_bytes())
        if record.pop("format") != _FORMAT:
            return None
        record["hosts"] = tuple(record["hosts"])
        record["processes"] = tuple(Process(**process) for process in record["processes"])
        return Running(**{each.name: record[each.name] for each in fields(Running)})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def write(home: Path, running: Running) -> None:
    """Replace the record in one step."""
    replace(home / _RECORD, json.dumps({"format": _FORMAT, **asdict(running)}))


def remove(home: Path) -> None:
    """Forget what runs; no error when nothing is recorded."""
    (home / _RECORD).unlink(missing_ok=True)


def replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never a part."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@contextmanager
def locked(directory: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of `directory`, which is made if missing; `wait` is called if another holds it.

    The system drops the lock when its holder dies, however it dies.

    Raises:
        ConfigurationError: the directory can't be written, or this system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        raise ConfigurationError(
            "the embedded server runs on Linux and macOS only",
            hint="use a server elsewhere: --hosts HOST, or `docker compose up`",
        ) from None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"can't write in {directory}: {error.strerror}",
            hint="name another place for the embedded server with CALLDROP_EMBEDDED_HOME",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
