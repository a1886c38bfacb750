"""Rows, collections and lists above the 16 MB that a server takes in one request: they go in parts,
there and back.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from tests.support import cells
from tests.support.cli import Cli
from tests.support.schema import internal
from tests.support.servers import Address
from tests.support.settings import GO, OTHERS_KEPT
from tests.support.told import ok, only
from tests.support.wire import Fault, tapped

pytestmark = pytest.mark.thorough

COLUMNS = (
    "k int, c int, r int, "
    + ", ".join(f"b{n} blob" for n in range(8))
    + ", tags map<int, blob>, path list<blob>, names set<text>, place spot, "
    "limits map<int, blob> STATIC, trail list<blob> STATIC"
)
BEFORE = f"CREATE TABLE t ({COLUMNS}, PRIMARY KEY (k, c))"
AFTER = f"CREATE TABLE t ({COLUMNS}, PRIMARY KEY (k, r, c))"
MB = 2**20
WRITTEN = 1_700_000_000_000_000  # microseconds
# Who answers, what the row consists of, and whether the run is killed or a request of it is cut.
PARTS = [
    ("cli", "cells", True),
    ("cli", "list", True),
    ("cli", "cells and elements", False),
    ("scylla", "list", True),
    ("scylla", "map", True),
    ("cli", "map", False),
]


def value(size: int, seed: int) -> bytes:
    return bytes([seed % 251]) * size


class Writer:
    def __init__(self, client: Any, keyspace: str) -> None:
        self._client, self._table = client, f"{keyspace}.t"
        self._at = WRITTEN

    def __call__(self, assignment: str, *values: object, ttl: int = 0, where: str = "") -> None:
        """One UPDATE, at a time of its own."""
        self._at += 1000
        cql = f"UPDATE {self._table} USING TIMESTAMP ? AND TTL ? SET {assignment} WHERE {where}"
        self._client.execute(self._client.prepare(cql), [self._at, ttl, *values])


def fill(client: Any, keyspace: str) -> None:
    write, row = Writer(client, keyspace), "k = 1 AND c = {}".format
    for c in range(6):
        write("r = ?", c, where=row(c))
    for n in range(8):  # 17 MB
        write(f"b{n} = ?", value(MB * 11 // 5, n), ttl=(0, 90_000)[n % 2], where=row(0))
    for n in range(7):
        write("tags = tags + ?", {n: value(MB, n)}, ttl=(0, 90_000)[n % 2], where=row(1))
    for n in range(34):  # 17 MB, the lives of half of them in runs
        ttl = 90_000 * (n < 18 and n % 3)
        write("path = path + ?", [value(MB // 2, n)], ttl=ttl, where=row(2))
    for n in range(6):
        texts = {f"{n} {m} " + "x" * 900 for m in range(1000)}
        write("names = names + ?", texts, where=row(3))
    write("place.one = ?", value(3 * MB, 1), where=row(4))
    write("place.two = ?", value(3 * MB, 2), where=row(4))
    write("b0 = ?", value(6 * MB, 7), where=row(5))
    for n in range(5):
        write("limits = limits + ?", {n: value(MB, n)}, where="k = 2")
        write("trail = trail + ?", [value(MB, n)], where="k = 2")


def test_what_is_too_large_for_a_request_goes_in_parts(
    cli: Cli, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = f"-- migrate:down\n-- migrate:rebuild\n{BEFORE};\n"
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TYPE spot (one blob, two blob);\n{BEFORE};\n"
        "-- migrate:down\nDROP TABLE t;\nDROP TYPE spot;\n",
        r0002_t=f"-- migrate:up\n-- migrate:rebuild\n{AFTER};\n{back}",
    )
    ok(cli("up", "1"))
    fill(client, cli.keyspace)
    # One row is as much as a small server takes at once.
    monkeypatch.setattr(client, "default_fetch_size", 1)
    rows, statics = (read(client, cli.keyspace, "t") for read in (cells.read, cells.read_statics))
    assert len(rows) == 6
    shape = cells.columns(client, cli.keyspace, "t")
    for command in ("up", "down"):
        target = ("1",) if command == "down" else ()
        ok(cli(command, *target, *GO))
        now = cells.read(client, cli.keyspace, "t")
        if command == "up":
            now = cells.by(now, cells.columns(client, cli.keyspace, "t"), ("k", "c"))
            wanted = cells.by(rows, shape, ("k", "c"))
        else:
            wanted = rows
        found = [line for line in cells.differences(wanted, now, earlier=15) if ".r " not in line]
        assert [line[:200] for line in found] == []
        now_static = cells.read_statics(client, cli.keyspace, "t")
        assert [line[:200] for line in cells.differences(statics, now_static)] == []


# By what a row has: its columns with their values, more than one request takes.
KINDS: dict[str, dict[str, object]] = {
    "cells": {f"b{n}": value(3 * MB, n) for n in range(5)},
    "list": {"path": [value(MB, n) for n in range(10)]},
    "map": {"tags": {n: value(MB, n) for n in range(10)}},
    "cells and elements": {"b0": value(MB, 1), "tags": {n: value(MB, n) for n in range(6)}},
}


@pytest.mark.parametrize(("answers", "kind", "killed"), PARTS)
def test_a_row_of_which_a_part_came_back(
    request: pytest.FixtureRequest,
    client: Any,
    server: Address,
    answers: str,
    kind: str,
    killed: bool,
) -> None:
    """The run is killed between two parts, or one is lost: the rest of them follows."""
    cli: Cli = request.getfixturevalue(answers)
    columns = ", ".join(f"b{n} blob" for n in range(5)) + ", path list<blob>, tags map<int, blob>"
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TABLE t (k int PRIMARY KEY, {columns});\n"
        "-- migrate:down\nDROP TABLE t;\n",
        r0002_t="-- migrate:up\nTRUNCATE t;\nALTER TABLE t WITH comment = 'none';\n"
        "-- migrate:down\nALTER TABLE t WITH comment = '';\n",
    )
    ok(cli("up", "1"))
    write = Writer(client, cli.keyspace)
    client.execute(f"INSERT INTO {cli.keyspace}.t (k) VALUES (1)")
    for name, what in KINDS[kind].items():
        write(f"{name} = ?", what, where="k = 1")
    read = f"SELECT * FROM {cli.keyspace}.t"
    before = client.execute(read).one()
    ok(cli("up", "2", *GO, "--set-aside"))
    assert client.execute(read).one() is None
    started: list[Any] = []
    # Behind what prepares the statement and the first part; those of a list have two statements.
    fault = Fault(3 + (kind == "list"), "cut request", of=r"^UPDATE \S+\.t\b")
    if killed:
        fault = replace(fault, act=lambda: started[0].kill())
    port = int(cli.environment["CALLDROP_PORT"])
    with tapped(server.hosts[0], port, fault) as tap:
        env = OTHERS_KEPT | {"CALLDROP_PORT": str(tap.port)}
        started.append(cli.start("down", "1", *GO, env=env))
        out, err = started[0].communicate(timeout=120)
        assert started[0].returncode == (-signal.SIGKILL if killed else 0), err + out
    assert tap.struck is not None
    if killed:
        assert client.execute(read).one() not in (None, before)
        ok(cli("down", "1", *GO, "--wait-for-lease", "60"))
    assert client.execute(read).one() == before
    assert internal(client, cli) == []
