"""What becomes of a command whose stdout can't be written: one line, an exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from calldrop_migrate.cli.main import run; run()"
CALLS = (["--help"], ["--version"], ["up", "--help"], ["help", "settings"], ["show", "1"])
FAULTY = (["nonsense", "--json"], ["up", "--json", "--port", "x"])


def begin(args: list[str], folder: Path, stdout: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args],
        cwd=folder,
        env={"CALLDROP_EMBEDDED_HOME": str(folder), "PATH": ""},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("args", [*CALLS, *FAULTY], ids=" ".join)
def test_a_full_device(args: list[str], tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = begin(args, tmp_path, full)
    os.close(full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    last = "the result could not be written to stdout: No space left on device (exit 1)"
    assert err.splitlines()[-1] == last
    assert "Traceback" not in err


@pytest.mark.parametrize("args", [*CALLS, *FAULTY], ids=" ".join)
def test_a_pipe_that_nobody_reads(args: list[str], tmp_path: Path) -> None:
    """As `| head -0` leaves it; a shell sees the exit code that SIGPIPE gives to others."""
    read, write = os.pipe()
    os.close(read)
    process = begin(args, tmp_path, write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 141
    assert "Traceback" not in err
    assert "rror" not in err
