"""A rebuilt row has the time and the life of all its cells, also of those that are left behind or
computed from: one that ends goes on to end, and what it was takes the place of what was made of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.sampling import sample
from tests.support.settings import GO_ASIDE
from tests.support.told import ok, only, until

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


def given(cli: Cli, client: Any, case: str, *lives: str) -> str:
    """A keyspace at revision 1 with a row for each USING; the table's full name."""
    before, after, up, down, value = CASES[case]
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TABLE t {before};\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n-- migrate:rebuild {up}\nCREATE TABLE t {after};\n"
        f"-- migrate:down\n-- migrate:rebuild {down}\nCREATE TABLE t {before};\n",
    )
    ok(cli("up", "1"))
    t = f"{cli.keyspace}.t"
    columns, row = ("id, g, v", "%s, 1, %s") if "g int" in before else ("id, v", "%s, %s")
    for number, using in enumerate(lives, 1):
        client.execute(f"INSERT INTO {t} ({columns}) VALUES ({row}) USING {using}", (number, value))
    return t


@pytest.mark.parametrize("case", sample(CASES))
def test_a_row_ends_as_its_cells_did(cli: Cli, client: Any, case: str) -> None:
    t = given(cli, client, case, "TIMESTAMP 1000 AND TTL 600", "TIMESTAMP 2000")
    was = {r["id"]: r["v"] for r in client.execute(f"SELECT id, v FROM {t}")}
    said = ok(cli("up", *GO_ASIDE))
    assert "keys alone" not in said, said
    ok(cli("down", "1", *GO_ASIDE))
    cql = f"SELECT id, v, WRITETIME(v) AS at, TTL(v) AS s FROM {t}"
    found = {r["id"]: r for r in client.execute(cql)}
    assert {number: r["v"] for number, r in found.items()} == was
    assert [found[number]["at"] for number in (1, 2)] == [1000, 2000]
    assert found[2]["s"] is None
    assert 0 < found[1]["s"] <= 600


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["a narrower type", "left behind, with another key"])
def test_a_row_that_has_ended_stays_away(cli: Cli, client: Any, case: str) -> None:
    t = given(cli, client, case, "TTL 25", "TTL 0")
    ok(cli("up", *GO_ASIDE))
    until(lambda: [r["id"] for r in client.execute(f"SELECT id FROM {t}")] == [2])
    ok(cli("down", "1", *GO_ASIDE))
    assert [r["id"] for r in client.execute(f"SELECT id FROM {t}")] == [2]
