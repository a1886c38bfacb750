"""What goes to stderr while a command works: where it is, what it finished, how far it is.

With a terminal, rich's bars; elsewhere plain lines, and of a long copy one every few seconds.
Results don't come here (render.py): stdout has the result and nothing else.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from calldrop_migrate.cli.render import cut, width, write
from calldrop_migrate.engine.news import Began, Finished, News, Note, Progress, Waiting

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_QUIET = 3.0  # seconds between plain progress lines


def say(text: str) -> None:
    """One line on stderr."""
    write(sys.stderr, [text])
    sys.stderr.flush()


def in_short(what: Sequence[str]) -> str:
    """What a revision does, for one line."""
    return ", ".join(what) if len(what) < 3 else f"{what[0]} and {len(what) - 1} more"


def replication_in_short(text: str) -> str:
    """What stands behind `replication = ` in a CREATE KEYSPACE, for people."""
    text = text.replace(" AND tablets = {'enabled'", ", tablets")
    return re.sub(r"'class': |[{}']", "", text).replace(",", "", 1)


class Feed:
    """Shows news of a run as they come."""

    def __init__(self, *, as_json: bool) -> None:
        self._bars: Bars | None = None
        self._label = ""
        self._since = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty() and not as_json
        self._columns = (0, 0)
        self._noted: set[str] = set()

    def expect(self, labels: Sequence[str], what: Sequence[str]) -> None:
        """What will be shown, for the width of its columns."""
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
                about = f"{news.label} · {news.number} of {news.total}: {news.what}"
                self._begin(cut(about, 72), None)
            case Finished():
                self.close()
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
        return f"  {cut(label, max(left, 20)):<{left}}  {what:<{middle}}  {news.seconds:5.1f} s"

    def _progress(self, news: Progress) -> None:
        now = time.monotonic()
        if news.label != self._label:
            self._begin(cut(news.label, 72), news.total)
            self._label, self._since, self._shown = news.label, now, now
        rate = news.rows / max(now - self._since, 0.001)
        rows = f"{news.rows:,} rows   {rate:,.0f} rows/s" if news.rows else ""
        if self._bars is not None:
            self._bars.update(self._bars.task_ids[0], completed=news.done, rows=rows)
        elif now - self._shown > _QUIET:
            self._shown = now
            share = f"{100 * news.done // news.total} %   " if news.total else ""
            say(f"       {news.label}: {share}{rows}".rstrip())

    def _begin(self, label: str, total: int | None) -> None:
        """A bar for one thing; without a `total` it only moves."""
        if not self._terminal:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.close()
        bar = (BarColumn(24), TextColumn("{task.percentage:>3.0f} %   {task.fields[rows]}"))
        moving = (TextColumn("{task.fields[rows]}"), TimeElapsedColumn())
        columns = (*bar, TimeRemainingColumn()) if total else moving
        about = TextColumn("  {task.description}", markup=False)
        self._bars = Bars(about, *columns, console=Console(stderr=True), transient=True)
        self._bars.add_task(label, total=total, rows="")
        self._bars.start()

    def close(self) -> None:
        """Takes the bar away."""
        self._label = ""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
