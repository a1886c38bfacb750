"""Statements of a simulated run among the requests of a real one: tests/support/mapping.py."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.mapping import Meant, shape, shape_of, shape_on_wire
from tests.support.simulator.faults import Sent
from tests.support.wire import Request, Tap

RENEWAL = "UPDATE migration_journal USING TTL ? SET owner = ? WHERE keyspace_name = ? IF owner = ?"
OTHERS = ("INSERT INTO migration_progress (range) VALUES (?)", "ALTER TABLE t ADD b int")


def requests(shapes: Sequence[str]) -> list[Request]:
    return [Request("EXECUTE", text) for text in shapes]


def found(shapes: Sequence[str], wire: Sequence[str]) -> int:
    """The place of a statement on the wire, from 0; behind the last where it never comes."""
    is_it = Meant(tuple(shapes)).finder()
    return next((at for at, r in enumerate(requests(wire)) if is_it(r)), len(wire))


@pytest.mark.parametrize(
    ("simulated", "real"),
    [
        ("DROP TABLE t__0002_fa0a78b7", "DROP TABLE t__0002_0123abcd"),
        (
            "CREATE TABLE t (a int) WITH ID = edf30bbf-b967-57fe-99f7-1ae09df84ae8",
            "CREATE TABLE t (a int) WITH gc_grace_seconds = 9",
        ),
        ("UPDATE calldrop.x SET a = ?", "UPDATE replay_9b94186853a5.x\n SET a = ?"),
        ("DROP TABLE IF EXISTS no_such_table_" + 4 * "fa0a78b7",) * 2,
    ],
)
def test_a_statement_has_the_same_shape_in_each_run(simulated: str, real: str) -> None:
    assert shape(simulated) == shape(real)


def test_rows_go_by_their_table() -> None:
    rows = shape_of(Sent("copy", "t__0002_fa0a78b7", (), "calldrop"))
    insert = 'INSERT INTO ks."t__0002_0123abcd" (a) VALUES (?)'
    assert shape_on_wire(Request("EXECUTE", insert)) == rows
    assert shape_on_wire(Request("BATCH", "", 2, insert)) == rows
    assert shape_on_wire(Request("EXECUTE", "DELETE a FROM ks.t USING TIMESTAMP ?")) != rows


@pytest.mark.parametrize("request_", [Request("PREPARE", OTHERS[1]), Request("QUERY", "SELECT 1")])
def test_what_changes_nothing_has_no_shape(request_: Request) -> None:
    assert not shape_on_wire(request_)


def test_renewals_are_not_counted() -> None:
    first, second = OTHERS
    assert found([first, second, first], [first, RENEWAL, RENEWAL, second, RENEWAL, first]) == 5
    assert found([first, RENEWAL, RENEWAL, second], [first, second]) == 1
    assert found([first, second, first], [first, second]) == 2


def test_a_renewal_is_found_by_what_comes_before_it() -> None:
    first, second = OTHERS
    assert found([first, RENEWAL, RENEWAL], [RENEWAL, first, RENEWAL, RENEWAL, second]) == 3
    assert found([RENEWAL], [RENEWAL, first]) == 0
    assert found([first, RENEWAL], [first, second, RENEWAL]) == 1  # it did without


def test_what_differs_is_told() -> None:
    rows, last = "INSERT INTO t (a) VALUES (?)", OTHERS[1]
    meant = Meant(("rows of t", "rows of t", last))

    def told(*wire: str) -> list[str]:
        tap = Tap("", 0, requests=requests(wire))
        tap.struck = tap.requests[-1]
        return meant.differs(tap)

    assert told(rows, rows, RENEWAL, last) == []
    assert told(rows, last) == ["rows of t: 2 in the simulation, 1 on the wire"]
    assert len(told(rows, rows, OTHERS[0], last)) == 1
