"""A pytest plugin: throwaway keyspaces at any revision, filled by a seed module.

    calldrop_keyspace   in a test: makes keyspaces, which are dropped when the test ends
    calldrop_server     the same for a whole module or session: `with calldrop_server.keyspace(2)`
    calldrop_address    where the server is; to be overridden, with a container's address say

The server is the one that was given (CALLDROP_HOSTS, or `calldrop_hosts` in pytest's ini file),
or a `calldrop-migrate server` that runs already, or an embedded one of this run, which all workers
of pytest-xdist share. Hosts and profiles of calldrop-migrate.toml are never used: they may be
production's.

A keyspace is dropped only when this plugin has made it: by a CREATE KEYSPACE without IF NOT EXISTS
that the server has acknowledged, under a name that is drawn here and that nobody can choose.

pytest loads this module in every run of everybody who has the package. So it imports nothing but
pytest and a few modules that pytest has imported; everything else waits for the first keyspace.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from calldrop_migrate.cluster.session import ClusterDatabase

# What the environment may say of the server, and of the files; all other CALLDROP_* stay out.
_REACHING = (
    *("HOSTS", "PORT", "LOCAL_DC", "USERNAME", "PASSWORD", "PASSWORD_FILE", "CONSISTENCY", "WAIT"),
    *("TLS", "TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_HOSTNAME", "TABLETS"),
)
_FOLDERS = ("MIGRATIONS", "SEEDS")
_PATHS = (*_FOLDERS, "PASSWORD_FILE", "TLS_CA", "TLS_CERT", "TLS_KEY")
_PROGRAM = "from calldrop_migrate.cli.main import run; run()"
_HOME = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The server that is used where CALLDROP_HOSTS doesn't name one."""
    parser.addini("calldrop_hosts", "calldrop-migrate: nodes of a server for tests, by commas")
    parser.addini("calldrop_port", "calldrop-migrate: its CQL port", default="9042")


# -- what a test gets ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A throwaway keyspace, and where it is."""

    name: str
    hosts: tuple[str, ...]
    port: int
    _environment: Mapping[str, str] = field(repr=False)
    _folder: Path = field(repr=False)

    def run(self, *args: str, code: int = 0) -> str:
        """`calldrop-migrate ARGS` on this keyspace; what it prints on stdout.

        The test fails where the exit code is not `code`.
        """
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *args],
            env={**self._environment, "CALLDROP_KEYSPACE": self.name},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode != code:
            command = shlex.join(["calldrop-migrate", *args])
            pytest.fail(
                f"{command}  on {self.name}: exit {done.returncode}\n{done.stdout}{done.stderr}",
                pytrace=False,
            )
        return done.stdout


@dataclass(frozen=True, slots=True)
class Server:
    """The server of this run, as one worker is connected to it."""

    hosts: tuple[str, ...]
    port: int
    _database: ClusterDatabase = field(repr=False)
    _tablets: bool | None = field(repr=False)
    _environment: Mapping[str, str] = field(repr=False)
    _folder: Path = field(repr=False)

    @contextmanager
    def keyspace(
        self, revision: str | int = "head", seed: str | None = None, *, title: str = ""
    ) -> Iterator[Keyspace]:
        """A keyspace at a revision, dropped at the end.

        Args:
            revision: what one types behind `calldrop-migrate up`; 0 or base leaves it empty.
            seed: what one types behind `calldrop-migrate seed`, options and all; None: nothing.
            title: becomes a part of its name.
        """
        from calldrop_migrate.engine.keyspace import create_keyspace

        name, each = _draw_name(title), dict.fromkeys(self._database.platform.nodes, "1")
        create = create_keyspace(name, {"class": "NetworkTopologyStrategy", **each}, self._tablets)
        with _told():
            self._database.ddl(create.replace(" IF NOT EXISTS", ""))
        try:
            made = Keyspace(name, self.hosts, self.port, self._environment, self._folder)
            if str(revision) not in ("0", "base"):
                made.run("up", str(revision), "--yes")
            if seed is not None:
                made.run("seed", *shlex.split(seed), "--yes")
            yield made
        finally:
            with _told():
                self._database.ddl(f"DROP KEYSPACE IF EXISTS {name}")


@pytest.fixture
def calldrop_keyspace(
    calldrop_server: Server, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Keyspace]]:
    """Makes keyspaces: calldrop_keyspace(2, seed="--random-seed 507"); dropped with the test."""
    with ExitStack() as made:

        def make(revision: str | int = "head", seed: str | None = None) -> Keyspace:
            title = str(request.node.name)
            return made.enter_context(calldrop_server.keyspace(revision, seed, title=title))

        yield make


