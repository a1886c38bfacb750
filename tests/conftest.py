"""The server that tests run on, an independent client of it, and the command as a real process.

The server is the first of these that is there; the suite never skips for want of one:

    CALLDROP_HOSTS (with CALLDROP_PORT, _USERNAME, _PASSWORD, _LOCAL_DC): a server of yours
    Docker with the image of docker-compose.yml already pulled: ScyllaDB by pytest-docker
    otherwise: an embedded Cassandra of this run's own, ended and deleted afterwards

CALLDROP_TEST_EMBEDDED=reuse takes a running `calldrop-migrate server` instead and leaves it
running: quicker while developing. Fixtures are lazy: unit tests start nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from calldrop_migrate.embedded import ports, processes
from calldrop_migrate.embedded import server as embedded
from tests.support.asking import asking_again, is_scylla
from tests.support.forks import Forks, forking

PROJECT = Path(__file__).parent.parent
COMPOSE_FILE = PROJECT / "docker-compose.yml"
CQL_PORT = 9042
# How to reach a server that was given; every other CALLDROP_* of the developer stays out of tests.
_REACHING = ("CALLDROP_USERNAME", "CALLDROP_PASSWORD", "CALLDROP_LOCAL_DC")


def _data() -> Path:
    """Where servers of tests keep their data: in memory if there is room. Each change of a schema
    flushes tables, so that CREATE and DROP take half the time there.
    """
    memory = Path("/dev/shm")
    with suppress(OSError):
        if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30:
            return memory
    return Path(tempfile.gettempdir())


DATA = _data()
# Not below pytest's own temporary folders: it deletes those of earlier runs, running server or not.
_HOMES = DATA / f"calldrop-migrate-tests-{os.getuid()}"
# With the host's name: the number of a process says nothing to another that shares the engine.
_COMPOSE_PROJECTS = re.sub("[^a-z0-9]+", "-", f"calldrop tests {socket.gethostname()} ".lower())
_RAN_ON = pytest.StashKey[str]()
_IN_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is; `kind` is given, compose or embedded."""

    hosts: tuple[str, ...]
    port: int
    kind: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished process left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Cli:
    """`calldrop-migrate` as a process, in a folder and on a keyspace of the test's own.

    Without `forks` it is the program as it is installed.
    """

    folder: Path
    keyspace: str
    environment: Mapping[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    forks: Forks | None = None

    def __call__(
        self,
        *args: str,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 120,
    ) -> Result:
        process = self._popen(args, env, cwd, typed=input is not None)
        with process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        return Result(process.returncode, out, err)

    def at(
        self, point: str, *args: str, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> Result:
        """A process that does something to itself at a point of its run (tests/support/at.py)."""
        process = self.begin(point, *args, env=env)
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err)

    def begin(
        self, point: str, *args: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Such a process, not waited for."""
        process: subprocess.Popen[str] = self._popen(args, env, None, at=point)
        self.started.append(process)
        return process

    def decoding(self, *args: str) -> Result:
        """As with a driver that decodes all that it reads: see tests/support/decoding.py."""
        return self.changed("decoding", *args)

    def changed(self, script: str, *args: str) -> Result:
        """The program with something of it changed by a script of tests/support/."""
        done = subprocess.run(
            [sys.executable, PROJECT / "tests" / "support" / f"{script}.py", *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self.environment,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        """A process to be killed in the middle; what still runs when the test ends is killed."""
        process: subprocess.Popen[str] = self._popen(args, env, cwd)
        self.started.append(process)
        return process

    def json(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Any:
        """What the command says with --json."""
        result = self(*args, "--json", env=env, cwd=cwd)
        try:
            return json.loads(result.out)
        except ValueError:
            raise AssertionError(f"no JSON: {result}") from None

    def _popen(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        *,
        typed: bool = False,
        at: str = "",
    ) -> Any:
        environment, folder = {**self.environment, **(env or {})}, cwd or self.folder
        if self.forks and not typed:
            return self.forks.begin(args, environment, folder, at)
        program = Path(sys.executable).with_name("calldrop-migrate")
        begin = [sys.executable, PROJECT / "tests" / "support" / "at.py", at] if at else [program]
        return subprocess.Popen(
            [*begin, *args],
            stdin=subprocess.PIPE if typed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=folder,
        )

    def end(self) -> None:
        """Kill what was started and still runs."""
        for process in self.started:
            process.kill()
            process.communicate()


# -- the server -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Address]:
    for source in (_given, _compose, _running_embedded):
        if address := source(request):
            request.config.stash[_RAN_ON] = _named(address)
            yield address
            return
    _end_orphans()
    home = _HOMES / str(os.getpid())
    host, port = _free_address()
    masking = {"dynamic_data_masking_enabled": "true"}
    started = embedded.start(
        home=home, host=host, port=port, extra_config=masking, say=lambda _: None
    )
    address = Address(started.hosts, started.port, "embedded")
    request.config.stash[_RAN_ON] = _named(address)
    try:
        yield address
    finally:
        _end(home)


def _given(request: pytest.FixtureRequest) -> Address | None:
    hosts = tuple(
        host.strip() for host in os.environ.get("CALLDROP_HOSTS", "").split(",") if host.strip()
    )
    return (
        Address(hosts, int(os.environ.get("CALLDROP_PORT", CQL_PORT)), "given") if hosts else None
    )


def _compose(request: pytest.FixtureRequest) -> Address | None:
    if not _docker_has(compose_image()):
        return None
    try:
        services = request.getfixturevalue("docker_services")
    except Exception as error:
        # What the node said goes away with its container.
        error.add_note(_compose_logs(request.getfixturevalue("docker_compose_project_name")))
        raise
    host, port = request.getfixturevalue("docker_ip"), services.port_for("scylla", CQL_PORT)
    services.wait_until_responsive(lambda: ports.answers_cql(host, port), timeout=60, pause=0.5)
    return Address((host,), port, "compose")


def _running_embedded(request: pytest.FixtureRequest) -> Address | None:
    if os.environ.get("CALLDROP_TEST_EMBEDDED") != "reuse":
        return None
    found = embedded.find()
    return Address(found.hosts, found.port, "embedded") if found else None


def compose_image() -> str:
    """The image that is wanted: one for all services, so the first that is named."""
    found = re.search(r"^\s+image: *(\S+)", COMPOSE_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"no image in {COMPOSE_FILE}"
    return found[1]


def _docker_has(image: str) -> bool:
    """Whether an engine answers, has the image, and Compose is there; no test pulls anything."""
    if not shutil.which("docker"):
        return False
    asked = (["docker", "image", "inspect", image], ["docker", "compose", "version"])
    with suppress(subprocess.TimeoutExpired):
        return all(
            subprocess.run(a, capture_output=True, timeout=20, check=False).returncode == 0
            for a in asked
        )
    return False


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(COMPOSE_FILE)


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    """Each run, and each worker of pytest-xdist, has its own containers, network and port."""
    return f"{_COMPOSE_PROJECTS}{os.getpid()}"


@pytest.fixture(scope="session")
def docker_setup(docker_compose_project_name: str) -> Iterator[list[str]]:
    _compose_down_orphans()
    # Any free port of this machine: a developer's own server may be on the usual one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCYLLA_PORT", "0")
        try:
            yield ["up --wait --pull never scylla"]
        finally:
            code, said = _compose_down(docker_compose_project_name)
            assert code == 0, f"{docker_compose_project_name} is still there: {said}"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    # pytest-docker's own follows only an `up` that succeeded; the end of docker_setup any.
    return ""


def _in_compose(project: str) -> list[str]:
    return ["docker", "compose", "-f", str(COMPOSE_FILE), "-p", project]


def _compose_logs(project: str) -> str:
    return subprocess.run(
        [*_in_compose(project), "logs", "--tail", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def _compose_down(project: str) -> tuple[int, str]:
    """In a session of its own: a second Ctrl-C, or xdist's impatience, ends only the waiting."""
    # Not into a pipe, which would end it when nobody reads it any more.
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [*_in_compose(project), "down", "--volumes", "--timeout", "0"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        code = process.wait()
        said.seek(0)
        return code, said.read()


def _compose_down_orphans() -> None:
    """As _end_orphans; where two runs find the same one, the slower has nothing to do."""
    form = '{{.Label "com.docker.compose.project"}}'
    asked = subprocess.run(
        ["docker", "ps", "--all", "--format", form], capture_output=True, text=True, check=True
    )
    for project in set(asked.stdout.split()):
        ours = re.fullmatch(rf"{_COMPOSE_PROJECTS}(\d+)", project)
        if ours and processes.is_gone(int(ours[1])):
            _compose_down(project)


def _end_orphans() -> None:
    """A run that was killed left its server, a gigabyte that nobody would ever find again."""
    for home in _HOMES.glob("[0-9]*"):
        if processes.is_gone(int(home.name)):
            _end(home)


def _end(home: Path) -> None:
    embedded.stop(wipe=True, home=home, say=lambda _: None)
    shutil.rmtree(home, ignore_errors=True)


def _free_address() -> tuple[str, int]:
    """One that runs beside each other don't share; not every system has more than 127.0.0.1."""
    host = f"127.7.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with suppress(OSError):
        if ports.is_free(host, CQL_PORT):
            return host, CQL_PORT
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return "127.0.0.1", int(probe.getsockname()[1])


def _named(address: Address) -> str:
    return f"{address.kind} server {','.join(address.hosts)}:{address.port}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Three nodes are enough once, and so is a secured one: one worker gets all tests on them.

    (`--dist loadgroup` would say so with marks, which xdist 3.8 doesn't see under pytest 9.2.)
    """
    return _ByServer(config, log)


class _ByServer(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        folder = Path(nodeid.partition("::")[0]).parent.name
        return folder if folder in ("cluster", "secured") else nodeid


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it ran on."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["ran_on"] = session.config.stash.get(_RAN_ON, "")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if ran_on := getattr(node, "workeroutput", {}).get("ran_on"):
        before = node.config.stash.get(_RAN_ON, "")
        node.config.stash[_RAN_ON] = f"{before}; {ran_on}" if before else ran_on


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if ran_on := config.stash.get(_RAN_ON, ""):
        terminalreporter.write_sep("-", f"ran on: {ran_on}")


# -- what a test works with -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def client(server: Address, pytestconfig: pytest.Config) -> Iterator[Any]:
    """A driver session that shares nothing with the product's own; rows are dicts."""
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.io.asyncioreactor import AsyncioConnection
    from cassandra.policies import RoundRobinPolicy
    from cassandra.query import dict_factory

    user = os.environ.get("CALLDROP_USERNAME", "")
    cluster = Cluster(
        list(server.hosts),
        port=server.port,
        connection_class=AsyncioConnection,
        protocol_version=4,  # of v5 the driver loses a part of large replies
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(
                RoundRobinPolicy(), row_factory=dict_factory, request_timeout=60
            )
        },
        auth_provider=PlainTextAuthProvider(user, os.environ.get("CALLDROP_PASSWORD", ""))
        if user
        else None,
        connect_timeout=20,
    )
    session = cluster.connect()
    pytestconfig.stash[_RAN_ON] = f"{_named(server)}, {_version(session)}"
    try:
        yield asking_again(session)
    finally:
        cluster.shutdown()


def _version(session: Any) -> str:
    # ScyllaDB says 3.0.8 as its release_version, whatever it is.
    if is_scylla(session):
        return f"ScyllaDB {session.execute('SELECT version FROM system.versions').one()['version']}"
    local = session.execute("SELECT release_version FROM system.local").one()
    return f"Cassandra {local['release_version']}"


@pytest.fixture(scope="session")
def datacenter(client: Any) -> str:
    return str(client.execute("SELECT data_center FROM system.local").one()["data_center"])


@pytest.fixture
def keyspace(client: Any) -> Iterator[str]:
    # Letters alone: a test may look for a number in what it is told.
    name = f"t_{uuid4().hex[:16].translate(_IN_LETTERS)}"
    yield name
    client.execute(f"DROP KEYSPACE IF EXISTS {name}")


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks | None]:
    """What runs of the command are forked from; none where one of many can't be waited for."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    with forking() as made:
        yield made


@pytest.fixture
def make_cli(
    request: pytest.FixtureRequest, server: Address, datacenter: str, tmp_path: Path
) -> Iterator[Callable[[str], Cli]]:
    """Makes the command line of a keyspace, each in a folder of its own."""
    as_installed = request.node.get_closest_marker("as_installed")
    forks = None if as_installed else request.getfixturevalue("forks")
    made: list[Cli] = []

    def make(name: str) -> Cli:
        folder = tmp_path / f"work{len(made) or ''}"
        folder.mkdir()
        for files in ("migrations", "seeds"):
            shutil.copytree(
                PROJECT / files, folder / files, ignore=shutil.ignore_patterns("__pycache__")
            )
        (folder / "calldrop-migrate.toml").write_text(configuration(datacenter), encoding="utf-8")
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith("CALLDROP_") and k != "FORCE_COLOR"
        }
        if server.kind == "given":
            kept |= {k: v for k, v in os.environ.items() if k in _REACHING}
        kept |= {
            "CALLDROP_HOSTS": ",".join(server.hosts),
            "CALLDROP_PORT": str(server.port),
            "CALLDROP_KEYSPACE": name,
            # Not the developer's own: a test of `server stop` must not reach it.
            "CALLDROP_EMBEDDED_HOME": str(tmp_path / "no embedded server"),
        }
        made.append(Cli(folder, name, kept, forks=forks))
        return made[-1]

    yield make
    for cli in made:
        cli.end()


def configuration(datacenter: str) -> str:
    """One replica, no questions but those that are always asked, no second copy left behind."""
    return f"confirm = false\nkeep_shadow = 0\n\n[replication]\n{datacenter} = 1\n"


@pytest.fixture
def cli(make_cli: Callable[[str], Cli], keyspace: str) -> Cli:
    return make_cli(keyspace)


@pytest.fixture
def scylla(cli: Cli, server: Address, client: Any) -> Iterator[Cli]:
    """The same where the server answers as ScyllaDB does, and on ScyllaDB itself."""
    from tests.support.scylla import AsScylla
    from tests.support.wire import tapped

    def answers() -> AsScylla:
        return AsScylla(lambda cql: list(client.execute(cql)))

    if is_scylla(client):
        yield cli
        return
    with tapped(server.hosts[0], server.port, rewriting=answers) as tap:
        yield replace(cli, environment={**cli.environment, "CALLDROP_PORT": str(tap.port)})
