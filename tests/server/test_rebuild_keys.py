"""Keys of the new shape: two that differ in bytes and are one for the server, one that it refuses;
and a row that it refuses for another reason. Counted and named, set aside and brought back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tests.support import cells
from tests.support.asking import is_scylla
from tests.support.cli import Cli
from tests.support.raw_values import prepared, raw_rows
from tests.support.sampling import sample
from tests.support.servers import HAS_VECTORS
from tests.support.settings import GO, QUICK
from tests.support.told import ok, only, told, until
from tests.support.values import NATIVE, decimal, sized, varint


def revisions(cli: Cli, shapes: Mapping[str, tuple[str, str]], types: str = "") -> None:
    """Revision 1 makes tables, revision 2 rebuilds them, and back, by their shapes."""
    make = {n: [f"CREATE TABLE {n} {shape};\n" for shape in both] for n, both in shapes.items()}
    first, drop = (
        "".join(b for b, _ in make.values()),
        "".join(f"DROP TABLE {n};\n" for n in shapes),
    )
    drop += "".join(f"DROP TYPE {name};\n" for name in re.findall(r"CREATE TYPE (\w+)", types))
    up, down = ("".join(f"-- migrate:rebuild\n{m[at]}" for m in make.values()) for at in (1, 0))
    only(
        cli,
        r0001_t=f"-- migrate:up\n{types}{first}-- migrate:down\n{drop}",
        r0002_t=f"-- migrate:up\n{up}-- migrate:down\n{down}",
    )
    ok(cli("up", "1"))


def tables(client: Any, cli: Cli) -> set[str]:
    names = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    return {row["table_name"] for row in client.execute(names, (cli.keyspace,))}


# What a table has of which nothing may be lost: bytes, and write times.
def all_of(client: Any, cli: Cli, table: str) -> Counter[tuple[bytes | None, ...]]:
    if table not in tables(client, cli):
        return Counter()
    names = [
        row["column_name"]
        for row in client.execute(
            "SELECT column_name FROM system_schema.columns WHERE keyspace_name = %s"
            " AND table_name = %s",
            (cli.keyspace, table),
        )
    ]
    selected = ", ".join([*sorted(names), "WRITETIME(v)"])
    rows = raw_rows(client, f"SELECT {selected} FROM {cli.keyspace}.{table}")
    return Counter(tuple(row.values()) for row in rows)


# -- keys that compare equal -----------------------------------------------------------------------

AMOUNT = "(amount decimal, shop text, v text, PRIMARY KEY ({}))"
BY_SHOP = {"grants": (AMOUNT.format("amount, shop"), AMOUNT.format("shop, amount"))}


def fill_grants(client: Any, cli: Cli) -> None:
    """Two rows that become one, twice: of the second nothing but the key's bytes differs."""
    rows = [("1.0", "a", "null"), ("1.00", "a", "null"), ("7.5", "b", "'x'"), ("7.50", "b", "'x'")]
    insert = f"INSERT INTO {cli.keyspace}.grants (amount, shop, v) VALUES "
    inserts = "".join(f"{insert} ({amount}, '{shop}', {v}); " for amount, shop, v in rows)
    client.execute(f"BEGIN UNLOGGED BATCH {inserts} APPLY BATCH")


@pytest.mark.thorough
def test_keys_that_compare_equal_and_differ_in_bytes(cli: Cli, client: Any) -> None:
    """As a partition key bytes count, as a clustering key the value does."""
    revisions(cli, BY_SHOP)
    fill_grants(client, cli)
    before = all_of(client, cli, "grants")
    assert len(before) == 4
    for command in (("plan",), ("up", *GO)):
        said = told(cli(*command), 9, "2 rows share their key in the new shape", out=True)
        assert re.search(r"1\.0+  'a'  \(newer: 1\.0+  'a'\)", said)
    ok(cli("up", *GO, "--set-aside"))
    now, aside = (all_of(client, cli, name) for name in ("grants", "grants__aside_0002_up"))
    assert (len(now), len(aside)) == (2, 2)
    assert now + aside == before
    ok(cli("down", "1", *GO))
    assert all_of(client, cli, "grants") == before


