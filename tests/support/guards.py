"""Cassandra's guard rails, switched while the server runs: by its management interface (JMX), with
the client for it that is among its jars.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BEAN = "org.apache.cassandra.db:type="
_CLIENT = ("sjk-", "jcommander-", "mxdump-", "jvm-attach-api-")
# A setter of two numbers, or an attribute; and the value that lets everything through.
OPEN = {
    "DropTruncateTableEnabled": "true",
    "SecondaryIndexesEnabled": "true",
    "UserTimestampsEnabled": "true",
    "TablePropertiesDisallowedCSV": "",
    "MaterializedViewsPerTable": "1000,1000",
    "TombstoneFailureThreshold": "100000",
}


def _call(pid: int, name: str, value: str) -> subprocess.Popen[str]:
    command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    jars = command[command.index("-cp") + 1].split(":")
    client = ":".join(jar for jar in jars if Path(jar).name.startswith(_CLIENT))
    what = ["-f", name, "--set", "-v", value]
    if "," in OPEN[name]:
        what = ["-op", f"set{name}Threshold", "--call", "-a", *value.split(",")]
    bean = _BEAN + ("StorageService" if name.startswith("Tombstone") else "Guardrails")
    program = (command[0], "-cp", client, "org.gridkit.jvmtool.SJK", "mx")
    return subprocess.Popen(
        [*program, "-p", str(pid), "-b", bean, *what],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _set(pid: int, values: dict[str, str]) -> None:
    for process in [_call(pid, name, value) for name, value in values.items()]:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said


@contextmanager
def closed(pid: int, **values: str) -> Iterator[None]:
    """The guard rails of a server while the block runs."""
    try:
        _set(pid, values)
        yield
    finally:
        _set(pid, {name: OPEN[name] for name in values})
