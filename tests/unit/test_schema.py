"""Schemas as values: stored and read back, compared, described as CQL."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calldrop_migrate.core.comparing import diff, differences, from_shape
from calldrop_migrate.core.cql import quote, split
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.declared import describe, describe_index, holds, options_hold
from calldrop_migrate.core.effects import completed
from calldrop_migrate.core.names import aside, shadow
from calldrop_migrate.core.options import comparable_compaction, stored
from calldrop_migrate.core.schema import (
    Column,
    Dropped,
    Extra,
    Schema,
    Table,
    from_json,
    from_rows,
    plain_type,
    sorted_columns,
    to_json,
)

STCS = {
    "class": "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy",
    "max_threshold": "32",
    "min_threshold": "4",
}
# A row of system_schema.tables as Cassandra 5.0.9 gives it.
CASSANDRA: dict[str, Any] = {
    "keyspace_name": "calldrop",
    "additional_write_policy": "99p",
    "allow_auto_snapshot": None,
    "bloom_filter_fp_chance": 0.01,
    "cdc": None,
    "comment": "",
    "compaction": STCS,
    "caching": {"keys": "ALL", "rows_per_partition": "NONE"},
    "compression": {
        "chunk_length_in_kb": "16",
        "class": "org.apache.cassandra.io.compress.LZ4Compressor",
    },
    "crc_check_chance": 1.0,
    "dclocal_read_repair_chance": 0.0,
    "default_time_to_live": 0,
    "extensions": {},
    "flags": {"compound"},
    "gc_grace_seconds": 864000,
    "id": UUID(int=7),
    "incremental_backups": None,
    "max_index_interval": 2048,
    "memtable": None,
    "memtable_flush_period_in_ms": 0,
    "min_index_interval": 128,
    "read_repair": "BLOCKING",
    "read_repair_chance": 0.0,
    "speculative_retry": "99p",
}


def column_row(
    name: str, kind: str, position: int = -1, order: str = "none", type_: str = "int"
) -> dict[str, Any]:
    return {
        "table_name": "t",
        "column_name": name,
        "type": type_,
        "kind": kind,
        "position": position,
        "clustering_order": order,
    }


def live(**options: object) -> Table:
    """The table `t (k, c, v)` as Cassandra stores it, with these options."""
    schema = from_rows(
        "calldrop",
        replication={
            "class": "org.apache.cassandra.locator.SimpleStrategy",
            "replication_factor": "1",
        },
        tables=[{**CASSANDRA, "table_name": "t", **options}],
        columns=[
            column_row("v", "regular", type_="frozen<list<frozen<set<int>>>>"),
            column_row("c", "clustering", 0, "desc"),
            column_row("k", "partition_key", 0),
        ],
    )
    (found,) = schema.tables
    return found


def declared(options: str = "", columns: str = "k int, c int, v frozen<list<set<int>>>") -> Table:
    cql = f"CREATE TABLE t ({columns}, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)"
    return table(cql + (f" AND {options}" if options else ""))


def table(cql: str) -> Table:
    (statement,) = split(cql)
    found = read(statement).table
    assert found is not None
    return found


# --- generated schemas

NAMES = st.sampled_from(
    ["a", "b", "call_records", "Mixed", "select", "two words", 'with"quote', "key"]
)
TYPES = st.sampled_from(
    [
        "int",
        "text",
        "frozen<list<int>>",
        "map<text, int>",
        'frozen<"Address">',
        "vector<float, 3>",
        "tuple<int, text>",
    ]
)
# What a comment may look like.
TEXTS = st.sampled_from(["", "1", "x", '{"a": "b"}', "it's", "two\nlines", "$$", "true", "-- x"])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "comment": TEXTS,
        "gc_grace_seconds": st.sampled_from([0, 864000]),
        "crc_check_chance": st.sampled_from([1.0, 0.25]),
        "speculative_retry": st.sampled_from(["99p", "ALWAYS"]),
        "caching": st.sampled_from([{"keys": "ALL", "rows_per_partition": "1"}]),
        "cdc": st.booleans(),
    },
)
COMPACTIONS = st.sampled_from(
    [
        "",
        json.dumps(STCS),
        '{"class": "TimeWindowCompactionStrategy", "compaction_window_size": "1"}',
    ]
)
quick = settings(max_examples=20)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    partition = draw(st.integers(1, len(names)))
    clustering = draw(st.integers(0, len(names) - partition))
    columns = []
    for at, name in enumerate(names):
        type_ = draw(TYPES)
        if at < partition:
            columns.append(Column(name, type_, "partition_key", at))
        elif at < partition + clustering:
            order = draw(st.sampled_from(["asc", "desc"]))
            columns.append(Column(name, type_, "clustering", at - partition, order))
        else:
            kinds = ["regular", "static"] if clustering else ["regular"]
            columns.append(Column(name, type_, draw(st.sampled_from(kinds))))
    options = {name: stored(value) for name, value in draw(OPTIONS).items()}
    options["default_time_to_live"] = draw(st.sampled_from(["0", "60"]))
    if compaction := draw(COMPACTIONS):
        options["compaction"] = compaction
    return Table(
        draw(NAMES),
        sorted_columns(columns),
        tuple(sorted(options.items())),
        draw(st.sampled_from([None, UUID(int=1)])),
        dropped=draw(st.sampled_from([(), (Dropped("x", "int", "static", "2026-01-01"),)])),
    )


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    base = draw(tables())
    key = [c for c in base.columns if c.is_key]
    view = replace(base, name="a view", columns=tuple(key), base=base.name, options=(), dropped=())
    view = replace(view, where=" AND ".join(f"{quote(c.name)} IS NOT NULL" for c in key))
    found = Schema("k", (("class", "S"), ("dc", "3"))).put(
        base, draw(st.sampled_from([view, base]))
    )
    extras = [
        Extra("type", base.name, '[["a"], ["int"]]'),
        Extra("index", "i", json.dumps([base.name, "COMPOSITES", {"target": "v"}])),
    ]
    return found.with_extras(draw(st.lists(st.sampled_from(extras), unique=True)))


@quick
@given(schemas())
def test_json_and_back(schema: Schema) -> None:
    back = from_json(to_json(schema))
    assert back == schema
    assert [t.id for t in back.tables] == [t.id for t in schema.tables]
    assert [t.digest() for t in back.tables] == [t.digest() for t in schema.tables]


@quick
@given(schemas(), schemas())
def test_diff_is_empty_when_equal(one: Schema, other: Schema) -> None:
    here, there = one.comparable(), json.loads(json.dumps(other.comparable()))
    assert diff(one.comparable(), json.loads(json.dumps(here))) == []
    assert (diff(here, there, one_sided=True) == []) == (here == there)
    assert (diff(there, here, one_sided=True) == []) == (here == there)
    assert set(diff(here, there)) <= set(diff(here, there, one_sided=True))
    for line in diff(here, there, one_sided=True):
        assert ": " in line
        assert not any(mark in line for mark in ("Column(", "None", "Table("))


@quick
@given(tables())
def test_what_describe_gives_reads_back(made: Table) -> None:
    back = table(describe(made))
    assert back.name == made.name
    assert holds(back, made)
    assert back.columns == made.columns
    assert back.comparable() == made.comparable()


@quick
@given(tables())
def test_a_described_view_reads_back(base: Table) -> None:
    for whole in (False, True):
        columns = [replace(c, kind="regular") if c.kind == "static" else c for c in base.columns]
        where = " AND ".join(f"{quote(name)} IS NOT NULL" for name in base.key)
        view = replace(
            base, name="V", base="select", where=where, columns=sorted_columns(columns), whole=whole
        )
        schema = Schema("k").put(replace(base, name="select", columns=view.columns))
        back = completed(table(describe(view)), schema)
        assert holds(back, view)
        assert back.comparable() == view.comparable()
        # A view has no TTL of its own, and no server takes one.
        assert back.option("default_time_to_live") == ""


# --- comparing


def changed(one: Table) -> list[Table]:
    """The table with one thing changed, each thing once."""
    first, *others = one.columns
    return [
        replace(one, name="other"),
        replace(one, id=UUID(int=9)),
        replace(one, options=(*one.options, ("z", "1"))),
        replace(one, dropped=(Dropped("v", "int"),)),
        replace(one, compact=True),
        replace(one, base="b"),
        replace(one, where="k IS NOT NULL"),
        replace(one, whole=True),
        replace(one, columns=(first,)),
        replace(one, columns=(*one.columns, Column("new", "int"))),
        *(
            replace(one, columns=(replace(first, **change), *others))
            for change in (
                {"name": "n"},
                {"type": "blob"},
                {"kind": "regular"},
                {"position": 4},
                {"order": "desc"},
                {"mask": "mask_default()"},
            )
        ),
    ]


def test_digest_changes_with_anything() -> None:
    one = live()
    digests = {t.digest() for t in [one, *changed(one)]}
    assert len(digests) == len(changed(one)) + 1
    assert live().digest() == one.digest()


def test_digest_of_a_name() -> None:
    one = live()
    index = Extra("index", "t", '["t", "COMPOSITES", {"target": "v"}]')
    schema = Schema("k", (), (one,))
    assert schema.digest_of("t") == one.digest()
    assert schema.digest_of("u") == "absent"
    assert schema.with_extras([index]).digest_of("t") == f"{one.digest()}+{index.digest()}"
    assert Extra("type", "t", index.definition).digest() != index.digest()


def test_rows_of_system_schema() -> None:
    found = live()
    assert found.key == ("k", "c")
    assert [c.order for c in found.columns] == ["none", "desc", "none"]
    assert found.id == UUID(int=7)
    assert found.option("gc_grace_seconds") == "864000"
    assert found.option("memtable") == ""
    assert "keyspace_name" not in dict(found.options)
    assert (
        comparable_compaction(found.option("compaction"))["class"] == "SizeTieredCompactionStrategy"
    )
    assert found.comparable() == {
        "columns": {
            "k": "int",
            "c": "int",
            "v": "frozen<list<set<int>>>",
        },
        "partition_key": ["k"],
        "clustering_key": ["c DESC"],
        "options": {
            "additional_write_policy": "99p",
            "bloom_filter_fp_chance": 0.01,
            "caching": {"keys": "ALL", "rows_per_partition": "NONE"},
            "comment": "",
            "compaction": {
                "class": "SizeTieredCompactionStrategy",
                "max_threshold": "32",
                "min_threshold": "4",
            },
            "compression": {"chunk_length_in_kb": "16", "class": "LZ4Compressor"},
            "crc_check_chance": 1,
            "default_time_to_live": 0,
            "gc_grace_seconds": 864000,
            "max_index_interval": 2048,
            "memtable_flush_period_in_ms": 0,
            "min_index_interval": 128,
            "read_repair": "blocking",
            "speculative_retry": "99p",
        },
    }


def test_rows_of_a_keyspace() -> None:
    view_row = {**CASSANDRA, "view_name": "v", "id": UUID(int=8), "where_clause": "k IS NOT NULL"}
    view_row |= {"base_table_name": "t", "base_table_id": UUID(int=7), "include_all_columns": True}
    schema = from_rows(
        "k",
        replication={"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "3"},
        tables=[view_row, {**CASSANDRA, "table_name": "t"}],
        columns=[
            column_row("k", "partition_key", 0),
            {**column_row("k", "partition_key", 0), "table_name": "v"},
        ],
        dropped=[
            {"table_name": "t", "column_name": "x", "dropped_time": "2026", "type": "int"},
            {"table_name": "t", "column_name": "y", "dropped_time": "2026", "kind": "static"},
        ],
        extras=[Extra("type", "b", "[[], []]"), Extra("index", "z", '["t", "C", {}]')],
    )
    assert schema.exists
    assert schema.replication == (("class", "NetworkTopologyStrategy"), ("dc1", "3"))
    assert [t.name for t in schema.tables] == ["t", "v"]
    base, view = schema.tables
    # ScyllaDB doesn't keep the kind of a dropped column.
    assert base.dropped == (Dropped("x", "int", at="2026"), Dropped("y", "", "static", "2026"))
    assert (view.base, view.where, view.whole) == ("t", "k IS NOT NULL", True)
    assert schema.views_on("t") == (view,)
    assert [e.name for e in schema.indexes_on("t")] == ["z"]
    assert not from_rows("k", replication=None, tables=[], columns=[]).exists


def test_diff_is_readable() -> None:
    before = Schema("k").put(live(), replace(live(), name="gone")).comparable()
    after_ = (
        Schema("k")
        .put(
            replace(
                live(default_time_to_live=60, compaction={"class": "TimeWindowCompactionStrategy"}),
                columns=declared(columns="k text, c int, n int").columns,
            ),
            replace(live(), name="new"),
        )
        .with_extras([Extra("type", "t", '[["a"], ["int"]]')])
        .comparable()
    )
    assert diff(before, after_) == [
        "gone: is gone",
        "new: exists, and nothing recorded made it",
        "t: column k: int -> text",
        "t: column n added: int",
        "t: column v is gone, was: frozen<list<set<int>>>",
        "t: compaction class: SizeTieredCompactionStrategy -> TimeWindowCompactionStrategy",
        "t: compaction max_threshold is gone, was: 32",
        "t: compaction min_threshold is gone, was: 4",
        "t: default_time_to_live: 0 -> 60",
        "type t: exists, and nothing recorded made it",
    ]


def test_a_shape_becomes_the_table_again() -> None:
    stored = live()
    view = replace(stored, name="v", base="t", where="k IS NOT NULL AND c IS NOT NULL")
    odd = table("CREATE TABLE t (k int, a int, b text static, c int, PRIMARY KEY ((k, a), c))")
    for one in (stored, view, odd):
        shape = json.loads(json.dumps(one.comparable()))
        assert from_shape(one.name, shape).comparable() == shape


def test_what_is_declared_and_what_is_there() -> None:
    """What no statement names is the server's affair."""
    there = Schema("k").put(live(default_time_to_live=60))
    wanted = Schema("k").put(replace(there.tables[0], options=(("default_time_to_live", "60"),)))
    assert differences(wanted, there) == []
    other = replace(wanted.tables[0], options=(("compaction", '{"class": "X"}'),))
    assert differences(wanted.put(other), there) == [
        "t: compaction class: X -> SizeTieredCompactionStrategy",
        "t: default_time_to_live: 0 -> 60",
    ]
    assert differences(wanted, Schema("k")) == ["t: is gone"]