@pytest.mark.parametrize("flag", sample(["--set-aside", "--discard-rows"]))
def test_rows_are_counted_before_a_drop(cli: Cli, client: Any, flag: str) -> None:
    """Were everything else wrong about which keys are one, nothing would be dropped."""
    revisions(cli, BY_SHOP)
    fill_grants(client, cli)
    before = all_of(client, cli, "grants")
    said = cli.changed("blind", "up", *GO, flag)
    told(said, 9, "grants has 4 rows", "grants__0002_", " 2", "Nothing was dropped.", out=True)
    assert all_of(client, cli, "grants") == before
    ok(cli("abort", "--yes"))
    ok(cli("up", *GO, "--set-aside"))
    now, aside = (all_of(client, cli, name) for name in ("grants", "grants__aside_0002_up"))
    assert now + aside == before


@pytest.mark.thorough
def test_the_newest_is_kept_where_rows_are_discarded(cli: Cli, client: Any) -> None:
    revisions(cli, BY_SHOP)
    for at, amount in enumerate(("1.0", "1.00", "1.000", "2")):
        client.execute(
            f"INSERT INTO {cli.keyspace}.grants (amount, shop, v) VALUES ({amount}, 'a', '{at}')"
        )
    said = ok(cli("up", *GO, "--discard-rows"))
    assert "2 rows of grants are deleted for good (--discard-rows)" in said
    found = client.execute(f"SELECT amount, v FROM {cli.keyspace}.grants")
    assert {(row["amount"], row["v"]) for row in found} == {(Decimal(1), "2"), (Decimal(2), "3")}


# By type: values, and how many of them are one key. test_key_order.py has all types.
EQUAL = {
    "double": (3, [*NATIVE["double"][-3:], *NATIVE["double"][1:3]]),
    "frozen<spot>": (
        2,
        [sized(v) for v in ([decimal(1, 0)], [decimal(10, 1), None], [None, b"x"])],
    ),
}
if HAS_VECTORS:
    padded = (varint(1), varint(1, padding=3), b"2")
    EQUAL["vector<varint, 1>"] = (2, [bytes([len(v)]) + v for v in padded])


@pytest.mark.thorough
def test_what_compares_equal_in_other_types(cli: Cli, client: Any) -> None:
    shape = "(k {}, c int, v int, PRIMARY KEY ({}))".format
    shapes = {f"t{n}": (shape(k, "k, c"), shape(k, "c, k")) for n, k in enumerate(EQUAL)}
    revisions(cli, shapes, "CREATE TYPE spot (amount decimal, name text);\n")
    for name, (_, values) in zip(shapes, EQUAL.values(), strict=True):
        insert = prepared(client, f"INSERT INTO {cli.keyspace}.{name} (k, c, v) VALUES (?, ?, ?)")
        for at, value in enumerate(values):
            client.execute(insert, [value, b"\0\0\0\1", bytes([0, 0, 0, at])])
    before = {name: all_of(client, cli, name) for name in shapes}
    said = told(cli("up", *GO), 9, out=True)
    ok(cli("up", *GO, "--set-aside"))
    for name, (equal, values) in zip(shapes, EQUAL.values(), strict=True):
        now, aside = (all_of(client, cli, table) for table in (name, f"{name}__aside_0002_up"))
        assert len(before[name]) == len(values), name
        assert len(aside) == equal - 1, name
        assert now + aside == before[name], name
        assert f"{name}: {equal - 1} rows share their key" in said
    ok(cli("down", "1", *GO))
    assert {name: all_of(client, cli, name) for name in shapes} == before


# -- keys that are refused -------------------------------------------------------------------------

SHAPE = "(id int, a text, b text, v int, PRIMARY KEY ({}))"
# By the new key: sizes of a and b in the one row that doesn't fit, and in one that does.
REFUSED = {
    "a": ((0, 1), (1, 1), "its partition key would be empty"),
    "(a, b)": ((33_000, 33_000), (0, 0), "its partition key would take 66,006 bytes"),
    "id, a, b": ((33_000, 33_000), (33_000, 0), "its clustering key would take 66,000 bytes"),
}


