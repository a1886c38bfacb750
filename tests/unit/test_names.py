"""Names of tables that the tool makes: they fit, they differ, and nothing else is taken for one."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calldrop_migrate.core.names import BOOKKEEPING, LONGEST, aside, is_internal, shadow

ATTEMPT = UUID("a1b2c3d4-0000-4000-8000-000000000000")
TABLES = st.text("abzAZ09_", min_size=1, max_size=48)
REVISIONS = st.integers(1, 9999)
NTHS = st.integers(1, 99)
few = settings(max_examples=30)


def test_what_they_look_like() -> None:
    assert shadow("call_records", 2, ATTEMPT) == "call_records__0002_a1b2c327"
    assert aside("call_records", 2, "down") == "call_records__aside_0002"
    assert aside("call_records", 2, "up") == "call_records__aside_0002_up"
    assert aside("call_records", 2, "up", cells=True) == "call_records__aside_0002_up_cells"
    assert aside("call_records", 12, "down", nth=3) == "call_records__aside_0012_3"


@few
@given(TABLES, REVISIONS, st.uuids(), NTHS)
def test_they_fit_and_are_recognised(table: str, revision: int, attempt: UUID, nth: int) -> None:
    made = [shadow(table, revision, attempt)]
    for direction in ("up", "down"):
        for cells in (False, True):
            made.append(aside(table, revision, direction, cells=cells, nth=nth))
    assert len(set(made)) == 5
    for name in made:
        assert len(name) <= LONGEST
        assert is_internal(name)
        # What belongs to one of them belongs to the tool, too.
        assert is_internal(aside(name, revision, "up"))


@few
@given(TABLES, TABLES, REVISIONS, st.uuids())
def test_two_tables_never_share_one(one: str, other: str, revision: int, attempt: UUID) -> None:
    if one != other:
        assert shadow(one, revision, attempt) != shadow(other, revision, attempt)
        assert aside(one, revision, "up") != aside(other, revision, "up")


def test_long_tables_that_begin_alike() -> None:
    one, other = "t" * 47 + "a", "t" * 47 + "b"
    assert shadow(one, 1, ATTEMPT) != shadow(other, 1, ATTEMPT)
    assert aside(one, 1, "up", cells=True, nth=12) != aside(other, 1, "up", cells=True, nth=12)


@few
@given(TABLES, REVISIONS, st.uuids(), st.uuids())
def test_another_attempt_has_another_shadow(
    table: str, revision: int, one: UUID, other: UUID
) -> None:
    if one.hex[:6] != other.hex[:6]:
        assert shadow(table, revision, one) != shadow(table, revision, other)


@pytest.mark.parametrize(
    "name",
    [
        *("calls__2024", "calls__by_day", "calls__aside", "__calls", "calls__", "a__b__c"),
        *(
            "calls__0002_a1b2c3",
            "sales__2024_202401",
            "calls__2024_01012024",
            "sales__2025_00000000",
        ),
        *(
            "call_records__0002_A1B2C327",
            "call_records__0002_a1b2c328",
            "call_records__002_a1b2c327",
        ),
        *("calls__aside_12", "calls__aside_0002_down", "calls__aside_0002_up_", "__aside_0002"),
        *("migration_journals", "paxos", "call_records_scylla_cdc", "call_records"),
    ],
)
def test_a_table_of_the_user(name: str) -> None:
    assert not is_internal(name)


@few
@given(st.from_regex(r"[a-z_]{1,20}__[0-9]{4}_[0-9]{2,8}", fullmatch=True))
def test_tables_by_month_or_day_are_the_users(name: str) -> None:
    """Only one of 256 names of that very form is taken for a shadow."""
    if is_internal(name):
        assert not is_internal(name[:-1] + ("0" if name[-1] != "0" else "1"))


@pytest.mark.parametrize("name", [*BOOKKEEPING, "calls$paxos", "calls_scylla_cdc_log"])
def test_bookkeeping_and_what_servers_make(name: str) -> None:
    assert is_internal(name)
