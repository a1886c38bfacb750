"""Mutations of the product that the simulator must notice: a write of the lease, the
journal, the history or the checkpoints is left out, or a guard doesn't look.

What carries one out is in mutating.py. Nothing here imports the product, which is mutated first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.places import PROJECT


@dataclass(frozen=True, slots=True)
class Mutation:
    """A text of a module of the engine, and what takes its place.

    Attributes:
        notices: the line of a schedule, or the test of the simulator, that fails with it.
    """

    name: str
    module: str
    old: str
    new: str
    notices: str

    @property
    def title(self) -> str:
        """The module, and the name."""
        return f"{self.module}: {self.name}"

    def applied(self, text: str) -> str:
        """Return the text of the module with the mutation in it.

        Raises:
            ValueError: what it replaces isn't there once.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{self.title}: {text.count(self.old)} places")
        return text.replace(self.old, self.new)


def _unmoved(name: str, notices: str) -> Mutation:
    """Return a transition of the history that isn't written."""
    file = PROJECT / "calldrop_migrate/engine/history.py"
    head = f"    def {name}("
    behind = file.read_text(encoding="utf-8").partition(head)[2]
    found = re.match(r".*?(?=self\._(?:move|enter)\()", behind, re.DOTALL)
    assert found, name
    call = behind[found.end() :].partition("(")[0]
    old, new = f"{head}{found[0]}{call}(", f"{head}{found[0]}(lambda *_: None)("
    return Mutation(f"{name} writes nothing", "history", old, new, notices)


