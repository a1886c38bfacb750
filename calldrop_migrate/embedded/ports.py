"""TCP ports: which are free, and whether what listens on one speaks CQL.

Only sockets: the handshake is a few lines of the CQL binary protocol v4, so that no driver is
needed (and none may be used here).
"""

from __future__ import annotations

import errno
import socket
import struct

_OPTIONS, _SUPPORTED, _STARTUP, _READY, _AUTHENTICATE = 0x05, 0x06, 0x01, 0x02, 0x03
_HEADER = struct.Struct(">BBhBI")  # version, flags, stream, opcode, length of the body


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now.

    Raises:
        OSError: `host` is no address of this machine, or the port needs a privilege.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As a server does it: an earlier one's connections that still close (TIME_WAIT) are no bar.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def first_free(hosts: tuple[str, ...], start: int, not_this: int) -> int:
    """The first port from `start` on that is free on every host, passing over `not_this`."""
    return next(
        port
        for port in range(start, 65536)
        if port != not_this and all(is_free(host, port) for host in hosts)
    )


def answers_cql(host: str, port: int, timeout: float = 2.0) -> bool:
    """Return whether a CQL server there takes a connection: OPTIONS, then STARTUP, as a driver
    would.
    """
    body = struct.pack(">H", 1) + b"".join(
        struct.pack(">H", len(text)) + text for text in (b"CQL_VERSION", b"3.0.0")
    )
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            return _exchange(connection, _OPTIONS, b"") == _SUPPORTED and _exchange(
                connection, _STARTUP, body
            ) in (_READY, _AUTHENTICATE)
    except OSError:
        return False


def accepts(host: str, port: int, timeout: float = 2.0) -> bool:
    """Return whether anything there takes a connection."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


def _exchange(connection: socket.socket, opcode: int, body: bytes) -> int:
    """Send one frame, read one; the opcode of the answer."""
    connection.sendall(_HEADER.pack(4, 0, 0, opcode, len(body)) + body)
    _, _, _, answer, length = _HEADER.unpack(_receive(connection, _HEADER.size))
    _receive(connection, min(int(length), 1 << 16))
    return int(answer)


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        if not (part := connection.recv(count - len(received))):
            raise ConnectionError("closed in the middle of a frame")
        received += part
    return received