def test_what_is_owned() -> None:
    index = Extra("index", "by_v", '["t", "COMPOSITES", {"target": "v"}]')
    lost = Extra("index", "lost", '["dropped", "COMPOSITES", {"target": "v"}]')
    kind = Extra("type", "y", "[[], []]")
    made = [shadow("t", 2, UUID(int=1)), aside("t", 2, "up"), "migration_journal", "t$paxos"]
    names = ["t", "t__2024", *made]
    schema = Schema("k").put(*(replace(live(), name=n) for n in names))
    schema = schema.put(replace(live(), name="v", base="t")).with_extras([index, kind, lost])
    assert [t.name for t in schema.owned().tables] == ["t", "t__2024", "v"]
    assert [e.name for e in schema.owned().extras] == ["by_v", "y"]
    assert [v.name for v in schema.views_on("t")] == ["v"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tuple<int, text>", "frozen<tuple<int, text>>"),
        ("frozen<list<list<int>>>", "frozen<list<frozen<list<int>>>>"),
        ("tuple<list<int>, address>", "frozen<tuple<frozen<list<int>>, frozen<address>>>"),
        ("list<tuple<int, int>>", "list<frozen<tuple<int, int>>>"),
        ("vector<int, 2>", "frozen<vector<int, 2>>"),
        ("vector<frozen<list<int>>, 2>", "vector<list<int>, 2>"),
        ("frozen<map<text, tuple<int, int>>>", "frozen<map<text, frozen<tuple<int, int>>>>"),
    ],
)
def test_one_type_in_two_writings(one: str, other: str) -> None:
    assert plain_type(one) == plain_type(other)
    wanted, got = (declared(columns=f"k int, c int, v {t}") for t in (one, other))
    assert holds(wanted, got)
    assert wanted.same_rows_as(got)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("list<int>", "frozen<list<int>>"),
        ("address", "frozen<address>"),
        ("list<frozen<set<int>>>", "frozen<list<set<int>>>"),
        ("map<int, text>", "map<text, int>"),
        ("vector<float, 3>", "vector<float, 4>"),
    ],
)
def test_two_types(one: str, other: str) -> None:
    assert plain_type(one) != plain_type(other)


