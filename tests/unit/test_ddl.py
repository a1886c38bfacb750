"""What statements do: how they are read, what the schema is afterwards, whether it has happened."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from calldrop_migrate.core.cql import CqlError, Statement, split
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.effects import after, happened
from calldrop_migrate.core.rewriting import rewritten, with_id
from calldrop_migrate.core.schema import Column, Extra, Schema, Table, plain_type

ID = "1b2c3d4e-0000-1000-8000-00805f9b34fb"


def one(cql: str) -> Statement:
    (statement,) = split(cql, "0001_x.cql")
    return statement


def effect(cql: str) -> Effect:
    return read(one(cql))


def table(cql: str) -> Table:
    found = effect(cql).table
    assert found is not None
    return found


def columns(cql: str) -> list[str]:
    """Each column in words: name, type, kind, place, order."""
    found = []
    for c in table(cql).columns:
        words = [c.name, plain_type(c.type), c.kind]
        words += [str(c.position)] if c.is_key else []
        words += [c.order.upper()] if c.kind == "clustering" else []
        found.append(" ".join(words))
    return found


def schema(*statements: str) -> Schema:
    """The schema after these statements, on an empty keyspace."""
    found = Schema("k", (("class", "X"),))
    for cql in statements:
        found = after(found, effect(cql))
    return found


# --- CREATE TABLE


def test_a_table() -> None:
    read_ = effect("CREATE TABLE t (k int PRIMARY KEY, v text)")
    assert (read_.verb, read_.kind, read_.name) == ("create", "table", "t")
    assert read_.changes_schema
    assert not read_.destroys
    assert not read_.conditional
    assert read_.table == Table(
        "t", (Column("k", "int", "partition_key", 0), Column("v", "text")), ()
    )
    assert read_.table.key == ("k",)


@pytest.mark.parametrize(
    ("key", "partition", "clustering"),
    [
        ("(a)", ["a"], []),
        ("((a))", ["a"], []),
        ("(a, b)", ["a"], ["b"]),
        ("((a), b, c)", ["a"], ["b", "c"]),
        ("((b, a), c)", ["b", "a"], ["c"]),
        ("((a,b,c))", ["a", "b", "c"], []),
    ],
)
def test_primary_keys(key: str, partition: list[str], clustering: list[str]) -> None:
    found = table(f"create table t (a int, b int, c int, primary key {key})")
    assert list(found.partition_key) == partition
    assert list(found.clustering_key) == clustering
    assert [c.position for c in found.columns if c.is_key] == [
        *range(len(partition)),
        *range(len(clustering)),
    ]


def test_static_columns_and_orders() -> None:
    assert columns(
        "CREATE TABLE t (s int STATIC, a int, b int, c int, v int, PRIMARY KEY (a, b, c)) "
        "WITH CLUSTERING ORDER BY (b DESC, c ASC)"
    ) == [
        "a int partition_key 0",
        "b int clustering 0 DESC",
        "c int clustering 1 ASC",
        "s int static",
        "v int regular",
    ]


def test_an_order_of_some_of_the_clustering_columns() -> None:
    """ScyllaDB allows it."""
    cql = "CREATE TABLE t (a int, b int, c int, PRIMARY KEY (a, b, c)) WITH CLUSTERING ORDER BY (b)"
    assert columns(cql)[1:] == ["b int clustering 0 ASC", "c int clustering 1 ASC"]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("TEXT", "text"),
        ("varchar", "text"),
        ("list<INT>", "list<int>"),
        ("map<text,int>", "map<text, int>"),
        ("frozen < list < text > >", "frozen<list<text>>"),
        ("map<text, frozen<set<int>>>", "map<text, frozen<set<int>>>"),
        ("tuple<int, text>", "tuple<int, text>"),
        ("vector<float, 3>", "vector<float, 3>"),
        ("address", "address"),
        ("frozen<address>", "frozen<address>"),
        ('frozen<"Address">', 'frozen<"Address">'),
        ('"address"', "address"),
        ("'org.apache.cassandra.db.marshal.Foo'", "'org.apache.cassandra.db.marshal.Foo'"),
    ],
)
def test_types(written: str, stored: str) -> None:
    cql = f"CREATE TABLE t (k int, v {written}, w {written} STATIC, PRIMARY KEY (k, v))"
    assert [c.type for c in table(cql).columns] == ["int", stored, stored]
    alone, _ = table(f"CREATE TABLE t (k {written} PRIMARY KEY, v int)").columns
    assert (alone.type, alone.kind) == (stored, "partition_key")
    (added,) = effect(f"ALTER TABLE t ADD v {written}").add
    assert added.type == stored


def test_names_in_quotes() -> None:
    found = table(
        'CREATE TABLE "My""T" ("K" int, "primary" int, "a b" int, PRIMARY KEY (("K"), "primary"))'
    )
    assert found.name == 'My"T'
    assert found.key == ("K", "primary")
    assert found.column("a b") is not None


def test_names_that_are_words_of_cql() -> None:
    """Not reserved, so nobody has to quote them."""
    found = table("CREATE TABLE exists (static text, key int, type int, PRIMARY KEY (key))")
    assert found.name == "exists"
    assert [c.name for c in found.columns] == ["key", "static", "type"]
    assert [c.kind for c in found.columns] == ["partition_key", "regular", "regular"]


def test_comments_inside() -> None:
    cql = """CREATE /* a */ TABLE -- b
    t ( k int, -- the key, PRIMARY KEY (v)
        v text /* , w int */, PRIMARY KEY // c
        (k)) -- WITH comment = 'x'
    WITH comment = 'y' -- AND gc_grace_seconds = 1
    AND gc_grace_seconds = 2"""
    assert columns(cql) == ["k int partition_key 0", "v text regular"]
    assert table(cql).options == (("comment", '"y"'), ("gc_grace_seconds", "2"))


def test_masked_columns() -> None:
    assert columns(
        "CREATE TABLE t (k int MASKED WITH mask_inner(1, null) PRIMARY KEY, v text MASKED WITH"
        " DEFAULT)"
    ) == [
        "k int partition_key 0",
        "v text regular",
    ]
    assert [c.name for c in effect("ALTER TABLE t ADD (a int MASKED WITH f(1, 2), b int)").add] == [
        "a",
        "b",
    ]


def test_options_in_any_order() -> None:
    parts = [
        "compaction = {'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': 160}",
        "CLUSTERING ORDER BY (c DESC)",
        "comment = 'it''s AND {x}'",
        "bloom_filter_fp_chance = 0.1",
        "cdc = TRUE",
        f"ID = {ID}",
        "compression = {}",
    ]
    for turn in range(len(parts)):
        turned = parts[turn:] + parts[:turn]
        cql = "CREATE TABLE t (k int, c int, PRIMARY KEY (k, c)) WITH " + " AND ".join(turned)
        assert table(cql).options == (
            ("bloom_filter_fp_chance", "0.1"),
            ("cdc", "true"),
            ("comment", '"it\'s AND {x}"'),
            ("compaction", '{"class": "LeveledCompactionStrategy", "sstable_size_in_mb": "160"}'),
            ("compression", "{}"),
        )
        assert table(cql).columns[1].order == "desc"
        assert effect(cql).id == ID


def test_columnfamily_is_table() -> None:
    assert effect("CREATE COLUMNFAMILY t (k int PRIMARY KEY)").kind == "table"
    assert effect("DROP COLUMNFAMILY t").destroys
    assert effect("TRUNCATE COLUMNFAMILY t") == effect("TRUNCATE t")
    assert effect("ALTER COLUMNFAMILY t DROP v").destroys


@pytest.mark.parametrize(
    ("cql", "message"),
    [
        ("CREATE TABLE t (k int)", "t has no PRIMARY KEY"),
        ("CREATE TABLE t (k int, PRIMARY KEY (x))", "the key names x, which is no column"),
        ("CREATE TABLE t (k int, PRIMARY KEY (k)) WITH CLUSTERING ORDER BY (z ASC)", "names z"),
        ("CREATE TABLE t (k int, PRIMARY KEY (k)", "expected )"),
        ("CREATE TABLE (k int PRIMARY KEY)", "expected a name"),
        ("CREATE TABLE t (k int PRIMARY KEY) WITH comment 'x'", "expected ="),
        ("CREATE TABLE t (k int PRIMARY KEY) WITH compaction = {'class' 'x'}", "expected :"),
        ("CREATE TABLE", "the statement ends too early"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT a FROM t WHERE a IS NOT NULL",
            "expected PRIMARY KEY",
        ),
        ("ALTER TABLE t RENAME a b", "expected TO"),
        ("DROP TABLE", "the statement ends too early"),
        ("CREATE TABLE t (k int PRIMARY KEY) WIHT comment = ''", "expected WITH or AND"),
        ("CREATE INDEX i ON t (v) WITH options = 5", "expected {"),
    ],
)
def test_what_cannot_be_made_out(cql: str, message: str) -> None:
    with pytest.raises(CqlError) as caught:
        effect("\n  " + cql)
    assert message in caught.value.fault.message
    assert caught.value.fault.place.file == "0001_x.cql"
    assert caught.value.fault.place.line == 2


def test_place_of_a_fault() -> None:
    with pytest.raises(CqlError, match=r"0001_x\.cql:2:23: the key names x"):
        effect("CREATE TABLE t (k int,\n  v int, PRIMARY KEY (x))")


# --- CREATE and DROP of other things


def test_a_view() -> None:
    read_ = effect(
        'CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT k, c, "W" FROM t '
        'WHERE "W" IS NOT NULL AND c > 5 AND c < 100 AND k IN (1, 2) '
        "PRIMARY KEY ((\"W\"), k, c) WITH CLUSTERING ORDER BY (k ASC, c DESC) AND comment = 'x'"
    )
    assert (read_.verb, read_.kind, read_.name) == ("create", "view", "v")
    assert read_.conditional
    view = read_.table
    assert view is not None
    assert (view.base, view.where) == (
        "t",
        '"W" IS NOT NULL AND c > 5 AND c < 100 AND k IN ( 1 , 2 )',
    )
    assert view.key == ("W", "k", "c")
    assert [c.order for c in view.columns] == ["none", "asc", "desc"]
    assert view.options == (("comment", '"x"'),)
    assert not view.whole


def test_a_view_takes_types_and_columns_from_its_base() -> None:
    made = schema(
        "CREATE TABLE t (k int, c text, v float, s int STATIC, PRIMARY KEY (k, c))",
        "CREATE MATERIALIZED VIEW some AS SELECT c, k FROM t "
        "WHERE k IS NOT NULL AND c IS NOT NULL PRIMARY KEY (c, k)",
        "CREATE MATERIALIZED VIEW every AS SELECT * FROM t "
        "WHERE k IS NOT NULL AND c IS NOT NULL PRIMARY KEY (c, k)",
    )
    some, every = made.table("some"), made.table("every")
    assert some is not None
    assert every is not None
    assert [(c.name, c.type) for c in some.columns] == [("c", "text"), ("k", "int")]
    assert every.whole
    assert [c.name for c in every.columns] == ["c", "k", "s", "v"]


@pytest.mark.parametrize(
    ("cql", "verb", "kind", "name"),
    [
        ("CREATE TYPE address (street text)", "create", "type", "address"),
        ('CREATE TYPE IF NOT EXISTS "A" (x int)', "create", "type", "A"),
        ("CREATE INDEX by_v ON t (v)", "create", "index", "by_v"),
        ("CREATE INDEX IF NOT EXISTS ON t (v)", "create", "index", "t_v_idx"),
        ("CREATE CUSTOM INDEX i ON t (v) USING 'sai'", "create", "index", "i"),
        (
            (
                "CREATE OR REPLACE FUNCTION f (a int) RETURNS NULL ON NULL INPUT RETURNS int"
                " LANGUAGE java AS $$ return a; $$"
            ),
            "create",
            "function",
            "",
        ),
        ("CREATE AGGREGATE a (int) SFUNC f STYPE int", "create", "aggregate", ""),
        (
            "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'X'}",
            "create",
            "keyspace",
            "",
        ),
        ("CREATE ROLE r WITH PASSWORD = 'x'", "other", "", ""),
        ("CREATE USER u", "other", "", ""),
        ("GRANT SELECT ON TABLE t TO r", "other", "", ""),
        ("REVOKE ALL ON TABLE t FROM r", "other", "", ""),
        ("ALTER ROLE r WITH LOGIN = true", "other", "", ""),
        ("DROP ROLE r", "other", "", ""),
        ("DROP TABLE IF EXISTS t", "drop", "table", "t"),
        ('DROP MATERIALIZED VIEW "V"', "drop", "view", "V"),
        ("DROP INDEX by_v", "drop", "index", "by_v"),
        ("DROP TYPE address", "drop", "type", "address"),
        ("DROP FUNCTION IF EXISTS f (int)", "drop", "function", ""),
        ("DROP KEYSPACE k", "drop", "keyspace", ""),
        ("ALTER KEYSPACE k WITH replication = {'class': 'X'}", "alter", "keyspace", ""),
        ("ALTER MATERIALIZED VIEW v WITH comment = 'x'", "alter", "view", "v"),
        ("ALTER TYPE address ADD zip int", "alter", "type", "address"),
        ("TRUNCATE t", "truncate", "table", "t"),
        ('TRUNCATE TABLE "T"', "truncate", "table", "T"),
        ("TRUNCATE t USING TIMEOUT 5m", "truncate", "table", "t"),
        ("SELECT * FROM t", "other", "", ""),
        ("LIST ROLES", "other", "", ""),
    ],
)
def test_statement_forms(cql: str, verb: str, kind: str, name: str) -> None:
    read_ = effect(cql)
    assert (read_.verb, read_.kind, read_.name) == (verb, kind, name)
    assert read_.conditional == (" IF " in cql)
    # A change of the schema has to be agreed upon, whether or not it can be read back.
    assert read_.changes_schema == (verb in ("create", "alter", "drop"))
    assert read_.destroys == ((verb, kind) in (("drop", "table"), ("truncate", "table")))


@pytest.mark.parametrize(
    ("cql", "name", "definition"),
    [
        ("CREATE INDEX i ON t (v)", "i", ["t", "COMPOSITES", {"target": "v"}]),
        ('CREATE INDEX ON "T" ("W")', "T_W_idx", ["T", "COMPOSITES", {"target": '"W"'}]),
        ("CREATE INDEX ON t (KEYS(m))", "t_m_idx", ["t", "COMPOSITES", {"target": "keys(m)"}]),
        ("CREATE INDEX ON t (full(m))", "t_m_idx", ["t", "COMPOSITES", {"target": "full(m)"}]),
        ("CREATE INDEX e ON t (entries(m))", "e", ["t", "COMPOSITES", {"target": "entries(m)"}]),
        ("CREATE INDEX ON t ((a, b), c)", "t_c_idx", ["t", "COMPOSITES", {"target": "(a, b), c"}]),
        (
            "CREATE CUSTOM INDEX i ON t (v) USING 'sai' WITH OPTIONS = {'mode': 'X'}",
            "i",
            ["t", "CUSTOM", {"target": "v", "class_name": "sai", "mode": "X"}],
        ),
        (
            "CREATE INDEX i ON t (v) USING 'sai'",
            "i",
            ["t", "CUSTOM", {"target": "v", "class_name": "sai"}],
        ),
    ],
)
def test_indexes(cql: str, name: str, definition: list[object]) -> None:
    extra = effect(cql).extra
    assert extra is not None
    assert (extra.kind, extra.name, extra.table) == ("index", name, definition[0])
    assert json.loads(extra.definition) == definition


def test_a_type() -> None:
    extra = effect('CREATE TYPE address (street TEXT, "Zip" int, more frozen<map<text,int>>)').extra
    assert extra == Extra(
        "type",
        "address",
        '[["street", "Zip", "more"], ["text", "int", "frozen<map<text, int>>"]]',
    )


# --- ALTER


def test_alter_add() -> None:
    assert effect("ALTER TABLE t ADD a int").add == (Column("a", "int"),)
    read_ = effect('ALTER TABLE IF EXISTS t ADD IF NOT EXISTS (a int STATIC, "B" map<int, text>)')
    assert read_.add == (Column("a", "int", "static"), Column("B", "map<int, text>"))
    assert (read_.conditional, read_.loose) == (True, True)
    assert not read_.destroys


@pytest.mark.parametrize(
    ("cql", "dropped"),
    [
        ("ALTER TABLE t DROP a", ("a",)),
        ("ALTER TABLE t DROP IF EXISTS a", ("a",)),
        ('ALTER TABLE t DROP (a, "B")', ("a", "B")),
        ("ALTER TABLE t DROP a, b", ("a", "b")),
        ("ALTER TABLE t DROP a USING TIMESTAMP 5", ("a",)),
        ("ALTER TABLE t DROP compact", ("compact",)),
        ("ALTER TABLE t DROP COMPACT STORAGE", ()),
    ],
)
def test_alter_drop(cql: str, dropped: tuple[str, ...]) -> None:
    read_ = effect(cql)
    assert read_.drop == dropped
    assert read_.destroys == bool(dropped)


def test_alter_rename_and_with() -> None:
    read_ = effect('ALTER TABLE t RENAME a TO b AND "C" TO d')
    assert read_.rename == (("a", "b"), ("C", "d"))
    read_ = effect("ALTER TABLE t WITH gc_grace_seconds = 1 AND compaction = {'class': 'X'}")
    assert read_.options == (("compaction", '{"class": "X"}'), ("gc_grace_seconds", "1"))
    assert not read_.destroys
    assert effect("ALTER TYPE y RENAME a TO b AND c TO d").rename == (("a", "b"), ("c", "d"))
    assert effect("ALTER TABLE t ALTER a TYPE text") == Effect("alter", "table", "t")


# --- rows


@pytest.mark.parametrize(
    ("cql", "deletes", "writes"),
    [
        ("INSERT INTO t (k) VALUES (1)", "", ("t",)),
        ('INSERT INTO "T" JSON \'{"delete": 1}\'', "", ("T",)),
        ('UPDATE "T" USING TTL 5 SET v = 1 WHERE k = 1', "", ("T",)),
        ("DELETE FROM t WHERE k = 1", "t", ()),
        ("DELETE a, m['from'] FROM t WHERE k = 1", "t", ()),
        ('DELETE "from" FROM t USING TIMESTAMP 1 WHERE k = 1', "t", ()),
        (
            "BEGIN BATCH INSERT INTO a (k) VALUES (1); UPDATE b SET v = 1 WHERE k = 1; APPLY BATCH",
            "",
            ("a", "b"),
        ),
        (
            (
                "BEGIN UNLOGGED BATCH INSERT INTO a (k) VALUES (1); DELETE FROM b WHERE k = 1;"
                " APPLY BATCH"
            ),
            "b",
            ("a",),
        ),
        (
            (
                "BEGIN BATCH USING TIMESTAMP 1 DELETE FROM b WHERE k = 1 DELETE v FROM b WHERE k ="
                " 2 APPLY BATCH"
            ),
            "b",
            (),
        ),
        (
            "BEGIN BATCH DELETE FROM a WHERE k = 1; DELETE FROM b WHERE k = 1 APPLY BATCH",
            "ab",
            (),
        ),
    ],
)
def test_rows(cql: str, deletes: str, writes: tuple[str, ...]) -> None:
    read_ = effect(cql)
    assert (read_.verb, read_.name) == ("write", "")
    assert read_.writes == writes
    assert read_.deletes == tuple(deletes)
    assert not read_.destroys
    assert not read_.changes_schema


# --- after and happened

START = (
    "CREATE TYPE y (a int, b text)",
    "CREATE TABLE t (k int, c int, v text, w int, PRIMARY KEY (k, c)) WITH gc_grace_seconds = 5",
    (
        "CREATE MATERIALIZED VIEW mv AS SELECT * FROM t WHERE k IS NOT NULL AND c IS NOT NULL"
        " PRIMARY KEY (c, k)"
    ),
    "CREATE INDEX i ON t (v)",
    "CREATE TABLE other (k int PRIMARY KEY)",
)


@pytest.mark.parametrize(
    "cql",
    [
        (
            "CREATE TABLE n (k int, c frozen<list<list<int>>>, PRIMARY KEY (k, c)) WITH CLUSTERING"
            " ORDER BY (c DESC) AND gc_grace_seconds = 7"
        ),
        "CREATE TABLE IF NOT EXISTS n (k int PRIMARY KEY)",
        (
            "CREATE MATERIALIZED VIEW n AS SELECT k, c, w FROM t WHERE c IS NOT NULL AND k IS NOT"
            " NULL AND w IS NOT NULL PRIMARY KEY (w, k, c)"
        ),
        (
            "CREATE MATERIALIZED VIEW n AS SELECT * FROM t WHERE c IS NOT NULL AND k IS NOT NULL"
            " PRIMARY KEY (c, k)"
        ),
        "CREATE TYPE n (a int)",
        "CREATE INDEX n ON t (w)",
        "CREATE INDEX ON t (w)",
        "DROP TABLE other",
        "DROP MATERIALIZED VIEW mv",
        "DROP INDEX i",
        "DROP TYPE y",
        "ALTER TABLE t ADD n int",
        "ALTER TABLE t ADD (n int STATIC, m tuple<int, text>)",
        "ALTER TABLE t DROP w",
        "ALTER TABLE t DROP (v, w)",
        "ALTER TABLE t RENAME c TO d AND k TO l",
        "ALTER TABLE t WITH gc_grace_seconds = 6",
        "ALTER TYPE y ADD n int",
        "ALTER TYPE y RENAME a TO n AND b TO m",
    ],
)
def test_happened_has_both_truths(cql: str) -> None:
    """It hasn't before, it has in the schema that `after` gives, and with what a server adds to
    that.
    """
    before, read_ = schema(*START), effect(cql)
    assert not happened(read_, before)
    there = after(before, read_)
    assert happened(read_, there)
    assert there.digest_of(read_.name) != before.digest_of(read_.name)
    for found in there.tables:
        there = there.put(replace(found, options=(*found.options, ("zzz_of_the_server", "1"))))
    assert happened(read_, there)


@pytest.mark.parametrize(
    "cql",
    [
        "CREATE TABLE IF NOT EXISTS t (k text PRIMARY KEY)",
        "CREATE TYPE IF NOT EXISTS y (x int)",
        "CREATE INDEX IF NOT EXISTS i ON other (k)",
        "DROP TABLE IF EXISTS nothing",
        "DROP TYPE IF EXISTS nothing",
        "ALTER TABLE IF EXISTS nothing ADD a int",
        "ALTER TABLE t ADD IF NOT EXISTS v text",
        "ALTER TABLE t DROP IF EXISTS nothing",
        "ALTER TABLE t RENAME IF EXISTS nothing TO no",
        "ALTER TYPE IF EXISTS nothing ADD a int",
    ],
)
def test_conditional_statements_that_do_nothing(cql: str) -> None:
    """They succeed and change nothing, so they have happened where nothing had to be done."""
    before = schema(*START)
    assert happened(effect(cql), before)
    assert after(before, effect(cql)) == before


@pytest.mark.parametrize(
    "cql",
    [
        "CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))",
        "CREATE TABLE t (k int, c int, v text, w int, PRIMARY KEY (c, k))",
        (
            "CREATE TABLE t (k int, c int, v text, w int, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER"
            " BY (c DESC)"
        ),
        (
            "CREATE TABLE t (k int, c int, v text, w int, PRIMARY KEY (k, c)) WITH"
            " gc_grace_seconds = 4"
        ),
        "CREATE MATERIALIZED VIEW mv AS SELECT * FROM other WHERE k IS NOT NULL PRIMARY KEY (k)",
        (
            "CREATE MATERIALIZED VIEW mv AS SELECT * FROM t WHERE k > 1 AND c IS NOT NULL PRIMARY"
            " KEY (c, k)"
        ),
        "CREATE TYPE y (a int)",
        "CREATE TYPE y (a int, b int)",
        "CREATE INDEX i ON other (v)",
        "ALTER TABLE t ADD v int",
        "ALTER TABLE nothing ADD a int",
        "ALTER TABLE t RENAME nothing TO no",
    ],
)
def test_something_else_of_that_name(cql: str) -> None:
    assert not happened(effect(cql), schema(*START))


def test_what_nothing_shows_has_not_happened() -> None:
    """Rows, roles and functions: such a statement is repeated."""
    for cql in ("INSERT INTO t (k, c) VALUES (1, 1)", "GRANT ALL ON TABLE t TO r", "TRUNCATE t"):
        assert not happened(effect(cql), schema(*START))
        assert after(schema(*START), effect(cql)) == schema(*START)


def test_dropping_a_table_drops_its_indexes() -> None:
    there = after(schema(*START).without("mv"), effect("DROP TABLE t"))
    assert [e.name for e in there.extras] == ["y"]


def test_a_view_follows_its_base() -> None:
    there = after(schema(*START), effect('ALTER TABLE t RENAME c TO "D"'))
    there = after(there, effect("ALTER TABLE t ADD (x int)"))
    view = there.table("mv")
    assert view is not None
    assert view.where == 'k IS NOT NULL AND "D" IS NOT NULL'
    assert view.key == ("D", "k")
    assert [c.name for c in view.columns] == ["D", "k", "v", "w", "x"]


# --- the text of a statement, changed


@pytest.mark.parametrize(
    "cql",
    [
        "CREATE TABLE t (k int PRIMARY KEY)",
        'CREATE TABLE "T" (t int, "T" int, PRIMARY KEY (t))',
        "create table if not exists\n  t -- t\n (k int PRIMARY KEY)",
        "CREATE /* table x */ TABLE table_t (k int PRIMARY KEY) WITH comment = 't'",
        "CREATE TABLE exists (k int PRIMARY KEY)",
        "CREATE COLUMNFAMILY t (k int PRIMARY KEY)",
        "CREATE MATERIALIZED VIEW view AS SELECT * FROM t WHERE k IS NOT NULL PRIMARY KEY (k)",
    ],
)
@pytest.mark.parametrize("name", ["n", "New"])
def test_renamed(cql: str, name: str) -> None:
    quoted = name if name.islower() else f'"{name}"'
    statement = one("  -- before\n  " + cql + "  -- behind\n;")
    changed = read(one(rewritten(statement, quoted)))
    was = read(statement)
    assert was.table is not None
    assert changed == replace(was, name=name, table=replace(was.table, name=name))


@pytest.mark.parametrize(
    "cql",
    [
        "CREATE TABLE t (k int PRIMARY KEY)",
        "CREATE TABLE t (k int PRIMARY KEY) -- WITH nothing",
        (
            "CREATE TABLE t (\n k int, -- )\n PRIMARY KEY (k) )\n-- a comment WITH words\n WITH"
            " comment = 'x'"
        ),
        'CREATE TABLE "with" ("with" int PRIMARY KEY) with CLUSTERING ORDER BY ()',
        "CREATE TABLE t (k int, v text MASKED WITH mask_inner(1, 2), PRIMARY KEY (k))",
        (
            "CREATE TABLE t (k int, c int, PRIMARY KEY (k, c)) /* ( */ WITH/**/CLUSTERING ORDER BY"
            " (c DESC) AND cdc = true"
        ),
    ],
)
def test_with_id(cql: str) -> None:
    statement = one("\n\n  " + cql + ";")
    changed = read(one(with_id(statement, ID)))
    assert changed == replace(read(statement), id=ID)
    # A shadow gets both.
    both = read(one(with_id(one(rewritten(statement, "n")), ID)))
    assert (both.name, both.id) == ("n", ID)
