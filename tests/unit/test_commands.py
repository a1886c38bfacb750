"""The commands that messages name: they are made in one place, and repeat what was typed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from calldrop_migrate import commands
from calldrop_migrate.cli.options import _as_typed
from calldrop_migrate.cli.program import COMMANDS

PRODUCT = Path(commands.__file__).parent
NAMED = re.compile(rf"calldrop-migrate ({'|'.join(COMMANDS)})\b")
_HELP = ("help", "examples")  # arguments whose texts are pages of --help


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every text of a module but its docstrings and the pages of --help."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.keyword) and node.arg in _HELP:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
        yield from texts(node)


def test_no_message_names_a_command_by_itself() -> None:
    found = [
        f"{path.relative_to(PRODUCT)}:{text.lineno}: {text.value!r}"
        for path in sorted(PRODUCT.rglob("*.py"))
        if path.name != "commands.py"
        for text in texts(ast.parse(path.read_text(encoding="utf-8")))
        if NAMED.search(str(text.value))
    ]
    assert not found, "make it in calldrop_migrate/commands.py:\n" + "\n".join(found)


def test_each_is_typed_by_a_test_where_it_is_printed() -> None:
    tests = Path(__file__).parent.parent / "server"
    typed = (tests / "test_commands.py").read_text("utf-8")
    typed += (tests / "test_embedded.py").read_text("utf-8")
    made = [
        name
        for name, made in inspect.getmembers(commands, inspect.isfunction)
        if not name.startswith("_") and inspect.signature(made).return_annotation == "str"
    ]
    assert len(made) > 25
    left_out = [name for name in made if not re.search(rf"commands\.{name}\(", typed)]
    # As it is printed, a call made once more has no name.
    assert left_out == ["again"]


def test_what_was_typed_is_repeated_as_far_as_the_command_knows_it() -> None:
    flags = {"keyspace": "other", "hosts": "a,b", "port": 9142, "tls": True, "tls_hostname": False}
    flags |= {"migrations": Path("my files"), "seeds": Path("s"), "workers": 4, "wait": 3.0}
    typed = commands.Typed(("seed", "-k", "other"), _as_typed(flags))
    assert commands.up() == "calldrop-migrate up"
    with commands.calling(typed):
        where = "-k other --hosts a,b --port 9142 --tls --no-tls-hostname --migrations 'my files'"
        assert commands.up() == f"calldrop-migrate up {where}"
        assert commands.down_to(0) == f"calldrop-migrate down base {where}"
        assert commands.seed("--users", "3") == f"calldrop-migrate seed --users 3 {where} --seeds s"
        assert commands.new("a b") == "calldrop-migrate new 'a b' --migrations 'my files' --seeds s"
        assert commands.server_stop() == "calldrop-migrate server stop"
        assert commands.again("--yes") == "calldrop-migrate seed -k other --yes"
    assert commands.up() == "calldrop-migrate up"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["up", "3"], "calldrop-migrate up 3 --yes"),
        (["up", "--", "+1"], "calldrop-migrate up --yes -- +1"),
    ],
)
def test_once_more_with_a_flag(words: list[str], line: str) -> None:
    with commands.calling(commands.Typed(words)):
        assert commands.again("--yes") == line
