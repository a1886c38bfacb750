"""The rules for any text that is taken for CQL, for a migration file, for a folder of them.

Each function says it by assertions; what raises anything but the kinds of fault that it names is a
bug too. Two kinds of search call them: tests/unit/test_any_text.py with Hypothesis in each run of
the tests, and tests/fuzz_cql.py, guided by coverage, for as long as one likes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from calldrop_migrate.core import ddl, files, folder, rewriting, rules
from calldrop_migrate.core.cql import (
    CqlError,
    Kind,
    Statement,
    Token,
    bind_markers,
    literal,
    quote,
    scan,
    split,
    tokenize,
)
from calldrop_migrate.core.declared import as_cql
from calldrop_migrate.core.expansion import declared_at, expand
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.plan import Facts
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.errors import Fault, MigrationFileError

# Texts are made of these and of single characters. The first ones make whole files likely.
FRAGMENTS = (
    *("-- migrate:up\n", "-- migrate:down\n", "-- migrate:irreversible why\n", ";\n"),
    *("-- migrate:rebuild\n", "-- migrate:rebuild into=w drop=v c=toDate(v)\n", "-- migrate:"),
    "CREATE TABLE t (k int, c text, v set<frozen<u>> static, PRIMARY KEY ((k), c))",
    "CREATE TABLE t (k int PRIMARY KEY, v int)",
    "CREATE TABLE IF NOT EXISTS w (k int PRIMARY KEY)",
    " WITH CLUSTERING ORDER BY (c DESC) AND comment = 'it''s; x'",
    " AND compaction = {'class': 'LeveledCompactionStrategy', 'a': 1}",
    " AND ID = 123e4567-e89b-12d3-a456-426614174000",
    "CREATE MATERIALIZED VIEW m AS SELECT * FROM t WHERE k IS NOT NULL PRIMARY KEY (k, c)",
    *("CREATE TYPE u (a int, b frozen<map<text, int>>)", "DROP TYPE u", "ALTER TYPE u ADD c int"),
    *("CREATE INDEX ON t (v)", "CREATE CUSTOM INDEX i ON t (keys(v)) USING 'sai'", "DROP INDEX i"),
    *(" WITH options = {'a': 'b'}", "CREATE FUNCTION f", "CREATE OR REPLACE ", "DROP TABLE t"),
    *("DROP MATERIALIZED VIEW IF EXISTS m", "TRUNCATE TABLE t", "ALTER TABLE t ADD (x int, y u)"),
    *("ALTER TABLE t DROP v", "ALTER TABLE t RENAME c TO d", "ALTER TABLE t WITH gc = 1"),
    *(
        "ALTER TABLE t ALTER v TYPE int",
        "INSERT INTO t (k) VALUES (1)",
        "DELETE FROM t WHERE k = 1",
    ),
    *("UPDATE t SET v = v + 1", "BEGIN BATCH ", "BEGIN UNLOGGED BATCH\n", " APPLY BATCH", "USE x"),
    *("GRANT SELECT ON t TO r", "SELECT", "FROM", "WHERE", "WITH", "PRIMARY KEY", "STATIC", "IF"),
    *("CREATE", "ALTER", "DROP", "TABLE", "KEYSPACE", "options", "id", "batch", "begin", "masked"),
    *("'", "''", '"', '""', "$$", "$", "--", "//", "/*", "*/", "-- x\n", "/* ; */", "\\", "'a;b'"),
    *("\n", "\r\n", "\r", "\ufeff", "\0", "\u00a0", "\u2028", "\x85", "é", "📞", "\ud800", "µs"),
    *(
        "a.b",
        "k",
        "c",
        "v",
        "t",
        '"T ""x"',
        "1h30m",
        "-1.5e3",
        "0xCAFE",
        "P1Y",
        "?",
        ":k",
        "..",
        "!=",
    ),
    *("(", ")", "[", "]", "{", "}", "<", ">", ",", ";", ":", "=", "+", "-", " ", "\t", "\x1c"),
)
_LINES = re.compile(r"\r\n?|\n")
_ID = "123e4567-e89b-12d3-a456-426614174000"
_BETWEEN_FILES = "\x1c"


def holds(text: str) -> None:
    """Everything that holds for a text."""
    tokens_cover(text)
    statements_are_whole(text)
    names_and_strings_come_back(text)
    files_say_the_same(text)
    folders_are_read(text)


def tokens_cover(text: str) -> None:
    """Tokens are pieces of the text in order, only blanks lie between them, places are right."""
    tokens, faults = scan(text)
    before = 0
    for token in tokens:
        assert token.start >= before
        assert text[token.start : token.end] == token.text != ""
        assert (token.line, token.column) == _place(text, token.start)
        assert faults or not _between(text, before, token.start)
        before = token.end
    assert faults or not _between(text, before, len(text))
    _located(text, faults)


def _between(text: str, start: int, end: int) -> str:
    return text[start or int(text.startswith("\ufeff")) : end].strip(" \t\r\n")


def _place(text: str, at: int) -> tuple[int, int]:
    lines = _LINES.split(text[:at].removeprefix("\ufeff"))
    return len(lines), len(lines[-1]) + 1


def _located(text: str, faults: Sequence[Fault]) -> None:
    """Faults stand at a character of the text, and say something."""
    lines = _LINES.split(text.removeprefix("\ufeff"))
    for fault in faults:
        assert 1 <= fault.place.line <= len(lines), fault
        assert 1 <= fault.place.column <= max(len(lines[fault.place.line - 1]), 1), fault
        assert fault.message
        assert str(fault).startswith(str(fault.place))


def statements_are_whole(text: str) -> None:
    """A statement's text says alone what it said in the file, and again when split again."""
    try:
        statements = split(text)
    except CqlError as error:
        _located(text, [error.fault])
        return
    for statement in statements:
        (again,) = split(statement.text)
        assert again.text == statement.text
        assert _said(again.tokens) == _said(statement.tokens)
        assert tokenize(statement.text)[-1].kind is not Kind.COMMENT
        assert (statement.place.line, statement.place.column) == (
            statement.tokens[0].line,
            statement.tokens[0].column,
        )
        markers = list(bind_markers(statement.tokens))
        assert all(marker.text in "?:" for marker in markers)
        _located(text, list(rules.misplaced(statement)))
        effect_is_read(text, statement)
    joined = ";\n".join(statement.text for statement in statements)
    assert [s.text for s in split(joined)] == [s.text for s in statements]