@pytest.mark.thorough
def test_a_key_that_the_server_refuses_is_one_that_does_not_fit(cli: Cli, client: Any) -> None:
    keys = {f"t{at}": key for at, key in enumerate(REFUSED)}
    revisions(cli, {name: (SHAPE.format("id"), SHAPE.format(key)) for name, key in keys.items()})
    for name, key in keys.items():
        insert = client.prepare(
            f"INSERT INTO {cli.keyspace}.{name} (id, a, b, v) VALUES (?, ?, ?, 1)"
        )
        for at, (a, b) in enumerate(REFUSED[key][:2]):
            client.execute(insert, [at, "x" * a, "x" * b])
    before = {name: all_of(client, cli, name) for name in keys}
    cassandra = not is_scylla(client)
    for command in (("plan",), ("up", *GO)):
        said = told(cli(*command), 9, out=True)
        for name, key in keys.items():
            assert f"{name}: 1 rows would have a key that the server refuses" in said
            # ScyllaDB counts the bytes in its own way.
            assert not cassandra or f"0  ({REFUSED[key][2]}" in said
    ok(cli("up", *GO, "--set-aside"))
    for name in keys:
        now, aside = (all_of(client, cli, table) for table in (name, f"{name}__aside_0002_up"))
        assert (len(now), len(aside)) == (1, 1)
    ok(cli("down", "1", *GO))
    assert {name: all_of(client, cli, name) for name in keys} == before


@pytest.mark.thorough
def test_the_copy_sees_what_came_after_the_search(cli: Cli, client: Any) -> None:
    revisions(cli, {"t": (SHAPE.format("id"), SHAPE.format("a"))})
    for at, text in enumerate(("x", "y")):
        client.execute(f"INSERT INTO {cli.keyspace}.t (id, a, v) VALUES ({at}, '{text}', 1)")
    run = cli.begin("pause 6 | before | COPY t", "up", *GO, env=QUICK)
    until(lambda: shadows(client, cli))
    client.execute(f"INSERT INTO {cli.keyspace}.t (id, a, v) VALUES (7, '', 1)")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 9, err + out
    assert "t: 1 rows do not fit into the new shape" in err
    assert "7  (its partition key would be empty)" in err
    ok(cli("up", *GO, "--discard-rows", env=QUICK))
    assert set(cells.read(client, cli.keyspace, "t")) == {("x",), ("y",)}


# -- rows that are refused -------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.cassandra_only(
    "with a long value a ScyllaDB fails to write an index's view: no refusal"
)
def test_a_row_that_the_server_refuses_is_named(cli: Cli, client: Any) -> None:
    """An index can't take a long value; what else the server says no to is told the same way."""
    shape = "(id int, a int, v text, PRIMARY KEY ({}))"
    revisions(cli, {"t": (shape.format("id"), shape.format("a, id"))})
    for at in range(40):
        client.execute(f"INSERT INTO {cli.keyspace}.t (id, a, v) VALUES ({at}, 1, 'x')")
    long = client.prepare(f"INSERT INTO {cli.keyspace}.t (id, a, v) VALUES (7, 1, ?)")
    client.execute(long, ["x" * 70_000])
    before = cells.read(client, cli.keyspace, "t")

    run = cli.begin("pause 6 | before | COPY t", "up", *GO, env=QUICK)
    until(lambda: shadows(client, cli))
    (shadow,) = shadows(client, cli)
    client.execute(f"CREATE INDEX late ON {cli.keyspace}.{shadow} (v)")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 7, err + out
    assert "t: the server refuses the row 7: Cannot index value of size 70000" in err
    assert cells.differences(before, cells.read(client, cli.keyspace, "t")) == []
    client.execute(f"DROP INDEX {cli.keyspace}.late")
    ok(cli("up", *GO, env=QUICK))
    assert len(cells.read(client, cli.keyspace, "t")) == 40
    assert cells.columns(client, cli.keyspace, "t").key == ("a", "id")


def shadows(client: Any, cli: Cli) -> list[str]:
    return [name for name in tables(client, cli) if name.startswith("t__0002")]
