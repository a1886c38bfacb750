"""Other processes to work for this one, of this machine or of others: whatever is a
`concurrent.futures.Executor`. What they are given to do is no business of this module.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from calldrop_migrate.engine.ports import Database
from calldrop_migrate.errors import (
    CalldropError,
    ConfigurationError,
    OutcomeUnknown,
    Unreachable,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Item = TypeVar("Item")
Result = TypeVar("Result")
Connect = Callable[[], Database]
MOST_PROCESSES = 4  # more of them were no faster, whatever the number of cores
ROWS_WORTH_IT = 200_000  # a process takes half a second to begin
_AHEAD = 2  # tasks for each process: one that it is at, one that it finds when that is done
_TICK = 0.5  # seconds
_SILENCE = 60.0  # seconds


class Pool:
    """Processes that work for this one.

    Args:
        make: makes the executor, when it is first needed and again when it broke.
        width: how many processes it has.
        end: ends the processes themselves, whatever they are at.
        alive: whether there are any; asked when nothing comes back for long.
    """

    def __init__(
        self,
        make: Callable[[], Executor],
        width: int,
        end: Callable[[], object] = lambda: None,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.width = width
        self._make = make
        self._end = end
        self._alive = alive
        self._executor: Executor | None = None

    def over(
        self,
        work: Callable[[Item], Result],
        items: Iterable[Item],
        between: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[Item, Result]]:
        """Each item with what came of it, in any order; `between` is called meanwhile.

        Raises:
            OutcomeUnknown: a process has ended; its items may be given again.
            Unreachable: none is left.
        """
        left, running = deque(items), dict[Future[Result], Item]()
        heard = monotonic()
        try:
            while left or running:
                while left and len(running) < _AHEAD * self.width:
                    item = left.popleft()
                    running[self._submit(work, item)] = item
                done, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in done:
                    heard = monotonic()
                    yield running.pop(future), future.result()
                between()
                if monotonic() - heard > _SILENCE:
                    heard = monotonic()
                    self._see_alive()
        except (OutcomeUnknown, Unreachable):
            # It is tried again. Otherwise the processes are let go, and what they were given with
            # them: an executor that loses one stumbles over futures that are cancelled.
            for future in running:
                future.cancel()
            raise
        except CalldropError:
            raise
        except Exception as error:
            if not _is_broken(error):
                raise
            self._let_go()
            raise OutcomeUnknown(
                "a process that worked on rows has ended",
                hint="Run the same command again: it goes on from what was finished.",
            ) from error

    def _see_alive(self) -> None:
        if not self._alive():
            raise Unreachable(
                "none of the processes that carry rows is left",
                hint="Run the same command again: it goes on from what was finished.",
            )

    def _submit(self, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        # A process that begins now inherits it: Ctrl-C is this one's business.
        with _no_interrupt():
            if self._executor is None:
                self._executor = self._make()
            return self._executor.submit(work, item)

    def _let_go(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None

    def close(self) -> None:
        """Ends the processes, also in the middle: what they do may be repeated."""
        self._let_go()
        self._end()


def _is_broken(error: Exception) -> bool:
    """Return whether a process ended, and not what it did: Dask has classes of its own for that."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in (
        "KilledWorker",
        "CommClosedError",
        "ClosedClientError",
        "CancelledError",
    )


# -- where the processes are -----------------------------------------------------------------------


class Crew:
    """The workers of this process: other processes of this machine, or a Dask cluster.

    Args:
        wanted: processes; None leaves that to the work and the cores.
        dask: the address of a Dask scheduler; empty is none.
    """

    def __init__(self, wanted: int | None = None, dask: str = "") -> None:
        self._wanted = wanted
        self._dask = dask
        self._pool: Pool | None = None

    def pool(self, rows: int, parts: int) -> Pool | None:
        """The processes for so many rows in so many parts; None where this one does it itself."""
        if parts < 2:
            return None
        count = min(parts, processes_for(self._wanted, rows))
        if self._pool is None and count > 1:
            self._pool = _here(count)
        return self._pool

    @property
    def repeats(self) -> bool:
        """Return whether work may be done twice by itself: what Dask believes dead it gives to
        another.
        """
        return bool(self._dask)

    def find(self) -> None:
        """Finds the Dask cluster, if there is to be one: before a run takes the lease.

        Raises:
            ConfigurationError, Unreachable: there is none, or it can't do this work.
        """
        if self._dask and self._pool is None:
            self._pool = _by_dask(self._dask)

    def close(self) -> None:
        """Lets them go."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


@contextmanager
def _no_interrupt() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def processes_for(wanted: int | None, rows: int) -> int:
    """As many as are wanted, or by the cores that a server on this machine leaves."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MOST_PROCESSES, (cores or 1) - 1)) if rows >= ROWS_WORTH_IT else 1


def _here(count: int) -> Pool:
    from concurrent.futures.process import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    # Spawned, not forked: a connection would not survive that.
    context = get_context("spawn")
    reader, writer = context.Pipe(duplex=False)

    def make() -> Executor:
        return ProcessPoolExecutor(
            count, mp_context=context, initializer=_begin_process, initargs=(reader,)
        )

    def end() -> None:
        writer.close()
        for process in active_children():  # one that is only beginning would miss its parent
            process.kill()

    return Pool(make, count, end)


def release() -> str:
    """This package's, asked of workers."""
    return version("calldrop-migrate")


def _by_dask(address: str) -> Pool:
    try:
        from distributed import Client  # no start-up waits for it
    except ImportError:
        raise ConfigurationError(
            "--dask needs the package distributed",
            state="Nothing was changed.",
            hint="pip install 'calldrop-migrate[dask]'",
        ) from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"no Dask scheduler answers at {address}: {error}",
            state="Nothing was changed.",
            hint="Is it up?  dask scheduler; dask worker ADDRESS;  or leave --dask out.",
        ) from error

    def threads() -> int:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(worker["nthreads"] for worker in workers)

    width = threads()
    told = client.run(release, on_error="return").values() if width else ()
    found = {t if isinstance(t, str) else f"{type(t).__name__}: {t}" for t in told}
    if found != {release()}:
        client.close()
        has = f"have {', '.join(sorted(found))}" if width else "are none"
        raise Unreachable(
            f"the workers of the Dask cluster at {address} {has}",
            state="Nothing was changed.",
            hint=(
                f"dask worker {address}, where calldrop-migrate {release()} is installed;"
                "  or leave --dask out."
            ),
        )
    make = partial(client.get_executor, pure=False)  # what failed is done again when it is asked
    return Pool(make, width, client.close, lambda: threads() > 0)


def _begin_process(wanted: Connection) -> None:
    """A process ends when its parent is gone, however that ended, or doesn't want it any more."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait as wait_for

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel, wanted])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# -- there ----------------------------------------------------------------------------------------

# By thread, of which a worker of Dask may have several.
_connections: dict[tuple[int, bytes], Database] = {}


def connected(connect: bytes) -> Database:
    """This thread's own connection, made at its first task; `connect` is a pickled `Connect`."""
    at = (threading.get_ident(), connect)
    if at not in _connections:
        made: Connect = pickle.loads(connect)
        _connections[at] = made()
    return _connections[at]


def forget(connect: bytes) -> None:
    """Ends a connection: something was wrong with it, perhaps."""
    if found := _connections.pop((threading.get_ident(), connect), None):
        found.close()
