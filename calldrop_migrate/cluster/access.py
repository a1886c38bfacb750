"""Roles and permissions, from the server's own tables. Only reads.

These tables are replicated, and so read at QUORUM: what one node has missed would end for good with
the table that is dropped, or leave a writer unnoticed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Protocol

from calldrop_migrate.cluster.platform import of_roles
from calldrop_migrate.core.cql import literal, quote
from calldrop_migrate.core.fencing import Access, Role
from calldrop_migrate.engine.ports import Row
from calldrop_migrate.errors import StatementRefused


class _Query(Protocol):
    def __call__(
        self, cql: str, values: list[object] = ..., *, consistency: str = ...
    ) -> list[Row]: ...


def grants(
    query: _Query, system: Collection[str], keyspace: str, table: str
) -> list[tuple[str, str]]:
    """Permissions on one table, each with the role that has it."""
    # Asked once for each table: to prepare it would double the requests.
    rows = query(
        f"SELECT role, permissions FROM {of_roles(system, 'role_permissions')} "
        f"WHERE resource = {literal(f'data/{keyspace}/{table}')} ALLOW FILTERING",
        consistency="QUORUM",
    )
    return sorted((what, row["role"]) for row in rows for what in row["permissions"] or ())


def sees_unmasked(query: _Query, us: str, keyspace: str, table: str) -> bool:
    """Return whether a role has UNMASK on a table, of its own or by a role that it has, or needs
    none.

    Each role may ask that of itself. A server without permissions, or without a log-in, has nothing
    to list, and keeps nothing back.
    """
    of = f"OF {quote(us)}" if us else ""
    try:
        roles = query(f"LIST ROLES {of}")
        if any(role["super"] for role in roles):
            return True
        full = f"{quote(keyspace)}.{quote(table)}"
        names = [us] if us else [role["role"] for role in roles]
        return any(
            query(f"LIST UNMASK PERMISSION ON TABLE {full} OF {quote(name)}") for name in names
        )
    except StatementRefused as refused:
        return "AllowAll" in refused.message or "anonymous" in refused.message


def read(query: _Query, system: Collection[str], us: str) -> Access:
    """All roles, and who has MODIFY on what."""
    roles = query(
        f"SELECT role, can_login, is_superuser, member_of FROM {of_roles(system, 'roles')}",
        consistency="QUORUM",
    )
    permissions = query(
        f"SELECT role, resource, permissions FROM {of_roles(system, 'role_permissions')}",
        consistency="QUORUM",
    )
    modify: defaultdict[str, set[str]] = defaultdict(set)
    for row in permissions:
        if "MODIFY" in (row["permissions"] or ()):
            modify[row["resource"]].add(row["role"])
    return Access(
        us,
        {
            row["role"]: Role(
                row["role"],
                bool(row["can_login"]),
                bool(row["is_superuser"]),
                frozenset(row["member_of"] or ()),
            )
            for row in roles
        },
        {resource: frozenset(names) for resource, names in modify.items()},
    )
