"""Sequences of up, down, stamp, abort, killed runs and writes, against a model of what must be:
which revisions are applied, and where each row is.

The model is small: every row that was ever written is in exactly one place, in the table if it fits
the revision's shape, else aside; and as long as a killed run hasn't been settled, in one place at
least. 15 sequences of 8 steps or more, 200 with CALLDROP_TESTS=full, or CALLDROP_ROUNDS;
CALLDROP_SEED draws the same again.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import pytest
from cassandra import InvalidRequest
from cassandra.cluster import NoHostAvailable
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.bookkeeping import history
from tests.support.cli import Cli
from tests.support.killing import Killing
from tests.support.schema import tables_in
from tests.support.servers import Address
from tests.support.settings import FULL, GO_ASIDE, QUICK
from tests.support.told import ok
from tests.support.wire import Fault

pytestmark = pytest.mark.twin

SEQUENCES = int(os.environ.get("CALLDROP_ROUNDS") or (200 if FULL else 15))
SEED = int(os.environ.get("CALLDROP_SEED") or random.randrange(10**6))
VIEW = "calls_by_completion"
HEAD = 4
BASE = 1_700_000_000_000_000  # microseconds
DAY = datetime(2026, 1, 1)  # noqa: DTZ001 (as the driver gives it back: in UTC)


@dataclass(frozen=True)
class Step:
    """`to` a revision, perhaps killed at its `kill`th request; or one of the others."""

    what: Literal["to", "stamp", "abort", "write"]
    target: int = 0
    kill: int = 0


STEPS = st.one_of(
    st.builds(Step, st.just("to"), st.integers(0, HEAD)),
    st.builds(Step, st.just("to"), st.integers(0, HEAD), st.integers(20, 160)),
    st.builds(Step, st.sampled_from(["stamp", "abort", "write"])),
)


@dataclass(frozen=True)
class Row:
    number: int
    source: str
    at: datetime
    destination: str | None

    @property
    def written(self) -> int:
        return BASE + self.number


class Sequence:
    """A keyspace, and the model of it."""

    def __init__(self, cli: Any, client: Any, killing: Killing) -> None:
        self.cli, self.client, self.killing = cli, client, killing
        self.revision = 0
        self.rows: list[Row] = []
        self.half: tuple[str, ...] = ()  # the command that was killed
        self.told: list[str] = []

    def take(self, step: Step) -> None:
        getattr(self, step.what)(step)
        self.check()

    # -- the steps ---------------------------------------------------------------------------------

    def to(self, step: Step) -> None:
        command = self._command(step.target)
        if step.kill:
            result, _ = self.killing.run(command, Fault(step.kill, "none"))
            self._say(command, f"killed at {step.kill}", result.code, result.err)
            if result.code == -9:
                self.half = command
                return
            assert result.code == 0, self._story()
        else:
            self._until_done(command)
        self.revision, self.half = step.target, ()

    def abort(self, step: Step) -> None:
        result = self.cli("abort", "--yes", env=QUICK)
        self._say("abort", result.code, result.err)
        # 9: rows that were put aside are back already, in a table that it would drop.
        assert result.code in ((0, 2, 5, 9) if self.half else (2,)), self._story()
        if result.code not in (5, 9):  # then it stays half-way
            self._settled()

    def stamp(self, step: Step) -> None:
        """By hand to the other side of revision 4, which is one view; anything else is refused."""
        if self.half or self.revision < 3:
            result = self.cli("stamp", "head", "--yes", env=QUICK)
            self._say("stamp head", result.code, result.err)
            assert result.code == 5 or (self.half and result.code == 0), self._story()
            if result.code == 0:
                self._settled()
            return
        if self.revision == HEAD:
            self.client.execute(f"DROP MATERIALIZED VIEW {self.cli.keyspace}.{VIEW}")
        else:
            text = (self.cli.folder / "migrations" / "0004_calls_by_completion.cql").read_text()
            create = text.partition("-- migrate:up")[2].partition(";")[0]
            for name in (VIEW, "call_records"):
                create = create.replace(f" {name}", f" {self.cli.keyspace}.{name}")
            self.client.execute(create)
        self.revision = 7 - self.revision
        self._say("stamp", self.revision)
        ok(self.cli("stamp", str(self.revision), "--yes", env=QUICK))

    def write(self, step: Step) -> None:
        """At 1 a call with and one without a destination; above it two with one key at 1."""
        if self.half or not self.revision:
            return
        at, new = len(self.rows), []
        source, moment = f"+{at % 3}", DAY + timedelta(minutes=at)
        destinations = [f"d{at}", f"e{at}"] if self.revision > 1 else [f"d{at}", None]
        for n, destination in enumerate(destinations):
            apart = timedelta(seconds=n if self.revision == 1 else 0)
            new.append(Row(at + n, source, moment + apart, destination))
        for row in new:
            self.client.execute(
                f"INSERT INTO {self.cli.keyspace}.call_records (source_phone_number, "
                "call_timestamp, destination_number, call_duration_seconds) VALUES (%s, %s, %s, %s)"
                f" USING TIMESTAMP {row.written}",
                [row.source, row.at, row.destination, row.number],
            )
        self.rows += new
        self._say("write", new)

    def end(self) -> None:
        if self.half:
            self._until_done(self.half)
            self._settled()
            self.check()
        ok(self.cli("verify"))

    # -- what they need ----------------------------------------------------------------------------

    def _command(self, target: int) -> tuple[str, ...]:
        at = self.revision
        if self.half:
            status = self.cli.json("status")
            half = [r for r in status["revisions"] if r["state"] == "half-way"]
            at = status["current"]
            if half:
                at = half[0]["number"] - (half[0]["direction"] == "down")
        return ("up" if target >= at else "down", str(target) if target else "base", *GO_ASIDE)

    def _until_done(self, command: tuple[str, ...]) -> None:
        for _ in range(4):
            result = self.cli(*command, env=QUICK)
            self._say(command, result.code, result.err)
            if result.code == 0:
                return
            assert result.code in (6, 8, 10), self._story()
        raise AssertionError(self._story())

    def _settled(self) -> None:
        """Where a killed run has left it, as the history says: between where it began and went."""
        self.revision = len(history(self.client, self.cli)) if self._has_history() else 0
        self.half = ()

    def _has_history(self) -> bool:
        return "database_migrations" in tables_in(self.client, self.cli)

    def _say(self, *what: object) -> None:
        self.told.append(" ".join(map(str, what)))

    def _story(self) -> str:
        return "\n".join(self.told)

    # -- the model ---------------------------------------------------------------------------------

    def check(self) -> None:
        found = self._found()
        every = Counter(row for rows in found.values() for row in rows)
        wanted = {(row.number, row.written) for row in self.rows}
        if self.half:
            assert every.keys() == wanted, self._story()
            return
        assert every == Counter(wanted), f"{found}\n{self._story()}"
        assert set(found.get("call_records", ())) == self._fitting(), f"{found}\n{self._story()}"
        assert not [name for name in found if "__" in name and "aside" not in name], self._story()
        if self._has_history():
            states = [(n, "SUCCEEDED") for n in range(1, self.revision + 1)]
            assert history(self.client, self.cli) == states, self._story()

    def _fitting(self) -> set[tuple[int, int]]:
        fitting = {(row.source, row.at): row for row in self.rows}  # the newest of each comes last
        if self.revision > 1:
            fitting = {row.number: row for row in self.rows if row.destination}  # type: ignore[misc]
        return {(row.number, row.written) for row in fitting.values() if self.revision}

    def _found(self) -> dict[str, list[tuple[int, int]]]:
        """Behind a killed run a DROP or a CREATE may just be arriving: the list of tables has one
        sooner, or later, than it can be read. A node in between calls it "Unknown CF".
        """
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._found_now()
            except (InvalidRequest, NoHostAvailable) as error:
                absent = re.search("does not exist|unconfigured table|Unknown CF", str(error))
                if not (self.half and absent) or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def _found_now(self) -> dict[str, list[tuple[int, int]]]:
        """All rows of all tables, by their number and write time."""
        found = {}
        for name in tables_in(self.client, self.cli):
            if name == "call_records" or "__" in name:
                asked = (
                    "SELECT call_duration_seconds AS n, WRITETIME(call_duration_seconds) AS w "
                    f"FROM {self.cli.keyspace}.{name}"
                )
                found[name] = [(row["n"], row["w"]) for row in self.client.execute(asked)]
        return found


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_any_sequence_of_commands(
    make_cli: Callable[[str], Cli], client: Any, server: Address
) -> None:
    print(f"seed: CALLDROP_SEED={SEED}")
    counts: Counter[str] = Counter()

    @seed(SEED)
    @settings(
        max_examples=SEQUENCES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a smaller example would cost minutes to find
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEPS, min_size=8, max_size=11))
    def run(steps: list[Step]) -> None:
        counts["sequences"] += 1
        cli = make_cli(f"q_{uuid4().hex[:12]}")
        killing = Killing(cli, server, random.Random(0))
        sequence = Sequence(cli, client, killing)
        print(counts["sequences"], *steps, flush=True)
        sequence.take(Step("to", 1))
        sequence.take(Step("write"))
        for step in steps:
            sequence.take(step)
            counts[step.what] += 1
        sequence.end()
        counts["killed"] += killing.kills
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")

    run()
    print(dict(counts))
