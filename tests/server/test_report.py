"""`seed --report`: a page of the calls. An independent client counts its figures, too, and a
browser draws it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.told import ok, told

SEED = ("seed", "--random-seed", "507", "--now", "2026-11-23T00:00:00Z")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TITLES = [
    *("Calls by hour and weekday", "Drop rate by tower and hour", "Calls per user"),
    *("Partition sizes", "The view's two partitions"),
]


def browser() -> str:
    names = (os.environ.get("CALLDROP_CHROMIUM"), "chromium-headless-shell", "chromium")
    found = next((path for n in names if n and (path := shutil.which(n))), None)
    return found or pytest.skip("no Chromium (.ci/run installs one): name one in CALLDROP_CHROMIUM")


def drawn(page: Path, picture: Path) -> str:
    """The page as a browser has it, and a picture of it."""
    done = subprocess.run(
        [
            *(browser(), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,2400"),
            *(f"--user-data-dir={picture.parent}", f"--screenshot={picture}", "--dump-dom"),
            page.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return done.stdout


def test_the_page_says_and_shows_what_the_table_has(cli: Cli, client: Any, tmp_path: Path) -> None:
    ok(cli("up"))
    said = ok(cli(*SEED, "--report", "out.html"))
    assert "the calls as a page: out.html" in said
    page = cli.folder / "out.html"
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|src=|href=|@import|url\(|<script|<link", text)

    calls = list(client.execute(f"SELECT * FROM {cli.keyspace}.call_records"))
    assert len(calls) == 345
    tips = [unescape(tip) for tip in re.findall(r"<title>(.*?)</title></rect>", text)]
    for day, hour in {(c["call_timestamp"].weekday(), c["call_timestamp"].hour) for c in calls}:
        count = sum((at := c["call_timestamp"]).weekday() == day and at.hour == hour for c in calls)
        assert f"{DAYS[day]} {hour:02}:00 to {hour:02}:59: {count} calls" in tips
    failed = Counter(c["source_cell_tower_id"] for c in calls if not c["call_completed"])
    tower, count = failed.most_common(1)[0]
    of_it = sum(c["source_cell_tower_id"] == tower for c in calls)
    rate = f"({count / of_it:.1%})"
    assert f"{tower}, all: {count} of {of_it} calls failed {rate}" in tips
    users = Counter(Counter(c["source_phone_number"] for c in calls).values())
    for each, how_many in users.items():
        assert f"{each} calls: {how_many} users" in tips
    assert "completed: 293 rows" in text
    assert "failed: 52 rows" in text

    dom = drawn(page, tmp_path / "page.png")
    assert re.findall(r"<h2>(.*?)</h2>", dom) == TITLES
    assert dom.count("<rect") == text.count("<rect") > 800
    assert (tmp_path / "page.png").stat().st_size > 50_000  # an empty one has a tenth of that


@pytest.mark.thorough
def test_below_0004_there_is_no_view_and_without_a_place_no_row(cli: Cli, client: Any) -> None:
    ok(cli("up", "1"))
    told(cli(*SEED, "--report", "nowhere/out.html"), 2, "nowhere/out.html")
    assert client.execute(f"SELECT * FROM {cli.keyspace}.call_records").one() is None

    ok(cli(*SEED, "--report", "out.html"))
    text = (cli.folder / "out.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", text) == TITLES[:-1]
