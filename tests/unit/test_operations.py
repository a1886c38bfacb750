"""No row is lost: the one rule of all plans, over generated ones.

It is looked at twice. `unproven` reads a plan; and a small model of a database (world.py), which
knows nothing of `unproven` or of proofs, runs it and keeps account of every cell. Plans that are
broken on purpose show that both can fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.files import Migration
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.operations import (
    Await,
    Copy,
    Operation,
    Proof,
    Rows,
    Run,
    Verify,
    hash_of,
    proofs_of,
    run,
    unproven,
)
from calldrop_migrate.core.plan import Attempt, Direction, Facts
from calldrop_migrate.core.schema import Schema, Table
from tests.support.world import Refused, World, folders, loaded

EMPTY = Schema("k", (("class", "X"),))
ids = (UUID(int=n << 104) for n in range(1, 10**9))

# --- generated plans


@st.composite
def facts(draw: st.DrawFn, world: World) -> Facts:
    """What the planner would find, and flags; now and then a table has rows that nobody saw."""
    tables = [name for name in world.tables if not is_internal(name)]
    unseen = draw(st.sampled_from([[], [], [], tables]))
    return Facts(
        filled=frozenset(n for n in tables if world.rows[n] and n not in unseen),
        elder=frozenset(tables),
        set_aside=draw(st.booleans()),
        discard=draw(st.booleans()),
        keep_shadow=draw(st.sampled_from([0, 7])),
    )


def fill(data: st.DataObject, world: World) -> None:
    """Rows whose keys meet in other shapes, with nulls."""
    for name, table in world.tables.items():
        if not is_internal(name):
            for _ in range(data.draw(st.integers(0, 4))):
                row: dict[str, int | None] = {c: data.draw(st.integers(0, 2)) for c in table.key}
                cells = [c.name for c in table.columns if not c.is_key]
                row |= {c: data.draw(st.sampled_from([None, 0, 1])) for c in cells}
                world.insert(name, row)


def passed(world: World, migration: Migration, way: Direction, at: Schema, found: Facts) -> Attempt:
    """Runs one revision on the model, and compares what is there with what was planned.

    Raises:
        Refused: the runner would have stopped on the way.
    """
    attempt = expand(migration, way, next(ids), at, found)
    note("\n".join(op.text + f"  [{getattr(op, 'proof', '')}]" for op in attempt.operations))
    assert unproven(attempt.operations) == []
    world.adopt_computed()
    world.execute(attempt.operations)
    live = {n: t for n, t in world.tables.items() if not is_internal(n)}
    planned = {t.name: t for t in attempt.after.owned().tables if not t.base}
    assert live.keys() == planned.keys()
    assert all(live[name].same_rows_as(planned[name]) for name in live)
    assert {t.name for t in attempt.after.tables if t.base} == set(world.views)
    assert {n for n in live if world.rows[n]} <= attempt.filled | found.elder
    return attempt


def real(world: World, schema: Schema) -> Schema:
    """The schema as it is read after a run: with the asides that were kept."""
    views = [t for t in schema.tables if t.base]
    return Schema(schema.keyspace, schema.replication).put(*world.tables.values(), *views)


def made(first: Migration) -> tuple[World, Schema]:
    world, attempt = World(), expand(first, "up", UUID(int=9), EMPTY, Facts())
    world.execute(attempt.operations)
    return world, attempt.after


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_plan_loses_a_row(data: st.DataObject) -> None:
    first, second = loaded(*data.draw(folders()))
    world, schema = made(first)
    ways: list[Direction] = ["up", "down"]
    for way in ways[: data.draw(st.integers(1, 2))]:
        fill(data, world)
        found = data.draw(facts(world))
        try:
            schema = real(world, passed(world, second, way, schema, found).after)
        except Refused:
            return


# Pairs of shapes (columns, key) between which rows go and come back.
A = "CREATE TABLE t (a int, b int, c int, d int, PRIMARY KEY ({}))"
RENAMED = "CREATE TABLE t (a int, e int, c int, d int, PRIMARY KEY (e, a))"
SHAPES = st.sampled_from([A.format(key) for key in ("a", "b", "a, b", "b, c", "(a, c), b", "d, a")])
CHANGES = st.sampled_from(
    [
        ("DROP TABLE t", A.format("a, b")),
        ("TRUNCATE t", "GRANT ALL ON TABLE t TO r"),
        ("ALTER TABLE t DROP d", "ALTER TABLE t ADD d int"),
        ("ALTER TABLE t DROP (c, d)", "ALTER TABLE t ADD (d int, c int)"),
        (
            "-- migrate:rebuild drop=d\nCREATE TABLE t (a int, b int, c int, PRIMARY KEY (a))",
            "-- migrate:rebuild\n" + A.format("a, b"),
        ),
        (
            "-- migrate:rebuild e=b f=abs(c) drop=c\n"
            "CREATE TABLE t (a int, e int, d int, f int, PRIMARY KEY (a, f))",
            "-- migrate:rebuild b=e drop=f\n" + A.format("a, b"),
        ),
        # What goes aside in the shape of a rebuild comes back before the rebuild that undoes it.
        (
            f"-- migrate:rebuild e=b\n{RENAMED};\nTRUNCATE t",
            "-- migrate:rebuild b=e\n" + A.format("a, b"),
        ),
        (
            f"-- migrate:rebuild e=b\n{RENAMED};\nALTER TABLE t DROP d",
            "ALTER TABLE t ADD d int;\n-- migrate:rebuild b=e\n" + A.format("a, b"),
        ),
        ("ALTER TABLE t DROP c;\nALTER TABLE t DROP d", "ALTER TABLE t ADD (d int, c int)"),
        (
            "-- migrate:rebuild d=abs(d)\n" + A.format("b, d"),
            "-- migrate:rebuild d=abs(d)\n" + A.format("a, b"),
        ),
    ]
)


@given(st.data(), st.one_of(CHANGES, SHAPES.map(lambda one: (f"-- migrate:rebuild\n{one}",) * 2)))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_set_aside_comes_back(data: st.DataObject, change: tuple[str, str]) -> None:
    """Up and down with --set-aside: all rows and cells are where they were; no table too many."""
    up, down = change
    if up == down:
        down = "-- migrate:rebuild\n" + A.format("a, b")
    first, second = loaded(
        f"-- migrate:up\n{A.format('a, b')};\n-- migrate:irreversible x\n",
        f"-- migrate:up\n{up};\n-- migrate:down\n{down};\n",
    )
    world, schema = made(first)
    fill(data, world)
    before = {key: dict(row) for key, row in world.rows["t"].items()}
    ways: list[Direction] = ["up", "down"] * data.draw(st.integers(1, 2))
    for way in ways:
        filled = frozenset(name for name, rows in world.rows.items() if rows)
        found = Facts(filled=filled, set_aside=True, keep_shadow=0)
        schema = real(world, passed(world, second, way, schema, found).after)
    kept = {"d"} if "abs(d)" in up else set()  # computed anew; the old values are aside
    assert world.rows["t"].keys() == before.keys()
    for key, row in world.rows["t"].items():
        assert {c: v for c, v in row.items() if c not in kept} == {
            c: v for c, v in before[key].items() if c not in kept
        }
    # What the last way down had no place for waits for the next way up.
    waiting = {"t__aside_0002_cells"} if "drop=f" in down else set()
    if not kept:
        assert set(world.tables) - waiting == {"t"}


# --- plans that are broken on purpose


def rebuilt(**flags: bool) -> tuple[World, Attempt]:
    """A table with rows, one of which does not fit, before its rebuild; and the plan of that."""
    first, second = loaded(
        f"-- migrate:up\n{A.format('a, b')};\n-- migrate:irreversible x\n",
        "-- migrate:up\n-- migrate:rebuild drop=d\n"
        "CREATE TABLE t (a int, b int, c int, PRIMARY KEY (a));\n-- migrate:irreversible x\n",
    )
    world, schema = made(first)
    for b in (1, 2):
        world.insert("t", {"a": 1, "b": b, "c": 3, "d": 4})
    found = Facts(filled=frozenset({"t"}), keep_shadow=0, set_aside=flags.get("set_aside", False))
    found = replace(found, discard=flags.get("discard", False))
    return world, expand(second, "up", next(ids), schema, found)


def test_the_plan_that_is_broken_below_is_right() -> None:
    world, attempt = rebuilt(set_aside=True)
    kinds = [
        op.effect.verb if isinstance(op, Run) else f"{type(op).__name__} {op.rows}"
        for op in attempt.operations
        if not isinstance(op, Await)
    ]
    assert kinds == [
        *("drop", "create"),
        *("create", "Copy rows that do not fit", "Verify rows that do not fit"),
        *("create", "Copy rows that fit", "Verify rows that fit"),
        *("Copy rows that fit", "Verify rows that fit"),
        *("drop", "create", "Copy all rows", "Verify all rows"),
        *("drop", "drop"),
    ]
    world.execute(attempt.operations)
    assert sorted(len(rows) for rows in world.rows.values()) == [1, 1, 1]


def without(operations: Sequence[Operation], *gone: int) -> list[Operation]:
    return [op for at, op in enumerate(operations) if at not in gone]


def test_each_final_verify_is_needed() -> None:
    _, attempt = rebuilt(set_aside=True)
    finals = [i for i, o in enumerate(attempt.operations) if isinstance(o, Verify) and o.final]
    assert len(finals) == 4
    for at in finals:
        verify = attempt.operations[at]
        assert isinstance(verify, Verify)
        (wrong,) = unproven(without(attempt.operations, at))
        assert wrong.effect.name == verify.source.name
        # One that reads at a quorum does not count either.
        weaker = list(attempt.operations)
        weaker[at] = replace(verify, final=False)
        assert unproven(weaker) == [wrong]


@pytest.mark.parametrize("change", ["source", "rows", "columns", "fits"])
def test_a_verify_of_something_else_does_not_cover(change: str) -> None:
    _, attempt = rebuilt(set_aside=True)
    for at, op in enumerate(attempt.operations):
        if isinstance(op, Verify) and op.rows is Rows.FITS:
            other = Table("other", op.source.columns)
            changes: dict[str, Verify] = {
                "source": replace(op, source=other),
                "rows": replace(op, rows=Rows.MISFITS),
                "columns": replace(op, columns=op.columns[:-1]),
                "fits": replace(op, fits=other),
            }
            broken = list(attempt.operations)
            broken[at] = changes[change]
            assert [wrong.effect.name for wrong in unproven(broken)] == ["t"]


def test_what_ends_a_proof() -> None:
    _, attempt = rebuilt(set_aside=True)
    operations = list(attempt.operations)
    drop = next(i for i, o in enumerate(operations) if isinstance(o, Run) and o.effect.destroys)
    (shadow,) = {o.target for o in operations if isinstance(o, Copy) and o.source.name == "t"} - {
        o.target for o in operations if isinstance(o, Copy) and "aside" in o.target.name
    }
    table = next(o.source for o in operations if isinstance(o, Copy))
    for between in (
        run("INSERT INTO t (a, b) VALUES (5, 5)"),
        run("BEGIN BATCH UPDATE t SET c = 1 WHERE a = 1 AND b = 1 APPLY BATCH"),
        run("DELETE FROM t WHERE a = 1"),
        run(f"DELETE FROM {shadow.name} WHERE a = 1"),
        run("ALTER TABLE t DROP c", Proof.DISCARD),
        run("ALTER TABLE t ADD z int"),
        run(f"TRUNCATE {shadow.name}", Proof.DISCARD),
        run(f"DROP TABLE {shadow.name}", Proof.DISCARD),
        run(f"ALTER TABLE {shadow.name} DROP c", Proof.DISCARD),
        Copy(shadow, table, ()),
        Copy(shadow, Table("elsewhere", ()), (), Rows.FREE),
    ):
        wrong = unproven([*operations[:drop], between, *operations[drop:]])
        assert operations[drop] in wrong, between.text
    for harmless in (
        run("INSERT INTO u (a, b) VALUES (5, 5)"),
        run("DROP MATERIALIZED VIEW mv"),
        run("DELETE FROM u WHERE a = 5"),
        run(f"ALTER TABLE {shadow.name} ADD z int"),
        Copy(table, Table("elsewhere", ()), ()),
    ):
        assert unproven([*operations[:drop], harmless, *operations[drop:]]) == []


@pytest.mark.parametrize(
    "cql",
    [
        "DROP TABLE t",
        "TRUNCATE t",
        "ALTER TABLE t DROP c",
        "DROP COLUMNFAMILY t",
    ],
)
def test_what_destroys_needs_a_proof(cql: str) -> None:
    assert len(unproven([run(cql)])) == 1
    assert len(unproven([run(cql, Proof.VERIFIED)])) == 1
    for proof in (Proof.EMPTY, Proof.EMPTY_ELSE_KEEP, Proof.DISCARD):
        assert unproven([run(cql, proof)]) == []


@pytest.mark.parametrize(
    "cql", ["DELETE FROM t WHERE a = 1", "BEGIN BATCH DELETE FROM t WHERE a = 1 APPLY BATCH"]
)
def test_a_delete_is_the_files_own_business(cql: str) -> None:
    assert unproven([run(cql)]) == []


def test_each_statement_that_destroys_in_a_table_needs_verifys_of_its_own() -> None:
    first, second = loaded(
        f"-- migrate:up\n{A.format('a, b')};\n-- migrate:irreversible x\n",
        "-- migrate:up\nALTER TABLE t DROP c;\nALTER TABLE t DROP d;\n-- migrate:irreversible x\n",
    )
    _, schema = made(first)
    found = Facts(filled=frozenset({"t"}), set_aside=True)
    operations = expand(second, "up", next(ids), schema, found).operations
    one, other = (i for i, o in enumerate(operations) if isinstance(o, Run) and o.effect.destroys)
    assert proofs_of(operations, one) == [one - 1]
    assert proofs_of(operations, other) == [other - 1]
    then = operations[other - 1]
    assert isinstance(then, Verify)
    assert [c.name for c in then.source.columns] == ["a", "b", "d"]
    # The first one's Verify read all columns that the second one drops, and counts no more.
    (verify,) = (operations[at] for at in proofs_of(operations, one))
    assert isinstance(verify, Verify)
    whole = replace(verify, columns=tuple((name, name) for name in "abcd"))
    assert unproven([whole, operations[one], operations[other]]) == [operations[other]]


def test_a_dropped_column_needs_only_its_own_cells() -> None:
    first, *_ = loaded(f"-- migrate:up\n{A.format('a, b')};\n-- migrate:irreversible x\n")
    _, schema = made(first)
    table = schema.table("t")
    assert table is not None
    aside = Table("t__aside_0002_up_cells", table.columns)
    drop = run("ALTER TABLE t DROP c", Proof.VERIFIED)
    for names, is_right in (("abc", True), ("ab", False), ("ac", False), ("abd", False)):
        columns = tuple((name, name) for name in names)
        verify = Verify(table, aside, columns, final=True)
        assert (unproven([verify, drop]) == []) is is_right
    computed = Verify(table, aside, (("a", "a"), ("b", "b"), ("c", "abs(c)")), final=True)
    assert unproven([computed, drop]) == [drop]


def test_the_model_sees_every_loss() -> None:
    """Without a copy, without both, or with a drop that comes early, cells are missing in it."""
    _, attempt = rebuilt(set_aside=True)
    copies = [i for i, o in enumerate(attempt.operations) if isinstance(o, Copy)]
    for at in copies:
        for gone in ((at,), (at, at + 1)):
            with pytest.raises(AssertionError):
                rebuilt(set_aside=True)[0].execute(without(attempt.operations, *gone))
    drop = next(
        i for i, o in enumerate(attempt.operations) if isinstance(o, Run) and o.effect.destroys
    )
    early = [attempt.operations[drop], *without(attempt.operations, drop)]
    world = rebuilt(set_aside=True)[0]
    with pytest.raises((AssertionError, KeyError)):
        world.execute(early)


def test_a_discard_loses_what_does_not_fit_and_nothing_else() -> None:
    world, attempt = rebuilt(discard=True)
    world.execute(attempt.operations)
    assert [
        op.proof for op in attempt.operations if isinstance(op, Run) and op.effect.destroys
    ] == [
        Proof.DISCARD,
        Proof.VERIFIED,
    ]
    # The newer row of the two, without the column that the new shape doesn't take.
    assert world.rows == {"t": {(1,): {"a": (1, 5), "b": (2, 6), "c": (3, 7)}}}


def test_without_a_flag_rows_that_do_not_fit_stop_it_before_anything_is_dropped() -> None:
    world, attempt = rebuilt()
    assert attempt.at_risk == ("t",)  # for the column d
    with pytest.raises(Refused):
        world.execute(attempt.operations)
    assert len(world.rows["t"]) == 2


# --- as texts


def test_labels() -> None:
    assert run("CREATE TABLE t (k int PRIMARY KEY)").label == "CREATE TABLE t"
    assert run("DROP MATERIALIZED VIEW v").label == "DROP MATERIALIZED VIEW v"
    assert run("TRUNCATE t").label == "TRUNCATE TABLE t"
    assert run("DELETE FROM t\n WHERE k = 1").label == "DELETE FROM t WHERE k = 1"
    assert run("INSERT INTO t (k) VALUES (1)").label == "INSERT INTO t (k) VALUES (1)"
    assert run("GRANT ALL ON TABLE t TO r").label == "GRANT ALL ON TABLE t TO r"
    assert Await("v").label == "wait until v is built on every node"
    one, other = Table("one", ()), Table("other", ())
    assert Copy(one, other, ()).label == "copy one to other: all rows"
    assert (
        Copy(one, other, (), Rows.FREE).label == "move one to other: rows whose key is free, moved"
    )
    assert Verify(one, other, (), Rows.MISFITS).label == "verify one in other: rows that do not fit"


def test_objects_whose_digest_tells() -> None:
    assert run("ALTER TABLE t ADD a int").names == ("t",)
    assert run("DROP INDEX i").names == ("i",)
    assert run("INSERT INTO t (k) VALUES (1)").names == ()
    assert (
        run("CREATE FUNCTION f () CALLED ON NULL INPUT RETURNS int LANGUAGE java AS ''").names == ()
    )
    assert Copy(Table("a", ()), Table("b", ()), ()).names == ("a", "b")
    assert Await("v").names == ()


def test_a_hash_tells_what_would_move_other_cells() -> None:
    """Resuming with a changed file must be noticed, also where it changes only which rows fit."""
    _, attempt = rebuilt(set_aside=True)
    misfits = next(o for o in attempt.operations if isinstance(o, Copy) and o.rows is Rows.MISFITS)
    assert misfits.fits is not None
    carried = (misfits.source, misfits.target, misfits.columns, misfits.rows)
    changed: list[Operation] = [
        misfits,
        replace(misfits, columns=misfits.columns[1:]),
        replace(misfits, rows=Rows.FITS),
        replace(
            misfits,
            fit_columns=tuple((n, "abs(a)" if n == "a" else s) for n, s in misfits.fit_columns),
        ),
        replace(misfits, fits=Table("t", misfits.source.columns)),
        replace(misfits, target=Table("other", misfits.target.columns)),
        Verify(*carried),
        Verify(*carried, final=True),
    ]
    assert len({hash_of(op) for op in changed}) == len(changed)
