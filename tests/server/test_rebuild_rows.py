"""Rows through every revision and back, written and compared by an independent client: none lost,
no cell changed.

What can't be kept is asserted too: a column that is key in revision 2 has no write time there.
Coming back to revision 1 it shares what a row's marker gets: the oldest time among the row's other
cells, and the longest life.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from calldrop_migrate.engine.copying import SMALL
from tests.support import cells
from tests.support.calls import AT_1, AT_2, DAY, Writer, calls, write_mixed
from tests.support.cells import Cell, Rows
from tests.support.cli import Cli
from tests.support.sampling import sample
from tests.support.told import ok


@pytest.fixture
def first(cli: Cli) -> Cli:
    """A keyspace at revision 1."""
    assert cli("up", "1").code == 0
    return cli


@pytest.mark.thorough
def test_a_rebuild_can_be_held_up(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    ok(cli("seed", "--rows", "300", "--users", "20"))
    started = time.monotonic()
    ok(cli("up", "2", "--yes", "--outage-accepted", "--max-rows-per-second", "300"))
    # Read for the copy, for both sides of its proof, and all of it once more on the way back.
    assert time.monotonic() - started > 4
    ok(cli("verify"))
    assert client.execute(f"SELECT COUNT(*) AS n FROM {cli.keyspace}.call_records").one()["n"] > 250


@pytest.mark.parametrize("ways", sample(["up down", "up down up"]))
def test_up_down_up_keeps_every_cell(first: Cli, client: Any, ways: str) -> None:
    cli = first
    write_mixed(Writer(client, cli.keyspace), each=130)
    at_1, shape_1 = calls(client, cli)
    assert len(at_1) > SMALL  # more than one range
    lives = [cell.ends is None for row in at_1.values() for cell in row.values()]
    assert 0.2 < sum(lives) / len(lives) < 0.8

    refused = cli("up", "--yes")
    assert refused.code == 9
    assert "--outage-accepted" in refused.err
    assert cells.differences(at_1, calls(client, cli)[0]) == []

    ok(cli("up", "--yes", "--outage-accepted"))
    at_4, shape_4 = calls(client, cli)
    assert shape_4.key == AT_2
    assert ttl_of(client, cli) == 90 * DAY
    assert cells.differences(cells.by(at_1, shape_1, AT_2), at_4) == []

    refused = cli("down", "base", "--yes", "--outage-accepted")
    assert refused.code == 9
    assert "call_records has rows" in refused.err
    assert cells.differences(at_4, calls(client, cli)[0]) == []

    ok(cli("down", "1", "--yes", "--outage-accepted"))
    again_1, shape = calls(client, cli)
    assert shape.key == AT_1
    found = cells.differences(cells.by(at_4, shape_4, AT_1), again_1)
    assert found == []
    for key, row in again_1.items():
        check_returned_key(key, at_4, row)
    if ways == "up down":
        return

    ok(cli("up", "--yes", "--outage-accepted"))
    again_4, _ = calls(client, cli)
    assert cells.differences(at_4, again_4, earlier=2 * cells.EARLIER) == []
    # Two rebuilds more, and the first reading still holds.
    assert (
        cells.differences(cells.by(at_1, shape_1, AT_2), again_4, earlier=3 * cells.EARLIER) == []
    )


def check_returned_key(key: cells.Key, at_4: Rows, row: dict[str, Cell]) -> None:
    """`destination_number` is a cell again: oldest time, longest life among the others."""
    returned = row["destination_number"]
    others = at_4[key[0], returned.value, key[1]].values()
    if not others:
        assert (returned.written, returned.ends) == (1, None)
        return
    assert returned.written == min(cell.written or 0 for cell in others)
    ends = [cell.ends for cell in others]
    if None in ends:
        assert returned.ends is None
    else:
        assert returned.ends == pytest.approx(max(e for e in ends if e is not None), abs=3)


def ttl_of(client: Any, cli: Cli) -> int:
    asked = (
        "SELECT default_time_to_live AS ttl FROM system_schema.tables "
        "WHERE keyspace_name = %s AND table_name = 'call_records'"
    )
    return int(client.execute(asked, (cli.keyspace,)).one()["ttl"])
