"""The calls that `seed` loads: what the data model document says of them, and that they repeat."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby, islice
from random import Random
from statistics import stdev
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeds import call_records
from seeds.call_records import Options, rows
from tests.support.demo import COLUMNS, DEMO_SEED, NOW, Row, digest, moments, seeds

# The text of all 345 rows of the demo. It changes when any draw does: then the demo's seed has to
# be looked for again, and whoever reproduces a data set by its number has to be told.
DEMO_DIGEST = "b5358f79594905f1673f89ce7786b2969fda3081015cf03b947993086c075d61"


# Each example is dozens of calls, so few examples are many.
examples = settings(max_examples=25)


@st.composite
def some_options(draw: st.DrawFn) -> Options:
    calls_min = draw(st.integers(1, 12))
    return Options(
        users=draw(st.integers(1, 8)),
        calls_min=calls_min,
        calls_max=draw(st.integers(calls_min, 20)),
        success_rate=draw(st.floats(0, 1)),
        days=draw(st.integers(1, 400)),
        towers=draw(st.integers(1, 2000)),
    )


def made(seed: int = DEMO_SEED, now: datetime = NOW, options: Options | None = None) -> list[Row]:
    return list(rows(Random(seed), now, options or Options()))


def luhn_total(digits: str) -> int:
    """Luhn's sum as the standard words it, from the right: 0 modulo 10 when the number is right."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value if value < 10 else value - 9
    return total


# What holds for any options


@examples
@given(seeds, moments, some_options())
def test_rows_have_the_columns_of_the_table_in_python_types(
    seed: int, now: datetime, options: Options
) -> None:
    for row in made(seed, now, options):
        assert {column: type(value) for column, value in row.items()} == COLUMNS


@examples
@given(seeds, moments, some_options())
def test_each_user_comes_once_with_a_number_of_calls_within_the_options(
    seed: int, now: datetime, options: Options
) -> None:
    groups = [
        (user, len(list(calls)))
        for user, calls in groupby(
            made(seed, now, options), key=lambda row: row["source_phone_number"]
        )
    ]
    assert len(groups) == len({user for user, _ in groups}) == options.users
    assert all(options.calls_min <= calls <= options.calls_max for _, calls in groups)


@examples
@given(seeds, moments, some_options())
def test_no_user_starts_two_calls_in_one_millisecond(
    seed: int, now: datetime, options: Options
) -> None:
    all_rows = made(seed, now, options)
    assert len({(r["source_phone_number"], r["call_timestamp"]) for r in all_rows}) == len(all_rows)


@examples
@given(seeds, moments, some_options())
def test_calls_lie_within_the_days_and_have_ended_by_now(
    seed: int, now: datetime, options: Options
) -> None:
    now = now.astimezone(UTC)  # in a zone, an hour that comes twice would be taken for one
    for row in made(seed, now, options):
        start = row["call_timestamp"]
        assert start.utcoffset() == timedelta(0)
        assert start.microsecond % 1000 == 0
        assert start > now - timedelta(days=options.days)
        assert start + timedelta(seconds=row["call_duration_seconds"]) < now


@examples
@given(seeds, some_options())
def test_phone_numbers_are_valid_and_nobody_calls_themselves(seed: int, options: Options) -> None:
    # NANP: area code and exchange start with 2 to 9 and are none of the service codes N11.
    valid = re.compile(r"\+1(?:[2-9](?!11)\d\d){2}\d{4}")
    for row in made(seed, options=options):
        assert valid.fullmatch(row["source_phone_number"])
        assert valid.fullmatch(row["destination_number"])
        assert row["source_phone_number"] != row["destination_number"]


@examples
@given(seeds, some_options())
def test_each_call_has_an_imei_of_its_own_with_a_right_check_digit(
    seed: int, options: Options
) -> None:
    imeis = [row["source_phone_imei"] for row in made(seed, options=options)]
    assert len(set(imeis)) == len(imeis)
    for imei in imeis:
        assert re.fullmatch(r"35\d{13}", imei)
        assert luhn_total(imei) % 10 == 0


def test_the_check_of_check_digits_knows_a_published_imei() -> None:
    # The worked example that is found everywhere, and the same with a wrong last digit.
    assert luhn_total("490154203237518") % 10 == 0
    assert luhn_total("490154203237519") % 10 != 0


@examples
@given(seeds, some_options())
def test_towers_are_numbered_from_1(seed: int, options: Options) -> None:
    names = {f"TOWER-{number:03d}" for number in range(1, options.towers + 1)}
    for row in made(seed, options=options):
        assert {row["source_cell_tower_id"], row["destination_cell_tower_id"]} <= names


@examples
@given(seeds, some_options())
def test_failed_calls_are_short(seed: int, options: Options) -> None:
    for row in made(seed, options=options):
        if row["call_completed"]:
            assert 1 <= row["call_duration_seconds"] <= 3600
        else:
            assert 0 <= row["call_duration_seconds"] <= 30


