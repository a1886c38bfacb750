"""Any sequence of commands on the simulated cluster, against a model of what may be expected: up
and down, abort, stamp, clean, repair, some of them killed, cut or answered late; and between them
writes, changes of the schema by somebody else, and time that passes.

What must hold is in tests/support/simulator/site.py. 22 sequences, 2,000 with CALLDROP_TESTS=full,
or CALLDROP_ROUNDS; CALLDROP_SEED draws others. Hypothesis prints the shortest one that fails.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.settings import FULL
from tests.support.simulator.applications import DESTINATION, Applications
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.commands import Command, Trouble, What
from tests.support.simulator.exploring import Explorer
from tests.support.simulator.faults import Fate
from tests.support.simulator.lines import parse
from tests.support.simulator.model import TOWER
from tests.support.simulator.observed import AUDIT, COLUMN
from tests.support.simulator.runs import KEYSPACE
from tests.support.simulator.site import DAY, HEAD, HOUR, Site

SEED = int(os.environ.get("CALLDROP_SEED") or 507)
SEQUENCES = int(os.environ.get("CALLDROP_ROUNDS") or (2000 if FULL else 22))
STEPS = 25

TARGETS = st.sampled_from(range(HEAD + 1))
FURTHER = st.sampled_from(range(1, HEAD + 1))  # to another revision than the present one
# A run has from 6 statements to some 90; early and late ones by turns, as the first are drawn most.
EVERY = [n * 27 % 71 for n in range(1, 71)]
NUMBERS = st.sampled_from(EVERY)
TROUBLE = st.builds(Trouble, st.sampled_from(list(Fate)), NUMBERS, NUMBERS)
EARLY = st.sampled_from([number for number in EVERY if 3 < number < 30])
SOON = st.builds(Trouble, st.sampled_from(list(Fate)), st.sampled_from(range(1, 13)), NUMBERS)
LIVES = st.sampled_from([None, 0, 6 * HOUR, 60 * DAY])
SKEWS = st.sampled_from([0, 10, -10])
PICKS = st.sampled_from(range(6))
OTHERS: tuple[What, ...] = ("clean", "stamp", "accept", "unlock", "abort")
FIRST = (("p", 1, "a", 0), ("p", 2, "b", 60 * DAY), ("q", 1, None, 0), ("r", 1, "a", None))

SECOND = ("p", 1, "b", 0)  # shares its key in revision 1


class Machine(RuleBasedStateMachine):
    """One cluster."""

    @initialize(
        keep=st.sampled_from([7, 0]),
        elsewhere=st.booleans(),
        scylla=st.booleans(),
        to=st.sampled_from([1, 2, 4]),
    )
    def begin(self, keep: int, elsewhere: bool, scylla: bool, to: int) -> None:
        self.site = Site(Cluster(scylla=scylla), keep, elsewhere)
        self.they = Applications(self.site)
        self.site.take(Command("go", 1))
        for call in FIRST:
            self.they.insert(*call)
        if to > 1:
            self.site.take(Command("go", to))
            self.they.insert(*SECOND)

    # -- commands ----------------------------------------------------------------------------------

    def _take(self, command: Command, trouble: Trouble | None, skew: int = 0) -> None:
        # Without a second copy what comes late may destroy the only one: see docs/testing.md.
        if trouble and trouble.fate is Fate.HELD and not self.site.keep:
            trouble = Trouble(Fate.KILLED, trouble.number)
        if self.site.turns(command):
            if self.site.late:
                return
            trouble = None  # else nobody can tell from outside how far it came
        self.site.take(command, trouble, skew)

    def _other(self, by: int) -> int:
        return (self.site.revision + by) % (HEAD + 1)

    @rule(by=FURTHER, set_aside=st.sampled_from([True, True, True, False]), skew=SKEWS)
    def up_or_down(self, by: int, set_aside: bool, skew: int) -> None:
        self._take(Command("go", self._other(by), set_aside), None, skew)

    @rule(by=FURTHER, trouble=TROUBLE, skew=SKEWS)
    def hindered(self, by: int, trouble: Trouble, skew: int) -> None:
        self._take(Command("go", self._other(by)), trouble, skew)

    @precondition(lambda self: self.site.half)
    @rule(trouble=TROUBLE)
    def the_same_hindered(self, trouble: Trouble) -> None:
        assert self.site.half
        self._take(self.site.half, trouble)

    @precondition(lambda self: self.site.half)
    @rule(to=TARGETS)
    def another_command(self, to: int) -> None:
        self._take(Command("go", to), None)

    @precondition(lambda self: not self.site.half)
    @rule(up=st.booleans(), number=EARLY, then=st.none() | SOON)
    def killed_and_aborted(self, up: bool, number: int, then: Trouble | None) -> None:
        at = self.site.revision
        to = min(at + 1, HEAD) if up else max(at - 1, 0)
        self._take(Command("go", to), Trouble(Fate.KILLED, number))
        self._take(Command("abort"), then)

    @precondition(lambda self: self.site.half)
    @rule(trouble=st.none() | SOON)
    def abort(self, trouble: Trouble | None) -> None:
        self._take(Command("abort"), trouble)

    @rule(what=st.sampled_from(OTHERS), to=TARGETS, trouble=st.none() | SOON)
    def other_command(self, what: What, to: int, trouble: Trouble | None) -> None:
        """One that has mostly nothing to do; a stamp is hindered below, where it has."""
        self._take(Command(what, to), None if what == "stamp" else trouble)

    @precondition(
        lambda self: self.site.revision > 2 and not self.site.half and not self.site.foreign
    )
    @rule(trouble=st.none() | SOON)
    def by_hand_and_stamp(self, trouble: Trouble | None) -> None:
        """To the other side of revision 4, which is one view."""
        self.site.other_side()
        self._take(Command("stamp", 7 - self.site.revision), trouble)
        self.site.settle()

    @precondition(lambda self: self.site.half)
    @rule()
    def settle(self) -> None:
        self.site.settle()

    # -- others ------------------------------------------------------------------------------------

    @rule(what=st.sampled_from([AUDIT, COLUMN]))
    def somebody_alters_the_schema(self, what: str) -> None:
        if what in self.site.foreign:
            self.site.take_away(what)
        else:
            self.site.add(what)

    @rule(seconds=st.sampled_from([600, 7 * HOUR, 8 * DAY, 61 * DAY]))
    def time_passes(self, seconds: int) -> None:
        self.site.pass_time(seconds)

    @precondition(lambda self: self.they.can_write)
    @rule(
        source=st.sampled_from("pq"),
        day=st.integers(1, 2),
        called=st.sampled_from([None, "a", "b"]),
        life=LIVES,
    )
    def insert(self, source: str, day: int, called: str | None, life: int | None) -> None:
        self.they.insert(source, day, called, life)

    @precondition(lambda self: self.they.can_write)
    @rule(pick=PICKS, column=st.sampled_from([TOWER, DESTINATION]), life=LIVES)
    def update(self, pick: int, column: str, life: int | None) -> None:
        self.they.update(pick, column, life)

    @precondition(lambda self: self.they.can_delete)
    @rule(pick=PICKS, whole=st.booleans())
    def delete(self, pick: int, whole: bool) -> None:
        self.they.delete(pick, whole=whole)

    # -- judging -----------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost(self) -> None:
        self.site.check_half()

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.site.settle()


def test_any_sequence_of_commands() -> None:
    run_state_machine_as_test(
        seed(SEED)(Machine),
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_way_out_is_named_that_leads_nowhere() -> None:
    """Somebody makes a table while one of the tool's own is between its DROP and its CREATE:
    `repair --restore` leaves that to the run that is half-way, and has nothing else to do.
    """
    explorer = Explorer(parse("up keep=0").journey)
    trace = explorer.trace(())
    dropped = next(n for n, s in enumerate(trace.sent) if s.text.endswith("TABLE call_records"))
    cluster = trace.states[dropped + 1].copy()
    assert cluster.schema(KEYSPACE).table("call_records") is None
    cluster.change_schema("CREATE TABLE audit (id int PRIMARY KEY)", KEYSPACE)
    ended = explorer.step(cluster)
    assert ended.code == 5
    assert "audit" in ended.said
    assert "--accept" in ended.hint
    assert "--restore" not in ended.hint
