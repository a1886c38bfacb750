"""Writes of applications to the table of calls, on a simulated cluster and in its model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from calldrop_migrate.core.schema import Table
from tests.support.simulator.model import NUMBER, TOWER, Call, Value
from tests.support.simulator.observed import CALLS
from tests.support.simulator.runs import KEYSPACE
from tests.support.simulator.site import Site

DESTINATION = "destination_number"
_OF_CALL = ("source_phone_number", DESTINATION, "call_timestamp")
KEY = {1: (_OF_CALL[0], _OF_CALL[2]), 2: _OF_CALL}


@dataclass(slots=True)
class Applications:
    """They write as the table's shape permits; each write has a number of its own.

    A cell may end if its row stays by another one: what a copy does to a row without cells is told
    in docs/rebuild.md, and isn't judged here.
    """

    site: Site
    number: int = 0

    @property
    def can_write(self) -> bool:
        """Return whether there is a table, and nothing on its way to it."""
        return self.site.table is not None

    @property
    def can_delete(self) -> bool:
        """Return whether the table is the one that was there when all was settled."""
        return self.can_write and self.site.is_old

    def insert(self, source: str, day: int, called: str | None, life: int | None) -> None:
        """Write a call; over one that is there without an end."""
        self.number += 1
        model = self.site.model
        if self.site.half:  # a call of its own: what has that key may be on its way
            source = f"{source}{self.number}"
        if called is None and model.shape == 2:
            called = "a"
        at = datetime(2026, 9, day, tzinfo=UTC).replace(tzinfo=None)
        call = Call(source, at, Value(called, 0) if called else None)
        if model.find(call.key(model.shape)):
            life = 0
        number = self._value(self.number, life)
        call.cells[NUMBER] = number
        if called:
            ends = number.expires if model.shape == 1 else None
            call.destination = Value(called, number.written, ends)
        names = [*KEY[1], NUMBER] + [DESTINATION] * bool(called)
        values = (source, at, self.number) + ((called,) if called else ())
        marks = ", ".join("?" * len(names))
        using = _using(number, life)
        self._send(f"INSERT INTO {CALLS} ({', '.join(names)}) VALUES ({marks}) {using}", values)
        model.put(call)

    def update(self, pick: int, column: str, life: int | None) -> None:
        """Write a cell of a call that is there."""
        model, call = self.site.model, self._visible(pick)
        if call is None:
            return
        if column == DESTINATION and model.shape == 2:
            column = TOWER  # a part of the key
        self.number += 1
        number = call.cells.get(NUMBER)
        if number is None or number.expires is not None or column == DESTINATION:
            if column == DESTINATION and (number is None or number.expires is not None):
                return
            life = 0
        cell = self._value(f"t{self.number}", life)
        self._send(
            f"UPDATE {CALLS} {_using(cell, life)} SET {column} = ? WHERE {self._where}",
            (cell.value, *self._key(call)),
        )
        if column == DESTINATION:
            call.destination = cell
        else:
            call.cells[column] = cell

    def delete(self, pick: int, *, whole: bool) -> None:
        """Delete a call that is there, or a cell of one that stays."""
        call = self._visible(pick)
        if call is None:
            return
        self.site.deleted = True
        written = self.site.cluster.moment().written
        number = call.cells.get(NUMBER)
        if not whole and (number is None or number.expires is not None):
            return
        what = "" if whole else f"{TOWER} "
        self._send(
            f"DELETE {what}FROM {CALLS} USING TIMESTAMP {written} WHERE {self._where}",
            self._key(call),
        )
        if whole:
            self.site.model.remove(call)
        else:
            call.cells.pop(TOWER, None)

    # -- what they need ----------------------------------------------------------------------------

    def _send(self, cql: str, values: tuple[object, ...]) -> None:
        self.site.story.append(f"{cql} {values}")
        self.site.cluster.write(cql, values, KEYSPACE)

    def _value(self, value: object, life: int | None) -> Value:
        """Return what a cell holds that is written now; a life of None is the table's."""
        now, table = self.site.cluster.moment(), self._table
        if life is None:
            life = int(table.option("default_time_to_live") or 0)
        return Value(value, now.written, now.now + life if life else None)

    @property
    def _table(self) -> Table:
        table = self.site.table
        assert table is not None
        return table

    @property
    def _where(self) -> str:
        return " AND ".join(f"{name} = ?" for name in KEY[self.site.model.shape])

    def _key(self, call: Call) -> tuple[object, ...]:
        called = call.destination.value if call.destination else None
        return (call.source, *((called,) if self.site.model.shape == 2 else ()), call.at)

    def _visible(self, pick: int) -> Call | None:
        """Return a call that a reader of the table sees, and that is nowhere else half-way."""
        model, now = self.site.model, self.site.cluster.now
        model.forget(now)
        data = self.site.cluster.rows(self._table)
        seen = {(*row.partition, *(row.clustering or ())) for row in data.rows(self._table, now)}
        calls = [call for call in model.table if self._key(call) in seen]
        if self.site.half:
            # Which of several that share a key is the newest may have been decided already.
            keys = [call.key(1) for call in model.table]
            calls = [call for call in calls if keys.count(call.key(1)) == 1]
        return calls[pick % len(calls)] if calls else None


def _using(cell: Value, life: int | None) -> str:
    return f"USING TIMESTAMP {cell.written}" + (f" AND TTL {life}" if life is not None else "")