def _said(tokens: Sequence[Token]) -> list[tuple[Kind, str, str]]:
    return [(token.kind, token.text, token.value) for token in tokens]


def effect_is_read(text: str, statement: Statement) -> None:
    """A statement has an effect or a fault; a table's stays the same under another name."""
    try:
        effect = ddl.read(statement)
    except CqlError as error:
        _located(text, [error.fault])
        return
    if effect.kind != "table" or effect.table is None or _reserved(statement):
        return
    (other,) = split(rewriting.rewritten(statement, quote("a b")))
    named = replace(effect.table, name="a b")
    assert ddl.read(other) == replace(effect, name="a b", table=named)
    (wider,) = split(rewriting.rewritten(statement, "w", "extra boolean"))
    widened = ddl.read(wider).table
    assert widened is not None
    assert {c.name for c in widened.columns} == {c.name for c in effect.table.columns} | {"extra"}
    if not effect.id:
        (marked,) = split(rewriting.with_id(statement, _ID))
        assert ddl.read(marked) == replace(effect, id=_ID)


def _reserved(statement: Statement) -> bool:
    """A reserved word stands where a name must: no server takes that."""
    return any(
        token.kind is Kind.WORD and token.is_word("with", "if") and follows.is_symbol("(,)")
        for token, follows in zip(statement.tokens, statement.tokens[1:], strict=False)
    )


def names_and_strings_come_back(text: str) -> None:
    """A name that is quoted is read as it was."""
    (string,) = tokenize(literal(text))
    assert (string.kind, string.value) == (Kind.STRING, text)
    (name,) = tokenize(quote(text))
    assert name.is_name()
    assert name.value == text


def files_say_the_same(text: str) -> None:
    """A file is read or faulty in the same way whatever its newlines, and so is what was kept."""
    data = text.encode("utf-8", "surrogatepass")
    told = _file(data)
    plain = b"\n".join(re.split(rb"\r\n?|\n", data))
    for newline in (b"\n", b"\r\n", b"\r"):
        assert _file(plain.replace(b"\n", newline)) == told
    if not data.startswith(b"\xef\xbb\xbf"):
        assert _file(b"\xef\xbb\xbf" + data) == told
    if isinstance(told, Migration):
        assert _file(told.text.encode()) == told
        assert told.up
        assert told.down or told.irreversible


def _file(data: bytes) -> Migration | tuple[Fault, ...]:
    try:
        return files.parse("0001_x.cql", data)
    except MigrationFileError as error:
        _located(data.decode(errors="replace"), error.faults)
        return error.faults


def folders_are_read(text: str) -> None:
    """A folder is read, planned up and back, and declared as CQL; or its faults have places."""
    parts = text.encode("utf-8", "surrogatepass").split(_BETWEEN_FILES.encode())
    contents = {f"{number:04d}_x.cql": part for number, part in enumerate(parts, 1)}
    migrations, faults = _folder(contents)
    for fault in faults:
        _located(contents[fault.place.file].decode(errors="replace"), [fault])
    schema = Schema("")
    for migration in migrations:
        filled = frozenset(table.name for table in schema.tables)
        facts = Facts(filled=filled, set_aside=True, outage_accepted=True)
        try:
            schema = expand(migration, "up", UUID(int=1), schema, facts).after
            if migration.irreversible is None:
                expand(migration, "down", UUID(int=2), schema, facts)
        except MigrationFileError as error:
            raise AssertionError(f"found only in the plan: {error}") from error
    split(as_cql(declared_at(migrations, len(migrations))))


def _folder(contents: Mapping[str, bytes]) -> tuple[tuple[Migration, ...], tuple[Fault, ...]]:
    try:
        return folder.load(contents), ()
    except MigrationFileError as error:
        return (), error.faults
