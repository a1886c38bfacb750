"""Where things stand in the rows that a copy reads, and what becomes of each cell. Bytes in, bytes
out; sends nothing.

A row as it comes from the source: its key, the values for the target's columns, then write time and
TTL of each column that is a cell there. Cells go into the target grouped by (write time, TTL left):
the row's marker and the oldest group by INSERT, the others by UPDATE, which makes no marker
(PROTOCOLS.md 5).

What has no write time shares the marker's fate: a column that was key in the source, and one that
the server computes in the SELECT. The marker's own time can't be read: it takes the oldest among
the row's cells, and the longest life. Where one of these cells becomes part of the key, the row in
the target no longer tells that: a shadow then has the column MARKER, written with the marker's time
and life, from which the copy back takes them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from cassandra.cqltypes import lookup_casstype_simple
from cassandra.query import UNSET_VALUE

from calldrop_migrate.core import names
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.ports import CopyTask, Key

RawRow = Sequence[bytes | None]
# (write time, TTL left); TTL 0 is for ever.
Times = tuple[int, int]
# The cells of a row that are alive.
Groups = dict[Times, set[str]]
_MARK = b"\x01"


def long(value: int) -> bytes:
    """A bigint or timestamp as the server writes it."""
    return struct.pack(">q", value)


def seconds(value: int) -> bytes:
    """A TTL as the server reads it."""
    return struct.pack(">i", value)


def number(raw: bytes | None) -> int | None:
    """A bigint or int read back."""
    return None if raw is None else int.from_bytes(raw, "big", signed=True)


def ranged(keyspace: str, table: Table, selected: Iterable[str]) -> str:
    """A SELECT over a range of tokens."""
    partition = ", ".join(map(quote, table.partition_key))
    return (
        f"SELECT {', '.join(selected)} FROM {quote(keyspace)}.{quote(table.name)} "
        f"WHERE token({partition}) > ? AND token({partition}) <= ?"
    )


def by_key(table: Table) -> str:
    """A WHERE that names one row."""
    return " AND ".join(f"{quote(name)} = ?" for name in table.key)


class Layout:
    """Of one copy: what is selected and where it stands, and the statements that write a row.

    Attributes:
        select: CQL that reads whole rows of a range.
        key_select: CQL that reads keys alone, those of source and target, in the same places.
        key_at: places of the target's key.
        cells: (name, place of the value) of the target's columns outside it.
        timed: columns whose write time and TTL are read. Those that become part of the key are
            among them: of a row that has no other cell they are all that is known of its marker.
        untimed: cells of the target that share the marker's fate.
        written_at, ttl_at: places of a timed column's write time and TTL.
    """

    def __init__(self, keyspace: str, task: CopyTask) -> None:
        source, target = task.source, task.target
        chosen = dict(task.columns)
        self._places: dict[str, int] = {}
        for name in source.key:
            self._place(quote(name))
        self._source_key = len(self._places)
        self.key_at = [self._place(_selector(source, chosen[name])) for name in target.key]
        self.key_select = ranged(keyspace, source, self._places)
        self.cells = [
            (name, self._place(_selector(source, what)))
            for name, what in task.columns
            if name not in target.key
        ]
        cells_of_source = {c.name for c in source.columns if not c.is_key}
        self.timed = tuple(name for name, what in task.columns if what in cells_of_source)
        self.untimed = frozenset(name for name, _ in self.cells) - frozenset(self.timed)
        self._everything = {*self.timed, *self.untimed}
        self._any_timed_cell = any(name in self.timed for name, _ in self.cells)
        self.written_at, self.ttl_at = (
            {name: self._place(f"{function}({quote(chosen[name])})") for name in self.timed}
            for function in ("WRITETIME", "TTL")
        )
        marked_here, marked_there = (_is_marked(table) for table in (source, target))
        self._marks = marked_there and not marked_here
        self._marker_at = None
        if marked_here and not marked_there:
            times = (f"{function}({names.MARKER})" for function in ("WRITETIME", "TTL"))
            self._marker_at = [self._place(time) for time in times]
        self.select = ranged(keyspace, source, self._places)
        written = [name for name, _ in self.cells] + [names.MARKER] * self._marks
        self._insert, self._update = _writing(keyspace, target, written)
        self.key_of = getter(range(self._source_key))
        self.target_key_of = getter(self.key_at)
        self.partition_of = getter(self.key_at[: len(target.partition_key)])
        self._all_written = getter(self.written_at.values())
        self._all_ttls = getter(self.ttl_at.values())

    def _place(self, selected: str) -> int:
        """Where a selected expression stands; each is selected once."""
        return self._places.setdefault(selected, len(self._places))

    # -- reading a row ---------------------------------------------------------------------------

    def times(self, row: RawRow, name: str) -> tuple[int | None, int | None]:
        """Write time and TTL of a timed column; None: an absent cell, and one without end."""
        return number(row[self.written_at[name]]), number(row[self.ttl_at[name]])

    def newest(self, row: RawRow) -> int:
        """The newest write time in a row; 0 where it has no cell."""
        marker = row[self._marker_at[0]] if self._marker_at else None
        return max(number(raw) or 0 for raw in (marker, *self._all_written(row)))

    def outlives(self, row: RawRow, slack: float) -> bool:
        """Whether a row is still there in `slack` seconds, as far as its cells tell.

        One of keys alone is: nothing says that it ends.
        """
        cells = list(zip(self._all_written(row), self._all_ttls(row), strict=True))
        if self._marker_at:
            cells.append((row[self._marker_at[0]], row[self._marker_at[1]]))
        lives = [number(ttl) for written, ttl in cells if written is not None]
        return not lives or any(ttl is None or ttl > slack for ttl in lives)

    def groups(
        self, row: RawRow, since: float, low_timestamp: int
    ) -> tuple[Groups, Times | None, bool]:
        """A row's live cells by write time and TTL left, its marker's, and whether it is a row of
        keys alone. No marker: nothing of the row is alive.

        Args:
            row: as `select` gives it.
            since: seconds from before the row was read until now. What is left of a TTL is rounded
                down: no cell may live longer than it would have. Of one with nothing left nothing
                is written.
            low_timestamp: for a row of keys alone.
        """
        uniform = self._uniform(row, since)
        if uniform is not None:
            return uniform, next(iter(uniform), None), False
        groups: Groups = {}
        bare = True
        for name in self.timed:
            written, ttl = self.times(row, name)
            if written is None:
                continue
            bare = False
            left = _left(ttl, since)
            if left is not None:
                groups.setdefault((written, left), set()).add(name)
        marker = self._kept_marker(row, since) or (marker_of(groups) if groups else None)
        if bare and marker is None and self._marked(row):
            return {}, None, False  # it has expired
        if bare and marker is None:
            return {(low_timestamp, 0): self._everything}, (low_timestamp, 0), True
        if marker is not None and self.untimed:
            groups.setdefault(marker, set()).update(self.untimed)
        return groups, marker, False

    def _marked(self, row: RawRow) -> bool:
        return self._marker_at is not None and row[self._marker_at[0]] is not None

    def _kept_marker(self, row: RawRow, since: float) -> Times | None:
        """The marker's time and what is left of its life, where the source keeps them."""
        if not self._marked(row):
            return None
        written, ttl = (number(row[at]) for at in self._marker_at or ())
        left = _left(ttl, since)
        return None if left is None else (written or 0, left)

    def _uniform(self, row: RawRow, since: float) -> Groups | None:
        """The one group of a row all of whose cells have one time and one life, as most have."""
        written, ttls = self._all_written(row), self._all_ttls(row)
        if not written or written[0] is None or self._marked(row):
            return None
        if written.count(written[0]) != len(written) or ttls.count(ttls[0]) != len(ttls):
            return None
        left = _left(number(ttls[0]), since)
        return {} if left is None else {(number(written[0]) or 0, left): self._everything}

    # -- writing it ------------------------------------------------------------------------------

    def writes(
        self, row: RawRow, groups: Groups, marker: Times | None
    ) -> Iterator[tuple[str, list[Any]]]:
        """The statements that make a row in the target, with their values; none if all has expired.

        Without its marker, only the cells are added to a row that is there already. An absent cell
        is left unset, never null: a null is a tombstone that hides what arrives later.
        """
        key, unset = self.target_key_of(row), [UNSET_VALUE] * self._marks
        if marker is not None:
            values = self._values(row, groups.get(marker, ()))
            mark = [_MARK] if self._marks and not self._tells(row, groups, marker) else unset
            yield self._insert, [*key, *values, *mark, long(marker[0]), seconds(marker[1])]
        for group, cells in groups.items():
            if group == marker:
                continue
            values = self._values(row, cells)
            if any(value is not UNSET_VALUE for value in values):
                yield self._update, [long(group[0]), seconds(group[1]), *values, *unset, *key]

    def _tells(self, row: RawRow, groups: Groups, marker: Times) -> bool:
        """Whether the cells that the target gets tell the marker."""
        if groups.get(marker) is self._everything and self._any_timed_cell:
            return True  # as most rows: written at once, all cells
        there = {name for name, at in self.cells if row[at] is not None}
        alive = {group: cells & there for group, cells in groups.items() if cells & there}
        return bool(alive) and marker_of(alive) == marker

    def _values(self, row: RawRow, chosen: Iterable[str]) -> list[Any]:
        return [
            UNSET_VALUE if name not in chosen or row[at] is None else row[at]
            for name, at in self.cells
        ]


