"""What a server was measured to do that a copy has to know, each thing by its name."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.pace import seconds
from tests.support.sampling import sample
from tests.support.settings import GO, QUICK
from tests.support.told import ok, only

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


@pytest.mark.thorough
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


@pytest.mark.parametrize("life", sample([0, 1000, 10 * HOUR]))
def test_a_row_keeps_its_life_where_the_table_has_one_for_each(
    cli: Cli, client: Any, insert: Any, life: int
) -> None:
    """What is bound to no TTL takes the table's; 0 is for ever."""
    insert(f"TIMESTAMP {WRITTEN} AND TTL {life}", v=3)
    for command in (("up", "2"), ("down", "1")):
        ok(cli(*command, *GO))
        left = client.execute(f"SELECT TTL(v) AS left FROM {cli.keyspace}.t").one()["left"]
        assert left is None if life == 0 else life - seconds(60) < left <= life


@pytest.mark.thorough
def test_what_was_removed_from_a_copy_hides_nothing_that_is_written_later(
    cli: Cli, client: Any, insert: Any
) -> None:
    """By a clock that is behind, or USING TIMESTAMP: it is removed at its own time, not at ours."""
    insert(f"TIMESTAMP {WRITTEN} AND TTL 0", v=3)
    killed(cli, "noted | COPY")
    client.execute(f"DELETE FROM {cli.keyspace}.t USING TIMESTAMP {WRITTEN + 1} WHERE a = 1")
    killed(cli, "before | DROP TABLE t")
    assert copies(client, cli) == [0]
    insert(f"TIMESTAMP {WRITTEN + 2} AND TTL 0", v=4)
    ok(cli("up", "2", *GO, env=QUICK))
    assert client.execute(f"SELECT v FROM {cli.keyspace}.t").one() == {"v": 4}


def killed(cli: Cli, at: str) -> None:
    result = cli.at(f"kill | {at}", "up", "2", *GO, env=QUICK)
    assert result.code == -signal.SIGKILL, result


def copies(client: Any, cli: Cli) -> list[int]:
    """How many rows the tables have that a run made for itself."""
    asked = "SELECT table_name AS n FROM system_schema.tables WHERE keyspace_name = %s"
    names = [row["n"] for row in client.execute(asked, [cli.keyspace]) if "__" in row["n"]]
    return [len(list(client.execute(f"SELECT a FROM {cli.keyspace}.{n}"))) for n in names]


@pytest.mark.thorough
def test_a_row_that_may_end_with_its_cells_is_named(cli: Cli, client: Any, insert: Any) -> None:
    """No CQL reads a row's own life: whether it would outlive its cells can't be told."""
    insert("TTL 0", v=3, w=4)
    client.execute(f"UPDATE {cli.keyspace}.t USING TTL 900 SET v = 5 WHERE a = 1")
    assert "have only cells that end" not in ok(cli("up", "2", *GO))
    ok(cli("down", "1", *GO))
    for cell, ttl in (("v", 900), ("w", 800), ("b", 700)):
        client.execute(f"UPDATE {cli.keyspace}.t USING TTL {ttl} SET {cell} = 5 WHERE a = 1")
    said = ok(cli("up", "2", *GO))
    assert "1 rows of t have only cells that end, and not all by one write" in said
    assert "ends with the last of them\n      1\n" in said
