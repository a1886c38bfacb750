"""Calls of mobile phone users, as the CallDrop data model describes them.

By default 15 users make 20 to 25 calls each within 30 days, of which 85 % complete, over 100 cell
towers. No user starts two calls in the same millisecond, so each revision of the table's key, also
the first one (user and time), holds every row.

Two models. `document`: times, towers and outcomes are even draws, each call has an IMEI of its own;
another `now` moves all calls in time and changes nothing else. `realistic`: subscribers with one
handset, a home, a place of work and few contacts that get most of the calls; calls follow hour and
weekday (in UTC); drops have a place and a time, bad towers in their bad hours.

The same random seed, `now` and `options` give the same rows on every Python: all draws come from
`Random.random()`, the one method whose sequence Python promises to keep, and nothing is computed
with functions that differ in the last digit between platforms or versions (logarithms, `sum` of
floats). Rows come in parts of whole users, each with a stream of its own, so parts can be made
anywhere and in any order. Phone numbers and IMEIs are unique by construction (`_Order`), not by
remembering what was drawn: memory holds the moments of one user at a time.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from math import gcd, isqrt
from random import Random
from typing import Literal

TABLE = "call_records"
TIME = "call_timestamp"
SPLIT = ("call_completed", {True: "completed", False: "failed"})

# Area codes and exchanges of North America start with 2 to 9; 211, 311 ... 911 are services.
_CODES = tuple(code for code in range(200, 1000) if code % 100 != 11)
_LINES = 10_000
_NUMBERS = len(_CODES) * len(_CODES) * _LINES

# An IMEI is a type code of 8 digits, a serial number of 6 and a check digit. Type codes that start
# with 35 come from BABT, a body that has assigned very many of them.
_IMEI_START = "35"
_IMEIS = 10**12

# Luhn's check digit adds up the digits, every other one doubled and cast out of nines: here for all
# groups of four digits, of which an IMEI has three behind its start.
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_LUHN = bytes(
    a + _DOUBLED[b] + c + _DOUBLED[d]
    for a in range(10)
    for b in range(10)
    for c in range(10)
    for d in range(10)
)
_LUHN_START = 3 + _DOUBLED[5]

_MILLISECONDS_PER_DAY = 24 * 60 * 60 * 1000
_LONGEST_CALL = 60 * 60
_LONGEST_FAILED_CALL = 30
_SHARE_OF_CALLS_AMONG_USERS = 0.6
_ROWS_PER_PART = 10_000

# -- what the realistic model knows of people and networks

_HOUR = 60 * 60 * 1000
_WEEK = 7 * _MILLISECONDS_PER_DAY
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY = 4 * _MILLISECONDS_PER_DAY  # the first one after the epoch
_CALLS_BY_HOUR = (
    *(5, 3, 2, 1, 2, 4, 10, 24, 42, 54, 58, 60),
    *(62, 57, 55, 57, 64, 75, 82, 78, 62, 40, 22, 11),
)
_CALLS_BY_WEEKDAY = (20, 20, 20, 21, 24, 18, 14)
_CALLS_BY_HOUR_OF_WEEK = tuple(accumulate(d * h for d in _CALLS_BY_WEEKDAY for h in _CALLS_BY_HOUR))
_WORK_HOURS = range(8, 17)
# How many times as likely a call is to fail: by the load of the hour, and on a bad tower.
_STRAIN = (2,) * 7 + (3,) * 10 + (4,) * 4 + (3, 2, 2)
_BAD, _BAD_IN_BAD_HOURS = 2, 14
_BAD_HOURS = 5
_TOWERS_PER_BAD_ONE = 12
# What sixteen coins multiply to is a log-normal, here with a median of 80 s and sigma 0.9: edges of
# seconds, by the number of heads.
_SECONDS_BY_HEADS = (2, 3, 4, 7, 11, 17, 26, 41, 64, 100, 157, 245, 384, 601, 940, 1472, 2304, 3600)


@dataclass(frozen=True, slots=True)
class Options:
    """What can be changed about the calls.

    Attributes:
        users: how many phones call.
        calls_min: the fewest calls of one user.
        calls_max: the most calls of one user.
        success_rate: the chance of each call to complete, from 0 to 1.
        days: the calls lie within this many days before `now`.
        towers: how many cell towers there are.
        model: see above.
        rows: that many calls, of as many users as it takes; then `users` doesn't count.

    Raises:
        ValueError: on values that no calls can be made from.
    """

    users: int = 15
    calls_min: int = 20
    calls_max: int = 25
    success_rate: float = 0.85
    days: int = 30
    towers: int = 100
    model: Literal["document", "realistic"] = "document"
    rows: int = 0

    @property
    def callers(self) -> int:
        """How many phones call: two make calls_min + calls_max together, where `rows` counts."""
        if not self.rows:
            return self.users
        pairs, left = divmod(self.rows, self.calls_min + self.calls_max)
        return 2 * pairs + (left > 0) + (left > self.calls_max)

    def __post_init__(self) -> None:
        for name in ("users", "calls_min", "days", "towers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.calls_min > self.calls_max:
            raise ValueError(f"calls_min ({self.calls_min}) is above calls_max ({self.calls_max})")
        # Written so that NaN, which compares false with everything, is refused too.
        if not 0 <= self.success_rate <= 1:
            raise ValueError(f"success_rate is {self.success_rate}, it must be from 0 to 1")
        if self.model not in ("document", "realistic"):
            raise ValueError(f"model is {self.model}, it must be document or realistic")
        if self.rows < 0:
            raise ValueError(f"rows is {self.rows}, it can't be negative")
        users = self.callers
        # One number at least must be left for those who are only called.
        if users >= _NUMBERS:
            raise ValueError(f"users is {users}, there are only {_NUMBERS - 1} phone numbers")
        if users * self.calls_max > _IMEIS:
            raise ValueError(
                f"{users} users with up to {self.calls_max} calls each can need more than the "
                f"{_IMEIS} IMEIs there are: every call has one of its own"
            )
        moments = _moments(self.days, _LONGEST_CALL)
        if self.calls_max > moments:
            raise ValueError(
                f"calls_max is {self.calls_max}, but in {self.days} days one user has {moments} "
                "milliseconds to call in, and no two calls start in the same one"
            )


def parts(options: Options) -> list[int]:
    """About how many rows each part has."""
    size, mean = _users_per_part(options), (options.calls_min + options.calls_max) / 2
    users = options.callers
    return [int(mean * min(size, users - first)) for first in range(0, users, size)]


def rows(
    random: Random, now: datetime, options: Options, part: int | None = None
) -> Iterator[dict[str, object]]:
    """Make the calls, grouped by user.

    Args:
        random: the only source of chance; in the same state for each part.
        now: calls have ended by then; a datetime with a time zone.
        options: how many calls, of whom, over what.
        part: those of one part only.

    Returns:
        An iterator over the rows, each with all eight columns of the table.

    Raises:
        ValueError: when `now` has no time zone or `options.days` reach back before year 1.
    """
    if now.utcoffset() is None:
        raise ValueError(f"now is {now.isoformat()}, it must have a time zone")
    try:
        now = now.astimezone(UTC)
        now - timedelta(days=options.days)
    except OverflowError:
        raise ValueError(
            f"{options.days} days before {now.isoformat()} are outside the calendar"
        ) from None
    # A CQL timestamp has milliseconds: more would not come back from the database as it was sent.
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return _calls(random, now, options, part)


def _calls(
    random: Random, now: datetime, options: Options, part: int | None
) -> Iterator[dict[str, object]]:
    """The rows, once the arguments are checked: a generator checks nothing before its first row."""
    numbers = _Order.draw(random, _NUMBERS)
    imeis = _Order.draw(random, _IMEIS)
    network = _Network.draw(random, options) if options.model == "realistic" else None
    size = _users_per_part(options)
    for at in range(-(-options.callers // size)) if part is None else (part,):
        stream = Random(f"{numbers} {imeis} {at}") if at else random
        made = at * size * options.calls_max
        for user, count in _counts(stream, options, range(at * size, (at + 1) * size)):
            caller, handset = _phone_number(numbers.at(user)), _imei(imeis.at(user))
            if network is None:
                calls = _plain_calls(stream, options, user, count)
            else:
                calls = _real_calls(stream, now, network, user, count)
            for callee, ago, seconds, source, destination, completed in calls:
                yield {
                    "source_phone_number": caller,
                    "destination_number": _phone_number(numbers.at(callee)),
                    "call_timestamp": now - timedelta(0, 0, 0, ago),
                    "call_duration_seconds": seconds,
                    "source_cell_tower_id": _tower(source),
                    "destination_cell_tower_id": _tower(destination),
                    "call_completed": completed,
                    "source_phone_imei": handset if network else _imei(imeis.at(made)),
                }
                made += 1


def _users_per_part(options: Options) -> int:
    """An even number: two users make up for each other where `rows` counts."""
    return max(2, _ROWS_PER_PART // options.calls_max // 2 * 2)


def _counts(random: Random, options: Options, users: range) -> Iterator[tuple[int, int]]:
    """Users with the number of their calls, which is drawn just before the calls are."""
    low, high, callers = options.calls_min, options.calls_max, options.callers
    pairs, left = divmod(options.rows, low + high)
    drawn = low
    for user in range(users.start, min(users.stop, callers)):
        if not options.rows or (user % 2 == 0 and user < 2 * pairs):
            drawn = low + _below(random, high - low + 1)
            yield user, drawn
        elif user < 2 * pairs:
            yield user, low + high - drawn
        elif left <= high:
            yield user, left
        else:
            yield user, low if user % 2 else left - low


# -- the document's model

# Whom, how many milliseconds ago, for how many seconds, from which tower, to which, completed.
_Call = tuple[int, int, int, int, int, bool]


def _plain_calls(random: Random, options: Options, user: int, count: int) -> Iterator[_Call]:
    draw, callers, towers = random.random, options.callers, options.towers
    taken: set[int] = set()
    for _ in range(count):
        completed = draw() < options.success_rate
        callee = _callee(random, user, callers)
        if completed:  # some minutes, a few nearly an hour
            # A product of draws leans to its low end and is exact everywhere; a logarithm is not.
            seconds = 1 + int(draw() * draw() * draw() * _LONGEST_CALL)
        else:
            seconds = int(draw() * (_LONGEST_FAILED_CALL + 1))
        moments = _moments(options.days, seconds)
        ago = seconds * 1000 + 1 + int(draw() * moments)
        while ago in taken:
            ago = seconds * 1000 + 1 + int(draw() * moments)
        taken.add(ago)
        yield callee, ago, seconds, int(draw() * towers), int(draw() * towers), completed


@dataclass(frozen=True, slots=True)
class _Order:
    """Every number below `size` exactly once, in a drawn order.

    Stepping through a ring meets each of its places once when step and size share no divisor.
    """

    size: int
    first: int
    step: int

    @classmethod
    def draw(cls, random: Random, size: int) -> "_Order":
        """Draw one of the orders."""
        first = _below(random, size)
        step = _below(random, size)
        while gcd(step, size) != 1:
            step = _below(random, size)
        return cls(size, first, step)

    def at(self, position: int) -> int:
        """The number at a position, which counts from 0 and is below `size`."""
        return (self.first + position * self.step) % self.size


def _below(random: Random, bound: int) -> int:
    """A whole number from 0 to below `bound`, which has to be far below 2**53 to be fair."""
    return int(random.random() * bound)


def _phone_number(index: int) -> str:
    """The phone number with an index, one for each index below `_NUMBERS`."""
    codes, line = divmod(index, _LINES)
    area, exchange = divmod(codes, len(_CODES))
    return f"+1{_CODES[area]}{_CODES[exchange]}{line:04d}"


@lru_cache(10_000)
def _tower(index: int) -> str:
    """The name of one of the cell towers, which count from 1."""
    return f"TOWER-{index + 1:03d}"


def _imei(index: int) -> str:
    """The IMEI with an index, one for each index below `_IMEIS`."""
    high, low = divmod(index, 10**8)
    total = _LUHN_START + _LUHN[high] + _LUHN[low // 10**4] + _LUHN[low % 10**4]
    return f"{_IMEI_START}{index:012d}{-total % 10}"


def _callee(random: Random, user: int, users: int) -> int:
    """The position of whom a user calls: another user, or one of the numbers after them all."""
    if users > 1 and random.random() < _SHARE_OF_CALLS_AMONG_USERS:
        other = int(random.random() * (users - 1))
        return other if other < user else other + 1
    return users + int(random.random() * (_NUMBERS - users))


def _moments(days: int, seconds: int) -> int:
    """How many milliseconds of the last `days` a call can start in that has ended by now.

    Neither end counts: whatever `now` lost when it was cut to milliseconds, all calls lie within.
    """
    return days * _MILLISECONDS_PER_DAY - seconds * 1000 - 1


# -- the realistic model


@dataclass(frozen=True, slots=True)
class _Network:
    """What all subscribers share.

    Attributes:
        towers: an order of them, for what is drawn of each.
        bad: at which hour the bad hours of a bad tower begin.
        good_fails, bad_fails, worst_fails: the chance to fail by hour, on a good tower, on a bad
            one, and there in its bad hours.
    """

    options: Options
    towers: "_Order"
    bad: dict[int, int]
    good_fails: tuple[float, ...]
    bad_fails: tuple[float, ...]
    worst_fails: tuple[float, ...]

    @classmethod
    def draw(cls, random: Random, options: Options) -> "_Network":
        """Draw a network in which calls complete at `success_rate`, all in all."""
        towers = _Order.draw(random, options.towers)
        count = max(1, options.towers // _TOWERS_PER_BAD_ONE)
        bad = {towers.at(place): 7 + _below(random, 14) for place in range(count)}
        # In whole numbers: the weight of all calls, and of how likely they are to fail.
        calls = options.towers * sum(_CALLS_BY_HOUR)
        failing = 0
        for hour in range(24):
            worst = sum((hour - begin) % 24 < _BAD_HOURS for begin in bad.values())
            towers_as = options.towers - count + _BAD * (count - worst) + _BAD_IN_BAD_HOURS * worst
            failing += _CALLS_BY_HOUR[hour] * _STRAIN[hour] * towers_as
        rate, mean = 1 - options.success_rate, failing / calls
        # As clustered as there is room for below certainty.
        highest = max(_STRAIN) * _BAD_IN_BAD_HOURS / mean
        room = min(1.0, (1 - rate) / (rate * (highest - 1))) if rate else 1.0
        chances = (
            tuple(rate * (1 + room * (strain * times / mean - 1)) for strain in _STRAIN)
            for times in (1, _BAD, _BAD_IN_BAD_HOURS)
        )
        return cls(options, towers, bad, *chances)

    def fails(self, tower: int, hour: int) -> float:
        """How likely a call from a tower is to fail."""
        begin = self.bad.get(tower)
        if begin is None:
            return self.good_fails[hour]
        return (self.worst_fails if (hour - begin) % 24 < _BAD_HOURS else self.bad_fails)[hour]

    def home(self, number: int) -> int:
        """The tower where the phone at a position among the numbers mostly is."""
        return self.towers.at(number % self.options.towers)


def _real_calls(
    random: Random, now: datetime, network: _Network, user: int, count: int
) -> Iterator[_Call]:
    """The calls of one subscriber."""
    draw, options, home = random.random, network.options, network.home(user)
    towers, callers, row = options.towers, options.callers, isqrt(options.towers)
    near = (*(0,) * 7, 1, -1, row, -row)  # neighbours in number, and one row of the map away
    work = home + 1 + int(draw() * 3 * row)
    circle = 5 + int(draw() * 60)
    contacts: dict[int, int] = {}
    until = (now - _EPOCH) // timedelta(milliseconds=1)
    since = until - options.days * _MILLISECONDS_PER_DAY
    taken: set[int] = set()
    for _ in range(count):
        # Most of the product's values are low: a few contacts get most of the calls.
        contact = int(circle * draw() * draw() * draw())
        callee = contacts.get(contact)
        if callee is None:
            callee = contacts[contact] = _callee(random, user, callers)
        heads = int(draw() * 2**16).bit_count()
        shortest, longest = _SECONDS_BY_HEADS[heads], _SECONDS_BY_HEADS[heads + 1]
        seconds = shortest + int(draw() * (longest - shortest))
        at = _moment(random, since, until - 1000 * seconds, taken)
        hour = at // _HOUR % 24
        weekday = (at - _MONDAY) // _MILLISECONDS_PER_DAY % 7
        working = weekday < 5 and hour in _WORK_HOURS and draw() < 0.7
        source = ((work if working else home) + near[int(draw() * len(near))]) % towers
        destination = (network.home(callee) + near[int(draw() * len(near))]) % towers
        completed = draw() >= network.fails(source, hour)
        if not completed:  # not even connected, or dropped on the way
            seconds = int(draw() * seconds) if draw() < 0.6 else 0
        yield callee, until - at, seconds, source, destination, completed


def _moment(random: Random, begin: int, end: int, taken: set[int]) -> int:
    """When a call starts, in milliseconds since the epoch: none of those in `taken`, to which it is
    added.
    """
    draw = random.random
    first = (begin - _MONDAY) // _WEEK
    weeks = (end - _MONDAY) // _WEEK - first + 1
    while True:
        hour = bisect_right(_CALLS_BY_HOUR_OF_WEEK, int(draw() * _CALLS_BY_HOUR_OF_WEEK[-1]))
        week = first + int(draw() * weeks)
        at = _MONDAY + week * _WEEK + hour * _HOUR + int(draw() * _HOUR)
        if begin < at < end and at not in taken:
            taken.add(at)
            return at
