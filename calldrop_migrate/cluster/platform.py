"""The kind of server, told by the tables that it has: asked once per connection. And the places
where the two kinds answer in different ways.

ScyllaDB calls itself 3.0.8 in system.local, so the release version tells nothing. It is ScyllaDB
when system has tables with "scylla" in their name; system_schema can be read by every role,
system.versions can't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from calldrop_migrate.engine.ports import Platform

TABLES_OF_SYSTEM = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system'"
TABLES_OF_SCHEMA = (
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system_schema'"
)
LOCAL = "SELECT cluster_name, data_center, rack, release_version, host_id FROM system.local"
PEERS = "SELECT peer, data_center, rack, host_id FROM system.peers"
SCYLLA_VERSION = "SELECT version FROM system.versions WHERE key = 'local'"


def is_scylla(tables: Iterable[str]) -> bool:
    """Return whether these tables of the keyspace `system`, or of `system_schema`, are
    ScyllaDB's.
    """
    return any("scylla" in name for name in tables)


def view_status(tables_of_system: Collection[str]) -> str:
    """The table that says which nodes have built a view.

    ScyllaDB keeps that in group 0 since 6.2. It is told by the table, not by the
    version: not every role may read that.
    """
    newer = "view_build_status_v2"
    return (
        f"system.{newer}" if newer in tables_of_system else "system_distributed.view_build_status"
    )


def of_roles(tables_of_system: Collection[str], name: str) -> str:
    """A table of the roles, or of what they may do; in ScyllaDB's group 0 since 6.0."""
    return f"system.{name}" if name in tables_of_system else f"system_auth.{name}"


def was_applied(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a conditional statement or batch was applied, from the rows that answer it.

    Nothing else in them can be relied on: ScyllaDB gives a row for each statement of a batch, with
    the old values or nulls, applied or not; Cassandra one, and values only if it wasn't.
    """
    return {row["[applied]"] for row in rows} == {True}


def describe(
    host: str,
    local: Mapping[str, Any],
    peers: Iterable[Mapping[str, Any]],
    *,
    scylla: bool,
    scylla_version: str = "",
) -> Platform:
    """The platform from the rows that LOCAL and PEERS gave."""
    known = [local, *(peer for peer in peers if peer["data_center"])]
    nodes = Counter(node["data_center"] for node in known)
    racks = Counter(dc for dc, _ in {(node["data_center"], node["rack"]) for node in known})
    return Platform(
        name="ScyllaDB" if scylla else "Cassandra",
        version=scylla_version if scylla else local["release_version"],
        cluster=local["cluster_name"],
        host=host,
        nodes=dict(sorted(nodes.items())),
        racks=dict(sorted(racks.items())),
    )
