"""The settings and abilities of a server, as far as a plan may depend on them (core/preflight.py).

Read only for a plan that does. Settings are each node's own, so each is asked for its own; a node
that is down, in another data centre, or doesn't tell this role has none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from calldrop_migrate.cluster.catalog import Ask, Row
from calldrop_migrate.core.cql import literal
from calldrop_migrate.core.preflight import Placement, Server, Settings, as_text
from calldrop_migrate.engine.ports import Platform

# Answers one query on every node, by its address; None where that can't be asked.
AskEach = Callable[[str], Mapping[str, Sequence[Row] | None]]

SETTINGS = "SELECT name, value FROM system_views.settings"
SCYLLA_SETTINGS = "SELECT name, value FROM system.config"
FEATURES = tuple(f"SELECT supported_features FROM system.{t}" for t in ("local", "peers"))


def read(ask: Ask, ask_each: AskEach, platform: Platform, keyspaces: Collection[str]) -> Server:
    """The server, and how the rows of these keyspaces are placed, where they exist."""
    told = ask_each(SCYLLA_SETTINGS if platform.scylla else SETTINGS)
    settings = {address: settings_of(rows or ()) for address, rows in told.items()}
    server = Server(platform.scylla, platform.title, platform.racks, settings)
    if not platform.scylla:
        return server
    wheres = [f"WHERE keyspace_name = {literal(name)}" for name in keyspaces]
    local, peers, *found = ask(
        [
            *FEATURES,
            *(f"SELECT * FROM system_schema.keyspaces {where}" for where in wheres),
            *(f"SELECT initial_tablets FROM system_schema.scylla_keyspaces {w}" for w in wheres),
        ]
    )
    placed = zip(found[: len(wheres)], found[len(wheres) :], strict=True)
    return replace(
        server,
        features=features_of([*local, *peers]),
        keyspaces={row[0]["keyspace_name"]: placement(row[0], own) for row, own in placed if row},
    )


def settings_of(rows: Sequence[Row]) -> Settings | None:
    """A node's settings from the rows of its table; None where it has none."""
    return {row["name"]: as_text(row["value"]) for row in rows if row["value"] is not None} or None


def features_of(rows: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The features that all of these nodes have; one that has joined just now doesn't tell yet."""
    told = [set(text.split(",")) for row in rows if (text := row["supported_features"])]
    return frozenset(set.intersection(*told)) if told else frozenset()


def placement(row: Row, own: Sequence[Row]) -> Placement:
    """From a keyspace's row of system_schema.keyspaces, and that of .scylla_keyspaces, if any.

    Lists of racks are entries `DC:0`, `DC:1`, ... of `replication_v2`, since 2026.1.
    """
    newer = row.get("replication_v2") or {}
    return Placement(
        tablets=any(r["initial_tablets"] is not None for r in own),
        replication=row["replication"],
        rack_lists=frozenset(dc for dc, colon, _ in (k.rpartition(":") for k in newer) if colon),
    )
