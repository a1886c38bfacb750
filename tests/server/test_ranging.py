"""Work on ranges that a server refuses: for a moment, or for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from calldrop_migrate.cluster.session import ClusterDatabase, Endpoint, connect
from calldrop_migrate.core.ranges import Range, grid
from calldrop_migrate.core.schema import Column, Table
from calldrop_migrate.engine.ports import CopyTask, RangeResult
from calldrop_migrate.engine.ranging import Ranging
from calldrop_migrate.errors import StatementRefused
from tests.support.servers import Address

COLUMNS = (Column("a", "int", "partition_key", 0), Column("b", "int"))
SAME = (("a", "a"), ("b", "b"))
HERE, THERE = Table("here", COLUMNS), Table("there", COLUMNS)


@pytest.fixture
def database(client: Any, keyspace: str, server: Address) -> Iterator[ClusterDatabase]:
    """A keyspace with a table of one row."""
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    client.execute(f"CREATE TABLE {keyspace}.here (a int PRIMARY KEY, b int)")
    client.execute(f"INSERT INTO {keyspace}.here (a, b) VALUES (1, 2)")
    connected = connect(Endpoint(server.hosts, server.port, keyspace), waiting=print)
    yield connected
    connected.close()


def copied(
    database: ClusterDatabase, sleep: Callable[[float], None] = time.sleep
) -> list[tuple[Range, RangeResult]]:
    task = CopyTask(HERE, THERE, SAME)
    ranging = Ranging(lambda: None, sleep)
    return list(ranging.over(grid(1), lambda r: database.bulk.copy_ranges(task, r)))


@pytest.mark.thorough
def test_a_table_that_the_node_does_not_know_yet(
    database: ClusterDatabase, client: Any, keyspace: str
) -> None:
    """A CREATE without an answer is settled by the schema's tables, which are written first."""
    create = f"CREATE TABLE {keyspace}.there (a int PRIMARY KEY, b int)"
    late = threading.Timer(1.5, client.execute, [create])
    late.start()
    ((_, result),) = copied(database)
    late.join()
    assert result.rows == 1
    assert client.execute(f"SELECT b FROM {keyspace}.there WHERE a = 1").one() == {"b": 2}


def test_what_is_refused_for_good(database: ClusterDatabase, client: Any, keyspace: str) -> None:
    client.execute(f"CREATE TABLE {keyspace}.there (a int PRIMARY KEY, other int)")
    waits: list[float] = []
    with pytest.raises(StatementRefused, match="b"):
        copied(database, waits.append)
    assert waits == []  # not even once again
