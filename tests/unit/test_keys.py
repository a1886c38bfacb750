"""What is known of a copy's keys without a server: which can come to be one, which can be refused,
and which CASTs lose nothing. test_key_order.py compares the same with a server.
"""

from __future__ import annotations

import pytest

from calldrop_migrate.core.carrying import (
    can_be_refused,
    can_collide,
    can_collide_across,
    left_behind,
    uncopyable,
)
from calldrop_migrate.core.keys import UnknownOrder, canonical, is_loose, size_of
from calldrop_migrate.core.operations import Copy, Pairs
from calldrop_migrate.core.schema import Column, Table
from calldrop_migrate.core.widening import origin
from tests.support.casts import EXACT, SOURCE
from tests.support.values import decimal, sized, varint

TYPES = {"i": "int", "j": "int", "t": "text", "u": "text", "d": "decimal", "s": "frozen<spot>"}
CUSTOM = "'org.example.Order'"


def table(partition: str, clustering: str = "", **more: str) -> Table:
    types = TYPES | more
    columns = [Column(n, types[n], "partition_key", at) for at, n in enumerate(partition)]
    columns += [Column(n, types[n], "clustering", at, "asc") for at, n in enumerate(clustering)]
    rest = [Column(n, kind) for n, kind in types.items() if n not in partition + clustering]
    return Table("x", (*columns, *rest))


def same(target: Table, **other: str) -> Pairs:
    return tuple((c.name, other.get(c.name, c.name)) for c in target.columns)


@pytest.mark.parametrize(
    ("before", "after", "collide", "across"),
    [
        (("i", "t"), ("t", "i"), False, False),
        (("i", "t"), ("i", ""), True, False),
        (("i", "t"), ("t", ""), True, True),
        (("d", "t"), ("t", "d"), True, True),  # 1.0 and 1.00 are two partitions
        (("s", "t"), ("t", "s"), True, True),
        (("i", "d"), ("d", "i"), False, False),  # they were one row before
        (("i", "td"), ("i", "dt"), False, False),
        (("d", "t"), ("dt", "i"), False, False),
    ],
)
def test_which_rows_can_come_to_have_one_key(
    before: tuple[str, str], after: tuple[str, str], collide: bool, across: bool
) -> None:
    source, target = table(*before), table(*after)
    assert can_collide(source, target, same(target)) is collide
    assert can_collide_across(source, target, same(target)) is across


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (("i", "t"), ("i", "tj"), True),  # a little longer than it was
        (("i", "tu"), ("i", "u"), False),
        (("i", "j"), ("j", "i"), True),  # an empty int is a value
        (("i", "j"), ("ij", ""), False),
        (("it", ""), ("ti", "j"), False),
        (("i", "t"), ("it", ""), True),
        (("tu", "i"), ("t", "i"), True),  # of two columns each may be empty
    ],
)
def test_which_keys_can_be_refused(
    before: tuple[str, str], after: tuple[str, str], refused: bool
) -> None:
    source, target = table(*before), table(*after)
    assert can_be_refused(source, target, same(target)) is refused


def test_a_wider_key_keeps_rows_apart_unless_its_values_can_be_equal() -> None:
    source = table("i", "t", d="float")
    wider = table("i", "t", i="bigint")
    assert not can_collide(source, wider, same(wider, i="CAST(i AS bigint)"))
    floats, doubles = table("d", "t", d="float"), table("d", "t", d="double")
    assert can_collide(floats, doubles, same(doubles, d="CAST(d AS double)"))


def test_what_is_made_wider_is_not_left_behind() -> None:
    source, target = table("i"), table("i", j="bigint", d="double")
    columns = same(target, j="CAST(j AS bigint)", d="CAST(d AS double)")
    assert left_behind(source, columns) == ("d",)


def test_a_custom_type_is_refused_where_rows_could_meet() -> None:
    source, target = table("i", "t", t=CUSTOM), table("t", "", t=CUSTOM)
    for shape, told in ((table("j", "ti", t=CUSTOM), False), (table("j", "t", t=CUSTOM), True)):
        assert bool(uncopyable(Copy(source, shape, same(shape)))) is told
    assert not uncopyable(Copy(source, target, same(target)))  # as a partition key bytes count
    with pytest.raises(UnknownOrder):
        canonical(f"frozen<list<{CUSTOM}>>", {})


def test_types_whose_bytes_are_their_values() -> None:
    for kind in ("text", "frozen<set<text>>", "frozen<map<int, uuid>>", "vector<int, 3>"):
        assert not is_loose(kind)
        assert canonical(kind, {}) is None
    for kind in ("decimal", "tuple<int, int>", "spot", "frozen<list<frozen<spot>>>", CUSTOM):
        assert is_loose(kind)
    assert size_of("vector<vector<int, 3>, 2>") == 24
    assert size_of("text") == size_of("frozen<set<int>>") == 0


def test_a_decimal_of_many_zeros() -> None:
    """Stripped in a few steps, not one by one."""
    what = canonical("decimal", {})
    assert what is not None
    zeros = [decimal(7 * 10**at, at) for at in (0, 1, 5, 31, 4096, 30_001)]
    assert {what(value) for value in zeros} == {(7, 0)}
    assert what(decimal(0, 5)) == what(decimal(0, -5))
    assert what(b"") == b""


def test_collections_are_compared_part_by_part() -> None:
    kind = "frozen<map<decimal, tuple<int, varint>>>"
    what = canonical(kind, {})
    assert what is not None
    one, two = sized([b"\0\0\0\1", varint(5)]), sized([b"\0\0\0\1", varint(5, padding=1)])
    first, second = ([decimal(10, 1), one], [decimal(1, 0), two])
    assert what(b"\0\0\0\1" + sized(first)) == what(b"\0\0\0\1" + sized(second))
    assert what(b"\0\0\0\0") != what(b"\0\0\0\1" + sized(first))
    assert what(b"") != what(b"\0\0\0\0")


# -- CASTs -----------------------------------------------------------------------------------------


def test_which_casts_lose_nothing() -> None:
    whole = ("tinyint", "smallint", "int", "bigint", "varint", "decimal")
    wanted = {(n, m) for at, n in enumerate(whole) for m in whole[at + 1 :]}
    wanted |= {(n, m) for n in ("tinyint", "smallint") for m in ("float", "double")}
    assert wanted | {("int", "double"), ("float", "double"), ("ascii", "text")} == EXACT
    assert origin(SOURCE, "cast( int as bigint )") == "int"
    for text in ("CAST(int AS bigint) + 1", "abs(int)", "CAST(nothing AS int)", "CAST(abs(int) AS"):
        assert origin(SOURCE, text) == ""
