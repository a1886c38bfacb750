"""`seed`: fills the keyspace with the rows of a seed module, at whatever revision it is, and counts
them.
"""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli import folders
from calldrop_migrate.cli import report as page
from calldrop_migrate.cli.loading import Job, Loader, load_there
from calldrop_migrate.cli.opening import (
    Opened,
    ask,
    environment_of,
    opened,
    pickled_connect,
    readable,
)
from calldrop_migrate.cli.options import CONNECTION, FILES, SEEDING, Call, Page, command
from calldrop_migrate.cli.render import say, show, shows
from calldrop_migrate.cli.seed_modules import Module, module_files, read_module
from calldrop_migrate.core.plan import target_number
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine import seeding
from calldrop_migrate.engine.counting import Split, count
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.pools import Crew
from calldrop_migrate.engine.seeding import Begun, Loaded, Seeded
from calldrop_migrate.errors import CalldropError, Interrupted, RowsAtRisk, UsageError

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODULE] [--OPTION VALUE]...",
        show_default=False,
        help="The seed module and its options: see --list. If none, call_records.",
    ),
]
RandomSeed = Annotated[
    int | None,
    typer.Option(
        "--random-seed",
        metavar="N",
        envvar="CALLDROP_RANDOM_SEED",
        show_envvar=False,
        show_default=False,
        min=0,
        max=2**63 - 1,
        help="Load the same rows again: they follow from this number and from --now.",
    ),
]
Now = Annotated[
    str,
    typer.Option(
        "--now",
        metavar="TIME",
        envvar="CALLDROP_NOW",
        show_envvar=False,
        show_default=False,
        help="The time before which all rows lie, as in 2026-11-23T00:00:00Z. Default: now.",
    ),
]
AtRevision = Annotated[
    str,
    typer.Option(
        "--at-revision",
        metavar="N",
        envvar="CALLDROP_AT_REVISION",
        show_envvar=False,
        show_default=False,
        help="Load only if the keyspace is at this revision.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", show_default=False, help="Draw the calls as a page, FILE.html."
    ),
]
List = Annotated[bool, typer.Option("--list", help="List the seed modules with their options.")]
DEFAULT = "call_records"
_STOPPED = "The rows loaded so far stay."


@dataclass(frozen=True, slots=True)
class ListedModule:
    """A seed module; `options` as they would be typed, with their defaults."""

    name: str
    table: str
    about: str
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """The seed modules of a folder."""

    modules: tuple[ListedModule, ...]


@shows(Listed)
def _listed(result: Listed) -> list[str]:
    text = []
    for m in result.modules:
        text += [f"  {m.name:<20}  {m.about}", f"  {'':<20}  table {m.table}"]
        text += [f"  {'':<20}  {typed}" for typed in m.options.values()]
    return text or ["There are no seed modules."]


@shows(Seeded)
def _seeded(result: Seeded) -> list[str]:
    parts = " + ".join(f"{n:,} {word}" for word, n in result.split.items())
    counted = f" · {parts} in {result.counted_in}" if parts else ""
    low, high = result.per_partition
    mean = result.total / max(result.partitions, 1)
    shares = [f"{w} {n:,} ({n / max(result.total, 1):.1%})" for w, n in result.split.items()]
    before = f", {result.resumed:,} of them by an earlier run" if result.resumed else ""
    # Rows from before are among them, which stand for any that were lost.
    seen = "verified" if result.total == result.loaded else "counted"
    return [
        f"{result.table} at {result.revision:04d}: loaded {result.loaded:,} rows{before} "
        f"in {result.seconds:.1f} s{_missing(result.left_out)}",
        f"  {seen} {result.total:,} in the table{counted} · {result.partitions:,} partitions",
        "  " + "   ".join([*shares, f"per partition {low:,} to {high:,}, mean {mean:.1f}"]),
        f"  The same rows again:  {commands.seed(*shlex.split(result.again))}",
    ]


def _missing(left_out: Sequence[str]) -> str:
    return f"; the table has no {', '.join(left_out)}" if left_out else ""


def _fixed(begun: Begun) -> str:
    at = begun.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"--random-seed {begun.random_seed} --now {at}"


