"""Parts of a seed load, loaded by this process or by several others.

A process of its own is spawned, not forked: a connection would not survive that. It connects by
itself, gets the number of a part over its pipe and answers what came of it, until the pipe is
closed, which the end of this process does too, whatever ended it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calldrop_migrate.cli.opening import connect_again
from calldrop_migrate.cli.seed_modules import Module
from calldrop_migrate.config import Settings
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.pacing import Pace
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.seeding import Begun, Loaded, load_part, oldest_alive
from calldrop_migrate.errors import CalldropError, OutcomeUnknown

if TYPE_CHECKING:
    from calldrop_migrate.cluster.session import Endpoint

MOST_PROCESSES = 4  # more of them were no faster, whatever the number of cores
ROWS_WORTH_IT = 200_000  # a process takes half a second to begin


@dataclass(frozen=True, slots=True)
class Job:
    """What is loaded into what, as another process can be told it."""

    file: str
    words: tuple[str, ...]
    begun: Begun
    table: Table
    endpoint: Endpoint
    settings: Settings
    processes: int


class Loader:
    """Loads parts of a job over one connection.

    Args:
        between: is called while it waits for its pace; may raise.
    """

    def __init__(
        self,
        database: Database,
        module: Module,
        job: Job,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._module = module
        self._job = job
        self._options = module.options(job.words)
        most = job.settings.max_rows_per_second
        self._pace = Pace(most and most / job.processes, time.sleep, between)
        self._born = oldest_alive(module.code, job.table, datetime.now(UTC))

    def load(self, part: int | None, tick: Callable[[int], None] = lambda _: None) -> Loaded:
        """Loads one part, or all the rows of a module that has none."""
        made = self._module.rows(self._job.begun, self._options, part)
        with self._module.blamed(made, always=False):
            return load_part(self._database, self._job.table, made, self._born, tick, self._pace)


def processes_for(wanted: int | None, rows: int, parts: int) -> int:
    """How many processes load: as many as asked for, or by the cores that the server leaves."""
    if wanted is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        wanted = min(MOST_PROCESSES, (cores or 1) - 1) if rows >= ROWS_WORTH_IT else 1
    return max(1, min(wanted, parts))


def load_in_processes(job: Job, count: int, parts: Sequence[int]) -> Iterator[tuple[int, Loaded]]:
    """Each part with what came of it, in any order."""
    context, left, running = get_context("spawn"), iter(parts), {}
    pipes: list[Connection] = []
    try:
        for _ in range(min(count, len(parts))):
            here, there = context.Pipe()
            pipes.append(here)
            context.Process(target=_work, args=(there, job), daemon=True).start()
            there.close()
            running[here] = next(left)
            _ask(here, running[here])
        while running:
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                yield running.pop(pipe), _answer(pipe)
                part = next(left, None)
                if part is not None:
                    running[pipe] = part
                    _ask(pipe, part)
    finally:
        for pipe in pipes:
            pipe.close()


def _ask(pipe: Connection, part: int) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # its last words can still be read
        pipe.send(part)


def _answer(pipe: Connection) -> Loaded:
    try:
        answer: Any = pipe.recv()
    except (EOFError, OSError):
        raise OutcomeUnknown("a process that loaded rows has ended") from None
    if isinstance(answer, CalldropError):
        raise answer
    assert isinstance(answer, Loaded)
    return answer


def _ended(pipe: Connection) -> None:
    """Ends the work on a part when nobody is left to answer: nothing is sent meanwhile."""
    if pipe.poll():
        raise EOFError


def _work(pipe: Connection, job: Job) -> None:
    """What such a process does. Ctrl-C is its parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        database = None
        try:
            database = connect_again(job.endpoint, job.settings)
            loader = Loader(database, Module(Path(job.file)), job, lambda: _ended(pipe))
            while True:
                pipe.send(loader.load(pipe.recv(), lambda _: _ended(pipe)))
        except CalldropError as error:
            pipe.send(error)
        finally:
            if database is not None:
                database.close()
