"""What a server would refuse, from the schema alone; names, masks and passwords in statements."""

from __future__ import annotations

import pytest

from calldrop_migrate.core import masks, options
from calldrop_migrate.core.cql import Statement, split
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.effects import after
from calldrop_migrate.core.readding import is_incompatible
from calldrop_migrate.core.refusals import (
    Server,
    free_index_name,
    lost_by_view,
    refusals,
    views_against,
)
from calldrop_migrate.core.rewriting import named, rewritten
from calldrop_migrate.core.schema import Schema, from_json, to_json
from calldrop_migrate.core.secrets import hide, is_hidden, shown, shown_file


def one(cql: str) -> Statement:
    (statement,) = split(cql)
    return statement


def effect(cql: str) -> Effect:
    return read(one(cql))


def schema(*statements: str) -> Schema:
    found = Schema("k", (("class", "X"),))
    for cql in statements:
        found = after(found, effect(cql))
    return found


TABLE = "CREATE TABLE t (k int, c int, v int, w int, PRIMARY KEY (k, c))"


def why(found: Schema, cql: str, server: Server = "Cassandra") -> list[str]:
    return [message for message, _ in refusals(found, effect(cql), server)]


# -- columns that were dropped ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "cassandra", "scylla"),
    [
        ("int", "int", False, False),
        ("varchar", "text", False, False),
        ("int", "bigint", True, False),
        ("ascii", "text", False, False),
        ("text", "ascii", True, False),
        ("int static", "int", True, False),
        ("int", "int static", True, False),
        ("frozen<u>", "frozen<u>", True, False),
        ("frozen<u>", "frozen<tuple<int, text>>", False, False),
        ("frozen<nest>", "tuple<tuple<int, text>, int>", False, False),
        ("frozen<list<frozen<u>>>", "frozen<list<frozen<u>>>", True, False),
        ("list<frozen<u>>", "list<frozen<u>>", True, False),
        ("list<int>", "list<int>", False, False),
        ("list<int>", "list<text>", True, True),
        ("list<int>", "set<int>", True, True),
        ("list<int>", "frozen<list<int>>", True, False),
        ("map<text, int>", "map<text, blob>", True, True),
        ("vector<float, 3>", "vector<float, 3>", False, False),
        ("tuple<int>", "tuple<int, int>", False, False),
        ("tuple<int, int>", "tuple<int>", True, False),
    ],
)
def test_a_column_in_place_of_a_dropped_one(
    old: str, new: str, cassandra: bool, scylla: bool
) -> None:
    kinds = ("CREATE TYPE u (a int, b text)", "CREATE TYPE nest (a frozen<u>, b int)")
    found = schema(*kinds, TABLE, f"ALTER TABLE t ADD x {old}", "ALTER TABLE t DROP x")
    assert from_json(to_json(found)) == found
    servers: tuple[tuple[Server, bool], ...] = (("Cassandra", cassandra), ("ScyllaDB", scylla))
    for server, refused in (*servers, ("", scylla)):
        assert bool(why(found, f"ALTER TABLE t ADD x {new}", server)) == refused, server
    # What a rebuild makes has no memory of it.
    anew = after(after(found, effect("DROP TABLE t")), effect(TABLE))
    assert why(anew, f"ALTER TABLE t ADD x {new}") == []


def test_a_counter_does_not_come_back() -> None:
    made = "CREATE TABLE n (k int PRIMARY KEY, a counter, b counter)"
    found = schema(made, "ALTER TABLE n DROP a")
    servers: tuple[Server, ...] = ("Cassandra", "ScyllaDB", "")
    for server in servers:
        assert why(found, "ALTER TABLE n ADD a counter", server)


def test_what_surely_does_not_read_the_other() -> None:
    assert not is_incompatible("blob", "tuple<int>")
    assert is_incompatible("blob", "list<int>")
    assert not is_incompatible("text", "")


# -- views on a table that loses a column ----------------------------------------------------------

NOT_NULL = "k IS NOT NULL AND c IS NOT NULL"
VIEWS = {
    "all": f"SELECT * FROM t WHERE {NOT_NULL} PRIMARY KEY (c, k)",
    "keys": f"SELECT k, c FROM t WHERE {NOT_NULL} PRIMARY KEY (c, k)",
    "by_v": f"SELECT k, c, v FROM t WHERE {NOT_NULL} AND v IS NOT NULL PRIMARY KEY (v, k, c)",
    "with_w": f"SELECT k, c, w FROM t WHERE {NOT_NULL} PRIMARY KEY (c, k)",
}


def test_the_views_that_keep_a_column_from_being_dropped() -> None:
    found = schema(TABLE, *(f"CREATE MATERIALIZED VIEW {n} AS {s}" for n, s in VIEWS.items()))
    drop = effect("ALTER TABLE t DROP w")
    assert {v.name for v in views_against(found, drop, "Cassandra")} == set(VIEWS)
    # A view of another key doesn't depend on columns that it hasn't selected.
    assert {v.name for v in views_against(found, drop, "ScyllaDB")} == set(VIEWS) - {"by_v"}
    lost = {v.name: lost_by_view(v, drop.drop) for v in found.views_on("t")}
    assert lost == {"all": "", "keys": "", "by_v": "", "with_w": "w"}
    assert lost_by_view(found.views_on("t")[1], ("v",)) == "v"