# --- what was declared, and what is there


def test_a_declared_table_holds() -> None:
    assert holds(declared(), live())
    assert not holds(declared(columns="k int, c int"), live())
    assert not holds(declared(columns="k int, c int, v frozen<list<set<int>>>, w int"), live())
    assert not holds(declared(columns="k int, c int, v list<int>"), live())
    assert not holds(
        table("CREATE TABLE t (k int, c int, v frozen<list<set<int>>>, PRIMARY KEY (k, c))"), live()
    )


@pytest.mark.parametrize(
    "options",
    [
        "compaction = {'class': 'SizeTieredCompactionStrategy'}",
        (
            "compaction = {'class':"
            " 'org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy',"
            " 'min_threshold': 4}"
        ),
        "compression = {'class': 'LZ4Compressor'}",
        "compression = {'sstable_compression': 'LZ4Compressor', 'chunk_length_kb': 16}",
        "speculative_retry = '99PERCENTILE'",
        "speculative_retry = '99.0percentile'",
        "bloom_filter_fp_chance = 0.010",
        "crc_check_chance = 1",
        "read_repair = 'blocking'",
        "comment = ''",
        "gc_grace_seconds = 864000 AND default_time_to_live = 0",
        "caching = {'rows_per_partition': 'NONE'}",
        # What system_schema.tables doesn't show can't be doubted.
        "memtable = 'default' AND cdc = false",
        "tombstone_gc = {'mode': 'repair'}",
    ],
)
def test_options_that_hold(options: str) -> None:
    assert holds(declared(options), live())


