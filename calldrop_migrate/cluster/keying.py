"""The key that a row of the source has in the target of a copy: whether the server takes it, and
which rows come to have the same. Bytes in; sends nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from calldrop_migrate.cluster.elements import UserType
from calldrop_migrate.cluster.raw import RawRow, getter
from calldrop_migrate.core.carrying import can_be_refused, can_collide
from calldrop_migrate.core.keys import LONGEST, Canonical, KeyLimits, UnknownOrder, canonical
from calldrop_migrate.engine.ports import NULL, Comparable, CopyTask
from calldrop_migrate.errors import RowsAtRisk

_SHORT = LONGEST // 2  # bytes, with which no server refuses a key of whatever columns


class TargetKey:
    """The keys of one copy.

    Args:
        places: of the key's columns in a row of the source, in order.
        types: the keyspace's user types.

    Raises:
        RowsAtRisk: rows can come to have one key, and nobody here can tell which.
    """

    def __init__(
        self,
        task: CopyTask,
        places: Sequence[int],
        types: Mapping[str, UserType],
        limits: KeyLimits,
    ) -> None:
        width = len(task.target.partition_key)
        self.of = getter(places)
        self.partition_of = getter(places[:width])
        self._clustering_of = getter(places[width:])
        self._names = task.target.key
        may_be = can_be_refused(task.source, task.target, task.columns)
        self._limits = limits if may_be else None
        self._canonical = _canonical(task, types)

    def unfit(self, row: RawRow) -> str:
        """Return why the target can't hold a row, whatever else is in it; empty when it can."""
        key = self.of(row)
        if None in key:
            nulls = (n for n, part in zip(self._names, key, strict=True) if part is None)
            return f"{', '.join(nulls)} {NULL}"
        if self._limits is None or (key[0] and sum(map(len, key)) < _SHORT):  # type: ignore[arg-type]
            return ""
        return self._refused(self.partition_of(row), self._clustering_of(row))

    def has_no_partition(self, row: RawRow) -> bool:
        """Return whether the target can't hold the statics of a row's partition."""
        key = self.partition_of(row)
        return None in key or bool(self._refused(key, ()))

    def _refused(self, partition: RawRow, clustering: RawRow) -> str:
        return self._limits.refuses(partition, clustering) if self._limits else ""

    def comparable(self, row: RawRow) -> Comparable:
        """The key of a row that fits: equal where the server calls two keys the same."""
        key = self.of(row)
        if not self._canonical:
            return key
        parts = list[Hashable](key)
        for at, what in self._canonical:
            parts[at] = what(key[at] or b"")
        return tuple(parts)


def _canonical(task: CopyTask, types: Mapping[str, UserType]) -> list[tuple[int, Canonical]]:
    """The places in the key of values that can be equal although their bytes differ."""
    if not can_collide(task.source, task.target, task.columns):
        return []
    fields = {name: user_type.types for name, user_type in types.items()}
    found: list[tuple[int, Canonical]] = []
    for at, name in enumerate(task.target.key):
        column = task.target.column(name)
        if column is None or column.kind != "clustering":
            continue
        try:
            what = canonical(column.type, fields)
        except UnknownOrder as unknown:
            raise RowsAtRisk(
                f"{task.source.name}: {name}, part of the new key, has the type {unknown} in it:"
                " nobody here can tell which of its values are one key",
                state="Nothing was dropped.",
                hint="Leave it out of the key, then run the same command again.",
            ) from None
        found += [(at, what)] if what else []
    return found
