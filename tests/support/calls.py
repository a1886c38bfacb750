"""Calls of all kinds, written by an independent client: each cell with a write time and a life of
its own; and what they must be at another revision.
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from typing import Any

from tests.support import cells
from tests.support.bookkeeping import history
from tests.support.cells import Columns, Rows
from tests.support.cli import Cli
from tests.support.settings import OTHERS_KEPT
from tests.support.told import ok

# A TTL counts from when the server gets it: cells that are written late end late.
MINUTE = 60
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


def calls(client: Any, cli: Cli) -> tuple[Rows, Columns]:
    return cells.read(client, cli.keyspace), cells.columns(client, cli.keyspace, "call_records")


class Calls:
    """Revision 1 with calls, and what they must be at revision 2."""

    def __init__(self, cli: Cli, client: Any) -> None:
        self.cli, self.client = cli, client
        ok(cli("up", "1"))
        writer = Writer(client, cli.keyspace)
        write_mixed(writer, each=2)
        self.at_1, shape = calls(client, cli)
        self.at_2 = cells.by(self.at_1, shape, AT_2)

    def wanted(self, revision: int) -> Rows:
        if revision > 1:
            return self.at_2
        shape = cells.columns(self.client, self.cli.keyspace, "call_records")
        return cells.by(self.at_2, cells.Columns(AT_2, shape.regular), AT_1)

    def check(self, revision: int, *, perhaps_gone: bool = False) -> None:
        """Sees that nothing is lost, and the history is true; from the second copy if need be."""
        cli, number = self.cli, revision
        if perhaps_gone and cli("verify").code == 5:
            ok(cli("repair", "--restore", "--yes", env=OTHERS_KEPT))
        ok(cli("verify"))
        now, _ = calls(self.client, cli)
        times = {"earlier": 3 * cells.EARLIER, "later": MINUTE if perhaps_gone else cells.LATER}
        assert cells.differences(self.wanted(revision), now, **times) == []
        assert history(self.client, cli) == [(n, "SUCCEEDED") for n in range(1, number + 1)]
