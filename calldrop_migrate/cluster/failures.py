"""The driver's exceptions, told apart by the one question that matters: was it applied, refused, or
is that unknown?

All of it is here, because it is easy to get wrong: NoHostAvailable is no DriverException,
OperationTimedOut and WriteTimeout are; "CAS operation result is unknown" comes as its own class; a
lost connection comes as any of several. The rule of docs/protocol.md 1: only a short list means
refused, everything else about a write is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cassandra import (
    AlreadyExists,
    DriverException,
    FunctionFailure,
    InvalidRequest,
    RateLimitReached,
    ReadFailure,
    Unauthorized,
    Unavailable,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import (
    ConfigurationException,
    ErrorMessage,
    OverloadedErrorMessage,
    SyntaxException,
)

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.errors import OutcomeUnknown, StatementRefused, Unreachable, Unreadable

REFUSALS = (
    AlreadyExists,
    ConfigurationException,
    FunctionFailure,
    InvalidRequest,
    SyntaxException,
    Unauthorized,
)
FAILURES = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage, OSError)
_MESSAGE = re.compile(r'message="(.*)">?\s*$', re.DOTALL)
_GUARD = re.compile(r"Guardrail (\w+) violated")
_TOO_LONG = re.compile(r"Length \d+ > max length \d+")
_POSITION = re.compile(r"line (\d+):(\d+) ")


class Refused(StatementRefused):
    """A refusal with the place in the statement that the server named, if it did.

    Attributes:
        line: counted from 1 within the statement that was sent; 0 when not named.
        column: counted from 0, as servers do.
        absent: the object isn't there.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(server_message(error), hint=_hint(error))
        found = _POSITION.search(self.message)
        self.line, self.column = (int(found[1]), int(found[2])) if found else (0, 0)
        self.absent = says_absent(error)


# What to do about refusals that no change of the statement mends, by what their message has.
_HINTS = {
    "tablets": (
        "Use a keyspace without tablets:  CREATE KEYSPACE ... AND tablets = {'enabled': false}"
    ),
    "Materialized views are disabled": (
        "Set materialized_views_enabled: true in cassandra.yaml on "
        "each node, then run the same command again."
    ),
}


def _hint(error: Exception) -> str:
    if isinstance(error, Unauthorized):
        grant = grant_for(server_message(error))
        if grant:
            return f"Have it granted, then run the same command again:\n  {grant}"
        return "Have the permission granted, then run the same command again."
    if guard := _GUARD.search(str(error)):
        return (
            f"A guard rail of this server forbids it ({guard[1]}). Have it allowed on every node,"
            " in cassandra.yaml or by JMX, or connect as a superuser, for whom it doesn't count;"
            " then run the same command again."
        )
    if "twcs_max_window_count" in str(error):
        return (
            "Allow more windows on each node or write larger ones, then run the same command again."
            f"\nWhat to type for each node:  {commands.plan()}"
        )
    return next((hint for words, hint in _HINTS.items() if words in str(error)), "")


# "User app has no SELECT permission on <table system.size_estimates> or any of its parents"
_LACKS = re.compile(
    r"User (?P<role>.+?) has no (?P<what>[A-Z_]+) permission on <(?P<kind>all keyspaces|keyspace|"
    r"all tables in|table) ?(?P<name>.*?)> or any of its parents"
)


def grant_for(message: str) -> str:
    """The statement that grants what a refusal says is missing; empty where it doesn't say.

    On a table of the server's own for that table alone. Others come and go with revisions, so that
    is for their keyspace.
    """
    if (found := _LACKS.search(message)) is None:
        return ""
    keyspace, _, table = found["name"].partition(".")
    if not keyspace:
        on = "ALL KEYSPACES"
    elif table and keyspace.startswith("system"):
        on = f"TABLE {quote(keyspace)}.{quote(table)}"
    else:
        on = f"KEYSPACE {quote(keyspace)}"
    return f"GRANT {found['what']} ON {on} TO {quote(found['role'])};"


def server_message(error: BaseException) -> str:
    """Return what the server said, without the driver's wrapping."""
    if isinstance(error, NoHostAvailable):
        nodes = causes(error)[1:]
        return server_message(nodes[0]) if nodes else "no node could be asked"
    text = str(error)
    found = _MESSAGE.search(text)
    return (found[1] if found else text) or type(error).__name__


