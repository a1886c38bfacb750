"""What must hold of a cluster behind a run, and behind a whole schedule.

Each row is there once, with its cells and their write times; the schema is the one of its revision;
the history is true. A run that ended has said in the journal what came of its statements, and gave
the lease back. The same command, run again, ends with 0, if need be behind the command that its
message names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from calldrop_migrate.core.names import is_internal
from calldrop_migrate.errors import DriftError, LeaseHeld
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.database import deliver, let_pass
from tests.support.simulator.faults import Fate, Schedule, Sent
from tests.support.simulator.lines import DELAYED, STANDS, STRAYS, Journey, Line, Part
from tests.support.simulator.runs import KEYSPACE, Ended, Operator, history, rows
from tests.support.simulator.storage import Refusal

READS = 40  # seconds that somebody takes to read what a command said
Rows = Mapping[str, list[tuple[object, ...]]]
_ASIDE = re.compile(r"(__aside_.*_(?:up|down))_\d+$")
SETTLES = 45  # seconds (docs/protocol.md 3): by then all has arrived that was on its way
PATIENCE = 6  # commands until all must have come to an end
_JOURNAL = "migration_journal"
NOTHING = 2  # the exit code of `abort` where nothing is half-way


class Broken(AssertionError):
    """A schedule after which something doesn't hold; its text has the line that makes it again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What somebody has in a keyspace: tables' rows, and what tables and views are."""

    rows: Rows
    shapes: Mapping[str, object]


class Explored(Protocol):
    """What is judged: see `Explorer`."""

    journey: Journey

    @property
    def wanted(self) -> Mapping[int, Kept]:
        """See `Explorer`."""

    @property
    def goal(self) -> int:
        """See `Explorer`."""

    def after(self, parts: Sequence[Part]) -> Cluster:
        """See `Explorer`."""

    def step(self, cluster: Cluster, schedule: Schedule | None = None) -> Ended:
        """See `Explorer`."""

    def next(self, cluster: Cluster, schedule: Schedule | None = None) -> Ended:
        """See `Explorer`."""

    def who(self, cluster: Cluster) -> Operator:
        """See `Explorer`."""

    def is_nothing(self, part: Part) -> bool:
        """See `Explorer`."""


def judge(on: Explored, line: Line) -> None:
    """Carry out a schedule.

    Raises:
        Broken: something doesn't hold behind it.
    """
    try:
        if [part.what for part in line.parts] == [Fate.HELD] and on.is_nothing(line.parts[0]):
            return
        _settle(on, on.after(line.parts), line.parts)
    except Broken as broken:
        raise Broken(f"{line}\n{broken}") from None


def _settle(on: Explored, cluster: Cluster, parts: Sequence[Part]) -> None:
    said = _end(on, cluster)
    if any(part.what in (DELAYED, STRAYS) for part in parts):
        let_pass(cluster, SETTLES)  # all arrives that was on its way
        said += _end(on, cluster)
    reached = on.goal
    if on.journey.abort and not on.journey.again:
        reached = max(
            (n for n, state in history(cluster).items() if state == "SUCCEEDED"), default=0
        )
    late = any(part.what in (Fate.HELD, STANDS) for part in parts)
    if late and on.journey.keep and kept(cluster).rows != on.wanted[reached].rows:
        # A DROP may have landed behind the run: the second copy has the rows.
        said.append(on.who(cluster).restore())
    told = late and reached != on.goal and on.step(cluster.copy()).code == DriftError.exit_code
    see_wanted(cluster, on.wanted, reached, said, drift_is_told=told)


def _end(on: Explored, cluster: Cluster) -> list[Ended]:
    """Run the same command, and what its message names, until it ends."""
    aborts = on.journey.abort and not on.journey.again

    def run(cluster: Cluster) -> Ended:
        schedule = Schedule()
        ended = (on.next if aborts else on.step)(cluster, schedule)
        see_waited(cluster, schedule.all)
        return ended

    said = [run(cluster)]
    while said[-1].code and len(said) < PATIENCE:
        if aborts and said[-1].code == NOTHING:
            return said
        if len(said) > 1 and said[-1] == said[-2]:
            said.append(_follow(on, cluster, said[-1]))
            if aborts and not said[-1].code:
                return said
        if cluster.behind():
            let_pass(cluster, READS)
        said.append(run(cluster))
    if said[-1].code:
        raise Broken(f"neither the same command nor what its message names ends it: {said}")
    return said


def _follow(on: Explored, cluster: Cluster, ended: Ended) -> Ended:
    """Run the first command that a message names."""
    who = on.who(cluster)
    match named(ended.hint):
        case ["repair", *_]:
            return who.restore()
        case ["abort"]:
            return who.abort()
        case ["up", target]:
            return who.up(target)
        case ["down", target]:
            return who.down(target)
    return ended


def named(hint: str) -> list[str]:
    """Return the first command that a message names and that goes on; none if there is none."""
    for command, rest in re.findall(r"calldrop-migrate ([a-z]+)(.*)", hint):
        match command, rest.split():
            case "repair", ["--restore", *_]:
                return ["repair", "--restore"]
            case "abort", _:
                return ["abort"]
            case "up" | "down" as way, [target]:
                return [way, target]
    return []


# -- what must hold --------------------------------------------------------------------------------


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


def see_finished(cluster: Cluster, took: float) -> None:
    """See that a run without faults behind another one waited for nobody, and gave its lease back.

    Args:
        took: seconds.

    Raises:
        Broken: it isn't so.
    """
    if took > SETTLES:
        raise Broken(f"a run behind one that ended took {took:.0f} s: it waited for it")
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
