"""How results and news look: columns, cuts, JSON. No server, no terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from calldrop_migrate.cli import inspecting, render
from calldrop_migrate.cli.feed import Feed, in_short, operation_in_short
from calldrop_migrate.cli.running import Done
from calldrop_migrate.cli.seeding import Listed, ListedModule
from calldrop_migrate.core.names import shadow
from calldrop_migrate.engine.news import Began, Finished, Progress, Waiting
from calldrop_migrate.engine.reports import RevisionState, Situation, Verification
from calldrop_migrate.engine.seeding import Seeded
from calldrop_migrate.errors import Fault, MigrationFileError, Place, RowsAtRisk, StatementRefused

_REGISTERED = (inspecting,)  # it says how its results look when it is imported
AT = datetime(2026, 11, 23, 9, 12, 4, tzinfo=UTC)


def revision(number: int, title: str, state: str, note: str = "", who: str = "") -> RevisionState:
    at, seconds = (AT, 0.25) if state == "applied" else (None, None)
    return RevisionState(number, title, state, "up", at, who, seconds, note)


def situation(
    *revisions: RevisionState, current: int = 2, drift: tuple[str, ...] = ()
) -> Situation:
    return Situation("calldrop", True, current, 3, revisions, drift, None, ())


def test_status_in_columns() -> None:
    shown = render.lines(
        situation(
            revision(1, "initial", "applied", who="ana@ops-1"),
            revision(2, "a title that is longer than any column should ever be made", "applied"),
            revision(3, "twcs", "pending"),
        )
    )
    title = "a title that is longer than any column shou…"
    assert shown == [
        f"  0001  {'initial':<44}  applied   2026-11-23 09:12:04Z  ana@ops-1     0.2 s",
        f"  0002  {title}  applied   2026-11-23 09:12:04Z                0.2 s",
        f"  0003  {'twcs':<44}  pending",
        "1 pending. Schema as recorded. Nobody holds the lease.",
    ]


def test_status_half_way() -> None:
    note = "up, 1 operation applied; 0003_twcs.cql:6:1: the server refused this statement"
    shown = render.lines(
        situation(revision(2, "b", "applied"), revision(3, "c", "half-way", note), drift=("x",))
    )
    assert shown[1:] == [
        "  0003  c  half-way",
        f"        {note}",
        "1 pending. Nobody holds the lease.",
        "  To go on: calldrop-migrate up 3",
    ]


def test_status_ahead_and_drifted() -> None:
    ahead = revision(4, "d", "applied", "not in this folder")
    drifted = situation(ahead, current=4, drift=("one",))
    shown = render.lines(replace(drifted, ways_out="To take it as it is:  this\nor:  that"))
    assert shown[0].endswith("  not in this folder")
    assert shown[1:] == [
        "calldrop is at 0004, ahead of this folder. The schema is not as recorded."
        " Nobody holds the lease.",
        "    one",
        "  To take it as it is:  this",
        "  or:  that",
    ]


@pytest.mark.parametrize(
    ("done", "text"),
    [
        (Done("k", 4, 4, (), (), (), ""), "k is at 0004 (head); there was nothing to do."),
        (
            Done("k", 0, 4, (), (), (), ""),
            "k is at base: no revision is applied; there was nothing to do.",
        ),
        (
            Done("k", 5, 4, (), (), (), ""),
            "k is at 0005, ahead of this folder; there was nothing to do.",
        ),
    ],
)
def test_the_last_line_of_up(done: Done, text: str) -> None:
    assert render.lines(done) == [text]


def test_the_rows_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    feed = Feed(as_json=False)
    feed.expect(["0001 initial", "0002 destination clustering", "create keyspace k"], ["x" * 30])
    replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': '1'}"
    feed(Finished(0, "k", "up", (replication,), 0.2))
    feed(Began("0001 initial", 1, 1, "CREATE TABLE t"))
    feed(Finished(1, "initial", "up", ("CREATE TABLE t",), 0.25, ("a note",)))
    feed(Finished(2, "destination clustering", "down", ("DROP TABLE t",), 61.5, ("a note",)))
    feed(Progress("copy", 1, 2, 10))  # the first seconds of a copy are silent
    feed(Waiting("for the bus", 5))
    assert capsys.readouterr().err.splitlines() == [
        "  create keyspace k            NetworkTopologyStrategy datacenter1: 1    0.2 s",
        "  0001 initial                 CREATE TABLE t                    0.2 s",
        "       a note",
        "  0002 destination clustering  down: DROP TABLE t               61.5 s",
        "  waiting up to 5 s: for the bus",
    ]


def test_a_rate_is_of_this_run_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier run has copied counts for the share, and not for the rate."""
    now = [100.0]
    monkeypatch.setattr("calldrop_migrate.cli.feed.time.monotonic", lambda: now[0])
    feed = Feed(as_json=False)
    label = "copy call_records to call_records__0002_5e82598a: all rows"
    feed(Began("0002 b", 2, 8, label))
    feed(Progress(label, 50, 100, 50_000))
    now[0] += 4
    feed(Progress(label, 60, 100, 58_000))
    assert capsys.readouterr().err == (
        "       step 2 of 8: copy call_records: 60 %   58,000 rows   2,000 rows/s   16 s left\n"
    )


