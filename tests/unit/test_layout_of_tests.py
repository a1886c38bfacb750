"""Helpers live in tests/support: a test module imports no other one, and what many tests need has
one definition.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sampling
from tests.support.sampling import LATER, sample

pytest_plugins = ("pytester",)

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
ONCE = {"filled": "fixtures.py", "GO": "settings.py", "SHORT": "settings.py"}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob("*.py")}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def defined(tree: ast.AST) -> Iterator[str]:
    """The names that a module, or a class of it, gives a meaning of its own."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.FunctionDef):  # what is local to it is nobody else's
            for decorator in node.decorator_list:
                yield from (
                    str(getattr(word.value, "value", ""))
                    for word in getattr(decorator, "keywords", ())
                    if word.arg == "name"
                )
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.alias) and node.asname:
            yield node.asname
        yield from defined(node)


def of_tests(module: str) -> bool:
    return any(part.startswith("test_") or part == "conftest" for part in module.split("."))


def test_no_module_imports_a_test_module_or_a_conftest() -> None:
    found = {
        f"{path.relative_to(TESTS)}: {module}"
        for path, tree in TREES.items()
        for module in imported(tree)
        if of_tests(module)
    }
    assert not found


@pytest.mark.parametrize("name", ONCE)
def test_what_many_tests_need_is_defined_once(name: str) -> None:
    where = [
        str(path.relative_to(TESTS))
        for path, tree in TREES.items()
        for each in defined(tree)
        if each == name
    ]
    assert where == [f"support/{ONCE[name]}"]


@pytest.mark.parametrize(
    "text",
    [
        "from tests.server.test_kills import Killing",
        "from tests.server import test_kills",
        "import tests.server.test_kills as kills",
        "def late() -> None:\n    from tests.conftest import Cli",
    ],
)
def test_an_import_of_a_test_module_is_seen(text: str) -> None:
    assert any(map(of_tests, imported(ast.parse(text))))


@pytest.mark.parametrize(
    "text",
    [
        "GO = ()",
        "GO: tuple[str, ...] = ()",
        "MORE, GO = (), ()",
        "from tests.support.settings import GO_ASIDE as GO",
        "class Case:\n    GO = ()",
        "@pytest.fixture(name='GO')\ndef other(): ...",
    ],
)
def test_a_second_definition_is_seen(text: str) -> None:
    assert "GO" in defined(ast.parse(text))


def test_the_map_of_helpers_names_each_and_none_is_long() -> None:
    map_of_helpers = ast.get_docstring(TREES[SUPPORT / "__init__.py"]) or ""
    named = {
        line.split()[0].strip("/") for line in map_of_helpers.splitlines() if line[:4] == " " * 4
    }
    there = {path.stem for path in SUPPORT.iterdir() if path.name[0] not in "_."}
    assert named == there
    long = {
        path.name: count
        for path in (*SUPPORT.glob("*.py"), *TESTS.rglob("conftest.py"))
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long


# -- what `make test` leaves out -------------------------------------------------------------------


def test_each_mark_is_described_and_no_other_is_taken() -> None:
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    options = project["tool"]["pytest"]["ini_options"]
    described = dict(line.split(": ", 1) for line in options["markers"])
    assert all("make test-faults" in described[mark] for mark in LATER)
    assert "--strict-markers" in options["addopts"]


def test_of_a_table_the_first_cases_stay() -> None:
    one, two, *others = sample(["a", ("b", 1), "c", ("d", 2)], 2)
    assert (one, two) == ("a", ("b", 1))
    assert [each.values for each in others] == [("c",), ("d", 2)]
    assert all(mark.name in LATER for each in others for mark in each.marks)


@pytest.mark.parametrize("args", [(), ("-m", "twin"), ("test_it.py::test_long",)])
def test_what_is_left_out_is_counted_unless_it_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sampling, "FULL", False)
    pytester.makeini(f"[pytest]\nmarkers =\n    {LATER[0]}\n    {LATER[1]}\n")
    pytester.makepyfile(
        test_it="""
        import pytest

        def test_short(): ...

        @pytest.mark.thorough
        def test_long(): ...

        @pytest.mark.twin
        def test_other(): ...
        """
    )
    result = pytester.runpytest("-p", "tests.support.sampling", *args)
    result.assert_outcomes(passed=1)
    assert ("2 tests are left to make test-faults" in result.stdout.str()) == (not args)
