"""`pip install` of the project into an environment of its own: the command works from any folder.

The environment borrows this one's dependencies, so that the test needs no network; ours is not
among them: an editable install is a .pth file, and such files count in an environment's own
site-packages only.
"""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.cli import Cli, Result
from tests.support.places import PROJECT

BORROWED = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from this folder as `pip install .` does it."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    purelib = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    (Path(purelib) / "borrowed.pth").write_text("\n".join(BORROWED), encoding="utf-8")
    subprocess.run(
        [
            *(str(python), "-m", "pip", "install", "--no-index", "--no-deps"),
            *("--no-build-isolation", "--ignore-installed", str(PROJECT)),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder / "bin" / "calldrop-migrate"


def run(command: Path, cli: Cli, folder: Path, *args: str) -> Result:
    done = subprocess.run(
        [str(command), *args],
        cwd=folder,
        env=dict(cli.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.thorough
def test_it_is_the_installed_package_that_runs(installed: Path) -> None:
    asked = "import calldrop_migrate; print(calldrop_migrate.__file__)"
    python = installed.with_name("python")
    found = subprocess.check_output([python, "-c", asked], text=True, cwd=installed.parent)
    assert Path(found.strip()).is_relative_to(installed.parents[1])


def test_help_and_a_packaged_revision_from_an_empty_folder(
    installed: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")

    shown = run(installed, cli, empty, "--help")
    assert shown.code == 0, shown
    assert "seed" in shown.out

    shown = run(installed, cli, empty, "show", "1", "--demo")
    assert shown.code == 0, shown
    assert (PROJECT / "migrations" / "0001_initial.cql").read_text(encoding="utf-8") in shown.out

    shown = run(installed, cli, empty, "seed", "--list")
    assert shown.code == 0, shown
    assert "call_records" in shown.out

    # Without a configuration there are three replicas, which one node refuses.
    refused = run(installed, cli, empty, "up")
    assert (refused.code, "no migrations here" in refused.err) == (2, True), refused
    shown = run(installed, cli, empty, "up", "--demo")
    assert "packaged CallDrop migrations (4)" in shown.err
    assert shown.code in (0, 2), shown
