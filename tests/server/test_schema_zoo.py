"""What is read of a schema is made again as it was: a generated zoo of types, tables, indexes and
views is created by hand, read and described by the product, dropped, created from that text alone,
and the rows of system_schema are compared, which the product has no part in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from calldrop_migrate.cluster.session import Endpoint, connect
from calldrop_migrate.core.declared import as_cql
from calldrop_migrate.core.schema import Schema, from_json, to_json
from tests.support.servers import HAS_VECTORS, Address

SEEDS = range(40)
NATIVE = (
    *("ascii", "bigint", "blob", "boolean", "date", "decimal", "double", "float", "inet", "int"),
    *("smallint", "text", "time", "timestamp", "timeuuid", "tinyint", "uuid", "varint"),
)
ODD = (
    '"Mixed"',
    '"two words"',
    '"with""quote"',
    '"select"',
    '"1st"',
    '"a.b"',
    '"ü"',
    "key",
    "type",
)
COMMENTS = (
    *("", "'plain'", """'{"owner": "team-a"}'""", "'it''s'", "'99p'", "'true'", "'-- no'", "'1.5'"),
    *("'two\nlines'", "'$$ and ; and \"'", "'{}'", "'[1, 2]'", "'NULL'", "'/* */ \\'"),
)
IDS = {"id", "base_table_id", "keyspace_name"}


class Zoo:
    """Statements that make a schema, from a seed."""

    def __init__(self, seed: int, *, scylla: bool) -> None:
        self.random = random.Random(seed)
        self.scylla, self.older = scylla, not scylla and not HAS_VECTORS
        self.vectors = not scylla and HAS_VECTORS
        self.types: list[str] = []
        self.statements: list[str] = []
        self.drops: list[str] = []
        self._taken: set[str] = set()
        for at in range(3):
            self._type(at)
        for at in range(2):
            self._table(at)

    def _made(self, what: str, name: str, cql: str) -> None:
        self.statements.append(cql)
        self.drops.insert(0, f"DROP {what} {name}")

    def _pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def _names(self, count: int) -> list[str]:
        plain = [f"c{at}" for at in range(count)]
        return self.random.sample([*plain, *ODD], count)

    def _inner(self, depth: int = 2) -> str:
        """A type that is frozen by what it stands in."""
        kind = self._pick("native", "native", "list", "set", "map", "tuple", "vector", "udt")
        if depth == 0 or kind == "native" or (kind == "vector" and not self.vectors):
            return self._pick(*NATIVE)
        inner = self._inner(depth - 1)
        if kind == "map":
            return f"frozen<map<{self._pick(*NATIVE)}, {inner}>>"
        if kind == "tuple":
            return f"tuple<{self._pick(*NATIVE)}, {inner}>"
        if kind == "vector":
            return f"vector<{self._pick('float', 'int')}, 3>"
        if kind == "udt":
            return f"frozen<{self._pick(*self.types)}>" if self.types else "int"
        return f"frozen<{kind}<{inner}>>"

    def _value(self) -> str:
        """The type of a column that is no key: also what isn't frozen."""
        kind = self._pick("list", "set", "map", "udt", "inner", "inner", "inner", "duration")
        inner = self._inner(1)
        if kind == "map":
            return f"map<{self._pick(*NATIVE)}, {inner}>"
        if kind in ("list", "set"):
            return f"{kind}<{inner}>"
        if kind == "udt":
            return self._pick(*self.types)
        return kind if kind == "duration" else self._inner()

    def _type(self, at: int) -> None:
        name = self._pick(f"kind{at}", f'"Kind{at}"')
        fields = ", ".join(f"{field} {self._inner(1)}" for field in self._names(3))
        self._made("TYPE", name, f"CREATE TYPE {name} ({fields})")
        self.types.append(name)

    def _options(self, *, view: bool = False) -> list[str]:
        ours: dict[str, str] = {
            "bloom_filter_fp_chance": self._pick("0.1", "0.0001"),
            "caching": self._pick(
                "{'keys': 'NONE', 'rows_per_partition': '10'}", "{'rows_per_partition': 'ALL'}"
            ),
            "comment": self._pick(*COMMENTS) or "''",
            "compaction": self._pick(
                "{'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': 320}",
                "{'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}",
                "{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS',"
                " 'compaction_window_size': 6}",
            ),
            "compression": self._pick(
                "{'class': 'SnappyCompressor', 'chunk_length_in_kb': 8}",
                "{'sstable_compression': 'DeflateCompressor'}"
                if self.scylla
                else "{'class': 'LZ4Compressor', 'enabled': 'true', 'lz4_compressor_type': 'high'}",
                "{'sstable_compression': ''}" if self.scylla else "{'enabled': 'false'}",
            ),
            "crc_check_chance": self._pick("0.5", "1.0"),
            "gc_grace_seconds": self._pick("1", "777"),
            "max_index_interval": self._pick("1024", "4096"),
            "memtable_flush_period_in_ms": self._pick("0", "60000"),
            "min_index_interval": self._pick("64", "256"),
            "speculative_retry": self._pick("'ALWAYS'", "'95PERCENTILE'", "'10ms'", "'NONE'"),
        }
        if not view:
            ours["default_time_to_live"] = self._pick("0", "3600")
        if not self.scylla:
            of_5 = {
                "allow_auto_snapshot": self._pick("true", "false"),
                "incremental_backups": self._pick("true", "false"),
            }
            ours |= {} if self.older else of_5
            ours |= {
                "additional_write_policy": self._pick("'NEVER'", "'MIN(99p,50ms)'"),
                "cdc": self._pick("true", "false") if not view else "false",
                "memtable": self._pick("'default'"),
                "read_repair": self._pick("'NONE'", "'BLOCKING'"),
            }
        if not self.scylla and not self.older:
            ours["compaction"] = self._pick(
                ours["compaction"],
                "{'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'L8, N, T4'}",
            )
        chosen = self.random.sample(sorted(ours), self.random.randint(2, len(ours)))
        return [f"{name} = {ours[name]}" for name in chosen]

    def _mask(self, type_: str) -> str:
        if self.scylla or self.older or self.random.random() < 0.6:
            return ""
        of_text = ("mask_inner(1, null)", "mask_outer(2, 1, '#')", "mask_replace('it is -- {}')")
        chosen = {"text": self._pick(*of_text), "int": "mask_replace(-7)", "blob": "mask_hash()"}
        default = self._pick("DEFAULT", "mask_null()")
        return f" MASKED WITH {chosen.get(type_, default)}"

    def _table(self, at: int) -> None:
        name, columns = self._pick(f"t{at}", f'"Table{at}"'), self._names(8)
        split = self.random.randint(1, 2)
        partition, clustering = columns[:split], columns[split:4]
        types = {c: self._pick(*NATIVE, "frozen<list<int>>") for c in columns[:4]}
        types |= {c: self._value() for c in columns[4:]}
        types[columns[4]] = self._pick(*NATIVE)
        static = columns[7]
        parts = [
            f"{c} {t}{' STATIC' if c == static else ''}{self._mask(t)}" for c, t in types.items()
        ]
        order = ", ".join(f"{c} {self._pick('ASC', 'DESC')}" for c in clustering)
        options = [f"CLUSTERING ORDER BY ({order})", *self._options()]
        self.random.shuffle(options)
        key = f"PRIMARY KEY (({', '.join(partition)}), {', '.join(clustering)})"
        text = f"CREATE TABLE {name} ({', '.join(parts)}, {key}) WITH {' AND '.join(options)}"
        self._made("TABLE", name, text)
        self._indexes(at, name, {c: types[c] for c in columns[4:7]})
        view = [columns[4], *clustering, *partition]
        selected = self._pick("*", ", ".join([*view, *columns[5:6]]))
        if selected == "*":  # which no server lets a static column into
            selected = ", ".join(columns[:7])
        where = " AND ".join(f"{c} IS NOT NULL" for c in view)
        if types[clustering[0]] in ("int", "text"):
            value = self._pick(*_TEXTS) if types[clustering[0]] == "text" else "-3"
            where += f" AND {clustering[0]} > {value}"
        ordered = ", ".join(f"{c} {self._pick('ASC', 'DESC')}" for c in view[1:])
        more = [f"CLUSTERING ORDER BY ({ordered})"] if self.random.random() < 0.5 else []
        self._made(
            "MATERIALIZED VIEW",
            f'"View{at}"',
            f'CREATE MATERIALIZED VIEW "View{at}" AS SELECT {selected} FROM {name} WHERE {where}'
            f" PRIMARY KEY ({', '.join(view)})"
            f" WITH {' AND '.join([*more, *self._options(view=True)])}",
        )

    def _indexes(self, at: int, table: str, types: dict[str, str]) -> None:
        for nth, (column, type_) in enumerate(types.items()):
            target = column
            if "duration" in type_ or type_ in self.types:
                continue
            if type_.startswith("frozen<") and type_[7:11] in ("list", "map<", "set<"):
                target = f"FULL({column})"
            elif type_.startswith("map<"):
                target = f"{self._pick('KEYS', 'VALUES', 'ENTRIES')}({column})"
            elif type_.startswith(("frozen<", "tuple", "vector")):
                continue
            index = self._pick(f"i{at}_{nth}", f'"Index{at}_{nth}"')
            custom = self.vectors and type_ == "text" and column.isalnum()
            tail = self._pick(" USING 'sai' WITH OPTIONS = {'case_sensitive': 'false'}", "")
            text = f"CREATE INDEX {index} ON {table} ({target})" + (tail if custom else "")
            self._made("INDEX", index, text)


