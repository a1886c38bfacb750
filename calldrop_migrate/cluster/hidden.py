"""The values that a server hides of a column that was dropped once and is there again: whatever is
older than that DROP, also when it is written only now. So what comes back is written at a time just
behind it; what anybody has written since is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.catalog import DROPPED_TIME
from calldrop_migrate.cluster.cells import Cells
from calldrop_migrate.cluster.elements import items, pack
from calldrop_migrate.cluster.raw import RawRow, long, number
from calldrop_migrate.cluster.wire import Wire
from calldrop_migrate.core.schema import Table

_MICROSECONDS = 10**14  # as milliseconds this is the year 5138


def shown_from(wire: Wire, table: Table) -> dict[str, int]:
    """Columns that were dropped once, and from when on the server shows their cells: microseconds.

    Raises:
        StatementRefused, Unreachable: the server doesn't tell.
    """
    cql = (
        f"SELECT column_name, {DROPPED_TIME} FROM system_schema.dropped_columns "
        "WHERE keyspace_name = ? AND table_name = ?"
    )
    asked = wire.bound(cql, [wire.keyspace.encode(), table.name.encode()])
    with failures.of_read():
        rows = list(wire.send(asked).result())
    return {
        name.decode(): behind(number(at) or 0)
        for name, at in rows
        if table.column(name.decode()) is not None
    }


def behind(dropped_time: int) -> int:
    """The first microsecond behind a DROP, from what `dropped_columns` has as its time.

    Cassandra keeps milliseconds there. ScyllaDB keeps microseconds in the same column: its
    tools/schema_loader.cc hands the count on as the time of a write.
    """
    return dropped_time + 1 if dropped_time > _MICROSECONDS else (dropped_time + 1) * 1000


def raiser(parts: list[Cells], shown: Mapping[str, int]) -> Callable[[RawRow], RawRow]:
    """Return what makes a row one whose cells are all shown."""
    plain = [(at, shown[n]) for part in parts for n, at in part.written_at.items() if n in shown]
    many = [
        (elements.times_at[0], shown[elements.name])
        for part in parts
        for elements in part.many
        if elements.times_at and elements.name in shown
    ]
    if not (plain or many):
        return lambda row: row

    def raised(row: RawRow) -> RawRow:
        cells = list(row)
        for at, least in plain:
            cells[at] = _at_least(cells[at], least)
        for at, least in many:
            if cells[at] is not None:
                times = [_at_least(time, least) or long(least) for time in items(cells[at])]
                cells[at] = pack(times)
        return cells

    return raised


def _at_least(time: bytes | None, least: int) -> bytes | None:
    written = number(time)
    return None if written is None else long(max(written, least))
