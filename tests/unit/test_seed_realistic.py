"""The realistic model of the calls, and what both models promise: parts that can be made anywhere,
and exactly as many rows as were asked for.
"""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeds.call_records import Options, parts, rows
from tests.support.demo import DEMO_SEED, NOW, Row, digest, moments, seeds

# The text of 345 rows. It changes when any draw does: tell whoever reproduces a data set by its
# number.
DIGEST = "d6026e40a0f44c3209ce89e8b0cf765b2253dcf91a552a6dcddaf0ddf62f13b2"
MODELS = pytest.mark.parametrize("model", ["document", "realistic"])
examples = settings(max_examples=15, deadline=None)


@st.composite
def options_of_any_model(draw: st.DrawFn) -> Options:
    low = draw(st.integers(1, 12))
    return Options(
        draw(st.integers(1, 8)),
        *(low, draw(st.integers(low, 20)), draw(st.floats(0, 1))),
        *(draw(st.integers(1, 400)), draw(st.integers(1, 2000))),
        model=cast("Any", draw(st.sampled_from(["document", "realistic"]))),
        rows=draw(st.just(0) | st.integers(1, 150)),
    )


def made(options: Options, seed: int = DEMO_SEED, now: datetime = NOW) -> list[Row]:
    return list(rows(Random(seed), now, options))


# -- both models


@examples
@given(seeds, moments, options_of_any_model())
def test_what_the_first_key_and_the_clock_ask_of_all_calls(
    seed: int, now: datetime, options: Options
) -> None:
    calls, now = made(options, seed, now), now.astimezone(UTC)
    assert len({(r["source_phone_number"], r["call_timestamp"]) for r in calls}) == len(calls)
    assert len(calls) == options.rows or not options.rows
    assert len({r["source_phone_number"] for r in calls}) == options.callers
    towers = {f"TOWER-{n:03d}" for n in range(1, options.towers + 1)}
    for r in calls:
        assert r["source_phone_number"] != r["destination_number"]
        assert now - timedelta(days=options.days) < r["call_timestamp"]
        assert r["call_timestamp"] + timedelta(seconds=r["call_duration_seconds"]) < now
        assert {r["source_cell_tower_id"], r["destination_cell_tower_id"]} <= towers


@MODELS
def test_parts_are_made_without_each_other_and_together_are_all(model: Any) -> None:
    options = Options(rows=25_000, model=model)
    about = parts(options)
    assert len(about) > 2
    assert abs(sum(about) - 25_000) < 50
    each = {part: list(rows(Random(3), NOW, options, part)) for part in reversed(range(len(about)))}
    assert [row for part in range(len(about)) for row in each[part]] == made(options, 3)
    keys = Counter(
        (r["source_phone_number"], r["call_timestamp"]) for p in each.values() for r in p
    )
    assert len(keys) == 25_000
    assert digest(each[0][:100]) != digest(each[1][:100])


@MODELS
def test_a_number_of_rows_is_met_exactly(model: Any) -> None:
    for count in (1, 19, 20, 25, 26, 44, 45, 46, 70, 1000, 1007):
        calls = made(Options(rows=count, model=model))
        assert len(calls) == count
        by_user = list(Counter(row["source_phone_number"] for row in calls).values())
        # The last two have what is left.
        assert all(20 <= calls <= 25 for calls in by_user[:-2])
        assert all(1 <= calls <= 25 for calls in by_user)