@pytest.mark.parametrize(
    "options",
    [
        "compaction = {'class': 'LeveledCompactionStrategy'}",
        "compaction = {'class': 'SizeTieredCompactionStrategy', 'min_threshold': 5}",
        "compaction = {'class': 'SizeTieredCompactionStrategy', 'bucket_high': 1.5}",
        "speculative_retry = '95p'",
        "speculative_retry = 'NEVER'",
        "bloom_filter_fp_chance = 0.1",
        "read_repair = 'NONE'",
        "comment = 'x'",
        "comment = '{'",
        "default_time_to_live = 1",
    ],
)
def test_options_that_do_not(options: str) -> None:
    assert not holds(declared(options), live())


@pytest.mark.parametrize(
    ("option", "wanted", "stored"),
    [
        ("speculative_retry", "99PERCENTILE", "99.0PERCENTILE"),
        ("speculative_retry", "50ms", "50.0ms"),
        ("speculative_retry", "50.5ms", "50ms"),
        ("speculative_retry", "NONE", "NEVER"),
        ("additional_write_policy", "MIN(99.50p, 50ms)", "MIN(99.5p,50ms)"),
        ("comment", "99p", "99p"),
        ("comment", "{", "{"),
        ("cdc", "true", "True"),
    ],
)
def test_values_as_servers_write_them(option: str, wanted: str, stored: str) -> None:
    assert options_hold([(option, json.dumps(wanted))], live(**{option: stored}))


