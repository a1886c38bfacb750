"""Documents that name tests: they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(("document", "at_least"), [("rebuild.md", 12), ("testing.md", 12)])
def test_each_test_that_is_named_is_there(document: str, at_least: int) -> None:
    text = (PROJECT / "docs" / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = (PROJECT / "tests").glob("*/test_*.py")
    there = {name for f in files for name in re.findall(r"def (test_\w+)", f.read_text("utf-8"))}
    assert len(named) >= at_least
    assert named <= there