def test_imeis_of_the_document_are_one_per_call_in_all_parts() -> None:
    calls = made(Options(rows=25_000))
    assert len({row["source_phone_imei"] for row in calls}) == 25_000


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [({"model": "x"}, "model is x, it must"), ({"rows": -1}, "rows is -1, it can't be negative")],
)
def test_senseless_options(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Options(**bad)


# -- the realistic one

MANY = Options(rows=40_000, model="realistic")


@pytest.fixture(scope="module")
def many() -> list[Row]:
    return made(MANY)


def test_it_is_the_same_text_for_ever() -> None:
    assert digest(made(Options(rows=345, model="realistic"))) == DIGEST


def test_only_random_random_is_called() -> None:
    class OnlyRandom:
        random = Random(DEMO_SEED).random

    calls = list(
        rows(cast("Random", OnlyRandom()), NOW, Options(rows=345, model="realistic"), part=0)
    )
    assert digest(calls) == DIGEST


def test_a_subscriber_has_one_handset(many: list[Row]) -> None:
    pairs = {(row["source_phone_number"], row["source_phone_imei"]) for row in many}
    assert len(pairs) == MANY.callers == len({handset for _, handset in pairs})


def test_drops_have_a_place_and_a_time(many: list[Row]) -> None:
    """A few towers fail far more often than others, and mostly in a few hours of the day."""
    by_tower: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in many:
        count = by_tower[row["source_cell_tower_id"]]
        count[row["call_completed"]] += 1
    share = {tower: failed / (failed + good) for tower, (failed, good) in by_tower.items()}
    worst = sorted(share, key=lambda tower: share[tower])[-8:]
    rest = [rate for tower, rate in share.items() if tower not in worst]
    assert min(share[tower] for tower in worst) > 2 * sum(rest) / len(rest)
    hours = Counter(
        row["call_timestamp"].hour
        for row in many
        if row["source_cell_tower_id"] == worst[-1] and not row["call_completed"]
    )
    assert max(sum(hours[(h + i) % 24] for i in range(5)) for h in range(24)) > 0.6 * hours.total()


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.85, 0.99, 1.0])
def test_calls_complete_at_the_success_rate(rate: float) -> None:
    calls = made(Options(rows=20_000, model="realistic", success_rate=rate))
    completed = sum(row["call_completed"] for row in calls) / len(calls)
    assert abs(completed - rate) < (0.02 if 0 < rate < 1 else 1e-9)


def test_calls_follow_the_day_and_the_week(many: list[Row]) -> None:
    hours = Counter(row["call_timestamp"].hour for row in many)
    assert max(hours, key=lambda hour: hours[hour]) in (17, 18, 19)
    assert hours[18] > 20 * hours[3] > 0
    # 28 days of the 30: as many of each weekday.
    recent = [r["call_timestamp"] for r in many if NOW - r["call_timestamp"] < timedelta(days=28)]
    days = Counter(moment.weekday() for moment in recent)
    assert days[4] > 1.3 * days[6]


def test_durations_are_log_normal_and_drops_cut_them(many: list[Row]) -> None:
    seconds = sorted(row["call_duration_seconds"] for row in many if row["call_completed"])
    median, mean = seconds[len(seconds) // 2], sum(seconds) / len(seconds)
    assert 70 < median < 90
    assert 1.3 * median < mean < 1.8 * median
    dropped = [row["call_duration_seconds"] for row in many if not row["call_completed"]]
    assert 0.3 < dropped.count(0) / len(dropped) < 0.5
    assert sum(dropped) / len(dropped) < mean / 2


def test_a_few_contacts_get_most_calls_from_a_few_towers() -> None:
    calls = made(Options(users=40, calls_min=200, calls_max=200, model="realistic"))
    contacts: dict[str, Counter[str]] = defaultdict(Counter)
    towers: dict[str, Counter[str]] = defaultdict(Counter)
    for row in calls:
        contacts[row["source_phone_number"]][row["destination_number"]] += 1
        towers[row["source_phone_number"]][row["source_cell_tower_id"]] += 1
    shares = [sum(n for _, n in called.most_common(3)) / 200 for called in contacts.values()]
    assert sum(shares) / len(shares) > 0.5
    assert all(4 <= len(called) < 65 for called in contacts.values())
    # Home, work, and what is beside them.
    assert all(2 <= len(used) <= 10 for used in towers.values())
