"""A client that asks again what got no answer, of a node that stood still or of a busy machine; and
which server it is that it asks.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cassandra import AlreadyExists, InvalidRequest, OperationTimedOut, ReadTimeout, Unauthorized
from cassandra.cluster import NoHostAvailable, Session
from cassandra.protocol import ConfigurationException, SyntaxException

_TIMES = 4


@cache
def is_scylla(session: Session) -> bool:
    """The server is ScyllaDB."""
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system'"
    return any("scylla" in row["table_name"] for row in session.execute(asked))


# How a server says no: by the kind of its answer, since the words are each server's own.
REFUSALS = (AlreadyExists, ConfigurationException, InvalidRequest, SyntaxException, Unauthorized)


@cache
def tells_element_times(session: Session) -> bool:
    """The server tells the write times and lives of a collection's elements: Cassandra from 5.0."""
    version = session.execute("SELECT release_version FROM system.local").one()["release_version"]
    return not is_scylla(session) and int(version.partition(".")[0]) >= 5


def asking_again(session: Session) -> Session:
    """The session, whose `execute` repeats what changes nothing by being repeated.

    A refusal is an answer, and is passed on.
    """
    once = session.execute

    def execute(query: Any, *args: Any, **kwargs: Any) -> Any:
        if str(query).startswith(("SELECT ", "DROP KEYSPACE IF EXISTS ")):
            for _ in range(_TIMES - 1):
                try:
                    return once(query, *args, **kwargs)
                except (OperationTimedOut, ReadTimeout, NoHostAvailable):
                    continue
        return once(query, *args, **kwargs)

    session.execute = execute
    return session
