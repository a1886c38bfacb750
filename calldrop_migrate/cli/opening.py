"""From flags to an open connection and the first line of every command: where we are; and the
question before changes.

The driver is imported here, inside the call that connects, so that --help and commands without a
server start fast.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from calldrop_migrate import commands, config
from calldrop_migrate.cli import folders
from calldrop_migrate.cli.feed import Feed
from calldrop_migrate.cli.options import Call
from calldrop_migrate.cli.process import Stop, is_dead, this_process
from calldrop_migrate.cli.render import say
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.folder import load
from calldrop_migrate.engine.course import Hook, nothing
from calldrop_migrate.engine.journal import Journal
from calldrop_migrate.engine.lease import Clock, Timing
from calldrop_migrate.errors import (
    CalldropError,
    ConfigurationError,
    MigrationFileError,
    Unreachable,
    UsageError,
)

if TYPE_CHECKING:
    from calldrop_migrate.cluster.session import ClusterDatabase, Endpoint

_SYSTEM = (
    *("system", "system_auth", "system_distributed", "system_schema", "system_traces"),
    *("system_views", "system_virtual_schema", "system_replicated_keys"),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """The things that a command works with once it is connected.

    Attributes:
        fault: why there are no migrations, where the command can do without them.
        at: a hook for what is run.
    """

    environment: config.Environment
    database: ClusterDatabase
    migrations: tuple[Migration, ...]
    feed: Feed
    fault: CalldropError | None = None
    at: Hook = nothing

    @property
    def settings(self) -> config.Settings:
        """The command's settings."""
        return self.environment.settings

    def clock(self, stop: Stop | None = None) -> Clock:
        """The real time; waiting ends when `stop` was asked for."""
        return Clock(lambda: datetime.now(UTC), time.monotonic, stop.sleep if stop else time.sleep)

    def journal(self) -> Journal:
        """The keyspace's journal, to be read."""
        times = timing(self.settings)
        return Journal(self.database, self.clock(), times, this_process(), is_dead)


@contextmanager
def readable(name: str = "the working directory") -> Iterator[None]:
    """Files and folders that can't be read or written are the user's to mend.

    Args:
        name: what is told of where the system names nothing.

    Raises:
        ConfigurationError: one can't.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or name}: {error.strerror or error}",
            hint="Is that the right place, and may this user read and write there?",
        ) from error


def environment_of(call: Call) -> config.Environment:
    """The settings of a call, with the embedded server looked for where no hosts were given."""
    from calldrop_migrate.embedded import server

    with readable():
        running = server.find()
        embedded = config.Embedded(running.hosts, running.port) if running else None
        return config.load(call.flags, Path.cwd(), os.environ, embedded)


def load_migrations(environment: config.Environment) -> tuple[tuple[Migration, ...], str]:
    """All migrations, checked, and how their folder is called.

    Raises:
        MigrationFileError: faults in the files.
        ConfigurationError: there are none.
    """
    with readable():
        folder = folders.migrations_folder(environment, Path.cwd())
        try:
            migrations = load(folders.read_folder(folder.path))
        except MigrationFileError as error:
            if Path("cassandra-migrate.yml").exists():
                error.hint += f"\nTo take over cassandra-migrate's project:  {commands.adopt()}"
            raise
    if not migrations:
        raise ConfigurationError(
            f"there are no migrations in {folder.shown}",
            hint=(
                f"To write the first one:  {commands.new('initial')}\n"
                "To use another folder:   --migrations DIR"
            ),
        )
    return migrations, folder.shown


@contextmanager
def opened(call: Call, *, files: bool = True) -> Iterator[Opened]:
    """A connection for one command; files and settings are checked before the server is touched.

    Args:
        files: the command can't do without them; else a folder that is broken is as good as none.
    """
    environment = environment_of(call)
    settings = environment.settings
    _check_names(call, settings)
    migrations: tuple[Migration, ...] = ()
    shown, fault = "no migrations", None
    try:
        migrations, shown = load_migrations(environment)
    except (ConfigurationError, MigrationFileError) as error:
        if files:
            raise
        fault = error
    timing(settings)
    if not settings.hosts:
        raise Unreachable(
            "no server: no hosts were given, and the embedded server isn't running",
            hint=(
                f"To start a Cassandra on this machine:  {commands.server_start()}\n"
                f"To use a cluster of yours:             {commands.again('--hosts', '10.0.1.10')}"
            ),
        )
    database, feed = connection(settings), Feed(as_json=call.json)
    gc.set_threshold(700, 10, 10)  # Python's own: a copy makes garbage
    try:
        say(_where(environment, database, f"{shown} ({len(migrations)})"))
        yield Opened(environment, database, migrations, feed, fault, call.at)
    finally:
        feed.close()
        database.close()


def connection(settings: config.Settings) -> ClusterDatabase:
    """A connection as settings say; a password that is missing is asked for."""
    from calldrop_migrate.cluster import tls
    from calldrop_migrate.cluster.session import Endpoint, connect

    encryption = None
    if settings.encrypted:
        encryption = tls.context(settings.tls_files, hostname=settings.tls_hostname)
    password = config.password_in(settings)
    if settings.username and not password:
        password = _ask_password(settings.username)
    endpoint = Endpoint(
        hosts=settings.hosts,
        port=settings.port,
        keyspace=settings.keyspace,
        bookkeeping=settings.bookkeeping_keyspace,
        local_dc=settings.local_dc,
        username=settings.username,
        password=password,
        tls=encryption,
        consistency=settings.consistency,
        ddl_timeout=settings.ddl_timeout,
        wait=settings.wait,
    )
    return connect(endpoint, waiting=say)


def connect_again(endpoint: Endpoint, settings: config.Settings) -> ClusterDatabase:
    """A second connection like the one of this endpoint, in another process: what TLS needs is read
    from its files once more.
    """
    from calldrop_migrate.cluster import tls
    from calldrop_migrate.cluster.session import connect

    if settings.encrypted:
        encryption = tls.context(settings.tls_files, hostname=settings.tls_hostname)
        endpoint = replace(endpoint, tls=encryption)
    return connect(endpoint, waiting=say)


def pickled_connect(endpoint: Endpoint, settings: config.Settings) -> bytes:
    """`connect_again`, for another process."""
    # What TLS has read can't be sent.
    return pickle.dumps(partial(connect_again, replace(endpoint, tls=None, wait=0), settings))


def _ask_password(username: str) -> str:
    if not _terminal():
        raise UsageError(
            f"there is no password for {username}, and no terminal to ask on",
            hint="Put it into CALLDROP_PASSWORD, or into a file:  --password-file FILE",
        )
    try:
        return getpass(f"Password of {username}: ")
    except EOFError:
        say("")
        raise UsageError(f"there is no password for {username}") from None


def _where(environment: config.Environment, database: ClusterDatabase, folder: str) -> str:
    platform = database.platform
    name = "embedded" if environment.embedded else platform.cluster
    count = sum(platform.nodes.values())
    nodes = f"{count} node{'s' * (count != 1)}"
    profile = f"profile {environment.profile}" if environment.profile else "no profile"
    where = f"{platform.host}, {nodes}"
    cluster = f"{name} ({platform.title}, {where})" if name else f"{platform.title} ({where})"
    return f"{cluster} · keyspace {database.keyspace} · {profile} · {folder}"


def timing(settings: config.Settings) -> Timing:
    """The lease's times.

    Raises:
        UsageError: the lease would end before one statement may.
    """
    if settings.lease_ttl * 5 / 6 <= settings.ddl_timeout + 1:
        least = int((settings.ddl_timeout + 1) * 6 / 5) + 1
        raise UsageError(
            f"--lease-ttl {settings.lease_ttl} is too short for --ddl-timeout "
            f"{settings.ddl_timeout:g}: the lease could end before a statement does",
            hint=f"--lease-ttl {least} or more, or a shorter --ddl-timeout.",
        )
    return Timing(settings.lease_ttl, settings.ddl_timeout, settings.settle)


def _terminal() -> bool:
    """Tells whether a question would be seen and can be answered."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def is_answered(settings: config.Settings, call: Call) -> bool:
    """Tells whether the question before a change was answered beforehand.

    A profile with `confirm = true` asks for the keyspace's name, which --yes doesn't give.
    """
    return bool(call.confirm) or (call.yes and not settings.confirm)


