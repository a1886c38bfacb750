"""Records what the tool reads of a server's own tables, as it is answered: for tests/cases/servers.

    python -m tests.support.record HOST PORT KEYSPACE > tests/cases/servers/cassandra-5.0.9.json

KEYSPACE has been migrated; a table `recording` is made in it for conditional statements, and goes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calldrop_migrate.cluster import catalog, platform, survey

_CONDITIONAL = {
    "insert": "INSERT INTO recording (k, v) VALUES ('a', 1) IF NOT EXISTS",
    "insert again": "INSERT INTO recording (k, v) VALUES ('a', 1) IF NOT EXISTS",
    "batch": (
        "BEGIN BATCH UPDATE recording SET s = 1 WHERE k = 'b' IF s = null;"
        " UPDATE recording SET w = 1 WHERE k = 'b' AND v = 1; APPLY BATCH"
    ),
    "batch refused": (
        "BEGIN BATCH UPDATE recording SET s = 1 WHERE k = 'b' IF s = 2;"
        " UPDATE recording SET w = 1 WHERE k = 'b' AND v = 1; APPLY BATCH"
    ),
}


def record(session: Any, keyspace: str) -> dict[str, Any]:
    """The answers by query, and those to conditional statements by what they are."""
    answers: dict[str, list[dict[str, Any]]] = {}

    def ask(queries: Sequence[str]) -> list[list[catalog.Row]]:
        found = [list[catalog.Row](session.execute(query)) for query in queries]
        answers.update(
            (q, [dict(row) for row in rows]) for q, rows in zip(queries, found, strict=True)
        )
        return found

    ask([platform.LOCAL, platform.PEERS, platform.TABLES_OF_SYSTEM, survey.SETTINGS])
    catalog.read(ask, keyspace, ("types", "indexes"))
    kept = [r for r in answers[survey.SETTINGS] if "views" in r["name"]]  # it has paths, too
    answers[survey.SETTINGS] = kept
    session.set_keyspace(keyspace)
    session.execute(
        "CREATE TABLE recording (k text, v int, s int static, w int, PRIMARY KEY (k, v))"
    )
    told = {name: [dict(r) for r in session.execute(cql)] for name, cql in _CONDITIONAL.items()}
    session.execute("DROP TABLE recording")
    return {"answers": answers, "conditional": told}


def plain(value: object) -> object:
    """The same for JSON: maps and sets of the driver's as plain ones, ids and times as text."""
    if isinstance(value, Mapping):
        return dict(value.items())
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return sorted(map(str, value))
    return str(value)


def main(host: str, port: str, keyspace: str) -> None:
    """Writes the recording to stdout."""
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.io.asyncioreactor import AsyncioConnection
    from cassandra.query import dict_factory

    profiles = {EXEC_PROFILE_DEFAULT: ExecutionProfile(row_factory=dict_factory)}
    cluster = Cluster(
        *([host], int(port)), connection_class=AsyncioConnection, execution_profiles=profiles
    )
    try:
        found = record(cluster.connect(), keyspace)
    finally:
        cluster.shutdown()
    about = "Recorded by tests/support/record.py from a real server."
    json.dump({"about": about, **found}, sys.stdout, indent=1, default=plain)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
