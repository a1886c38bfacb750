"""The TLS context of a connection from the files that were given; and whether a server speaks TLS.

Every fault of a file is the caller's to mend and names its setting. Nothing here knows the driver.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from calldrop_migrate.errors import ConfigurationError

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
# The second is what OpenSSL says of a key of another kind.
_OTHER_KEY = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED", "KEY_TYPE_MISMATCH")


class _Encrypted(Exception):
    """A key asks for its password."""


def context(files: Mapping[str, Path], *, hostname: bool) -> ssl.SSLContext:
    """Return what a connection is made with: servers are always checked against a CA.

    Args:
        files: tls_ca (else the system's CAs count), tls_cert and tls_key (else the key is in the
            certificate's file).
        hostname: whether a certificate must name the address that we connect to. Nodes are
            connected to by their IP addresses.

    Raises:
        ConfigurationError: a file can't be used.
    """
    ca, cert, key = (files.get(name) for name in ("tls_ca", "tls_cert", "tls_key"))
    if key and not cert:
        raise _wrong("tls_key", key, "a key without a certificate", "Give --tls-cert FILE, too.")
    if ca:
        _holds("tls_ca", ca, _CERTIFICATE, "certificate")
    if cert:
        _holds("tls_cert", cert, _CERTIFICATE, "certificate")
        _holds("tls_key" if key else "tls_cert", key or cert, _KEY, "private key")
    try:
        made = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise _wrong("tls_ca", ca, f"no certificate that can be read ({_words(error)})") from None
    made.check_hostname = hostname
    # From 3.13 on Python asks for extensions that certificates made with keytool often don't have.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert:
        _load(made, cert, key)
    return made


def _load(made: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    name, path = ("tls_key", key) if key else ("tls_cert", cert)
    try:
        made.load_cert_chain(cert, key, _no_password)
    except _Encrypted:
        said = "the key is encrypted"
        hint = f"Give one that isn't:  openssl pkey -in {path} -out FILE"
        raise _wrong(name, path, said, hint) from None
    except ssl.SSLError as error:
        if error.reason in _OTHER_KEY:
            raise _wrong(name, path, f"not the key of the certificate in {cert}") from None
        said = f"certificate or key can't be read ({_words(error)})"
        raise _wrong(name, path, said) from None


def _no_password() -> NoReturn:
    """In the place of OpenSSL's own question, which would stop everything."""
    raise _Encrypted


def _holds(name: str, path: Path, mark: bytes, what: str) -> None:
    try:
        if mark in path.read_bytes():
            return
    except OSError as error:
        raise _wrong(name, path, error.strerror or str(error)) from None
    hint = "PEM is text, with a line of dashes and BEGIN above each certificate and key."
    raise _wrong(name, path, f"there is no {what} in PEM format in it", hint)


def _wrong(name: str, path: Path | None, what: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(
        f"--{name.replace('_', '-')} {path}: {what}",
        state="Nothing was changed.",
        hint=hint or "Is that the right file, and may this user read it?",
    )


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def is_spoken(host: str, port: int, timeout: float) -> bool:
    """Return whether a server answers a TLS handshake, be it with a refusal; asked within `timeout`
    s.
    """
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout) as plain,
            asking.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
