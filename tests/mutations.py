"""Does a test fail when a write of the lease, the journal, the history or the checkpoints is left
out? A developer's tool:

    python tests/mutations.py               all of them; `survived` is what to write a test for
    python tests/mutations.py release keep  those whose name has one of these words

Each is made in a copy of the tree, where the tests named run until the first one fails.
CALLDROP_HOSTS names a server to run them on; without it each starts one of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PATIENCE = 300  # seconds; a run that hangs is noticed too


@dataclass(frozen=True)
class Mutation:
    """A text of a file, what takes its place, and the tests that must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


def _engine(file: str, name: str, old: str, new: str, tests: str) -> Mutation:
    path = f"calldrop_migrate/engine/{file}.py"
    return Mutation(f"{file}: {name}", path, old, new, f"{SERVER}{tests}")


def _unmoved(name: str, tests: str) -> Mutation:
    """A transition of the history that isn't written."""
    file = PROJECT / "calldrop_migrate/engine/history.py"
    head = f"    def {name}("
    behind = file.read_text(encoding="utf-8").partition(head)[2]
    found = re.match(r".*?(?=self\._(?:move|enter)\()", behind, re.DOTALL)
    assert found, name
    call = behind[found.end() :].partition("(")[0]
    old, new = f"{head}{found[0]}{call}(", f"{head}{found[0]}(lambda *_: None)("
    return _engine("history", name, old, new, tests)


