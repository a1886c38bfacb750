"""Work over ranges, each of which may be repeated: what copying, verifying and searching share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from calldrop_migrate.core.ranges import Range
from calldrop_migrate.errors import OutcomeUnknown, StatementRefused, Unreachable

T = TypeVar("T")
Look = Callable[[Sequence[Range]], Iterator[tuple[Range, T]]]
Do = Callable[..., Iterator[tuple[Range, Any]]]  # of a Bulk, a CopyTask, ranges, and what it needs
By = Callable[..., Iterator[tuple[Range, Any]]]  # the same, with somebody's Bulk
TRIES = 5


class Ranging:
    """Works on ranges until all are done; timeouts pass, and so does "does not exist", which a busy
    node can say for a moment of a table that has just been made.

    `between` is called between ranges and between the pages of one: it renews the lease, and raises
    when it is lost or when the user interrupts.

    Attributes:
        failed: how often work has failed since it was begun.
    """

    def __init__(self, between: Callable[[], None], sleep: Callable[[float], None]) -> None:
        self.between = between
        self.failed = 0
        self._sleep = sleep

    def over(
        self,
        ranges: Iterable[Range],
        work: Look[T],
    ) -> Iterator[tuple[Range, T]]:
        """Each range with what came of it, in any order.

        Raises:
            OutcomeUnknown, Unreachable, StatementRefused: no range got done in several tries.
        """
        left = {part.index: part for part in ranges}
        tries = self.failed = 0
        while left:
            try:
                for part, result in work(list(left.values())):
                    yield part, result
                    del left[part.index]
                    tries = 0
                    self.between()
            except (OutcomeUnknown, Unreachable, StatementRefused) as error:
                tries += 1
                self.failed += 1
                final = isinstance(error, StatementRefused) and not error.absent
                if final or tries == TRIES:
                    raise
                self.between()
                self._sleep(0.5 * 2**tries)
