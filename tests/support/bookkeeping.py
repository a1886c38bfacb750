"""The tool's own tables: read, and written to, past the tool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from cassandra.cluster import Session

from tests.support.cli import Cli

APART = "CALLDROP_BOOKKEEPING_KEYSPACE"


def history(client: Any, cli: Cli) -> list[tuple[int, str]]:
    """Revisions and their states as they are in the table, not as the tool tells it."""
    found = client.execute(f"SELECT version, state FROM {cli.keyspace}.database_migrations")
    return sorted((row["version"], row["state"]) for row in found)


def done(cli: Cli, revision: int, count: int) -> bool:
    """A run of `up` is that far with a revision."""
    note = cli.json("status")["revisions"][revision - 1]["note"]
    return bool(note.startswith(f"up, {count} of "))


@contextmanager
def lease_of_another(client: Session, keyspace: str) -> Iterator[None]:
    """The lease, taken as the journal has it, from a machine that nobody here can look at."""
    holder = {
        "user": "ci",
        "host": "build-7",
        "boot": "b",
        "namespace": "n",
        "pid": 4121,
        "started": "1",
        "command": "calldrop-migrate up",
    }
    token = uuid4()
    take = (
        f"UPDATE {keyspace}.migration_journal USING TTL 300 SET owner = %s, holder = %s, "
        "since = toTimestamp(now()) WHERE keyspace_name = %s IF owner = null"
    )
    assert client.execute(take, (token, json.dumps(holder), keyspace)).was_applied
    try:
        yield
    finally:
        client.execute(
            f"UPDATE {keyspace}.migration_journal SET owner = null, holder = null, since = null "
            "WHERE keyspace_name = %s IF owner = %s",
            (keyspace, token),
        )
