"""The roles that can write to a table, by the permissions of its server, and how long it takes
until nobody can any more (docs/protocol.md 7).

A REVOKE on a table takes what was granted on that table alone. Against a grant on its keyspace, or
a superuser, it does nothing: who has one of these is named, and there is no fence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.files import Step
from calldrop_migrate.core.operations import Operation, Run, run

_MARGIN = 1.0  # seconds
_UNITS = {"": 0.001, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
# As cassandra.yaml and scylla.yaml call them; the older names are in milliseconds.
_PERMISSIONS = ("permissions_validity", "permissions_validity_in_ms")
_ROLES = ("roles_validity", "roles_validity_in_ms")
_WRITES = ("write_request_timeout", "write_request_timeout_in_ms")


@dataclass(frozen=True, slots=True)
class Role:
    """A role; `member_of` are those whose permissions it has, too."""

    name: str
    can_login: bool = True
    superuser: bool = False
    member_of: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Access:
    """The roles, and what they may do.

    Attributes:
        us: the role that asks.
        modify: resource, as the server names it (data, data/KEYSPACE, ...) -> roles with MODIFY.
    """

    us: str
    roles: Mapping[str, Role] = field(default_factory=dict)
    modify: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def all_of(self, role: str) -> frozenset[str]:
        """A role and all whose permissions it has."""
        found, left = set[str](), [role]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self.roles[name].member_of if name in self.roles else ()
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence: it keeps writers from a table.

    Attributes:
        roles: those from which MODIFY on it is revoked.
        open: who could still write, and why, a line each.
        trusted: roles that could, and don't: who put it up, and others as the user says.
    """

    table: str
    roles: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Fence:
        """From what `asdict` gave."""
        names = ("roles", "open", "trusted")
        return cls(stored["table"], *(tuple(stored.get(name, ())) for name in names))

    def trusting(self, roles: frozenset[str]) -> Fence:
        """The same, with more roles that don't write."""
        return replace(self, trusted=tuple(sorted({*self.trusted, *roles})))

    def up(self) -> list[Run]:
        """Return what puts it up."""
        on = f"REVOKE MODIFY ON TABLE {quote(self.table)}"
        return [replace(run(f"{on} FROM {quote(role)}"), fence="up") for role in self.roles]

    def away(self) -> list[Run]:
        """Return what takes it away."""
        return [taken_back(revoke) for revoke in self.up()]


def fence(access: Access, keyspace: str, table: str, trusted: frozenset[str]) -> Fence:
    """The fence around a table; `trusted` are roles that don't write, as the user says."""
    ours = access.all_of(access.us)
    direct = access.modify.get(f"data/{keyspace}/{table}", frozenset())
    wider = {
        "data": "ALL KEYSPACES",
        f"data/{keyspace}": f"KEYSPACE {keyspace}",
        f"data/{keyspace}/*": f"ALL TABLES IN KEYSPACE {keyspace}",
    }
    can: list[str] = []
    groups = frozenset[str]().union(*(role.member_of for role in access.roles.values()))
    for role in sorted(access.roles.values(), key=lambda role: role.name):
        if role.name == access.us or role.name in trusted:
            continue
        if not role.can_login and role.name in groups:  # its members are named
            continue
        held = sorted(access.all_of(role.name) & access.roles.keys())
        whys = [(name, "is a superuser") for name in held if access.roles[name].superuser]
        for resource, words in wider.items():
            granted = access.modify.get(resource, frozenset())
            whys += [(name, f"has MODIFY on {words}") for name in held if name in granted]
        shared = (name for name in held if name in direct & ours)
        whys += [(name, f"has MODIFY on {table}, as we have by it") for name in shared]
        for name, why in whys[:1]:
            by = "" if name == role.name else f" is a member of {name}, which"
            still = "" if role.can_login else " (it has no LOGIN, but a session may still be open)"
            can.append(f"{role.name}{by} {why}{still}")
    return Fence(table, tuple(sorted(direct - ours)), tuple(can)).trusting(trusted | {access.us})


def fences(
    tables: Sequence[str],
    steps: Sequence[Step],
    access: Access,
    keyspace: str,
    settings: Mapping[str, Mapping[str, str] | None],
    trusted: frozenset[str],
) -> tuple[Fence, ...]:
    """The fences around those of the tables that a section rebuilds; what it drops itself has none
    that could stand.
    """
    _, faults = patience(settings)
    faults += _ungrantable(steps)
    effects = [(step.rebuild, read(step.statement)) for step in steps]
    rebuilt = {e.name for rebuild, e in effects if rebuild and not rebuild.into}
    dropped = {e.name for _, e in effects if e.drops_table}
    alone = ("the file drops it itself, and only a rebuild is fenced",)
    made = (fence(access, keyspace, t, trusted) for t in tables if t in rebuilt | dropped)
    return tuple(
        replace(f, open=(*faults, *f.open, *(alone if f.table in dropped else ()))) for f in made
    )


def _ungrantable(steps: Sequence[Step]) -> list[str]:
    """Return what in a section would be undone by its fence, or undo it, a line each."""
    words = [[token.text.lower() for token in step.statement.tokens[:2]] for step in steps]
    rebuilds = [at for at, step in enumerate(steps) if step.rebuild]
    before = words[: max(rebuilds, default=0)]
    found = []
    if any(first == "revoke" for first, *_ in words):
        found.append("the revision itself revokes, and its fence would grant that again")
    if any(two[0] == "grant" or two[1:] in (["role"], ["user"]) for two in before):
        found.append("the revision itself changes roles or grants in front of a rebuild")
    return found


def is_up(operation: Operation) -> bool:
    """Return whether an operation is part of putting a fence up."""
    return isinstance(operation, Run) and operation.fence == "up"


def taken_back(operation: Run) -> Run:
    """Return what grants again what part of a fence has revoked."""
    table, _, role = operation.text.removeprefix("REVOKE MODIFY ON TABLE ").partition(" FROM ")
    return replace(run(f"GRANT MODIFY ON TABLE {table} TO {role}"), fence="away")


def patience(settings: Mapping[str, Mapping[str, str] | None]) -> tuple[float, list[str]]:
    """Seconds from a REVOKE until no node lets a write through any more that it forbids; and what
    is in the way of knowing it, a line each.
    """
    longest, faults = 0.0, []
    for node, told in sorted(settings.items()):
        if told is None:
            what = "it is down, in another data centre than --local-dc, or this role may not read"
            where = "system_views.settings (of ScyllaDB: system.config)"
            faults.append(f"the settings of {node} can't be read: {what} {where}")
        elif not _asks(told):
            faults.append(f"{node} asks nobody for permissions (authorizer in its configuration)")
        else:
            # What a role is a member of, or was, is remembered apart from what it may do.
            cached = _seconds(told, _ROLES, unset="0") + _seconds(told, _PERMISSIONS)
            longest = max(longest, cached + _seconds(told, _WRITES))
    return longest + _MARGIN, faults


def _asks(settings: Mapping[str, str]) -> bool:
    """Return whether a node forbids anything; Cassandra 5.0 doesn't tell an authorizer that is
    unset.
    """
    name = settings.get("authorizer.class_name") or settings.get("authorizer") or "AllowAll"
    return "AllowAll" not in name and "Transitional" not in name


def _seconds(settings: Mapping[str, str], names: tuple[str, ...], unset: str = "10s") -> float:
    value = next((settings[name] for name in names if name in settings), unset)
    found = re.fullmatch(r"(\d+) ?(ms|s|m|h|d|)", value)
    return int(found[1]) * _UNITS[found[2]] if found else 10.0
