"""`seed`: fills the keyspace with the rows of a seed module, at whatever revision it is, and counts
them.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
import traceback
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from calldrop_migrate import config
from calldrop_migrate.cli import report as page
from calldrop_migrate.cli.feed import say
from calldrop_migrate.cli.opening import Opened, ask, environment_of, opened
from calldrop_migrate.cli.options import CONNECTION, FILES, SEEDING, Call, Yes, command
from calldrop_migrate.cli.render import show, shows
from calldrop_migrate.core.plan import target_number
from calldrop_migrate.engine import seeding
from calldrop_migrate.engine.seeding import Seeded, SeedModule
from calldrop_migrate.errors import (
    CalldropError,
    Fault,
    Interrupted,
    MigrationFileError,
    Place,
    UsageError,
)

Module = Annotated[str, typer.Argument(metavar="[MODULE]", help="A file of the seeds folder.")]
RandomSeed = Annotated[
    int | None,
    typer.Option(
        "--random-seed", metavar="N", show_default=False, help="The same number, the same rows."
    ),
]
Now = Annotated[
    str,
    typer.Option(
        "--now",
        metavar="TIME",
        show_default=False,
        help="Rows lie before it; ISO 8601, default now.",
    ),
]
AtRevision = Annotated[
    str,
    typer.Option(
        "--at-revision", metavar="N", show_default=False, help="Load only if it is applied last."
    ),
]
List = Annotated[bool, typer.Option("--list", help="List the seed modules.")]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", show_default=False, help="The calls as a page: FILE.html."
    ),
]
# What a person of the document wants to see besides the options themselves.
_STOPPED = "The rows loaded so far stay."


@dataclass(frozen=True, slots=True)
class ListedModule:
    """A seed module; `options` with their defaults."""

    name: str
    table: str
    about: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """The seed modules of a folder."""

    modules: tuple[ListedModule, ...]


@shows(Listed)
def _listed(result: Listed) -> list[str]:
    text = []
    for m in result.modules:
        text += [f"  {m.name:<20}  {m.about}", f"  {'':<20}  table {m.table}; {_pairs(m.options)}"]
    return text or ["There are no seed modules."]


def _pairs(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


@shows(Seeded)
def _seeded(result: Seeded) -> list[str]:
    parts = " + ".join(f"{n:,} {word}" for word, n in result.split.items())
    counted = f" · {parts} in {result.counted_in}" if parts else ""
    low, high = result.per_partition
    mean = result.total / max(result.partitions, 1)
    shares = [f"{w} {n:,} ({n / max(result.total, 1):.1%})" for w, n in result.split.items()]
    missing = f"; the table has no {', '.join(result.left_out)}" if result.left_out else ""
    return [
        f"{result.table} at {result.revision:04d}: loaded {result.loaded:,} rows "
        f"in {result.seconds:.1f} s{missing}",
        f"  verified {result.total:,} in the table{counted} · {result.partitions:,} partitions",
        "  " + "   ".join([*shares, f"per partition {low:,} to {high:,}, mean {mean:.1f}"]),
        f"  The same rows again:  --random-seed {result.random_seed} --now {_iso(result.now)}",
    ]


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_module(folder: Path, name: str) -> SeedModule:
    """A seed module by name.

    Raises:
        UsageError: there is none.
        MigrationFileError: it can't be run, or lacks a part.
    """
    path = folder / f"{name}.py"
    known = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
    if name not in known:
        raise UsageError(
            f"there is no seed module {name!r}; known: {', '.join(known) or 'none'}",
            hint="calldrop-migrate seed --list",
        )
    spec = importlib.util.spec_from_file_location(f"calldrop_seed_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _faulty(path, error) from error
    lacking = [part for part in ("TABLE", "Options", "rows") if not hasattr(module, part)]
    if lacking:
        fault = f"a seed module has TABLE, Options and rows; this one has no {', '.join(lacking)}"
        raise MigrationFileError((Fault(Place(str(path), 1, 1), fault),))
    return cast(SeedModule, module)


def _faulty(path: Path, error: BaseException) -> MigrationFileError:
    """The last line of the module itself on the way to an error."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    found = [(f.lineno or 1, (f.colno or 0) + 1) for f in frames if f.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        found = [(error.lineno or 1, error.offset or 1)]
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    fault = Fault(Place(str(path), *(found or [(1, 1)])[0]), f"{type(error).__name__}: {said}")
    return MigrationFileError((fault,))


