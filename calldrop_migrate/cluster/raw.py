"""Values and rows as the server's bytes, and the CQL that names them: what layout, wire and compare
share.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

from cassandra.cqltypes import lookup_casstype_simple

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import Key

RawRow = Sequence[bytes | None]
# (write time, TTL left); TTL 0 is for ever.
Times = tuple[int, int]


def long(value: int) -> bytes:
    """A bigint or timestamp as the server writes it."""
    return struct.pack(">q", value)


def seconds(value: int) -> bytes:
    """A TTL as the server reads it."""
    return struct.pack(">i", value)


def number(raw: bytes | None) -> int | None:
    """A bigint or int read back."""
    return None if raw is None else int.from_bytes(raw, "big", signed=True)


def left(ttl: int | None, since: float) -> int | None:
    """Return what is left of a TTL, 0 for ever; None when nothing is."""
    if ttl is None:
        return 0
    rest = int(ttl - since)
    return rest if rest > 0 else None


def ranged(keyspace: str, table: Table, selected: Iterable[str]) -> str:
    """A SELECT over a range of tokens."""
    partition = ", ".join(map(quote, table.partition_key))
    return (
        f"SELECT {', '.join(selected)} FROM {quote(keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ?"
    )


def where(names: Iterable[str]) -> str:
    """A WHERE that names one row, or one partition."""
    return " AND ".join(f"{quote(name)} = ?" for name in names)


def getter(places: Iterable[int]) -> Callable[[RawRow], Key]:
    """Return what stands in these places of a row, always as a tuple."""
    match list(places):
        case []:
            return lambda row: ()
        case [one]:
            return lambda row: (row[one],)
        case several:
            return itemgetter(*several)


# -- for people ----------------------------------------------------------------------------------

_CLASS_OF = {
    "text": "UTF8Type",
    "ascii": "AsciiType",
    "int": "Int32Type",
    "bigint": "LongType",
    "timestamp": "DateType",
    "boolean": "BooleanType",
    "uuid": "UUIDType",
    "timeuuid": "TimeUUIDType",
    "double": "DoubleType",
    "float": "FloatType",
    "decimal": "DecimalType",
    "varint": "IntegerType",
    "smallint": "ShortType",
    "tinyint": "ByteType",
    "date": "SimpleDateType",
    "time": "TimeType",
    "inet": "InetAddressType",
}


def show_key(types: Sequence[str], key: Key) -> str:
    """A key for people."""
    return "  ".join(_shown(raw, kind) for raw, kind in zip(key, types, strict=True))


def _shown(raw: bytes | None, type_name: str) -> str:
    """One value; what a key seldom has, or Python can't hold, is shown as hex."""
    if raw is None:
        return "null"
    try:
        value = lookup_casstype_simple(_CLASS_OF[type_name]).from_binary(raw, 4)
        if type_name == "timestamp":
            return str(value.isoformat(sep=" ", timespec="milliseconds"))
    except (KeyError, ValueError, OverflowError, AttributeError, struct.error):
        return "0x" + raw.hex()
    return repr(value) if type_name in ("text", "ascii") else str(value)
