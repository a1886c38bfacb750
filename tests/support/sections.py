"""Sections of several statements about one table, and the rows that it has."""

from __future__ import annotations

from typing import Any

from tests.support.cli import Cli
from tests.support.told import ok, only

MADE = "CREATE TABLE t (a int PRIMARY KEY, b int, c int, d int);\n"
BY_B = "-- migrate:rebuild\nCREATE TABLE t (a int, b int, {}d int, PRIMARY KEY (b, a));\n"
NO_C = "ALTER TABLE t DROP c;\n"
ROWS = [(1, 10, 100, 1000), (2, 20, None, 2000), (3, None, 300, None), (4, 40, None, None)]


def given(cli: Cli, client: Any, up: str, down: str) -> None:
    """Revision 1 with rows, of which one has no value for what becomes part of the key."""
    only(
        cli,
        r0001_t=f"-- migrate:up\n{MADE}-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n{up}-- migrate:down\n{down}",
    )
    ok(cli("up", "1"))
    for row in ROWS:
        names = [name for name, value in zip("abcd", row, strict=True) if value is not None]
        values = ", ".join(str(value) for value in row if value is not None)
        client.execute(f"INSERT INTO {cli.keyspace}.t ({', '.join(names)}) VALUES ({values})")
