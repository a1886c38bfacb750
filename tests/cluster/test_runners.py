"""Eight runners at once, through different nodes: on an empty cluster, and with revisions pending.

Each revision runs once, on all nodes there is one id for each table, and whoever doesn't run says
so by its exit code: 6, or with --wait-for-lease 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.support.cli import Cli
from tests.support.ring import Ring, ids_of, through
from tests.support.sampling import sample
from tests.support.settings import FULL

ROUNDS = 10 if FULL else 1
RUNNERS = 8
WAIT = ("--wait-for-lease", "200")
APPLIED = [
    (1, "CREATE TABLE call_records"),
    (2, "DROP TABLE call_records"),
    (2, "CREATE TABLE call_records"),
    (3, "ALTER TABLE call_records WITH compaction"),
    (4, "CREATE MATERIALIZED VIEW calls_by_completion"),
    (4, "AWAIT calls_by_completion"),
]


@pytest.mark.parametrize(
    ("wait", "begun"),
    sample([(WAIT, 0), (WAIT, 1), ((), 0), ((), 1)]),
)
def test_each_revision_runs_once(
    make_ring_cli: Callable[[str], Cli],
    nodes: Ring,
    client: Any,
    each: list[Any],
    wait: tuple[str, ...],
    begun: int,
) -> None:
    for _ in range(ROUNDS):
        cli = make_ring_cli(f"r_{uuid4().hex[:12]}")
        if begun:
            assert cli("up", "1").code == 0
        flags = ("--yes", "--outage-accepted", *wait)
        runners = [cli.start("up", *flags, env=through(nodes, n % 3)) for n in range(RUNNERS)]
        ended = [(r.wait(240), *r.communicate()) for r in runners]
        codes = Counter(code for code, _, _ in ended)
        told = "\n".join(f"exit {code}\n{err}" for code, _, err in ended)
        assert set(codes) <= ({0} if wait else {0, 6}), told
        assert codes[0] >= 1, told
        for _, _, err in ended:
            assert "Traceback" not in err, err
        found = client.execute(
            f"SELECT epoch, seq, revision, event, statement FROM {cli.keyspace}.migration_journal"
        )
        rows = sorted(found, key=lambda row: (row["epoch"], row["seq"]))
        applied = [(r["revision"], r["statement"]) for r in rows if r["event"] == "applied"]
        assert len(applied) == len(APPLIED), applied
        for (number, text), (wanted, begins) in zip(applied, APPLIED, strict=True):
            assert number == wanted
            assert text.startswith(begins)
        one, *others = ids_of(each, cli.keyspace)
        assert all(other == one for other in others)
        for n in range(3):
            assert cli("verify", env=through(nodes, n)).code == 0
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")
