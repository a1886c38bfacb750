"""What is told of a rebuild beforehand, and what another terminal sees while it runs."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest
from cassandra.concurrent import execute_concurrent_with_args

from tests.support.cli import Cli
from tests.support.settings import GO
from tests.support.terminal import Terminal
from tests.support.told import ok, until

ROWS = 4000


@pytest.fixture
def many(cli: Cli, client: Any) -> Cli:
    """At 0001, with more rows than are counted one by one."""
    ok(cli("up", "1"))
    insert = client.prepare(
        f"INSERT INTO {cli.keyspace}.call_records "
        "(source_phone_number, destination_number, call_timestamp) VALUES (?, 'd', ?)"
    )
    rows = [(f"s{n // 4}", 1000 * n) for n in range(ROWS)]
    execute_concurrent_with_args(client, insert, rows)
    return cli


def revision(cli: Cli, number: int) -> dict[str, Any]:
    found: dict[str, Any] = cli.json("status")["revisions"][number - 1]
    return found


@pytest.mark.thorough
def test_a_plan_estimates_rows_time_and_outage(many: Cli) -> None:
    slowly = ("plan", "2", "--outage-accepted", "--max-rows-per-second", "1000")
    (found,) = many.json(*slowly)["estimates"]
    assert found["table"] == "call_records"
    assert found["rows"] == ROWS
    # "s123", "d", a timestamp, and what is read beside them.
    assert 10 * ROWS < found["bytes"] < 40 * ROWS
    assert 0 < found["rate"] < 1500
    # Out and in again, each copied and verified, at no more than 1,000 rows a second.
    assert found["seconds"] >= 4 * ROWS / 1000
    assert found["outage"] == pytest.approx(found["seconds"] / 2)
    text = many(*slowly).out
    said = (
        r"call_records: 4,000 rows, \d+\.\d kB; carrying them takes about \d+ (s|min)"
        r" \(this server reads \d+ rows/s now\)"
    )
    assert re.search(said, text), text
    said = r"is incomplete for readers for about \d+ (s|min) of that; writers must be stopped"
    assert re.search(said, text), text


@pytest.mark.thorough
def test_a_plan_that_reads_nothing_says_no_figures(many: Cli) -> None:
    plan = ("plan", "2", "--outage-accepted", "--no-scan")
    assert many.json(*plan)["estimates"] == []
    text = many(*plan).out
    assert "until its rows are back (they were not counted: --no-scan)" in text
    assert "rows that do not fit were not counted" in text


@pytest.mark.thorough
def test_a_table_is_read_once_for_a_run(many: Cli) -> None:
    """What was counted before the question isn't counted again under the lease."""
    said = many("up", "2", *GO, "--max-rows-per-second", "1000")
    assert said.code == 0, said
    shares = [int(share) for share in re.findall(r"count call_records: (\d+) %", said.err)]
    assert shares, said.err
    assert shares == sorted(set(shares)), said.err  # a second time it would begin anew


@pytest.mark.thorough
def test_few_rows_are_counted(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    for n in range(3):
        client.execute(
            f"INSERT INTO {cli.keyspace}.call_records "
            f"(source_phone_number, destination_number, call_timestamp) VALUES ('s', 'd', {n})"
        )
    plan = cli("plan", "2", "--outage-accepted").out
    assert "is incomplete for readers until its rows are back (3)" in plan


@pytest.mark.thorough
def test_status_tells_how_far_a_copy_is(many: Cli) -> None:
    runner = many.start("up", "2", *GO, "--max-rows-per-second", "1000")
    until(lambda: (revision(many, 2).get("underway") or {}).get("rows_per_second"))
    at = revision(many, 2)["underway"]
    assert (at["operation"], at["of"]) == (3, 9)
    assert at["what"].startswith("copy call_records to call_records__0002_")
    assert 0 < at["share"] < 1
    assert 0 < at["rows"] < ROWS
    assert 0 < at["rows_per_second"] < 3000
    assert at["seconds_left"] > 0
    line = (
        r"operation 3 of 9: copy .*: all rows   \d+ %   [\d,]+ rows   [\d,]+ rows/s   \d+ \w+ left"
    )
    assert re.search(line, many("status").out)
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    killed = revision(many, 2)["underway"]
    assert killed["share"] > 0
    assert killed["rows_per_second"] is killed["seconds_left"] is killed["seconds"] is None
    assert "left" not in many("status").out
    ok(many("up", "2", *GO, env={"CALLDROP_SETTLE_TIME": "1"}))
    assert revision(many, 2)["underway"] is None


@pytest.mark.thorough
def test_a_terminal_of_80_columns(many: Cli) -> None:
    """Each line fits, says which step it is, how fast, and how long it still takes."""
    slow = ("--max-rows-per-second", "4000")
    with Terminal(many, "up", "2", *GO, *slow, columns=80) as terminal:
        assert terminal.ends() == 0, terminal.text
    shown = [line.rstrip() for line in re.split(r"[\r\n]", terminal.text) if "step " in line]
    assert max(map(len, shown)) <= 80
    assert not [line for line in shown if "__0002" in line and re.search(r"_[0-9a-f]{8}", line)]
    for step in ("3 of 9: copy", "4 of 9: verify", "7 of 9: copy back", "8 of 9: verify"):
        assert any(f"step {step} call_records " in line for line in shown), (step, shown)
    last = r"step 3 of 9: copy call_records \S* +\d+ % [\d,]+ rows/s  \d+ s left"
    assert any(re.search(last, line) for line in shown), shown


@pytest.mark.thorough
def test_a_comparison_counts_each_row_once(many: Cli) -> None:
    """Both sides are halves of one line."""
    said = ok(many("up", "2", *GO, "--max-rows-per-second", "700"))
    rows = [
        int(n.replace(",", "")) for n in re.findall(r"verify call_records: .* ([\d,]+) rows ", said)
    ]
    assert rows, said
    assert max(rows) <= ROWS
