"""Targets and paths, and the plan of the four shipped revisions as golden files.

The golden files hold the text of every operation. Where a change of the planner changes them, read
the difference: it is what would run on somebody's table.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from calldrop_migrate.core.expansion import examine, expand
from calldrop_migrate.core.files import Migration, load
from calldrop_migrate.core.operations import Copy, Run, Verify, unproven
from calldrop_migrate.core.plan import Attempt, Direction, Facts, path, target_number
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.errors import UsageError

PROJECT = Path(__file__).parent.parent.parent
GOLDEN = Path(__file__).parent / "golden"
ATTEMPT = UUID("a1b2c3d4-0000-4000-8000-000000000000")


def shipped() -> tuple[Migration, ...]:
    return load({p.name: p.read_bytes() for p in (PROJECT / "migrations").iterdir()})


def passed(way: Direction, facts: Facts, numbers: list[int]) -> list[Attempt]:
    """The shipped revisions of these numbers, one after the other."""
    schema = Schema("calldrop", (("class", "NetworkTopologyStrategy"),))
    migrations = shipped()
    if way == "down":
        for migration in migrations:
            schema = expand(migration, "up", ATTEMPT, schema, Facts()).after
    attempts = []
    for number in numbers:
        attempts.append(expand(migrations[number - 1], way, ATTEMPT, schema, facts))
        schema = attempts[-1].after
    return attempts


def text(attempts: list[Attempt]) -> str:
    lines = []
    for attempt in attempts:
        lines.append(f"== {attempt.label}, {attempt.direction}")
        lines += [f"-- {note}" for note in attempt.notes]
        for operation in attempt.operations:
            proof = f"  [{operation.proof}]" if isinstance(operation, Run) else ""
            lines.append(" ".join(operation.text.split()) + proof)
    return "\n".join(lines) + "\n"


ROWS = frozenset({"call_records"})
PLANS: list[tuple[str, Direction, list[int], Facts]] = [
    ("up_empty", "up", [1, 2, 3, 4], Facts()),
    ("up_rows", "up", [2], Facts(filled=ROWS, elder=ROWS, keep_shadow=0)),
    ("down_empty", "down", [4, 3, 2, 1], Facts()),
    ("down_rows_set_aside", "down", [4, 3, 2, 1], Facts(filled=ROWS, elder=ROWS, set_aside=True)),
]


@pytest.mark.parametrize(("name", "way", "numbers", "facts"), PLANS)
def test_the_plan_of_the_shipped_revisions(
    name: str, way: Direction, numbers: list[int], facts: Facts
) -> None:
    if name == "up_rows":
        first = expand(shipped()[0], "up", ATTEMPT, Schema("calldrop"), Facts()).after
        attempts = [expand(shipped()[1], way, ATTEMPT, first, facts)]
    else:
        attempts = passed(way, facts, numbers)
    assert text(attempts) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert all(unproven(attempt.operations) == [] for attempt in attempts)


def test_an_empty_table_is_rebuilt_without_a_copy() -> None:
    _, second, *_ = passed("up", Facts(), [1, 2])
    labels = [op.label for op in second.operations]
    assert labels == ["DROP TABLE call_records", "CREATE TABLE call_records"]
    assert second.outages == ()


def test_a_table_with_rows_is_copied_twice_and_verified_before_each_drop() -> None:
    facts = Facts(filled=ROWS, elder=ROWS, keep_shadow=0)
    first = expand(shipped()[0], "up", ATTEMPT, Schema("calldrop"), Facts()).after
    attempt = expand(shipped()[1], "up", ATTEMPT, first, facts)
    kinds = [
        op.effect.verb if isinstance(op, Run) else type(op).__name__ for op in attempt.operations
    ]
    assert kinds == [
        *("drop", "create", "Copy", "Verify"),
        *("drop", "create", "Copy", "Verify", "drop"),
    ]
    assert attempt.outages == ("call_records",)
    finals = [op.final for op in attempt.operations if isinstance(op, Verify)]
    assert finals == [True, True]


def test_the_schema_comes_back_on_the_way_down() -> None:
    up = passed("up", Facts(), [1, 2, 3, 4])
    down = passed("down", Facts(), [4, 3, 2, 1])
    wanted = [attempt.before.comparable() for attempt in reversed(up)]
    assert [attempt.after.comparable() for attempt in down] == wanted


def test_the_shipped_revisions_have_no_faults() -> None:
    assert examine(shipped())[1] == ()


def test_resume_needs_the_same_operations_from_the_journal() -> None:
    facts = Facts(filled=ROWS, elder=ROWS, set_aside=True, keep_shadow=1.5)
    assert Facts.from_json(facts.to_json()) == facts
    (one,) = passed("down", facts, [4])
    again = expand(one.migration, "down", one.id, one.before, Facts.from_json(facts.to_json()))
    assert again.operations == one.operations


def test_a_discarded_misfit_is_nowhere_in_a_copy_of_misfits() -> None:
    attempts = passed("down", Facts(filled=ROWS, elder=ROWS, discard=True), [4, 3, 2])
    copies = [op for op in attempts[-1].operations if isinstance(op, Copy)]
    assert [str(copy.rows) for copy in copies] == ["rows that fit", "all rows"]


@pytest.mark.parametrize(
    ("target", "number"),
    [("head", 4), ("base", 0), ("2", 2), ("0002", 2), ("0", 0), ("+1", 3), ("+2", 4), ("+0", 2)],
)
def test_targets(target: str, number: int) -> None:
    assert target_number(target, 2, [1, 2, 3, 4]) == number


@pytest.mark.parametrize("target", ["5", "-1", "x", "", "+3", "²", "1.0", "++1", "head~1"])
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(UsageError) as caught:
        target_number(target, 2, [1, 2, 3, 4])
    assert caught.value.exit_code == 2
    assert "0001 to 0004" in caught.value.message


def test_paths() -> None:
    assert path(0, 2) == [(1, "up"), (2, "up")]
    assert path(3, 1) == [(3, "down"), (2, "down")]
    assert path(2, 2) == []
