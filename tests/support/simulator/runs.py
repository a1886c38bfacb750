"""One command as the command line would run it, on a simulated cluster, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from uuid import UUID

from calldrop_migrate.core import folder
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.names import BOOKKEEPING
from calldrop_migrate.engine.adopting import Project
from calldrop_migrate.engine.jobs import Job, Jobs
from calldrop_migrate.engine.journal import Journal, has_journal
from calldrop_migrate.engine.lease import Clock, Holder, Timing
from calldrop_migrate.engine.review import Wishes
from calldrop_migrate.engine.runner import Runner, Tools
from calldrop_migrate.errors import CalldropError
from tests.support.simulator.cells import Cell
from tests.support.simulator.cluster import BEGIN, PAXOS, Cluster
from tests.support.simulator.database import SimulatedDatabase, let_pass
from tests.support.simulator.faults import Killed, Schedule
from tests.support.simulator.ids import take_from
from tests.support.simulator.remembered import remember

KEYSPACE = "calldrop"
KILLED = -9
REPLICATION = {"class": "NetworkTopologyStrategy", "datacenter1": "1"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, and what it said. KILLED is no exit code."""

    code: int
    said: str = ""
    hint: str = ""
    state: str = ""


@dataclass(slots=True)
class Operator:
    """Somebody who types commands against one cluster.

    Attributes:
        alive: whether an earlier process of this machine counts as alive: then its lease isn't
            taken over at once.
        wait: seconds that it waits for a lease that somebody else holds.
        skew: seconds by which the clock of this machine is ahead of the servers'.
    """

    cluster: Cluster
    migrations: Sequence[Migration]
    set_aside: bool = True
    discard: bool = False
    keep_shadow: float = 0
    alive: bool = False
    wait: float = 0
    skew: float = 0
    timing: Timing = field(default_factory=Timing)

    def up(self, target: str = "head", schedule: Schedule | None = None) -> Ended:
        """`up TARGET --yes --outage-accepted`."""
        return self._run(lambda jobs: jobs.migrate("up", target), schedule)

    def down(self, target: str, schedule: Schedule | None = None) -> Ended:
        """`down TARGET --yes --outage-accepted`."""
        return self._run(lambda jobs: jobs.migrate("down", target), schedule)

    def abort(self, schedule: Schedule | None = None) -> Ended:
        """`abort --yes`."""
        return self._run(lambda jobs: jobs.abort(discard=self.discard), schedule)

    def restore(self, schedule: Schedule | None = None) -> Ended:
        """`repair --restore --yes`."""
        return self._run(lambda jobs: jobs.restore(), schedule)

    def accept(self, schedule: Schedule | None = None) -> Ended:
        """`repair --accept --yes`."""
        return self._run(lambda jobs: jobs.accept(), schedule)

    def stamp(self, target: str = "", schedule: Schedule | None = None) -> Ended:
        """`stamp TARGET --yes`."""
        return self._run(lambda jobs: jobs.stamp(target), schedule)

    def adopt(self, project: Project, schedule: Schedule | None = None) -> Ended:
        """`adopt --yes`."""
        return self._run(lambda jobs: jobs.adopt(project), schedule)

    def clean(self, schedule: Schedule | None = None) -> Ended:
        """`clean --yes`."""
        return self._run(lambda jobs: jobs.clean(discard=self.discard), schedule)

    def unlock(self, schedule: Schedule | None = None) -> Ended:
        """`unlock --yes --token TOKEN`, with the token of whoever holds the lease."""
        database, tools = self._begin(schedule or Schedule())
        log = Journal(database, tools.clock, tools.timing, tools.holder, tools.is_dead)
        try:
            owner = log.read().owner if has_journal(database.schema()) else None
            if owner is not None:
                log.take_away(UUID(str(owner)))
        except Killed:
            return Ended(KILLED)
        except CalldropError as error:
            return Ended(error.exit_code, error.message, error.hint, error.state)
        return Ended(0)

    def _begin(self, schedule: Schedule) -> tuple[SimulatedDatabase, Tools]:
        take_from(self.cluster)
        remember()
        cluster, alive, skew = self.cluster, self.alive, self.skew
        database = SimulatedDatabase(cluster, KEYSPACE, schedule)
        database.skew = skew
        clock = Clock(
            now=lambda: datetime.fromtimestamp(cluster.now + skew, UTC),
            monotonic=lambda: cluster.now,
            sleep=partial(let_pass, cluster),
        )
        tools = Tools(
            clock=clock,
            timing=self.timing,
            holder=Holder("somebody", "here", "boot", "ns", 7, "then", "calldrop-migrate"),
            is_dead=lambda holder: not alive,
            emit=lambda news: None,
            interrupted=lambda: False,
            at=schedule.at,
        )
        return database, tools

    def _run(self, job: Callable[[Jobs], Job], schedule: Schedule | None) -> Ended:
        database, tools = self._begin(schedule or Schedule())
        wishes = Wishes(
            REPLICATION,
            set_aside=self.set_aside,
            discard=self.discard,
            outage_accepted=True,
            keep_shadow=self.keep_shadow,
        )
        try:
            runner = Runner(database, self.migrations, wishes, tools)
            asked = job(runner.jobs)
            review = runner.review(asked, self.wait)
            runner.run(asked, review, ask_again=False, wait=self.wait)
        except Killed:
            return Ended(KILLED)
        except CalldropError as error:
            return Ended(error.exit_code, error.message, error.hint, error.state)
        return Ended(0)


@cache
def packaged() -> tuple[Migration, ...]:
    """Return the four CallDrop revisions."""
    files = Path(__file__).parents[3] / "migrations"
    return folder.load({f.name: f.read_bytes() for f in sorted(files.glob("*.cql"))})


def rows(cluster: Cluster) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of each table that isn't the tool's own bookkeeping: keys, and cells with
    their write times and the hour in which they end.
    """
    found: dict[str, list[tuple[object, ...]]] = {}
    for table in cluster.schema(KEYSPACE).tables:
        if table.base or table.name in BOOKKEEPING or table.name.endswith(PAXOS):
            continue
        found[table.name] = sorted(
            (*zip(table.key, (*row.partition, *(row.clustering or ())), strict=True), *its)
            for row in cluster.rows(table).rows(table, cluster.now)
            for its in [sorted((name, *_told(cell)) for name, cell in row.cells.items())]
        )
    return found


def _told(cell: Cell) -> tuple[object, int, int]:
    """Return what must be the same of a cell: a copy rounds what is left of its life to seconds."""
    hour = 0 if cell.expires is None else int(cell.expires - BEGIN) // 3600
    return cell.value, cell.written, hour


def history(cluster: Cluster) -> Mapping[int, str]:
    """Return the state of each revision that the history knows."""
    rows = cluster.query(f"SELECT version, state FROM {KEYSPACE}.database_migrations", (), KEYSPACE)
    return {row["version"]: row["state"] for row in rows}