SERVER = "tests/server/"
MUTATIONS = (
    # -- the lease
    _engine(
        *("journal", "acquire writes nothing"),
        *("taken = self._database.compare_and_set(", "taken = (lambda *_: True)("),
        "test_runners.py",
    ),
    _engine(
        *("journal", "acquire takes it from whoever has it"),
        *("found = self.wait_until_free(deadline, waiting)", "found = self.read()"),
        "test_clocks.py -k excludes",
    ),
    _engine(
        *("journal", "the lease has no end"),
        *("self._timing.lease_ttl,\n            self._token,", "0,\n            self._token,"),
        "test_clocks.py -k excludes",
    ),
    _engine(
        *("journal", "a row doesn't renew the lease"),
        "self._timing.lease_ttl,\n            self._token,",
        "1,\n            self._token,",
        "test_writes.py",
    ),
    _engine(
        *("journal", "a row is written, lease or not"),
        *(
            "            raise _lost(keyspace)\n        self._valid_from(sent)",
            "            pass\n        self._valid_from(sent)",
        ),
        "test_late.py -k between",
    ),
    _engine(
        *("journal", "a long operation doesn't renew the lease"),
        *("            self.append(None)\n", "            pass\n"),
        "test_writes.py",
    ),
    _engine(
        *("journal", "a statement is sent however little is left of the lease"),
        *("            raise _lost(self._database.keyspace)\n", "            pass\n"),
        "test_writes.py",
    ),
    _engine(
        *("journal", "release writes nothing"),
        *(
            "            self._database.compare_and_set(cql, values)\n\n\n",
            "            pass\n\n\n",
        ),
        "test_writes.py",
    ),
    _engine(
        *("journal", "release doesn't say that it was one"),
        *("values = [clean, ended,", "values = [ABSENT, ended,"),
        "test_writes.py",
    ),
    _engine(
        *("journal", "release doesn't say that the run is over"),
        *("ended = self._epoch if finished else ABSENT", "ended = ABSENT"),
        "test_writes.py",
    ),
    _engine(
        *("journal", "take_away writes nothing"),
        "return self._database.compare_and_set(cql, [self._database.keyspace, token])",
        "return True",
        "test_upkeep.py -k unlock",
    ),
    _engine(
        *("journal", "nobody waits for a stopped run's last statement"),
        *("if not found.released_cleanly:\n", "if False:\n"),
        "test_writes.py -k takes_long",
    ),
    _engine(
        *("executing", "the lease isn't renewed before a DROP"),
        *("self._log.append(None)", "pass"),
        "test_writes.py",
    ),
    # -- the journal
    _engine(
        *("journal", "no row at all"),
        *("if event is not None:\n", "if False:\n"),
        "test_runners.py",
    ),
    _engine(
        *("journal", "the schema isn't recorded"),
        *("extra = [recorded, ", "extra = [None, "),
        "test_schedules.py -k drift",
    ),
    _engine(
        *("passage", "no row before an operation"),
        *('self._append("before", index, detail=', "str("),
        "test_runners.py",
    ),
    _engine(
        *("passage", "no row behind an operation"),
        *('self._append("applied", index, recorded=True, duration_ms=took)', "pass"),
        "test_runners.py",
    ),
    _engine(
        *("passage", "no row of what a killed run did"),
        *('self._append("applied", index, recorded=True)\n', "pass\n"),
        "test_writes.py -k killed_run",
    ),
    _engine(
        *("passage", "no row of what never arrived"),
        *(
            'do.log.append(\n                replace(before, event="refused"',
            'str(\n                replace(before, event="refused"',
        ),
        "test_other_hands.py -k begun",
    ),
    _engine(
        *("passage", "no row of a refusal"),
        *("self._append(kind, index, error=error.message[:2000])", "pass"),
        "test_runners.py -k half_way",
    ),
    _engine(
        *("jobs", "no row says that an abort has begun"),
        *('self._log.append(Event("aborting", ', "str(("),
        "test_upkeep.py -k abort_that_is_killed",
    ),
    _engine(
        *("jobs", "stamp and accept don't record the schema"),
        *("self._log.append(Event(event, attempt, number, direction), recorded)", "pass"),
        "test_upkeep.py -k 'repair_shows or stamped'",
    ),
    # -- the history
    _unmoved("begin_up", "test_runners.py"),
    _unmoved("finish_up", "test_runners.py"),
    _unmoved("take_over", "test_runners.py"),
    _engine(
        *("history", "what is taken over looks as before"),
        *(
            "            now += timedelta(milliseconds=1)\n",
            "            pass\n        now = was or now\n",
        ),
        "test_taken_over.py -k behind",
    ),
    _unmoved("begin_down", "test_upkeep.py -k abort"),
    _unmoved("withdraw_down", "test_upkeep.py -k abort"),
    _unmoved("remove", "test_runners.py"),
    _engine(
        *("jobs", "a stamp goes on without its lease"),
        *(
            "                self._log.append(None)\n                self._history.finish_up(",
            "                self._history.finish_up(",
        ),
        "test_half_way.py -k stamp",
    ),
    _unmoved("adopt", "test_adopt.py -k shown"),
    _unmoved("supersede", "test_adopt.py -k shown"),
    _engine(
        *("adopting", "no row of what is taken over"),
        *('self._log.append(Event("adopted", ', "str(("),
        "test_adopt.py -k shown",
    ),
    _unmoved("accept", "test_upkeep.py -k accepted"),
    _engine(
        *("history", "remove by a plain DELETE"),
        '"""IN_PROGRESS -> (none): the way down is done, or nothing of the way up was."""\n',
        "\n        return self._database.write(\n"
        '            f"DELETE FROM {self._table} WHERE id = ?", [self.id_of(number)]\n        )\n',
        "test_clocks.py -k alternately",
    ),
    _engine(
        *("jobs", "what came late stays in the history"),
        *("back(record.number, record.attempt)", "pass"),
        "test_late.py -k history",
    ),
    # -- the checkpoints
    _engine(
        *("copying", "no checkpoint"),
        *("self._checkpoint(place, part, result)\n", "pass\n"),
        "test_writes.py",
    ),
)


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    survived = 0
    for mutation in chosen:
        began = time.monotonic()
        killer = tried(mutation)
        survived += not killer
        took = f"{time.monotonic() - began:.0f} s"
        print(f"{'killed  ' if killer else 'SURVIVED'}  {mutation.name}  ({took})", flush=True)
        print(f"          {killer or mutation.tests}", flush=True)
    print(f"{len(chosen)} mutations, {survived} survived")
    return survived


def tried(mutation: Mutation) -> str:
    """The test that notices; empty if none does."""
    with tempfile.TemporaryDirectory(prefix="calldrop-mutation-") as folder:
        tree = Path(folder) / "tree"
        left = shutil.ignore_patterns(".git", ".venv", "*cache*", ".hypothesis")
        shutil.copytree(PROJECT, tree, ignore=left)
        file = tree / mutation.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutation.old) != 1:
            raise SystemExit(f"{mutation.name}: {text.count(mutation.old)} places in {file.name}")
        file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        return _failing(tree, mutation.tests)


def _failing(tree: Path, tests: str) -> str:
    every = "-m 'thorough or not thorough'"
    command = f"{sys.executable} -m pytest -x -q --no-header -p no:cacheprovider {every} {tests}"
    # The command that is installed is of this tree, not of the copy: PYTHONPATH goes before it.
    env = {**os.environ, "PYTHONPATH": str(tree)}
    process = subprocess.Popen(
        command, shell=True, cwd=tree, env=env, text=True, stdout=subprocess.PIPE
    )
    try:
        out, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate()
        return f"no end within {PATIENCE} s: {tests}"
    if process.returncode == 0:
        return ""
    failed = [line for line in out.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].partition(" - ")[0] if failed else out[-500:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