@pytest.mark.parametrize(
    ("label", "short"),
    [
        ("copy a to a__0002_5e82598a: all rows", "copy a"),
        ("verify a in a__0002_5e82598a: rows that fit", "verify a"),
        ("wait until v is built on every node", "wait until v is built on every node"),
    ],
)
def test_operations_in_short(label: str, short: str) -> None:
    assert operation_in_short(label) == short


def test_operations_in_short_without_a_generated_name() -> None:
    name = shadow("call_records", 2, UUID(int=1))
    assert operation_in_short(f"copy {name} to call_records: all rows") == "copy back call_records"
    assert operation_in_short(f"verify {name} in call_records: x") == "verify call_records"
    assert operation_in_short(f"DROP TABLE {name}") == "DROP TABLE call_records__0002"


def test_many_statements_in_short() -> None:
    assert in_short(()) == ""
    assert in_short(("a", "b")) == "a, b"
    assert in_short(("a", "b", "c")) == "a and 2 more"


def test_seeded() -> None:
    split = {"completed": 280, "failed": 49}
    seeded = Seeded(
        *("call_records", 4, 3, AT, 329, ("roaming",), 329, split, "calls_by_completion"),
        *(15, (20, 24), 0.1, "--random-seed 3 --now 2026-11-23T09:12:04.000Z"),
    )
    assert render.lines(seeded) == [
        "call_records at 0004: loaded 329 rows in 0.1 s; the table has no roaming",
        "  verified 329 in the table · 280 completed + 49 failed in calls_by_completion "
        "· 15 partitions",
        "  completed 280 (85.1%)   failed 49 (14.9%)   per partition 20 to 24, mean 21.9",
        "  The same rows again:  "
        "calldrop-migrate seed --random-seed 3 --now 2026-11-23T09:12:04.000Z",
    ]


def test_listed_modules() -> None:
    module = ListedModule(
        "calls", "call_records", "Calls.", {"users": "--users 15", "days": "--days 30"}
    )
    assert render.lines(Listed((module,))) == [
        f"  {'calls':<20}  Calls.",
        f"  {'':<20}  table call_records",
        f"  {'':<20}  --users 15",
        f"  {'':<20}  --days 30",
    ]


def test_verified() -> None:
    shown = render.lines(Verification("k", 4, 2, (), (), ()))
    assert shown == ["k is at 0004: 2 tables and views as recorded, files as applied."]


def test_an_error_in_three_parts(capsys: pytest.CaptureFixture[str]) -> None:
    error = StatementRefused("f.cql:1:1: no\n    CREATE", state="Is at 0002.", hint="Do\nthis")
    assert render.show_error(error, json_wanted=False) == 7
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "f.cql:1:1: no\n    CREATE\n  Is at 0002.\n  Do\n  this\n  (exit 7)\n",
    )


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    fault = Fault(Place("f.cql", 2, 3), "no", "rather this")
    assert render.show_error(MigrationFileError((fault,)), json_wanted=True) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    error = document["error"]
    assert (error["type"], error["exit_code"]) == ("MigrationFileError", 4)
    assert error["state"] == "Nothing was changed."
    place = {"file": "f.cql", "line": 2, "column": 3}
    assert error["faults"] == [{"place": place, "message": "no", "hint": "rather this"}]


def test_json_of_everything() -> None:
    value = {
        "when": AT,
        "id": UUID(int=1),
        "path": Path("a"),
        "bytes": b"\x01\xff",
        "set": frozenset({1}),
        "error": RowsAtRisk("rows"),
        "deep": (Place("f", 1, 2),),
    }
    assert json.loads(json.dumps(render.as_json(value))) == {
        "when": "2026-11-23T09:12:04+00:00",
        "id": str(UUID(int=1)),
        "path": "a",
        "bytes": "01ff",
        "set": [1],
        "error": {
            "type": "RowsAtRisk",
            "exit_code": 9,
            "message": "rows",
            "state": "Nothing was changed.",
            "hint": "",
        },
        "deep": [{"file": "f", "line": 1, "column": 2}],
    }


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (6.1e9, "6.1 GB"), (2e15, "2000.0 TB")]
)
def test_sizes(count: float, text: str) -> None:
    assert render.size(count) == text
