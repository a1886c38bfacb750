"""Options of tables that ScyllaDB keeps in no column of their own: read, compared, described, set
back; and what no statement of the tool's can say keeps a table from being rebuilt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from calldrop_migrate.cluster.catalog import read as read_schema
from calldrop_migrate.cluster.catalog import refresh
from calldrop_migrate.core.comparing import diff
from calldrop_migrate.core.cql import split
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.declared import describe, options_hold
from calldrop_migrate.core.described import beyond
from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.names import BOOKKEEPING
from calldrop_migrate.core.operations import Run
from calldrop_migrate.core.options import shown
from calldrop_migrate.core.plan import Facts
from calldrop_migrate.core.restoring import restore
from calldrop_migrate.core.schema import Column, Schema, Table
from calldrop_migrate.errors import MigrationFileError
from tests.support.world import loaded

COLUMNS = (Column("k", "int", "partition_key", 0), Column("v", "bigint"))
ROW: dict[str, Any] = {"id": UUID(int=1), "comment": "", "extensions": {}}
GC = {"mode": "repair", "propagation_delay_in_seconds": "3600"}
CDC = {"enabled": "true", "preimage": "full", "ttl": "86400"}
TTL = {"system:ttl_attribute": "v"}
ON_VIEWS = {"system:synchronous_view_updates": "true"}


def packed(texts: dict[str, str]) -> bytes:
    """A map as ScyllaDB's serializer writes it."""
    words = [word.encode() for pair in texts.items() for word in pair]
    sized = b"".join(len(word).to_bytes(4, "little") + word for word in words)
    return len(texts).to_bytes(4, "little") + sized


def table(*, tablets: dict[str, str] | None = None, **extensions: Any) -> Table:
    """One as ScyllaDB shows it."""
    stored = {n: packed(v) if isinstance(v, dict) else v for n, v in extensions.items()}
    row = ROW | {"tablets": tablets, "extensions": stored}
    return Table("t", COLUMNS, tuple(shown(row)))


def schema(one: Table) -> Schema:
    return Schema("k", (("class", "N"),), (one,))


def drifted(before: Table, after: Table) -> list[str]:
    return diff(schema(before).comparable(), schema(after).comparable())


def test_an_extension_is_an_option_like_others() -> None:
    found = table(
        tombstone_gc=GC,
        cdc=CDC,
        per_partition_rate_limit={"max_reads_per_second": "100"},
        paxos_grace_seconds=(60).to_bytes(4, "little"),
        tablets={"min_tablet_count": "8"},
        scylla_tags=ON_VIEWS,
    )
    (statement,) = split(describe(found))
    again = read(statement).table
    assert again is not None
    assert again.comparable() == found.comparable()
    for option in (
        "tombstone_gc = {'mode': 'repair'}",
        "cdc = {'enabled': true, 'preimage': 'full'}",
        "per_partition_rate_limit = {'max_reads_per_second': 100}",
        "paxos_grace_seconds = 60",
        "tablets = {'min_tablet_count': 8}",
        "synchronous_updates = true",
    ):
        (statement,) = split(f"ALTER TABLE t WITH {option}")
        assert options_hold(read(statement).options, found), option


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (table(tombstone_gc=GC | {"mode": "timeout"}), "t: tombstone_gc mode: repair -> timeout"),
        (table(tombstone_gc=GC, cdc=CDC), "t: cdc: false -> {'enabled': 'true', "),
        (table(tombstone_gc=GC, tablets={"min_tablet_count": "8"}), "t: tablets min_tablet_count "),
        (table(tombstone_gc=GC, scylla_tags=TTL), "t: extensions system:ttl_attribute added: v"),
        (table(tombstone_gc=GC, paxos_grace_seconds=bytes(4)), "t: paxos_grace_seconds: 864000 -"),
        (table(tombstone_gc=GC, later=b"\1"), "t: extensions later added: 0x01"),
    ],
)
def test_each_is_drift(changed: Table, line: str) -> None:
    there = table(tombstone_gc=GC)
    (found,) = drifted(there, changed)
    assert found.startswith(line)
    assert len(drifted(changed, there)) == 1


def test_what_is_at_its_default_is_no_drift() -> None:
    off = table(
        cdc=CDC | {"enabled": "false"},
        scylla_tags={},
        tablets={},
        per_partition_rate_limit={},
        paxos_grace_seconds=(864000).to_bytes(4, "little"),
    )
    assert drifted(table(), off) == drifted(off, table()) == []


