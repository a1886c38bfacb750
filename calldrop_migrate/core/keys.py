"""The bytes of a key as a server takes them: which of them are the same key, and which it refuses.

In a partition key the bytes count. In a clustering key the comparator of each column's type does,
and for some types it calls different bytes equal: decimal 1.0 and 1.00, a varint with redundant
leading bytes, a boolean of any byte but zero, every NaN, a tuple or user type with or without the
nulls at its end; and whatever is made of these. Cassandra (AbstractType.compare) and ScyllaDB
(types/types.cc) agree on that, with one exception: an empty last field of a tuple equals a missing
one on Cassandra alone, which isn't transitive. Such keys count as the same on both: a row too many
is asked about, none is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from calldrop_migrate.core.schema import inner_types, plain_type

Canonical = Callable[[bytes], Hashable]
Fields = Mapping[str, Sequence[str]]  # types of the fields, by the name of a user type

LONGEST = 65_535  # bytes
_SAME_AS_BYTES = {
    *("ascii", "bigint", "blob", "counter", "date", "duration", "inet", "int", "smallint", "text"),
    *("time", "timestamp", "timeuuid", "tinyint", "uuid", "varchar"),
}
_SIZES = {
    "boolean": 1,
    "tinyint": 1,
    "smallint": 2,
    "int": 4,
    "bigint": 8,
    "float": 4,
    "double": 8,
    "date": 4,
    "time": 8,
    "timestamp": 8,
    "uuid": 16,
    "timeuuid": 16,
    "inet": 16,
}


class UnknownOrder(ValueError):
    """A type whose values nobody here can compare as the server does."""


# -- which bytes are one key -----------------------------------------------------------------------


def is_loose(type_name: str) -> bool:
    """Return whether a comparator may call different bytes of a type equal. It may for any user
    type, of which the fields are not known here.
    """
    head, inner = inner_types(plain_type(type_name))
    if head in _SAME_AS_BYTES:
        return False
    if head in ("list", "set", "map", "frozen", "vector"):
        return any(is_loose(part) for part in inner if not part.isdigit())
    return True


def canonical(type_name: str, fields: Fields) -> Canonical | None:
    """Return what makes of a value's bytes something that is equal if and only if the server's
    comparator says so; None where the bytes are that already.

    Raises:
        UnknownOrder: it is a custom type, or has one in it.
    """
    head, inner = inner_types(type_name)
    if head in _SAME_AS_BYTES:
        return None
    if head == "frozen":
        return canonical(inner[0], fields)
    if simple := _SIMPLE.get(head):
        return simple
    if head == "tuple" or head in fields:
        types = inner if head == "tuple" else fields[head]
        return partial(_fields, [canonical(part, fields) for part in types])
    if head not in ("list", "set", "map", "vector"):
        raise UnknownOrder(type_name)
    parts = [canonical(part, fields) for part in inner if not part.isdigit()]
    if not any(parts):
        return None
    if head == "vector":
        return partial(_vector, parts[0], size_of(inner[0]))
    return partial(_collection, parts)


def _decimal(raw: bytes) -> Hashable:
    """Unscaled value and scale, without zeros at the end."""
    scale, unscaled = (int.from_bytes(part, "big", signed=True) for part in (raw[:4], raw[4:]))
    if not raw or not unscaled:
        return raw and (0, 0)
    tens = [10]
    while unscaled % tens[-1] == 0:
        tens.append(tens[-1] ** 2)
    for nth, ten in reversed(list(enumerate(tens))):
        if unscaled % ten == 0:
            unscaled, scale = unscaled // ten, scale - 2**nth
    return unscaled, scale


def _varint(raw: bytes) -> int | bytes:
    return int.from_bytes(raw, "big", signed=True) if raw else raw


def _boolean(raw: bytes) -> Hashable:
    return raw and raw[0] != 0


def _floating(form: str, raw: bytes) -> Hashable:
    """The bytes, and one value for every NaN: -0.0 and 0.0 are two keys."""
    if len(raw) != struct.calcsize(form):
        return raw
    (value,) = struct.unpack(form, raw)
    return "NaN" if value != value else raw


_SIMPLE: Mapping[str, Canonical] = {
    "decimal": _decimal,
    "varint": _varint,
    "boolean": _boolean,
    "float": partial(_floating, ">f"),
    "double": partial(_floating, ">d"),
}


def _of(what: Canonical | None, raw: bytes | None) -> Hashable:
    return raw if what is None or raw is None else what(raw)


def _fields(types: Sequence[Canonical | None], raw: bytes) -> Hashable:
    """A tuple or user type: values that are missing at its end are null."""
    found = list(sized(raw))
    while found and not found[-1]:
        found.pop()
    return raw and tuple(_of(what, part) for what, part in zip(types, found, strict=False))


def _collection(types: Sequence[Canonical | None], raw: bytes) -> Hashable:
    """A list, set or map; of a map keys and values take turns."""
    parts = enumerate(sized(raw[4:]))
    return raw and tuple(_of(types[nth % len(types)], part) for nth, part in parts)


def _vector(what: Canonical | None, size: int, raw: bytes) -> Hashable:
    """Elements of one size follow each other; others have their length in front."""
    if size:
        return tuple(_of(what, raw[at : at + size]) for at in range(0, len(raw), size))
    return tuple(_of(what, part) for part in _counted(raw))


def sized(raw: bytes, at: int = 0) -> Iterator[bytes | None]:
    """Values that have their length in four bytes in front of them; below zero it is a null."""
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "big", signed=True)
        at += 4
        yield None if size < 0 else raw[at : at + size]
        at += max(0, size)


def _counted(raw: bytes, at: int = 0) -> Iterator[bytes]:
    """Values that have their length in a variable number of bytes in front of them: as many more as
    the first has leading ones.
    """
    while at < len(raw):
        more = 8 - (raw[at] ^ 0xFF).bit_length()
        rest = raw[at] & (0xFF >> more)
        size = int.from_bytes(bytes([rest]) + raw[at + 1 : at + 1 + more], "big")
        at += 1 + more
        yield raw[at : at + size]
        at += size


# -- which keys are refused ------------------------------------------------------------------------


def size_of(type_name: str) -> int:
    """The most bytes that a value of a type has; 0 where there is no such limit."""
    head, inner = inner_types(plain_type(type_name))
    if head == "vector":
        return size_of(inner[0]) * int(inner[1])
    return _SIZES.get(head, 0)


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The way in which a server counts the bytes of a key, of which there may be LONGEST.

    Attributes:
        of_one: added to the value of a partition key of one column.
        of_several: added to each value of a partition key of several.
        of_clustering: added to each value of a clustering key.
        each: the values of a clustering key are counted one by one.
    """

    of_one: int = 0
    of_several: int = 3
    of_clustering: int = 0
    each: bool = False

    def refuses(self, partition: Sequence[bytes | None], clustering: Sequence[bytes | None]) -> str:
        """Return why a server takes no row with this key; empty when it does."""
        if len(partition) == 1 and not partition[0]:
            return "its partition key would be empty"
        each = self.of_one if len(partition) == 1 else self.of_several
        size = sum(len(part or b"") + each for part in partition)
        if size > LONGEST:
            return f"its partition key would take {size:,} bytes, of {LONGEST:,} at most"
        sizes = [len(part or b"") + self.of_clustering for part in clustering]
        size = max(sizes, default=0) if self.each else sum(sizes)
        if size > LONGEST:
            return f"its clustering key would take {size:,} bytes, of {LONGEST:,} at most"
        return ""


CASSANDRA = KeyLimits()
CASSANDRA_4 = KeyLimits(each=True)
SCYLLA = KeyLimits(of_one=2, of_several=2, of_clustering=2)
