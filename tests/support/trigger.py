"""A trigger that does nothing, as a jar: its class is assembled here, for want of a compiler."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

NAME = "Audit"
_AUGMENT = "(Lorg/apache/cassandra/db/partitions/Partition;)Ljava/util/Collection;"


def _text(value: str) -> bytes:
    return struct.pack(">BH", 1, len(value)) + value.encode()


def _class(at: int) -> bytes:
    return struct.pack(">BH", 7, at)


def _method(name: int, descriptor: int, code: bytes, locals_: int) -> bytes:
    body = struct.pack(">HHI", 1, locals_, len(code)) + code + struct.pack(">HH", 0, 0)
    return struct.pack(">HHHHHI", 1, name, descriptor, 1, 9, len(body)) + body


def make_jar(path: Path) -> None:
    """A jar with the class Audit, an org.apache.cassandra.triggers.ITrigger."""
    constants = [
        *(_class(2), _text(NAME), _class(4), _text("java/lang/Object")),
        *(_class(6), _text("org/apache/cassandra/triggers/ITrigger")),
        *(_text("<init>"), _text("()V"), _text("Code")),
        *(struct.pack(">BHH", 10, 3, 11), struct.pack(">BHH", 12, 7, 8)),
        *(_text("augment"), _text(_AUGMENT)),
    ]
    made = struct.pack(">IHHH", 0xCAFEBABE, 0, 49, len(constants) + 1) + b"".join(constants)
    # A public class, of Object, with one interface, no field, two methods.
    made += struct.pack(">HHHHHHH", 0x21, 1, 3, 1, 5, 0, 2)
    made += _method(7, 8, b"\x2a\xb7\x00\x0a\xb1", 1)  # super()
    made += _method(12, 13, b"\x01\xb0", 2)  # return null
    made += struct.pack(">H", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr(f"{NAME}.class", made)