def test_set_back_as_recorded() -> None:
    recorded = schema(table()).comparable()
    operations, told = restore(recorded, schema(table(cdc=CDC, scylla_tags=TTL)))
    assert [op.statement.text for op in operations if isinstance(op, Run)] == [
        "ALTER TABLE t WITH cdc = {'enabled': 'false'}"
    ]
    assert told == ["t: can't be put back: system:ttl_attribute is gone, was: v"]


FIRST = "-- migrate:up\nCREATE TABLE t (k int PRIMARY KEY, v bigint);\n-- migrate:irreversible x\n"
REBUILD = (
    "-- migrate:up\n-- migrate:rebuild\nCREATE TABLE t (k int, v bigint, PRIMARY KEY ((k, v)));\n"
    "-- migrate:irreversible x\n"
)


# As Cassandra 6.0-alpha2 describes one; options that say nothing here are left out.
DESCRIBED = """CREATE TABLE y.t (
    k int PRIMARY KEY,
    "M" frozen<map<int, text>> CHECK NOT NULL,
    check int,
    v bigint MASKED WITH system.mask_inner(1, null) CHECK v > 0 AND v < 9
) WITH additional_write_policy = '99p'
    AND comment = 'tab'
    AND fast_path = 'keyspace'
    AND transactional_mode = 'off'
    AND speculative_retry = '99p';
COMMENT ON TABLE y.t IS 'tab';
COMMENT ON COLUMN y.t.v IS 'it''s';
SECURITY LABEL ON COLUMN y.t.v IS 'sec';"""


def test_what_cassandra_tells_in_describe_alone() -> None:
    assert beyond(DESCRIBED) == (
        "t",
        {
            'CHECK of "M"': "NOT NULL",
            "CHECK of v": "v > 0 AND v < 9",
            "COMMENT ON COLUMN y.t.v": "it's",
            "SECURITY LABEL ON COLUMN y.t.v": "sec",
        },
    )
    full = DESCRIBED.replace("'off'", "'full'")
    assert beyond(full)[1]["transactional_mode"] == "full"


def test_a_table_with_a_constraint_is_not_rebuilt() -> None:
    row = {"type": "table", "create_statement": DESCRIBED}
    one = ROW | {"table_name": "t", "fast_path": None}
    answers: dict[str, list[Mapping[str, Any]]] = {
        "DESCRIBE": [row],
        "keyspaces ": [{"replication": {"class": "N"}}],
        "tables ": [one],
    }
    asked: list[str] = []

    def ask(queries: Sequence[str]) -> list[list[Mapping[str, Any]]]:
        asked.extend(queries)
        return [next((a for w, a in answers.items() if w in query), []) for query in queries]

    for found in (
        read_schema(ask, "y", {"tables"}),
        refresh(ask, Schema("y"), [("table", "t")], {"tables"}),
    ):
        (there,) = found.tables
        assert there.beyond["CHECK of v"] == "v > 0 AND v < 9"
    assert [query for query in asked if "DESC" in query] == [
        "DESCRIBE KEYSPACE y",
        "DESCRIBE TABLE y.t",
    ]
    (_, migration) = loaded(FIRST, REBUILD)
    there = replace(there, columns=COLUMNS)
    with pytest.raises(MigrationFileError, match="ALTER TABLE t ALTER column DROP CHECK;"):
        expand(migration, "up", UUID(int=1), schema(there), Facts())


def test_a_rebuild_tells_options_that_end_with_the_table() -> None:
    (_, migration) = loaded(FIRST, REBUILD)
    there = schema(table(tablets={"min_tablet_count": "8"}, cdc=CDC))
    there = there.put(replace(table(), name=BOOKKEEPING[1]))  # which shows what a new one gets
    attempt = expand(migration, "up", UUID(int=1), there, Facts())
    assert "t: tablets min_tablet_count is gone, was: 8" in attempt.notes
    assert any(note.startswith("t: cdc: {'enabled': 'true', ") for note in attempt.notes)


def test_a_table_with_a_ttl_column_is_not_rebuilt() -> None:
    (_, migration) = loaded(FIRST, REBUILD)
    with pytest.raises(MigrationFileError) as caught:
        expand(migration, "up", UUID(int=1), schema(table(scylla_tags=TTL)), Facts())
    (fault,) = caught.value.faults
    assert str(fault.place) == "0002_x.cql:2:1"
    assert "{'system:ttl_attribute': 'v'}" in fault.message
    assert "ALTER TABLE t TTL NULL;" in fault.hint
    assert "calldrop-migrate repair --accept" in fault.hint
