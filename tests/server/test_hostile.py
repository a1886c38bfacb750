"""Files that other migration tools split, swallow or change (six of them were tried), through the
command and on the server: what is in the table afterwards is what the file says.

tests/cases/hostile/applied is one folder of migrations; expect.json has the rows of each. Those in
refused are no migrations: each is refused with its place.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cassandra.cluster import Session

from tests.support.cli import Cli
from tests.support.settings import NOWHERE
from tests.support.told import told

CASES = Path(__file__).parents[1] / "cases" / "hostile"
APPLIED = (
    *("semicolon", "dashes", "slashes", "comment_in_string", "doubled_quote", "utf_8"),
    *("backslash", "last_backslash", "dollars_semicolon", "dollars_quote", "three_dashes"),
    *("dash_comment", "slash_comment", "block_comment", "empty_comment", "whole_batch"),
    *("byte_order_mark", "crlf"),
)
REFUSED = {
    "comments_only": "0001_comments_only.cql:1:1: no `-- migrate:up`",
    "empty": "0001_empty.cql:1:1: no `-- migrate:up`",
    "latin_1": "0001_latin_1.cql:3:37: the byte 0xe9 is not UTF-8",
}


def test_every_hostile_file_does_what_it_says(cli: Cli, client: Session) -> None:
    folder = cli.folder / "migrations"
    shutil.rmtree(folder)
    shutil.copytree(CASES / "applied", folder)
    assert tuple(path.stem[5:] for path in sorted(folder.iterdir())[1:]) == APPLIED
    expected = json.loads((CASES / "expect.json").read_text(encoding="utf-8"))
    result = cli("up")
    assert result.code == 0, result.err
    found: dict[str, dict[str, str]] = {}
    for row in client.execute(f"SELECT name, k, v FROM {cli.keyspace}.texts"):
        found.setdefault(row["name"], {})[str(row["k"])] = row["v"]
    assert found == expected
    result = cli("down", "1", "--yes", "--discard-rows")
    assert result.code == 0, result.err
    assert not list(client.execute(f"SELECT * FROM {cli.keyspace}.texts"))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_migration_is_refused_with_its_place(cli: Cli, name: str) -> None:
    folder = cli.folder / "migrations"
    shutil.rmtree(folder)
    folder.mkdir()
    shutil.copy(CASES / "refused" / f"{name}.cql", folder / f"0001_{name}.cql")
    told(cli("up", env=NOWHERE), 4, REFUSED[name], "Nothing was changed.")
