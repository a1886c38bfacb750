"""The driver's exceptions, told apart by the one question that matters: was it applied, refused, or
is that unknown?

All of it is here, because it is easy to get wrong: NoHostAvailable is no DriverException,
OperationTimedOut and WriteTimeout are; "CAS operation result is unknown" comes as its own class; a
lost connection comes as any of several. The rule of PROTOCOLS.md 1: only a short list means
refused, everything else about a write is unknown.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from cassandra import (
    AlreadyExists,
    AuthenticationFailed,
    DriverException,
    FunctionFailure,
    InvalidRequest,
    OperationTimedOut,
    Unauthorized,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.protocol import ConfigurationException, ErrorMessage, SyntaxException

from calldrop_migrate.errors import (
    ConfigurationError,
    OutcomeUnknown,
    StatementRefused,
    Unreachable,
)

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
_HOST_AND_PORT = re.compile(r"[^:]+:\d+")
_POSITION = re.compile(r"line (\d+):(\d+) ")


class Refused(StatementRefused):
    """A refusal with the place in the statement that the server named, if it did.

    Attributes:
        line: counted from 1 within the statement that was sent; 0 when not named.
        column: counted from 0, as servers do.
        exists: the object was there already.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(server_message(error), hint=_hint(error))
        found = _POSITION.search(self.message)
        self.line, self.column = (int(found[1]), int(found[2])) if found else (0, 0)
        self.exists = isinstance(error, AlreadyExists)


# What to do about refusals that no change of the statement mends, by what their message has.
_HINTS = {
    "twcs_max_window_count": (
        "Either let it, on each node (and in scylla.yaml):\n"
        "  UPDATE system.config SET value = '100' WHERE name = 'twcs_max_window_count'\n"
        "or write larger windows, then run the same command again."
    ),
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
        return "Have the permission granted, then run the same command again."
    return next((hint for words, hint in _HINTS.items() if words in str(error)), "")


def server_message(error: BaseException) -> str:
    """What the server said, without the driver's wrapping."""
    if isinstance(error, NoHostAvailable):
        causes = _causes(error)[1:]
        return server_message(causes[0]) if causes else "no node could be asked"
    text = str(error)
    found = _MESSAGE.search(text)
    return (found[1] if found else text) or type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    if not isinstance(error, NoHostAvailable):
        return [error]
    found = error.errors  # by host, or a plain list when no host came to be known
    return [error, *(found.values() if isinstance(found, dict) else found)]


def says_absent(error: Exception) -> bool:
    """Whether it says that a table or keyspace doesn't exist, in the words of either server."""
    return bool(
        re.search(r"does(n't| not) exist|unconfigured (table|columnfamily)|Unknown CF", str(error))
    )


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
        raise OutcomeUnknown(
            f"no clear answer to a statement: {server_message(error)}",
            hint="Run the same command again: it reads what happened and goes on.",
        ) from error


@contextmanager
def of_read() -> Iterator[None]:
    """Turns what the driver raises for a read into ours.

    Raises:
        StatementRefused: the server said no.
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
            hint="Bring them up (nodetool status), then run the same command again.",
        ) from error
    except FAILURES as error:
        raise Unreachable(
            f"the database does not answer: {server_message(error)}",
            hint="Run the same command again once it does.",
        ) from error


def of_connect(
    error: BaseException, hosts: Sequence[str], port: int, username: str
) -> ConfigurationError | Unreachable:
    """What a failed connection means: a wrong password is the person's, all else the server's."""
    where = f"{', '.join(hosts)}, port {port}"
    for cause in _causes(error):
        if isinstance(cause, AuthenticationFailed) or "AuthenticationFailed" in repr(cause):
            who = f"user {username!r}" if username else "a connection without a user"
            return ConfigurationError(
                f"{where} refuses {who}: {_short(server_message(cause))}",
                state="Nothing was changed.",
                hint="Give --username, and the password by CALLDROP_PASSWORD or when asked for it.",
            )
    with_port = next((host for host in hosts if _HOST_AND_PORT.fullmatch(host)), None)
    hint = (
        "Is it up, and are --hosts and --port right?\n"
        "--wait SECONDS waits for a server that is starting."
    )
    if with_port:
        name, _, number = with_port.partition(":")
        hint = f"The port is a setting of its own:  --hosts {name} --port {number}"
    return Unreachable(
        f"no server answers at {where}: {_reasons(error)}",
        state="Nothing was changed.",
        hint=hint,
    )


def no_data_centre(wanted: str, found: Collection[str]) -> ConfigurationError:
    """--local-dc names none of the cluster's."""
    return ConfigurationError(
        f"there is no data centre {wanted!r}; the cluster has {', '.join(sorted(found))}",
        state="Nothing was changed.",
        hint=f"--local-dc {min(found)}, or leave it out.",
    )


def _reasons(error: BaseException) -> str:
    """Why no node could be connected to: once, or by node where they differ."""
    found = error.errors if isinstance(error, NoHostAvailable) else {}
    by_host = found if isinstance(found, dict) else {}
    reasons = {str(host): _reason(cause) for host, cause in by_host.items()}
    if len(set(reasons.values())) > 1:
        return "; ".join(f"{host} {reason}" for host, reason in reasons.items())
    return next(iter(reasons.values()), "") or _reason(_causes(error)[-1])


def _reason(error: BaseException) -> str:
    if isinstance(error, OperationTimedOut):
        return "no answer in time"
    if isinstance(error, UnresolvableContactPoints):
        return "the name is not known"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "connection refused"
    if "protocol version" in str(error):
        return "what listens there does not speak CQL"
    return _short(server_message(error))


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
