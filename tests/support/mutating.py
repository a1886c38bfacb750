"""One mutation of the product, and whether a schedule of the simulator notices it.

    python -m tests.support.mutating WORD ...    searches the families for a schedule that notices
                                                 each mutation whose name has one of these words

A mutated module is compiled from its changed text in a process of its own; no file is written.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

from tests.support.mutations import MUTATIONS, Mutation
from tests.support.places import PROJECT

_NOTICED = 1  # exit code of a traceback, and of a test that fails
_SIMULATOR = [
    f"tests.support.simulator.{name}" for name in ("exploring", "families", "judging", "lines")
]
_PATIENCE = 600  # seconds; a run that hangs is noticed too
_EACH = 40  # schedules of each family that are searched, each way


def noticed(mutation: Mutation, line: str = "") -> str:
    """Return the schedule that notices a mutation, and how; empty: none does.

    Args:
        line: the schedule, or the test, to try; without it the families are searched.

    Raises:
        RuntimeError: it can't be made, or what is to be tried doesn't exist.
    """
    command = [sys.executable, "-m", "tests.support.mutating", "--mutated", mutation.title, line]
    with subprocess.Popen(
        command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            said, failed = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"no end within {_PATIENCE} s"
    if not process.returncode:
        return ""
    if process.returncode != _NOTICED:
        raise RuntimeError(f"{mutation.title}: {said}{failed}")
    # The last of the schedules that were begun, and what a traceback says last.
    return "\n".join(text.strip().rpartition("\n")[2] for text in (said, failed))


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from its changed text."""

    def __init__(self, mutation: Mutation) -> None:
        self._name = f"calldrop_migrate.engine.{mutation.module}"
        file = PROJECT / f"{self._name.replace('.', '/')}.py"
        text = mutation.applied(file.read_text(encoding="utf-8"))
        self._code = compile(text, str(file), "exec")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        """See `Loader`."""
        exec(self._code, module.__dict__)


def _mutated(title: str, text: str) -> None:
    """Be the process of one mutation: what is raised here notices it. The simulator is imported
    behind the mutation, because it imports the product.
    """
    mutation = next(each for each in MUTATIONS if each.title == title)
    try:
        sys.meta_path.insert(0, _Mutated(mutation))
    except (ValueError, SyntaxError) as error:
        sys.exit(_unable(error))
    if "::" in text:
        import pytest

        # Of the plugins of conftest.py some are imported already.
        options = ["--noconftest", "-W", "ignore", "-p", "no:cacheprovider"]
        sys.exit(pytest.main(["-q", "-x", *options, text]))
    exploring, families, judging, lines = map(import_module, _SIMULATOR)
    try:
        tried = [lines.parse(text)] if text else []
    except ValueError as error:
        sys.exit(_unable(error))
    for line in tried:
        print(line)
        judging.judge(exploring.Explorer(line.journey), line)
    if text:
        return
    for draw in families.ALL:
        for way in ("up", "down"):
            on = exploring.Explorer(lines.parse(f"{way} {draw.journey}").journey)
            print(on.journey)
            for schedules, _ in replace(draw, most=_EACH).drawn(on, seed=1):
                for parts in schedules:
                    print(lines.Line(on.journey, parts))
                    judging.judge(on, lines.Line(on.journey, parts))


def _unable(error: Exception) -> int:
    """Say what is wrong with the list itself, and return the exit code for it."""
    print(error, file=sys.stderr)
    return _NOTICED + 1


def main(words: Sequence[str]) -> int:
    """Search for what notices each mutation whose name has one of the words."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.title for word in words)]
    survived = 0
    for mutation in chosen:
        began = time.monotonic()
        found = noticed(mutation)
        survived += not found
        took = f"{time.monotonic() - began:.0f} s"
        print(f"{'noticed ' if found else 'SURVIVED'}  {mutation.title}  ({took})", flush=True)
        print("\n".join(f"          {line[:200]}" for line in found.split("\n")), flush=True)
    print(f"{len(chosen)} mutations, {survived} survived")
    return survived


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mutated"]:
        _mutated(*sys.argv[2:])
    else:
        sys.exit(main(sys.argv[1:]))
