"""Processes that another one has begun: as Linux shows them, elsewhere by POSIX's `ps`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that one has begun and that are still there, the oldest first."""
    shown = Path(f"/proc/{pid}/task/{pid}/children")
    if shown.exists():
        return [int(child) for child in shown.read_text(encoding="utf-8").split()]
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
    return sorted(child for child, parent in pairs if parent == pid)


def gone(pids: Iterable[int]) -> bool:
    """None of them is there any more."""
    return not any(map(_is_there, pids))


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
