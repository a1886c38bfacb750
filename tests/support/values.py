"""Values of any type as the server's bytes: plain ones, empty ones, and those that a comparator
calls equal although their bytes differ. Shares nothing with the product.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from random import Random
from uuid import UUID


def decimal(unscaled: int, scale: int) -> bytes:
    return struct.pack(">i", scale) + varint(unscaled)


def varint(value: int, *, padding: int = 0) -> bytes:
    size = (value + (value < 0)).bit_length() // 8 + 1 + padding
    return value.to_bytes(size, "big", signed=True)


_TIMEUUID = UUID("13814000-1dd2-11b2-8080-808080808080").bytes
NATIVE: Mapping[str, Sequence[bytes]] = {
    "ascii": [b"", b"a", b"b"],
    "bigint": [b"", struct.pack(">q", -1), struct.pack(">q", 5)],
    "blob": [b"", b"\0", b"\0\0", b"\xff"],
    "boolean": [b"", b"\0", b"\1", b"\2", b"\xff"],
    "date": [struct.pack(">I", 2**31), struct.pack(">I", 7)],
    "decimal": [
        b"",
        *(decimal(*v) for v in ((10, 1), (100, 2), (1, 0), (75, 1), (750, 2), (0, 0), (0, 9))),
        *(decimal(1, -2), decimal(100, 0), struct.pack(">i", 1) + varint(10, padding=2)),
        *(decimal(-10, 1), decimal(-1, 0), decimal(10**60, 60), decimal(7 * 10**31, 30)),
    ],
    "double": [
        b"",
        *(struct.pack(">d", v) for v in (0.0, -0.0, 1.5, float("inf"))),
        *(bytes.fromhex(v) for v in ("7ff8000000000000", "7ff8000000000001", "fff8000000000000")),
    ],
    "float": [
        b"",
        *(struct.pack(">f", v) for v in (0.0, -0.0, 1.5, float("-inf"))),
        *(bytes.fromhex(v) for v in ("7fc00000", "7fc00001", "ffc00000")),
    ],
    "inet": [b"\x7f\0\0\1", bytes(10) + b"\xff\xff\x7f\0\0\1", bytes(16)],
    "int": [b"", struct.pack(">i", 0), struct.pack(">i", -1), struct.pack(">i", 2**31 - 1)],
    "smallint": [struct.pack(">h", 0), struct.pack(">h", -1)],
    "text": [b"", b"a", "ä".encode(), "a\u0308".encode()],
    "time": [struct.pack(">q", 0), struct.pack(">q", 86_399_999_999_999)],
    "timestamp": [b"", struct.pack(">q", 0), struct.pack(">q", 2**60)],
    "timeuuid": [_TIMEUUID, _TIMEUUID[:15] + b"\x81"],
    "tinyint": [b"\0", b"\xff"],
    "uuid": [b"", _TIMEUUID, bytes(16), UUID("5f0ae0a4-0000-4000-8000-00000000cafe").bytes],
    "varint": [
        b"",
        *(varint(v) for v in (0, 1, -1, 128, -129, 10**40)),
        *(varint(v, padding=p) for v, p in ((1, 3), (-1, 2), (0, 1))),
    ],
}
# Of a value column, not of a key.
DURATION = b"\x02\x04\x06"


def sized(parts: Sequence[bytes | None]) -> bytes:
    return b"".join(
        b"\xff\xff\xff\xff" if part is None else struct.pack(">i", len(part)) + part
        for part in parts
    )


def unsigned_vint(value: int) -> bytes:
    """Fits below 2**14: enough for these."""
    return bytes([value]) if value < 0x80 else struct.pack(">H", 0x8000 | value)


_FIXED = {"boolean": 1, "int": 4, "bigint": 8, "float": 4, "double": 8, "timestamp": 8}
_FIXED |= {"uuid": 16, "timeuuid": 16}


class Values:
    """Draws values.

    Args:
        user_types: types of the fields, by name.
    """

    def __init__(self, random: Random, user_types: Mapping[str, Sequence[str]]) -> None:
        self.random = random
        self.user_types = user_types

    def of(self, kind: str) -> bytes:
        """One value of a type."""
        head, inner = parts_of(kind)
        pick = self.random
        match head:
            case "duration":
                return DURATION
            case "frozen":
                return self.of(inner[0])
            case "list":
                return self._collection([self._element(inner[0]) for _ in range(pick.randrange(4))])
            case "set":
                found = {self._element(inner[0]) for _ in range(pick.randrange(4))}
                return self._collection(sorted(found))
            case "map":
                keys = {self._element(inner[0]) for _ in range(pick.randrange(3))}
                both = [part for key in sorted(keys) for part in (key, self._element(inner[1]))]
                return struct.pack(">i", len(both) // 2) + sized(both)
            case "vector":
                return self._vector(inner[0], int(inner[1]))
            case "tuple":
                return self._fields(inner)
        if head in self.user_types:
            return self._fields(self.user_types[head])
        return pick.choice(NATIVE[head])

    def _element(self, kind: str) -> bytes:
        """Not an empty number: Cassandra 5.0 fails where it has to compare two of these."""
        while True:
            if (part := self.of(kind)) or kind in ("ascii", "blob", "text"):
                return part

    def _collection(self, parts: Sequence[bytes]) -> bytes:
        return struct.pack(">i", len(parts)) + sized(parts)

    def _fields(self, kinds: Sequence[str]) -> bytes:
        """Some of them null, some at the end missing."""
        parts: list[bytes | None] = [
            None if self.random.random() < 0.3 else self.of(kind) for kind in kinds
        ]
        # An empty one at the end equals a missing one, and not a null one: not transitive.
        full = len(parts)
        while parts and not parts[-1]:
            parts.pop()
        nulls = self.random.randint(0 if parts else 1, max(1, full - len(parts)))
        return sized([*parts, *[None] * nulls][:full])

    def _vector(self, kind: str, size: int) -> bytes:
        fixed, found = fixed_size(kind), list[bytes]()
        while len(found) < size:
            part = self.of(kind)
            if part and (not fixed or len(part) == fixed):
                found.append(part)
        return b"".join(part if fixed else unsigned_vint(len(part)) + part for part in found)


def fixed_size(kind: str) -> int:
    head, inner = parts_of(kind)
    if head == "vector":
        return fixed_size(inner[0]) * int(inner[1])
    return _FIXED.get(head, 0)


def parts_of(kind: str) -> tuple[str, list[str]]:
    """`map<int, set<text>>` as map and [int, set<text>]."""
    head, bracket, rest = kind.partition("<")
    if not bracket:
        return kind, []
    parts, depth = [""], 0
    for character in rest[:-1]:
        depth += (character == "<") - (character == ">")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return head, [part.strip() for part in parts]
