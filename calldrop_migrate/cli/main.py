"""The entry point. It imports the program only once it can tell a Ctrl-C from a fault: the import
takes a moment.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calldrop_migrate.engine.course import Hook


def run(at: Hook | None = None) -> None:
    """The command `calldrop-migrate`.

    Args:
        at: called at the points of each operation that is run (engine/course.py).
    """
    # The imports make objects that all stay; looking for garbage among them costs a sixth of the
    # start (0.45 s of CPU against 0.39 s, the driver included). `opened` sets it back.
    gc.set_threshold(100_000, 50, 50)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 (for good)
        else:
            stream.reconfigure(errors="backslashreplace")
    try:
        from calldrop_migrate.cli.program import app

        app(obj=at)
    except KeyboardInterrupt:  # before the command began, or after it ended
        sys.exit(130)
    finally:
        # All is said; what is still to come is Python's own end.
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