def _moment(text: str) -> datetime:
    """--now as an instant in UTC with milliseconds."""
    try:
        moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--now {text!r} is no ISO 8601 time",
            hint=f"For example:  {commands.seed('--now', '2026-11-23T00:00:00Z')}",
        ) from None
    return moment - timedelta(microseconds=moment.microsecond % 1000)


@dataclass(frozen=True, slots=True)
class _Wanted:
    module: Module
    words: tuple[str, ...]
    random_seed: int | None
    now: datetime | None
    at_revision: str


class _Seeding:
    """One seed load, from the settings to the counts."""

    def __init__(self, place: Opened, wanted: _Wanted) -> None:
        self._place = place
        self._wanted = wanted
        self._module = wanted.module
        self._options = wanted.module.options(wanted.words)
        self._schema: Schema = place.database.schema()
        at = wanted.at_revision
        number = target_number(at, 0, [m.number for m in place.migrations]) if at else None
        self._table, self._revision = seeding.target_of(
            place.database, self._schema, self._module.code, number
        )
        self._parts = self._module.parts(self._options)
        self._expected = sum(self._parts or ())
        self._crew = Crew(place.settings.workers)
        self._pool = self._crew.pool(self._expected, len(self._parts or (0,)))
        self._processes = self._pool.width if self._pool else 1

    def run(self, call: Call) -> Seeded:
        """Asks where that is due, loads, counts."""
        place, module, table = self._place, self._module, self._table
        probe = Begun(self._wanted.random_seed or 0, self._wanted.now or _moment(""))
        left_out = self._fit(probe)
        ask(place.settings, call, always=False)
        identity = module.identity(self._options)
        load = seeding.Load(place.database, self._schema, table, identity)
        drawn = self._wanted.random_seed
        new = replace(probe, random_seed=random.randrange(2**32) if drawn is None else drawn)
        begun = load.begin(drawn, self._wanted.now, new)
        self._tell(begun, left_out, resumes=begun is not new)
        started = time.monotonic()
        try:
            loaded, resumed = load.run(
                self._parts or [0], self._work(begun), place.feed, time.sleep
            )
            took = time.monotonic() - started
            seeding.still_there(place.database, table)
            split_by: Split = getattr(module.code, "SPLIT", ("", {}))
            counts = count(place.database, self._schema, table, split_by, place.feed, time.sleep)
            self._warn(loaded, counts.total)
        except KeyboardInterrupt:
            hint = "Run the same command again: it goes on from there, and loads no row twice."
            raise Interrupted("interrupted", state=_STOPPED, hint=hint) from None
        except CalldropError as error:
            error.state = error.state or _STOPPED
            if isinstance(error, RowsAtRisk):
                load.end()
                again = commands.seed(*shlex.split(self._again(begun)))
                again = f"The same rows again:  {again}"
                error.hint = "\n".join(filter(None, (error.hint, again)))
            raise
        finally:
            self._crew.close()
        load.end()
        place.feed.close()
        extremes = (min(counts.by_partition, default=0), max(counts.by_partition, default=0))
        return Seeded(
            table=table.name,
            revision=self._revision,
            random_seed=begun.random_seed,
            now=begun.now,
            loaded=loaded.rows,
            left_out=left_out,
            total=counts.total,
            split=counts.split,
            counted_in=counts.counted_in,
            partitions=len(counts.by_partition),
            per_partition=extremes,
            seconds=took,
            again=self._again(begun),
            module=module.name,
            options=module.values(self._options),
            resumed=resumed,
            processes=self._processes,
            outlived=loaded.outlived,
            ttl=seeding.ttl_of(table),
        )

    def _fit(self, begun: Begun) -> tuple[str, ...]:
        made = self._module.rows(begun, self._options, None if self._parts is None else 0)
        with self._module.blamed(made, always=False):
            first = next(made, None)
            return () if first is None else seeding.fit(self._table, first)

    def _again(self, begun: Begun) -> str:
        name = self._module.name
        typed = [name] * (name != DEFAULT) + [*self._wanted.words]
        return " ".join([*map(shlex.quote, typed), _fixed(begun)])

    def _tell(self, begun: Begun, left_out: tuple[str, ...], *, resumes: bool) -> None:
        shown = " ".join(self._module.shown(self._options).values())
        say(f"  {self._module.name} {shown}  {_fixed(begun)}{_missing(left_out)}")
        if resumes:
            say("  goes on with what a run of these options has begun and not finished")

    def _work(self, begun: Begun) -> Any:
        place, module = self._place, self._module
        pool, most = self._pool, place.settings.max_rows_per_second
        job = Job(
            module.file,
            self._wanted.words,
            begun,
            self._table,
            pickled_connect(place.database.endpoint, place.settings),
            most and most / self._processes,
        )

        def here(parts: Sequence[int]) -> Iterator[tuple[int, Loaded]]:
            loader = Loader(place.database, module, job)
            for part in parts:
                yield part, loader.load(part)

        def whole(parts: Sequence[int]) -> Iterator[tuple[int, Loaded]]:
            label = f"load {self._table.name}"
            loader = Loader(place.database, module, job)
            for part in parts:
                yield part, loader.load(None, lambda rows: place.feed(Progress(label, 0, 0, rows)))

        if self._parts is None:
            return whole
        if pool is None:
            return here
        return lambda parts: pool.over(partial(load_there, job), parts)

    def _warn(self, loaded: Loaded, total: int) -> None:
        """Warns of what is not as one would expect of the rows.

        Raises:
            RowsAtRisk: some of them aren't there.
        """
        if loaded.outlived:
            days = seeding.ttl_of(self._table) / 86_400
            say(
                f"  warning: {loaded.outlived:,} rows are older than {days:g} days, the table's"
                " TTL: written when they happened they would have ended by now. All rows are"
                f" written now and live for {days:g} days from now on."
            )
        if total < loaded.rows:
            raise RowsAtRisk(
                f"{loaded.rows:,} rows were loaded, and {self._table.name} has {total:,}",
                state="All rows were acknowledged.",
                hint=(
                    "Were rows deleted meanwhile, or since the run that this one went on with? Or"
                    " does the module make several rows with one key?"
                ),
            )


