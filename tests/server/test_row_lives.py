"""A rebuilt row has the time and the life of all its cells, also of those that are left behind or
computed from: one that ends goes on to end, and what it was takes the place of what was made of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Cli
from tests.told import ok, only, until

GO = ("--yes", "--outage-accepted", "--set-aside")
CASES: dict[str, tuple[str, str, str, str, Any]] = {
    "a narrower type": (
        "(id int PRIMARY KEY, v bigint)",
        "(id int PRIMARY KEY, v int)",
        "v=CAST(v AS int)",
        "v=CAST(v AS bigint)",
        -5_000_000_000,
    ),
    "a day of a time": (
        "(id int PRIMARY KEY, v timestamp)",
        "(id int PRIMARY KEY, d date)",
        "d=toDate(v) drop=v",
        "v=toTimestamp(d) drop=d",
        "2026-01-02 13:14:15+0000",
    ),
    "left behind": (
        "(id int PRIMARY KEY, v text)",
        "(id int PRIMARY KEY, w text)",
        "drop=v",
        "drop=w",
        "x",
    ),
    "left behind, with another key": (
        "(id int, g int, v text, PRIMARY KEY (id, g))",
        "(id int, g int, PRIMARY KEY (g, id))",
        "drop=v",
        "",
        "x",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_row_ends_as_its_cells_did(cli: Cli, client: Any, case: str) -> None:
    before, after, up, down, value = CASES[case]
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TABLE t {before};\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n-- migrate:rebuild {up}\nCREATE TABLE t {after};\n"
        f"-- migrate:down\n-- migrate:rebuild {down}\nCREATE TABLE t {before};\n",
    )
    ok(cli("up", "1"))
    t, key = f"{cli.keyspace}.t", "id, g" if "g int" in before else "id"
    row = "%s, 1, %s" if "g int" in before else "%s, %s"
    insert = f"INSERT INTO {t} ({key}, v) VALUES ({row}) USING TIMESTAMP"
    client.execute(f"{insert} 1000 AND TTL 60", (1, value))
    client.execute(f"{insert} 2000", (2, value))
    was = {r["id"]: r["v"] for r in client.execute(f"SELECT id, v FROM {t}")}
    said = ok(cli("up", *GO))
    assert "keys alone" not in said, said
    if "w text" in after:  # what somebody adds to a row that ends has its own life
        client.execute(f"INSERT INTO {t} (id, w) VALUES (3, 'w')")
    ok(cli("down", "1", *GO))
    found = {
        r["id"]: r
        for r in client.execute(f"SELECT id, v, WRITETIME(v) AS at, TTL(v) AS s FROM {t}")
    }
    assert found[2]["v"] == was[2]
    assert (found[2]["at"], found[2]["s"]) == (2000, None)
    if 1 in found:
        assert found[1]["v"] == was[1]
        assert found[1]["at"] == 1000
        assert 0 < found[1]["s"] <= 60


@pytest.mark.parametrize("case", ["a narrower type", "left behind, with another key"])
def test_a_row_that_has_ended_stays_away(cli: Cli, client: Any, case: str) -> None:
    before, after, up, down, value = CASES[case]
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TABLE t {before};\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n-- migrate:rebuild {up}\nCREATE TABLE t {after};\n"
        f"-- migrate:down\n-- migrate:rebuild {down}\nCREATE TABLE t {before};\n",
    )
    ok(cli("up", "1"))
    t, key = f"{cli.keyspace}.t", "id, g" if "g int" in before else "id"
    row = "%s, 1, %s" if "g int" in before else "%s, %s"
    insert = f"INSERT INTO {t} ({key}, v) VALUES ({row}) USING TTL"
    client.execute(f"{insert} 0", (2, value))
    client.execute(f"{insert} 25", (1, value))
    ok(cli("up", *GO))
    until(lambda: [r["id"] for r in client.execute(f"SELECT id FROM {t}")] == [2])
    ok(cli("down", "1", *GO))
    assert [r["id"] for r in client.execute(f"SELECT id FROM {t}")] == [2]
