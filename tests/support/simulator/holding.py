"""Checks of a cluster behind a run.

Each row is there once, with its cells and their write times; the schema is the one of its revision;
the history is true. A run that ended has said in the journal what came of its schema changes, and
gave the lease back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calldrop_migrate.core.names import is_internal
from calldrop_migrate.errors import LeaseHeld
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.database import deliver
from tests.support.simulator.faults import Schedule, Sent
from tests.support.simulator.runs import KEYSPACE, Ended, history, rows
from tests.support.simulator.storage import Refusal

SETTLES = 45  # seconds (docs/protocol.md 3): by then all has arrived that was on its way
Rows = Mapping[str, list[tuple[object, ...]]]
_ASIDE = re.compile(r"(__aside_.*_(?:up|down))_\d+$")
_JOURNAL = "migration_journal"


class Broken(AssertionError):
    """A schedule after which something doesn't hold; its text has the line that makes it again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Somebody's rows in a keyspace, and the shapes of tables and views."""

    rows: Rows
    shapes: Mapping[str, object]


def see_wanted(
    cluster: Cluster,
    wanted: Mapping[int, Kept],
    reached: int,
    said: Sequence[Ended],
    *,
    drift_is_told: bool = False,
) -> None:
    """See that all is there as it has to be at a revision.

    Args:
        drift_is_told: the next command says that the schema isn't as it was recorded.

    Raises:
        Broken: it isn't.
    """
    known = history(cluster)
    if known != dict.fromkeys(range(1, reached + 1), "SUCCEEDED") or reached not in wanted:
        raise Broken(f"history: {known}\n{said}")
    found = kept(cluster)
    if found.rows != wanted[reached].rows:
        raise Broken(f"rows: {found.rows}\nwanted: {wanted[reached].rows}\n{said}")
    if found.shapes != wanted[reached].shapes and not drift_is_told:
        raise Broken(f"schema: {found.shapes}\nwanted: {wanted[reached].shapes}\n{said}")


def see_waited_for_nobody(took: float) -> None:
    """See that a run without faults behind one that ended took no more than its seconds.

    Raises:
        Broken: it took longer.
    """
    if took > SETTLES:
        raise Broken(f"a run behind one that ended took {took:.0f} s: it waited for it")


def see_given_back(cluster: Cluster) -> None:
    """See that a run without faults gave its lease back, and said that it was over.

    Raises:
        Broken: it didn't.
    """
    lease = cluster.query(
        f"SELECT owner, lease_epoch, released_epoch, finished_epoch FROM {KEYSPACE}.{_JOURNAL} "
        "WHERE keyspace_name = ? LIMIT 1",
        (KEYSPACE,),
        KEYSPACE,
    )[0]
    epoch = lease["lease_epoch"]
    if lease["owner"] or not epoch == lease["released_epoch"] == lease["finished_epoch"]:
        raise Broken(f"a run that ended left its lease so: {lease}")


def see_said(cluster: Cluster, schedule: Schedule, number: int) -> None:
    """See that a run that ended by itself said in the journal what came of its schema changes,
    where one of them was hindered.

    Raises:
        Broken: it didn't.
    """
    if number > len(schedule.all) or schedule.all[number - 1].kind != "schema":
        return
    newest = cluster.query(
        f"SELECT event, statement FROM {KEYSPACE}.{_JOURNAL} WHERE keyspace_name = ? LIMIT 1",
        (KEYSPACE,),
        KEYSPACE,
    )
    if newest and newest[0]["event"] == "before":
        raise Broken(f"the journal doesn't say what came of: {newest[0]['statement']}")


def see_withdrawn(cluster: Cluster, ended: Ended) -> None:
    """See that nothing is half-way behind a refusal that says that nothing was done.

    Raises:
        Broken: something is.
    """
    if "; nothing of" in ended.state and "IN_PROGRESS" in history(cluster).values():
        raise Broken(f"{ended}\nhistory: {history(cluster)}")


def see_met(ended: Ended, *, unchanged: bool) -> None:
    """See that a command that was typed while another one ran was turned away.

    Raises:
        Broken: it wasn't, or changed something.
    """
    if ended.code != LeaseHeld.exit_code or not unchanged:
        raise Broken(f"typed while another run was at work: {ended}, changed: {not unchanged}")


def see_waited(cluster: Cluster, sent: Sequence[Sent]) -> None:
    """See that nothing but bookkeeping is sent while a node doesn't show the schema.

    Raises:
        Broken: something was.
    """
    went_on = [each.text for each in sent if each.kind != "rows"]
    if cluster.behind() and went_on:
        raise Broken(f"sent although a node lags: {went_on}")


def changes(cluster: Cluster, sent: Sent) -> bool:
    """Return whether a statement changes anything when it arrives now."""
    after = cluster.copy()
    try:
        deliver(after, sent)
    except Refusal:
        return False
    return differ(cluster, after)


def differ(before: Cluster, after: Cluster) -> bool:
    """Return whether two states differ in schemas or rows; one comes of the other."""
    return after.schemas != before.schemas or any(
        rows is not before.data.get(table) and rows != before.data.get(table)
        for table, rows in after.data.items()
    )


def kept(cluster: Cluster) -> Kept:
    """Return what somebody has."""
    shapes = cluster.schema(KEYSPACE).comparable()
    mine = {name: shape for name, shape in shapes.items() if not is_internal(name.split()[-1])}
    return Kept(kept_rows(rows(cluster)), mine)


def kept_rows(tables: Rows) -> Rows:
    """Return those rows that are somebody's. Second copies are left out, which are named anew in
    each run, and tables of the tool's own that are empty: they hold nothing of anybody. What is set
    aside is one table, whatever number an attempt gave it.
    """
    found: dict[str, list[tuple[object, ...]]] = {}
    for name, its in tables.items():
        if "__0002_" not in name and (its or not is_internal(name)):
            found.setdefault(_ASIDE.sub(r"\1", name), []).extend(its)
    return found
