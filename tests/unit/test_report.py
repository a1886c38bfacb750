"""The page of `seed --report` from figures that no sample has: empty, far apart, hostile."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calldrop_migrate.cli.report import _edges, page
from calldrop_migrate.engine.figures import Figures
from calldrop_migrate.engine.seeding import Seeded

AGAIN = "--rows 7 --random-seed 507"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def seeded(counted_in: str = "calls_by_completion") -> Seeded:
    return Seeded("call_records", 4, 507, NOW, 1, (), 1, {}, counted_in, 1, (1, 1), 0.1, AGAIN)


def call(tower: str = "TOWER-001", *, completed: bool = True) -> dict[str, object]:
    return {
        "source_phone_number": "+1",
        "call_timestamp": datetime(2026, 11, 20, 13),  # noqa: DTZ001 (as the driver gives it)
        "source_cell_tower_id": tower,
        "call_completed": completed,
    }


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_each_value_lies_in_one_bin(values: list[int]) -> None:
    values.sort()
    edges = _edges(values)
    assert edges == sorted(set(edges))
    assert edges[0] <= values[0]
    assert values[-1] < edges[-1]
    assert len(edges) < 40


def test_a_table_of_something_else_has_partitions_alone() -> None:
    found = Figures()
    found.add({"a": 1}, 4)
    found.partitions = [4]
    text = page("shop", seeded("t"), found)
    assert text.count("<section>") == 1


def test_an_empty_table() -> None:
    assert "<section>" not in page("shop", seeded(), Figures())


@pytest.mark.parametrize("completed", [True, False])
def test_one_outcome_alone(completed: bool) -> None:
    found = Figures()
    found.add(call(completed=completed), 50)
    found.partitions = [50]
    text = page("shop", seeded(), found)
    assert "The view" not in text
    assert f"{int(not completed)} of 1 calls failed" in text


def test_names_are_text() -> None:
    found = Figures()
    found.add(call("<script>alert('$title')</script>"), 50)
    found.partitions = [50]
    text = page("shop", seeded(), found)
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#x27;$title&#x27;)" in text
