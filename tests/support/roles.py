"""Roles, what they are granted, and command lines that connect as one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from tests.support.cli import Cli
from tests.support.places import PROJECT

SUPERUSER = "cassandra"  # its password, too
KNOWS = "GRANT SELECT ON TABLE system_auth.role_permissions TO"
FENCED_PLAN = ("--fence", "--no-writer", SUPERUSER, "--outage-accepted")  # it asks nothing
FENCED = (*FENCED_PLAN, "--yes")
_PAGE = (PROJECT / "docs" / "grants.md").read_text(encoding="utf-8")


def seen_as(cli: Cli, **settings: str) -> Cli:
    """The same command line with other settings; an empty one is left out."""
    named = {f"CALLDROP_{name.upper()}": value for name, value in settings.items()}
    environment = {k: v for k, v in {**cli.environment, **named}.items() if v}
    return replace(cli, environment=environment)


def as_role(cli: Cli, name: str) -> Cli:
    """As a role whose password is its name."""
    return seen_as(cli, username=name, password=name)


def listed(who: str, keyspace: str, role: str) -> list[str]:
    """The statements of docs/grants.md for the migrator, the creator or the reader."""
    found = re.findall(rf"^(GRANT .* TO {who});$", _PAGE, re.MULTILINE)
    found = [grant for grant in found if KNOWS not in grant]  # that one isn't needed
    assert found, who
    named = [re.sub(rf"\b{who}$", role, grant) for grant in found]
    return [grant.replace("KEYSPACE calldrop ", f"KEYSPACE {keyspace} ") for grant in named]


def may_modify(client: Any, table: str) -> set[str]:
    rows = client.execute(f"LIST MODIFY PERMISSION ON TABLE {table} NORECURSIVE")
    return {row["role"] for row in rows if row["resource"] == f"<table {table}>"}
