"""The folders of migrations and seeds: which ones a command uses, and the files in them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from calldrop_migrate import commands
from calldrop_migrate.config import UNTOUCHED, Environment
from calldrop_migrate.errors import ConfigurationError

DEMO_KEYSPACE = "calldrop"  # the one that may have the packaged revisions without being asked


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files, and how it is named to people."""

    path: Path
    shown: str


def migrations_folder(environment: Environment, working: Path) -> Folder:
    """Finds the folder of the migrations: as set, or ./migrations.

    The packaged CallDrop revisions are used with --demo, and where a keyspace by the name of
    calldrop has neither folder nor configuration file.

    Raises:
        ConfigurationError: the folder isn't there.
    """
    settings = environment.settings
    chosen, path = settings.migrations, working / (settings.migrations or "migrations")
    named_so = settings.keyspace == DEMO_KEYSPACE and not environment.configured
    if settings.demo and chosen is not None:
        raise ConfigurationError(
            f"--demo uses the packaged revisions, and --migrations says {chosen}",
            state=UNTOUCHED,
            hint="Leave one of the two out.",
        )
    if not settings.demo and path.is_dir():
        return Folder(path, str(chosen) if chosen else "./migrations")
    if settings.demo or (chosen is None and named_so and not os.path.lexists(path)):
        return Folder(packaged("migrations"), "packaged CallDrop migrations")
    raise ConfigurationError(
        f"there are no migrations here: no folder {chosen or './migrations'}",
        state=UNTOUCHED,
        hint=(
            f"To write the first one:                  {commands.new('initial')}\n"
            "To use another folder:                   --migrations DIR\n"
            f"To try the tool with CallDrop's schema:  {commands.again('--demo')}"
        ),
    )


def seeds_folder(environment: Environment, working: Path) -> Folder:
    """Finds the folder of the seed modules: as set, ./seeds, or the packaged ones, which fit any
    keyspace with that table.

    Raises:
        ConfigurationError: the folder that was set isn't there.
    """
    chosen = environment.settings.seeds
    path = working / (chosen or "seeds")
    if path.is_dir():
        return Folder(path, str(chosen) if chosen else "./seeds")
    if chosen is None:
        return Folder(packaged("seeds"), "packaged CallDrop seeds")
    raise ConfigurationError(
        f"there is no folder {chosen}",
        state=UNTOUCHED,
        hint=f"Name another one with --seeds DIR, or make it:  mkdir {chosen}",
    )


def packaged(name: str) -> Path:
    """The CallDrop files inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parent.parent
    inside = package / "packaged" / name
    return inside if inside.is_dir() else package.parent / name


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name.

    Raises:
        ConfigurationError: what is named like a migration is none: a folder, a link to nowhere.
    """
    paths = sorted(folder.iterdir())
    for path in paths:
        if re.fullmatch(r"\d.*\.(cql|py)", path.name, re.ASCII) and not path.is_file():
            raise ConfigurationError(
                f"{path.name} in {folder.name} is named like a migration, and is no file",
                state=UNTOUCHED,
                hint="Put the file there, or give what is there another name.",
            )
    return {path.name: path.read_bytes() for path in paths if path.is_file()}
