"""ScyllaDB by Docker Compose, where the image is there already: fixtures of pytest-docker."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress

import pytest

from calldrop_migrate.embedded import ports, processes
from tests.support.places import PROJECT
from tests.support.servers import CQL_PORT, Address

_FILE = PROJECT / "docker-compose.yml"
# With the host's name: the number of a process says nothing to another that shares the engine.
_PROJECTS = re.sub("[^a-z0-9]+", "-", f"calldrop tests {socket.gethostname()} ".lower())


def started(request: pytest.FixtureRequest) -> Address | None:
    """A ScyllaDB of this run's own, if Docker has its image."""
    if not _docker_has(_image()):
        return None
    try:
        services = request.getfixturevalue("docker_services")
    except Exception as error:
        # What the node said goes away with its container.
        error.add_note(_logs(request.getfixturevalue("docker_compose_project_name")))
        raise
    host, port = request.getfixturevalue("docker_ip"), services.port_for("scylla", CQL_PORT)
    services.wait_until_responsive(lambda: ports.answers_cql(host, port), timeout=60, pause=0.5)
    return Address((host,), port, "compose")


def _image() -> str:
    """The image that is wanted: one for all services, so the first that is named."""
    found = re.search(r"^\s+image: *(\S+)", _FILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"no image in {_FILE}"
    return found[1]


def _docker_has(image: str) -> bool:
    """An engine answers, has the image, and Compose is there; no test pulls anything."""
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
    return str(_FILE)


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    """Each run, and each worker of pytest-xdist, has its own containers, network and port."""
    return f"{_PROJECTS}{os.getpid()}"


@pytest.fixture(scope="session")
def docker_setup(docker_compose_project_name: str) -> Iterator[list[str]]:
    _down_orphans()
    # Any free port of this machine: a developer's own server may be on the usual one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCYLLA_PORT", "0")
        try:
            yield ["up --wait --pull never scylla"]
        finally:
            code, said = _down(docker_compose_project_name)
            assert code == 0, f"{docker_compose_project_name} is still there: {said}"


@pytest.fixture(scope="session")
def docker_cleanup() -> str:
    # pytest-docker's own follows only an `up` that succeeded; the end of docker_setup any.
    return ""


def _in_compose(project: str) -> list[str]:
    return ["docker", "compose", "-f", str(_FILE), "-p", project]


def _logs(project: str) -> str:
    return subprocess.run(
        [*_in_compose(project), "logs", "--tail", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def _down(project: str) -> tuple[int, str]:
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


def _down_orphans() -> None:
    """Ends those of killed runs; a second run that finds the same one has nothing to do."""
    form = '{{.Label "com.docker.compose.project"}}'
    asked = subprocess.run(
        ["docker", "ps", "--all", "--format", form], capture_output=True, text=True, check=True
    )
    for project in set(asked.stdout.split()):
        ours = re.fullmatch(rf"{_PROJECTS}(\d+)", project)
        if ours and processes.is_gone(int(ours[1])):
            _down(project)
