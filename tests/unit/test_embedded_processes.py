"""Knowing a process again, and ending only that one."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from calldrop_migrate.embedded.processes import Process, alive, detach, terminate

MARK = "mark-of-this-test"


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    """A detached process with the mark in its command line."""
    process = detach(["/bin/sh", "-c", "sleep 60; :", MARK], tmp_path / "log", os.environ)
    yield process
    terminate([process], MARK, grace=0)


def test_a_detached_process_lives_in_a_session_of_its_own(sleeper: Process) -> None:
    assert alive(sleeper, MARK)
    assert os.getsid(sleeper.pid) != os.getsid(0)


@pytest.mark.parametrize("began", ["1", ""])
def test_a_reused_pid_is_somebody_else(sleeper: Process, began: str) -> None:
    stale = replace(sleeper, began=began)
    assert not alive(stale, MARK)
    assert not terminate([stale], MARK, grace=0)
    assert alive(sleeper, MARK)


def test_a_process_without_the_mark_is_somebody_else(sleeper: Process) -> None:
    assert not alive(sleeper, "another-mark")
    assert not terminate([sleeper], "another-mark", grace=0)
    assert alive(sleeper, MARK)


def test_no_such_process() -> None:
    assert not alive(Process(2**22 + 1, "1"), "")


def test_terminate_ends_it(sleeper: Process) -> None:
    assert terminate([sleeper], MARK, grace=5)
    assert not alive(sleeper, MARK)
    assert not terminate([sleeper], MARK, grace=5)


def test_terminate_kills_what_does_not_listen(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; : > {ready}; while :; do sleep 1; done"
    process = detach(["/bin/sh", "-c", script, MARK], tmp_path / "log", os.environ)
    wait_until(ready.exists)
    assert terminate([process], MARK, grace=0.1)
    assert not alive(process, MARK)


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "read line", MARK], stdin=subprocess.PIPE) as child:
        stat = Path(f"/proc/{child.pid}/stat")
        if not stat.exists():
            pytest.skip("needs /proc")
        process = Process(child.pid, stat.read_text().rpartition(")")[2].split()[19])
        # In the middle of its exec it has no command line yet.
        wait_until(lambda: alive(process, MARK))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(process, MARK)


def test_what_it_prints_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "a log"
    log.write_text("before\n")
    detach(["/bin/sh", "-c", "echo out; echo err >&2"], log, os.environ)
    wait_until(lambda: "err" in log.read_text())
    assert log.read_text().split() == ["before", "out", "err"]


def test_a_program_that_is_not_there_says_so_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    detach(["/no/such/program"], log, os.environ)
    wait_until(lambda: log.exists() and "/no/such/program" in log.read_text())