def _check_names(call: Call, settings: config.Settings) -> None:
    """Sees that the keyspace may be worked on, and that --confirm has its name.

    Raises:
        ConfigurationError: it is the server's own.
        UsageError: --confirm has another name.
    """
    for name in ("keyspace", "bookkeeping_keyspace"):
        if (chosen := getattr(settings, name)).lower() in _SYSTEM:
            raise ConfigurationError(
                f"{chosen} is the server's own keyspace",
                hint=f"Name one of yours:  {config.flag(name)} NAME",
            )
    if call.confirm and call.confirm != settings.keyspace:
        raise UsageError(
            f"--confirm {call.confirm}, and the keyspace of this command is {settings.keyspace}",
            hint=f"If {settings.keyspace} is the one that you mean:  --confirm {settings.keyspace}",
        )


def ask(settings: config.Settings, call: Call, *, always: bool) -> None:
    """Asks before a change: with `confirm = true` for the keyspace's name, else, where `always`,
    for a yes.

    Raises:
        UsageError: the answer was no, or there is no terminal to ask on.
    """
    if is_answered(settings, call) or not (settings.confirm or always):
        return
    if not _terminal():
        answer = ("--confirm", settings.keyspace) if settings.confirm else ("--yes",)
        besides = ", which --yes doesn't answer" if settings.confirm and call.yes else ""
        what = (
            "the keyspace's name has to be confirmed"
            if settings.confirm
            else "this has to be confirmed"
        )
        raise UsageError(
            f"{what}{besides}, and there is no terminal to ask on",
            hint=f"To answer beforehand:  {commands.again(*answer)}",
        )
    question = f"Type the keyspace's name ({settings.keyspace}) to go on:"
    sys.stderr.write(f"  {question if settings.confirm else 'Go on? [y/N]'} ")
    sys.stderr.flush()
    try:
        answer_typed = input().strip()
    except EOFError:
        answer_typed = ""
        say("")
    if settings.confirm:
        agreed = answer_typed == settings.keyspace
    else:
        agreed = answer_typed.lower() in ("y", "yes")
    if not agreed:
        raise UsageError("not confirmed", hint=f"To begin again:  {commands.again()}")
