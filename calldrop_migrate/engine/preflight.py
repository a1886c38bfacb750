"""Asks a server for what a plan depends on, and nothing where it depends on nothing."""

from __future__ import annotations

from calldrop_migrate.core.demands import demands
from calldrop_migrate.core.preflight import Finding, Placement, Places, examine
from calldrop_migrate.engine.keyspace import missing_tables
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.engine.review import Review, Wishes


def findings(database: Database, review: Review, wishes: Wishes) -> tuple[Finding, ...]:
    """Return what a run of this plan would meet, as far as the server tells it beforehand."""
    if review.empty:
        return ()
    asked = demands(review.plan)
    made = review.plan.keyspace is not None
    first = bool(missing_tables(review.schema))
    found: list[Finding] = []
    if not database.platform.scylla:
        if made and wishes.tablets:
            message = "tablets = true means nothing here: Cassandra has no tablets"
            found.append(Finding("warning", message))
        if all(demand.kind not in ("view", "mask") for demand in asked):
            return tuple(found)
    elif not (asked or made or first):
        return ()
    server = database.server({database.keyspace, database.bookkeeping})
    new = server.made(wishes.replication, wishes.tablets)
    data = own = server.keyspaces.get(database.keyspace, new)
    if database.bookkeeping != database.keyspace:
        own = server.keyspaces.get(database.bookkeeping, Placement(False, exists=False))
    places = Places(database.keyspace, data, own if first else None, wishes.tablets)
    return (*found, *examine(asked, places, server))
