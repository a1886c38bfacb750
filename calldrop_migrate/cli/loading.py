"""Parts of a seed load, loaded by this process or by several others (engine/spreading.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from calldrop_migrate.cli.seed_modules import Module
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.pacing import Pace
from calldrop_migrate.engine.pools import connected, forget
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.seeding import Begun, Loaded, load_part, oldest_alive
from calldrop_migrate.errors import OutcomeUnknown, Unreachable


@dataclass(frozen=True, slots=True)
class Job:
    """A load, in a form that another process can be told.

    Attributes:
        connect: pickled.
        most: rows a second, of each process.
    """

    file: str
    words: tuple[str, ...]
    begun: Begun
    table: Table
    connect: bytes = field(repr=False)
    most: float | None


class Loader:
    """Loads parts of a job over one connection."""

    def __init__(self, database: Database, module: Module, job: Job) -> None:
        self._database = database
        self._module = module
        self._job = job
        self._options = module.options(job.words)
        self._pace = Pace(job.most, time.sleep, lambda: None)
        self._born = oldest_alive(module.code, job.table, datetime.now(UTC))

    def load(self, part: int | None, tick: Callable[[int], None] = lambda _: None) -> Loaded:
        """Loads one part, or all the rows of a module that has none."""
        made = self._module.rows(self._job.begun, self._options, part)
        with self._module.blamed(made, always=False):
            return load_part(self._database, self._job.table, made, self._born, tick, self._pace)


_loaders: dict[Job, Loader] = {}


def load_there(job: Job, part: int) -> Loaded:
    """Loads one part, in another process."""
    try:
        if job not in _loaders:
            _loaders[job] = Loader(connected(job.connect), Module(Path(job.file)), job)
        return _loaders[job].load(part)
    except (OutcomeUnknown, Unreachable):
        _loaders.pop(job, None)
        forget(job.connect)
        raise
