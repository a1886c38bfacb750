"""A TCP proxy before a server that understands the CQL protocol: keeps what clients send through
it, and can do harm to one request or to its reply.

Requests arrive as frames of protocol v4, the one we speak, their bodies packed with LZ4 where that
was agreed on.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tests.support.pace import seconds

_HEADER = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length of the body
_SUPPORTED, _QUERY, _RESULT, _PREPARE, _EXECUTE, _BATCH = 6, 7, 8, 9, 10, 13
_ERROR, _INVALID, _FROM_SERVER = 0, (0x2200).to_bytes(4, "big"), 0x84
_WARNS = 8  # a flag
_IS_PREPARED = (4).to_bytes(4, "big")
_OTHER_PORT = b"SCYLLA_SHARD_AWARE_PORT"  # and ..._PORT_SSL
_NAMES = {
    1: "STARTUP",
    5: "OPTIONS",
    7: "QUERY",
    9: "PREPARE",
    10: "EXECUTE",
    11: "REGISTER",
    13: "BATCH",
}
HANDSHAKE = ("STARTUP", "OPTIONS", "REGISTER")

Harm = Literal[
    "cut request",
    "swallow request",
    "hold request",
    "cut reply",
    "swallow reply",
    "delay reply",
    "refuse",
    "none",
]
# What can be done to any request; `hold request` needs somebody who lets go of it, and `refuse` a
# statement for which that is an answer.
HARMS: tuple[Harm, ...] = (
    *("cut request", "swallow request"),
    *("cut reply", "swallow reply", "delay reply"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """The harm that is done to the `number`th request, counted from 1, or to its reply.

    Attributes:
        delay: seconds that a delayed reply is kept back.
        says: why a request is refused, which then doesn't come to the server.
        of: only requests whose CQL matches are counted, and of a batch: BATCH and the number of its
            statements; or those of which it says so; all but those of the handshake when empty.
        act: is called first, while the request waits here: to kill or to stop who sent it.
    """

    number: int
    harm: Harm
    delay: float = 0
    of: str | Callable[[Request], bool] = ""
    says: str = ""
    act: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)

    def concerns(self, request: Request) -> bool:
        """It is one of those that are counted."""
        if not isinstance(self.of, str):
            return self.of(request)
        return bool(re.search(self.of, request.cql or f"{request.kind} {request.statements}"))


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `cql` of QUERY, PREPARE, and of EXECUTE what was prepared through this proxy;
    `statements` of a BATCH are counted, and `first` is the CQL of its first one.
    """

    kind: str
    cql: str = ""
    statements: int = 0
    first: str = ""

    @property
    def changes(self) -> bool:
        """It is a statement, run or prepared, that can change something."""
        return self.kind == "BATCH" or bool(
            self.cql and not re.match(r"\s*(SELECT|USE)\b", self.cql, re.IGNORECASE)
        )


@dataclass
class Tap:
    """Requests that went through, and where to connect; `struck` is the request that was harmed.

    Attributes:
        let_go: a request that is held goes on to the server, whether who sent it still lives or
            not.
        answered: the server has answered that one.
    """

    host: str
    port: int
    fault: Fault | None = None
    requests: list[Request] = field(default_factory=list)
    struck: Request | None = None
    let_go: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    prepared: dict[bytes, str] = field(default_factory=dict)
    _counted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def harm_of(self, request: Request) -> Harm | None:
        """Notes a request; what is to be done to it, if anything."""
        with self._lock:
            self.requests.append(request)
            fault = self.fault
            if fault is None or self.struck or request.kind in HANDSHAKE:
                return None
            if not fault.concerns(request):
                return None
            self._counted += 1
            if self._counted < fault.number:
                return None
            self.struck = request
        fault.act()
        return fault.harm


class Rewriting(Protocol):
    """The bodies of one connection's frames, rewritten."""

    def asked(self, opcode: int, body: bytes) -> bytes:
        """A request's, as it goes to the server."""
        ...

    def answered(self, cql: str, opcode: int, body: bytes) -> bytes:
        """An answer's, as it goes to the client; `cql` is what was asked, prepared or executed."""
        ...


