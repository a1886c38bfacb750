"""Rows through every revision and back, written and compared by an independent client: none lost,
no cell changed.

What can't be kept is asserted too: a column that is key in revision 2 has no write time there.
Coming back to revision 1 it shares what a row's marker gets: the oldest time among the row's other
cells, and the longest life.
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from calldrop_migrate.engine.copying import SMALL
from tests.conftest import Cli
from tests.support import cells
from tests.support.cells import Cell, Columns, Rows
from tests.support.told import ok

DAY = 86_400
BASE = 1_700_000_000_000_000  # microseconds
NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 (as the driver gives it back: in UTC)
AT_1 = ("source_phone_number", "call_timestamp")
AT_2 = ("source_phone_number", "destination_number", "call_timestamp")
CELLS = (
    *("call_duration_seconds", "source_cell_tower_id", "destination_cell_tower_id"),
    *("call_completed", "source_phone_imei"),
)
TEXTS = ("", "TOWER-017", "башня", "塔\u0000𝄞", "'; --", "  ")


class Writer:
    """Writes calls in the shape of revision 1, with a write time and TTL for each cell."""

    def __init__(self, client: Any, keyspace: str, seed: int = 20_26) -> None:
        self.random = random.Random(seed)
        self._client = client
        self._table = f"{keyspace}.call_records"
        self._sent: list[Any] = []
        self._made = 0

    def key(self, phones: int = 17) -> tuple[str, datetime]:
        """A new one."""
        self._made += 1
        phone = f"+1234567{self._made % phones:04d}"
        return phone, NEW_YEAR + timedelta(minutes=7 * self._made, milliseconds=self._made % 1000)

    def value(self, column: str) -> object:
        if column == "call_duration_seconds":
            return self.random.choice([0, 1, -1, 2**31 - 1, self.random.randrange(7200)])
        if column == "call_completed":
            return self.random.random() < 0.85
        if column == "destination_number":
            return self.random.choice(["+4930", "", "+1999", "номер", f"+{self._made}"])
        return self.random.choice(TEXTS)

    def insert(self, key: tuple[object, ...], written: int, ttl: int = 0, **values: object) -> None:
        names = [*AT_1, *values]
        marks = ", ".join(["%s"] * len(names))
        self._send(
            f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({marks}) "
            "USING TIMESTAMP %s AND TTL %s",
            [*key, *values.values(), written, ttl],
        )

    def update(self, key: tuple[object, ...], written: int, ttl: int = 0, **values: object) -> None:
        sets = ", ".join(f"{name} = %s" for name in values)
        self._send(
            f"UPDATE {self._table} USING TIMESTAMP %s AND TTL %s SET {sets} "
            "WHERE source_phone_number = %s AND call_timestamp = %s",
            [written, ttl, *values.values(), *key],
        )

    def delete(self, key: tuple[object, ...], written: int, *names: str) -> None:
        self._send(
            f"DELETE {', '.join(names)} FROM {self._table} USING TIMESTAMP %s "
            "WHERE source_phone_number = %s AND call_timestamp = %s",
            [written, *key],
        )

    def _send(self, cql: str, values: list[object]) -> None:
        self._sent.append(self._client.execute_async(cql, values))
        if len(self._sent) == 64:
            self.wait()

    def wait(self) -> None:
        """Until all is acknowledged."""
        while self._sent:
            self._sent.pop(0).result()

    def some(self, count: int = 5) -> dict[str, object]:
        """Values for some of the cells."""
        return {name: self.value(name) for name in self.random.sample(CELLS, count)}


def write_mixed(writer: Writer, each: int = 45) -> None:
    """Rows of all kinds, `each` of every one; all have a destination."""
    lives = (0, 0, 900, 40 * DAY, 400 * DAY)
    for n in range(each):
        made = BASE + n * 1_000
        pick = writer.random.choice

        def to() -> dict[str, object]:
            return {"destination_number": writer.value("destination_number")}

        # plain, one write; some without all columns
        writer.insert(writer.key(), made, pick(lives), **to(), **writer.some(5))
        writer.insert(writer.key(), made, pick(lives), **to(), **writer.some(2))
        # each cell with a time and a life of its own
        key = writer.key()
        writer.insert(key, made, pick(lives), **to())
        for at, (name, value) in enumerate(writer.some(5).items()):
            writer.update(key, made + at * 37, pick(lives), **{name: value})
            writer.update(key, made - 5_000, pick(lives), **{name: value})  # superseded
        # keys alone from revision 2 on, and there it can't be read when they end
        writer.insert(writer.key(), made, 0, **to())
        # no marker: made by UPDATE alone
        writer.update(writer.key(), made, pick(lives), **to(), **writer.some(3))
        # cells that are gone by now: deleted, and expired
        key = writer.key()
        writer.insert(key, made, pick(lives), **to(), **writer.some(5))
        writer.delete(key, made + 10, *writer.random.sample(CELLS, 2))
        key = writer.key()
        writer.insert(key, made, 0, **to(), **writer.some(4))
        writer.update(key, made + 10, 1, **writer.some(2))
        # written again after its deletion
        key = writer.key()
        writer.insert(key, made, 0, **to(), **writer.some(5))
        writer.delete(key, made + 10, *CELLS)
        writer.update(key, made + 20, pick(lives), **writer.some(1))
    writer.wait()
    time.sleep(1.2)  # until what lives a second has expired


@pytest.fixture
def first(cli: Cli) -> Cli:
    """A keyspace at revision 1."""
    assert cli("up", "1").code == 0
    return cli


def calls(client: Any, cli: Cli) -> tuple[Rows, Columns]:
    return cells.read(client, cli.keyspace), cells.columns(client, cli.keyspace, "call_records")


def test_a_rebuild_can_be_held_up(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    ok(cli("seed", "--rows", "300", "--users", "20"))
    started = time.monotonic()
    ok(cli("up", "2", "--yes", "--outage-accepted", "--max-rows-per-second", "300"))
    # Read for the copy, for both sides of its proof, and all of it once more on the way back.
    assert time.monotonic() - started > 4
    ok(cli("verify"))
    assert client.execute(f"SELECT COUNT(*) AS n FROM {cli.keyspace}.call_records").one()["n"] > 250


def test_up_down_up_keeps_every_cell(first: Cli, client: Any) -> None:
    cli = first
    write_mixed(Writer(client, cli.keyspace), each=160)
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
