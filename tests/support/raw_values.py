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


def raw_rows(client: Any, cql: str) -> list[Any]:
    """Rows whose values are bytes."""
    handler, client.client_protocol_handler = client.client_protocol_handler, RawHandler
    try:
        return list(client.execute(client.prepare(cql)))
    finally:
        client.client_protocol_handler = handler
