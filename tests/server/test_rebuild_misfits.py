"""Rows that the other shape can't hold: counted and shown, set aside and brought back, or
discarded.

On the way up to revision 2 a call without a destination has no place; on the way down from it two
calls of one phone at one moment have one key.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import cells
from tests.support.calls import AT_2, NEW_YEAR, Writer, calls, write_mixed
from tests.support.cli import Cli
from tests.support.misfits import (
    DOUBLE,
    WITHOUT,
    newest_of_each,
    write_collisions,
    write_without_destination,
)
from tests.support.schema import tables_in
from tests.support.settings import GO
from tests.support.told import ok

pytestmark = pytest.mark.journey


def test_rows_without_a_destination_go_aside_and_come_back(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    writer = Writer(client, cli.keyspace)
    write_mixed(writer, each=5)
    write_without_destination(writer, 23)
    at_1, shape_1 = calls(client, cli)
    fit = {key: row for key, row in at_1.items() if "destination_number" in row}
    assert len(at_1) - len(fit) == 23

    for command in (("plan",), ("up", *GO)):
        refused = cli(*command)
        assert refused.code == 9, command
        said = refused.err + refused.out
        assert "23 rows have a null" in said
        assert said.count("(destination_number is null)") == 5
        assert "'+1234567" in said
        assert "--set-aside" in said
    assert cells.differences(at_1, calls(client, cli)[0]) == []
    assert cli("plan", "--set-aside", "--outage-accepted").code == 0

    ok(cli("up", *GO, "--set-aside"))
    at_4, _ = calls(client, cli)
    assert cells.differences(cells.by(fit, shape_1, AT_2), at_4) == []
    aside = cells.read(client, cli.keyspace, WITHOUT)
    rest = {key: row for key, row in at_1.items() if key not in fit}
    assert cells.differences(rest, aside) == []
    # Aside tables are nobody's schema.
    assert "as recorded" in ok(cli("status"))
    assert WITHOUT not in ok(cli("verify"))

    ok(cli("down", "1", *GO))
    again, _ = calls(client, cli)
    # The column that was key at 2 has no write time of its own any more.
    found = [
        line
        for line in cells.differences(at_1, again, earlier=2 * cells.EARLIER)
        if ".destination_number " not in line
    ]
    assert found == []
    assert WITHOUT not in tables_in(client, cli)


@pytest.mark.thorough
def test_colliding_rows_go_aside_and_come_back(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    write_collisions(client, cli, groups=20)
    at_4, shape_4 = calls(client, cli)
    assert len(at_4) == 62

    for command in (("plan", "1"), ("down", "1", *GO)):
        refused = cli(*command)
        assert refused.code == 9, command
        said = refused.err + refused.out
        assert "41 rows share their key" in said
        assert said.count("(newer: '+") == 5
    assert cells.differences(at_4, calls(client, cli)[0]) == []

    ok(cli("down", "1", *GO, "--set-aside"))
    at_1, _ = calls(client, cli)
    kept = newest_of_each(at_4)
    wanted = cells.by(kept, shape_4, ("source_phone_number", "call_timestamp"))
    assert cells.differences(wanted, at_1) == []
    rest = {key: row for key, row in at_4.items() if key not in kept}
    assert cells.differences(rest, cells.read(client, cli.keyspace, DOUBLE)) == []

    # One of them was taken meanwhile: the same call written anew, at revision 1.
    taken = next(key for key in rest if key[2] == NEW_YEAR)
    client.execute(
        f"INSERT INTO {cli.keyspace}.call_records (source_phone_number, call_timestamp, "
        "destination_number, call_duration_seconds) VALUES (%s, %s, %s, 77)",
        [taken[0], taken[2], taken[1]],
    )
    said = ok(cli("up", *GO))
    assert f"1 rows stay in {DOUBLE}: their key is taken" in said, said
    again, _ = calls(client, cli)
    assert again[taken]["call_duration_seconds"].value == 77
    written_over = next(key for key in kept if key[2] == NEW_YEAR)
    untouched = {k: row for k, row in at_4.items() if k not in (taken, written_over)}
    here = {k: row for k, row in again.items() if k not in (taken, written_over)}
    assert cells.differences(untouched, here, earlier=2 * cells.EARLIER) == []
    stayed = cells.read(client, cli.keyspace, DOUBLE)
    assert cells.differences({taken: at_4[taken]}, stayed) == []

    # And down again: what is aside already must not hide, nor be hidden by, what comes to it now.
    ok(cli("down", "1", *GO, "--set-aside"))
    asides = sorted(name for name in tables_in(client, cli) if name.startswith(DOUBLE))
    now_aside = [cells.read(client, cli.keyspace, name) for name in asides]
    assert sum(map(len, now_aside)) + len(calls(client, cli)[0]) == len(again) + 1
    ok(cli("up", *GO))
    once_more, _ = calls(client, cli)
    assert cells.differences(again, once_more, earlier=2 * cells.EARLIER) == []


@pytest.mark.thorough
def test_discarded_rows_are_gone_and_the_others_are_not(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    writer = Writer(client, cli.keyspace)
    write_without_destination(writer, 7)
    write_mixed(writer, each=2)
    at_1, shape_1 = calls(client, cli)
    fit = {key: row for key, row in at_1.items() if "destination_number" in row}
    ok(cli("up", *GO, "--discard-rows"))
    at_4, shape_4 = calls(client, cli)
    assert cells.differences(cells.by(fit, shape_1, AT_2), at_4) == []

    write_collisions(client, cli, groups=4)
    at_4, _ = calls(client, cli)
    ok(cli("down", "1", *GO, "--discard-rows"))
    wanted = cells.by(newest_of_each(at_4), shape_4, ("source_phone_number", "call_timestamp"))
    assert cells.differences(wanted, calls(client, cli)[0]) == []
    assert not any("__" in name for name in tables_in(client, cli))


def test_down_to_base_keeps_all_rows_aside_and_up_brings_them_back(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    writer = Writer(client, cli.keyspace)
    write_mixed(writer, each=8)
    write_without_destination(writer, 9)
    at_1, _ = calls(client, cli)
    ok(cli("down", "base", *GO, "--set-aside"))
    assert "call_records" not in tables_in(client, cli)
    aside = cells.read(client, cli.keyspace, "call_records__aside_0001")
    assert cells.differences(at_1, aside) == []
    ok(cli("up", "1"))
    again, _ = calls(client, cli)
    assert cells.differences(at_1, again, earlier=2 * cells.EARLIER) == []
    assert "call_records__aside_0001" not in tables_in(client, cli)
