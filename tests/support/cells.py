"""An independent client's view of a table: every cell with value, write time and the instant it
ends.

Shares nothing with the product but the server. `read` takes the table's columns from system_schema,
so it reads any revision; `differences` compares two readings cell by cell, and knows that time has
passed between them.

Of a collection or user type that isn't frozen each element is a cell, `tags['a']`. A list's have
their place for a key, and no write time, which a copy can't keep. `read_statics` gives the static
cells by partition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cassandra.protocol import _ProtocolHandler

from tests.support.asking import tells_element_times

# What a copy may take from a life: it writes what is left rounded down, and sends it a little
# later.
EARLIER = 3.0  # seconds
# A TTL is read in whole seconds, and counts from when the server gets it: a busy one is late.
LATER = 3.0
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """A value, its write time in microseconds, and when it ends (Unix seconds); None: never."""

    value: Any
    written: int | None
    ends: float | None = None


Rows = dict[Key, dict[str, Cell]]


@dataclass(frozen=True)
class Columns:
    """A table's columns, the key's in order, and those that have a cell for each element."""

    key: tuple[str, ...]
    regular: tuple[str, ...]
    static: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    many: frozenset[str] = frozenset()


def columns(client: Any, keyspace: str, table: str) -> Columns:
    found = list(
        client.execute(
            "SELECT column_name, kind, position, type FROM system_schema.columns "
            "WHERE keyspace_name = %s AND table_name = %s",
            (keyspace, table),
        )
    )
    order = {"partition_key": 0, "clustering": 1}
    keys = sorted(
        (order[c["kind"]], c["position"], c["column_name"]) for c in found if c["kind"] in order
    )
    return Columns(
        tuple(name for _, _, name in keys),
        tuple(c["column_name"] for c in found if c["kind"] == "regular"),
        tuple(c["column_name"] for c in found if c["kind"] == "static"),
        tuple(name for kind, _, name in keys if kind == 0),
        frozenset(c["column_name"] for c in found if _has_elements(c["type"])),
    )


_ONE_CELL = ("frozen", "tuple", "vector")
_NATIVE = (
    *("ascii", "bigint", "blob", "boolean", "date", "decimal", "double", "duration", "float"),
    *("inet", "int", "smallint", "text", "time", "timestamp", "timeuuid", "tinyint", "uuid"),
    *("varint", "varchar"),
)


def _has_elements(type_name: str) -> bool:
    head, bracket, _ = type_name.partition("<")
    return head not in (_ONE_CELL if bracket else _NATIVE)


def read(
    client: Any,
    keyspace: str,
    table: str = "call_records",
    through: Mapping[str, str] | None = None,
) -> Rows:
    """All rows: key -> column -> cell, absent cells left out.

    `through` names functions by column, for values that Python's types can't hold.
    """
    shape = columns(client, keyspace, table)

    def value(name: str) -> str:
        function = (through or {}).get(name)
        return f'{function.format(name)} AS "{name}"' if function else f'"{name}"'

    rows: Rows = {}
    asked_for = (shape.key, shape.regular, _timed(client, shape, shape.regular))
    for row, asked in _select(client, keyspace, table, asked_for, value):
        key = tuple(row[name] for name in shape.key)
        if None not in key:  # else a partition that has static cells alone
            rows[key] = _cells(row, shape, shape.regular, asked)
    return rows


def read_statics(client: Any, keyspace: str, table: str) -> Rows:
    """The static cells of each partition that has any."""
    shape = columns(client, keyspace, table)
    found: Rows = {}
    if not shape.static:
        return found
    asked_for = (shape.partition, shape.static, _timed(client, shape, shape.static))
    for row, asked in _select(client, keyspace, table, asked_for, '"{}"'.format):
        if cells := _cells(row, shape, shape.static, asked):
            found[tuple(row[name] for name in shape.partition)] = cells
    return found


def _timed(client: Any, shape: Columns, names: Collection[str]) -> list[str]:
    """Those whose times are told: not every server tells those of a collection's elements."""
    return [name for name in names if name not in shape.many or tells_element_times(client)]


