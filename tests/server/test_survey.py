"""What reading a table once tells of it: how many rows there are, and which of them have only cells
that end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from calldrop_migrate.cluster.session import ClusterDatabase, Endpoint, connect
from calldrop_migrate.engine.misfits import Search
from calldrop_migrate.engine.news import Progress
from calldrop_migrate.engine.ranging import Ranging
from tests.support.servers import Address

TABLE = "(k int, c int, s int STATIC, v int, w int, tags set<text>, PRIMARY KEY (k, c))"


@pytest.fixture
def database(client: Any, keyspace: str, server: Address) -> Iterator[ClusterDatabase]:
    """A keyspace with an empty table `t`."""
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    client.execute(f"CREATE TABLE {keyspace}.t {TABLE}")
    connected = connect(Endpoint(server.hosts, server.port, keyspace), waiting=print)
    yield connected
    connected.close()


def test_rows_are_counted_and_those_with_cells_that_end_are_named(
    client: Any, database: ClusterDatabase
) -> None:
    t, element_times = f"{database.keyspace}.t", database.platform.element_times
    for c in range(300):  # more than one page, and all of one partition
        client.execute(f"INSERT INTO {t} (k, c, v) VALUES (1, {c}, 0)")
    insert, ttl = f"INSERT INTO {t} (k, c, v, w) VALUES", "USING TTL 900"
    client.execute(f"{insert} (2, 1, 1, 1) {ttl}")  # row and cells in one
    client.execute(f"INSERT INTO {t} (k, c) VALUES (2, 2)")  # a key alone
    client.execute(f"{insert} (2, 3, 1, 1) {ttl}")
    client.execute(f"UPDATE {t} USING TTL 0 SET w = 2 WHERE k = 2 AND c = 3")  # w has no end
    client.execute(f"INSERT INTO {t} (k, s) VALUES (3, 1)")  # a partition without rows
    # Only cells that end: the second of each was written later than the first.
    client.execute(f"{insert} (4, 1, 1, 1)")
    client.execute(f"UPDATE {t} {ttl} SET v = 2, w = 2 WHERE k = 4 AND c = 1")
    client.execute(f"UPDATE {t} {ttl} SET w = 3 WHERE k = 4 AND c = 1")
    client.execute(f"UPDATE {t} {ttl} SET v = 1, tags = {{'a'}} WHERE k = 4 AND c = 2")
    client.execute(f"UPDATE {t} {ttl} SET tags = tags + {{'b'}} WHERE k = 4 AND c = 2")

    told: list[Progress] = []
    search = Search(database, Ranging(lambda: None, time.sleep), told.append, lambda _: None)
    table = database.schema().table("t")
    assert table is not None
    survey = search.survey(table, 8)
    assert survey.rows == 305
    ending = ["4  1", "4  2"] if element_times else ["4  1"]
    assert (survey.ending, sorted(survey.examples)) == (len(ending), ending)
    assert survey.bytes > 305 * 3 * 4
    assert 0 < survey.seconds < 60
    assert (told[-1].done, told[-1].rows) == (8, 305)