@pytest.mark.parametrize(
    ("wanted", "stored"), [("99PERCENTILE", "99p"), ("Calls", "calls"), ("none", "never")]
)
def test_a_comment_is_as_it_is(wanted: str, stored: str) -> None:
    assert not options_hold([("comment", json.dumps(wanted))], live(comment=stored))


def test_a_declared_view_holds() -> None:
    cql = (
        'CREATE MATERIALIZED VIEW v AS SELECT k, "W" FROM t WHERE "W" IS NOT NULL AND '
        'k IN (1,2) AND k<100 PRIMARY KEY ("W", k)'
    )
    base = table('CREATE TABLE t (k int PRIMARY KEY, "W" text)')
    view = completed(table(cql), Schema("k").put(base))
    stored = replace(
        view, where='k < 100 AND k IN (1, 2) AND "W" IS NOT NULL', options=(("z", "1"),)
    )
    assert holds(view, stored)
    assert diff({"v": view.comparable()}, {"v": stored.comparable()}) == []
    for where in ('"W" IS NOT NULL AND k IN (1, 2)', "k < 100 AND k IN (1, 2) AND w IS NOT NULL"):
        assert not holds(view, replace(stored, where=where))
    assert not holds(view, replace(stored, base="u"))


# --- as CQL


def test_describe() -> None:
    made = declared(
        "comment = 'not compared' AND default_time_to_live = 5 AND compaction = {'class': 'a.B',"
        " 'c': 1}"
    )
    assert (
        describe(replace(made, name="Calls")) == 'CREATE TABLE "Calls" (\n'
        "    k int,\n"
        "    c int,\n"
        "    v frozen<list<set<int>>>,\n"
        "    PRIMARY KEY (k, c)\n"
        ") WITH CLUSTERING ORDER BY (c DESC)\n"
        "   AND comment = 'not compared'\n"
        "   AND compaction = {'c': '1', 'class': 'a.B'}\n"
        "   AND default_time_to_live = 5"
    )
    key_alone = table("CREATE TABLE t (a int, b int, PRIMARY KEY ((a, b)))")
    assert (
        describe(key_alone)
        == "CREATE TABLE t (\n    a int,\n    b int,\n    PRIMARY KEY ((a, b))\n)"
    )


