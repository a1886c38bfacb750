"""What a server was measured to do that a copy has to know, each thing by its name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.told import ok, only

GO = ("--yes", "--outage-accepted")
WRITTEN = 1_700_000_000_000_000  # microseconds
HOUR = 3600
BY_A, BY_B = (
    f"CREATE TABLE t (a int, b int, v int, w int, PRIMARY KEY ({key}))"
    f" WITH default_time_to_live = {HOUR};\n"
    for key in ("a", "a, b")
)
REBUILD = "-- migrate:rebuild\n"


@pytest.fixture
def insert(cli: Cli, client: Any) -> Any:
    """Writes into a table of revision 1 that gives each row an hour, if it is told nothing."""
    only(
        cli,
        r0001_t=f"-- migrate:up\n{BY_A}-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n{REBUILD}{BY_B}-- migrate:down\n{REBUILD}{BY_A}",
    )
    ok(cli("up", "1"))

    def insert(using: str, **cells: int) -> None:
        client.execute(
            f"INSERT INTO {cli.keyspace}.t (a, b, {', '.join(cells)}) "
            f"VALUES (1, 2, {', '.join(map(str, cells.values()))}) USING {using}"
        )

    return insert


def test_a_cell_that_was_not_there_hides_nothing_that_comes_late(
    cli: Cli, client: Any, insert: Any
) -> None:
    """A null that is written is a tombstone, and hides what was written before it."""
    insert(f"TIMESTAMP {WRITTEN} AND TTL 0", v=3)
    ok(cli("up", "2", *GO))
    insert(f"TIMESTAMP {WRITTEN - 1000} AND TTL 0", w=4)
    assert client.execute(f"SELECT v, w FROM {cli.keyspace}.t").one() == {"v": 3, "w": 4}
    ok(cli("down", "1", *GO))
    insert(f"TIMESTAMP {WRITTEN - 900} AND TTL 0", w=5)
    assert client.execute(f"SELECT v, w FROM {cli.keyspace}.t").one() == {"v": 3, "w": 5}


@pytest.mark.parametrize("life", [0, 100, 10 * HOUR])
def test_a_row_keeps_its_life_where_the_table_has_one_for_each(
    cli: Cli, client: Any, insert: Any, life: int
) -> None:
    """What is bound to no TTL takes the table's; 0 is for ever."""
    insert(f"TIMESTAMP {WRITTEN} AND TTL {life}", v=3)
    for command in (("up", "2"), ("down", "1")):
        ok(cli(*command, *GO))
        left = client.execute(f"SELECT TTL(v) AS left FROM {cli.keyspace}.t").one()["left"]
        assert left is None if life == 0 else life - 60 < left <= life
