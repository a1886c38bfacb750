"""A handful of calls in the shape of revision 1, as the fixture `filled` writes them."""

from __future__ import annotations

from typing import Any

from tests.support.cli import Cli

TABLE = "call_records"
ALL = [f"+1{n}" for n in range(5)]  # who calls


def insert(client: Any, cli: Cli, number: int, destination: str | None = "+2") -> None:
    client.execute(
        f"INSERT INTO {cli.keyspace}.{TABLE} (source_phone_number, call_timestamp, "
        "destination_number, call_completed) VALUES (%s, %s, %s, true)",
        [f"+1{number}", 1_700_000_000_000 + number, destination],
    )


def numbers(client: Any, cli: Cli, table: str = TABLE) -> list[str]:
    found = client.execute(f"SELECT source_phone_number AS n FROM {cli.keyspace}.{table}")
    return sorted(row["n"] for row in found)