_TEXTS = ("'plain'", "''", "'{a: 1}'", "'-- AND x'", "$$two words$$")


def rows_of(client: Any, keyspace: str) -> dict[str, list[Any]]:
    """What the server keeps of a schema, but for ids."""
    tables = client.execute(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system_schema'"
    )
    found: dict[str, list[Any]] = {}
    for source in (row["table_name"] for row in tables):
        if source in ("keyspaces", "dropped_columns") or source.startswith("scylla"):
            continue
        rows = client.execute(
            f"SELECT * FROM system_schema.{source} WHERE keyspace_name = '{keyspace}'"
        )
        found[source] = sorted(
            str({k: dict(v) if hasattr(v, "items") else v for k, v in row.items() if k not in IDS})
            for row in rows
        )
    return found


@pytest.fixture
def made(client: Any, keyspace: str, datacenter: str) -> Iterator[str]:
    client.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    client.set_keyspace(keyspace)
    yield keyspace
    client.set_keyspace("system")


def marks(seed: int) -> list[pytest.MarkDecorator]:
    """One in `make test`, and a few on the other servers."""
    of_all, of_others = [pytest.mark.thorough] * (seed > 0), [pytest.mark.journey] * (seed < 4)
    return of_all + of_others


def read(server: Address, keyspace: str) -> tuple[Schema, bool]:
    database = connect(Endpoint(server.hosts, server.port, keyspace), lambda _: None)
    try:
        return database.schema(), database.platform.scylla
    finally:
        database.close()


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=marks(seed)) for seed in SEEDS])
def test_a_schema_is_made_again_as_it_was(
    server: Address, client: Any, made: str, seed: int
) -> None:
    _, scylla = read(server, made)
    zoo = Zoo(seed, scylla=scylla)
    for cql in zoo.statements:
        client.execute(cql)
    before = rows_of(client, made)
    schema, _ = read(server, made)
    assert from_json(to_json(schema)) == schema
    for drop in zoo.drops:
        client.execute(drop)
    left = rows_of(client, made)
    del left["column_masks" if "column_masks" in left else "tables"]  # a server forgets no mask
    assert not any(left.values())
    for cql in as_cql(schema).split(";\n\n"):
        client.execute(cql.rstrip(";\n"))
    assert rows_of(client, made) == before
    again, _ = read(server, made)
    assert again.comparable() == schema.comparable()
