"""The elements of a collection or user type, from bytes: what is read, and what is written of them.

No server; here because the package that is tested needs the driver.
"""

from __future__ import annotations

import pytest

from calldrop_migrate.cluster.elements import Element, Elements, pack
from calldrop_migrate.cluster.raw import long, seconds


def times(*values: int | None) -> bytes:
    """A list of bigints, or of nulls, as a server writes it."""
    parts = [b"\xff\xff\xff\xff" if v is None else b"\0\0\0\x08" + long(v) for v in values]
    return len(values).to_bytes(4, "big") + b"".join(parts)


def lives(*values: int | None) -> bytes:
    parts = [b"\xff\xff\xff\xff" if v is None else b"\0\0\0\x04" + seconds(v) for v in values]
    return len(values).to_bytes(4, "big") + b"".join(parts)


MOST = 10**6  # bytes


def column(kind: str, fields: tuple[str, ...] = ()) -> Elements:
    return Elements("it", kind, fields, 0, (1, 2))


def test_elements_go_by_time_and_life() -> None:
    tags = column("map<text, int>")
    row = [pack([b"a", b"1", b"", b"2", b"c", b""], 3), times(5, 5, 9), lives(60, 60, None)]
    assert tags.read(row)[1] == Element(b"", b"2", 5, 60)
    groups = tags.groups(row, 1.5, 0)
    assert list(groups) == [(5, 58), (9, 0)]
    assert list(tags.writes(groups, 7, MOST)) == [
        ((5, 58), ("it = it + ?", [pack([b"a", b"1", b"", b"2"], 2)]), False),
        ((9, 0), ("it = it + ?", [pack([b"c", b""], 1)]), False),
    ]
    assert tags.groups(row, 60, 0) == {(9, 0): [Element(b"c", b"", 9, None)]}
    assert tags.remove(tags.read(row)[:1]) == ("UPDATE", "it = it - ?", [pack([b"a"])])


def test_a_field_is_written_by_its_name() -> None:
    spot = column("spot", ("lat", "Note", "later"))
    # The type has a field more than the value, and one is null.
    row = [b"\0\0\0\x01x\xff\xff\xff\xff", times(5, None, None), lives(None, None, None)]
    assert spot.read(row) == [Element(b"lat", b"x", 5, None)]
    row = [b"\0\0\0\x01x\0\0\0\0", times(5, 5, None), lives(None, None, None)]
    ((_, assignment, _),) = spot.writes(spot.groups(row, 0, 0), 0, MOST)
    assert assignment == ('it.lat = ?, it."Note" = ?', [b"x", b""])
    assert spot.remove(spot.read(row)) == ("DELETE", 'it.lat, it."Note"', [])


def test_a_list_is_written_whole_and_later_each_time() -> None:
    path = column("list<text>")
    row = [pack([b"x", b"y", b"x", b"z"]), times(5, 9, 5, 6), lives(None, None, 60, 1)]
    groups = path.groups(row, 1, 0)
    first, second = (list(path.writes(groups, turn, MOST)) for turn in (1, 2))
    assert first == [
        ((41, 0), ("it = ?", [pack([b"x", b"y"])]), False),
        ((41, 59), ("it = it + ?", [pack([b"x"])]), False),
    ]
    assert [when for (when, _), *_ in second] == [73, 73]
    assert list(path.writes({}, 3, MOST)) == []


def test_what_is_too_large_goes_in_parts() -> None:
    """Those of a list behind each other, at times between two turns."""
    path, tags = column("list<text>"), column("set<text>")
    values = [b"x" * size for size in (10, 30, 5, 5, 100)]
    row = [pack(values), times(*[5] * 5), lives(None, None, None, 60, 60)]
    written = list(path.writes(path.groups(row, 0, 0), 1, 80))
    assert [(when, behind, packed) for when, (_, packed), behind in written] == [
        ((37, 0), False, [pack(values[:2])]),
        ((38, 0), True, [pack(values[2:3])]),
        ((38, 60), False, [pack(values[3:4])]),
        ((39, 60), True, [pack(values[4:])]),
    ]
    assert [text for _, (text, _), _ in written] == ["it = ?"] + ["it = it + ?"] * 3
    parts = list(tags.writes(tags.groups(row, 0, 0), 1, 80))
    assert [packed for _, (_, packed), _ in parts] == [
        [pack(values[:3])],
        [pack(values[3:4])],
        [pack(values[4:])],
    ]


def test_a_list_has_no_more_parts_than_there_are_times_between_turns() -> None:
    path = column("list<text>")
    sizes = [b"x" * (1 + 600 * (n % 3)) for n in range(1000)]
    row = [pack(sizes), times(*[5] * 1000), lives(*[None] * 1000)]
    found = [when for when, *_ in path.writes(path.groups(row, 0, 0), 0, 200)]
    assert found[0] == (5, 0)
    assert found[-1][0] < 5 + 32


@pytest.mark.parametrize("kind", ["set<text>", "list<text>"])
def test_times_that_are_not_told(kind: str) -> None:
    it = Elements("it", kind, (), 0, None)
    row = [pack([b"a", b""])]
    assert list(it.groups(row, 5, 77)) == [(77, 0)]
    assert it.groups([None], 5, 77) == {}