@pytest.fixture(scope="session")
def calldrop_server(
    calldrop_address: tuple[str, int | str] | None,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Makes keyspaces for longer: with calldrop_server.keyspace(2, seed="") as keyspace."""
    from calldrop_migrate import config
    from calldrop_migrate.cli.opening import connection

    folder = tmp_path_factory.mktemp("calldrop")  # where no configuration file is
    with _told():
        config.check_variables(os.environ)
        roots = (pytestconfig.rootpath, pytestconfig.invocation_params.dir)
        variables = _files(roots) | _variables(*_FOLDERS, "DEMO")
        if calldrop_address is not None:
            variables |= _variables(*_REACHING)
        hosts, port = calldrop_address or _embedded(pytestconfig)
        variables |= {"CALLDROP_HOSTS": hosts, "CALLDROP_PORT": str(port)}
        variables.setdefault("CALLDROP_WAIT", "60")  # a container may just be starting
        settings = config.load({}, folder, variables, None).settings
        database = connection(settings)
    try:
        copies = ",".join(f"{name}=1" for name in database.platform.nodes)
        variables |= {"CALLDROP_REPLICATION": copies, "CALLDROP_KEEP_SHADOW": "0"}
        variables |= {"CALLDROP_CONFIRM": "false"}
        others = {k: v for k, v in os.environ.items() if not k.startswith("CALLDROP_")}
        tablets = settings.tablets if database.platform.scylla else None
        yield Server(settings.hosts, settings.port, database, tablets, others | variables, folder)
    finally:
        database.close()


@pytest.fixture(scope="session")
def calldrop_address(pytestconfig: pytest.Config) -> tuple[str, int | str] | None:
    """Hosts (by commas) and port of the server that was given; None: an embedded one."""
    hosts = os.environ.get("CALLDROP_HOSTS") or pytestconfig.getini("calldrop_hosts")
    port = os.environ.get("CALLDROP_PORT") or pytestconfig.getini("calldrop_port")
    return (hosts, port) if hosts else None


def _variables(*names: str) -> dict[str, str]:
    """Settings from the environment; their paths count from where pytest was started."""
    given = {name: os.environ.get(f"CALLDROP_{name}", "") for name in names}
    return {
        f"CALLDROP_{name}": str(Path(value).absolute()) if name in _PATHS else value
        for name, value in given.items()
        if value
    }


def _files(roots: Sequence[Path]) -> dict[str, str]:
    """The project's own folders, as its configuration, in the first of `roots` that has one, or
    their usual names say.

    One that must be there is named also when it isn't. The packaged CallDrop revisions are used
    where `demo = true` (or CALLDROP_DEMO) says so.
    """
    from calldrop_migrate import config

    files = [(root, *config.read_file(root)) for root in roots]
    root, stored, file = next((found for found in files if found[2]), files[0])
    paths = {name: root / str(stored.get(name.lower(), name.lower())) for name in _FOLDERS}
    needed = {name.upper() for name in stored} | ({"MIGRATIONS"} if file else set())
    found = {n: str(path) for n, path in paths.items() if n in needed or path.is_dir()}
    if stored.get("demo"):
        found = {name: path for name, path in found.items() if name == "SEEDS"} | {"DEMO": "true"}
    return {f"CALLDROP_{name}": value for name, value in found.items()}


def _draw_name(title: str) -> str:
    """A name that no other worker, test or run draws."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    words = [re.sub("[^a-z0-9]+", "_", word.lower()).strip("_") for word in (worker, title)]
    return "_".join(("t", *(word[:16] for word in words if word), uuid4().hex[:12]))


@contextmanager
def _told() -> Iterator[None]:
    """An error of ours in its three parts, without the frames that lead to it."""
    from calldrop_migrate.errors import CalldropError

    try:
        yield
    except CalldropError as error:
        parts = (error.message, error.state, error.hint)
        pytest.fail("\n".join(part for part in parts if part), pytrace=False)


# -- the embedded server of a run -----------------------------------------------------------------
#
# Its home is named by the process that reports the run, which also ends it; with pytest-xdist the
# workers are told that home. The first to need a server starts it, the others find it there.


def _home(config: pytest.Config) -> Path:
    given: Mapping[str, str] = getattr(config, "workerinput", {})
    if "calldrop_home" in given:
        return Path(given["calldrop_home"])
    if _HOME not in config.stash:
        # With the host's name: the number of a process says nothing to another host.
        user = os.getuid() if hasattr(os, "getuid") else "all"  # not on Windows
        runs = f"calldrop-migrate-pytest-{socket.gethostname()}-{user}"
        drawn = f"{os.getpid()}-{uuid4().hex[:8]}"
        config.stash[_HOME] = Path(tempfile.gettempdir()) / runs / drawn
    return config.stash[_HOME]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist where the server of this run is, or is to be."""
    node.workerinput["calldrop_home"] = str(_home(node.config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the server of this run when all workers have ended."""
    if not hasattr(config, "workerinput") and _HOME in config.stash:
        _end(config.stash[_HOME])


def _embedded(config: pytest.Config) -> tuple[str, int]:
    """A server that runs already, or the one of this run."""
    from calldrop_migrate.cli.render import say
    from calldrop_migrate.embedded import processes, server

    found = server.find()
    if found is None:
        home = _home(config)
        for earlier in home.parent.glob("[0-9]*-*"):
            if processes.is_gone(int(earlier.name.partition("-")[0])):  # a run that was killed
                _end(earlier)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        found = server.start(home=home, port=port, say=say)
    return ",".join(found.hosts), found.port


def _end(home: Path) -> None:
    if not home.exists():
        return
    import shutil

    from calldrop_migrate.embedded import server

    server.stop(wipe=True, home=home, say=lambda line: None)
    shutil.rmtree(home, ignore_errors=True)