def test_a_refused_statement_is_refused_of_what_is_known_alone() -> None:
    """Without a server an object that no file makes may have been there before."""
    for cql in ("DROP TABLE x", "ALTER TABLE x ADD a int", "DROP INDEX i"):
        assert why(Schema(""), cql, "") == []
        assert why(Schema("k"), cql) != []
        assert why(Schema("k"), cql.replace("TABLE x", "TABLE IF EXISTS x")) in (
            [],
            why(Schema("k"), cql),
        )
    assert why(schema(TABLE), f"{TABLE[:13]}IF NOT EXISTS {TABLE[13:]}") == []
    assert why(schema(TABLE), "ALTER TABLE t ADD IF NOT EXISTS v int") == []
    assert why(schema(TABLE), "ALTER TABLE t DROP IF EXISTS nothing") == []


# -- names, masks, passwords -----------------------------------------------------------------------


def test_a_free_name_for_an_index() -> None:
    found = schema(TABLE)
    for name in ("t_v_idx", "t_v_idx_1", "t_v_idx_2"):
        made = effect("CREATE INDEX ON t (v)")
        assert free_index_name(found, made) == name
        statement = one(named(one("CREATE  INDEX  ON t (v)"), name))
        assert statement.text == f"CREATE  INDEX  {name} ON t (v)"
        found = after(found, read(statement))
    again = effect("CREATE INDEX IF NOT EXISTS ON t (v)")
    assert free_index_name(found, again) == "t_v_idx"  # no second one is made
    assert free_index_name(found, effect("CREATE INDEX IF NOT EXISTS ON t (w)")) == "t_w_idx"


def test_masks_put_into_a_create() -> None:
    create = one(
        'CREATE TABLE t (k int, "Mail" text, s list<frozen<u>> STATIC, m text masked with default,'
        " PRIMARY KEY (k))"
    )
    put = {"Mail": "mask_inner(1, null)", "s": "mask_null()", "k": "mask_default()"}
    text = rewritten(create, "x", "extra boolean", put)
    assert text == (
        'CREATE TABLE x (extra boolean, k int MASKED WITH mask_default(), "Mail" text MASKED WITH'
        " mask_inner(1, null), s list<frozen<u>> STATIC MASKED WITH mask_null(), m text masked with"
        " default, PRIMARY KEY (k))"
    )
    table = read(one(text)).table
    assert table is not None
    assert {c.name: c.mask for c in table.columns if c.mask} == {**put, "m": "mask_default()"}
    single = one("CREATE TABLE t (k int PRIMARY KEY, v int)")
    assert rewritten(single, "t", masked={"k": "mask_null()"}) == (
        "CREATE TABLE t (k int MASKED WITH mask_null() PRIMARY KEY, v int)"
    )


@pytest.mark.parametrize(
    ("name", "types", "values", "nulls", "mask"),
    [
        ("mask_default", [], [], [], "mask_default()"),
        (
            "mask_inner",
            ["int", "int", "text"],
            ["1", "", "#"],
            [False, True, False],
            "mask_inner(1, null, '#')",
        ),
        ("mask_replace", ["blob"], ["ab"], [False], "mask_replace(0xab)"),
        ("mask_replace", ["date"], ["2026-01-01"], [False], "mask_replace('2026-01-01')"),
        ("mask_replace", ["set<int>"], ["0001"], [False], "mask_replace(<set<int> 0001>)"),
    ],
)
def test_masks_as_a_server_keeps_them(
    name: str, types: list[str], values: list[str], nulls: list[bool], mask: str
) -> None:
    row = {
        "function_keyspace": "system",
        "function_name": name,
        "function_argument_types": types,
        "function_argument_values": values,
        "function_argument_nulls": nulls,
    }
    assert masks.from_row(row) == mask
    assert masks.from_row({**row, "function_keyspace": "My"}) == f'"My".{mask}'
    assert masks.can_be_written(mask) == ("<" not in mask)


def test_the_same_mask() -> None:
    assert masks.are_same("mask_replace({1, 2})", "mask_replace(<set<int> 0001>)")
    assert masks.are_same("", "")
    for one_, other in (("mask_default()", ""), ("mask_inner(1, 1)", "mask_inner(1, 2)")):
        assert not masks.are_same(one_, other)
    assert not masks.are_same("mask_replace(1)", "mask_null()")


SECRETS = """-- a comment's 'PASSWORD = '
CREATE ROLE a WITH PASSWORD = 'one' AND LOGIN = true;
create user b with password $$two$$;
ALTER ROLE a WITH HASHED PASSWORD = 'thr''ee';
CREATE ROLE c WITH SALTED HASH = 'four';
UPDATE t SET password = 'kept' WHERE id = 'password';
"""


def test_passwords_are_left_out() -> None:
    text = shown_file(SECRETS)
    for word in ("one", "two", "thr", "four"):
        assert word not in text
    assert text.count("'***'") == 4
    assert "'kept'" in text
    assert is_hidden(text)
    assert not is_hidden(SECRETS)
    assert shown_file(text) == text
    statements = split(SECRETS)
    assert "".join(map(shown, statements)).count("'***'") == 4
    assert hide("at input 'one'", statements[0]) == "at input '***'"
    assert hide("no", statements[4]) == "no"


def test_options_that_one_side_has() -> None:
    """A newer server that shows more is no difference; what it shows at its default is none."""
    one_, other = {"gc_grace_seconds": 1}, {"gc_grace_seconds": 1, "new": 5, "cdc": False}
    assert list(options.differences(one_, other)) == []
    assert list(options.differences(one_, {**one_, "cdc": True})) == ["cdc: false -> true"]
    assert list(options.differences(one_, {}, one_sided=True)) == [
        "gc_grace_seconds: 1 -> not named"
    ]
