"""The places of things in the rows that a copy reads, and what becomes of each cell. Bytes in,
bytes out; sends nothing.

A row as it comes from the source: its key, the values for the target's columns, write time and TTL
of each column that is a cell there. Cells go into the target grouped by (write time, TTL left): the
row's marker and the oldest group by INSERT, the others by UPDATE, which makes no marker
(docs/protocol.md 5). Elements of collections follow by statements of their own (elements.py).

What has no write time shares the marker's fate: what was key in the source, and what the server
computes. The marker's own time can't be read: it takes the oldest time and the longest life among
all cells of the row, carried or not. A shadow whose cells don't tell these has the column MARKER.

Static cells come with every row of their partition. Into a static column they are written once, by
the partition alone; into a regular one as a cell of each row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto

from cassandra.query import UNSET_VALUE

from calldrop_migrate.cluster.cells import STAMP, Cells, Write, inserting, marker_of
from calldrop_migrate.cluster.elements import Elements, UserType
from calldrop_migrate.cluster.keying import TargetKey
from calldrop_migrate.cluster.raw import (
    RawRow,
    Times,
    getter,
    left,
    long,
    number,
    ranged,
    seconds,
    show_key,
)
from calldrop_migrate.core import names
from calldrop_migrate.core.carrying import elements_of, uncarried
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.keys import CASSANDRA, KeyLimits
from calldrop_migrate.core.operations import static_pairs
from calldrop_migrate.core.schema import Column, Table
from calldrop_migrate.core.widening import origin
from calldrop_migrate.engine.ports import CopyTask

# The cells of a row that are alive.
Groups = dict[Times, set[str]]
_MARK = b"\x01"


class Fate(Enum):
    """A row that was read, as it is for the target."""

    ROW = auto()
    STATICS = auto()  # of a partition without rows, and they have a place
    NOTHING = auto()  # of a partition without rows, and none of its statics is carried
    UNFIT = auto()


class Layout:
    """The layout of one copy: what is selected and where it stands, and the statements that write a
    row.

    Args:
        of: the layout by which rows are read that this one writes, too, with some of the columns.

    Attributes:
        select: CQL that reads whole rows of a range.
        key_select: CQL that reads keys alone, those of source and target, in the same places.
        key_width: how many columns that gives.
        key_at: places of the target's key.
        target_key: that key.
        row: the cells of a row of the target. Among the timed ones are those that become part of
            the key: of a row that has no other cell they are all that is known of its marker.
        statics: those of a partition, where statics stay so.
        own_times_at: places of write time and TTL of what keeps a row alive, but for elements.
        untimed: cells of the target that share the marker's fate.
    """

    def __init__(
        self,
        keyspace: str,
        task: CopyTask,
        types: Mapping[str, UserType] | None = None,
        of: Layout | None = None,
        limits: KeyLimits = CASSANDRA,
    ) -> None:
        source, target = task.source, task.target
        self._source = source
        chosen = dict(task.columns)
        self._places: dict[str, int] = {**of._places} if of else {}
        for name in source.key:
            self._place(quote(name))
        self._source_key = len(source.key)
        self.key_at = [self._place(_selector(source, chosen[name])) for name in target.key]
        carried = {w for w in chosen.values() if _kind(source, origin(source, w)) == "static"}
        for what in sorted(carried):  # with them a partition without rows is seen on every server
            self._place(_selector(source, what))
        self.key_select = ranged(keyspace, source, self._places)
        self._keyspace, self.key_width = keyspace, len(self._places)

        into = f"{quote(keyspace)}.{quote(target.name)}"
        shown = dict(task.shown)
        self.row = Cells(into, target.key, shown)
        kept = {name for name, _ in static_pairs(source, target, task.columns)}
        statics = Cells(into, target.partition_key, shown)
        for name, what in task.columns:
            self._carry(task, statics if name in kept else self.row, name, what, types or {})
        self.statics = statics if kept else None
        # A row lives as long as any of its cells, whatever becomes of them. (Rows of an aside are
        # deleted at the time that their own cells tell.)
        self._others = [
            (self._place(f"WRITETIME({n})"), self._place(f"TTL({n})"))
            for n in map(quote, uncarried(source, task.columns))
            if names.aside_of(target.name) is None
            and (of is None or f"WRITETIME({n})" in of._places)
        ]
        self.untimed = frozenset(n for n, _ in self.row.cells) - frozenset(self.row.timed)
        self._everything = {*self.row.timed, *self.untimed}
        # Written a moment before the rest: what it was computed from may come back from aside.
        computed = {n for n, what in task.columns if n in self.untimed and not source.column(what)}
        self._computed = frozenset(computed if self._others else ())
        self._any_timed_cell = any(name in self.row.timed for name, _ in self.row.cells)
        # A static cell that becomes a regular one says nothing of a row's own life.
        self._own = [n for n in self.row.timed if chosen[n] not in carried]
        self._all_own = len(self._own) == len(self.row.timed)

        marked_here, marked_there = (_is_marked(table) for table in (source, target))
        self._marks = marked_there and not marked_here
        self._marker_at = None
        if marked_here and not marked_there:
            times = (f"{function}({names.MARKER})" for function in ("WRITETIME", "TTL"))
            self._marker_at = [self._place(time) for time in times]
        self.select = ranged(keyspace, source, self._places)
        written = [name for name, _ in self.row.cells] + [names.MARKER] * self._marks
        self._insert, self._update = inserting(into, target, written)

        self._source_types = [c.type for name in source.key if (c := source.column(name))]
        self.key_of = getter(range(self._source_key))
        self.target_key = TargetKey(task, self.key_at, types or {}, limits)
        self.source_partition_of = getter(range(len(source.partition_key)))
        self.own_times_at = [(self.row.written_at[n], self.row.ttl_at[n]) for n in self._own]
        self.own_times_at += self._others
        self._all_written = getter(written for written, _ in self.own_times_at)
        self._all_ttls = getter(ttl for _, ttl in self.own_times_at)
        if self._marker_at:
            self.own_times_at.append((self._marker_at[0], self._marker_at[1]))
        statics_there = any(column.kind == "static" for column in source.columns)
        self._clustering_at = len(source.partition_key) if statics_there else None
        self._statics_to_rows = [
            self._place(_selector(source, what))
            for n, what in chosen.items()
            if what in carried and n not in kept
        ]

    def _place(self, selected: str) -> int:
        """Return where a selected expression stands; each is selected once."""
        return self._places.setdefault(selected, len(self._places))

    def _carry(
        self,
        task: CopyTask,
        cells: Cells,
        name: str,
        what: str,
        types: Mapping[str, UserType],
    ) -> None:
        """Places of one column of the target: its value, its write time, its TTL."""
        its = origin(task.source, what)
        column, of_source = task.target.column(name), task.source.column(its)
        has_times = of_source is not None and not of_source.is_key
        if column is not None and not column.is_key and elements_of(column.type):
            at, times = self._place(_selector(task.source, what)), None
            if has_times and task.element_times:
                times = (
                    self._place(f"WRITETIME({quote(its)})"),
                    self._place(f"TTL({quote(its)})"),
                )
            user_type = types.get(column.type)
            fields = user_type.names if user_type else ()
            cells.many.append(Elements(name, column.type, fields, at, times))
            return
        if name not in task.target.key:
            cells.cells.append((name, self._place(_selector(task.source, what))))
        if has_times:
            cells.written_at[name] = self._place(f"WRITETIME({quote(its)})")
            cells.ttl_at[name] = self._place(f"TTL({quote(its)})")

    def place_of(self, what: str) -> int:
        """Return where a selector on the source stands in a row."""
        return self._places[_selector(self._source, what)]

    def key_select_with(self, places: Iterable[int]) -> str:
        """`key_select` that reads what stands at these places of a row, too, behind the keys."""
        names = list(self._places)
        more = (names[at] for at in places)
        return ranged(self._keyspace, self._source, [*names[: self.key_width], *more])

    # -- reading a row ---------------------------------------------------------------------------

    def is_row(self, row: RawRow) -> bool:
        """Return whether it is a row, and not what a partition without rows shows of its
        statics.
        """
        return self._clustering_at is None or row[self._clustering_at] is not None

    def has_statics(self, row: RawRow) -> bool:
        """Return whether its partition has static cells that the target keeps as such."""
        return self.statics is not None and self.statics.are_in(row)

    def fate(self, row: RawRow) -> Fate:
        """Return what it is for the target."""
        if not self.is_row(row):
            if self.statics is None and not self._statics_to_rows:
                return Fate.NOTHING
            if not any(row[at] is not None for at in self._statics_to_rows):
                if not self.has_statics(row):
                    return Fate.NOTHING
                return Fate.UNFIT if self.target_key.has_no_partition(row) else Fate.STATICS
        return Fate.UNFIT if self.target_key.unfit(row) else Fate.ROW

    def count(self, rows: Sequence[RawRow]) -> int:
        """Return how many are rows for the target, or would be if they had a key there: a partition
        of statics alone is none, unless its statics become a row.
        """
        if self._clustering_at is None:
            return len(rows)
        become = bool(self._statics_to_rows)
        return sum(1 for row in rows if self.is_row(row) or (become and self.fate(row) is Fate.ROW))

    def shown(self, row: RawRow) -> str:
        """A row's key in the source, for people."""
        return show_key(self._source_types, self.key_of(row))

    def newest_static(self, row: RawRow) -> int:
        """The newest write time of a partition's statics."""
        return self.statics.newest(row) if self.statics else 0

    def newest(self, row: RawRow) -> int:
        """The newest write time of a row's own cells; 0 where it has none."""
        marker = row[self._marker_at[0]] if self._marker_at else None
        newest = max(number(raw) or 0 for raw in (marker, *self._all_written(row)))
        return max(newest, self.row.newest_element(row)) if self.row.many else newest

    def outlives(self, row: RawRow, slack: float) -> bool:
        """Return whether a row is still there in `slack` seconds, as far as its cells tell.

        One of keys alone is: nothing says that it ends.
        """
        lives = self._lives(row)
        return not lives or any(ttl is None or ttl > slack for ttl in lives)

    def has_cells(self, row: RawRow) -> bool:
        """Return whether a row is more than its keys."""
        return bool(self._lives(row))

    def _lives(self, row: RawRow) -> list[int | None]:
        cells = ((row[written], row[ttl]) for written, ttl in self.own_times_at)
        lives = [number(ttl) for written, ttl in cells if written is not None]
        return lives + [element.ttl for many in self.row.many for element in many.read(row)]

    def ends(self, row: RawRow) -> bool:
        """Return whether a row has only cells that end, and not all by one write. Then nothing
        tells whether the row itself, which no CQL reads, would outlive them. Where all have one
        write time and one life, one INSERT wrote row and cells together.
        """
        written, ttls = self._all_written(row), self._all_ttls(row)
        lives = set(zip(written, ttls, strict=True)) - {(None, None)}
        if self._marked(row) or any(ttl is None for _, ttl in lives):
            return False
        elements = [e for many in self.row.many for e in many.read(row)]
        if any(element.ttl is None for element in elements):
            return False
        told = {(number(when), number(ttl)) for when, ttl in lives}
        return len(told | {(e.written, e.ttl) for e in elements}) > 1

    def groups(
        self, row: RawRow, since: float, low_timestamp: int
    ) -> tuple[Groups, Times | None, bool]:
        """A row's live cells by write time and TTL left, its marker's, and whether it is a row of
        keys alone. No marker: nothing of the row is alive. Elements are not among these cells.

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
        lives: list[Times] = []
        bare = True
        for name in self.row.timed:
            written, ttl = self.row.times(row, name)
            if written is None:
                continue
            life, own = left(ttl, since), name in self._own
            bare = bare and not own
            if life is not None:
                groups.setdefault((written, life), set()).add(name)
                lives += [(written, life)] if own else []
        for written_at, ttl_at in self._others:
            if row[written_at] is not None:
                bare, life = False, left(number(row[ttl_at]), since)
                lives += [] if life is None else [(number(row[written_at]) or 0, life)]
        for many in self.row.many:
            if many.times_at and row[many.at] is not None:
                bare = False
                lives += many.groups(row, since, low_timestamp)
        marker = self._kept_marker(row, since) or (marker_of(lives) if lives else None)
        if bare and self._marked(row):
            bare = False
        elif bare:
            marker = (low_timestamp, 0)
        if marker is not None:
            groups.setdefault(marker, set()).update(self.untimed - self._computed)
            if self._computed:
                groups.setdefault((marker[0] - 1, marker[1]), set()).update(self._computed)
        return groups, marker, bare

    def _marked(self, row: RawRow) -> bool:
        return self._marker_at is not None and row[self._marker_at[0]] is not None

    def _kept_marker(self, row: RawRow, since: float) -> Times | None:
        """The marker's time and what is left of its life, where the source keeps them."""
        if not self._marked(row):
            return None
        written, ttl = (number(row[at]) for at in self._marker_at or ())
        life = left(ttl, since)
        return None if life is None else (written or 0, life)

    def _is_plain(self, row: RawRow) -> bool:
        """Return whether its cells are all that it has: no elements, nor statics that become its
        own.
        """
        return self._all_own and not any(row[many.at] is not None for many in self.row.many)

    def _uniform(self, row: RawRow, since: float) -> Groups | None:
        """The one group of a row all of whose cells have one time and one life, as most have."""
        written, ttls = self._all_written(row), self._all_ttls(row)
        if not written or written[0] is None or self._marked(row) or not self._is_plain(row):
            return None
        if self._computed:
            return None
        if written.count(written[0]) != len(written) or ttls.count(ttls[0]) != len(ttls):
            return None
        life = left(number(ttls[0]), since)
        return {} if life is None else {(number(written[0]) or 0, life): self._everything}

    # -- writing it ------------------------------------------------------------------------------

    def writes(
        self, row: RawRow, groups: Groups, marker: Times | None, most: int = 0
    ) -> Iterator[Write]:
        """The statements that make a row in the target, but for its elements; none if all has
        expired.

        Without its marker, only the cells are added to a row that is there already.

        Args:
            most: bytes that one of them may have, where it writes more than one cell; 0 is any.
        """
        key = self.target_key.of(row)
        if marker is not None:
            parts = self._parts(row, groups.get(marker, ()), most)
            values = self.row.values(row, parts[0])
            if self._marks:
                told = self._tells(row, groups, marker)
                values.append(UNSET_VALUE if told else _MARK)
            times = long(marker[0]), seconds(marker[1])
            yield Write(self._insert, [*key, *values, *times], False, -1)
            for cells in parts[1:]:
                yield from self._updated(row, key, marker, cells)
        for group, cells in groups.items():
            if group != marker:
                for part in self._parts(row, cells, most):
                    yield from self._updated(row, key, group, part)

    def _parts(self, row: RawRow, cells: Collection[str], most: int) -> Sequence[Collection[str]]:
        return self.row.divided(row, cells, most) if most else (cells,)

    def _updated(
        self, row: RawRow, key: RawRow, times: Times, cells: Collection[str]
    ) -> Iterator[Write]:
        """The statement that writes some cells, if there are any."""
        values = self.row.values(row, cells)
        if any(value is not UNSET_VALUE for value in values):
            unset = [UNSET_VALUE] * self._marks
            written = long(times[0]), seconds(times[1])
            yield Write(self._update, [*written, *values, *unset, *key])

    def element_writes(
        self, row: RawRow, since: float, otherwise: int, turn: int, most: int
    ) -> Iterator[Write]:
        """The statements that make a row's elements."""
        key = self.target_key.of(row)
        yield from self.row.element_writes(row, key, since, otherwise, turn, most)

    def static_writes(
        self, row: RawRow, since: float, low_timestamp: int, turn: int, most: int
    ) -> Iterator[Write]:
        """The statements that make a partition's static cells, each with its own time and life."""
        statics, key = self.statics, self.target_key.partition_of(row)
        if statics is None:
            return
        for name, at in statics.cells:
            written, ttl = statics.times(row, name)
            life, value = left(ttl, since), row[at]
            if written is not None and life is not None and value is not None:
                cql, values = statics.update((f"{quote(name)} = ?", [value]), f"{STAMP} AND TTL ?")
                yield Write(cql, [long(written), seconds(life), *values, *key])
        oldest = min(
            (w for name in statics.timed if (w := statics.times(row, name)[0]) is not None),
            default=low_timestamp,
        )
        yield from statics.element_writes(row, key, since, oldest, turn, most)

    def _tells(self, row: RawRow, groups: Groups, marker: Times) -> bool:
        """Return whether the cells that the target gets tell the marker."""
        if groups.get(marker) is self._everything and self._any_timed_cell:
            return True  # as most rows: written at once, all cells
        if not self._is_plain(row):
            return False
        there = {name for name, at in self.row.cells if row[at] is not None}
        alive = {group: cells & there for group, cells in groups.items() if cells & there}
        return bool(alive) and marker_of(alive) == marker


def _selector(source: Table, what: str) -> str:
    """Return what to SELECT: a column of the source by its name, or an expression as it is."""
    return quote(what) if source.column(what) else what


def _kind(source: Table, what: str) -> str:
    column: Column | None = source.column(what)
    return column.kind if column else ""


def _is_marked(table: Table) -> bool:
    return names.is_shadow(table.name) and table.column(names.MARKER) is not None