def causes(error: BaseException) -> list[BaseException]:
    """An error, and those of the nodes that it stands for."""
    if not isinstance(error, NoHostAvailable):
        return [error]
    found = error.errors  # by host, or a plain list when no host came to be known
    return [error, *(found.values() if isinstance(found, dict) else found)]


def says_absent(error: Exception) -> bool:
    """Return whether it says that a table or keyspace doesn't exist, in the words of either
    server.
    """
    words = r"does(n't| not) exist|unconfigured (table|columnfamily)|Unknown CF|non existing"
    return bool(re.search(words, str(error)))


@contextmanager
def of_write() -> Iterator[None]:
    """Turns what the driver raises for a statement that changes something into ours.

    Raises:
        StatementRefused: the server said no.
        OutcomeUnknown: everything else.
    """
    try:
        yield
    except REFUSALS as error:
        raise Refused(error) from error
    except FAILURES as error:
        if _TOO_LONG.search(str(error)):  # for an index: each node refuses it by this exception
            raise Refused(error) from error
        raise OutcomeUnknown(
            f"no clear answer to a statement: {server_message(error)}",
            hint=_first(error) + "Run the same command again: it reads what happened and goes on.",
        ) from error


@contextmanager
def of_read(what: str = "") -> Iterator[None]:
    """Turns what the driver raises for a read into ours.

    Args:
        what: is read: a table, and where in it.

    Raises:
        StatementRefused: the server said no.
        Unreadable: it gives up on rows that are there, or were.
        Unreachable: everything else; nothing was changed by a read.
    """
    try:
        yield
    except REFUSALS as error:
        raise Refused(error) from error
    except Unavailable as error:
        raise Unreachable(
            f"replicas are down: {error.alive_replicas} of the {error.required_replicas} that "
            "this read needs answer",
            hint=_first(error) + "Run the same command again.",
        ) from error
    except ReadFailure as error:
        raise _unreadable(error, what or "rows") from error
    except FAILURES as error:
        raise Unreachable(
            f"the database does not answer: {server_message(error)}",
            hint=_first(error) + "Run the same command again once it does.",
        ) from error


def _first(error: BaseException) -> str:
    """Names what has to be done before the same command helps; empty where waiting may do."""
    if isinstance(error, Unavailable):
        return "Bring the nodes up that are down (nodetool status).\n"
    if isinstance(error, (OverloadedErrorMessage, RateLimitReached)):
        return "Give the server less to do at once:  --max-rows-per-second N\n"
    return ""


# Why a node gave up on a read, by the name that its message has for it, and what a person can do.
# The others (TIMEOUT, NODE_DOWN, INCOMPATIBLE_SCHEMA, UNKNOWN) may pass.
_GIVEN_UP = {
    "READ_TOO_MANY_TOMBSTONES": (
        "too many deleted or ended rows or cells lie in one place (tombstone_failure_threshold,"
        " 100,000 unless it was set)",
        "Have them compacted away: once gc_grace_seconds of the table have passed since they were"
        " deleted,  nodetool compact KEYSPACE TABLE  on each node. Or raise"
        " tombstone_failure_threshold on each node, in cassandra.yaml or by JMX.",
    ),
    "READ_SIZE": (
        "what it would read is larger than its limit (local_read_size_fail_threshold,"
        " row_index_read_size_fail_threshold)",
        "Raise that limit on each node, in cassandra.yaml or by JMX.",
    ),
}
_REASON = re.compile(r"\b([A-Z_]{4,}) from ")


def _unreadable(error: ReadFailure, what: str) -> Unreachable:
    said = server_message(error)
    reasons = [found[1] for found in _REASON.finditer(said)]
    known = next((_GIVEN_UP[reason] for reason in reasons if reason in _GIVEN_UP), None)
    if known is None:
        return Unreachable(
            f"nodes failed to read {what}: {said}",
            hint="Why they failed is in their logs. Mend that, then run the same command again.",
        )
    why, hint = known
    return Unreadable(
        f"the server gives up reading {what}: {why}",
        hint=f"{hint} Then run the same command again.",
    )
