"""Folders: the project's, and the one in which servers of tests keep their data."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def _data() -> Path:
    """The folder for data: in memory if there is room. Each change of a schema flushes tables, so
    that CREATE and DROP take half the time there.
    """
    memory = Path("/dev/shm")
    with suppress(OSError):
        if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30:
            return memory
    return Path(tempfile.gettempdir())


DATA = _data()
