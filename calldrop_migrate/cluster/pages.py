"""Pages of rows as they are read: which of the rows are meant, which bring statics along, and in
how many batches they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calldrop_migrate.cluster.layout import Layout
from calldrop_migrate.cluster.raw import RawRow
from calldrop_migrate.engine.ports import CopyTask, Effort, Key

PAGE_ROWS = (50, 5000)  # fewest, and most: as many as give about PAGE_BYTES
PAGE_BYTES = 2**20
BATCH_ROWS = 100
BATCH_BYTES = 32_000  # Cassandra warns of batches over 5 KB only where they span partitions
PAGE_MOST_BYTES = 8 * 2**20  # rather than that, fewer than the fewest


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one reply, and when it was asked for (monotonic): before its TTLs were true.

    Attributes:
        rows: those that are meant.
        of_statics: rows that bring the statics of their partitions along.
    """

    rows: Sequence[RawRow]
    asked: float
    of_statics: Sequence[RawRow] = ()


def meant(task: CopyTask, layout: Layout, page: Page) -> Page:
    """The rows that a task is about. One that is skipped still brings its partition's statics."""
    keyed = ((layout.key_of(row), row) for row in page.rows)
    rows = [
        row
        for key, row in keyed
        if key not in task.skip and (task.only is None or key in task.only)
    ]
    return Page(rows, page.asked, page.rows if task.only is None else rows)


def effort(layout: Layout, read: Sequence[RawRow], rows: Sequence[RawRow]) -> Effort:
    """Return what a page took to be read, and would take to be written: batches, each of one
    partition of the target.
    """
    sizes: dict[Key, tuple[int, int]] = {}
    partitions = {layout.source_partition_of(row) for row in read}
    for row in rows:
        at = layout.target_key.partition_of(row)
        count, size = sizes.get(at, (0, 0))
        sizes[at] = (count + 1, size + sum(len(cell) for cell in row if cell))
    batches = (min(n, max(-(-n // BATCH_ROWS), -(-b // BATCH_BYTES))) for n, b in sizes.values())
    return Effort(sum(map(len, read)), len(partitions), sum(batches))


class Partitions:
    """The partitions of the target whose statics have been seen in a range.

    Each is to be written once, not with each row: a static list that is written twice at one time
    has its elements twice. What is remembered is of one partition of the source, hashes alone.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._source: Key = ()
        self._seen: set[int] = set()

    def of(self, page: Page) -> dict[Key, RawRow]:
        """Return the partitions of the target that are new with this page, with a row that has
        their statics.
        """
        layout, found = self._layout, dict[Key, RawRow]()
        for row in page.of_statics if layout.statics else ():
            source, target = layout.source_partition_of(row), layout.target_key.partition_of(row)
            if source != self._source:
                self._source = source
                self._seen.clear()
            if hash(target) in self._seen or layout.target_key.has_no_partition(row):
                continue
            if layout.has_statics(row):
                self._seen.add(hash(target))
                found[target] = row
        return found


def rows_per_page(rows: Sequence[RawRow], asked_for: int, calm: int = 0) -> int:
    """Return how many rows the next page shall have, by the size of some rows of this one.

    At most four times as many: the first rows may be small ones.
    """
    sample = rows[:: max(1, len(rows) // 50)]
    if not sample:
        return asked_for
    mean = max(1.0, sum(len(cell or b"") for row in sample for cell in row) / len(sample))
    fewest, most = PAGE_ROWS
    calmly = 4 * (asked_for << 2 * calm)  # what was asked for was calmed, too
    wanted = max(min(most, int(PAGE_BYTES / mean)), min(fewest, int(PAGE_MOST_BYTES / mean)))
    return calmed(min(calmly, wanted), calm)


def calmed(rows: int, calm: int) -> int:
    """A quarter of so many rows for each of `calm`: a few large ones can be too much for a read."""
    return max(1, rows >> 2 * calm)
