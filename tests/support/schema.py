"""The schema of a keyspace, read and changed past the tool."""

from __future__ import annotations

import re
from typing import Any

from cassandra.cluster import Session

from tests.support.cli import Cli
from tests.support.handful import TABLE


def tables_in(client: Any, cli: Cli) -> set[str]:
    """All of them but for those that ScyllaDB has beside a table with conditional writes."""
    asked = "SELECT table_name AS n FROM system_schema.tables WHERE keyspace_name = %s"
    return {row["n"] for row in client.execute(asked, (cli.keyspace,)) if "$" not in row["n"]}


def tables_of(client: Session, keyspace: str) -> set[str]:
    """All but the tool's own, and those that ScyllaDB has beside these."""
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    found = {row["table_name"] for row in client.execute(asked, (keyspace,))}
    own = ("database_migrations", "migration_journal", "migration_progress")
    return {name for name in found if not name.startswith(own)}


def internal(client: Any, cli: Cli) -> list[str]:
    """Second copies, and rows that were set aside."""
    found = client.execute(
        "SELECT table_name AS n FROM system_schema.tables WHERE keyspace_name = %s",
        [cli.keyspace],
    )
    return [row["n"] for row in found if "__" in row["n"]]


def ddl(client: Any, cli: Cli, *statements: str) -> None:
    """Somebody else's schema changes; KS stands for the keyspace."""
    for statement in statements:
        client.execute(statement.replace("KS", cli.keyspace))


def again(cli: Cli) -> str:
    """The CREATE of an application that starts: its table as the first revision makes it."""
    text = (cli.folder / "migrations" / "0001_initial.cql").read_text("utf-8")
    made = re.search(r"^CREATE TABLE [^;]*", text, re.MULTILINE)
    assert made
    return made[0].replace(TABLE, f"KS.{TABLE}", 1)
