"""A statement that lands behind the run that took over, or behind an abort: the rows are in the
table, or in a second copy that `repair` brings them back from.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.handful import ALL, insert, numbers
from tests.support.held import DROP, First, let_go
from tests.support.schema import internal
from tests.support.servers import Address
from tests.support.settings import GO, OTHERS_KEPT
from tests.support.told import ok, only, told
from tests.support.wire import Fault

pytestmark = pytest.mark.thorough


def test_no_abort_while_a_drop_may_still_land(filled: Cli, client: Any, server: Address) -> None:
    """It would drop the only other copy."""
    first = First(filled, server)
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        told(
            filled("abort", "--yes", env=OTHERS_KEPT), 5, "may still arrive", "calldrop-migrate up"
        )
        ok(filled("up", "2", *GO, env=OTHERS_KEPT))
        let_go(tap)
    ok(filled("repair", "--restore", "--yes", env=OTHERS_KEPT))
    assert numbers(client, filled) == ALL


def test_a_drop_that_lands_behind_a_run_that_brought_rows_back(
    filled: Cli, client: Any, server: Address
) -> None:
    ok(filled("up", "2", *GO, env=OTHERS_KEPT))
    insert(client, filled, 0, "+3")  # the second call of one number at one moment
    ok(filled("down", "1", *GO, "--set-aside", env=OTHERS_KEPT))
    first = First(filled, server)
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("up", "2", *GO, env=OTHERS_KEPT))
        assert numbers(client, filled) == sorted([*ALL, "+10"])
        let_go(tap)
    ok(filled("repair", "--restore", "--yes", env=OTHERS_KEPT))
    assert numbers(client, filled) == sorted([*ALL, "+10"])


def test_a_drop_that_lands_behind_a_way_back_from_base(
    filled: Cli, client: Any, server: Address
) -> None:
    """All rows were aside, and came into a table that was made just now."""
    first = First(filled, server)
    fault = Fault(1, "hold request", of=DROP)
    with first.begun(fault, "down", "base", *GO, "--set-aside") as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("down", "base", *GO, "--set-aside", env=OTHERS_KEPT))
        ok(filled("up", "1", env=OTHERS_KEPT))
        assert numbers(client, filled) == ALL
        let_go(tap)
    ok(filled("repair", "--restore", "--yes", env=OTHERS_KEPT))
    assert numbers(client, filled) == ALL
    assert not [name for name in internal(client, filled) if "__aside_" in name]


def test_a_shadow_that_is_made_behind_an_abort(filled: Cli, client: Any, server: Address) -> None:
    first = First(filled, server)
    fault = Fault(1, "hold request", of=r"^CREATE TABLE call_records__0002")
    with first.begun(fault, "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("abort", "--yes", env=OTHERS_KEPT))
        let_go(tap)
    ok(filled("clean", "--yes", env=OTHERS_KEPT))
    assert internal(client, filled) == []


T = "CREATE TABLE t (a int, b int, c int, d int, PRIMARY KEY (a, b));\n"
FEWER = "-- migrate:rebuild drop=d\nCREATE TABLE t (b int PRIMARY KEY, a int, c int);\n"
WITH_D = "-- migrate:rebuild\n" + T
D_LATER = (
    "-- migrate:rebuild\nCREATE TABLE t (a int, b int, c int, PRIMARY KEY (a, b));\n"
    "ALTER TABLE t ADD d int;\n"
)
DROP_T = Fault(1, "hold request", of=r"^DROP TABLE t\b")


@pytest.mark.parametrize("back", [WITH_D, D_LATER])
def test_rows_and_values_come_back_to_a_second_copy_too(
    cli: Cli, client: Any, server: Address, back: str
) -> None:
    """As far as it has the columns: one that is added behind the rebuild it has not."""
    only(
        cli,
        r0001_t=f"-- migrate:up\n{T}-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n{FEWER}-- migrate:down\n{back}",
    )
    ok(cli("up", "1"))
    every = {(1, 1, 1, 1), (2, 1, 2, 2), (3, 3, 3, 3)}
    for row in every:
        client.execute(f"INSERT INTO {cli.keyspace}.t (a, b, c, d) VALUES {row}")
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
    first = First(cli, server)
    with first.begun(DROP_T, "down", "1", *GO, "--set-aside") as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("down", "1", *GO, "--set-aside", env=OTHERS_KEPT))
        assert rows(client, cli) == every
        let_go(tap)
    ok(cli("repair", "--restore", "--yes", env=OTHERS_KEPT))
    known = 4 if back == WITH_D else 3
    assert {row[:known] for row in rows(client, cli)} == {row[:known] for row in every}


def rows(client: Any, cli: Cli) -> set[tuple[int, ...]]:
    return {
        (row["a"], row["b"], row["c"], row["d"])
        for row in client.execute(f"SELECT a, b, c, d FROM {cli.keyspace}.t")
    }
