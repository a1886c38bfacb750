"""A CAST into a wider type loses nothing: no flag is asked for, and each cell keeps its write time
and its life.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from cassandra import InvalidRequest

from tests.support import cells
from tests.support.casts import EXACT
from tests.support.cli import Cli
from tests.support.settings import GO
from tests.support.told import ok, only, told, until

WRITTEN = 1_700_000_000_000_000  # microseconds
VALUES: dict[str, list[Any]] = {
    "tinyint": [-128, 127, 0],
    "smallint": [-32768, 32767, 0],
    "int": [-(2**31), 2**31 - 1, 2**24 + 1],
    "bigint": [-(2**63), 2**63 - 1, 2**53 + 1],
    "varint": [-(10**40), 10**40, 0],
    "float": [0.1, 3.4028234663852886e38, 1.401298464324817e-45],
    "double": [0.1, 5e-324, 1.7976931348623157e308],
    "decimal": [Decimal("1.10"), Decimal("1E+30"), Decimal("-0.000001")],
    "ascii": ["a", "", "b"],
    "text": ["a", "", "ü"],
}
PAIRS = sorted((n, m) for n, m in EXACT if n in VALUES)


def rebuilt(cli: Cli, before: str, after: str, words: str) -> None:
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TABLE t {before};\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n-- migrate:rebuild {words}\nCREATE TABLE t {after};\n"
        f"-- migrate:irreversible nobody asks\n",
    )
    ok(cli("up", "1"))


def test_every_cast_that_loses_nothing_keeps_values_and_times(cli: Cli, client: Any) -> None:
    columns = ", ".join(f"{name} {name}" for name in VALUES)
    after = ", ".join(f"{n}_{m} {m}" for n, m in PAIRS)
    kept = "double double, decimal decimal, text text"
    words = " ".join(f"{n}_{m}=CAST({n} AS {m})" for n, m in PAIRS)
    before = f"(k int, c int, s int STATIC, {columns}, PRIMARY KEY (k, c))"
    after = f"(k bigint, c bigint, s bigint STATIC, {kept}, {after}, PRIMARY KEY (k, c))"
    own = "k=CAST(k AS bigint) c=CAST(c AS bigint) s=CAST(s AS bigint)"
    rebuilt(cli, before, after, f"{own} {words}")
    table = f"{cli.keyspace}.t"
    for at in range(3):
        for nth, (name, values) in enumerate(VALUES.items()):
            client.execute(
                f"UPDATE {table} USING TIMESTAMP {WRITTEN + nth} AND TTL {(0, 900 + nth)[nth % 2]} "
                f"SET {name} = %s WHERE k = 1 AND c = {at}",
                [values[at]],
            )
        client.execute(f"UPDATE {table} USING TIMESTAMP 77 AND TTL 800 SET s = {at} WHERE k = {at}")
    was, was_static = (read(client, cli.keyspace, "t") for read in (cells.read, cells.read_statics))
    assert "does not take" not in ok(cli("plan", "--outage-accepted"))
    ok(cli("up", *GO))
    now, now_static = (read(client, cli.keyspace, "t") for read in (cells.read, cells.read_statics))
    wanted = {
        key: {f"{n}_{m}": row[n] for n, m in PAIRS}
        | {name: row[name] for name in ("double", "decimal", "text")}
        for key, row in was.items()
    }
    assert cells.differences(wanted, now) == []
    assert cells.differences(was_static, now_static) == []


@pytest.mark.thorough
def test_what_is_changed_while_it_is_copied(cli: Cli, client: Any) -> None:
    """The comparison goes the other way round, too."""
    shape = "(k int, c int, v {}, w {}, PRIMARY KEY ({}))"
    words = "v=CAST(v AS bigint) w=CAST(w AS double)"
    before, after = shape.format("int", "float", "k, c"), shape.format("bigint", "double", "c, k")
    rebuilt(cli, before, after, words)
    table = f"{cli.keyspace}.t"
    for c in range(20):
        client.execute(f"INSERT INTO {table} (k, c, v, w) VALUES (1, {c}, {c}, 0.1)")
    run = cli.begin("pause 6 | after | COPY t", "up", *GO)
    until(lambda: copied(client, cli) == 20)
    client.execute(f"DELETE FROM {table} WHERE k = 1 AND c = 3")
    client.execute(f"DELETE v FROM {table} WHERE k = 1 AND c = 4")
    client.execute(f"UPDATE {table} SET v = 77 WHERE k = 1 AND c = 5")
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err + out
    rows = {r["c"]: (r["v"], r["w"]) for r in client.execute(f"SELECT c, v, w FROM {table}")}
    tenth = rows[0][1]
    assert rows == {c: (c, tenth) for c in range(20) if c != 3} | {4: (None, tenth), 5: (77, tenth)}


def copied(client: Any, cli: Cli) -> int:
    """Rows of the shadow."""
    names = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    for row in client.execute(names, (cli.keyspace,)):
        if row["table_name"].startswith("t__0002"):
            table = f"{cli.keyspace}.{row['table_name']}"
            with suppress(InvalidRequest):  # it is listed a moment before it can be read
                return int(client.execute(f"SELECT COUNT(*) AS n FROM {table}").one()["n"])
    return 0


@pytest.mark.thorough
def test_what_loses_something_needs_a_flag(cli: Cli, client: Any) -> None:
    rebuilt(cli, "(k int PRIMARY KEY, v bigint)", "(k int PRIMARY KEY, v int)", "v=CAST(v AS int)")
    client.execute(f"INSERT INTO {cli.keyspace}.t (k, v) VALUES (1, 1)")
    told(cli("up", *GO), 9, "they would be deleted", out=True)


@pytest.mark.thorough
def test_an_expression_must_give_the_type_that_the_column_has(cli: Cli, client: Any) -> None:
    """Four bytes of a date would be an int."""
    before, after = "(k int PRIMARY KEY, at timestamp)", "(k int PRIMARY KEY, at timestamp, d int)"
    rebuilt(cli, before, after, "d=toDate(at)")
    client.execute(f"INSERT INTO {cli.keyspace}.t (k, at) VALUES (1, 0)")
    told(cli("up", *GO), 9, "t: `d=toDate(at)` gives date, and the new d is int", out=True)
    assert cli.json("status")["current"] == 1
    assert len(cells.read(client, cli.keyspace, "t")) == 1
