"""A statement that lands behind the run that took over, or behind an abort: the rows are in the
table, or in a second copy that `repair` brings them back from.
"""

from __future__ import annotations

from typing import Any

from tests.conftest import Address, Cli
from tests.server.test_half_way import ALL, filled
from tests.server.test_late import DROP, OTHERS, First, let_go
from tests.server.test_schedules import GO, insert, numbers
from tests.server.test_upkeep import internal
from tests.told import ok, told
from tests.wire import Fault

__all__ = ["filled"]


def test_no_abort_while_a_drop_may_still_land(filled: Cli, client: Any, server: Address) -> None:
    """It would drop the only other copy."""
    first = First(filled, server)
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        told(filled("abort", "--yes", env=OTHERS), 5, "may still arrive", "calldrop-migrate up")
        ok(filled("up", "2", *GO, env=OTHERS))
        let_go(tap)
    ok(filled("repair", "--restore", "--yes", env=OTHERS))
    assert numbers(client, filled) == ALL


def test_a_drop_that_lands_behind_a_run_that_brought_rows_back(
    filled: Cli, client: Any, server: Address
) -> None:
    ok(filled("up", "2", *GO, env=OTHERS))
    insert(client, filled, 0, "+3")  # the second call of one number at one moment
    ok(filled("down", "1", *GO, "--set-aside", env=OTHERS))
    first = First(filled, server)
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("up", "2", *GO, env=OTHERS))
        assert numbers(client, filled) == sorted([*ALL, "+10"])
        let_go(tap)
    ok(filled("repair", "--restore", "--yes", env=OTHERS))
    assert numbers(client, filled) == sorted([*ALL, "+10"])


def test_a_drop_that_lands_behind_a_way_back_from_base(
    filled: Cli, client: Any, server: Address
) -> None:
    """All rows were aside, and came into a table that was made just now."""
    first = First(filled, server)
    fault = Fault(1, "hold request", of=DROP)
    with first.begun(fault, "down", "base", *GO, "--set-aside") as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("down", "base", *GO, "--set-aside", env=OTHERS))
        ok(filled("up", "1", env=OTHERS))
        assert numbers(client, filled) == ALL
        let_go(tap)
    ok(filled("repair", "--restore", "--yes", env=OTHERS))
    assert numbers(client, filled) == ALL
    assert not [name for name in internal(client, filled) if "__aside_" in name]


def test_a_shadow_that_is_made_behind_an_abort(filled: Cli, client: Any, server: Address) -> None:
    first = First(filled, server)
    fault = Fault(1, "hold request", of=r"^CREATE TABLE call_records__0002")
    with first.begun(fault, "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(filled("abort", "--yes", env=OTHERS))
        let_go(tap)
    ok(filled("clean", "--yes", env=OTHERS))
    assert internal(client, filled) == []