# What hardly ever happens by chance, and must hold when it does


class Coarse:
    """Draws one of 251 numbers only: the lowest is drawn often, and so is the same one again."""

    def __init__(self, seed: int) -> None:
        self._fine = Random(seed)

    def random(self) -> float:
        return int(self._fine.random() * 251) / 251


@pytest.mark.parametrize("users", [1, 5])
def test_draws_that_repeat_do_no_harm(users: int) -> None:
    options = Options(users=users, calls_min=400, calls_max=400, success_rate=0.1, days=1)
    all_rows: list[Row] = list(rows(cast("Random", Coarse(1)), NOW, options))
    starts = {(row["source_phone_number"], row["call_timestamp"]) for row in all_rows}
    assert len(starts) == len(all_rows) == 400 * users
    for row in all_rows:
        assert row["source_phone_number"] != row["destination_number"]
        assert row["call_timestamp"] + timedelta(seconds=row["call_duration_seconds"]) < NOW


@examples
@given(seeds, st.integers(1, 500))
def test_an_order_has_each_number_once(seed: int, size: int) -> None:
    order = call_records._Order.draw(Random(seed), size)
    assert sorted(order.at(position) for position in range(size)) == list(range(size))


# What holds on average: fixed seeds, and bounds of five standard deviations should they change

MANY = Options(users=100, calls_min=100, calls_max=100)


@pytest.fixture(scope="module")
def many() -> list[Row]:
    return made(options=MANY)


def assert_share(hits: int, total: int, share: float) -> None:
    assert abs(hits - total * share) < 5 * math.sqrt(total * share * (1 - share))


def test_calls_complete_at_the_success_rate(many: list[Row]) -> None:
    assert_share(sum(row["call_completed"] for row in many), len(many), 0.85)


def test_success_is_drawn_per_call_and_not_rationed() -> None:
    # Rationing would give each seed the same count; a draw per call spreads them as coins do.
    options = Options(calls_min=20, calls_max=20)
    counts = [sum(row["call_completed"] for row in made(seed, NOW, options)) for seed in range(60)]
    expected = math.sqrt(15 * 20 * 0.85 * 0.15)
    assert 0.7 * expected < stdev(counts) < 1.3 * expected


@pytest.mark.parametrize(("rate", "outcomes"), [(0.0, {False}), (1.0, {True})])
def test_certain_success_rates_are_certain(rate: float, outcomes: set[bool]) -> None:
    assert {r["call_completed"] for r in made(options=Options(success_rate=rate))} == outcomes


def test_users_and_strangers_are_called(many: list[Row]) -> None:
    users = {row["source_phone_number"] for row in many}
    assert_share(sum(row["destination_number"] in users for row in many), len(many), 0.6)
    assert users == {row["destination_number"] for row in many} & users


def test_a_single_user_calls_strangers_only() -> None:
    all_rows = made(options=Options(users=1))
    assert all_rows[0]["source_phone_number"] not in {row["destination_number"] for row in all_rows}


def test_calls_spread_evenly_over_the_days_and_towers(many: list[Row]) -> None:
    days = Counter((NOW - row["call_timestamp"]).days for row in many)
    towers = Counter(row["source_cell_tower_id"] for row in many)
    towers += Counter(row["destination_cell_tower_id"] for row in many)
    assert sorted(days) == list(range(30))
    assert sorted(towers) == [f"TOWER-{number:03d}" for number in range(1, 101)]
    for calls in days.values():
        assert_share(calls, len(many), 1 / 30)
    for calls in towers.values():
        assert_share(calls, 2 * len(many), 1 / 100)


