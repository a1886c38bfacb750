"""The server that tests run on. It is the first of these that is there; the suite never skips for
want of one:

    CALLDROP_HOSTS (with CALLDROP_PORT, _USERNAME, _PASSWORD, _LOCAL_DC): a server of yours
    Docker with the image of docker-compose.yml already pulled: ScyllaDB by pytest-docker
    otherwise: an embedded Cassandra of this run's own, ended and deleted afterwards

CALLDROP_TEST_SERVER says which Cassandra is embedded: 4.1, 5.0 (the usual one) or 6.0.
CALLDROP_TEST_EMBEDDED=reuse takes a running `calldrop-migrate server` instead and leaves it
running: quicker while developing.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from calldrop_migrate.embedded import ports, processes, releases
from calldrop_migrate.embedded import server as embedded
from calldrop_migrate.embedded.tuning import Tuning
from tests.support.places import DATA

CQL_PORT = 9042
VERSION = os.environ.get("CALLDROP_TEST_SERVER") or releases.DEFAULT
HAS_VECTORS = VERSION != "4.1"
# Not below pytest's own temporary folders: it deletes those of earlier runs, running server or not.
_ROOM = ("-Xms512m", "-Xmn256m")
_NO_FLUSH = ("-Dcassandra.test.flush_local_schema_changes=false", "-Dcassandra.unsafesystem=true")
_HOMES = DATA / f"calldrop-migrate-tests-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server; `kind` is given, compose or embedded."""

    hosts: tuple[str, ...]
    port: int
    kind: str


def given() -> Address | None:
    """The server that CALLDROP_HOSTS names."""
    hosts = tuple(
        host.strip() for host in os.environ.get("CALLDROP_HOSTS", "").split(",") if host.strip()
    )
    port = int(os.environ.get("CALLDROP_PORT", CQL_PORT))
    return Address(hosts, port, "given") if hosts else None


def running() -> Address | None:
    """A `calldrop-migrate server` that runs already, where CALLDROP_TEST_EMBEDDED says so."""
    if os.environ.get("CALLDROP_TEST_EMBEDDED") != "reuse":
        return None
    found = embedded.find()
    return Address(found.hosts, found.port, "embedded") if found else None


def quick_schema(settings: Mapping[str, str], heap_mb: int = 1024, *, once: bool = True) -> Tuning:
    """Return what makes CREATE, ALTER and DROP take less time.

    Each change of a schema flushes many tables, most of which are nearly empty. A node that is
    started only `once` doesn't flush its own; for all of them there is room for little at a time.
    """
    quick = {"memtable_allocation_type": "unslabbed_heap_buffers", **settings}
    return Tuning(heap_mb, quick, (*_ROOM, *(_NO_FLUSH if once else ())))


@contextmanager
def own() -> Iterator[Address]:
    """An embedded Cassandra of this run's own; its data goes with it."""
    _end_orphans()
    home = _HOMES / str(os.getpid())
    host, port = _free_address()
    masks = {} if VERSION == "4.1" else {"dynamic_data_masking_enabled": "true"}
    started = embedded.start(
        version=VERSION,
        home=home,
        host=host,
        port=port,
        tuning=quick_schema(masks),
        say=lambda _: None,
    )
    try:
        yield Address(started.hosts, started.port, "embedded")
    finally:
        _end(home)


def _end_orphans() -> None:
    """A run that was killed left its server, a gigabyte that nobody would ever find again."""
    for home in _HOMES.glob("[0-9]*"):
        if processes.is_gone(int(home.name)):
            _end(home)


def _end(home: Path) -> None:
    embedded.stop(wipe=True, home=home, say=lambda _: None)
    shutil.rmtree(home, ignore_errors=True)


def _free_address() -> tuple[str, int]:
    """One that runs beside each other don't share; not every system has more than 127.0.0.1."""
    host = f"127.7.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with suppress(OSError):
        if ports.is_free(host, CQL_PORT):
            return host, CQL_PORT
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return "127.0.0.1", int(probe.getsockname()[1])


def named(address: Address) -> str:
    """Return the name of a server in a report."""
    return f"{address.kind} server {','.join(address.hosts)}:{address.port}"
