"""Rebuilds of another table than CallDrop's: values of every type as they are, keys split and
renamed.

Bytes pass through uncoded, so what the driver can't even read arrives as it was: instants beyond
Python's calendar, and values of no length.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from cassandra.query import UNSET_VALUE
from cassandra.util import Date, Duration, Time

from tests.support import cells
from tests.support.cli import Cli, Result
from tests.support.servers import HAS_VECTORS

BEFORE = """CREATE TABLE samples (
    tenant text, sensor int, at timestamp, seq smallint,
    big bigint, small tinyint, num decimal, huge varint, ratio float, exact double, ok boolean,
    data blob, word ascii, id uuid, since timeuuid, day date, clock time, host inet, span duration,
    tags frozen<map<text, int>>, path frozen<list<text>>, seen frozen<set<int>>,
    pair tuple<int, text>, place frozen<spot>, embedding frozen<list<float>>, moment timestamp,
    PRIMARY KEY ((tenant, sensor), at, seq)
) WITH CLUSTERING ORDER BY (at DESC, seq ASC)"""
if HAS_VECTORS:
    BEFORE = BEFORE.replace("embedding frozen<list<float>>", "embedding vector<float, 3>")
# The most common reason to change a key: a partition that grows for ever is split by the day.
AFTER = (
    BEFORE.replace("tenant text, ", 'tenant text, on_day date, "Host" inet, ')
    .replace("host inet, ", "")
    .replace("((tenant, sensor), at, seq)", "((tenant, on_day), sensor, at, seq)")
    .replace("(at DESC, seq ASC)", "(sensor ASC, at DESC, seq ASC)")
)
FIRST = f"""-- migrate:up
CREATE TYPE spot (lat double, lon double);
{BEFORE};
-- migrate:down
DROP TABLE samples;
DROP TYPE spot;
"""
SECOND = f"""-- migrate:up
-- migrate:rebuild on_day=toDate(at) "Host"=host
{AFTER};
-- migrate:down
-- migrate:rebuild drop=on_day host="Host"
{BEFORE};
"""
VALUES: dict[str, list[object]] = {
    "big": [-(2**63), 0, 2**63 - 1],
    "small": [-128, 127],
    "num": [Decimal("-0.000000000000000000000001"), Decimal("1E+40"), Decimal(0)],
    "huge": [-(10**60), 0, 255, 256],
    "ratio": [0.1, -1.5, float("inf")],
    "exact": [5e-324, 1.7976931348623157e308],
    "ok": [True, False],
    "data": [b"", b"\0", bytes(range(256))],
    "word": ["", "plain"],
    "id": [UUID(int=0), UUID("5f0ae0a4-0000-4000-8000-00000000cafe")],
    "since": [UUID("13814000-1dd2-11b2-8080-808080808080")],
    "day": [Date("1969-12-31"), Date("9999-12-31")],
    "clock": [Time("23:59:59.999999999"), Time(0)],
    "host": ["127.0.0.1", "2001:db8::1"],
    "span": [Duration(1, 2, 3), Duration(0, 0, 0)],
    "tags": [{}, {"a": 1, "ü": -1}],
    "path": [[], ["x", ""]],
    "seen": [{3, 1, 2}],
    "pair": [(1, "a"), (None, "b")],
    "place": [(1.0, -2.0), (None, 0.5)],
    "embedding": [[0.25, -1.0, 3.5]],
}
BEYOND = 253_402_300_800_000  # milliseconds: the first instant of the year 10000
INSTANT = "blobAsBigint(timestampAsBlob({}))"
THROUGH = {"at": INSTANT, "moment": INSTANT, "ratio": "floatAsBlob({})"}


@pytest.fixture
def samples(cli: Cli) -> Cli:
    """A keyspace at revision 1 of these two."""
    folder = cli.folder / "migrations"
    for file in folder.iterdir():
        file.unlink()
    (folder / "0001_samples.cql").write_text(FIRST, encoding="utf-8")
    (folder / "0002_by_day.cql").write_text(SECOND, encoding="utf-8")
    done(cli("up", "1"))
    return cli


def done(result: Result) -> None:
    assert result.code == 0, f"exit {result.code}\n{result.err}\n{result.out}"


def write(client: Any, keyspace: str, rows: int) -> None:
    """Rows in a few partitions, each with most columns; some cells are written again, some end."""
    names = list(VALUES)
    instant = "blobAsTimestamp(bigintAsBlob(?))"
    insert = client.prepare(
        f"INSERT INTO {keyspace}.samples (tenant, sensor, at, seq, {', '.join(names)}) "
        f"VALUES (?, ?, {instant}, ?{', ?' * len(names)}) USING TIMESTAMP ? AND TTL ?"
    )
    update = client.prepare(
        f"UPDATE {keyspace}.samples USING TIMESTAMP ? AND TTL ? SET moment = {instant}, word = ? "
        f"WHERE tenant = ? AND sensor = ? AND at = {instant} AND seq = ?"
    )
    for n in range(rows):
        values = [
            VALUES[name][n % len(VALUES[name])] if (n * 7 + i) % 5 else UNSET_VALUE
            for i, name in enumerate(names)
        ]
        at = n * 43_200_000 if n % 9 else -BEYOND + n
        key = (f"t{n % 3}", n % 4, at, n % 7)
        client.execute(insert, [*key, *values, 1_000 + n, (0, 90_000)[n % 2]])
        client.execute(update, [5_000 + n, n % 4 * 7_000, BEYOND + n, "later", *key])
    empty = f"UPDATE {keyspace}.samples SET ratio = blobAsFloat(0x) WHERE tenant = 'none' "
    client.execute(f"{empty} AND sensor = 0 AND at = {BEYOND * 9} AND seq = 0")


@pytest.mark.journey
@pytest.mark.thorough
def test_every_type_through_a_new_partition_key_and_back(samples: Cli, client: Any) -> None:
    cli, keyspace = samples, samples.keyspace
    write(client, keyspace, rows=130)
    before = cells.read(client, keyspace, "samples", THROUGH)
    shape = cells.columns(client, keyspace, "samples")
    assert len(before) == 131

    done(cli("up", "--yes", "--outage-accepted"))
    by_day = cells.read(client, keyspace, "samples", THROUGH)
    for key, row in by_day.items():
        assert key[1] == Date(key[3] // 86_400_000)
        assert "host" not in row
    key_after = ("tenant", "sensor", "at", "seq")
    after = cells.by(
        by_day, cells.columns(client, keyspace, "samples"), key_after, leave={"on_day"}
    )
    renamed = {
        key: {"host" if n == "Host" else n: cell for n, cell in row.items()}
        for key, row in after.items()
    }
    assert cells.differences(before, renamed) == []

    done(cli("down", "1", "--yes", "--outage-accepted", "--discard-rows"))
    again = cells.read(client, keyspace, "samples", THROUGH)
    assert cells.columns(client, keyspace, "samples") == shape
    assert cells.differences(before, again, earlier=2 * cells.EARLIER) == []
