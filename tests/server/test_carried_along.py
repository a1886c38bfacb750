"""All that belongs to a table besides its rows: vectors, SAI indexes, masks, comments, options.
All are shown, compared, put back, and there again behind each rebuild.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.servers import HAS_VECTORS
from tests.support.settings import GO
from tests.support.told import ok, only, told

OPTIONS = (
    "comment = 'it''s {''a'': 1}; -- x' AND gc_grace_seconds = 777 AND bloom_filter_fp_chance = 0.1"
    " AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 8}"
    " AND caching = {'keys': 'NONE', 'rows_per_partition': '10'}"
)
SHAPE = (
    "CREATE TABLE t (a int, b int, words text%s, near vector<float, 3>, tags set<text>,"
    f" PRIMARY KEY (%s)) WITH {OPTIONS};\n"
)
NEAR = "near vector<float, 3>" if HAS_VECTORS else "near frozen<list<float>>"
SHAPE = SHAPE.replace("near vector<float, 3>", NEAR)
INDEXES = (
    "CREATE CUSTOM INDEX by_near ON t (near) USING 'StorageAttachedIndex'"
    " WITH OPTIONS = {'similarity_function': 'dot_product'};\n"
    "CREATE INDEX by_tag ON t (tags);\n"
    "CREATE INDEX by_words ON t (words) USING 'sai' WITH OPTIONS = {'case_sensitive': 'false'};\n"
)
NEAREST = "SELECT b FROM {}.t ORDER BY near ANN OF [1, 0, 0] LIMIT 1"


@pytest.fixture
def newer(client: Any) -> bool:
    """The server has masks and SAI: Cassandra from 5.0 on."""
    found = client.execute(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system_schema'"
    )
    return "column_masks" in {row["table_name"] for row in found}


def stored(client: Any, keyspace: str) -> dict[str, list[str]]:
    """Return the rows of the schema tables about `t`, but for its id."""
    kept = ("tables", "columns", "indexes")
    rows = {
        source: client.execute(
            f"SELECT * FROM system_schema.{source} WHERE keyspace_name = '{keyspace}'"
        )
        for source in kept
    }
    return {
        source: sorted(
            str({name: value for name, value in row.items() if name != "id"})
            for row in found
            if row["table_name"] == "t"
        )
        for source, found in rows.items()
    }


def test_through_rebuilds_and_back(cli: Cli, client: Any, newer: bool) -> None:
    mask, indexes = (" MASKED WITH mask_inner(1, null)", INDEXES) if newer else ("", "")
    one, other = SHAPE % (mask, "a, b"), SHAPE % (mask, "(a, b)")
    only(
        cli,
        r0001_t=f"-- migrate:up\n{one}{indexes}-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n-- migrate:rebuild\n{other}"
        f"-- migrate:down\n-- migrate:rebuild\n{one}",
    )
    ok(cli("up", "1"))
    for b in range(3):
        near = [float(b == at) for at in range(3)]
        client.execute(
            f"INSERT INTO {cli.keyspace}.t (a, b, words, near) VALUES (1, {b}, 'Two words', {near})"
        )
    before = stored(client, cli.keyspace)
    rows = sorted(map(str, client.execute(f"SELECT * FROM {cli.keyspace}.t")))
    shown = ok(cli("show", "1", "--schema"))
    for part in (NEAR, "'it''s {''a'': 1}; -- x'", *([mask] if newer else ())):
        assert part in shown
    for way in (("up", "2"), ("down", "1")):
        ok(cli(*way, *GO))
        ok(cli("verify"))
        assert sorted(map(str, client.execute(f"SELECT * FROM {cli.keyspace}.t"))) == rows
        assert stored(client, cli.keyspace)["indexes"] == before["indexes"]
        assert stored(client, cli.keyspace)["tables"] == before["tables"]
        if newer:
            assert client.execute(NEAREST.format(cli.keyspace)).one()["b"] == 0
    assert stored(client, cli.keyspace) == before


DECLARED = ("comment", "gc_grace", "compression", "caching", "by_near", "column words")
DRIFT = (
    ("comment = 'x'", "t: comment: "),
    ("gc_grace_seconds = 1", "t: gc_grace_seconds: 777 -> 1"),
    (
        "compression = {'class': 'SnappyCompressor'}",
        "t: compression class: LZ4Compressor -> Snappy",
    ),
    ("caching = {'keys': 'ALL'}", "t: caching keys: NONE -> ALL"),
    ("speculative_retry = '10ms'", "t: speculative_retry: 99p -> 10ms"),
    ("crc_check_chance = 0.5", "t: crc_check_chance: 1 -> 0.5"),
    ("min_index_interval = 64", "t: min_index_interval: 128 -> 64"),
    ("default_time_to_live = 5", "t: default_time_to_live: 0 -> 5"),
)


def test_by_other_hands_and_put_back(cli: Cli, client: Any, newer: bool) -> None:
    mask, indexes = (" MASKED WITH mask_inner(1, null)", INDEXES) if newer else ("", "")
    table = SHAPE % (mask, "a, b")
    only(cli, r0001_t=f"-- migrate:up\n{table}{indexes}-- migrate:down\nDROP TABLE t;\n")
    ok(cli("up"))
    assert "1 and live are the same." in ok(cli("diff", "1", "live"))
    before = stored(client, cli.keyspace)
    changes = " AND ".join(option for option, _ in DRIFT)
    client.execute(f"ALTER TABLE {cli.keyspace}.t WITH {changes}")
    lines = [line for _, line in DRIFT]
    if newer:
        client.execute(f"DROP INDEX {cli.keyspace}.by_near")
        client.execute(f"ALTER TABLE {cli.keyspace}.t ALTER words DROP MASKED")
        client.execute(f"ALTER TABLE {cli.keyspace}.t WITH incremental_backups = false")
        lines += [
            "index by_near: is gone",
            "t: column words: text masked with mask_inner(1, null) ->",
        ]
        lines += ["t: incremental_backups: true -> false"]
    told(cli("verify"), 5, *lines)
    shown = ok(cli("diff", "1", "live"))
    declared = [line for line in lines if any(word in line for word in DECLARED)]
    assert [line for line in declared if line not in shown] == []
    ok(cli("repair", "--restore", "--yes"))
    ok(cli("verify"))
    after = stored(client, cli.keyspace)
    assert [source for source in before if after[source] != before[source]] in ([], ["tables"])