def _select(
    client: Any,
    keyspace: str,
    table: str,
    asked_for: tuple[Collection[str], Collection[str], Collection[str]],
    value: Callable[[str], str],
) -> Iterator[tuple[Any, float]]:
    """Rows with keys, cells, and the times of some of these; and when they were asked for."""
    key, cells, timed = asked_for
    selected = [value(name) for name in (*key, *cells)]
    for name in timed:
        selected += [f'WRITETIME("{name}") AS "w_{name}"', f'TTL("{name}") AS "t_{name}"']
    asked, handler = time.time(), client.client_protocol_handler
    client.client_protocol_handler = _ProtocolHandler  # the compiled one can't read [null, 5]
    try:
        for row in client.execute(f"SELECT {', '.join(selected)} FROM {keyspace}.{table}"):
            yield row, asked
    finally:
        client.client_protocol_handler = handler


def _cells(row: Any, shape: Columns, names: Collection[str], asked: float) -> dict[str, Cell]:
    found: dict[str, Cell] = {}

    def add(name: str, value: Any, written: int | None, ttl: int | None) -> None:
        if value is not None:
            found[name] = Cell(value, written, None if ttl is None else asked + ttl)

    for name in names:
        value, written, ttl = row[name], row.get(f"w_{name}"), row.get(f"t_{name}")
        if name not in shape.many:
            add(name, value, written, ttl)
            continue
        parts = _elements(value)
        times = zip(written or [None] * len(parts), ttl or [None] * len(parts), strict=True)
        for (at, part), (when, life) in zip(parts, times, strict=True):
            add(f"{name}[{at!r}]", part, None if isinstance(value, list) else when, life)
    return found


def _elements(value: Any) -> list[tuple[Any, Any]]:
    if value is None:
        return []
    if hasattr(value, "items"):
        return list(value.items())
    if hasattr(value, "_fields"):  # a user type
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, list):
        return list(enumerate(value))
    return [(part, True) for part in value]


def by(rows: Rows, shape: Columns, key: Collection[str], *, leave: Collection[str] = ()) -> Rows:
    """The rows by other columns; a column that was key, or becomes it, has no times."""
    result: Rows = {}
    for old_key, cells in rows.items():
        all_of = {n: Cell(v, None) for n, v in zip(shape.key, old_key, strict=True)} | cells
        new_key = tuple(all_of[name].value if name in all_of else None for name in key)
        assert new_key not in result, f"two rows with {new_key}"
        result[new_key] = {
            name: cell for name, cell in all_of.items() if name not in key and name not in leave
        }
    return result


def differences(
    before: Rows, after: Rows, *, earlier: float = EARLIER, later: float = LATER
) -> list[str]:
    """The differences, a line each. Cells that have ended since, or are about to, may be gone.

    A cell without write time on one side (it was key there) is compared by value alone.
    """
    now = time.time()
    found = [f"{key} appeared" for key in after if key not in before]
    for key, cells in before.items():
        have = after.get(key)
        if have is None:
            if not cells or any(not _ended(cell, now, earlier) for cell in cells.values()):
                found.append(f"{key} is gone: {cells}")
            continue
        found += [f"{key}.{name} appeared: {have[name]}" for name in have if name not in cells]
        for name, cell in cells.items():
            what = _differs(cell, have.get(name), now, earlier, later)
            found += [f"{key}.{name} {what}: {cell} -> {have.get(name)}"] if what else []
    return found


def _ended(cell: Cell, now: float, earlier: float) -> bool:
    return cell.ends is not None and cell.ends - earlier <= now


def _differs(cell: Cell, have: Cell | None, now: float, earlier: float, later: float) -> str:
    if have is None:
        return "" if _ended(cell, now, earlier) else "is gone"
    if have.value != cell.value:
        return "has another value"
    if cell.written is None or have.written is None:
        return ""
    if have.written != cell.written:
        return "has another write time"
    if (cell.ends is None) != (have.ends is None):
        return "gained or lost its TTL"
    if cell.ends is not None and have.ends is not None:
        moved = have.ends - cell.ends
        return "" if -earlier <= moved <= later else f"ends {moved:+.1f} s from when it did"
    return ""


def cells_of(rows: Mapping[Key, Mapping[str, Cell]]) -> int:
    """How many cells there are."""
    return sum(len(cells) for cells in rows.values())
