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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from calldrop_migrate.cli import main
from calldrop_migrate.engine.course import Hook, When


def act(what: str) -> None:
    verb, _, rest = what.partition(" ")
    if verb in ("kill", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if verb == "kill" else signal.SIGSTOP)
    elif verb == "pause":
        time.sleep(float(rest))
    else:
        subprocess.run(rest, shell=True, check=True)


def hook(point: str) -> Hook:
    """The hook of a run that does this at a point."""
    what, wanted, prefix = (word.strip() for word in point.split("|"))
    done: list[str] = []

    def once(when: When, text: str) -> None:
        # A DROP that only asks is meant where the point names it.
        meant = "no_such_table" in prefix or "no_such_table" not in text
        if when == wanted and text.startswith(prefix) and meant and not done:
            done.append(text)
            act(what)

    return once


if __name__ == "__main__":
    at = hook(sys.argv[1])
    sys.argv[:2] = ["calldrop-migrate"]
    main.run(at)
