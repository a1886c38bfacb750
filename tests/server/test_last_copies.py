"""Which table has the only copy of a row, and what may take it: statements that come late, other
hands, second copies and asides. Found by reading the engine, each by its schedule.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.bookkeeping import done
from tests.support.cli import Cli
from tests.support.handful import ALL, TABLE, numbers
from tests.support.held import DROP, First, let_go
from tests.support.killing import killed
from tests.support.schema import again, ddl, internal
from tests.support.servers import Address
from tests.support.settings import GO, OTHERS_KEPT, SHORT, SHORT_KEPT
from tests.support.told import ok, only, told, until
from tests.support.wire import Fault

pytestmark = pytest.mark.thorough

T = "CREATE TABLE t (a int, b int, c int, PRIMARY KEY (a, b));\n"
NARROW = "CREATE TABLE t (a int PRIMARY KEY, b int, c int);\n"
FIRST = f"-- migrate:up\n{T}-- migrate:down\nDROP TABLE t;\n"
DROP_T = Fault(1, "hold request", of=r"^DROP TABLE t\b")
DROP_ASIDE = Fault(1, "hold request", of=r"^DROP TABLE t__aside")
AT_ONCE = SHORT | {"CALLDROP_KEEP_SHADOW": "0"}


def rows(client: Any, cli: Cli, table: str = "t") -> set[tuple[Any, ...]]:
    found = client.execute(f"SELECT a, b, c FROM {cli.keyspace}.{table}")
    return {(r["a"], r["b"], r["c"]) for r in found}


def insert(client: Any, cli: Cli, *found: tuple[int, int, int]) -> None:
    for row in found:
        client.execute(f"INSERT INTO {cli.keyspace}.t (a, b, c) VALUES {row}")


# -- an abort that was killed ---------------------------------------------------------------------


def forwards(cli: Cli, env: dict[str, str]) -> None:
    told(cli("abort", "--yes", env=env), 5, "can't be taken back any more", "calldrop-migrate up")
    ok(cli("up", "2", *GO, env=env))


def test_an_abort_that_was_killed_and_a_drop_that_lands_then(
    filled: Cli, client: Any, server: Address
) -> None:
    """There is no way back any more: `up` goes on."""
    first = First(filled, server)
    with first.begun(Fault(1, "hold request", of=DROP), "up", "2", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        abort = ("abort", "--yes", "--keep-shadow", "0")
        killed(filled, "before | DROP TABLE call_records__0002", *abort, env=OTHERS_KEPT)
        told(filled("up", "2", *GO, env=OTHERS_KEPT), 5, "is being taken back", "abort")
        let_go(tap)
    forwards(filled, OTHERS_KEPT)
    assert numbers(client, filled) == ALL


def test_an_abort_that_was_killed_and_somebody_drops_the_table(filled: Cli, client: Any) -> None:
    killed(filled, "before | DROP TABLE call_records", "up", "2", *GO, env=SHORT_KEPT)
    abort = ("abort", "--yes", "--keep-shadow", "0")
    killed(filled, "before | DROP TABLE call_records__0002", *abort, env=SHORT_KEPT)
    ddl(client, filled, f"DROP TABLE KS.{TABLE}")
    forwards(filled, SHORT_KEPT)
    assert numbers(client, filled) == ALL


@pytest.mark.parametrize("made", ["TABLE n (a int PRIMARY KEY)", "TYPE n (a int)"])
def test_what_a_killed_abort_has_taken_back(cli: Cli, client: Any, made: str) -> None:
    """Then there is no way forwards either: what it has dropped counts as applied."""
    kind = made.split()[0]
    only(
        cli,
        r0001_t=FIRST,
        r0002_two=f"-- migrate:up\nCREATE {made};\nDROP TABLE t;\n"
        f"-- migrate:down\n{T}DROP {kind} n;\n",
    )
    ok(cli("up", "1"))
    killed(cli, "before | DROP TABLE t", "up", "2", *GO, env=OTHERS_KEPT)
    abort = ("abort", "--yes", "--keep-shadow", "0")
    killed(cli, f"noted | DROP {kind} n", *abort, env=OTHERS_KEPT)
    client.execute(f"DROP TABLE {cli.keyspace}.t")
    told(cli("up", "2", *GO, env=OTHERS_KEPT), 5, "is being taken back", "calldrop-migrate abort")
    told(
        cli("abort", "--yes", env=OTHERS_KEPT),
        5,
        "Nor forwards: n is gone",
        "calldrop-migrate stamp",
    )
    ddl(client, cli, f"CREATE {made.replace('n (', 'KS.n (')}")
    ok(cli("stamp", "2", "--yes", env=OTHERS_KEPT))
    ok(cli("verify"))


# -- while rows are copied ------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--discard-rows", "--set-aside"])
@pytest.mark.parametrize("key", ["src, ts", "(src, ts)"])
def test_a_row_that_is_replaced_while_it_is_copied(
    cli: Cli, client: Any, key: str, flag: str
) -> None:
    """A row of the new shape doesn't tell which of the old one it is: also in another partition."""
    only(
        cli,
        r0001_calls="-- migrate:up\nCREATE TABLE calls (src text, ts int, note text, x text,"
        f" PRIMARY KEY ({key}));\n-- migrate:irreversible x\n",
        r0002_one="-- migrate:up\n-- migrate:rebuild drop=ts\n"
        "CREATE TABLE calls (src text PRIMARY KEY, note text, x text);\n"
        "-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    into = f"INSERT INTO {cli.keyspace}.calls"
    for src, x in zip("abcd", "XYZZ", strict=True):
        client.execute(f"{into} (src, ts, note, x) VALUES ('{src}', 1, 'old', '{x}')")
    running = cli.begin("pause 4 | noted | COPY calls TO calls__0002", "up", *GO, flag, env=SHORT)
    until(lambda: done(cli, 2, 3 if flag == "--discard-rows" else 9))
    # The row of a is replaced by another one, c is deleted, and x of d.
    client.execute(f"DELETE FROM {cli.keyspace}.calls WHERE src = 'a' AND ts = 1")
    client.execute(f"{into} (src, ts, note) VALUES ('a', 2, 'new')")
    client.execute(f"DELETE FROM {cli.keyspace}.calls WHERE src = 'c' AND ts = 1")
    client.execute(f"DELETE x FROM {cli.keyspace}.calls WHERE src = 'd' AND ts = 1")
    running.communicate(timeout=90)
    if running.returncode:
        assert running.returncode == 9
        ok(cli("abort", "--yes", env=SHORT))
        ok(cli("up", *GO, flag, env=SHORT))
    found = client.execute(f"SELECT src, note, x FROM {cli.keyspace}.calls")
    assert {(r["src"], r["note"], r["x"]) for r in found} == {
        ("a", "new", None),
        ("b", "old", "Y"),
        ("d", "old", None),
    }


def test_cells_that_end_while_they_are_copied_are_no_reason_to_stop(cli: Cli, client: Any) -> None:
    """One after the other, in a table whose rows come to lie elsewhere."""
    only(
        cli,
        r0001_calls="-- migrate:up\nCREATE TABLE calls (src text, ts int, note text,"
        " PRIMARY KEY ((src, ts)));\n-- migrate:irreversible x\n",
        r0002_one="-- migrate:up\n-- migrate:rebuild drop=ts\n"
        "CREATE TABLE calls (src text PRIMARY KEY, note text);\n-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    insert_ = f"INSERT INTO {cli.keyspace}.calls (src, ts, note) VALUES (%s, 1, 'x') USING TTL %s"
    for number in range(200):
        client.execute(insert_, [f"{number}", 1 + number % 40 if number else 0])
    slow = ("--max-rows-per-second", "200")  # something ends between one side and the other
    ok(cli("up", *GO, "--discard-rows", *slow, env=SHORT))
    found = client.execute(f"SELECT src, TTL(note) AS ttl FROM {cli.keyspace}.calls")
    assert any(row["ttl"] is None for row in found)


@pytest.mark.parametrize("how", ["cli", "scylla"])
@pytest.mark.parametrize("what", ["tags", ""])
def test_what_is_deleted_while_others_end(
    request: pytest.FixtureRequest, client: Any, what: str, how: str
) -> None:
    """A set, or a row of keys alone; also where the times of the set's elements aren't told."""
    cli: Cli = request.getfixturevalue(how)
    only(
        cli,
        r0001_calls="-- migrate:up\nCREATE TABLE calls (src text, ts int, note text,"
        " tags set<text>, PRIMARY KEY ((src, ts)));\n-- migrate:irreversible x\n",
        r0002_one="-- migrate:up\n-- migrate:rebuild drop=ts\n"
        "CREATE TABLE calls (src text PRIMARY KEY, note text, tags set<text>);\n"
        "-- migrate:irreversible x\n",
    )
    ok(cli("up", "1"))
    into = f"INSERT INTO {cli.keyspace}.calls"
    tags = ("(src, ts, tags)", "('c', 1, {'secret'})") if what else ("(src, ts)", "('c', 1)")
    client.execute(f"{into} {tags[0]} VALUES {tags[1]}")
    for number in range(200):
        ends = 1 + number % 40 if number else 0
        client.execute(
            f"{into} (src, ts, note) VALUES (%s, 1, 'x') USING TTL %s", [f"{number}", ends]
        )
    slow = ("--discard-rows", "--max-rows-per-second", "200")
    at = "pause 6 | noted | COPY calls TO calls__0002"
    running = cli.begin(at, "up", *GO, *slow, env=SHORT)
    until(lambda: done(cli, 2, 3))
    client.execute(f"DELETE {what} FROM {cli.keyspace}.calls WHERE src = 'c' AND ts = 1")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 9, err
    assert "came or changed while they were copied" in err


# -- rows that come back from aside ---------------------------------------------------------------


def test_a_row_that_comes_before_those_of_an_aside(cli: Cli, client: Any) -> None:
    """The application is back, and finds the table: a row returns only onto a free key."""
    only(
        cli,
        r0001_t=FIRST,
        r0002_t=f"-- migrate:up\nDROP TABLE t;\n-- migrate:down\n-- migrate:partial x\n{NARROW}",
    )
    ok(cli("up", "1"))
    insert(client, cli, (1, 1, 1))
    ok(cli("up", "2", *GO, "--set-aside", env=SHORT_KEPT))
    killed(cli, "noted | CREATE TABLE t__0002", "down", "1", *GO, env=SHORT_KEPT)
    client.execute(f"INSERT INTO {cli.keyspace}.t (a, c) VALUES (1, 9)")
    assert "1 rows stay in t__aside_0002_up" in ok(cli("down", "1", *GO, env=SHORT_KEPT))
    assert rows(client, cli) == {(1, None, 9)}
    assert rows(client, cli, "t__aside_0002_up") == {(1, 1, 1)}


TAKEN = (
    f"-- migrate:up\n-- migrate:rebuild\n{NARROW}-- migrate:down\n-- migrate:rebuild\n{T}"
    "INSERT INTO t (a, b) VALUES (1, 1);\n"
)


def test_a_key_that_the_file_itself_takes(cli: Cli, client: Any) -> None:
    """The row with that key stays aside. Neither it nor the file's is in the second copy."""
    only(cli, r0001_t=FIRST, r0002_t=TAKEN)
    ok(cli("up", "1"))
    insert(client, cli, (1, 1, 1), (1, 2, 2), (3, 3, 3))
    ok(cli("up", "2", *GO, "--set-aside", env=SHORT_KEPT))
    ok(cli("down", "1", *GO, env=SHORT_KEPT))
    assert rows(client, cli) == {(1, 1, None), (1, 2, 2), (3, 3, 3)}
    ddl(client, cli, "DROP TABLE KS.t")
    ok(cli("repair", "--restore", "--yes", env=SHORT_KEPT))
    (aside,) = [n for n in internal(client, cli) if "aside" in n]
    assert rows(client, cli) == {(1, 2, 2), (3, 3, 3)}
    assert rows(client, cli, aside) == {(1, 1, 1)}
    ok(cli("clean", "--yes", env=AT_ONCE))


@pytest.mark.parametrize("also", ["", "INSERT INTO t (a, b, c) VALUES (9, 9, 9);\n"])
def test_a_drop_that_lands_behind_a_way_back(
    cli: Cli, client: Any, server: Address, also: str
) -> None:
    """What comes back from aside has a second copy, whatever else the section writes."""
    only(
        cli,
        r0001_t=FIRST,
        r0002_t="-- migrate:up\nDROP TABLE t;\nCREATE TABLE t (x int PRIMARY KEY);\n"
        f"-- migrate:down\nDROP TABLE t;\n{T}{also}",
    )
    ok(cli("up", "1"))
    every = {(1, 1, 1), (2, 1, 2)}
    insert(client, cli, *every)
    ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
    client.execute(f"INSERT INTO {cli.keyspace}.t (x) VALUES (1)")
    first = First(cli, server)
    with first.begun(DROP_T, "down", "1", *GO, "--set-aside") as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("down", "1", *GO, "--set-aside", env=OTHERS_KEPT))
        assert rows(client, cli) >= every
        let_go(tap)
    ok(cli("repair", "--restore", "--yes", env=OTHERS_KEPT))
    assert rows(client, cli) >= every


# -- asides ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cleaned", [False, True])
def test_a_drop_of_an_aside_that_lands_on_the_next_one(
    cli: Cli, client: Any, server: Address, cleaned: bool
) -> None:
    """The next one has another name. A second copy stays for as long as it may be the last one."""
    only(cli, r0001_t=FIRST)
    ok(cli("up", "1"))
    every = {(1, 1, 1), (2, 1, 2)}
    insert(client, cli, *every)
    ok(cli("down", "base", *GO, "--set-aside", env=OTHERS_KEPT))
    first = First(cli, server)
    with first.begun(DROP_ASIDE, "up", "1", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("up", "1", *GO, env=OTHERS_KEPT))
        assert rows(client, cli) == every
        if not cleaned:
            insert(client, cli, (3, 3, 3))
            every.add((3, 3, 3))
        ok(cli("down", "base", *GO, "--set-aside", env=OTHERS_KEPT))
        assert "t__aside_0001_2" in internal(client, cli)
        let_go(tap)
    if cleaned:
        time.sleep(9)  # until its time, 0.0001 days, is over
        ok(cli("clean", "--yes", env=OTHERS_KEPT | {"CALLDROP_KEEP_SHADOW": "0.0001"}))
    ok(cli("up", "1", *GO, env=OTHERS_KEPT))
    assert rows(client, cli) == every


def test_a_drop_of_an_empty_aside_that_lands_on_the_next_one(
    cli: Cli, client: Any, server: Address
) -> None:
    """Rows that didn't fit are nowhere else: they have no second copy."""
    only(
        cli,
        r0001_t=FIRST,
        r0002_t=f"-- migrate:up\n-- migrate:rebuild\n{NARROW}"
        f"-- migrate:down\n-- migrate:rebuild\n{T}",
    )
    ok(cli("up", "1"))
    insert(client, cli, (1, 1, 1))
    first = First(cli, server)
    with first.begun(DROP_ASIDE, "up", "2", *GO, "--set-aside") as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
        ok(cli("down", "1", *GO, "--set-aside", env=OTHERS_KEPT))
        insert(client, cli, (1, 2, 2))
        ok(cli("up", "2", *GO, "--set-aside", env=OTHERS_KEPT))
        let_go(tap)
    ok(cli("down", "1", *GO, "--set-aside", env=OTHERS_KEPT))
    assert rows(client, cli) == {(1, 1, 1), (1, 2, 2)}


def test_a_spent_name_and_an_attempt_that_began_without_rows(
    cli: Cli, client: Any, server: Address
) -> None:
    only(cli, r0001_t=FIRST)
    ok(cli("up", "1"))
    insert(client, cli, (1, 1, 1))
    ok(cli("down", "base", *GO, "--set-aside", env=OTHERS_KEPT))
    first = First(cli, server)
    with first.begun(DROP_ASIDE, "up", "1", *GO) as tap:
        told(first.ended(), 8, "not known yet")
        ok(cli("up", "1", *GO, env=OTHERS_KEPT))
        client.execute(f"DELETE FROM {cli.keyspace}.t WHERE a = 1")
        killed(cli, "before | DROP TABLE t", "down", "base", *GO, "--set-aside", env=OTHERS_KEPT)
        insert(client, cli, (3, 3, 3), (4, 4, 4))
        ok(cli("down", "base", *GO, "--set-aside", env=OTHERS_KEPT))
        let_go(tap)
    ok(cli("up", "1", *GO, env=OTHERS_KEPT))
    assert rows(client, cli) == {(3, 3, 3), (4, 4, 4)}


# -- second copies --------------------------------------------------------------------------------


def test_an_old_copy_that_is_the_last_one(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    (old,) = internal(client, filled)
    ok(filled("down", "1", *GO, env=SHORT_KEPT))
    (new,) = [n for n in internal(client, filled) if n != old]
    ddl(client, filled, f"DROP TABLE KS.{new}", f"DROP TABLE KS.{TABLE}")
    said = ok(filled("clean", "--yes", env=AT_ONCE))
    assert f"{old} stays" in said
    assert numbers(client, filled, old) == ALL


def test_old_copies_go_one_after_the_other(filled: Cli, client: Any) -> None:
    """Each while a later one, or the table, has its rows."""
    for command in (("up", "2"), ("down", "1"), ("up", "2")):
        ok(filled(*command, *GO, "--set-aside", env=SHORT_KEPT))
    assert len(internal(client, filled)) == 3
    ok(filled("clean", "--yes", env=AT_ONCE))
    assert internal(client, filled) == []
    assert numbers(client, filled) == ALL


def test_old_copies_whose_rows_went_aside_and_came_back(cli: Cli, client: Any) -> None:
    down = f"-- migrate:down\n-- migrate:rebuild\n{T}"
    only(cli, r0001_t=FIRST, r0002_t=f"-- migrate:up\n-- migrate:rebuild\n{NARROW}{down}")
    ok(cli("up", "1"))
    insert(client, cli, (1, 1, 1), (1, 2, 2), (3, 3, 3))
    for command in (("up", "2"), ("down", "1"), ("up", "2"), ("down", "1")):
        ok(cli(*command, *GO, "--set-aside", env=SHORT_KEPT))
    ok(cli("clean", "--yes", env=AT_ONCE))
    assert internal(client, cli) == []
    assert rows(client, cli) == {(1, 1, 1), (1, 2, 2), (3, 3, 3)}


def test_a_table_that_never_got_the_rows(filled: Cli, client: Any) -> None:
    """It is there, and an older copy is the last one all the same."""
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    (old,) = internal(client, filled)
    killed(filled, "before | COPY call_records__0002", "down", "1", *GO, env=SHORT_KEPT)
    (new,) = [n for n in internal(client, filled) if n != old]
    ddl(client, filled, f"DROP TABLE KS.{new}")
    told(filled("abort", "--yes", env=SHORT_KEPT), 5, "Nor forwards")
    ok(filled("stamp", "1", "--yes", env=SHORT_KEPT))
    ok(filled("clean", "--yes", env=AT_ONCE))
    assert numbers(client, filled, old) == ALL


def test_a_copy_of_a_table_that_was_restored_and_then_rebuilt(filled: Cli, client: Any) -> None:
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    (old,) = internal(client, filled)
    ddl(client, filled, f"DROP TABLE KS.{TABLE}")
    ok(filled("repair", "--restore", "--yes", env=SHORT_KEPT))
    ok(filled("down", "1", *GO, env=SHORT_KEPT))
    ok(filled("clean", "--yes", env=AT_ONCE))
    assert old not in internal(client, filled)


@pytest.mark.parametrize(
    "key",
    ["extra, source_phone_number", "destination_number, call_timestamp", "destination_number"],
)
def test_a_table_of_another_key_that_somebody_made(filled: Cli, client: Any, key: str) -> None:
    """Rows don't go where they have no key, or where two of them would become one."""
    ok(filled("up", "2", *GO, env=SHORT_KEPT))
    shape = client.execute(
        "SELECT column_name AS n, type AS t FROM system_schema.columns"
        f" WHERE keyspace_name = '{filled.keyspace}' AND table_name = '{TABLE}'"
    )
    columns = ", ".join([*(f"{row['n']} {row['t']}" for row in shape), "extra int"])
    made = f"CREATE TABLE KS.{TABLE} ({columns}, PRIMARY KEY ({key}))"
    ddl(client, filled, f"DROP TABLE KS.{TABLE}", made)
    said = filled("repair", "--restore", "--yes", env=SHORT_KEPT)
    assert "Traceback" not in said.err + said.out, said.err
    assert f"{TABLE} has another key: they stay there" in said.err + said.out
    (copy,) = internal(client, filled)
    assert numbers(client, filled, copy) == ALL
    assert numbers(client, filled) == []


def test_somebody_makes_a_table_that_an_empty_rebuild_has_dropped(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    killed(cli, "noted | DROP TABLE call_records", "up", "2", *GO, env=SHORT)
    ddl(client, cli, again(cli))
    clear = f"DROP TABLE {cli.keyspace}.{TABLE};"
    told(cli("up", "2", *GO, env=SHORT), 5, "exists, and nothing recorded made it", clear)
    told(cli("repair", "--accept", "--yes", env=SHORT), 5, "half-way", clear)
    client.execute(clear)
    ok(cli("up", "2", *GO, env=SHORT))
