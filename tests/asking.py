"""A client that asks again what got no answer: of a node that stood still, or of a busy machine."""

from __future__ import annotations

from typing import Any

from cassandra import OperationTimedOut, ReadTimeout
from cassandra.cluster import NoHostAvailable, Session

_TIMES = 4


class Asking:
    """A session, with what it has; `execute` repeats what changes nothing by being repeated.

    A refusal is an answer, and is passed on.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        if str(query).startswith(("SELECT ", "DROP KEYSPACE IF EXISTS ")):
            for _ in range(_TIMES - 1):
                try:
                    return self._session.execute(query, *args, **kwargs)
                except (OperationTimedOut, ReadTimeout, NoHostAvailable):
                    continue
        return self._session.execute(query, *args, **kwargs)
