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
from importlib import import_module
from importlib.machinery import ModuleSpec
from itertools import islice
from types import ModuleType

from tests.support.mutations import MUTATIONS, Mutation
from tests.support.places import PROJECT

_UNABLE = 2  # exit code: the mutation can't be made. A traceback is 1.
_SIMULATOR = [
    f"tests.support.simulator.{name}" for name in ("exploring", "families", "judging", "lines")
]
_WAYS = ("up", "down")
_PATIENCE = 120  # seconds; a run that hangs is noticed too
# Searched in this order, each so many schedules apart.
_FAMILIES = (
    *(("killed", "keep=0", 3), ("killed", "keep=0 elsewhere", 19), ("met", "keep=0", 19)),
    ("killed", "keep=0 slow=15", 7),
    *(("hindered", "keep=0", 5), ("killed", "keep=0 abort", 2), ("delayed", "keep=0", 3)),
    *(("killed_twice", "keep=0", 61), ("killed_twice", "keep=0 abort", 31)),
    *(("hindered", "keep=0 abort", 11), ("delayed", "keep=0 abort", 5)),
    *(("pausing", "keep=0 elsewhere", 37), ("held", "keep=7 elsewhere", 13)),
    *(("held", "keep=7 elsewhere abort", 7), ("pausing", "keep=0 elsewhere abort", 41)),
    *(("standing", "keep=7 elsewhere", 61), ("standing", "keep=7 elsewhere abort", 61)),
)


def noticed(mutation: Mutation, line: str = "") -> str:
    """Return the schedule that notices a mutation, and how; empty: none does.

    Args:
        line: the schedule, or the test, to try; without it the families are searched.

    Raises:
        RuntimeError: it can't be made.
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
    if process.returncode == _UNABLE:
        raise RuntimeError(f"{mutation.title}: {failed}")
    if not process.returncode:
        return ""
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
        print(error, file=sys.stderr)
        sys.exit(_UNABLE)
    if "::" in text:
        import pytest

        sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", text]))
    exploring, families, judging, lines = map(import_module, _SIMULATOR)
    families_of = [(f"{way} {rest}", name, step) for name, rest, step in _FAMILIES for way in _WAYS]
    for journey, family, step in [(text, "", 1)] if text else families_of:
        line = lines.parse(journey)
        print(line)
        on = exploring.Explorer(line.journey)
        schedules = getattr(families, family)(on) if family else [line.parts]
        for parts in islice(schedules, 0, None, step):
            print(lines.Line(line.journey, parts))
            judging.judge(on, lines.Line(line.journey, parts))


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
