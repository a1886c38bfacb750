"""Upkeep on the simulated cluster: unlock, stamp, accept, adopt, an edited file, a copy that goes
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest

from calldrop_migrate.core import folder
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.foreign import Foreign
from calldrop_migrate.engine.adopting import Project
from tests.support.places import PROJECT
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.exploring import writes
from tests.support.simulator.faults import Fate, Schedule
from tests.support.simulator.runs import KEYSPACE, KILLED, Ended, Operator, history, packaged
from tests.support.simulator.together import together

TABLE = f"{KEYSPACE}.database_migrations"
JOURNAL = f"SELECT event, error FROM {KEYSPACE}.migration_journal WHERE keyspace_name = ?"
THEN = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
HELD, DRIFT = 6, 5


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def edited(file: str, old: str, new: str) -> Sequence[Migration]:
    """The packaged files, one of them changed."""
    files = {path.name: path.read_text("utf-8") for path in (PROJECT / "migrations").glob("*.cql")}
    (name,) = (name for name in files if name.startswith(file))
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    return folder.load({name: text.encode() for name, text in files.items()})


def events(cluster: Cluster) -> list[str]:
    rows = cluster.query(JOURNAL, (KEYSPACE,), KEYSPACE)
    return [row["event"] for row in rows if row["event"]]


def test_a_lease_that_is_taken_away_is_free(cluster: Cluster) -> None:
    who = Operator(cluster, packaged(), alive=True)
    assert who.up("1").code == 0
    assert who.up("2", Schedule({5: Fate.KILLED})).code == KILLED
    assert who.up("2").code == HELD
    assert who.unlock().code == 0
    assert who.up("2").code == 0


def test_what_is_stamped_is_recorded(cluster: Cluster) -> None:
    who = Operator(cluster, packaged())
    assert who.up("1").code == 0
    for table in ("database_migrations", "migration_journal", "migration_progress"):
        cluster.change_schema(f"DROP TABLE {table}", KEYSPACE)
    assert who.stamp("1").code == 0
    assert history(cluster) == {1: "SUCCEEDED"}
    for change in ("ADD sneaked int", "DROP sneaked"):
        cluster.change_schema(f"ALTER TABLE call_records {change}", KEYSPACE)
        ended = who.up("2")
        assert ended.code == DRIFT
        assert "call_records: column sneaked" in ended.said
        assert who.accept().code == 0
    assert who.up("2").code == 0


def test_a_stamp_that_lost_its_lease_goes_no_further(cluster: Cluster) -> None:
    first = Operator(cluster, packaged(), alive=True)
    assert first.up("1").code == 0
    cluster.change_schema(f"DROP TABLE {TABLE}", KEYSPACE)
    marking = Schedule()
    assert Operator(cluster.copy(), packaged()).stamp("1", marking).code == 0
    (marks,) = [n for n, sent in enumerate(marking.all, 1) if "SUCCEEDED" in sent.text]

    def second(schedule: Schedule) -> Ended:
        cluster.wait(120)
        return Operator(cluster, packaged(), alive=True).stamp("1", schedule)

    ends = together(partial(first.stamp, "1"), second, marks - 1, 10**6)
    assert [ended.code for ended in ends] == [HELD, 0]
    assert history(cluster) == {1: "SUCCEEDED"}


def test_a_file_that_is_accepted_is_recorded_as_it_is_now(cluster: Cluster) -> None:
    assert Operator(cluster, packaged()).up("2").code == 0
    who = Operator(cluster, edited("0001", "-- migrate:up\n", "-- migrate:up\n-- more\n"))
    assert who.up("2").code == 0
    assert who.accept().code == 0
    rows = cluster.query(f"SELECT content FROM {KEYSPACE}.database_migrations", (), KEYSPACE)
    assert sum("-- more" in row["content"] for row in rows) == 1


def test_what_is_copied_is_not_copied_again(cluster: Cluster) -> None:
    who = Operator(cluster, packaged())
    assert who.up("1").code == 0
    for cql, values in writes():
        cluster.write(cql, values, KEYSPACE)
    whole = Schedule()
    assert Operator(cluster.copy(), packaged()).up("2", whole).code == 0
    at = next(n for n, sent in enumerate(whole.all, 1) if "migration_progress" in sent.text)
    before, behind = Schedule({at + 1: Fate.KILLED}), Schedule()
    assert who.up("2", before).code == KILLED
    assert who.up("2", behind).code == 0
    copied = [sum(sent.kind == "copy" for sent in each.all) for each in (whole, before, behind)]
    assert copied[0] == copied[1] + copied[2]
    assert copied[1]


def test_what_never_arrived_and_was_changed_in_its_file_is_over(cluster: Cluster) -> None:
    assert Operator(cluster, packaged()).up("3").code == 0
    whole = Schedule()
    assert Operator(cluster.copy(), packaged()).up("4", whole).code == 0
    at = next(n for n, sent in enumerate(whole.all, 1) if "MATERIALIZED" in sent.text)
    assert Operator(cluster, packaged()).up("4", Schedule({at: Fate.KILLED})).code == KILLED
    changed = edited("0004", "        source_cell_tower_id,\n", "")
    assert Operator(cluster, changed).up("4").code == 0
    assert events(cluster)[:4] == ["applied", "before", "applied", "before"]
    assert "refused" in events(cluster)


def test_a_project_of_another_tool_is_taken_over(cluster: Cluster) -> None:
    assert Operator(cluster, packaged()).up("2").code == 0
    cluster.change_schema(f"DROP TABLE {TABLE}", KEYSPACE)
    cluster.change_schema("DROP TABLE migration_journal", KEYSPACE)
    cluster.change_schema(
        f"CREATE TABLE {TABLE} (id uuid PRIMARY KEY, version int, name text, content text,"
        " checksum blob, state text, applied_at timestamp)",
        KEYSPACE,
    )
    theirs = [Foreign(m.number, m.file, m.text, m.checksum) for m in packaged()[:2]]
    for each in theirs:
        cluster.write(
            f"INSERT INTO {TABLE} (id, version, name, content, checksum, state, applied_at)"
            " VALUES (?, ?, ?, ?, ?, 'SUCCEEDED', ?)",
            (uuid4(), each.version, each.name, each.text, each.checksum, THEN),
            KEYSPACE,
        )
    who = Operator(cluster, packaged())
    assert who.adopt(Project(theirs, "database_migrations")).code == 0
    assert history(cluster) == {1: "SUCCEEDED", 2: "SUCCEEDED"}
    assert len(cluster.query(f"SELECT id FROM {TABLE}", (), KEYSPACE)) == len(theirs)
    assert events(cluster) == ["adopted"] * len(theirs)
    assert who.up("3").code == 0
