"""--help: every command and every option explains itself, briefly, and without the driver."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from calldrop_migrate.cli.program import COMMANDS, app


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words, groups too."""
    yield path, group
    for name in group.list_commands(None) if hasattr(group, "list_commands") else []:
        yield from commands(group.get_command(None, name), (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_these() -> None:
    names = "up down plan status verify show diff new stamp adopt repair abort clean unlock seed"
    names += " server"
    inside = ["server start", "server stop", "server status", "server logs"]
    assert [" ".join(path) for path in ALL] == ["", *names.split(), *inside]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    assert len(command.help) < 130
    for param in command.params:
        assert getattr(param, "help", ""), param.name
        assert len(param.help) < 85, param.help
        assert param.help.endswith("."), param.help


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    for name, (_, about) in COMMANDS.items():
        assert ALL[(name,)].help == about


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_is_short(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], terminal_width=100)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"Usage: {' '.join(('calldrop-migrate', *path))} ")
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100


def test_help_names_each_setting() -> None:
    shown = CliRunner().invoke(app, ["up", "--help"]).stdout
    for flag in ("--hosts", "--contact-points", "--port", "--local-dc", "--keyspace", "--profile"):
        assert flag in shown
    for flag in ("--username", "--migrations", "--keep-shadow", "--consistency", "--wait"):
        assert flag in shown
    for flag in ("--wait-for-lease", "--lease-ttl", "--ddl-timeout", "--settle-time", "--strict"):
        assert flag in shown
    assert "CALLDROP_" in shown


CALLS = (["--help"], ["--version"], ["up", "--help"], ["show", "1"], ["new", "x"], ["up", "--no"])


def test_the_list_of_commands_imports_none_of_them() -> None:
    program = (
        "import sys\n"
        "from calldrop_migrate.cli.main import run\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'pydantic', 'calldrop_migrate.cli.migrating'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "[]"


def test_what_needs_no_server_does_not_import_the_driver(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from calldrop_migrate.cli.main import run\n"
        f"for args in {CALLS}:\n"
        "    sys.argv[1:] = args\n"
        "    try:\n        run()\n    except SystemExit:\n        pass\n"
        "print(sorted({'cassandra', 'rich', 'jgo'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"CALLDROP_EMBEDDED_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"
