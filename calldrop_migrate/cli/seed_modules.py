"""Seed modules as files: found, run, and their options read from the command line.

A module is any Python file of the seeds folder with TABLE, a dataclass Options with defaults, and
`rows`; engine/seeding.py says what else it may have. What goes wrong in it is told with its file
and line.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from calldrop_migrate import commands
from calldrop_migrate.engine.ports import UnfitRow
from calldrop_migrate.engine.seeding import Begun, SeedModule
from calldrop_migrate.errors import (
    CalldropError,
    Fault,
    MigrationFileError,
    Place,
    UsageError,
)

_READ: dict[Any, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    bool: {"true": True, "yes": True, "false": False, "no": False}.__getitem__,
}


class Module:
    """One seed module, run."""

    def __init__(self, path: Path) -> None:
        self.file = str(path)
        self.name = path.stem
        self.code = self._run()
        lacking = [part for part in ("TABLE", "Options", "rows") if not hasattr(self.code, part)]
        if lacking:
            raise self._wrong(
                f"a seed module has TABLE, Options and rows; this one has no {', '.join(lacking)}"
            )
        if not is_dataclass(self.code.Options):
            raise self._wrong("Options must be a dataclass")
        with self.blamed():
            self._types = get_type_hints(self.code.Options)

    def _run(self) -> SeedModule:
        code = ModuleType(f"calldrop_seed_{self.name}")
        code.__file__ = self.file
        sys.modules[code.__name__] = code  # dataclasses look their module up there
        # Not by an import: that takes a file of the same second and size for the same file, and
        # leaves its bytecode in the user's folder.
        with self.blamed():
            exec(compile(Path(self.file).read_bytes(), self.file, "exec"), vars(code))
        return cast(SeedModule, code)

    @contextmanager
    def blamed(self, made: object = None, *, always: bool = True) -> Iterator[None]:
        """Blames the module for what is raised in here; not `always`, then only if it comes out of
        its file, or is about a row of `made`.
        """
        try:
            yield
        except CalldropError:
            raise
        except UnfitRow as error:
            frame = getattr(made, "gi_frame", None)  # a generator stands at the row it gave
            raise self._wrong(str(error), frame.f_lineno if frame else 1) from error
        except (Exception, SystemExit) as error:
            # The last line of the module itself on the way to the error.
            frames = reversed(traceback.extract_tb(error.__traceback__))
            places = [
                (f.lineno or 1, (f.colno or 0) + 1) for f in frames if f.filename == self.file
            ]
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, SyntaxError) and error.filename == self.file:
                places = [(error.lineno or 1, error.offset or 1)]
                said = f"SyntaxError: {error.msg}"
            if not (places or always):
                raise
            place = Place(self.file, *(places or [(1, 1)])[0])
            raise MigrationFileError((Fault(place, said),)) from error

    def _wrong(self, what: str, line: int = 1) -> MigrationFileError:
        return MigrationFileError((Fault(Place(self.file, line, 1), what),))

    @property
    def about(self) -> str:
        """Its docstring's first line."""
        return "".join((self.code.__doc__ or "").strip().splitlines()[:1])

    def identity(self, options: Any) -> str:
        """The text that the rows follow from, besides random seed and now."""
        version = hashlib.sha256(Path(self.file).read_bytes()).hexdigest()
        return f"{self.name} {version} {sorted(self.values(options).items())}"

    # -- options -----------------------------------------------------------------------------------

    def options(self, words: Sequence[str]) -> Any:
        """Its options, from `--name value` or `--name=value` on the command line.

        Two options NAME_min and NAME_max are given as one, `--name 20-25`.

        Raises:
            UsageError: it has no such option, or can't do with the value.
        """
        given: dict[str, Any] = {}
        left = list(words)
        while left:
            word, equals, text = left.pop(0).partition("=")
            name = word.removeprefix("--").replace("-", "_")
            if not word.startswith("--") or not (name in self._types or self._is_span(name)):
                known = "  ".join(self.shown().values())
                raise UsageError(f"{self.name} has no option {word}", hint=f"It has:  {known}")
            if not equals and not left:
                raise UsageError(f"{word} needs a value", hint=_list())
            given |= self._value(word, name, text if equals else left.pop(0))
        with self.blamed():
            try:
                return self.code.Options(**given)
            except ValueError as error:
                if not given:
                    raise
                raise UsageError(f"{self.name}: {error}", hint=_list()) from None

    def _is_span(self, name: str) -> bool:
        return {f"{name}_min", f"{name}_max"} <= set(self._types)

    def _value(self, word: str, name: str, text: str) -> dict[str, Any]:
        if name not in self._types:
            found = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
            if not found:
                raise UsageError(f"{word} {text}: it is a range like 20-25, or one number")
            return {f"{name}_min": int(found[1]), f"{name}_max": int(found[2] or found[1])}
        kind = self._types[name]
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise UsageError(f"{word} {text}: it is one of {', '.join(get_args(kind))}")
            return {name: text}
        if kind not in _READ:
            raise self._wrong(f"the option {name} is no int, float, str, bool or Literal of texts")
        try:
            return {name: _READ[kind](text)}
        except (ValueError, KeyError):
            raise UsageError(f"{word} {text}: it is {kind.__name__}") from None

    def values(self, options: Any) -> dict[str, Any]:
        """The options by name."""
        return {field.name: getattr(options, field.name) for field in fields(options)}

    def shown(self, options: Any = None) -> dict[str, str]:
        """The options as they would be typed: those given, or the defaults with all choices."""
        values = self.values(self.options(()) if options is None else options)
        shown = {}
        for name, value in values.items():
            stem, _, end = name.rpartition("_")
            flag, kind = f"--{name.replace('_', '-')}", self._types[name]
            if end in ("min", "max") and self._is_span(stem):
                span = f"{values[f'{stem}_min']}-{values[f'{stem}_max']}"
                shown[stem] = f"--{stem.replace('_', '-')} {span}"
            elif options is None and get_origin(kind) is Literal:
                others = (choice for choice in get_args(kind) if choice != value)
                shown[name] = f"{flag} {'|'.join((value, *others))}"
            else:
                shown[name] = f"{flag} {str(value).lower() if kind is bool else value}"
        return shown

    # -- rows --------------------------------------------------------------------------------------

    def parts(self, options: Any) -> list[int] | None:
        """The rough number of rows of each part; None where the module has no parts."""
        with self.blamed():
            return list(self.code.parts(options)) if hasattr(self.code, "parts") else None

    def rows(self, begun: Begun, options: Any, part: int | None) -> Iterator[Mapping[str, object]]:
        """The rows of a part, or all of them.

        Raises:
            UsageError: the module can't do with these options at this time.
        """
        arguments = (Random(begun.random_seed), begun.now, options)
        with self.blamed():
            try:
                return iter(self.code.rows(*arguments, *(() if part is None else (part,))))
            except ValueError as error:
                raise UsageError(f"{self.name}: {error}", hint=_list()) from None


def read_module(folder: Path, name: str) -> Module:
    """A seed module by name.

    Raises:
        UsageError: there is none.
        MigrationFileError: it can't be run, or lacks a part.
    """
    known = [path.stem for path in module_files(folder)]
    if name not in known:
        raise UsageError(
            f"there is no seed module {name!r}; known: {', '.join(known) or 'none'}",
            hint=_list(),
        )
    return Module(folder / f"{name}.py")


def _list() -> str:
    return f"The modules and their options:  {commands.seed_list()}"


def module_files(folder: Path) -> list[Path]:
    """The files of all seed modules."""
    return sorted(folder.glob("[!_]*.py"))
