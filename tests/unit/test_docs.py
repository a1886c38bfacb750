"""Documents: the tests that they name exist, and the settings are those that the program has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calldrop_migrate.cli import settings

PROJECT = Path(__file__).parent.parent.parent
GIVEN = PROJECT / "docs" / "calldrop-data-model.md"  # what the project implements, as it was given


@pytest.mark.parametrize(("document", "at_least"), [("rebuild.md", 12), ("testing.md", 12)])
def test_each_test_that_is_named_is_there(document: str, at_least: int) -> None:
    text = (PROJECT / "docs" / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = (PROJECT / "tests").glob("*/test_*.py")
    there = {name for f in files for name in re.findall(r"def (test_\w+)", f.read_text("utf-8"))}
    assert len(named) >= at_least
    assert named <= there


def test_the_page_of_the_settings_has_them_as_help_settings_does() -> None:
    """To write it again: `python -c "from calldrop_migrate.cli.settings import tables;
    print('\\n'.join(tables()))"`, behind the last heading.
    """
    text = (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text.endswith("\n".join(settings.tables()).rstrip() + "\n")


def test_each_document_that_is_named_is_there() -> None:
    """A reader who has only the repository finds what the code and the pages cite."""
    folders = ("calldrop_migrate", "tests", "docs", "seeds", "benchmarks")
    there = [f for folder in folders for f in (PROJECT / folder).rglob("*")]
    there += PROJECT.iterdir()
    readers = [
        f for f in there if f.suffix in (".py", ".md", ".toml", ".yml") or f.stem == "Makefile"
    ]
    lost = [
        f"{file.relative_to(PROJECT)}: {name}"
        for file in readers
        if file not in (Path(__file__), GIVEN)
        for name in re.findall(r"\w[\w./-]*\.md\b", file.read_text(encoding="utf-8"))
        if not {PROJECT / name, PROJECT / "docs" / name, (file.parent / name).resolve()} & {*there}
    ]
    assert not lost, lost


def test_the_readme_is_one_screen_and_links() -> None:
    assert len((PROJECT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
