"""The last look before rows are destroyed: the tables that hold a table's rows now have as many as
it has.

It knows nothing of why a row may not fit, nor how a copy is made: it compares numbers of rows. Rows
only end while nobody writes, so what was read first can't be less than what was read later. A row's
end may differ by seconds between a table and its copy, so a second look leaves some time between
its counts.

A row may also end on one side alone. Where it was inserted for ever and its cells end, its copy
ends with them. Where a server doesn't tell that elements end, or a row of keys alone, the copy
stays. So a side may lack as many rows as it has lost since the proof read it, and no more than the
table has of those that may end. Where the table's rows last, the numbers have to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from calldrop_migrate import commands
from calldrop_migrate.core.carrying import identity
from calldrop_migrate.core.lives import Lives
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.operations import Proof, Rows, Run, Verify
from calldrop_migrate.core.schema import Table
from calldrop_migrate.engine.misfits import Search
from calldrop_migrate.engine.ports import Counted
from calldrop_migrate.errors import RowsAtRisk

APART = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Read:
    """A proof, the number of ranges that it read in, and how many rows.

    Attributes:
        emptied: the source may have been truncated already (`Place.emptied`): rows that only the
            target has are as they should be.
    """

    verify: Verify
    parts: int
    counted: Counted
    emptied: bool = False

    @property
    def is_exact(self) -> bool:
        """Return whether the target has the source's rows and no others."""
        return is_internal(self.verify.target.name) and not self.emptied


@dataclass(frozen=True, slots=True)
class Proven:
    """The proof on which a statement that destroys relies.

    Attributes:
        source: the table, with its id, as it was when its rows were proven to be elsewhere.
        reads: what the proofs have read.
    """

    source: Table
    reads: tuple[Read, ...] = field(default=(), repr=False)


class Balance:
    """The last looks of one run.

    Args:
        consistency: of the counts.
    """

    def __init__(
        self,
        search: Search,
        consistency: str,
        between: Callable[[], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._search = search
        self._consistency = consistency
        self._between = between
        self._sleep = sleep

    def see(self, operation: Run, proven: Proven) -> int:
        """See that all rows of a table are elsewhere; gives how many are not, and were told to be
        discarded.

        Raises:
            RowsAtRisk: rows are missing.
        """
        discarded = 0
        for read in proven.reads:
            if read.verify.rows is Rows.MISFITS:
                continue
            others = [other for other in proven.reads if _is_rest(other.verify, read.verify)]
            gone = read.counted.gone
            if operation.proof is Proof.DISCARD and not others:
                gone = discarded = read.counted.skipped
            aside = sum(self._rows_of(other) for other in others)
            if not self._adds_up(read, read.counted.source, aside, gone):
                self._look_again(operation, read, others, gone)
        return discarded

    def _adds_up(self, read: Read, source: int, aside: int, gone: int) -> bool:
        """Return whether what was read of the source is what was read of the target, a moment
        later.
        """
        missing = source - read.counted.target - aside
        if read.is_exact:
            return missing == gone
        return missing <= gone  # others may have written there

    def _look_again(self, operation: Run, read: Read, others: Sequence[Read], gone: int) -> None:
        """Counts everything anew; what the proof has mended since counts then."""
        holders = [read, *others]
        before = [self._rows_of(holder) for holder in holders]
        self._wait()
        verify = read.verify
        source = self._count(verify.source, verify.target, read)
        self._wait()
        after = [self._rows_of(holder) for holder in holders]
        held = sum(holder.counted.target + holder.counted.mended for holder in holders)
        ended = _at_most(source.ending, held - sum(before))
        ended_here = _at_most(source.rows - source.lasting, read.counted.source - source.rows)
        if sum(before) + gone + ended >= source.rows and (
            source.rows + ended_here >= sum(after) or not read.is_exact
        ):
            return
        shown = ", ".join(
            f"{holder.verify.target.name} {rows:,}"
            for holder, rows in zip(holders, before, strict=True)
        )
        more = f", and {gone:,} may be missing" if gone else ""
        more += f"; {ended:,} have ended meanwhile" if ended else ""
        raise RowsAtRisk(
            f"{operation.label}: {verify.source.name} has {source.rows:,} rows, and in the tables"
            f" that hold them now are others: {shown}{more}",
            state="Nothing was dropped.",
            hint=(
                "Is somebody writing to the table? Stop the writers, then run the same command"
                " again. If it says the same then, take back what was begun:"
                f"  {commands.abort()}"
            ),
        )

    def _rows_of(self, read: Read) -> int:
        target = read.verify.target
        return self._count(target, target, read).rows

    def _count(self, source: Table, target: Table, read: Read) -> Lives:
        """Rows of a table, as many as they are for `target`."""
        columns = identity(target.key) if source is target else read.verify.columns
        return self._search.count(source, target, columns, read.parts, self._consistency)

    def _wait(self) -> None:
        self._between()
        self._sleep(APART)
        self._between()


def _at_most(most: int, rows: int) -> int:
    """So many rows, or fewer; none where they are more than before."""
    return max(0, min(most, rows))


def _is_rest(other: Verify, verify: Verify) -> bool:
    """Return whether one is about the rows that another one leaves out."""
    same = (other.fits, other.fit_columns) == (verify.fits, verify.fit_columns)
    return verify.rows is Rows.FITS and other.rows is Rows.MISFITS and same
