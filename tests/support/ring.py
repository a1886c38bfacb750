"""Three real nodes, and what can be done to each: frozen, killed, started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calldrop_migrate.embedded import jars, java, node, ports, processes, releases, server
from tests.support.servers import quick_schema

NODES = 3
TUNING = quick_schema({}, heap_mb=512, once=False)


@dataclass
class Ring:
    """The nodes of one embedded server, in order."""

    home: Path
    hosts: tuple[str, ...]
    port: int
    pids: list[int] = field(default_factory=list)

    @contextmanager
    def frozen(self, at: int) -> Iterator[None]:
        """A node that takes connections and answers nothing."""
        os.kill(self.pids[at], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pids[at], signal.SIGCONT)

    def kill(self, at: int) -> None:
        os.kill(self.pids[at], signal.SIGKILL)
        while ports.answers_cql(self.hosts[at], self.port):
            time.sleep(0.05)

    def start(self, at: int) -> None:
        """A node that was killed, again; returns when all others have heard of it."""
        layout = node.lay_out(self.home / DIRECTORY, self.hosts[0], NODES, self.port, TUNING)
        release = releases.release(releases.DEFAULT)
        path = jars.classpath(release, lambda line: None)
        command = node.command(layout[at], java.find_java(release), path)
        log = layout[at].log
        known = {n: self._said(n, at) for n in range(NODES) if n != at}
        self.pids[at] = processes.detach(command, log, dict(os.environ)).pid
        deadline = time.monotonic() + 120
        while not ports.answers_cql(self.hosts[at], self.port) or any(
            self._said(n, at) == before for n, before in known.items()
        ):
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
            time.sleep(0.2)

    def _said(self, one: int, of: int) -> int:
        """How often a node has said of another one that it is up."""
        log = self.home / DIRECTORY / f"node{one + 1}" / "server.log"
        return log.read_text(errors="replace").count(f"{self.hosts[of]}:{STORAGE_PORT} is now UP")


STORAGE_PORT = node.STORAGE_PORT
DIRECTORY = f"nodes-{NODES}-{releases.DEFAULT}"


@contextmanager
def ring(home: Path, host: str) -> Iterator[Ring]:
    """Starts them; ends and deletes them afterwards."""
    started = server.start(
        home=home,
        host=host,
        nodes=NODES,
        tuning=TUNING,
        say=lambda line: None,
    )
    made = Ring(home, started.hosts, started.port, list(started.pids))
    try:
        yield made
    finally:
        for pid in made.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        server.stop(wipe=True, home=home, say=lambda line: None)


def through(nodes: Ring, at: int) -> dict[str, str]:
    """One node to connect to."""
    return {"CALLDROP_HOSTS": nodes.hosts[at]}


def ids_of(each: list[Any], keyspace: str) -> list[dict[str, Any]]:
    """Every table's id, as each node has it."""
    asked = "SELECT table_name AS n, id FROM system_schema.tables WHERE keyspace_name = %s"
    return [{r["n"]: r["id"] for r in s.execute(asked, [keyspace])} for s in each]
