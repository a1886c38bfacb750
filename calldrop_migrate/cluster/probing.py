"""Looks whether a table has any row: by one query, or where that is too much for a node, by ranges.

A table whose rows have all expired or been deleted is nothing but tombstones, and a node gives up
on a read of more than 100,000 of them. So a range that can't be read is halved.
"""

from __future__ import annotations

from collections.abc import Callable

from cassandra import ConsistencyLevel, OperationTimedOut, ReadFailure, ReadTimeout
from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from calldrop_migrate.core.carrying import elements_of
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ranges import HIGHEST, LOWEST
from calldrop_migrate.core.schema import Table

_TOO_MUCH = (OperationTimedOut, ReadFailure, ReadTimeout)
_SMALLEST = (HIGHEST - LOWEST) >> 20  # a millionth of the ring


def has_rows(
    session: Session, keyspace: str, table: Table, level: str, between: Callable[[], None]
) -> bool:
    """Return whether any row is there, at a consistency level; raises what the driver raises.

    A page without rows says nothing while more are to come; each is a request of its own, with its
    own timeout. Tokens are read because any other value can be one that Python's types don't hold,
    and static columns because a partition may have nothing else: not every server shows it then.
    """
    partition = ", ".join(map(quote, table.partition_key))
    statics = [
        f"{'toJson' if elements_of(c.type) else 'WRITETIME'}({quote(c.name)})"
        for c in table.columns
        if c.kind == "static"
    ]
    selected = ", ".join([f"token({partition})", *statics])
    select = f"SELECT {selected} FROM {quote(keyspace)}.{quote(table.name)}"

    def look(low: int, high: int) -> bool:
        where = f" WHERE token({partition}) > {low} AND token({partition}) <= {high}"
        whole = (low, high) == (LOWEST, HIGHEST)
        statement = SimpleStatement(
            f"{select}{'' if whole else where} LIMIT 1",
            consistency_level=ConsistencyLevel.name_to_value[level],
        )
        try:
            more = None
            while True:
                page = session.execute(statement, paging_state=more)
                if page.current_rows:
                    return True
                more = page.paging_state
                if not more:
                    return False
                between()
        except _TOO_MUCH:
            if high - low <= _SMALLEST:
                raise
        between()
        middle = (low + high) // 2
        return look(low, middle) or look(middle, high)

    return look(LOWEST, HIGHEST)
