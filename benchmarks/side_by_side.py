"""What the benchmarks share: their arguments, and the command as a user runs it."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent


def arguments(about: str | None, *, rows: int) -> argparse.ArgumentParser:
    """Where the server is, and how much is measured how often."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--hosts", default=os.environ.get("CALLDROP_HOSTS", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("CALLDROP_PORT", "9042")))
    parser.add_argument("--keyspace", default="calldrop_benchmark")
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--rounds", type=int, default=3)
    return parser


def calldrop(asked: argparse.Namespace, *words: str) -> Any:
    """What the command says with --json."""
    return measured(asked, *words)[0]


def measured(asked: argparse.Namespace, *words: str) -> tuple[Any, resource.struct_rusage]:
    """The same, and what its process used."""
    program = Path(sys.executable).with_name("calldrop-migrate")
    ending = ("--hosts", asked.hosts, "--port", str(asked.port), "-k", asked.keyspace, "--json")
    process = subprocess.Popen(
        [str(program), *words, *ending, "--profile", "dev"],
        cwd=PROJECT,
        env={k: v for k, v in os.environ.items() if not k.startswith("CALLDROP_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, said)
    return json.loads(said), used
