"""What a plan says of rows that --discard-rows deletes, and of rows that end with their cells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.sampling import sample
from tests.support.sections import BY_B, MADE, NO_C, given
from tests.support.settings import GO
from tests.support.told import PARTIAL, ok, told

DISCARD = (*GO, "--discard-rows")


@pytest.mark.parametrize(
    ("up", "before", "behind"),
    sample(
        [
            (
                BY_B.format("c int, "),
                ["t: --discard-rows deletes 1 row for good", "t: 1 rows do not fit"],
                "1 rows of t are deleted for good",
            ),
            ("DROP TABLE t;\n", ["t: --discard-rows deletes 4 rows for good"], None),
            ("TRUNCATE t;\n", ["t: --discard-rows deletes 4 rows for good"], None),
            (NO_C, ["t: --discard-rows deletes the values of c for good"], None),
            (
                "-- migrate:rebuild drop=c drop=d\nCREATE TABLE t (a int PRIMARY KEY, b int);\n",
                ["t: --discard-rows deletes the values of c, d for good"],
                "t: the new shape does not take c, d",
            ),
        ]
    ),
)
def test_what_is_deleted_for_good(
    cli: Cli, client: Any, up: str, before: list[str], behind: str | None
) -> None:
    given(cli, client, up, MADE if "DROP TABLE" in up else PARTIAL)
    told(cli("plan", "2", "--outage-accepted"), 9, "--discard-rows deletes them.", out=True)
    plan = cli("plan", "2", "--outage-accepted", "--discard-rows")
    assert plan.code == 0, plan
    for line in before:
        assert line in plan.out, plan.out
    said = ok(cli("up", "2", *DISCARD))
    assert (behind or before[0]) in said, said


@pytest.mark.thorough
def test_without_a_scan_nothing_is_counted(cli: Cli, client: Any) -> None:
    given(cli, client, "DROP TABLE t;\n", MADE)
    plan = cli("plan", "2", "--discard-rows", "--no-scan")
    assert "t: --discard-rows deletes all rows (not counted) for good" in plan.out, plan


@pytest.mark.thorough
def test_two_revisions_of_which_the_second_drops_what_the_first_rebuilds(
    cli: Cli, client: Any
) -> None:
    """What the second one deletes is counted when it is known."""
    given(cli, client, BY_B.format("c int, "), PARTIAL)
    text = "-- migrate:up\nDROP TABLE t;\n-- migrate:irreversible it is gone\n"
    (cli.folder / "migrations" / "0003_gone.cql").write_text(text, encoding="utf-8")
    plan = cli("plan", "3", "--discard-rows", "--outage-accepted")
    assert "t: --discard-rows deletes 1 row for good" in plan.out, plan
    assert "t: --discard-rows deletes all rows (not counted) for good" in plan.out, plan
    said = ok(cli("up", "3", *DISCARD))
    assert "t: --discard-rows deletes 3 rows for good" in said, said


@pytest.mark.thorough
def test_rows_that_end_with_their_cells_are_shown(cli: Cli, client: Any) -> None:
    given(cli, client, BY_B.format("c int, "), PARTIAL)
    t = f"{cli.keyspace}.t"
    client.execute(f"TRUNCATE {t}")
    client.execute(f"INSERT INTO {t} (a) VALUES (7)")
    client.execute(f"UPDATE {t} USING TTL 5000 SET b = 1 WHERE a = 7")
    client.execute(f"UPDATE {t} USING TTL 6000 SET c = 1 WHERE a = 7")
    client.execute(f"INSERT INTO {t} (a, b, c) VALUES (8, 1, 1)")
    plan = cli("plan", "2", "--outage-accepted")
    assert plan.code == 0, plan
    assert "t: 1 rows have only cells that end, from several statements" in plan.out, plan.out
    assert "\n         7\n" in plan.out, plan.out
    assert "1 rows of t have only cells that end" in ok(cli("up", "2", *GO))
