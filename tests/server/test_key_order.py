"""Which bytes of a clustering key are one key for the server: as core/keys.py says, for values of
every type, nested.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from cassandra import InvalidRequest

from calldrop_migrate.cluster.session import ClusterDatabase, Endpoint, connect
from calldrop_migrate.core.keys import CASSANDRA, SCYLLA, KeyLimits, canonical, is_loose
from tests.support.raw_values import prepared, raw_rows
from tests.support.sampling import sample
from tests.support.servers import HAS_VECTORS, Address
from tests.support.values import NATIVE, Values, sized

USER_TYPES = {"spot": ["decimal", "text"], "inner": ["frozen<spot>", "int"]}
NESTED = [
    "frozen<list<decimal>>",
    "frozen<set<varint>>",
    "frozen<set<text>>",
    "frozen<map<boolean, float>>",
    "frozen<map<text, frozen<list<varint>>>>",
    "tuple<int, text>",
    "tuple<decimal, frozen<set<double>>, boolean>",
    "frozen<spot>",
    "frozen<inner>",
    "frozen<list<frozen<inner>>>",
    *(["vector<float, 2>", "vector<decimal, 2>"] if HAS_VECTORS else []),
    *(["vector<vector<double, 1>, 2>", "vector<int, 2>"] if HAS_VECTORS else []),
]
EACH = 20  # values of a type


@pytest.fixture
def database(client: Any, keyspace: str, server: Address) -> Iterator[ClusterDatabase]:
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    for name, kinds in USER_TYPES.items():
        fields = ", ".join(f"f{at} {kind}" for at, kind in enumerate(kinds))
        client.execute(f"CREATE TYPE {keyspace}.{name} ({fields})")
    connected = connect(Endpoint(server.hosts, server.port, keyspace), waiting=print)
    yield connected
    connected.close()


@pytest.mark.parametrize("kinds", sample([list(NATIVE), NESTED]), ids=["native", "nested"])
def test_two_rows_are_one_where_their_keys_are_canonically_the_same(
    client: Any, database: ClusterDatabase, kinds: list[str]
) -> None:
    values, equal, apart = Values(Random(11), USER_TYPES), 0, 0
    for nth, kind in enumerate(kinds):
        table = f"{database.keyspace}.t_{nth}"
        client.execute(f"CREATE TABLE {table} (k int, c {kind}, PRIMARY KEY (k, c))")
        insert = prepared(client, f"INSERT INTO {table} (k, c) VALUES (?, ?)")
        pool = dict.fromkeys(NATIVE.get(kind) or (values.of(kind) for _ in range(EACH)))
        what = canonical(kind, USER_TYPES)
        for at, value in enumerate(pool):
            try:
                client.execute(insert, [struct.pack(">i", -1 - at), value])
            except InvalidRequest:
                assert not value, (kind, value)  # some types have no empty value
        # As the server keeps them: it sorts a set, and keeps one of two that are equal.
        taken = [row["c"] for row in raw_rows(client, f"SELECT c FROM {table}")]
        pairs = list(itertools.combinations(taken, 2))
        sent = [
            client.execute_async(insert, [struct.pack(">i", at), value])
            for at, pair in enumerate(pairs)
            for value in pair
        ]
        for future in sent:
            future.result()
        counted = client.execute(f"SELECT k, COUNT(*) AS rows FROM {table} GROUP BY k")
        rows = {row["k"]: row["rows"] for row in counted}
        for at, (one, other) in enumerate(pairs):
            same = one == other if what is None else what(one) == what(other)
            assert rows[at] == (1 if same else 2), (kind, one, other)
            equal, apart = equal + same, apart + (not same)
        assert what is None or is_loose(kind), kind
    assert equal > 20, equal
    assert apart > 200


def test_an_empty_field_at_the_end_counts_as_a_missing_one() -> None:
    """On Cassandra it is one; it isn't null on either, and what isn't transitive can't be told."""
    what = canonical("tuple<int, text>", {})
    short, empty, null = (sized([b"\0\0\0\1", *rest]) for rest in ([], [b""], [None]))
    assert what is not None
    assert what(short) == what(empty) == what(null)


@pytest.mark.parametrize(
    ("key", "sizes"),
    sample(
        [
            ("x, a, b", [32_767, 32_768]),
            ("(a, b)", [32_765, 32_766]),
            ("a", [0]),
            ("a", [65_533]),
            ("a", [65_534]),
            ("a", [65_535]),
            ("a", [65_536]),
            ("(a, b)", [0, 0]),
            ("(a, b)", [32_764, 32_765]),
            ("(a, b)", [65_536, 1]),
            ("x, a", [0]),
            ("x, a", [65_533]),
            ("x, a", [65_535]),
            ("x, a", [65_536]),
            ("x, a, b", [32_766, 32_765]),
            ("x, a, b", [32_768, 32_768]),
        ],
        2,
    ),
)
def test_keys_that_the_server_refuses(
    client: Any, database: ClusterDatabase, key: str, sizes: list[int]
) -> None:
    table = f"{database.keyspace}.t"
    client.execute(f"CREATE TABLE {table} (x blob, a blob, b blob, PRIMARY KEY ({key}))")
    insert = prepared(client, f"INSERT INTO {table} (x, a, b) VALUES (?, ?, ?)")
    values = [b"v" * size for size in sizes]
    limits = database.platform.key_limits
    clustering = key.startswith("x")
    why = limits.refuses([b"x"], values) if clustering else limits.refuses(values, [])
    try:
        client.execute(insert, [b"x", *values, b"y"][:3])
        taken = True
    except InvalidRequest:
        taken = False
    assert taken == (not why), why


@pytest.mark.parametrize(
    ("limits", "most"), [(CASSANDRA, (65_535, 65_529)), (SCYLLA, (65_533, 65_531))]
)
def test_what_each_server_adds_to_a_key(limits: KeyLimits, most: tuple[int, int]) -> None:
    one, two = most
    assert not limits.refuses([b"v" * one], [b"v" * one])
    assert limits.refuses([b"v" * (one + 1)], [])
    assert limits.refuses([b"v"], [b"v" * (one + 1)])
    assert not limits.refuses([b"v", b"v" * (two - 1)], [])
    assert limits.refuses([b"v", b"v" * two], [])
