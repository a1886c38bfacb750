"""Docstrings: each package has its map, and each docstring opens with a plain statement."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import calldrop_migrate

PACKAGE = Path(calldrop_migrate.__file__).parent
MODULES = sorted(file for file in PACKAGE.rglob("*.py") if "packaged" not in file.parts)
# What begins a clause, of which the reader has to find the rest.
CLAUSES = ("That", "What", "Of", "Who", "Whose", "Whether", "How", "Where", "Which", "Why", "When")


@pytest.mark.parametrize("package", ["core", "engine", "cluster", "cli", "embedded"])
def test_the_map_of_a_package_names_each_module(package: str) -> None:
    told = ast.get_docstring(ast.parse((PACKAGE / package / "__init__.py").read_text("utf-8")))
    lines = [line.split() for line in (told or "").splitlines() if line[:4] == " " * 4]
    named = [words[0].removesuffix(".py") for words in lines]
    there = {file.stem for file in (PACKAGE / package).glob("*.py")} - {"__init__"}
    assert sorted(named) == sorted(there)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_docstrings_open_with_a_plain_statement(file: Path) -> None:
    clauses = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            first = (ast.get_docstring(node) or "-").split()[0]
            if first in CLAUSES:
                clauses.append(f"line {getattr(node, 'lineno', 1)}: {first}")
    assert not clauses
