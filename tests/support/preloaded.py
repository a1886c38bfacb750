"""The process that forks.py forks from: it has imported everything, and does as it is asked.

A line of JSON on stdin is a command to begin, answered by its pid, or a pid to wait for, answered
by its exit code. It never connects and runs no thread: neither would survive a fork.

TEST_CLOCK in a command's environment: by how many seconds its clock is ahead. TEST_MACHINE: of
what name its machine is: nobody on another one can see whether it is still alive.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from calldrop_migrate.cli import (
    inspecting,
    main,
    mending,
    migrating,
    opening,
    process,
    program,
    seeding,
)
from calldrop_migrate.cluster import bulk, session
from tests.support import at

_IMPORTED = (bulk, inspecting, mending, migrating, program, seeding, session)


def serve() -> None:
    tell(os.getpid())
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            tell(os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if not pid:
            run(asked)
        tell(pid)


def tell(number: int) -> None:
    os.write(1, f"{number}\n".encode())


def run(asked: Mapping[str, Any]) -> None:
    """Does what a shell does for a command, then the command."""
    for number, path in enumerate([os.devnull, *asked["files"]]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    random.seed()
    shift(float(asked["env"].get("TEST_CLOCK", 0)))
    if machine := asked["env"].get("TEST_MACHINE"):
        vars(process)["_namespace"] = lambda: machine
    hook = at.hook(asked["at"]) if asked["at"] else None
    sys.argv = ["calldrop-migrate", *asked["args"]]
    code: Any = 1
    try:
        main.run(hook)
    except SystemExit as ended:
        code = ended.code
    finally:
        # As Python ends, without what costs: it takes every module apart for 80 ms.
        vars(threading)["_shutdown"]()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else bool(code))


def shift(seconds: float) -> None:
    """Sets the clock that this process goes by; the driver stamps its writes by time.time, too."""
    clock, clock_ns = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Shifted:
            return super().now(tz) + timedelta(seconds=seconds)

    time.time = lambda: clock() + seconds
    time.time_ns = lambda: clock_ns() + int(seconds * 10**9)
    vars(opening)["datetime"] = Shifted


if __name__ == "__main__":
    serve()
