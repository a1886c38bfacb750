"""From a layout to a server that answers: ports, jars and Java looked for, nodes started in turn.

Whatever goes wrong on the way, a Ctrl-C too, nothing is left running. The caller holds the home's
lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from calldrop_migrate import commands
from calldrop_migrate.embedded import jars, java, node, ports, processes, state
from calldrop_migrate.embedded.node import Node
from calldrop_migrate.embedded.releases import Release
from calldrop_migrate.errors import ConfigurationError, Unreachable

_LOG_LINES = 15


def launch(
    home: Path,
    release: Release,
    layout: Sequence[Node],
    timeout: float,
    say: Callable[[str], None],
) -> state.Running:
    """Start the nodes of `layout`, each of which may take `timeout` seconds until it answers.

    Raises:
        ConfigurationError: a port is taken, there is no Java, the `local` extra isn't installed.
        Unreachable: a download failed, or a node died or didn't answer in time.
    """
    layout = _with_free_ports(layout)
    path = jars.classpath(release, say)
    program = java.find_java(release)
    running = _nothing_yet(release, layout)
    say(f"starting Apache Cassandra {release.version} on {layout[0].host}:{running.port}")
    try:
        for each in layout:
            new = not each.directory.exists()
            running = _begin(home, each, running, node.command(each, program, path))
            # A new node needs one that is up; old ones know each other, and look for each other.
            if new:
                _wait_until_ready(each, _first_signs(each), running, timeout)
        for each in layout:
            # Until each has heard of the others they may disagree on the schema.
            others = [f"{it.host}:{it.storage_port} is now UP" for it in layout if it is not each]
            _wait_until_ready(each, others, running, timeout)
        running = replace(running, ready=True)
        state.write(home, running)
    except BaseException:
        # Ctrl-C as well: a server that nobody knows of would hold the port for ever.
        if begun := state.read(home):
            processes.terminate(begun.processes, begun.directory, grace=1.0)
        state.remove(home)
        raise
    say(f"ready after {time.time() - running.started:.1f} s, data in {running.directory}")
    return running


def _nothing_yet(release: Release, layout: Sequence[Node]) -> state.Running:
    return state.Running(
        hosts=tuple(each.host for each in layout),
        port=layout[0].port,
        processes=(),
        directory=str(layout[0].directory.parent),
        version=release.version,
        started=time.time(),
        ready=False,
    )


def _begin(home: Path, each: Node, running: state.Running, command: list[str]) -> state.Running:
    """Start one node, and record it at once."""
    node.prepare(each)
    process = processes.detach(command, each.log, _environment())
    running = replace(running, processes=(*running.processes, process))
    state.write(home, running)
    return running


def _first_signs(each: Node) -> list[str]:
    """Return what the log of a new node must say besides: with passwords, that the first user is
    made.
    """
    passwords = "Password" in each.tuning.settings.get("authenticator", "")
    return ["Created default superuser role"] if passwords and each.host == each.seed else []


def _with_free_ports(layout: Sequence[Node]) -> Sequence[Node]:
    """The layout with a storage port that is free everywhere; refuses when the CQL port isn't."""
    hosts = tuple(each.host for each in layout)
    port, storage_port = layout[0].port, layout[0].storage_port
    if taken := _taken(hosts, port):
        raise ConfigurationError(
            f"port {port} on {taken} is taken by another program",
            state="nothing was started",
            hint=commands.server_start("--port", str(min(port + 100, 65535))),
        )
    if port == storage_port or _taken(hosts, storage_port):
        storage_port = ports.first_free(hosts, storage_port + 1, not_this=port)
    return [replace(each, storage_port=storage_port) for each in layout]


def _taken(hosts: Sequence[str], port: int) -> str:
    """The first host on which somebody listens; empty when the port is free on all."""
    # A server that was just killed holds its ports for some milliseconds after it is gone.
    until = time.monotonic() + 1
    for host in hosts:
        try:
            while not ports.is_free(host, port):
                if time.monotonic() > until:
                    return host
                time.sleep(0.05)
        except OSError as error:
            raise ConfigurationError(
                f"can't listen on {host}: {error.strerror}",
                hint="a port below 1024 is for root"
                if isinstance(error, PermissionError)
                else "use 127.0.0.1; on macOS another needs `sudo ifconfig lo0 alias ADDRESS`",
            ) from error
    return ""


def _environment() -> dict[str, str]:
    """Ours, without the variables by which a JVM takes arguments that nobody here knows of."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
    }


def _wait_until_ready(
    each: Node, signs: Sequence[str], running: state.Running, timeout: float
) -> None:
    """Return when the node answers CQL and its log holds all of `signs`.

    Raises:
        Unreachable: it died, another one died, or it took more than `timeout` seconds.
    """
    until = time.monotonic() + timeout
    while not (_answers(each) and _logged(each, signs)):
        if not running.alive():
            what = "ended while it was starting"
        elif time.monotonic() > until:
            what = f"was not ready within {timeout:.0f} s"
        else:
            time.sleep(0.05)
            continue
        raise Unreachable(
            f"the embedded Cassandra on {each.host}:{each.port} {what}; the end of its log:\n"
            + "\n".join(f"    {line}" for line in relevant(each.log.read_text(errors="replace"))),
            state="nothing is running",
            hint=f"All of its log: {each.log}\n"
            f"To delete its data and begin again:  {commands.server_wipe()}",
        )


def _answers(each: Node) -> bool:
    """Return whether it takes requests. One with TLS isn't asked: to listen is the last thing it
    does.
    """
    encrypted = "client_encryption_options" in each.tuning.settings
    return (ports.accepts if encrypted else ports.answers_cql)(each.host, each.port)


def _logged(each: Node, signs: Sequence[str]) -> bool:
    log = each.log.read_text(errors="replace") if signs else ""
    return all(sign in log for sign in signs)


def relevant(log: str, count: int = _LOG_LINES) -> list[str]:
    """The lines of a log that say why a server ended: from the first error on, no stack frames."""
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith("\t")]
    first = next(
        (at for at, line in enumerate(lines) if line.startswith("ERROR") or "Exception" in line),
        len(lines) - count,
    )
    return [line[:300] for line in lines[max(first, 0) :][:count]]
