"""The count before a DROP, where rows end all the time on one side alone, and where they don't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.settings import GO_ASIDE
from tests.support.told import ok, only

pytestmark = pytest.mark.thorough

SLOW = ("--max-rows-per-second", "200")  # something ends between one side and the other
GO_SLOWLY = (*GO_ASIDE, *SLOW)
A_SECOND, FROM, TO = 5, 5, 65  # rows that end, first and last second
KEY = "id int, c int"
ENDING = [
    (how, rest, values)
    for rest, values in (
        ("v text, tags set<text>,", "(id, c, v, tags) VALUES (?, ?, 'x', {{'a', 'b'}})"),
        ("tags set<text>,", "(id, c, tags) VALUES (?, ?, {{'a', 'b'}})"),
        ("", "(id, c) VALUES (?, ?)"),
    )
    for how in ("scylla", "cli")
]


def keyed(table: str, *, rest: str) -> dict[str, str]:
    """Revisions: a table, and its rebuild with its key turned round."""
    shape = f"CREATE TABLE {table} ({KEY}, {rest} PRIMARY KEY ({{}}));\n".format
    back = "-- migrate:irreversible x\n"
    return {
        "r0001_t": f"-- migrate:up\n{shape('id, c')}{back}",
        "r0002_t": f"-- migrate:up\n-- migrate:rebuild\n{shape('c, id')}{back}",
    }


def fill(client: Any, cli: Cli, *statements: str, rows: Sequence[int] = ()) -> None:
    """Rows of which so many end each second, from now on."""
    prepared = [client.prepare(cql.format(f"{cli.keyspace}.t")) for cql in statements]
    waiting = []
    for at in rows or range(A_SECOND * (TO - FROM)):
        for one in prepared:
            names = {column.name for column in one.column_metadata}
            values = {"id": at, "c": at % 7, "[ttl]": FROM + at // A_SECOND}
            waiting.append(client.execute_async(one, {n: values[n] for n in names}))
    for request in waiting:
        request.result()


def count(client: Any, cli: Cli, table: str = "t") -> int:
    found = client.execute(f"SELECT COUNT(*) AS n FROM {cli.keyspace}.{table}")
    return int(found.one()["n"])


ALL = A_SECOND * (TO - FROM)
FOR_EVER = "INSERT INTO {} (id, c) VALUES (?, ?)"


def test_values_that_go_aside_and_end(cli: Cli, client: Any) -> None:
    """The row stays, and its row aside ends."""
    only(
        cli,
        r0001_t=f"-- migrate:up\nCREATE TABLE t ({KEY}, name text, session text,"
        " PRIMARY KEY (id));\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t="-- migrate:up\nALTER TABLE t DROP session;\n"
        "-- migrate:down\nALTER TABLE t ADD session text;\n",
    )
    ok(cli("up", "1"))
    fill(
        client,
        cli,
        "INSERT INTO {} (id, c, name) VALUES (?, ?, 'n')",
        "UPDATE {} USING TTL ? SET session = 's' WHERE id = ?",
    )
    ok(cli("up", *GO_SLOWLY))
    assert count(client, cli) == ALL


def test_rows_that_outlive_their_cells(cli: Cli, client: Any) -> None:
    """They were inserted for ever; their copies end with the last cell."""
    only(cli, **keyed("t", rest="v text,"))
    ok(cli("up", "1"))
    fill(client, cli, FOR_EVER, "UPDATE {} USING TTL ? SET v = 'x' WHERE id = ? AND c = ?")
    ok(cli("up", *GO_SLOWLY))


@pytest.mark.parametrize(("how", "rest", "values"), ENDING)
def test_rows_that_end_before_their_copies(
    request: pytest.FixtureRequest, client: Any, how: str, rest: str, values: str
) -> None:
    """Nothing tells that their elements end, or that a row of keys alone does."""
    cli: Cli = request.getfixturevalue(how)
    only(cli, **keyed("t", rest=rest))
    ok(cli("up", "1"))
    fill(client, cli, f"INSERT INTO {{}} {values} USING TTL ?")
    ok(cli("up", *GO_SLOWLY))