def test_completed_calls_take_minutes(many: list[Row]) -> None:
    seconds = sorted(row["call_duration_seconds"] for row in many if row["call_completed"])
    # Three even draws multiplied: an eighth of the longest on average, half of them below 7 %.
    assert 430 < sum(seconds) / len(seconds) < 470
    assert 200 < seconds[len(seconds) // 2] < 300


def test_each_number_of_calls_between_the_two_bounds_occurs() -> None:
    calls = Counter(row["source_phone_number"] for row in made(options=Options(users=200)))
    assert set(calls.values()) == {20, 21, 22, 23, 24, 25}


# The same again, and the demo


@examples
@given(seeds, moments, some_options())
def test_same_arguments_give_same_rows(seed: int, now: datetime, options: Options) -> None:
    assert made(seed, now, options) == made(seed, now, options)


def test_other_random_numbers_give_other_rows() -> None:
    assert digest(made(1)) != digest(made(2))


@examples
@given(seeds, moments, some_options())
def test_another_now_moves_the_calls_and_changes_nothing_else(
    seed: int, now: datetime, options: Options
) -> None:
    here, there = made(seed, NOW, options), made(seed, now, options)
    moved = now.astimezone(UTC).replace(microsecond=now.microsecond // 1000 * 1000) - NOW
    assert [row | {"call_timestamp": row["call_timestamp"] + moved} for row in here] == there


def test_the_zone_in_which_now_is_told_does_not_matter() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert digest(made(now=elsewhere)) == digest(made())


def test_an_hour_that_comes_twice_is_told_apart() -> None:
    zone = ZoneInfo("America/New_York")
    first, second = (datetime(2026, 11, 1, 1, 30, tzinfo=zone, fold=fold) for fold in (0, 1))
    options = Options(days=1)
    moved = [row["call_timestamp"] + timedelta(hours=1) for row in made(7, first, options)]
    assert [row["call_timestamp"] for row in made(7, second, options)] == moved
    assert digest(made(7, second, options)) == digest(made(7, second.astimezone(UTC), options))


def test_only_the_one_method_with_a_promised_sequence_is_called() -> None:
    class OnlyRandom:
        """Has no other method: what else is asked of it is an AttributeError."""

        random = Random(DEMO_SEED).random

    assert digest(list(rows(cast("Random", OnlyRandom()), NOW, Options()))) == DEMO_DIGEST


def test_rows_come_as_they_are_asked_for() -> None:
    # 600 million of them: a list would not end.
    first = list(islice(rows(Random(1), NOW, Options(users=30_000_000)), 50))
    assert len(first) == 50


@pytest.mark.parametrize(
    "now", [NOW, datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC)]
)
def test_the_demo_has_the_counts_of_the_document(now: datetime) -> None:
    all_rows = made(now=now)
    completed = sum(row["call_completed"] for row in all_rows)
    calls = Counter(row["source_phone_number"] for row in all_rows)
    assert (len(all_rows), completed, len(all_rows) - completed) == (345, 293, 52)
    assert (len(calls), min(calls.values()), max(calls.values())) == (15, 20, 25)


def test_the_demo_is_the_same_text_for_ever() -> None:
    assert digest(made()) == DEMO_DIGEST


# What is refused


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"users": 0}, "users is 0, it must be at least 1"),
        ({"users": -3}, "users is -3, it must be at least 1"),
        ({"calls_min": 0}, "calls_min is 0, it must be at least 1"),
        ({"calls_min": 26}, "calls_min (26) is above calls_max (25)"),
        ({"days": 0}, "days is 0, it must be at least 1"),
        ({"towers": 0}, "towers is 0, it must be at least 1"),
        ({"success_rate": -0.01}, "success_rate is -0.01, it must be from 0 to 1"),
        ({"success_rate": 85.0}, "success_rate is 85.0, it must be from 0 to 1"),
        ({"success_rate": math.nan}, "success_rate is nan, it must be from 0 to 1"),
        (
            {"users": 792 * 792 * 10_000},
            "users is 6272640000, there are only 6272639999 phone numbers",
        ),
        (
            {"users": 2_000_000, "calls_max": 500_001},
            "2000000 users with up to 500001 calls each can need more than the 1000000000000 "
            "IMEIs there are: every call has one of its own",
        ),
        (
            {"days": 1, "calls_max": 82_800_000},
            "calls_max is 82800000, but in 1 days one user has 82799999 milliseconds to call in, "
            "and no two calls start in the same one",
        ),
    ],
)
def test_options_without_sense_are_refused_in_a_sentence(
    bad: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Options(**bad)


def test_the_widest_options_are_taken() -> None:
    Options(users=792 * 792 * 10_000 - 1)
    Options(users=2_000_000, calls_max=500_000)
    Options(days=1, calls_max=82_799_999)


@pytest.mark.parametrize(
    ("now", "days", "sentence"),
    [
        (
            datetime(2026, 11, 23, 9),  # noqa: DTZ001 - the case
            30,
            "now is 2026-11-23T09:00:00, it must have a time zone",
        ),
        (
            datetime(1, 1, 30, tzinfo=UTC),
            30,
            "30 days before 0001-01-30T00:00:00+00:00 are outside the calendar",
        ),
        (NOW, 10**12, f"{10**12} days before {NOW.isoformat()} are outside the calendar"),
        (
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            1,
            "1 days before 0001-01-01T00:00:00+02:00 are outside the calendar",
        ),
    ],
)
def test_a_now_without_sense_is_refused_before_the_first_row(
    now: datetime, days: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        rows(Random(1), now, Options(days=days))


def test_options_do_not_change() -> None:
    options = Options()
    with pytest.raises(FrozenInstanceError):
        options.users = 16  # type: ignore[misc]


def test_the_module_is_what_a_seed_module_has_to_be() -> None:
    assert call_records.TABLE == "call_records"
    assert call_records.__doc__
    assert Options() == Options(15, 20, 25, 0.85, 30, 100)
    assert isinstance(rows(Random(1), NOW, Options()), Iterator)
