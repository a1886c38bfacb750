"""Rows carried by other processes: of this machine (--workers), and of a Dask cluster (--dask).
Each of them is killed in the middle, or the run that they work for is, or it loses its lease.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support import cells
from tests.support.calls import AT_2, Writer, calls, write_mixed
from tests.support.cells import Columns, Rows
from tests.support.cli import Cli
from tests.support.handful import ALL, numbers
from tests.support.misfits import write_collisions
from tests.support.processes import children, gone
from tests.support.rounds import Keyspace
from tests.support.settings import GO, SHORT
from tests.support.told import ok, told, until

SLOWLY = ("--max-rows-per-second", "1000")
PATIENCE = 30  # seconds


class ManyCalls:
    """A keyspace at 0001 with rows of all kinds."""

    def __init__(self, cli: Cli, client: Any) -> None:
        self.cli, self.client = cli, client
        ok(cli("up", "1"))
        write_mixed(Writer(client, cli.keyspace), each=160)
        self.before, self.shape = self._calls()

    def _calls(self) -> tuple[Rows, Columns]:
        return calls(self.client, self.cli)

    def copied(self) -> int:
        """Ranges of a copy that are checkpointed."""
        cql = f"SELECT range FROM {self.cli.keyspace}.migration_progress"
        return len(list(self.client.execute(cql)))

    def is_at_2(self) -> None:
        now, _ = self._calls()
        wanted = cells.by(self.before, self.shape, AT_2)
        assert cells.differences(wanted, now, earlier=4 * cells.EARLIER) == []
        ok(self.cli("verify"))


@pytest.fixture
def many_calls(cli: Cli, client: Any) -> ManyCalls:
    return ManyCalls(cli, client)


def working(many_calls: ManyCalls, *more: str) -> Any:
    """A run whose processes have begun to copy."""
    runner = many_calls.cli.start("up", "2", *GO, *SLOWLY, *more, env=SHORT)
    until(lambda: many_calls.copied() > 3)
    return runner


def test_several_processes_carry_every_cell(many_calls: ManyCalls) -> None:
    ok(many_calls.cli("up", "2", *GO, "--workers", "2"))
    many_calls.is_at_2()


@pytest.mark.thorough
def test_several_processes_look_for_rows_that_do_not_fit(cli: Cli, client: Any) -> None:
    def run(command: tuple[str, ...]) -> str:
        return ok(cli(*command, "--workers", "2"))

    keyspace = Keyspace(cli, client, each=160)
    keyspace.pass_through("up", run)
    write_collisions(client, cli, groups=3)
    keyspace.pass_through("down", run)


@pytest.mark.thorough
def test_they_end_with_the_run_that_is_killed(many_calls: ManyCalls) -> None:
    runner = working(many_calls, "--workers", "2")
    others = children(runner.pid)
    assert len(others) >= 2
    runner.kill()
    runner.communicate()
    until(lambda: gone(others), PATIENCE)
    ok(many_calls.cli("up", "2", *GO, "--workers", "2", env=SHORT))
    many_calls.is_at_2()


@pytest.mark.thorough
def test_one_that_is_killed_is_replaced(many_calls: ManyCalls) -> None:
    runner = working(many_calls, "--workers", "2")
    os.kill(children(runner.pid)[-1], signal.SIGKILL)
    _, err = runner.communicate(timeout=120)
    assert runner.returncode == 0, err
    many_calls.is_at_2()


@pytest.mark.thorough
def test_they_stop_when_the_lease_is_another_runs(many_calls: ManyCalls) -> None:
    runner = working(many_calls, "--workers", "2")
    others = children(runner.pid)
    runner.send_signal(signal.SIGSTOP)
    ok(many_calls.cli("up", "2", *GO, "--wait-for-lease", "60", env=SHORT))
    many_calls.is_at_2()
    runner.send_signal(signal.SIGCONT)
    _, err = runner.communicate(timeout=60)
    assert runner.returncode == 6, err
    until(lambda: gone(others), PATIENCE)
    many_calls.is_at_2()


@pytest.mark.thorough
def test_ctrl_c_ends_them(many_calls: ManyCalls) -> None:
    runner = working(many_calls, "--workers", "2")
    others = children(runner.pid)
    runner.send_signal(signal.SIGINT)
    _, err = runner.communicate(timeout=60)
    assert runner.returncode == 130, err
    assert "0002 is half-way" in err
    until(lambda: gone(others), PATIENCE)
    done = many_calls.copied()
    ok(many_calls.cli("up", "2", *GO, env=SHORT))
    assert done > 3
    many_calls.is_at_2()


# -- Dask ------------------------------------------------------------------------------------------


@contextmanager
def process(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    made = subprocess.Popen(
        [sys.executable, "-m", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield made
    finally:
        made.kill()
        made.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def dask() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers: its address, and these."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    quiet = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as stack:
        scheduler = ("distributed.cli.dask_scheduler", "--port", str(port), *quiet)
        stack.enter_context(process(*scheduler))
        until(lambda: answers(port))
        worker = ("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", *quiet)
        yield address, [stack.enter_context(process(*worker)) for _ in range(2)]


def has_workers(address: str, count: int) -> bool:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"]) == count


@pytest.mark.thorough
def test_a_dask_cluster_carries_rows_and_one_worker_dies(
    many_calls: ManyCalls, dask: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = dask
    until(lambda: has_workers(address, 2))
    runner = working(many_calls, "--dask", address)
    workers[0].kill()
    _, err = runner.communicate(timeout=120)
    assert runner.returncode == 0, err
    many_calls.is_at_2()
    ok(many_calls.cli("down", "1", *GO, "--dask", address, "--set-aside"))


@pytest.mark.thorough
def test_a_dask_cluster_that_is_not_there(filled: Cli, client: Any) -> None:
    nowhere = ("--dask", "tcp://127.0.0.1:1")
    told(filled("up", "2", *GO, *nowhere, env=SHORT), 10, "no Dask scheduler answers")
    ok(filled("up", "2", *GO, env=SHORT))
    assert numbers(client, filled) == ALL


# -- seeds -----------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_a_load_at_once(cli: Cli, times: int) -> None:
    """Whatever its processes are at, and however often it is pressed."""
    ok(cli("up", "1"))
    slow = ("--rows", "200000", "--workers", "2", "--max-rows-per-second", "100")
    loading = cli.start("seed", *slow)
    until(lambda: len(children(loading.pid)) > 2)
    others = children(loading.pid)
    for _ in range(times):
        time.sleep(0.5)
        loading.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = loading.communicate(timeout=30)
    assert time.monotonic() - started < 25  # of the half hour that it would take
    assert loading.returncode == 130, err
    assert "Traceback" not in err
    until(lambda: gone(others), PATIENCE)
