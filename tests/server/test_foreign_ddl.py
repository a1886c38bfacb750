"""Somebody changes the schema by hand between a kill and the next run: on the table that is being
rebuilt, or beside it.

The next run must not take it for its own doing, nor do anything: exit 5 and what differs. Then the
way out, by hand or by `repair`, and the run goes on to its end with every cell.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.calls import Calls
from tests.support.cli import Cli
from tests.support.sampling import sample
from tests.support.settings import BRIEF, GO
from tests.support.told import ok, told

COLUMN = ("ALTER TABLE KS.call_records ADD sneaked int", "call_records: column sneaked added")
OTHER = ("CREATE TABLE KS.other (a int PRIMARY KEY)", "other: exists")
LIFE = ("ALTER TABLE KS.call_records WITH default_time_to_live = 99", "default_time_to_live: 0 ->")
BACK = {
    COLUMN: "ALTER TABLE KS.call_records DROP sneaked",
    OTHER: "DROP TABLE KS.other",
    LIFE: "ALTER TABLE KS.call_records WITH default_time_to_live = 0",
}
COPIED, DROPPING, DROPPED = (
    "noted | COPY call_records TO call_records__0002",
    "before | DROP TABLE call_records",
    "noted | DROP TABLE call_records",
)
CASES = [
    (point, foreign, out)
    for point in (COPIED, DROPPING, DROPPED)
    for foreign in (COLUMN, OTHER, LIFE)
    for out in ("by hand", "--restore", "--accept")
    # What was dropped can't be altered, and `repair --restore` destroys nothing.
    if (point != DROPPED or foreign is OTHER) and (out != "--restore" or foreign is LIFE)
]
WITNESS = (DROPPING, LIFE, "--restore")


@pytest.mark.parametrize(
    ("point", "foreign", "out"),
    [
        pytest.param(*WITNESS, marks=pytest.mark.journey),
        *sample([case for case in CASES if case != WITNESS], stay=0),
    ],
)
def test_foreign_schema_changes_stop_the_next_run(
    mixed_calls: Calls, cli: Cli, client: Any, point: str, foreign: tuple[str, str], out: str
) -> None:
    statement, differs = foreign
    killed = cli.at(f"kill | {point}", "up", "2", *GO, env=BRIEF)
    assert killed.code == -signal.SIGKILL
    client.execute(statement.replace("KS", cli.keyspace))
    for command in (("up", "2", *GO), ("verify",)):
        told(mixed_calls.cli(*command, env=BRIEF), 5, differs)
    if out == "by hand":
        client.execute(BACK[foreign].replace("KS", cli.keyspace))
    else:
        ok(mixed_calls.cli("repair", out, "--yes", env=BRIEF))
    if foreign is COLUMN and out == "--accept":
        # It was accepted, and the run that began before that would lose it.
        told(mixed_calls.cli("up", "2", *GO, env=BRIEF), 9, "sneaked", "calldrop-migrate abort")
        ok(mixed_calls.cli("abort", "--yes", env=BRIEF))
        told(mixed_calls.cli("up", "2", *GO, env=BRIEF), 4, "doesn't take call_records.sneaked")
        client.execute(BACK[foreign].replace("KS", cli.keyspace))
        ok(mixed_calls.cli("repair", "--accept", "--yes", env=BRIEF))
    ok(mixed_calls.cli("up", "2", *GO, env=BRIEF))
    mixed_calls.check(2)


@pytest.mark.thorough
def test_a_table_of_that_name_made_by_somebody_else_is_not_ours(
    mixed_calls: Calls, cli: Cli, client: Any
) -> None:
    """The old one is dropped, the new one isn't made yet, and there is one of another shape."""
    killed = cli.at(f"kill | {DROPPED}", "up", "2", *GO, env=BRIEF)
    assert killed.code == -signal.SIGKILL
    client.execute(f"CREATE TABLE {cli.keyspace}.call_records (b text PRIMARY KEY)")
    told(mixed_calls.cli("up", "2", *GO, env=BRIEF), 5, "call_records: exists")
    client.execute(f"DROP TABLE {cli.keyspace}.call_records")
    ok(mixed_calls.cli("up", "2", *GO, env=BRIEF))
    mixed_calls.check(2)
