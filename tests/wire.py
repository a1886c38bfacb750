"""A TCP proxy before a server that understands the CQL protocol, and keeps what clients send
through it.

Requests arrive as v4 frames, or, once STARTUP has agreed on v5, as segments (of LZ4 where both
sides have it) with frames in them. Only whole requests in one segment are needed here: ours are far
below a segment's 128 KB.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_QUERY, _PREPARE, _EXECUTE, _BATCH, _STARTUP = 7, 9, 10, 13, 1
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
        self._frames = bytearray()
        self._segmented = False
        self._compressed = False

    def feed(self, data: bytes) -> Iterator[Request]:
        self._raw += data
        while self._segmented and (payload := self._segment()) is not None:
            self._frames += payload
        buffer = self._frames if self._segmented else self._raw
        while (frame := _frame(buffer)) is not None:
            version, opcode, body = frame
            if opcode == _STARTUP and version == 5:
                self._segmented, self._compressed = True, b"COMPRESSION" in body
                self._raw, self._frames = bytearray(), self._raw
            yield _request(opcode, body)

    def _segment(self) -> bytes | None:
        """One segment's payload: length(s) and a flag, CRC24, payload, CRC32; all little-endian."""
        head = 5 if self._compressed else 3
        if len(self._raw) < head + 3:
            return None
        header = int.from_bytes(self._raw[:head], "little")
        length, unpacked = header & 0x1FFFF, header >> 17 & 0x1FFFF if self._compressed else 0
        end = head + 3 + length
        if len(self._raw) < end + 4:
            return None
        payload = bytes(self._raw[head + 3 : end])
        del self._raw[: end + 4]
        return _lz4(payload) if unpacked else payload


def _frame(buffer: bytearray) -> tuple[int, int, bytes] | None:
    if len(buffer) < 9:
        return None
    version, _, _, opcode, length = struct.unpack(">BBhBi", buffer[:9])
    if len(buffer) < 9 + length:
        return None
    body = bytes(buffer[9 : 9 + length])
    del buffer[: 9 + length]
    return version, opcode, body


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