def _moment(text: str) -> datetime:
    """--now as an instant in UTC with milliseconds."""
    try:
        moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--now {text!r} is no ISO 8601 time",
            hint="calldrop-migrate seed --now 2026-11-23T00:00:00Z",
        ) from None
    return moment - timedelta(microseconds=moment.microsecond % 1000)


@dataclass(frozen=True, slots=True)
class _Wanted:
    module: SeedModule
    path: Path
    random_seed: int
    now: datetime
    at_revision: str


def _rows(wanted: _Wanted) -> list[dict[str, object]]:
    try:
        options = wanted.module.Options()
        shown = _pairs({f.name: getattr(options, f.name) for f in fields(options)})
        say(f"  {wanted.path.stem}: {shown}; random seed {wanted.random_seed}")
        source = random.Random(wanted.random_seed)
        return [dict(row) for row in wanted.module.rows(source, wanted.now, options)]
    except Exception as error:
        raise _faulty(wanted.path, error) from error


def _seed(place: Opened, wanted: _Wanted, *, yes: bool) -> Seeded:
    database, schema = place.database, place.database.schema()
    at = wanted.at_revision
    number = target_number(at, 0, [m.number for m in place.migrations]) if at else None
    table, revision = seeding.target_of(database, schema, wanted.module, number)
    rows = _rows(wanted)
    ask(place.settings, always=False, yes=yes)
    again = f"--random-seed {wanted.random_seed} --now {_iso(wanted.now)}"
    started = time.monotonic()
    try:
        loaded, left_out = seeding.load(database, table, rows, place.feed, len(rows))
        took = time.monotonic() - started
        place.feed.close()
        counts = seeding.count(database, schema, table, wanted.module, time.sleep)
    except KeyboardInterrupt:
        hint = f"calldrop-migrate seed {again}   loads the same rows, without doubling any."
        raise Interrupted("interrupted", state=_STOPPED, hint=hint) from None
    except CalldropError as error:
        error.state = error.state or _STOPPED
        raise
    extremes = (min(counts.by_partition, default=0), max(counts.by_partition, default=0))
    return Seeded(
        *(table.name, revision, wanted.random_seed, wanted.now, loaded, left_out),
        *(counts.total, counts.split, counts.counted_in, len(counts.by_partition), extremes, took),
    )


def _list(folder: Path) -> Listed:
    found = []
    for path in sorted(folder.glob("[!_]*.py")):
        module: Any = read_module(folder, path.stem)
        about = "".join((module.__doc__ or "").strip().splitlines()[:1])
        options = {f.name: f.default for f in fields(module.Options)}
        found.append(ListedModule(path.stem, module.TABLE, about, options))
    return Listed(tuple(found))


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "seed", CONNECTION, FILES, SEEDING)
    def seed(
        call: Call,
        module: Module = "call_records",
        random_seed: RandomSeed = None,
        now: Now = "",
        at_revision: AtRevision = "",
        list_modules: List = False,
        report: Report = None,
        yes: Yes = False,
    ) -> None:
        """Fill the keyspace with realistic rows, at whatever revision it is."""
        folder = config.seeds_folder(environment_of(call), Path.cwd()).path
        if list_modules:
            show(_list(folder), json_wanted=call.json)
            return
        number = random.randrange(2**32) if random_seed is None else random_seed
        found = read_module(folder, module)
        wanted = _Wanted(found, folder / f"{module}.py", number, _moment(now), at_revision)
        if report is not None:
            page.check(report)
        with opened(call) as place:
            result = _seed(place, wanted, yes=yes)
            if report is not None:
                page.write(report, place, result)
        show(result, json_wanted=call.json)
