"""Migration files: what is read of good ones, and the report on bad ones.

The bad ones are folders in tests/cases/faulty, each with the report that is expected as expect.txt.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calldrop_migrate.core.cql import literal
from calldrop_migrate.core.files import Migration, Rebuild, parse
from calldrop_migrate.core.folder import load
from calldrop_migrate.errors import Fault, MigrationFileError, Place

ROOT = Path(__file__).parents[2]
FAULTY = sorted((ROOT / "tests/cases/faulty").iterdir())

UP = "-- migrate:up\n"
DOWN = "\n-- migrate:down\nDROP TABLE t;\n"


def folder(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir() if p.name != "expect.txt"}


def texts(text: str) -> list[str]:
    """The statements of the way up."""
    return [step.statement.text for step in parse("0001_x.cql", text.encode()).up]


def rebuild(arguments: str, columns: str = "k int PRIMARY KEY") -> Rebuild:
    text = f"{UP}-- migrate:rebuild {arguments}\nCREATE TABLE t ({columns});{DOWN}"
    found = parse("0001_x.cql", text.encode()).up[0].rebuild
    assert found is not None
    return found


def report(files: dict[str, str | bytes]) -> str:
    with pytest.raises(MigrationFileError) as caught:
        load({name: f.encode() if isinstance(f, str) else f for name, f in files.items()})
    assert caught.value.exit_code == 4
    return str(caught.value)


# --- Good files


def test_the_shipped_migrations() -> None:
    migrations = load(folder(ROOT / "migrations"))
    assert [m.name for m in migrations] == ["0001", "0002", "0003", "0004"]
    second = migrations[1]
    assert (second.number, second.slug) == (2, "destination_clustering")
    assert second.title == "destination clustering"
    assert second.file == "0002_destination_clustering.cql"
    assert second.irreversible is None
    for step in (*second.up, *second.down):
        assert step.statement.words(3) == ("create", "table", "call_records")
        assert step.rebuild is not None
        assert step.rebuild.into is None
        assert step.rebuild.place.line == step.statement.place.line - 1
    assert migrations[3].up[0].rebuild is None


def test_what_is_in_a_migration() -> None:
    text = "-- Why.\n-- migrate:up\n\n  INSERT INTO t (k) VALUES (1);; -- one\nDROP TABLE u"
    text += " -- two\n;\n-- migrate:irreversible the rows of u are gone  \n"
    migration = parse("0012_two_words.cql", text.encode())
    assert migration.name == "0012"
    assert migration.title == "two words"
    assert migration.text == text
    assert migration.checksum == hashlib.sha256(text.encode()).digest()
    assert [s.statement.text for s in migration.up] == [
        "INSERT INTO t (k) VALUES (1)",
        "DROP TABLE u",
    ]
    assert str(migration.up[0].statement.place) == "0012_two_words.cql:4:3"
    assert migration.down == ()
    assert migration.irreversible == "the rows of u are gone"


def test_the_last_semicolon_may_be_missing() -> None:
    assert len(parse("0001_x.cql", f"{UP}DROP TABLE a;{DOWN}".rstrip(";\n").encode()).down) == 1


def test_checksum_and_text_are_the_same_whatever_the_editor() -> None:
    text = f"{UP}INSERT INTO t (k) VALUES ('a\nb');{DOWN}"
    crlf = text.replace("\n", "\r\n")
    marked = ("\ufeff" + text, "\ufeff" + crlf, "\ufeff\ufeff" + text)
    for other in (crlf, *marked, text.replace("\n", "\r")):
        migration = parse("0001_x.cql", other.encode())
        assert migration == parse("0001_x.cql", text.encode())
    assert parse("0001_x.cql", (text + "\n").encode()).checksum != migration.checksum


def test_files_that_are_no_migrations_are_left_alone() -> None:
    good = f"{UP}DROP TABLE a;{DOWN}".encode()
    others = (".0002_hidden.cql", "README.md", "__pycache__", "__init__.py", "0002_x.cql~", "a.sql")
    assert [m.name for m in load({"0001_x.cql": good} | dict.fromkeys(others, b"'"))] == ["0001"]
    assert load({}) == ()


def test_python_migrations_are_not_there_yet() -> None:
    assert report({"0001_by_code.py": "def up(db): ..."}) == (
        "0001_by_code.py:1:1: only .cql migrations are supported so far"
    )


def test_directives_are_comments_of_their_own() -> None:
    values = ["-- migrate:down", "\n-- migrate:down\n", "/*", "-- migrate up"]
    inserts = [f"INSERT INTO t (k) VALUES ({literal(v)})" for v in values]
    inserts += ["INSERT INTO t (k) VALUES ($$\n-- migrate:down\n$$)", 'DROP TABLE "-- migrate:x"']
    assert texts(UP + ";\n".join(inserts) + f"; /*\n-- migrate:down\n*/ {DOWN}") == inserts


@pytest.mark.parametrize(
    "comment",
    [
        "-- migrated by ana",
        "-- migrates rows",
        "-- migrations are fun",
        "-- migrations: see the wiki",
        "-- see -- migrate:up",
        "-- to migrate: up",
        "// immigrate:up to here",
        "-- state:up or state:down",
        "/*\n-- migrate:up\n*/",
        "/* migrate the rows */",
        "-- note: down below",
    ],
)
def test_other_comments_are_free(comment: str) -> None:
    assert len(texts(f"{comment}\n{UP}{comment}\nDROP TABLE a;{DOWN}{comment}\n")) == 1


# --- Rebuilds


def test_rebuild_arguments() -> None:
    assert rebuild("") == Rebuild(Place("0001_x.cql", 2, 1), None, (), ())
    found = rebuild(
        'into=New drop=A  drop="B b" k=CAST( a AS text ) \t "C c"="a=b"'
        " d=e[\"f g\"] g=f(a, (b), ')')",
        'k text PRIMARY KEY, "C c" int, d int, g int',
    )
    assert found.into == "new"
    assert found.drop == ("a", "B b")
    assert found.assign == (
        ("k", "CAST( a AS text )"),
        ("C c", '"a=b"'),
        ("d", 'e["f g"]'),
        ("g", "f(a, (b), ')')"),
    )


def test_a_rebuild_belongs_to_one_statement() -> None:
    create = "CREATE TABLE t (k int PRIMARY KEY);"
    text = f"{UP}-- migrate:rebuild\n-- why\n\n{create}\n{create}{DOWN}"
    assert [step.rebuild is not None for step in parse("0001_x.cql", text.encode()).up] == [
        True,
        False,
    ]


def test_rebuild_of_what_earlier_revisions_made() -> None:
    create, into = "CREATE TABLE {} (k int PRIMARY KEY);", "-- migrate:rebuild into=v\n"
    again, back = "-- migrate:rebuild\n" + create, "-- migrate:down\nDROP TABLE v;\n"
    load(
        {
            "0001_a.cql": f"{UP}{create.format('IF NOT EXISTS T')}{DOWN}".encode(),
            "0002_b.cql": f"{UP}{into}{create.format('t')}\n{again.format('v')}{back}".encode(),
            "0003_c.cql": f"{UP}DROP TABLE x;\n-- migrate:down\n{again.format('v')}".encode(),
        }
    )


# --- The cases on which other tools fail, as files

HOSTILE = {
    "semicolon": "'a;b'",
    "dashes": "'a -- b'",
    "slashes": "'http://x'",
    "comment": "'a /* b */ c'",
    "doubled quote": "'it''s'",
    "not ASCII": "'žluťoučký 電話 📞'",
    "backslash": r"'back\slash'",
    "backslash at the end": r"'tail\'",
    "dollars": "$$d;e$$",
    "dollars and a quote": "$$it's; ok$$",
    "three dashes": "'a---b'",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values(value: str) -> None:
    inserts = [f"INSERT INTO t (k, v) VALUES ({n}, {value})" for n in (1, 2)]
    assert texts(UP + ";\n".join(inserts) + ";" + DOWN) == inserts


@pytest.mark.parametrize("comment", ["-- it's; x", "// it's; x", "/* ; */", "/**/", "/* it's\n;*/"])
def test_hostile_comments(comment: str) -> None:
    inserts = ["INSERT INTO t (k) VALUES (1)", "INSERT INTO t (k) VALUES (2)"]
    text = f"{comment}\n{UP}{comment}\n{inserts[0]}; {comment}\n{inserts[1]} {comment}\n;{DOWN}"
    assert texts(text + comment) == inserts


def test_hostile_batch() -> None:
    batch = "BEGIN BATCH\nINSERT INTO t (k) VALUES (1);\nINSERT INTO t (k) VALUES (2);\nAPPLY BATCH"
    assert texts(f"{UP}{batch};{DOWN}") == [batch]


@pytest.mark.parametrize("text", ["", "\n", "-- only; this\n", "\ufeff/* and it's this */"])
def test_nothing_is_never_recorded_as_applied(text: str) -> None:
    assert report({"0001_x.cql": text}).startswith("0001_x.cql:1:1: no `-- migrate:up`")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"{UP}-- 電話 ä\r\n-- é ".encode() + b"\xe9", "3:6: the byte 0xe9 is not UTF-8"),
        ("-- é".encode("latin-1"), "1:4: the byte 0xe9 is not UTF-8"),
        (UP.encode("utf-16"), "1:1: the byte 0xff is not UTF-8\n    the file is UTF-16"),
        (UP.encode("utf-16-le"), "1:2: this character (U+0000, a control character) is not CQL"),
    ],
)
def test_not_utf8(data: bytes, expected: str) -> None:
    assert report({"0001_x.cql": data}).startswith(f"0001_x.cql:{expected}")


# --- Bad files


@pytest.mark.parametrize("case", FAULTY, ids=lambda case: str(case.name))
def test_report(case: Path) -> None:
    assert report({**folder(case)}) == (case / "expect.txt").read_text().strip()


@pytest.mark.parametrize(
    ("comment", "meant"),
    [
        ("-- migrate up", "up"),
        ("-- migrate:Up", "up"),
        ("-- migrate : up", "up"),
        ("-- migration:up", "up"),
        ("-- MIGRATE:UP", "up"),
        ("--migrate:up", "up"),
        ("--- migrate:up", "up"),
        ("--  migrate:up", "up"),
        ("// migrate:up", "up"),
        ("/* migrate:up */", "up"),
        ("-- +migrate Up", "up"),
        ("-- migrate:upp", "up"),
        ("-- migrate;down", "down"),
        ("-- migrate:donw", "down"),
        ("-- migrate=rollback", "down"),
        ("-- migrate:undo", "down"),
        ("-- mirgate:down", "down"),
        ("-- migrate:rebuid into=x", "rebuild into=x"),
        ("-- migrate irreversible rows are lost", "irreversible rows are lost"),
    ],
)
def test_suggestions(comment: str, meant: str) -> None:
    found = report({"0001_x.cql": f"{comment}\n"})
    assert f"`{comment}` is no directive\n    did you mean `-- migrate:{meant}`?" in found


def test_one_mistake_is_one_fault() -> None:
    text = f"-- Migrate:up\nCREATE TABLE t (k int PRIMARY KEY);{DOWN}"
    with pytest.raises(MigrationFileError) as caught:
        parse("0001_x.cql", text.encode())
    assert len(caught.value.faults) == 1


def test_parse_gives_all_faults_of_its_file() -> None:
    with pytest.raises(MigrationFileError) as caught:
        parse("1_x.cql", b"-- migrate:up\nUSE a;\nSELECT ?;")
    assert [f.place.line for f in caught.value.faults] == [1, 2, 3, 3, 1]


# --- What holds for any file

DIRECTIVES = (
    "up",
    "down",
    "rebuild",
    "rebuild into=u",
    "irreversible",
    "irreversible so",
    "Up",
    "x",
)
STATEMENTS = (
    "CREATE TABLE t (k int)",
    "USE a",
    "BEGIN BATCH",
    "APPLY BATCH",
    "DROP TABLE a.b",
    "'",
)
LINES = st.one_of(
    st.sampled_from(DIRECTIVES).map(lambda name: f"-- migrate:{name}"),
    st.sampled_from(STATEMENTS),
    st.sampled_from(STATEMENTS).map(lambda s: s + ";"),
    st.text(st.sampled_from(";'\"$-/*: amigrte?{}\0é"), max_size=10),
)


def outcome(data: bytes) -> Migration | tuple[Fault, ...]:
    try:
        return parse("0001_x.cql", data)
    except MigrationFileError as error:
        return error.faults


@settings(deadline=None)
@given(st.lists(LINES, max_size=12).map(lambda lines: "\n".join(lines).encode()) | st.binary())
def test_any_file_is_a_migration_or_a_report(data: bytes) -> None:
    found = outcome(data)
    if isinstance(found, Migration):
        assert found.up
        assert (found.irreversible is None) == bool(found.down)
        assert found.text == data.decode()
    else:
        assert len(set(found)) == len(found) > 0
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
        assert all(1 <= fault.place.line <= lines for fault in found)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(("USE a", "DROP TABLE b.c", "SELECT 1", "DROP TABLE d")), max_size=6)
)
def test_all_faults_of_all_files_are_in_one_report(statements: list[str]) -> None:
    good: dict[str, bytes] = {}
    expected = 0
    for number, statement in enumerate([*statements, "USE z"], start=1):
        good[f"{number:04d}_x.cql"] = f"{UP}{statement};{DOWN}".encode()
        expected += statement != "DROP TABLE d"
    with pytest.raises(MigrationFileError) as caught:
        load(good)
    assert len(caught.value.faults) == expected


def test_a_migration_is_a_value() -> None:
    one, two = (parse("0001_x.cql", f"{UP}DROP TABLE a;{DOWN}".encode()) for _ in range(2))
    assert one == two
    assert isinstance(one, Migration)
    assert hash(one) == hash(two)


def test_a_file_that_the_history_cannot_keep() -> None:
    rest = f"\n{UP}CREATE TABLE t (a int PRIMARY KEY);{DOWN}"
    whole = f"-- {'x' * (2**20 - len(rest) - 3)}{rest}"
    assert len(parse("0001_x.cql", whole.encode()).text) == 2**20
    with pytest.raises(MigrationFileError) as caught:
        parse("0001_x.cql", b"INSERT" * 2**20 * 3)
    (fault,) = caught.value.faults
    assert str(fault).startswith("0001_x.cql:1:1: the file has 18.0 MiB; at most 1 MiB")
    assert "calldrop-migrate new rows --seed" in fault.hint
