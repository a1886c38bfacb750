"""--help: every command and every option explains itself, briefly, and without the driver."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from calldrop_migrate import commands as commands_of
from calldrop_migrate.cli import settings
from calldrop_migrate.cli.program import COMMANDS, app
from calldrop_migrate.config import Settings


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words, groups too."""
    yield path, group
    for name in group.list_commands(None) if hasattr(group, "list_commands") else []:
        yield from commands(group.get_command(None, name), (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_these() -> None:
    names = "up down plan status verify show diff new stamp adopt repair abort clean unlock seed"
    names += " server help"
    inside = ["server start", "server stop", "server status", "server logs"]
    shown = [" ".join(path) for path in ALL]
    assert sorted(shown) == sorted(["", *names.split(), *inside])
    assert [path for path in shown if path in COMMANDS] == names.split()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    assert len(command.help) < 130
    for param in command.params:
        assert getattr(param, "help", ""), param.name
        assert len(param.help) < 130, param.help
        assert param.help.endswith("."), param.help


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    for name, (_, about) in COMMANDS.items():
        assert ALL[(name,)].help == about


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_is_short(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], terminal_width=100)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    if path not in ((), ("server",)):
        assert re.search(
            rf"^Examples?:\n  calldrop-migrate {' '.join(path)}\b", result.stdout, re.M
        )
    assert lines[0].startswith(f"Usage: {' '.join(('calldrop-migrate', *path))} ")
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100


def test_help_settings_names_each_setting_with_its_default() -> None:
    known = {s.name: s for section in settings.SECTIONS.values() for s in section}
    assert known.keys() == Settings.model_fields.keys()
    shown = CliRunner().invoke(app, ["help", "settings"]).stdout
    assert max(map(len, shown.splitlines())) <= 80
    for name, setting in known.items():
        assert setting.help.endswith("."), name
        default = Settings.model_fields[name].default
        if type(default) in (int, float):
            assert setting.default == f"{default:g}", name
        for typed in setting.typed.split(" ")[0].split(","):
            assert typed in shown
    as_json = json.loads(CliRunner().invoke(app, ["help", "settings", "--json"]).stdout)
    assert [s["name"] for s in as_json["settings"]] == list(known)


def test_a_page_has_few_settings_and_says_where_the_others_are() -> None:
    shown = CliRunner().invoke(app, ["abort", "--help"]).stdout
    for flag in ("--keyspace", "--hosts", "--profile"):
        assert flag in shown
    for flag in ("--tls", "--lease-ttl", "--ddl-timeout", "--dask", "--consistency"):
        assert flag not in shown
    assert "calldrop-migrate help settings" in shown


def test_help_of_a_command_is_its_page() -> None:
    one, other = (CliRunner().invoke(app, args) for args in (["help", "up"], ["up", "--help"]))
    assert one.stdout == other.stdout
    assert one.exit_code == 0


def test_flags_that_are_repeated_in_hints_are_known_to_the_command() -> None:
    for name in COMMANDS:
        known = {param.name for param in ALL[(name,)].params}
        assert set(commands_of.takes(name)) <= known, name


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