def _list(folder: Path) -> Listed:
    found = []
    for path in module_files(folder):
        module = read_module(folder, path.stem)
        found.append(ListedModule(path.stem, module.code.TABLE, module.about, module.shown()))
    return Listed(tuple(found))


_SEED_PAGE = Page(
    examples=(
        "calldrop-migrate seed --random-seed 507                   15 users with their calls",
        "calldrop-migrate seed --users 500 --calls 50-80 --days 14  more of them",
        "calldrop-migrate seed --list                              the modules and options",
    ),
    asks=True,
    shown=("max_rows_per_second", "workers"),
    unknown_options=True,
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "seed", CONNECTION, FILES, SEEDING, page=_SEED_PAGE)
    def seed(
        call: Call,
        words: Words = None,
        random_seed: RandomSeed = None,
        now: Now = "",
        at_revision: AtRevision = "",
        list_modules: List = False,
        report: Report = None,
    ) -> None:
        """Load realistic rows into the keyspace, at whatever revision it is."""
        with readable():
            folder = folders.seeds_folder(environment_of(call), Path.cwd()).path
        if list_modules:
            show(_list(folder), json_wanted=call.json)
            return
        name, options = _sorted(words or [])
        found = read_module(folder, name)
        found.options(options)  # before the server is touched
        moment = _moment(now) if now else None
        wanted = _Wanted(found, tuple(options), random_seed, moment, at_revision)
        if report is not None:
            page.check(report)
        with opened(call) as place:
            result = _Seeding(place, wanted).run(call)
            if report is not None:
                page.write(report, place, result)
        show(result, json_wanted=call.json)


def _sorted(words: Sequence[str]) -> tuple[str, list[str]]:
    """The module's name, wherever it stands, and its options with their values."""
    names, options, left = [], [], list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            names.append(word)
            continue
        options.append(word)
        if "=" not in word and left:
            options.append(left.pop(0))
    if len(names) > 1:
        raise UsageError(f"seed takes one module, not {', '.join(names)}")
    return (names or [DEFAULT])[0], options
