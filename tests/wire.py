"""A TCP proxy before a server that understands the CQL protocol, and keeps what clients send
through it.

Requests arrive as frames of protocol v4, the one we speak, their bodies packed with LZ4 where that
was agreed on.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_HEADER = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length of the body
_QUERY, _PREPARE = 7, 9
_NAMES = {
    1: "STARTUP",
    5: "OPTIONS",
    7: "QUERY",
    9: "PREPARE",
    10: "EXECUTE",
    11: "REGISTER",
    13: "BATCH",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `cql` of QUERY and PREPARE alone."""

    kind: str
    cql: str = ""

    @property
    def changes(self) -> bool:
        """Whether it is a statement, run or prepared, that can change something."""
        return self.kind == "BATCH" or bool(
            self.cql and not re.match(r"\s*(SELECT|USE)\b", self.cql, re.IGNORECASE)
        )


@dataclass
class Tap:
    """What went through, and where to connect."""

    host: str
    port: int
    requests: list[Request] = field(default_factory=list)


@contextmanager
def tapped(host: str, port: int) -> Iterator[Tap]:
    """A proxy on another port of the same address: drivers go to a node's own address, at the port
    they were given.
    """
    with socket.create_server((host, 0)) as listener:
        tap = Tap(host, listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, tap, (host, port)), daemon=True).start()
        yield tap
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, tap: Tap, server: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            upstream = socket.create_connection(server)
            threading.Thread(target=_up, args=(client, upstream, tap), daemon=True).start()
            threading.Thread(target=_down, args=(upstream, client), daemon=True).start()


def _down(upstream: socket.socket, client: socket.socket) -> None:
    with client, suppress(OSError):
        while data := upstream.recv(65536):
            client.sendall(data)


def _up(client: socket.socket, upstream: socket.socket, tap: Tap) -> None:
    reader = _Reader()
    with upstream, suppress(OSError):
        while data := client.recv(65536):
            tap.requests += reader.feed(data)
            upstream.sendall(data)


class _Reader:
    """Requests out of the bytes of one connection."""

    def __init__(self) -> None:
        self._raw = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        self._raw += data
        while (frame := _frame(self._raw)) is not None:
            yield _request(*frame)


def _frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """Opcode and body of the first whole frame, taken out of the buffer."""
    if len(buffer) < _HEADER.size:
        return None
    _, flags, _, opcode, length = _HEADER.unpack_from(buffer)
    end = _HEADER.size + length
    if len(buffer) < end:
        return None
    body = bytes(buffer[_HEADER.size : end])
    del buffer[:end]
    # The compressed body begins with its length when unpacked.
    return opcode, _lz4(body[4:]) if flags & 1 else body


def _request(opcode: int, body: bytes) -> Request:
    if opcode not in (_QUERY, _PREPARE):
        return Request(_NAMES.get(opcode, str(opcode)))
    length = int.from_bytes(body[:4], "big")
    return Request(_NAMES[opcode], body[4 : 4 + length].decode())


def _lz4(block: bytes) -> bytes:
    """LZ4's block format: literals, then a match that may overlap what it makes."""
    out, at = bytearray(), 0

    def length(nibble: int) -> int:
        nonlocal at
        total = nibble
        while nibble == 15:
            total += block[at]
            at += 1
            if block[at - 1] != 255:
                break
        return total

    while at < len(block):
        token = block[at]
        at += 1
        literals = length(token >> 4)
        out += block[at : at + literals]
        at += literals
        if at >= len(block):
            break
        offset = block[at] | block[at + 1] << 8
        at += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-offset])
    return bytes(out)
