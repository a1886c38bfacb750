"""Tables of any types through random keys and back: every cell is in the table or aside, with its
bytes, its write time and its life, and in the table again at the end.

Rows have keys that compare equal and differ in bytes, empty values, nulls, keys that are too long
for another shape, cells that end, and statics. Three tables, the same each time; CALLDROP_ROUNDS
draws as many others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from cassandra import InvalidRequest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import cells, raw_cells
from tests.support.cells import Cell, Rows
from tests.support.cli import Cli
from tests.support.raw_values import prepared
from tests.support.servers import HAS_VECTORS
from tests.support.settings import GO_ASIDE
from tests.support.told import ok, only
from tests.support.values import NATIVE, Values

ROUNDS = int(os.environ.get("CALLDROP_ROUNDS") or 3)
WRITTEN = 1_700_000_000_000_000  # microseconds
USER_TYPES = {"spot": ["decimal", "text"], "inner": ["frozen<spot>", "float"]}
KEYS = "abcd"  # columns that may be part of a key
LIVES = (0, 0, 50_000, 90_000)  # seconds


@dataclass(frozen=True)
class Zoo:
    """A table by its columns' types, and the keys that it has one after the other."""

    kinds: Mapping[str, str]
    static: str
    keys: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]

    def create(self, nth: int) -> str:
        partition, clustering = self.keys[nth]
        columns = [f"{name} {kind}" for name, kind in self.kinds.items()]
        columns += [f"s {self.static} STATIC"] * bool(self.static)
        key = ", ".join([f"({', '.join(partition)})", *clustering])
        return f"CREATE TABLE t ({', '.join(columns)}, PRIMARY KEY ({key}));\n"

    def key(self, nth: int) -> tuple[str, ...]:
        return self.keys[nth][0] + self.keys[nth][1]


def frozen(kinds: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("tuple<{}, {}>".format, kinds, kinds),
        st.builds("frozen<list<{}>>".format, kinds),
        st.builds("frozen<set<{}>>".format, kinds),
        st.builds("frozen<map<{}, {}>>".format, kinds, kinds),
        *([st.builds("vector<{}, 2>".format, kinds)] if HAS_VECTORS else []),
        st.sampled_from(["frozen<spot>", "frozen<inner>"]),
    )


