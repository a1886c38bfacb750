"""The rows of a materialized view, made from those of its base when they are read."""

from __future__ import annotations

from calldrop_migrate.core.schema import Table, conditions
from tests.support.simulator.cells import NEVER, Cell, Partition, RowData
from tests.support.simulator.statements import Unmodelled
from tests.support.simulator.storage import Found, TableData, shape_of


def shown(data: TableData, base: Table, view: Table, now: float) -> TableData:
    """Return what a view that is built shows: the rows of the base that have its whole key."""
    if set(conditions(view.where)) != {f"{name} is not null" for name in view.key}:
        raise Unmodelled(f"a view {view.where}")
    rows = TableData()
    for found in data.rows(base, now):
        key = _key(found, base, view)
        if found.clustering is not None and None not in key:
            width = len(view.partition_key)
            names = {column.name for column in view.columns}
            cells = {name: cell for name, cell in found.cells.items() if name in names}
            row = RowData(Cell(0, None, True), NEVER, cells)
            rows.partitions.setdefault(key[:width], Partition()).put(key[width:], row)
    return rows


def _key(found: Found, base: Table, view: Table) -> tuple[object, ...]:
    shape = shape_of(base)
    return tuple(shape.getter(name)(found, 0) for name in view.key)
