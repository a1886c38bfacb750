"""Statements and rows whose values are bytes, past what the driver makes of them."""

from __future__ import annotations

from typing import Any

from cassandra.cqltypes import BytesType

from calldrop_migrate.cluster.wire import RawHandler


def prepared(client: Any, cql: str) -> Any:
    """A statement that takes each value as bytes."""
    statement = client.prepare(cql)
    statement.column_metadata = [
        column._replace(type=BytesType) for column in statement.column_metadata
    ]
    statement.routing_key_indexes = None
    return statement


def as_bytes(statement: Any) -> Any:
    """A statement that gives each value as bytes, also where rows come without their types: a
    ScyllaDB tells these once, when it is prepared.
    """
    told = statement.result_metadata
    if told and hasattr(statement, "update_result_metadata"):
        plain = [(*column[:3], BytesType) for column in told]
        statement.update_result_metadata(plain, statement.result_metadata_id)
    return statement


def raw_rows(client: Any, cql: str) -> list[Any]:
    """Rows whose values are bytes."""
    statement = as_bytes(client.prepare(cql))
    handler, client.client_protocol_handler = client.client_protocol_handler, RawHandler
    try:
        return list(client.execute(statement))
    finally:
        client.client_protocol_handler = handler
