"""Values of a column that an ALTER drops, and the way back: a server shows nothing of such a column
that is older than the DROP.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.asking import tells_element_times
from tests.support.cli import Cli
from tests.support.killing import killed
from tests.support.sampling import sample
from tests.support.schema import internal
from tests.support.settings import GO, OTHERS_KEPT
from tests.support.told import ok, only

COLUMNS = {
    "d": "int",
    "t": "text",
    "m": "map<text, int>",
    "l": "list<int>",
    "e": "set<text>",
    "s": "int static",
}
TABLE = (
    "-- migrate:up\n"
    f"CREATE TABLE t (a int, b int, c int, {', '.join(f'{n} {k}' for n, k in COLUMNS.items())},"
    " PRIMARY KEY (a, b));\n-- migrate:down\nDROP TABLE t;\n"
)
WITHOUT = f"-- migrate:up\nALTER TABLE t DROP ({', '.join(COLUMNS)});\n-- migrate:down\n" + "".join(
    f"ALTER TABLE t ADD {name} {kind};\n" for name, kind in COLUMNS.items()
)


def rows(client: Any, cli: Cli) -> list[Any]:
    found = client.execute(f"SELECT JSON a, b, c, d, t, m, l, e, s FROM {cli.keyspace}.t")
    return sorted(row["[json]"] for row in found)


@pytest.mark.parametrize("killed_at", sample(["", "after | COPY t__aside_0002_up_cells TO t"]))
def test_values_of_a_dropped_column_come_back(cli: Cli, client: Any, killed_at: str) -> None:
    only(cli, r0001_t=TABLE, r0002_without=WITHOUT)
    ok(cli("up", "1"))
    into = f"INSERT INTO {cli.keyspace}.t"
    client.execute(
        f"{into} (a, b, c, d, t, m, l, e, s) VALUES (1, 1, 1, 7, 'x', {{'one': 1, 'two': 2}},"
        " [3, 1, 3], {'x', 'y'}, 9)"
    )
    client.execute(f"{into} (a, b, c, d, m) VALUES (1, 2, 1, 8, {{'three': 3}}) USING TTL 5000")
    client.execute(f"{into} (a, b, c, d) VALUES (2, 1, 1, 9)")
    before = rows(client, cli)
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
    client.execute(f"DELETE FROM {cli.keyspace}.t WHERE a = 2")
    if killed_at:
        killed(cli, killed_at, "down", "1", *GO, env=OTHERS_KEPT)
        client.execute(f"UPDATE {cli.keyspace}.t SET d = 70 WHERE a = 1 AND b = 1")
        before = [row.replace('"d": 7,', '"d": 70,') for row in before]
    said = ok(cli("down", "1", *GO, env=OTHERS_KEPT))
    assert rows(client, cli) == before[:2]
    asked = "TTL(d) AS d" + ", TTL(m) AS m" * tells_element_times(client)
    found = client.execute(f"SELECT {asked} FROM {cli.keyspace}.t WHERE b = 2 ALLOW FILTERING")
    lives = found.one()
    assert 4000 < lives["d"] <= 5000
    assert all(4000 < life <= 5000 for life in lives.get("m", ()))
    # What has no row any more stays aside.
    (aside,) = internal(client, cli)
    assert f"1 rows' values stay in {aside}" in said
    assert [r["a"] for r in client.execute(f"SELECT a FROM {cli.keyspace}.{aside}")] == [2]
    ok(cli("verify"))


@pytest.mark.thorough
@pytest.mark.parametrize("answers", ["cli", "scylla"])
def test_rows_that_come_back_onto_such_a_table(
    request: pytest.FixtureRequest, client: Any, answers: str
) -> None:
    """ScyllaDB doesn't tell the times of elements."""
    cli = request.getfixturevalue(answers)
    made = "CREATE TABLE t (a int PRIMARY KEY, c int, d int, s set<int>);\n"
    only(
        cli,
        r0001_t=f"-- migrate:up\n{made}-- migrate:down\nDROP TABLE t;\n",
        r0002_t="-- migrate:up\nTRUNCATE t;\nALTER TABLE t DROP (d, s);\n"
        "-- migrate:down\nALTER TABLE t ADD d int;\nALTER TABLE t ADD s set<int>;\n",
    )
    ok(cli("up", "1"))
    into = f"INSERT INTO {cli.keyspace}.t"
    client.execute(f"{into} (a, c, d, s) VALUES (1, 1, 1, {{1, 2}})")
    client.execute(f"{into} (a, d) VALUES (2, 1)")
    client.execute(f"{into} (a, s) VALUES (3, {{3}})")
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
    ok(cli("down", "1", *GO, env=OTHERS_KEPT))
    found = client.execute(f"SELECT a, c, d, s FROM {cli.keyspace}.t")
    got = {(r["a"], r["c"], r["d"], tuple(r["s"] or ())) for r in found}
    assert got == {(1, 1, 1, (1, 2)), (2, None, 1, ()), (3, None, None, (3,))}
    assert internal(client, cli) == []


@pytest.mark.thorough
@pytest.mark.parametrize("answers", ["cli", "scylla"])
def test_values_come_back_to_columns_that_were_dropped_one_after_the_other(
    request: pytest.FixtureRequest, client: Any, answers: str
) -> None:
    """Somebody made one of them again meanwhile, and dropped it again: each has its own time."""
    cli = request.getfixturevalue(answers)
    made = "CREATE TABLE t (a int PRIMARY KEY, c int, d int, s set<int>, l list<int>);\n"
    only(
        cli,
        r0001_t=f"-- migrate:up\n{made}-- migrate:down\nDROP TABLE t;\n",
        r0002_t="-- migrate:up\nALTER TABLE t DROP (d, s, l);\n-- migrate:down\n"
        "ALTER TABLE t ADD d int;\nALTER TABLE t ADD s set<int>;\nALTER TABLE t ADD l list<int>;\n",
    )
    ok(cli("up", "1"))
    into = f"INSERT INTO {cli.keyspace}.t"
    client.execute(f"{into} (a, c, d, s, l) VALUES (1, 1, 1, {{1, 2}}, [2, 1])")
    client.execute(f"{into} (a, c, s, l) VALUES (2, 1, {{3}}, [4])")
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
    for column in ("s set<int>", "l list<int>"):
        client.execute(f"ALTER TABLE {cli.keyspace}.t ADD {column}")
        client.execute(f"ALTER TABLE {cli.keyspace}.t DROP {column.split()[0]}")
    ok(cli("down", "1", *GO, env=OTHERS_KEPT))
    found = client.execute(f"SELECT a, d, s, l FROM {cli.keyspace}.t")
    got = {(r["a"], r["d"], tuple(r["s"] or ()), tuple(r["l"] or ())) for r in found}
    assert got == {(1, 1, (1, 2), (2, 1)), (2, None, (3,), (4,))}
    assert internal(client, cli) == []
