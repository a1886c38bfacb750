"""Reads schemas, sizes and view progress from the server's own tables. Only reads.

Names of keyspaces and tables are written into these queries as quoted literals
(`core.cql.literal`): they are names, not data, and a prepared statement for each would double the
number of requests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from calldrop_migrate.cluster.platform import is_scylla
from calldrop_migrate.core import masks
from calldrop_migrate.core.cql import literal, quote
from calldrop_migrate.core.described import beyond
from calldrop_migrate.core.options import READ_ONLY
from calldrop_migrate.core.schema import Extra, Schema, from_rows
from calldrop_migrate.errors import StatementRefused

Row = Mapping[str, Any]
# Answers several queries, sent at once, in order.
Ask = Callable[[Sequence[str]], list[list[Row]]]

# As a number. ScyllaDB keeps microseconds there, Cassandra milliseconds: the driver would read the
# former as a date that there isn't, and end the connection.
DROPPED_TIME = "blobAsBigint(timestampAsBlob(dropped_time))"
_TABLE_LIKE = ("tables", "views", "columns", "dropped_columns")
# Of extras, and of columns, that not every server has: read where system_schema has them.
_EXTRAS = ("types", "indexes", "triggers")
_MASKS = "column_masks"
# Options of tables and views that ScyllaDB keeps beside the others.
_MORE_OPTIONS = "scylla_tables"
_OF_THEM = ("large_data_guardrails_enabled", "storage_engine", "tablets")


def _select(source: str, where: str, system_schema: Collection[str]) -> str:
    """A SELECT of all that is kept in a table of system_schema."""
    what = "*"
    if source == "dropped_columns":
        kind = "" if is_scylla(system_schema) else "kind, "
        what = f"table_name, column_name, type, {kind}{DROPPED_TIME} AS dropped_time"
    return f"SELECT {what} FROM system_schema.{source} {where}"


def read(ask: Ask, keyspace: str, system_schema: Collection[str]) -> Schema:
    """The whole keyspace; `exists` is False where there is none.

    Args:
        system_schema: the tables that the server keeps schemas in. ScyllaDB keeps each index as a
            view of its own, which comes and goes with the index and is left out here.
    """
    where = f"WHERE keyspace_name = {literal(keyspace)}"
    (keyspaces,) = ask([f"SELECT replication FROM system_schema.keyspaces {where}"])
    if not keyspaces:
        return Schema(keyspace)
    optional = [s for s in (*_EXTRAS, _MASKS, _MORE_OPTIONS) if s in system_schema]
    sources = (*_TABLE_LIKE, *optional)
    answers = ask([_select(source, where, system_schema) for source in sources])
    found = dict(zip(sources, answers, strict=True))
    views = found["views"]
    if is_scylla(system_schema):
        own = {(f"{r['index_name']}_index", r["table_name"]) for r in found["indexes"]}
        views = [v for v in views if (v["view_name"], v["base_table_name"]) not in own]
    return from_rows(
        keyspace,
        replication=keyspaces[0]["replication"],
        tables=_with_more(
            _as_described(ask, f"KEYSPACE {quote(keyspace)}", [*found["tables"], *views]),
            found.get(_MORE_OPTIONS, ()),
        ),
        columns=found["columns"],
        dropped=found["dropped_columns"],
        masks=_masks(found.get(_MASKS, ())),
        extras=_extras(found),
    )


def refresh(
    ask: Ask, known: Schema, names: Collection[tuple[str, str]], system_schema: Collection[str]
) -> Schema:
    """`known` with the objects of these (kind, name) read again."""
    for kind, name in names:
        if kind in ("table", "view"):
            known = _refresh_table(ask, known, kind, name, system_schema)
        else:
            where = f"WHERE keyspace_name = {literal(known.keyspace)}"
            sources = [source for source in _EXTRAS if source in system_schema]
            answers = ask([f"SELECT * FROM system_schema.{s} {where}" for s in sources])
            known = known.with_extras(_extras(dict(zip(sources, answers, strict=True))))
    return known


def _refresh_table(
    ask: Ask, known: Schema, kind: str, name: str, system_schema: Collection[str]
) -> Schema:
    keyspace = f"WHERE keyspace_name = {literal(known.keyspace)}"
    where = f"{keyspace} AND table_name = {literal(name)}"
    views = f"{keyspace} AND view_name = {literal(name)}"
    head = f"views {views}" if kind == "view" else f"tables {where}"
    (tables,) = ask([f"SELECT * FROM system_schema.{head}"])
    if not tables:
        return known.without(name)
    parts = ["columns"] if kind == "view" else ["columns", "dropped_columns"]
    parts += [source for source in (_MASKS, _MORE_OPTIONS) if source in system_schema]
    answers = ask([_select(part, where, system_schema) for part in parts])
    read_again = dict(zip(parts, answers, strict=True))
    if kind == "table":
        tables = _as_described(ask, f"TABLE {quote(known.keyspace)}.{quote(name)}", tables)
    (found,) = from_rows(
        known.keyspace,
        replication=None,
        tables=_with_more(tables, read_again.get(_MORE_OPTIONS, ())),
        columns=read_again["columns"],
        dropped=read_again.get("dropped_columns", ()),
        masks=_masks(read_again.get(_MASKS, ())),
    ).tables
    return known.put(found)


def _as_described(ask: Ask, what: str, tables: list[Row]) -> list[Row]:
    """Rows of tables with what Cassandra from 6.0 on tells in DESCRIBE alone, as extensions."""
    if not any("fast_path" in row for row in tables):
        return tables
    (rows,) = ask([f"DESCRIBE {what}"])
    told = dict(beyond(row["create_statement"]) for row in rows if row["type"] == "table")
    return [
        {**row, READ_ONLY: {**row[READ_ONLY], **told.get(row.get("table_name", ""), {})}}
        for row in tables
    ]


def _with_more(tables: Sequence[Row], more: Sequence[Row]) -> list[Row]:
    """Rows of tables and views with their options of `_MORE_OPTIONS`."""
    found = {row["table_name"]: {name: row.get(name) for name in _OF_THEM} for row in more}
    return [{**row, **found.get(row.get("view_name") or row["table_name"], {})} for row in tables]


def _masks(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    return {(row["table_name"], row["column_name"]): masks.from_row(row) for row in rows}


def _extras(found: Mapping[str, Sequence[Row]]) -> list[Extra]:
    triggers = [
        Extra(
            "trigger",
            f"{row['trigger_name']} on {row['table_name']}",
            json.dumps([row["table_name"], row["options"]["class"]]),
        )
        for row in found.get("triggers", ())
    ]
    return [*_types(found.get("types", ())), *_indexes(found.get("indexes", ())), *triggers]


def _types(rows: Sequence[Row]) -> list[Extra]:
    return [
        Extra("type", r["type_name"], json.dumps([list(r["field_names"]), list(r["field_types"])]))
        for r in rows
    ]


def _indexes(rows: Sequence[Row]) -> list[Extra]:
    return [
        Extra(
            "index",
            r["index_name"],
            json.dumps(
                [
                    r["table_name"],
                    r["kind"],
                    {str(k): str(v) for k, v in sorted(r["options"].items())},
                ]
            ),
        )
        for r in rows
    ]


def unbuilt(ask: Ask, keyspace: str, view: str, nodes: Mapping[str, str], source: str) -> list[str]:
    """The nodes (host id -> address) that haven't finished building a view, by the table that
    keeps that.
    """
    (rows,) = ask(
        [
            f"SELECT host_id, status FROM {source} "
            f"WHERE keyspace_name = {literal(keyspace)} AND view_name = {literal(view)}"
        ]
    )
    built = {str(r["host_id"]) for r in rows if r["status"] == "SUCCESS"}
    return sorted(address for host_id, address in nodes.items() if host_id not in built)


def estimate(ask: Ask, keyspace: str, table: str) -> int:
    """Bytes by system.size_estimates: minutes old, and rough; 0 where there is none, or this role
    may not read it.
    """
    try:
        (rows,) = ask(
            [
                "SELECT partitions_count, mean_partition_size FROM system.size_estimates "
                f"WHERE keyspace_name = {literal(keyspace)} AND table_name = {literal(table)}"
            ]
        )
    except StatementRefused:
        return 0
    return sum(r["partitions_count"] * r["mean_partition_size"] for r in rows)
