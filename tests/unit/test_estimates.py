"""How long rows take, from how long reading them took."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from calldrop_migrate.core.expansion import expand
from calldrop_migrate.core.operations import Carried
from calldrop_migrate.core.plan import Attempt, Facts
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.estimating import Estimate, estimates
from calldrop_migrate.engine.misfits import Misfits, Survey
from calldrop_migrate.engine.ports import Effort
from tests.support.world import loaded

# 50,000 rows of four cells and two columns of the key, in 500 partitions.
SURVEY = Survey("t", 50_000, 3_400_000, 2.0, 64, Effort(14 * 50_000, 500, 500))


@pytest.fixture
def attempt() -> Attempt:
    """A rebuild of a table with rows into the same partitions."""
    table = "CREATE TABLE t (a int, b int, c int, PRIMARY KEY (a, b))"
    first, second = loaded(
        f"-- migrate:up\n{table};\n-- migrate:irreversible x\n",
        f"-- migrate:up\n-- migrate:rebuild\n{table} WITH CLUSTERING ORDER BY (b DESC);\n"
        "-- migrate:irreversible x\n",
    )
    schema = expand(first, "up", UUID(int=1), Schema("k", (("class", "X"),)), Facts()).after
    facts = Facts(filled=frozenset({"t"}), keep_shadow=0)
    return expand(second, "up", UUID(int=2), schema, facts)


def estimated(attempt: Attempt, survey: Survey, most: float | None = None) -> Estimate:
    (found,) = estimates(attempt, [survey], lambda _: None, most)
    return found


def test_it_takes_as_much_longer_as_reading_took(attempt: Attempt) -> None:
    once, slowly = (estimated(attempt, replace(SURVEY, seconds=s)) for s in (2.0, 20.0))
    assert slowly.seconds == pytest.approx(10 * once.seconds)
    assert once.rate == 25_000
    # Measured on such a table: a copy took 3.1 to 4.3 times as long as reading it, a verify 2.1.
    assert once.seconds / 2 == pytest.approx(2 * (3.3 + 2.1), rel=0.2)
    # Behind the DROP lie the second half of it.
    assert once.outage == pytest.approx(once.seconds / 2)


def test_rows_that_scatter_take_longer(attempt: Attempt) -> None:
    """A partition of 50,000 rows becomes as many of one: a copy took 93 to 144 times as long."""
    wide = Survey("t", 50_000, 1_090_000, 0.7, 64, Effort(5 * 50_000, 1, 50_000))
    scattered = estimated(attempt, wide)
    assert scattered.seconds / 0.7 == pytest.approx(2 * (110 + 2.2), rel=0.3)


def test_large_rows(attempt: Attempt) -> None:
    """200 of 1 MB: a copy took 1.2 to 1.9 times as long as reading them, a verify 1.3 to 3.4."""
    large = estimated(attempt, Survey("t", 200, 200 * 2**20, 4.0, 1, Effort(1400, 200, 200)))
    assert large.seconds / 4 == pytest.approx(2 * (1.7 + 2.5), rel=0.3)


def test_no_faster_than_is_allowed(attempt: Attempt) -> None:
    fast = replace(SURVEY, seconds=0.5)
    assert estimated(attempt, fast, 1000).seconds == pytest.approx(4 * 50)
    held = replace(SURVEY, seconds=50)  # read at the pace that is allowed
    assert estimated(attempt, held, 1000).seconds == pytest.approx(4 * 50)
    slow = replace(SURVEY, seconds=100)  # a server that doesn't come to it
    assert estimated(attempt, slow, 1000).seconds == estimated(attempt, slow).seconds


def test_only_what_is_left_counts(attempt: Attempt) -> None:
    carried = [i for i, op in enumerate(attempt.operations) if isinstance(op, Carried)]
    resumed = replace(attempt, done=carried[2])
    whole, rest = estimated(attempt, SURVEY), estimated(resumed, SURVEY)
    assert rest.seconds == pytest.approx(whole.outage)
    done = replace(attempt, done=len(attempt.operations))
    assert list(estimates(done, [SURVEY], lambda _: Misfits("t"), None)) == []
