"""Where in its file a refused statement stands: also sent under another name, and with an id."""

from __future__ import annotations

from uuid import UUID

import pytest

from calldrop_migrate.core.cql import split
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.files import parse
from calldrop_migrate.core.operations import Run
from calldrop_migrate.core.plan import Attempt, Facts
from calldrop_migrate.core.rewriting import rewritten, with_id
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.wording import located
from calldrop_migrate.errors import StatementRefused

FILE = """\
-- why
-- migrate:up

-- migrate:rebuild
   CREATE TABLE calls (
      id int,  -- the key
      "day" date,
      PRIMARY KEY (id)
   ) WITH comment = 'calls' AND gc_grace_seconds = 1;
CREATE INDEX ON calls (day);
-- migrate:down
DROP TABLE calls;
"""
MIGRATION = parse("0002_calls.cql", FILE.encode())
EMPTY = Schema("k")
ATTEMPT = Attempt(UUID(int=1), MIGRATION, "up", (), EMPTY, EMPTY, Facts())
CREATE, INDEX = (step.statement for step in MIGRATION.up)


class Refused(StatementRefused):
    """As the cluster package raises it."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(f"line {line}:{column} no viable alternative" if line else "no")
        self.line, self.column = line, column


def place_in(text: str, at: int) -> tuple[int, int]:
    """Line from 1 and column from 0, as servers count."""
    before = text[:at].split("\n")
    return len(before), len(before[-1])


def shadow() -> Run:
    (statement,) = split(rewritten(CREATE, "calls__0002_a1b2c3d4"), "0002_calls.cql")
    return Run(statement, read(statement), written=CREATE)


@pytest.mark.parametrize("as_shadow", [False, True], ids=["itself", "shadow"])
@pytest.mark.parametrize("id_added", [False, True], ids=["as written", "with id"])
def test_every_token_is_found(as_shadow: bool, id_added: bool) -> None:
    operation = shadow() if as_shadow else Run(CREATE, read(CREATE))
    sent = with_id(operation.statement, str(UUID(int=7))) if id_added else operation.text
    at = 0
    for token in CREATE.tokens:
        name = "calls__0002_a1b2c3d4" if as_shadow and token.text == "calls" else token.text
        at = sent.index(name, at)
        said = located(ATTEMPT, operation, sent, Refused(*place_in(sent, at))).message
        at += len(name)
        place = f"0002_calls.cql:{token.line}:{token.column}: "
        assert said.startswith(f"{place}the server refused this statement: no viable"), token


def test_the_statement_is_shown_as_it_is_written() -> None:
    error = located(ATTEMPT, shadow(), shadow().text, Refused(0, 0))
    head, *shown = error.message.splitlines()
    assert head == "0002_calls.cql:5:4: the server refused this statement: no"
    assert shown[:2] == ["    CREATE TABLE calls (", "       id int,  -- the key"]
    assert error.hint == "Mend 0002_calls.cql, then run the same command again."


def test_a_place_behind_the_end_is_the_end() -> None:
    said = located(ATTEMPT, Run(INDEX, read(INDEX)), INDEX.text, Refused(1, 999)).message
    assert said.startswith("0002_calls.cql:10:28: ")


def test_a_statement_that_no_file_has() -> None:
    (statement,) = split("DROP TABLE calls__0002_a1b2c3d4", "calldrop-migrate")
    said = located(ATTEMPT, Run(statement, read(statement)), statement.text, Refused(0, 0)).message
    assert said == (
        "0002_calls.cql: the server refused a statement that the tool made for it: no\n"
        "    DROP TABLE calls__0002_a1b2c3d4"
    )
