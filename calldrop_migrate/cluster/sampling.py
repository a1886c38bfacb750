"""About how large a table is, from a few places of its ring.

The server's own estimate (system.size_estimates) is minutes old and knows nothing of what was never
flushed, so it is asked only where a sample can't tell: of partitions that are wider than it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.raw import long, number, seconds
from calldrop_migrate.cluster.wire import Wire
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import HIGHEST, LOWEST, grid
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import Size
from calldrop_migrate.errors import Unreachable

_PLACES = 8
_FOR_BYTES = 20  # rows at each place that are read whole
_WIDER = 4  # times the sample's bytes, from which on the server is believed


def size(wire: Wire, table: Table, few: int, told: Callable[[], int]) -> Size:
    """Rows and bytes of a table, exact up to `few` rows.

    Args:
        told: the server's estimate of its bytes.
    """
    rows, covered, read, whole = 0, 0, 0, 0
    try:
        for place in grid(_PLACES):
            tokens = [t for (t,) in _rows(wire, table, _token_of(table), place.low, few + 1)]
            if place.low == LOWEST and len(tokens) <= few:
                return Size(table.name, len(tokens), 0, exact=True)
            end = number(tokens[-1]) or 0 if len(tokens) > few else HIGHEST
            rows, covered = rows + len(tokens), covered + end - place.low
            columns = ", ".join(quote(column.name) for column in table.columns)
            for row in _rows(wire, table, columns, place.low, _FOR_BYTES):
                read, whole = read + 1, whole + sum(len(value) for value in row if value)
    except Unreachable:  # too much that was deleted lies in between
        return Size(table.name, few + 1, told())
    mean = max(1.0, whole / max(1, read))
    rows = rows * (HIGHEST - LOWEST) // covered
    taken, known = int(rows * mean), told()
    if known > _WIDER * taken:
        return Size(table.name, int(known / mean), known)
    return Size(table.name, rows, taken)


def _token_of(table: Table) -> str:
    return f"token({', '.join(map(quote, table.partition_key))})"


def _rows(wire: Wire, table: Table, selected: str, above: int, limit: int) -> Iterable[Any]:
    cql = (
        f"SELECT {selected} FROM {quote(wire.keyspace)}.{quote(table.name)} "
        f"WHERE {_token_of(table)} > ? LIMIT ?"
    )
    statement = wire.bound(cql, [long(above), seconds(limit)])
    with failures.of_read():
        return list(wire.send(statement).result())
