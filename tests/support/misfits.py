"""Calls that fit into one of the shapes only, and where they are while they don't."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from tests.support import cells
from tests.support.calls import BASE, DAY, NEW_YEAR, Writer
from tests.support.cells import Rows
from tests.support.cli import Cli
from tests.support.schema import tables_in

WITHOUT = "call_records__aside_0002_up"  # of the way up: rows without a destination
DOUBLE = "call_records__aside_0002"  # of the way down: rows whose key a newer one has


def write_without_destination(writer: Writer, count: int) -> None:
    for n in range(count):
        key = writer.key()
        writer.insert(key, BASE + n, writer.random.choice([0, 40 * DAY]), **writer.some(3))
        writer.update(key, BASE + 50 + n, 400 * DAY, **writer.some(1))
        if n % 5 == 0:
            # had a destination once
            writer.update(key, BASE + 1, 0, destination_number="+1")
            writer.delete(key, BASE + 2, "destination_number")
    writer.wait()


def asides(client: Any, cli: Cli, name: str) -> list[str]:
    """Tables of that name, or numbered: one whose DROP a killed run has sent is not made again."""
    return [t for t in sorted(tables_in(client, cli)) if re.fullmatch(rf"{name}(_\d+)?", t)]


def read_asides(client: Any, cli: Cli, name: str) -> Rows:
    found: Rows = {}
    for table in asides(client, cli, name):
        found |= cells.read(client, cli.keyspace, table)
    return found


def write_collisions(client: Any, cli: Cli, groups: int) -> None:
    """At revision 2 or above: `groups` of three calls of one phone at one moment."""
    insert = client.prepare(
        f"INSERT INTO {cli.keyspace}.call_records (source_phone_number, destination_number, "
        "call_timestamp, call_duration_seconds, source_phone_imei) VALUES (?, ?, ?, ?, ?) "
        "USING TIMESTAMP ? AND TTL ?"
    )
    for n in range(groups):
        moment = NEW_YEAR + timedelta(seconds=n)
        for m in range(3):
            written = BASE + 1000 * n + (10 * m if n % 2 else -10 * m)
            values = [f"+{n % 7}", f"d{m}", moment, n, f"imei {m}", written, (0, 9 * DAY)[n % 2]]
            client.execute(insert, values)
    # Newer by one cell only, and of keys alone but for that.
    moment = NEW_YEAR + timedelta(days=1)
    client.execute(insert, ["+0", "a", moment, 1, "old", BASE, 0])
    client.execute(insert, ["+0", "b", moment, 2, "new", BASE - 5, 0])
    client.execute(
        f"UPDATE {cli.keyspace}.call_records USING TIMESTAMP {BASE + 5} SET call_completed = true "
        "WHERE source_phone_number = '+0' AND destination_number = 'b' AND call_timestamp = %s",
        [moment],
    )


def newest_of_each(rows: Rows) -> Rows:
    groups: dict[cells.Key, list[cells.Key]] = {}
    for key in rows:
        groups.setdefault((key[0], key[2]), []).append(key)
    best = [
        max(keys, key=lambda k: (max((c.written or 0 for c in rows[k].values()), default=0), k))
        for keys in groups.values()
    ]
    return {key: rows[key] for key in best}


def without_times_of(rows: Rows, column: str) -> Rows:
    """A column that was key meanwhile: its value alone is kept."""
    return {
        key: {n: cells.Cell(c.value, None) if n == column else c for n, c in row.items()}
        for key, row in rows.items()
    }
