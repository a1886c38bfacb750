"""`calldrop-migrate` as a process that does something to itself at an exact point of a run.

    python tests/support/at.py "kill | after | VERIFY call_records" up 2 --yes

Three words: what, when, and how the text of the operation begins at which it is done. When: before
or behind the operation itself; `checked`, when all has been looked at and a schema change is about
to be sent; or `noted`, behind its row in the journal; each at its first time only. What: kill
(SIGKILL of itself), stop (SIGSTOP), `pause SECONDS`, or `sh COMMAND`, which the run waits for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from calldrop_migrate.engine import executing, passage


def act(what: str) -> None:
    verb, _, rest = what.partition(" ")
    if verb in ("kill", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if verb == "kill" else signal.SIGSTOP)
    elif verb == "pause":
        time.sleep(float(rest))
    else:
        subprocess.run(rest, shell=True, check=True)


def arm(point: str) -> None:
    what, when, prefix = (word.strip() for word in point.split("|"))
    done: list[str] = []

    def once(text: str) -> None:
        # A DROP that only asks is meant where the point names it.
        meant = "no_such_table" in prefix or "no_such_table" not in text
        if text.startswith(prefix) and meant and not done:
            done.append(text)
            act(what)

    run: Callable[..., Any] = executing.Executor.do
    append: Callable[..., Any] = passage.Passage._append
    sent: Callable[..., Any] = executing.Executor._sent

    def do(self: Any, attempt: Any, index: int, *more: Any, **others: Any) -> Any:
        text = attempt.operations[index].text
        if when == "before":
            once(text)
        result = run(self, attempt, index, *more, **others)
        if when == "after":
            once(text)
        return result

    def checked(self: Any, attempt: Any, operation: Any, index: int) -> Any:
        once(operation.text)
        return sent(self, attempt, operation, index)

    def noted(self: Any, event: str, index: int, **more: Any) -> None:
        append(self, event, index, **more)
        if event == "applied":
            once(self._attempt.operations[index].text)

    executing.Executor.do = do  # type: ignore[method-assign]
    if when == "checked":
        executing.Executor._sent = checked  # type: ignore[method-assign]
    if when == "noted":
        passage.Passage._append = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.argv[:2] = ["calldrop-migrate"]
    from calldrop_migrate.cli.main import run as main

    main()
