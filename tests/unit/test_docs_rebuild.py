"""docs/rebuild.md names a test for each of its lines: they exist."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent


def test_each_test_that_is_named_is_there() -> None:
    text = (PROJECT / "docs" / "rebuild.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = (PROJECT / "tests").glob("s*/test_*.py")  # server and secured
    there = {name for f in files for name in re.findall(r"def (test_\w+)", f.read_text("utf-8"))}
    assert len(named) >= 12
    assert named <= there
