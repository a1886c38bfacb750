"""Calls of mobile phone users, as the CallDrop data model describes them.

By default 15 users make 20 to 25 calls each within 30 days, of which 85 % complete, over 100 cell
towers. No user starts two calls in the same millisecond, so each revision of the table's key, also
the first one (user and time), holds every row.

The same `Random` state, `now` and `options` give the same rows on every Python: all draws come from
`Random.random()`, the one method whose sequence Python promises to keep, and nothing is computed
with functions that differ in the last digit between platforms. How much is drawn never depends on
`now`, so another `now` moves all calls in time and changes nothing else.

Phone numbers and IMEIs are unique by construction (`_Order`), not by remembering what was drawn, so
memory holds no more than the moments of one user at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import gcd
from random import Random

TABLE = "call_records"
SPLIT = ("call_completed", {True: "completed", False: "failed"})

# Area codes and exchanges of North America start with 2 to 9; 211, 311 ... 911 are services.
_CODES = tuple(code for code in range(200, 1000) if code % 100 != 11)
_LINES = 10_000
_NUMBERS = len(_CODES) * len(_CODES) * _LINES

# An IMEI is a type code of 8 digits, a serial number of 6 and a check digit. Type codes that start
# with 35 come from BABT, a body that has assigned very many of them.
_IMEI_START = "35"
_IMEI_FREE_DIGITS = 12
_IMEIS = 10**_IMEI_FREE_DIGITS

# Luhn's check digit adds up the digits, every other one doubled and cast out of nines.
_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))

_MILLISECONDS_PER_DAY = 24 * 60 * 60 * 1000
_LONGEST_CALL = 60 * 60
_LONGEST_FAILED_CALL = 30
_SHARE_OF_CALLS_AMONG_USERS = 0.6


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

    Raises:
        ValueError: on values that no calls can be made from.
    """

    users: int = 15
    calls_min: int = 20
    calls_max: int = 25
    success_rate: float = 0.85
    days: int = 30
    towers: int = 100

    def __post_init__(self) -> None:
        for name in ("users", "calls_min", "days", "towers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.calls_min > self.calls_max:
            raise ValueError(f"calls_min ({self.calls_min}) is above calls_max ({self.calls_max})")
        # Written so that NaN, which compares false with everything, is refused too.
        if not 0 <= self.success_rate <= 1:
            raise ValueError(f"success_rate is {self.success_rate}, it must be from 0 to 1")
        # One number at least must be left for those who are only called.
        if self.users >= _NUMBERS:
            raise ValueError(f"users is {self.users}, there are only {_NUMBERS - 1} phone numbers")
        if self.users * self.calls_max > _IMEIS:
            raise ValueError(
                f"{self.users} users with up to {self.calls_max} calls each can need more than the "
                f"{_IMEIS} IMEIs there are: every call has one of its own"
            )
        moments = _moments(self.days, _LONGEST_CALL)
        if self.calls_max > moments:
            raise ValueError(
                f"calls_max is {self.calls_max}, but in {self.days} days one user has {moments} "
                "milliseconds to call in, and no two calls start in the same one"
            )


def rows(random: Random, now: datetime, options: Options) -> Iterator[dict[str, object]]:
    """Make the calls, grouped by user.

    Args:
        random: the only source of chance.
        now: calls have ended by then; a datetime with a time zone.
        options: how many calls, of whom, over what.

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
    return _calls(random, now, options)


def _calls(random: Random, now: datetime, options: Options) -> Iterator[dict[str, object]]:
    """The rows, once the arguments are checked: a generator checks nothing before its first row."""
    numbers = _Order.draw(random, _NUMBERS)
    imeis = _Order.draw(random, _IMEIS)
    spread = options.calls_max - options.calls_min + 1
    made = 0
    for user in range(options.users):
        source = _phone_number(numbers.at(user))
        taken: set[int] = set()
        for _ in range(options.calls_min + _below(random, spread)):
            completed = random.random() < options.success_rate
            callee = _callee(random, user, options.users)
            seconds = _duration(random, completed)
            ago = _start(random, seconds, options.days, taken)
            yield {
                "source_phone_number": source,
                "destination_number": _phone_number(numbers.at(callee)),
                "call_timestamp": now - timedelta(milliseconds=ago),
                "call_duration_seconds": seconds,
                "source_cell_tower_id": _tower(random, options.towers),
                "destination_cell_tower_id": _tower(random, options.towers),
                "call_completed": completed,
                "source_phone_imei": _imei(imeis.at(made)),
            }
            made += 1


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


def _callee(random: Random, user: int, users: int) -> int:
    """The position of whom a user calls: another user, or one of the numbers after them all."""
    if users > 1 and random.random() < _SHARE_OF_CALLS_AMONG_USERS:
        other = _below(random, users - 1)
        return other if other < user else other + 1
    return users + _below(random, _NUMBERS - users)


def _duration(random: Random, completed: bool) -> int:
    """Seconds: completed calls take some minutes, a few nearly an hour; failed ones end soon."""
    if completed:
        # A product of draws leans to its low end and is exact everywhere; a logarithm is not.
        skewed = random.random() * random.random() * random.random()
        return 1 + int(skewed * _LONGEST_CALL)
    return _below(random, _LONGEST_FAILED_CALL + 1)


def _moments(days: int, seconds: int) -> int:
    """How many milliseconds of the last `days` a call can start in that has ended by now.

    Neither end counts: whatever `now` lost when it was cut to milliseconds, all calls lie within.
    """
    return days * _MILLISECONDS_PER_DAY - seconds * 1000 - 1


def _start(random: Random, seconds: int, days: int, taken: set[int]) -> int:
    """How many milliseconds ago a call started, none of those in `taken`, to which it is added."""
    while True:
        ago = seconds * 1000 + 1 + _below(random, _moments(days, seconds))
        if ago not in taken:
            taken.add(ago)
            return ago


def _tower(random: Random, towers: int) -> str:
    """The name of one of the cell towers, which count from 1."""
    return f"TOWER-{1 + _below(random, towers):03d}"


def _imei(index: int) -> str:
    """The IMEI with an index, one for each index below `_IMEIS`."""
    digits = f"{_IMEI_START}{index:0{_IMEI_FREE_DIGITS}d}"
    # Bytes, because their sums run in C: this is the most often made and longest of the texts.
    coded = digits.encode()
    total = sum(coded[0::2].translate(_PLAIN)) + sum(coded[1::2].translate(_DOUBLED))
    return f"{digits}{-total % 10}"