def either(one: st.SearchStrategy[str], other: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Half of the one, half of the other: `one_of` would weigh them by their branches."""
    return st.booleans().flatmap(lambda heads: one if heads else other)


# Many of those that are equal in different bytes.
LOOSE = st.sampled_from(["boolean", "decimal", "double", "float", "varint"])
NATIVES = either(LOOSE, st.sampled_from(sorted(NATIVE)))
FROZEN = frozen(either(NATIVES, frozen(NATIVES)))
KEY_TYPES = either(NATIVES, FROZEN)
MANY = st.one_of(
    st.builds("list<{}>".format, KEY_TYPES),
    st.builds("set<{}>".format, KEY_TYPES),
    st.builds("map<{}, {}>".format, KEY_TYPES, KEY_TYPES),
    st.sampled_from(["spot", "inner"]),
)
VALUE_TYPES = either(KEY_TYPES, either(MANY, st.just("duration")))


@st.composite
def zoos(draw: st.DrawFn) -> Zoo:
    kinds = {name: draw(KEY_TYPES) for name in KEYS}
    kinds |= {f"v{at}": draw(VALUE_TYPES) for at in range(5)}
    static = draw(either(st.just(""), VALUE_TYPES))
    keys: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    while len(keys) < 3:
        names = draw(st.permutations(KEYS))[: draw(st.integers(2, 4))]
        width = draw(st.integers(1, len(names) - 1))
        if static and keys:  # it belongs to a partition
            first = keys[0][0]
            rest = draw(st.permutations([name for name in KEYS if name not in first]))
            keys.append((first, tuple(rest[: draw(st.integers(1, len(rest)))])))
        else:
            keys.append((tuple(names[:width]), tuple(names[width:])))
    return Zoo(kinds, static, keys)


def fill(client: Any, keyspace: str, zoo: Zoo, pick: random.Random) -> None:
    """Rows in the first shape; every cell has a write time of its own, and some end."""
    values, key = Values(pick, USER_TYPES), zoo.key(0)
    pools = {name: [values.of(zoo.kinds[name]) for _ in range(6)] for name in KEYS}
    for name in KEYS:
        if zoo.kinds[name] in ("text", "blob", "ascii") and name not in key:
            pools[name].append(b"x" * 66_000)
    names = [name for name in zoo.kinds if name not in key]
    for nth in range(40):
        row = {name: pick.choice(pools[name]) for name in KEYS}
        row |= {n: values.of(k) for n, k in zoo.kinds.items() if n not in KEYS}
        present = [name for name in names if pick.random() < 0.7]
        writes: list[tuple[str, list[str]]] = [("INSERT", present)] if nth % 2 else [("INSERT", [])]
        writes += [("UPDATE", [name]) for name in present] if not nth % 2 else []
        for at, (verb, chosen) in enumerate(writes):
            _write(client, f"{keyspace}.t", zoo, verb, chosen, row, WRITTEN + 1000 * nth + at, pick)
    if zoo.static:
        for nth in range(4):
            row = {name: pick.choice(pools[name]) for name in KEYS} | {"s": values.of(zoo.static)}
            _write(client, f"{keyspace}.t", zoo, "STATIC", ["s"], row, WRITTEN + nth, pick)


def _write(
    client: Any,
    table: str,
    zoo: Zoo,
    verb: str,
    names: Sequence[str],
    row: Mapping[str, bytes],
    written: int,
    pick: random.Random,
) -> None:
    key = zoo.keys[0][0] if verb == "STATIC" else zoo.key(0)
    times = [written.to_bytes(8, "big"), pick.choice(LIVES).to_bytes(4, "big")]
    if verb == "INSERT":
        columns = [*key, *names]
        marks = ", ".join("?" * len(columns))
        cql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        bound = [*(row[name] for name in columns), *times]
        cql += " USING TIMESTAMP ? AND TTL ?"
    else:
        sets, where = ", ".join(f"{n} = ?" for n in names), " AND ".join(f"{n} = ?" for n in key)
        cql = f"UPDATE {table} USING TIMESTAMP ? AND TTL ? SET {sets} WHERE {where}"
        bound = [*times, *(row[name] for name in names), *(row[name] for name in key)]
    try:
        client.execute(prepared(client, cql), bound)
    except InvalidRequest:
        if all(row[name] for name in (*key, *names)):  # some types have no empty value
            raise


def whole(rows: Rows, key: Sequence[str], statics: Iterable[str] = ()) -> Rows:
    """Rows by what they have in all columns that may be part of a key, with every other cell."""
    found: Rows = {}
    for at, row in rows.items():
        every = {name: Cell(value, None) for name, value in zip(key, at, strict=True)} | row
        told = tuple(every[name].value if name in every else None for name in KEYS)
        assert told not in found, f"{told} twice"
        found[told] = {name: cell for name, cell in every.items() if name not in statics}
    return found


def everywhere(client: Any, keyspace: str) -> tuple[Rows, Rows, int]:
    """The rows of the table and of all asides, the table's statics, and how many rows are aside."""
    names = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    tables = [row["table_name"] for row in client.execute(names, (keyspace,))]
    found, statics = Rows(), Rows()
    asides = 0
    for table in tables:
        if table == "t" or "__aside" in table:
            rows, of_table = raw_cells.read(client, keyspace, table)
            its = whole(rows, cells.columns(client, keyspace, table).key)
            assert not found.keys() & its.keys(), f"rows of {table} are elsewhere, too"
            found |= its
            statics |= of_table if table == "t" else {}
            asides += len(its) if table != "t" else 0
    return found, statics, asides


def lost(before: Rows, after: Rows, keys: Sequence[Sequence[str]]) -> list[str]:
    """What differs; of a column that was part of a key on the way the times aren't known."""
    was_key = {name for key in keys for name in key}

    def told(rows: Rows) -> Rows:
        return {
            at: {n: Cell(c.value, None) if n in was_key else c for n, c in row.items()}
            for at, row in rows.items()
        }

    return cells.differences(told(before), told(after), earlier=5 * cells.EARLIER)


@pytest.mark.journey
def test_any_table_through_any_keys(make_cli: Callable[[str], Cli], client: Any) -> None:
    kept: list[int] = []

    @settings(
        max_examples=ROUNDS + 1,
        derandomize="CALLDROP_ROUNDS" not in os.environ,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(zoos(), st.integers(0, 10**6))
    def run(zoo: Zoo, seed: int) -> None:
        if len(set(zoo.kinds.values())) < 5:
            return  # the first one is the simplest that can be drawn
        cli = make_cli(f"z_{uuid4().hex[:12]}")
        kept.append(there_and_back(cli, client, zoo, random.Random(seed)))
        client.execute(f"DROP KEYSPACE {cli.keyspace}")

    run()
    print(f"rows that went aside: {kept}")
    assert sum(kept) > 0


def there_and_back(cli: Cli, client: Any, zoo: Zoo, pick: random.Random) -> int:
    types = "".join(
        f"CREATE TYPE {name} ({', '.join(f'f{at} {kind}' for at, kind in enumerate(fields))});\n"
        for name, fields in USER_TYPES.items()
    )
    files = {"r0001_t": f"-- migrate:up\n{types}{zoo.create(0)}-- migrate:irreversible no\n"}
    for nth in (1, 2):
        both = [f"-- migrate:rebuild\n{zoo.create(at)}" for at in (nth, nth - 1)]
        files[f"r000{nth + 1}_t"] = f"-- migrate:up\n{both[0]}-- migrate:down\n{both[1]}"
    only(cli, **files)
    print(zoo, flush=True)
    ok(cli("up", "1"))
    fill(client, cli.keyspace, zoo, pick)
    before, statics, _ = everywhere(client, cli.keyspace)
    if len(before) < 4:
        return 0  # of a boolean and such there are no more
    aside = 0
    for nth, target in enumerate(("up 2", "up 3", "down 2", "down 1")):
        ok(cli(*target.split(), *GO_ASIDE))
        now, statics_now, there = everywhere(client, cli.keyspace)
        aside += there
        passed = [zoo.key(at) for at in range(min(nth + 2, 3))]
        assert lost(before, now, passed) == [], target
        if zoo.static:
            assert cells.differences(statics, statics_now, earlier=15) == [], target
    assert there == 0
    return aside
