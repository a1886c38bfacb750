"""`adopt`: takes over a project of cassandra-migrate, its files and its history.

Its project is read by its own classes, so that what it calls a migration is one here. Everything
is shown and asked about first. Then come our files, the history (engine/adopting.py), and last the
new name of its yml: as long as that has its old one, `adopt` goes on from wherever it was stopped.
Where both tools name one folder, theirs first becomes FOLDER.adopted, in one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from calldrop_migrate import commands, config
from calldrop_migrate.cli import folders
from calldrop_migrate.cli.opening import Opened, ask, opened, readable
from calldrop_migrate.cli.options import CHANGING, CONNECTION, FILES, Call, Page, command
from calldrop_migrate.cli.render import say, show, shows
from calldrop_migrate.cli.running import Flags, Running
from calldrop_migrate.core.folder import load
from calldrop_migrate.core.foreign import Foreign
from calldrop_migrate.engine.adopting import Project
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import ConfigurationError, MigrationFileError, UsageError

Yml = Annotated[
    Path, typer.Argument(metavar="FILE", help="The configuration file of cassandra-migrate.")
]
_NAME = Path("cassandra-migrate.yml")


@dataclass(frozen=True, slots=True)
class Adopted:
    """The result of `adopt`: how many revisions count as applied, and are pending."""

    keyspace: str
    current: int
    pending: int
    folder: str
    renamed: Path


@shows(Adopted)
def _adopted(result: Adopted) -> list[str]:
    to_do = f"{result.pending} pending" if result.pending else "head"
    where = f"{result.keyspace} is at {at_revision(result.current)} ({to_do})"
    return [
        f"{where}; its migrations are in {result.folder}, and its yml is {result.renamed}.",
        f"  try: {commands.up() if result.pending else commands.status()}",
    ]


@dataclass(frozen=True, slots=True)
class _Files:
    """Their project on disk, and what becomes of it.

    Attributes:
        source: their folder, by its old name or by its new one.
        moves: it has to make room for ours first.
        texts: our files by name: as they are, or else as they will be written.
        new: those that are not there yet.
    """

    yml: Path
    project: Project
    keyspace: str
    source: Path
    target: folders.Folder
    moves: bool
    texts: Mapping[str, bytes]
    new: frozenset[str]

    @property
    def told(self) -> list[str]:
        """Lists what is going to be written and renamed."""
        origins = {m.file: m.name for m in self.project.migrations}
        lines = [f"{self.target.shown}/{name} from {origins[name]}" for name in sorted(self.new)]
        if self.moves:
            lines.insert(0, f"{self.source} becomes {_adopted_name(self.source)}")
        return [*lines, f"{self.yml} becomes {_adopted_name(self.yml)}"]

    def write(self) -> None:
        """Writes our files; each is there as a whole or not at all."""
        with readable():
            if self.moves:
                self.source.rename(_adopted_name(self.source))
            self.target.path.mkdir(parents=True, exist_ok=True)
            for name in sorted(self.new):
                part = self.target.path / f".{name}.part"
                part.write_bytes(self.texts[name])
                part.replace(self.target.path / name)


def _adopted_name(path: Path) -> Path:
    return path.with_name(f"{path.name}.adopted")


def _read(yml: Path, settings: config.Settings) -> _Files:
    """Their project, and what our files of it are, or will be.

    Raises:
        ConfigurationError: it can't be read, or is of another keyspace, or our folder is taken.
    """
    try:
        from cassandra_migrate import Migration, MigrationConfig
    except ImportError as error:
        raise ConfigurationError(
            f"adopt reads the project with cassandra-migrate's own classes: {error}",
            hint="pip install arrow future tabulate pyyaml\n"
            "pip install --no-deps cassandra-migrate==0.3.4    (by itself it would bring a driver"
            " that overwrites scylla-driver)",
        ) from None
    if not yml.is_file():
        done = _adopted_name(yml).is_file()
        raise UsageError(
            f"there is no {yml}" + (f", but {_adopted_name(yml)}" if done else ""),
            hint=f"It was adopted already:  {commands.status()}"
            if done
            else "Give the path of its configuration file, behind `adopt`.",
        )
    try:
        theirs = MigrationConfig.load(str(yml))
        path = Path(theirs.migrations_path)
        moved = _adopted_name(path) if path.name else path
        source = moved if moved.is_dir() else path
        # By its place in the list: so cassandra-migrate numbers them.
        found = Migration.glob_all(str(source), "*.cql", "*.py")
    except Exception as error:  # noqa: BLE001 (whatever its classes make of the file)
        raise ConfigurationError(
            f"cassandra-migrate can't read this project: {yml}: {type(error).__name__}: {error}",
            hint="Mend what it names; its own `cassandra-migrate status` must work.",
        ) from None
    if theirs.keyspace != settings.keyspace:
        raise ConfigurationError(
            f"{yml} is about the keyspace {theirs.keyspace}, and this command about"
            f" {settings.keyspace}",
            hint=f"To work on that keyspace:  {commands.again('-k', theirs.keyspace)}",
        )
    if not found:
        raise ConfigurationError(f"{yml} has no migrations in {source}", hint=str(yml))
    migrations = [Foreign(n, m.name, m.content, bytes(m.checksum)) for n, m in enumerate(found, 1)]
    target = settings.migrations or Path("migrations")
    moves = source == path and target.resolve() == path.resolve()
    if moves and yml.resolve().is_relative_to(path.resolve()):
        raise ConfigurationError(
            f"the migrations are beside {yml.name}, in {path}, where ours shall be, too",
            hint=f"Give ours another folder:  {commands.again('--migrations', 'migrations')}",
        )
    with readable():
        there = folders.read_folder(target) if target.is_dir() and not moves else {}
    wanted = {m.file: m.converted(theirs.keyspace).encode() for m in migrations}
    if strange := [n for n in there if n.endswith((".cql", ".py")) and n not in wanted]:
        other = commands.again("--migrations", f"{target}-adopted")
        raise ConfigurationError(
            f"{target} has migrations that are not of this project: {', '.join(strange[:5])}",
            hint=f"Give ours another folder:  {other}",
        )
    texts = {name: there.get(name, text) for name, text in wanted.items()}
    return _Files(
        yml=yml,
        project=Project(migrations, theirs.migrations_table),
        keyspace=theirs.keyspace,
        source=source,
        target=folders.Folder(target, str(target)),
        moves=moves,
        texts=texts,
        new=frozenset(wanted.keys() - there),
    )


def _adopt(place: Opened, files: _Files, call: Call) -> Adopted:
    settings = place.settings
    try:
        migrations = load(files.texts)
    except MigrationFileError as error:
        # They can be mended once they are there, and theirs must stay as their history has them.
        if files.new:
            _tell(files.told[:-1])
            ask(settings, call, always=True)
            files.write()
            error.state = f"They are new, in {files.target.shown}; the database was not touched."
        raise
    running = Running(replace(place, migrations=migrations), Flags())
    job = running.jobs.adopt(files.project)
    review = running.plan(job)
    _tell([*files.told, *review.chores])
    ask(settings, call, always=True)
    files.write()
    running.run(job, review)
    with readable():
        files.yml.rename(_adopted_name(files.yml))
    current = review.plan.current
    return Adopted(
        keyspace=settings.keyspace,
        current=current,
        pending=len(migrations) - current,
        folder=files.target.shown,
        renamed=_adopted_name(files.yml),
    )


def _tell(lines: list[str]) -> None:
    for line in lines:
        say(f"    {line}")


_ADOPT_PAGE = Page(
    examples=("calldrop-migrate adopt cassandra-migrate.yml  show what it would do, and ask",),
    asks=True,
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "adopt", CONNECTION, FILES, CHANGING, page=_ADOPT_PAGE)
    def adopt(call: Call, file: Yml = _NAME) -> None:
        """Take over a project of cassandra-migrate: its files and its history."""
        with opened(call, files=False) as place:
            result = _adopt(place, _read(file, place.settings), call)
        show(result, json_wanted=call.json)
