"""The reasons for which no connection came to be, told so that they can be mended.

A wrong password, a file or flag for TLS that is missing or doesn't fit are the caller's (exit 2).
What a server has to mend, an expired certificate too, is a server that isn't reachable (exit 10).
"""

from __future__ import annotations

import errno
import re
import ssl
from collections.abc import Collection, Sequence

from cassandra import AuthenticationFailed, OperationTimedOut, UnresolvableContactPoints
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import ProtocolException

from calldrop_migrate.cluster import tls
from calldrop_migrate.cluster.failures import causes, server_message
from calldrop_migrate.errors import ConfigurationError, Unreachable

_HOST_AND_PORT = re.compile(r"[^:]+:\d+")
_ASKED = 3  # hosts at most
_TLS_PATIENCE = 1.0  # seconds; the server has just answered something else
_UNTOUCHED = "Nothing was changed."
# OpenSSL's numbers for what is wrong with a certificate.
_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64


def failed(
    error: BaseException, hosts: Sequence[str], port: int, username: str, *, encrypted: bool
) -> ConfigurationError | Unreachable:
    """Return what a failed connection means: what the caller can mend is the caller's, all else the
    server's.
    """
    where = f"{', '.join(hosts)}, port {port}"
    for cause in causes(error):
        if isinstance(cause, AuthenticationFailed) or "AuthenticationFailed" in repr(cause):
            return _not_let_in(cause, where, username)
        if mended := _tls(cause, where) if encrypted else None:
            return mended
    closed = any(_closed_at_once(cause) for cause in causes(error))
    if closed and not encrypted:
        for host in hosts[:_ASKED]:
            if tls.is_spoken(host, port, _TLS_PATIENCE):
                return _wrong(
                    f"{where} wants TLS, and the connection is without it",
                    "Give --tls, or the file of the servers' CA:  --tls-ca FILE",
                )
    with_port = next((host for host in hosts if _HOST_AND_PORT.fullmatch(host)), None)
    hint = (
        "Is it up, and are --hosts and --port right?\n"
        "--wait SECONDS waits for a server that is starting."
    )
    if closed and encrypted:
        hint = f"Does it want a certificate of ours:  --tls-cert FILE --tls-key FILE\n{hint}"
    if with_port:
        name, _, number = with_port.partition(":")
        hint = f"The port is a setting of its own:  --hosts {name} --port {number}"
    return Unreachable(
        f"no server answers at {where}: {_reasons(error)}", state=_UNTOUCHED, hint=hint
    )


def no_data_centre(wanted: str, found: Collection[str]) -> ConfigurationError:
    """--local-dc names none of the cluster's."""
    return _wrong(
        f"there is no data centre {wanted!r}; the cluster has {', '.join(sorted(found))}",
        f"--local-dc {min(found)}, or leave it out.",
    )


def _wrong(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError(message, state=_UNTOUCHED, hint=hint)


def _not_let_in(cause: BaseException, where: str, username: str) -> ConfigurationError:
    who = f"user {username!r}" if username else "a connection without a user"
    return _wrong(
        f"{where} refuses {who}: {_short(server_message(cause))}",
        "Give --username, and the password by CALLDROP_PASSWORD, --password-file or when asked for"
        " it.",
    )


# -- TLS -----------------------------------------------------------------------------------------


def _tls(cause: BaseException, where: str) -> ConfigurationError | Unreachable | None:
    """Return what a failed handshake means; None for what is none."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _not_trusted(cause, where)
    reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return _wrong(
            f"what listens at {where} does not speak TLS",
            "Leave --tls and its files out, or name the port that has TLS:  --port PORT",
        )
    if "CERTIFICATE" in reason and "ALERT" in reason:
        return _wrong(
            f"{where} refuses our certificate, or that there is none: {_words(reason)}",
            "Give a certificate that the servers trust:  --tls-cert FILE --tls-key FILE",
        )
    if reason:
        return Unreachable(
            f"no TLS with {where}: {_words(reason)}",
            state=_UNTOUCHED,
            hint=(
                "Its log says why: does it trust the certificate of --tls-cert, and have both sides"
                " a version of TLS in common?"
            ),
        )
    return None


def _not_trusted(
    error: ssl.SSLCertVerificationError, where: str
) -> ConfigurationError | Unreachable:
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return Unreachable(
            f"the certificate of {where} is not valid now: {error.verify_message}",
            state=_UNTOUCHED,
            hint="Have it renewed; or is the clock of this machine wrong?",
        )
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return _wrong(
            f"the certificate of {where} is another host's: {error.verify_message}",
            "Nodes are connected to by IP address, and their certificates must name it.\n"
            "--no-tls-hostname takes any name, as long as the CA has signed it.",
        )
    return _wrong(
        f"the certificate of {where} is not trusted: {error.verify_message}",
        "Name the file with the CA that has signed it:  --tls-ca FILE",
    )


def _closed_at_once(cause: BaseException) -> bool:
    """Return whether a server took a connection and ended it, or didn't answer in CQL."""
    ended = isinstance(cause, (ConnectionShutdown, ProtocolException))
    return ended or (isinstance(cause, OSError) and cause.errno == errno.ECONNRESET)


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")


# -- in words ------------------------------------------------------------------------------------


def _reasons(error: BaseException) -> str:
    """Return why no node could be connected to: once, or by node where they differ."""
    found = error.errors if isinstance(error, NoHostAvailable) else {}
    by_host = found if isinstance(found, dict) else {}
    reasons = {str(host): _reason(cause) for host, cause in by_host.items()}
    if len(set(reasons.values())) > 1:
        return "; ".join(f"{host} {reason}" for host, reason in reasons.items())
    return next(iter(reasons.values()), "") or _reason(causes(error)[-1])


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