@contextmanager
def tapped(
    host: str,
    port: int,
    fault: Fault | None = None,
    rewriting: Callable[[], Rewriting] | None = None,
) -> Iterator[Tap]:
    """A proxy on another port of the same address: drivers go to a node's own address, at the port
    they were given.

    Args:
        rewriting: makes what changes the frames of a connection, for each one anew.
    """
    with socket.create_server((host, 0)) as listener:
        tap = Tap(host, listener.getsockname()[1], fault)
        args = (listener, tap, (host, port), rewriting)
        threading.Thread(target=_accept, args=args, daemon=True).start()
        try:
            yield tap
        finally:
            tap.let_go.set()
            listener.shutdown(socket.SHUT_RDWR)


def _accept(
    listener: socket.socket,
    tap: Tap,
    server: tuple[str, int],
    rewriting: Callable[[], Rewriting] | None,
) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            rewrites = rewriting() if rewriting else None
            connection = _Connection(client, socket.create_connection(server), tap, rewrites)
            threading.Thread(target=connection.up, daemon=True).start()
            threading.Thread(target=connection.down, daemon=True).start()


class _Connection:
    """Frames between one client and the server, in both directions."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        tap: Tap,
        rewrites: Rewriting | None,
    ) -> None:
        self._client = client
        self._server = server
        self._tap = tap
        self._rewrites = rewrites
        self._harmed: dict[int, Harm] = {}  # by stream, until the reply comes
        self._preparing: dict[int, str] = {}
        self._asked: dict[int, str] = {}  # CQL by stream, of a connection that is rewritten
        self._held: list[tuple[int, threading.Thread]] = []
        self._sending = threading.Lock()
        self._asking = threading.Lock()

    def up(self) -> None:
        with self._server:
            with suppress(OSError):
                self._ask()
            for _, held in self._held:
                held.join()
            with suppress(
                OSError
            ):  # a close alone would leave `down` waiting, and both sockets open
                self._server.shutdown(socket.SHUT_RDWR)

    def _ask(self) -> None:
        for raw, opcode, stream, body in _frames(self._client):
            request = _request(opcode, body, self._tap.prepared)
            if self._rewrites:
                self._asked[stream] = request.cql
                raw = _frame(raw, self._rewrites.asked(opcode, body))
            if opcode == _PREPARE:
                self._preparing[stream] = request.cql
            harm = self._tap.harm_of(request)
            if harm == "cut request":
                self._cut()
                return
            if harm == "swallow request":
                continue
            if harm == "refuse":
                self._send(_refusal(stream, self._tap.fault.says if self._tap.fault else ""))
                continue
            if harm == "hold request":
                held = threading.Thread(target=self._hold, args=(raw,), daemon=True)
                self._held.append((stream, held))
                held.start()
                continue
            if harm is not None:
                self._harmed[stream] = harm
            with self._asking:
                self._server.sendall(raw)

    def _hold(self, raw: bytes) -> None:
        self._tap.let_go.wait()
        with suppress(OSError), self._asking:
            self._server.sendall(raw)
        self._tap.answered.wait(30)

    def down(self) -> None:
        with self._client, suppress(OSError):
            unpack = None if self._rewrites else self._preparing
            for raw, opcode, stream, body in _frames(self._server, unpack=unpack):
                if opcode == _SUPPORTED:
                    body = here_alone(body)
                    raw = _frame(raw, body)
                if self._rewrites:
                    asked = self._asked.pop(stream, "")
                    end = _end_of_warnings(raw, body)
                    answered = self._rewrites.answered(asked, opcode, body[end:])
                    raw = _frame(raw, body[:end] + answered)
                cql = self._preparing.pop(stream, "")
                if cql and opcode == _RESULT and body[:4] == _IS_PREPARED:
                    length = int.from_bytes(body[4:6], "big")
                    self._tap.prepared[body[6 : 6 + length]] = cql
                if self._tap.let_go.is_set() and any(stream == held for held, _ in self._held):
                    self._tap.answered.set()
                match self._harmed.pop(stream, None):
                    case "cut reply":
                        self._cut()
                        return
                    case "swallow reply":
                        continue
                    case "delay reply":
                        threading.Thread(target=self._later, args=(raw,), daemon=True).start()
                        continue
                with suppress(OSError):  # a client that has gone may have sent what is held
                    self._send(raw)

    def _later(self, raw: bytes) -> None:
        time.sleep(seconds(self._tap.fault.delay) if self._tap.fault else 0)
        with suppress(OSError):
            self._send(raw)

    def _send(self, raw: bytes) -> None:
        with self._sending:
            self._client.sendall(raw)

    def _cut(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _frames(
    source: socket.socket, *, unpack: Container[int] | None = None
) -> Iterator[tuple[bytes, int, int, bytes]]:
    """Frames as they come: the raw bytes, opcode, stream, and the body, which is unpacked for the
    streams of `unpack`, or for all.
    """
    buffer = bytearray()
    while data := source.recv(65536):
        buffer += data
        while len(buffer) >= _HEADER.size:
            _, flags, stream, opcode, length = _HEADER.unpack_from(buffer)
            end = _HEADER.size + length
            if len(buffer) < end:
                break
            raw = bytes(buffer[:end])
            del buffer[:end]
            body = raw[_HEADER.size :]
            # The compressed body begins with its length when unpacked.
            packed = flags & 1 and (unpack is None or stream in unpack)
            yield raw, opcode, stream, _lz4(body[4:]) if packed else body


def _frame(raw: bytes, body: bytes) -> bytes:
    """A frame with another body, which isn't packed."""
    version, flags, stream, opcode, _ = _HEADER.unpack_from(raw)
    return _HEADER.pack(version, flags & ~1, stream, opcode, len(body)) + body


