"""The four revisions against the document that the project implements: its Final Schema, its
queries, its numbers.

docs/calldrop-data-model.md is that document, as the user wrote it; these tests read it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cluster import Session

from calldrop_migrate.core.cql import Statement, split
from calldrop_migrate.core.ddl import read
from calldrop_migrate.core.options import comparable_compaction
from calldrop_migrate.core.schema import Table
from tests.support.cli import Cli

DOCS = Path(__file__).parent.parent.parent / "docs"
DEMO_SEED = "507"


def blocks(language: str, heading: str) -> list[str]:
    """The code blocks of a language below a heading of the document, up to the next heading of its
    level.
    """
    text = (DOCS / "calldrop-data-model.md").read_text(encoding="utf-8")
    level = heading.split(" ", 1)[0]
    section = text.partition(f"\n{heading}\n")[2]
    section = re.split(rf"\n#{{1,{len(level)}}} ", section)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def declared(keyword: str) -> Table:
    """The table or view of the Final Schema."""
    statements = [s for block in blocks("cql", "### Final Schema") for s in split(block)]
    tables = [
        effect.table for effect in map(read, statements) if effect.kind == keyword and effect.table
    ]
    assert len(tables) == 1
    return tables[0]


def rows(client: Session, cql: str, *values: str) -> list[Any]:
    return list(client.execute(cql, values))


def test_head_is_the_final_schema(cli: Cli, client: Session) -> None:
    """Column by column, and in each option that the document states, as an independent client reads
    it.
    """
    assert cli("up").code == 0
    table, view = declared("table"), declared("view")
    check_columns(client, cli.keyspace, table)
    check_columns(client, cli.keyspace, view)
    check_options(client, cli.keyspace, table)
    check_conditions(client, cli.keyspace, view)


def check_columns(client: Session, keyspace: str, document: Table) -> None:
    found = rows(
        client,
        "SELECT * FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s",
        keyspace,
        document.name,
    )
    live = {row["column_name"]: row for row in found}
    assert set(live) == {column.name for column in document.columns}
    assert len(live) == 8
    for column in document.columns:
        have = live[column.name]
        assert have["kind"] == column.kind
        if column.is_key:
            assert have["position"] == column.position
        if column.kind == "clustering":
            assert have["clustering_order"].lower() == column.order  # ScyllaDB's is in capitals
        if not document.base:  # the document gives a view's columns without types
            assert have["type"] == column.type


def check_options(client: Session, keyspace: str, document: Table) -> None:
    (live,) = rows(
        client,
        "SELECT * FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s",
        keyspace,
        document.name,
    )
    assert {name for name, _ in document.options} == {"compaction", "default_time_to_live"}
    assert live["default_time_to_live"] == int(document.option("default_time_to_live")) == 7776000
    wanted = comparable_compaction(document.option("compaction"))
    have = {k: v.rpartition(".")[2] for k, v in live["compaction"].items()}
    assert wanted == {name: have[name] for name in wanted}
    assert wanted["class"] == "TimeWindowCompactionStrategy"


def check_conditions(client: Session, keyspace: str, document: Table) -> None:
    (live,) = rows(
        client,
        "SELECT * FROM system_schema.views WHERE keyspace_name = %s AND view_name = %s",
        keyspace,
        document.name,
    )
    conditions = {c.strip().lower() for c in live["where_clause"].split("AND")}
    assert live["base_table_name"] == document.base == "call_records"
    assert conditions == {f"{name} is not null" for name in document.key}


def test_the_keyspace_of_the_document(client: Session) -> None:
    """The default replication, where no profile says otherwise, is the document's."""
    from calldrop_migrate.config import DEFAULT_REPLICATION

    (create,) = (
        s
        for block in blocks("cql", "### Final Schema")
        for s in split(block)
        if "KEYSPACE" in s.text
    )
    stated = dict(re.findall(r"'(\w+)':\s*'?(\w+)'?", create.text))
    assert stated == DEFAULT_REPLICATION


def queries() -> list[tuple[int, Statement]]:
    """Each query of docs/queries.cql with the revision that it needs."""
    text = (DOCS / "queries.cql").read_text(encoding="utf-8")
    found = []
    for statement in split(text, "queries.cql"):
        before = text.splitlines()[: statement.place.line - 1]
        needs = next(
            m[1] for line in reversed(before) if (m := re.match(r"-- needs (\d{4})", line))
        )
        found.append((int(needs), statement))
    return found


def test_every_query_runs_from_the_revision_it_names(cli: Cli, client: Session) -> None:
    for revision in range(1, 5):
        assert cli("up", str(revision), "--yes", "--outage-accepted").code == 0
        client.set_keyspace(cli.keyspace)
        for needs, statement in queries():
            if needs <= revision:
                client.execute(statement.text)
            elif needs == revision + 1:
                with pytest.raises(InvalidRequest):
                    client.execute(statement.text)


def test_the_documents_queries_are_all_there() -> None:
    stated = [
        s
        for heading in ("## Verification Queries", "## Query Performance")
        for b in blocks("sql", heading)
        for s in split(b)
    ]

    def plain(text: str) -> str:
        return (
            re.sub(r"\s+", " ", text.replace("calldrop.", ""))
            .lower()
            .replace(" as call_count", "")
            .strip()
        )

    ours = {plain(statement.text) for _, statement in queries()}
    assert len(stated) == 8
    assert {plain(s.text) for s in stated} <= ours


@pytest.mark.thorough
def test_the_demo_gives_the_documents_numbers(cli: Cli, client: Session) -> None:
    assert cli("up").code == 0
    result = cli.json("seed", "--random-seed", DEMO_SEED)
    assert (result["loaded"], result["total"]) == (345, 345)
    assert result["split"] == {"completed": 293, "failed": 52}
    assert result["counted_in"] == "calls_by_completion"
    assert (result["partitions"], result["per_partition"]) == (15, [20, 25])
    client.set_keyspace(cli.keyspace)
    counts = [
        rows(
            client, f"SELECT COUNT(*) AS n FROM calls_by_completion WHERE call_completed = {value}"
        )[0]["n"]
        for value in ("true", "false")
    ]
    assert counts == [293, 52]


@pytest.mark.thorough
@pytest.mark.parametrize("revision", [1, 2, 3, 4])
def test_seeds_load_into_every_revision(cli: Cli, client: Session, revision: int) -> None:
    """Seeding at a revision and going up gives the rows that going up and seeding gives."""
    now = ("--now", "2026-11-20T12:00:00Z", "--random-seed", "7")
    assert cli("up", str(revision)).code == 0
    assert cli("seed", *now, "--at-revision", str(revision)).code == 0
    assert cli("up", "--yes", "--outage-accepted").code == 0
    client.set_keyspace(cli.keyspace)
    first = {tuple(row.values()) for row in rows(client, "SELECT * FROM call_records")}
    assert len(first) > 299
    again = cli.json("seed", *now)
    assert again["total"] == len(first) == again["loaded"]
    assert {tuple(row.values()) for row in rows(client, "SELECT * FROM call_records")} == first


@pytest.mark.thorough
def test_seed_says_how_to_get_to_a_revision(cli: Cli) -> None:
    assert cli("up", "2").code == 0
    for wanted, way in (("3", "up 3"), ("1", "down 1")):
        result = cli("seed", "--at-revision", wanted)
        assert result.code == 2
        assert f"calldrop-migrate {way}" in result.err
