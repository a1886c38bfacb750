"""An independent client's view of a table, as the server's bytes: every cell with value, write
time and the instant it ends, as tests/support/cells.py has it of Python's values.

Of a collection or user type that isn't frozen each element is a cell: of a map by its key, of a set
by itself, of a user type by the field's name, of a list by its place and without a write time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from cassandra.cqltypes import BytesType
from cassandra.protocol import ProtocolHandler, ResultMessage

from tests.support.asking import tells_element_times
from tests.support.cells import Cell, Columns, Rows, columns
from tests.support.raw_values import as_bytes

_RESULT = ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]


class _RawResult(_RESULT):  # type: ignore[misc,valid-type]
    @classmethod
    def read_type(cls, *args: Any) -> Any:
        super().read_type(*args)
        return BytesType


class _RawHandler(ProtocolHandler):  # type: ignore[misc]
    message_types_by_opcode: ClassVar = {
        **ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: _RawResult,
    }


def rows_of(client: Any, cql: str) -> list[Sequence[bytes | None]]:
    """Rows of bytes."""
    statement = as_bytes(client.prepare(cql))
    handler, client.client_protocol_handler = client.client_protocol_handler, _RawHandler
    try:
        return [tuple(row.values()) for row in client.execute(statement)]
    finally:
        client.client_protocol_handler = handler


def read(client: Any, keyspace: str, table: str) -> tuple[Rows, Rows]:
    """All rows by their keys, and the static cells by partition; absent cells are left out."""
    shape = columns(client, keyspace, table)
    kinds = _types(client, keyspace, table)
    names = [*shape.key, *shape.static, *shape.regular]
    cells = [*shape.static, *shape.regular]
    selected = [f'"{name}" AS v{at}' for at, name in enumerate(names)]
    timed = {name for name in cells if name not in shape.many or tells_element_times(client)}
    for at, name in enumerate(cells):
        if name not in timed:
            continue
        selected += [f'WRITETIME("{name}") AS w{at}', f'TTL("{name}") AS t{at}']
    asked, rows, statics = time.time(), Rows(), Rows()
    for row in rows_of(client, f"SELECT {', '.join(selected)} FROM {keyspace}.{table}"):
        key, values = row[: len(shape.key)], row[len(shape.key) : len(names)]
        times = iter(row[len(names) :])
        told = ((next(times), next(times)) if name in timed else (None, None) for name in cells)
        found = {
            name: list(_cells(kinds[name], name in shape.many, value, *of_it, asked))
            for name, value, of_it in zip(cells, values, told, strict=True)
        }
        own = {_named(n, at): c for n in shape.regular for at, c in found[n]}
        static = {_named(n, at): c for n in shape.static for at, c in found[n]}
        if None not in key:
            rows[tuple(key)] = own
        if static:
            statics[tuple(key[: len(shape.partition)])] = static
    return rows, statics


def _named(name: str, at: bytes | int | None) -> str:
    return name if at is None else f"{name}[{at!r}]"


def _types(client: Any, keyspace: str, table: str) -> dict[str, str]:
    asked = "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = %s"
    found = client.execute(f"{asked} AND table_name = %s", (keyspace, table))
    return {row["column_name"]: row["type"] for row in found}


def _cells(
    kind: str,
    many: bool,
    value: bytes | None,
    written: bytes | None,
    ttl: bytes | None,
    asked: float,
) -> Iterator[tuple[bytes | int | None, Cell]]:
    if not many:
        if value is not None:
            yield None, _cell(value, _number(written), _number(ttl), asked)
        return
    elements = _elements(kind, value)
    times, lives = ([_number(t) for t in parts(raw)] for raw in (written, ttl))
    for nth, (at, part) in enumerate(elements):
        if part is None:
            continue
        when = None if kind.startswith("list") else (times or [None] * len(elements))[nth]
        yield at, _cell(part, when, (lives or [None] * len(elements))[nth], asked)


def _elements(kind: str, value: bytes | None) -> list[tuple[bytes | int, bytes | None]]:
    if value is None:
        return []
    head = kind.partition("<")[0]
    if head == "map":
        found = parts(value)
        return [(key or b"", part) for key, part in zip(found[::2], found[1::2], strict=True)]
    if head == "set":
        return [(part or b"", b"") for part in parts(value)]
    return list(enumerate(parts(value) if head == "list" else _sized(value, 0)))


def _cell(value: bytes, written: int | None, ttl: int | None, asked: float) -> Cell:
    return Cell(value, written, None if ttl is None else asked + ttl)


def _number(raw: bytes | None) -> int | None:
    return None if raw is None else int.from_bytes(raw, "big", signed=True)


def parts(raw: bytes | None) -> list[bytes | None]:
    """The parts of a collection."""
    return list(_sized(raw, 4)) if raw else []


def _sized(raw: bytes, at: int) -> Iterator[bytes | None]:
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "big", signed=True)
        at += 4
        yield None if size < 0 else raw[at : at + size]
        at += max(0, size)


__all__ = ["Cell", "Columns", "Rows", "parts", "read", "rows_of"]
