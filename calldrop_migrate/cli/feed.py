"""Progress on stderr while a command works: where it is, what it finished, how far it is.

With a terminal, rich's bars; elsewhere plain lines, and of a long copy one every few seconds.
Results don't come here (render.py): stdout has the result and nothing else.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from calldrop_migrate.cli.render import cut, lasting, say, width
from calldrop_migrate.core.names import is_shadow
from calldrop_migrate.engine.news import Began, Finished, News, Note, Progress, Waiting

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_QUIET = 3.0  # seconds between plain progress lines
_LONG_LINE = 100  # columns from which on a progress line has the number of rows
_BAR, _PACE = 10, 27  # columns of the bar, and of rate and time left
_CARRIED = re.compile(r"(copy|move|verify) (\S+) (?:to|in) (\S+): .*")


def in_short(what: Sequence[str]) -> str:
    """A revision's work in one line."""
    return ", ".join(what) if len(what) < 3 else f"{what[0]} and {len(what) - 1} more"


def replication_in_short(text: str) -> str:
    """The replication of a CREATE KEYSPACE, for people."""
    text = text.replace(" AND tablets = {'enabled'", ", tablets")
    return re.sub(r"'class': |[{}']", "", text).replace(",", "", 1)


def operation_in_short(label: str) -> str:
    """An operation's label without the generated name of a shadow table."""
    found = _CARRIED.fullmatch(label)
    if found is None:
        return " ".join(w.rpartition("_")[0] if is_shadow(w) else w for w in label.split(" "))
    verb, source, target = found.groups()
    if is_shadow(source):
        return f"{verb} back {target}" if verb == "copy" else f"{verb} {target}"
    return f"{verb} {source}"


@dataclass(frozen=True, slots=True)
class _Pace:
    """The pace of an operation, by what this run has done of it.

    Attributes:
        since: when it began, on the monotonic clock.
        at: when it was last told how far it is.
        ahead: what of it was done when it began.
    """

    since: float
    at: float
    done: int
    ahead: int
    total: int
    rows: int

    def rate(self) -> str:
        """Rows a second."""
        return f"{self.rows / max(self.at - self.since, 0.001):,.0f} rows/s" if self.rows else ""

    def left(self, now: float) -> str:
        """The time that is left; empty where nothing is known yet."""
        made = self.done - self.ahead
        if not self.total or made <= 0 or self.done >= self.total:
            return ""
        takes = (self.at - self.since) / made * (self.total - self.done)
        return f"{lasting(max(1, takes - (now - self.at)))} left"


class Feed:
    """Shows news of a run as they come."""

    def __init__(self, *, as_json: bool) -> None:
        self._bars: Bars | None = None
        self._label = self._step = ""
        self._shown = time.monotonic()
        self._first = (0, 0)  # what was done, and how many rows, when a label was first told
        self._pace = _Pace(self._shown, self._shown, 0, 0, 0, 0)
        self._terminal = sys.stderr.isatty() and not as_json
        self._columns = (0, 0)
        self._noted: set[str] = set()

    def expect(self, labels: Sequence[str], what: Sequence[str]) -> None:
        """Announces what will be shown, for the width of its columns."""
        self._columns = (width(labels), width(what))

    def note(self, text: str) -> None:
        """A remark, said once."""
        if text not in self._noted:
            say(f"       {text}")
        self._noted.add(text)

    def __call__(self, news: News) -> None:
        """Shows one piece of news."""
        match news:
            case Began():
                self._step = f"step {news.number} of {news.total}: "
                self._begin(f"{self._step}{operation_in_short(news.what)}", None)
            case Finished():
                self.close()
                self._step = ""
                say(self._row(news))
                for note in news.notes:
                    self.note(note)
            case Note(text=text):
                self.close()
                self.note(text)
            case Waiting(what=what, seconds=seconds):
                self.close()
                say(f"  waiting up to {seconds:.0f} s: {what}")
            case Progress():
                self._progress(news)

    def _row(self, news: Finished) -> str:
        label, what = f"{news.number:04d} {news.title}", in_short(news.what)
        if not news.number:
            label = f"create keyspace {news.title}"
            what = replication_in_short(what)
        if news.direction == "down":
            what = f"down: {what}"
        left, middle = self._columns
        if self._terminal:
            middle = min(middle, get_terminal_size().columns - left - 13)
            what = cut(what, max(middle, 16))
        return f"  {cut(label, max(left, 20)):<{left}}  {what:<{middle}}  {news.seconds:5.1f} s"

    def _progress(self, news: Progress) -> None:
        now = time.monotonic()
        label = f"{self._step}{operation_in_short(news.label)}"
        if news.label != self._label:
            self._begin(label, news.total)
            self._label, self._shown = news.label, now
            self._first = (news.done, news.rows)
            self._pace = _Pace(now, now, news.done, news.done, news.total, 0)
        ahead, rows = self._first
        since = self._pace.since
        self._pace = _Pace(since, now, news.done, ahead, news.total, news.rows - rows)
        if self._bars is not None:
            wide = news.rows and get_terminal_size().columns >= _LONG_LINE
            shown = f"{news.rows:,} rows" if wide else ""
            self._bars.update(self._bars.task_ids[0], completed=news.done, rows=shown)
        elif now - self._shown > _QUIET:
            self._shown = now
            share = f"{100 * news.done // news.total} %" if news.total else ""
            all_rows = f"{news.rows:,} rows" if news.rows else ""
            parts = (share, all_rows, self._pace.rate(), self._pace.left(now))
            say(f"       {label}: {'   '.join(filter(None, parts))}")

    def _begin(self, label: str, total: int | None) -> None:
        """A bar for one thing; without a `total` it only moves."""
        if not self._terminal:
            return
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        feed = self

        class Pace(ProgressColumn):
            """Rate and time left, or the time that has passed; told anew with each refresh."""

            max_refresh = None

            def render(self, task: Task) -> Text:
                now, pace = time.monotonic(), feed._pace
                known = (task.fields["rows"], pace.rate(), pace.left(now)) if feed._label else ()
                passed = lasting(task.elapsed or 0)
                return Text("  ".join(filter(None, known)) or passed, no_wrap=True)

        self.close()
        bar = (BarColumn(_BAR), TextColumn("{task.percentage:>3.0f} %")) if total else ()
        room = get_terminal_size().columns - (_BAR + _PACE + 10 if total else 16)
        about = TextColumn("  {task.description}", markup=False)
        self._bars = Bars(about, *bar, Pace(), console=Console(stderr=True), transient=True)
        self._bars.add_task(cut(label, max(room, 16)), total=total or None, rows="")
        self._bars.start()

    def close(self) -> None:
        """Takes the bar away."""
        self._label = ""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
