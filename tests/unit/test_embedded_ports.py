"""Who listens, and who speaks CQL."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from calldrop_migrate.embedded import ports


@contextmanager
def listener(*answers: bytes) -> Iterator[int]:
    """A server for one connection: each answer is sent after something was received."""

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            for answer in answers:
                connection.recv(1024)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


def frame(opcode: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBhBI", 0x84, 0, 0, opcode, len(body)) + body


@pytest.mark.parametrize("last", [0x02, 0x03], ids=["READY", "AUTHENTICATE"])
def test_a_cql_server_answers(last: int) -> None:
    with listener(frame(0x06, b"\0\0"), frame(last, b"x" * 20)) as port:
        assert ports.answers_cql("127.0.0.1", port)


@pytest.mark.parametrize(
    "answers",
    [
        (frame(0x06, b"\0\0"), frame(0x00, b"bootstrapping")),
        (frame(0x00),),
        (frame(0x06, b"\0\0"),),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"\x84\0",),
        (),
    ],
    ids=["error", "error at once", "closes", "http", "half a header", "silent"],
)
def test_anything_else_does_not(answers: tuple[bytes, ...]) -> None:
    with listener(*answers) as port:
        assert not ports.answers_cql("127.0.0.1", port, timeout=0.2)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert not ports.answers_cql("127.0.0.1", port)
    assert ports.is_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_taken(host: str) -> None:
    with socket.create_server((host, 0)) as listening:
        assert not ports.is_free("127.0.0.1", listening.getsockname()[1])


def test_an_address_of_another_machine() -> None:
    with pytest.raises(OSError, match="assign"):
        ports.is_free("192.0.2.1", 9042)


def test_first_free_passes_over_taken_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = listening.getsockname()[1]
        found = ports.first_free(("127.0.0.1",), taken, not_this=taken + 1)
        assert found > taken + 1