def _selector(source: Table, what: str) -> str:
    """What to SELECT: a column of the source by its name, or an expression as it is."""
    return quote(what) if source.column(what) else what


def _writing(keyspace: str, target: Table, cells: Sequence[str]) -> tuple[str, str]:
    into = f"{quote(keyspace)}.{quote(target.name)}"
    columns = [*target.key, *cells]
    insert = (
        f"INSERT INTO {into} ({', '.join(map(quote, columns))}) "
        f"VALUES ({', '.join('?' * len(columns))}) USING TIMESTAMP ? AND TTL ?"
    )
    update = (
        f"UPDATE {into} USING TIMESTAMP ? AND TTL ? "
        f"SET {', '.join(f'{quote(n)} = ?' for n in cells)} WHERE {by_key(target)}"
    )
    return insert, update


def getter(places: Iterable[int]) -> Callable[[RawRow], Key]:
    """What stands in these places of a row, always as a tuple."""
    match list(places):
        case []:
            return lambda row: ()
        case [one]:
            return lambda row: (row[one],)
        case several:
            return itemgetter(*several)


def _left(ttl: int | None, since: float) -> int | None:
    """What is left of a TTL, 0 for ever; None when nothing is."""
    if ttl is None:
        return 0
    left = int(ttl - since)
    return left if left > 0 else None


def _is_marked(table: Table) -> bool:
    return names.is_internal(table.name) and table.column(names.MARKER) is not None


def marker_of(groups: Groups) -> Times:
    """Write time and TTL for a row's marker, which can't be read: oldest time, longest life."""
    oldest = min(written for written, _ in groups)
    return oldest, 0 if any(ttl == 0 for _, ttl in groups) else max(ttl for _, ttl in groups)


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