def _end_of_warnings(raw: bytes, body: bytes) -> int:
    """Where an answer begins: behind what a server warns of, if it does."""
    if not raw[1] & _WARNS:
        return 0
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        at += 2 + int.from_bytes(body[at : at + 2], "big")
    return at


def here_alone(supported: bytes) -> bytes:
    """What a server says of itself, but for the port of its shards: it leads past the proxy."""
    at, kept = 2, list[bytes]()
    for _ in range(int.from_bytes(supported[:2], "big")):
        begin = at
        at += 2 + int.from_bytes(supported[at : at + 2], "big")
        name = supported[begin + 2 : at]
        values = int.from_bytes(supported[at : at + 2], "big")
        at += 2
        for _ in range(values):
            at += 2 + int.from_bytes(supported[at : at + 2], "big")
        if not name.startswith(_OTHER_PORT):
            kept.append(supported[begin:at])
    return len(kept).to_bytes(2, "big") + b"".join(kept)


def _refusal(stream: int, says: str) -> bytes:
    """An ERROR that says Invalid."""
    body = _INVALID + struct.pack(">H", len(says)) + says.encode()
    return _HEADER.pack(_FROM_SERVER, 0, stream, _ERROR, len(body)) + body


def _request(opcode: int, body: bytes, prepared: Mapping[bytes, str]) -> Request:
    if opcode == _EXECUTE:
        length = int.from_bytes(body[:2], "big")
        return Request(_NAMES[opcode], prepared.get(body[2 : 2 + length], ""))
    if opcode == _BATCH:
        return Request(_NAMES[opcode], "", int.from_bytes(body[1:3], "big"), _first(body, prepared))
    if opcode not in (_QUERY, _PREPARE):
        return Request(_NAMES.get(opcode, str(opcode)))
    length = int.from_bytes(body[:4], "big")
    return Request(_NAMES[opcode], body[4 : 4 + length].decode())


def _first(batch: bytes, prepared: Mapping[bytes, str]) -> str:
    """The CQL of a batch's first statement: its text, or the id of what was prepared."""
    width = 2 if batch[3] else 4
    begin = 4 + width
    said = batch[begin : begin + int.from_bytes(batch[4:begin], "big")]
    return prepared.get(said, "") if batch[3] else said.decode()


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