def test_describe_a_view_with_all_it_has() -> None:
    view = replace(live(comment="it's"), name="v", base="t", where="k IS NOT NULL", whole=True)
    text = describe(view)
    assert text.startswith(
        "CREATE MATERIALIZED VIEW v AS\n  SELECT\n    *\n  FROM t\n  WHERE k IS NOT NULL\n"
    )
    assert "   AND comment = 'it''s'" in text
    assert "   AND compression = {'chunk_length_in_kb': '16', 'class': 'org.apache." in text
    assert "default_time_to_live" not in text  # Cassandra refuses it on a view, even 0
    assert "read_repair_chance" not in text  # gone from the grammar of Cassandra 4
    assert "   AND compaction = {'class': 'SizeTieredCompactionStrategy', 'max_" in text
    assert "   AND gc_grace_seconds = 864000\n" in text


@pytest.mark.parametrize(
    ("definition", "cql"),
    [
        (["t", "COMPOSITES", {"target": "v"}], "CREATE INDEX i ON t (v)"),
        (["T", "COMPOSITES", {"target": '"W"'}], 'CREATE INDEX i ON "T" ("W")'),
        (["t", "COMPOSITES", {"target": "entries(m)"}], "CREATE INDEX i ON t (entries(m))"),
        (
            ["t", "CUSTOM", {"target": "v", "class_name": "sai", "mode": "x'y"}],
            "CREATE CUSTOM INDEX i ON t (v) USING 'sai' WITH OPTIONS = {'mode': 'x''y'}",
        ),
        (
            ["t", "COMPOSITES", {"target": '{"pk": ["a", "B"], "ck": ["c"]}'}],
            'CREATE INDEX i ON t ((a, "B"), c)',
        ),
    ],
)
def test_describe_an_index(definition: list[object], cql: str) -> None:
    index = Extra("index", "i", json.dumps(definition))
    assert describe_index(index) == cql
    (statement,) = split(cql)
    back = read(statement).extra
    assert back is not None
    assert describe_index(back) == cql
