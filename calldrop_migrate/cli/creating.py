"""`new`: a file to begin with, an empty revision or a seed module. No server is asked."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from calldrop_migrate import commands
from calldrop_migrate.cli.opening import environment_of, load_migrations, readable
from calldrop_migrate.cli.options import FILES, Call, Page, command
from calldrop_migrate.cli.render import say, show, shows
from calldrop_migrate.cli.settings import SEEDS
from calldrop_migrate.core.expansion import declared_at
from calldrop_migrate.core.seed_template import seed_template
from calldrop_migrate.errors import UsageError

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="What the revision does, in a few words.")
]
SeedWanted = Annotated[bool, typer.Option("--seed", help="Write a seed module instead.")]
TableOfSeed = Annotated[
    str,
    typer.Option(
        "--table",
        metavar="TABLE",
        show_default=False,
        help="With --seed: the table that the module fills.",
    ),
]


_LAST = 9999  # what four digits can say
TEMPLATE = """\
-- Why this revision: what reads or writes need it.

-- migrate:up


-- migrate:down

"""


@dataclass(frozen=True, slots=True)
class Made:
    """The result of `new`; `seed` is the module's name if it is one."""

    path: Path
    seed: str | None = None


@shows(Made)
def _made(result: Made) -> list[str]:
    if result.seed:
        return [
            f"{result.path}: change the rows that it makes, then load them:",
            f"  {commands.seed(result.seed)}",
        ]
    return [
        f"{result.path}: write its two sections, then see what it would do:",
        f"  {commands.plan()}",
    ]


def _slug(name: str) -> str:
    """A file's name for what a person wrote."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", plain.lower())[:60].strip("_")
    if not slug:
        raise UsageError(
            f"{name!r} gives no file name: it has neither letters nor digits",
            hint=f"For example:  {commands.new('add roaming flag')}",
        )
    return slug


def _new_seed(call: Call, name: str, table: str) -> Made:
    """A seed module for a table that the migrations end with: the first one, if none is named."""
    environment, slug = environment_of(call), _slug(name)
    migrations, _ = load_migrations(environment)
    tables = [t for t in declared_at(migrations, migrations[-1].number).tables if not t.base]
    if not tables:
        raise UsageError("the last revision has no table that rows could be made for")
    chosen = next((t for t in tables if t.name == table), None) if table else tables[0]
    known = ", ".join(t.name for t in tables)
    if chosen is None:
        raise UsageError(f"the last revision has no table {table!r}; it has {known}")
    if len(tables) > 1 and not table:
        say(f"for {chosen.name}; --table says another one of {known}")
    folder = environment.settings.seeds or Path("seeds")
    with readable():
        if not folder.is_dir() and environment.settings.seeds is None:
            folder.mkdir()
            say(f"{folder} is new, and is used from now on instead of the packaged modules")
        path = folder / f"{slug}.py"
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(seed_template(chosen))
    return Made(path, seed=slug)


def _new(call: Call, name: str) -> Made:
    environment, slug = environment_of(call), _slug(name)
    folder = environment.settings.migrations or Path("migrations")
    with readable():
        if not folder.is_dir():
            folder.mkdir(parents=True)
            say(f"{folder} is a new folder")
        # From the names alone: a file that is not finished yet is no reason to refuse the next one.
        numbers = [int(m[0]) for p in folder.iterdir() if (m := re.match(r"\d{4}(?=_)", p.name))]
        number = max(numbers, default=0) + 1
        if number > _LAST:
            raise UsageError(f"{folder} has {_LAST}, and no revision comes after that")
        path = folder / f"{number:04d}_{slug}.cql"
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(TEMPLATE)
    return Made(path)


_NEW_PAGE = Page(
    examples=(
        'calldrop-migrate new "add roaming flag"  a file in ./migrations with the next number',
        "calldrop-migrate new roaming --seed      seeds/roaming.py, for the first table",
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "new", FILES, (SEEDS,), page=_NEW_PAGE)
    def new(call: Call, name: Name, seed: SeedWanted = False, table: TableOfSeed = "") -> None:
        """Write an empty revision with the next number, or a seed module."""
        if table and not seed:
            raise UsageError("--table goes with --seed", hint=commands.help_on("new"))
        made = _new_seed(call, name, table) if seed else _new(call, name)
        show(made, json_wanted=call.json)
