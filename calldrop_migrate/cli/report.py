"""`seed --report`: the calls as a page to look at, for people who would rather look than count.

One file with nothing outside of it: no script, no font, no address. The charts are SVG, made here;
each mark says its figures when it is pointed at.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from string import Template

from calldrop_migrate import commands
from calldrop_migrate.cli.opening import Opened, readable
from calldrop_migrate.cli.render import moment, say, size
from calldrop_migrate.engine.figures import HOURS, Figures, Tally, figures
from calldrop_migrate.engine.seeding import Seeded
from calldrop_migrate.engine.wording import at_revision
from calldrop_migrate.errors import CalldropError, Interrupted, RowsAtRisk

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOWERS = 25  # those with the most failed calls
_BINS = 24
_BLUE, _RED, _GREY = (29, 78, 216), (185, 28, 28), "#e5e7eb"
_PALE = (243, 246, 252)

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f2937; background: #f8fafc;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 0; }
p { margin: .2rem 0 .8rem; color: #4b5563; }
section { background: #fff; border: 1px solid #e5e7eb; border-radius: 8px; padding: 1rem 1.25rem;
          margin: 1rem 0; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0; }
dt { color: #6b7280; font-size: .85rem; }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12px; fill: #4b5563; }
footer { color: #6b7280; font-size: .85rem; }
code { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$where</p>
<dl>$facts</dl>
$sections
<footer>$footer</footer>
</body>
</html>
""")


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of a heat map: how dark, from 0 to 1 (None: there is nothing), and what it says."""

    shade: float | None
    says: str


def check(path: Path) -> None:
    """Sees, before rows are loaded, that the page can be written; what is there stays as it is."""
    with readable():
        new = not path.exists()
        with path.open("a", encoding="utf-8"):
            pass
        if new:
            path.unlink()


def write(path: Path, place: Opened, seeded: Seeded) -> None:
    """Reads the table and writes its page; whatever goes wrong, the rows are there."""
    state = "The rows are loaded; only the page is missing."
    again = commands.seed(*shlex.split(seeded.again), "--report", str(path))
    hint = f"The same rows again, and the page:\n  {again}"
    try:
        table = place.database.schema().table(seeded.table)
        if table is None:
            raise RowsAtRisk(f"{seeded.table} is gone: a revision is under way")
        found = figures(place.database, table, seeded.total, place.feed)
        place.feed.close()
        with readable(str(path)):
            path.write_text(page(place.database.keyspace, seeded, found), encoding="utf-8")
    except KeyboardInterrupt:
        raise Interrupted("interrupted", state=state, hint=hint) from None
    except CalldropError as error:
        error.state, error.hint = state, "\n".join(filter(None, (error.hint, hint)))
        raise
    say(f"  the calls as a page: {path}")


def page(keyspace: str, seeded: Seeded, found: Figures) -> str:
    """The whole page."""
    made = [_hours(found), _towers(found), _users(found), _partitions(found)]
    if seeded.counted_in != seeded.table:
        made.append(_view(seeded.counted_in, found))
    again = commands.seed(*shlex.split(seeded.again))
    return _PAGE.substitute(
        title=f"Calls in {escape(keyspace)}",
        where=f"Table {escape(seeded.table)} at revision {at_revision(seeded.revision)}; read from"
        " its rows. All times are UTC.",
        facts="".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in _facts(found)
        ),
        sections="\n".join(section for section in made if section),
        footer=f"Loaded last by <code>{escape(again)}</code>",
    )


def _facts(found: Figures) -> list[tuple[str, str]]:
    facts = [("rows", f"{found.rows:,}"), ("partitions", f"{len(found.partitions):,}")]
    for completed, word in ((True, "completed"), (False, "failed")):
        if completed in found.by_outcome:
            calls = found.by_outcome[completed].calls
            facts.append((word, f"{calls:,} ({calls / found.rows:.1%})"))
    if found.first and found.last:
        facts.append(("from and to", f"{moment(found.first)[:10]}, {moment(found.last)[:10]}"))
    return facts


def _section(title: str, said: str, drawing: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n<p>{escape(said)}</p>\n{drawing}\n</section>"


# -- the charts ------------------------------------------------------------------------------------


def _hours(found: Figures) -> str:
    if not found.by_hour:
        return ""
    most = max(found.by_hour.values())
    rows = {
        day: [
            Cell(n / most, f"{day} {hour:02}:00 to {hour:02}:59: {n:,} calls")
            for hour in range(HOURS)
            for n in [found.by_hour[weekday, hour]]
        ]
        for weekday, day in enumerate(DAYS)
    }
    (weekday, hour), _ = found.by_hour.most_common(1)[0]
    said = f"The darkest hour, {DAYS[weekday]} from {hour}:00, has {most:,} calls."
    columns = [f"{hour:02}" for hour in range(HOURS)]
    return _section("Calls by hour and weekday", said, _heat(rows, columns, _BLUE, 90))


def _towers(found: Figures) -> str:
    if not found.by_tower:
        return ""
    sums = {tower: _sum(tallies) for tower, tallies in found.by_tower.items()}
    worst = sorted(sums, key=lambda t: (-sums[t].failed, t))[:_TOWERS]
    everywhere = [
        _sum(tallies[hour] for tallies in found.by_tower.values()) for hour in range(HOURS)
    ]
    table = {"all": [*everywhere, _sum(everywhere)]}
    table |= {tower: [*found.by_tower[tower], sums[tower]] for tower in worst}
    # A field of few calls is 0 % or 100 % by chance: it doesn't set the scale.
    rates = [t.failed / t.calls for row in table.values() for t in row if t.calls >= 10]
    darkest = max(rates, default=1.0) or 1.0
    columns = [*(f"{hour:02}" for hour in range(HOURS)), "all"]
    rows = {
        name: [
            Cell(
                min(1.0, t.failed / t.calls / darkest) if t.calls else None,
                f"{name}, {column}: {t.failed:,} of {t.calls:,} calls failed"
                + (f" ({t.failed / t.calls:.1%})" if t.calls else ""),
            )
            for t, column in zip(row, columns, strict=True)
        ]
        for name, row in table.items()
    }
    chance = median(t.calls for row in table.values() for t in row[:-1] if t.calls) < 3
    scale = f"{darkest:.0%}" + " and more" * (darkest < 1)
    said = (
        f"The share of calls that failed, by the tower of the caller: the {len(worst)} of"
        f" {len(sums)} towers with the most failed calls. Darkest: {scale}; grey: no call."
    ) + " Most fields here are one call or two: chance, no pattern." * chance
    return _section("Drop rate by tower and hour", said, _heat(rows, columns, _RED, 90))


def _users(found: Figures) -> str:
    if not found.users:
        return ""
    calls = sorted(found.users.values())
    said = (
        f"{len(calls):,} users made {calls[0]:,} to {calls[-1]:,} calls, half of them"
        f" {median(calls):,.0f} or fewer."
    )
    return _section("Calls per user", said, _histogram(calls, "users", "calls", str))


def _partitions(found: Figures) -> str:
    if not found.partitions:
        return ""
    sizes = sorted(found.partitions)
    said = (
        f"{len(sizes):,} partitions with {size(sizes[0])} to {size(sizes[-1])} of values, before"
        " what a server adds to each cell and what compression takes away. Servers do well up to"
        " about 100 MB."
    )
    return _section("Partition sizes", said, _histogram(sizes, "partitions", "", size))


def _view(view: str, found: Figures) -> str:
    if len(found.by_outcome) < 2:
        return ""
    parts = {"completed": found.by_outcome[True], "failed": found.by_outcome[False]}
    largest = max(found.partitions)
    bars = {f"{word}: {t.calls:,} rows, {size(t.bytes)}": t.bytes for word, t in parts.items()} | {
        f"largest of the table itself: {size(largest)}": largest
    }
    greater, less = sorted((t.calls for t in parts.values()), reverse=True)
    said = (
        f"{view} has two partitions, however many calls there are, and each lies on one set of"
        f" replicas. The greater one has {greater / less:.1f} times the rows of the other, and"
        f" {max(t.bytes for t in parts.values()) / largest:,.0f} times the bytes of the table's"
        " largest partition."
    )
    return _section("The view's two partitions", said, _bars(bars))


def _sum(tallies: Iterable[Tally]) -> Tally:
    made = Tally()
    for each in tallies:
        made.calls += each.calls
        made.failed += each.failed
    return made


# -- what charts are made of -----------------------------------------------------------------------


def _svg(width: int, height: int, title: str, marks: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">\n'
        + "\n".join(marks)
        + "\n</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, says: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}">'
        f"<title>{escape(says)}</title></rect>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _shade(share: float | None, dark: tuple[int, int, int]) -> str:
    if share is None:
        return _GREY
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(_PALE, dark, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _heat(
    rows: Mapping[str, Sequence[Cell]],
    columns: Sequence[str],
    dark: tuple[int, int, int],
    left: int,
) -> str:
    wide, high = (900 - left) / len(columns), 22
    marks = [
        _text(left + wide * (at + 0.5), 12, column, "middle") for at, column in enumerate(columns)
    ]
    for line, (name, cells) in enumerate(rows.items()):
        top = 20 + line * high
        marks.append(_text(left - 8, top + 15, name, "end"))
        marks += [
            _rect(left + at * wide, top, wide - 2, high - 2, _shade(cell.shade, dark), cell.says)
            for at, cell in enumerate(cells)
        ]
    return _svg(900, 20 + len(rows) * high, "heat map", marks)


def _histogram(values: Sequence[int], what: str, unit: str, shown: Callable[[int], str]) -> str:
    """Counts how many of the values, which are in order, lie in each bin."""
    edges = _edges(values)
    counts = [0] * (len(edges) - 1)
    at = 0
    for each in values:
        while each >= edges[at + 1]:
            at += 1
        counts[at] += 1
    wide, most = 860 / len(counts), max(counts)
    marks, told = [], ""
    for at, count in enumerate(counts):
        low, high = edges[at], edges[at + 1] - 1
        between = shown(low) if low >= high else f"{shown(low)} to {shown(high)}"
        tall = 150 * count / most
        says = f"{between} {unit}".strip() + f": {count:,} {what}"
        marks.append(_rect(20 + at * wide, 170 - tall, wide - 2, tall, _shade(0.75, _BLUE), says))
        if count and (len(counts) <= 12 or count == most):
            marks.append(_text(20 + (at + 0.5) * wide, 164 - tall, f"{count:,}", "middle"))
        if at % max(1, len(counts) // 8) == 0 and shown(low) != told:
            told = shown(low)
            marks.append(_text(20 + (at + 0.5) * wide, 186, told, "middle"))
    return _svg(900, 192, "histogram", marks)


def _edges(values: Sequence[int]) -> list[int]:
    """Bins of one width; each twice as wide as the one before where a few values are far off."""
    low, high = values[0], values[-1]
    if high > 20 * max(1, median(values)):
        edges = [max(1, low)]
        while edges[-1] <= high:
            edges.append(edges[-1] * 2)
        return [low, *edges[1:]]
    step = max(1, -(-(high - low + 1) // _BINS))
    return list(range(low, high + step + 1, step))


def _bars(bars: Mapping[str, int]) -> str:
    most = max(bars.values())
    marks = []
    for line, (name, length) in enumerate(bars.items()):
        top = line * 46
        marks.append(_text(0, top + 14, name))
        marks.append(
            _rect(0, top + 20, max(1.5, 900 * length / most), 18, _shade(0.75, _BLUE), name)
        )
    return _svg(900, len(bars) * 46, "bars", marks)