UPKEEP = "tests/simulated/test_upkeep.py::"
MUTATIONS = (
    Mutation(
        "nobody waits for anything",
        "journal",
        old="            self._settle_until = self._clock.monotonic() + self._timing.settle_time\n",
        new="            pass\n",
        notices="down keep=0; delayed 35 by 44",
    ),
    Mutation(
        "acquire writes nothing",
        "journal",
        old="taken = self._database.compare_and_set(",
        new="taken = (lambda *_: True)(",
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "acquire takes it from whoever has it",
        "journal",
        old="found = self.wait_until_free(deadline, waiting)",
        new="found = self.read()",
        notices="up keep=0; met 2",
    ),
    Mutation(
        "the lease has no end",
        "journal",
        old=("self._timing.lease_ttl,\n            self._token,"),
        new=("0,\n            self._token,"),
        notices="up keep=0 elsewhere; killed 10",
    ),
    Mutation(
        "a row doesn't renew the lease",
        "journal",
        old=("self._timing.lease_ttl,\n            self._token,"),
        new=("1,\n            self._token,"),
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "a row is written, lease or not",
        "journal",
        old=("            raise _lost(keyspace)\n        self._valid_from(sent)"),
        new=("            pass\n        self._valid_from(sent)"),
        notices="up keep=0 elsewhere; pauses 15 while 16",
    ),
    Mutation(
        "a long operation doesn't renew the lease",
        "journal",
        old="            self.append(None)\n",
        new="            pass\n",
        notices="up keep=0 slow=15; killed 1",
    ),
    Mutation(
        "a statement is sent however little is left of the lease",
        "journal",
        old="            raise _lost(self._database.keyspace)\n",
        new="            pass\n",
        notices="up keep=0 elsewhere abort; pauses 40 while 23",
    ),
    Mutation(
        "release writes nothing",
        "journal",
        old=("            self._database.compare_and_set(cql, values)\n\n\n"),
        new=("            pass\n\n\n"),
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "release doesn't say that it was one",
        "journal",
        old="values = [clean, ended,",
        new="values = [ABSENT, ended,",
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "release doesn't say that the run is over",
        "journal",
        old="ended = self._epoch if finished else ABSENT",
        new="ended = ABSENT",
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "take_away writes nothing",
        "journal",
        old="return self._database.compare_and_set(cql, [self._database.keyspace, token])",
        new="return True",
        notices=UPKEEP + "test_a_lease_that_is_taken_away_is_free",
    ),
    Mutation(
        "the lease isn't renewed before a DROP",
        "executing",
        old="self._log.append(None)",
        new="pass",
        notices="down keep=0 slow=19; killed 1",
    ),
    Mutation(
        "no row at all",
        "journal",
        old="if event is not None:\n",
        new="if False:\n",
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "the schema isn't recorded",
        "journal",
        old="extra = [recorded, ",
        new="extra = [None, ",
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "no row before an operation",
        "passage",
        old='self._append("before", index, detail=',
        new="str(",
        notices="up keep=0; killed 4",
    ),
    Mutation(
        "no row behind an operation",
        "passage",
        old='self._append("applied", index, recorded=True, duration_ms=took)',
        new="pass",
        notices="up keep=0; killed 1",
    ),
    Mutation(
        "no row of what a killed run did",
        "passage",
        old='self._append("applied", index, recorded=True)\n',
        new="pass\n",
        notices="up keep=0; killed 31",
    ),
    Mutation(
        "no row of what never arrived",
        "passage",
        old=('do.log.append(\n                replace(before, event="refused"'),
        new=('str(\n                replace(before, event="refused"'),
        notices=UPKEEP + "test_what_never_arrived_and_was_changed_in_its_file_is_over",
    ),
    Mutation(
        "no row of a refusal",
        "passage",
        old="self._append(kind, index, error=error.message[:2000])",
        new="pass",
        notices="up keep=0; lost 7",
    ),
    Mutation(
        "no row says that an abort has begun",
        "jobs",
        old='self._log.append(Event("aborting", ',
        new="str((",
        notices="up keep=0 abort again; killed 19; killed 11",
    ),
    Mutation(
        "stamp and accept don't record the schema",
        "jobs",
        old="self._log.append(Event(event, attempt, number, direction), recorded)",
        new="pass",
        notices=UPKEEP + "test_what_is_stamped_is_recorded",
    ),
    _unmoved("begin_up", "up keep=0; killed 1"),
    _unmoved("finish_up", "up keep=0; killed 1"),
    _unmoved("take_over", "up keep=0; killed 4"),
    Mutation(
        "what is taken over looks as before",
        "history",
        old="            now += timedelta(milliseconds=1)\n",
        new=("            pass\n        now = was or now\n"),
        notices="up keep=0 abort; delayed 57 by 44",
    ),
    _unmoved("begin_down", "down keep=0; killed 1"),
    _unmoved("withdraw_down", "down keep=0; refused 4"),
    _unmoved("remove", "down keep=0; killed 1"),
    Mutation(
        "a stamp goes on without its lease",
        "jobs",
        old=("                self._log.append(None)\n                self._history.finish_up("),
        new="                self._history.finish_up(",
        notices=UPKEEP + "test_a_stamp_that_lost_its_lease_goes_no_further",
    ),
    _unmoved("adopt", UPKEEP + "test_a_project_of_another_tool_is_taken_over"),
    _unmoved("supersede", UPKEEP + "test_a_project_of_another_tool_is_taken_over"),
    Mutation(
        "no row of what is taken over",
        "adopting",
        old='self._log.append(Event("adopted", ',
        new="str((",
        notices=UPKEEP + "test_a_project_of_another_tool_is_taken_over",
    ),
    _unmoved("accept", UPKEEP + "test_a_file_that_is_accepted_is_recorded_as_it_is_now"),
    Mutation(
        "remove by a plain DELETE",
        "history",
        old='"""IN_PROGRESS -> (none): the way down is done, or nothing of the way up was."""\n',
        new=(
            "\n"
            "        return self._database.write(\n"
            '            f"DELETE FROM {self._table} WHERE id = ?", [self.id_of(number)]\n'
            "        )\n"
        ),
        notices="down keep=0 clock=-10; killed 1",
    ),
    Mutation(
        "what came late stays in the history",
        "jobs",
        old="back(record.number, record.attempt)",
        new="pass",
        notices="up keep=0 abort; delayed 3 by 1",
    ),
    Mutation(
        "no checkpoint",
        "copying",
        old="self._checkpoint(place, part, result)\n",
        new="pass\n",
        notices=UPKEEP + "test_what_is_copied_is_not_copied_again",
    ),
    Mutation(
        "what is destroyed isn't read before",
        "executing",
        old="            self._read_back(effect)\n            if proven",
        new="            if proven",
        notices="up keep=0; alters 24",
    ),
    Mutation(
        "what is refused is withdrawn although it may have come",
        "passage",
        old="sure = not self._is_open and unsettled(self._past, done) is None",
        new="sure = not self._is_open",
        notices="up keep=0; delayed 53 by 44; refused 3",
    ),
    Mutation(
        "only the latest statement may be unsettled",
        "journal",
        old=(
            "    for row, behind in zip(rows, [*rows[1:], None], strict=False):\n"
            '        told = behind is not None and behind.event in ("applied", "refused")\n'
            '        if row.event == "before" and not told:\n'
            "            return row\n"
        ),
        new=(
            "    for row, behind in reversed(list(zip(rows, [*rows[1:], None]))):\n"
            '        told = behind is not None and behind.event in ("applied", "refused")\n'
            '        if row.event == "before":\n'
            "            return None if told else row\n"
        ),
        notices="up keep=7 elsewhere; delayed 30 by 123; refused 4",
    ),
)
