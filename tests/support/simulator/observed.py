"""Reads calls and schema of a simulated cluster, and the schema that files declare."""

from __future__ import annotations

from collections.abc import Set
from functools import cache
from pathlib import Path
from typing import Any

from calldrop_migrate.core.cql import split
from calldrop_migrate.core.names import BOOKKEEPING, aside_of, is_internal, is_shadow
from calldrop_migrate.core.schema import Table
from tests.support.simulator.cluster import PAXOS, Cluster
from tests.support.simulator.model import TABLE, Call, Told, Value, in_order
from tests.support.simulator.runs import KEYSPACE

CALLS = "call_records"
AUDIT, COLUMN = "audit", "sneaked"  # what somebody else makes: a table, a column of the calls
_FILES = Path(__file__).parents[3] / "migrations"
_CREATE = f"CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'SimpleStrategy', 'dc': '1'}}"


def tables_of_rows(cluster: Cluster) -> list[Table]:
    """Return the tables that may have calls, second copies among them."""
    tables = (t for t in cluster.schema(KEYSPACE).tables if not t.base)
    others = (*BOOKKEEPING, AUDIT)
    return [t for t in tables if t.name not in others and not t.name.endswith(PAXOS)]


def calls_in(cluster: Cluster) -> list[tuple[Told, list[float | None]]]:
    """Return the calls of the table and those that were set aside, as the model tells them."""
    now, told = cluster.now, []
    for table in tables_of_rows(cluster):
        if is_shadow(table.name):
            continue
        aside = aside_of(table.name)
        where = f"aside {aside[1]}" + " up" * (aside[2] == "up") if aside else TABLE
        for row in cluster.rows(table).rows(table, now):
            key = (*row.partition, *(row.clustering or ()))
            values: dict[str, Any] = dict(zip(table.key, key, strict=True))
            cells = {n: Value(c.value, c.written, c.expires) for n, c in row.cells.items()}
            cell = cells.pop("destination_number", None)
            called = values.get("destination_number", cell and cell.value)
            at = values["call_timestamp"]
            destination = Value(called, 0) if called else None
            if cells:
                call = Call(values["source_phone_number"], at, destination, cells)
                told.append(call.told(where, now))
    return in_order(told)


def schema_of(cluster: Cluster, foreign: Set[str]) -> dict[str, Any]:
    """Return the schema, without the tool's own tables and what somebody else has made."""
    found = {name: what for name, what in _comparable(cluster).items() if name not in foreign}
    if COLUMN in foreign and CALLS in found:
        columns = dict(found[CALLS]["columns"])
        columns.pop(COLUMN, None)
        found[CALLS] = {**found[CALLS], "columns": columns}
    return found


def made_by_others(cluster: Cluster) -> set[str]:
    """Return which of the things are there that somebody else makes."""
    schema = cluster.schema(KEYSPACE)
    calls = schema.table(CALLS)
    there = {AUDIT: schema.table(AUDIT), COLUMN: calls and calls.column(COLUMN)}
    return {name for name, found in there.items() if found}


def _comparable(cluster: Cluster) -> dict[str, Any]:
    found = cluster.schema(KEYSPACE).comparable()
    return {name: what for name, what in found.items() if not is_internal(name)}


@cache
def declared(revision: int) -> dict[str, Any]:
    """Return the schema of a revision, as the statements of its files make it."""
    cluster = Cluster()
    cluster.change_schema(_CREATE, KEYSPACE)
    for number in range(1, revision + 1):
        if number == 2:  # a rebuild
            cluster.change_schema(f"DROP TABLE {CALLS}", KEYSPACE)
        for text in statements(number):
            cluster.change_schema(text, KEYSPACE)
    return _comparable(cluster)


def statements(revision: int) -> list[str]:
    """Return what the file of a revision has for the way up."""
    path = sorted(_FILES.glob("*.cql"))[revision - 1]
    text = path.read_text("utf-8").partition("-- migrate:up")[2].partition("-- migrate:down")[0]
    return [statement.text for statement in split(text, path.name)]
