"""What holds for any text (tests/support/any_text.py), tried on texts that look like CQL."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import any_text
from tests.support.settings import FULL

CHARACTERS = st.characters(codec=None) | st.sampled_from("ab1.-/*'\"$;:?{}() \n\r\t\\_é\0")
TEXTS = st.lists(st.sampled_from(any_text.FRAGMENTS) | CHARACTERS, max_size=25).map("".join)
FILES = st.tuples(TEXTS, TEXTS, st.sampled_from(["DROP TABLE t", ""])).map(
    lambda parts: f"-- migrate:up\n{parts[0]};\n-- migrate:down\n{parts[1]};{parts[2]}"
)
SCHEMA = any_text.FRAGMENTS[7:32]
FOLDERS = st.lists(
    st.tuples(*2 * [st.lists(st.sampled_from(SCHEMA), min_size=1, max_size=3)]).map(
        lambda ways: "\n-- migrate:up\n{};\n-- migrate:down\n{};".format(*map(";\n".join, ways))
    ),
    min_size=1,
    max_size=4,
).map("\x1c".join)


EACH = 1000 if FULL else 400  # texts


@settings(deadline=None, max_examples=EACH)
@given(TEXTS)
def test_any_text(text: str) -> None:
    any_text.holds(text)


@settings(deadline=None, max_examples=EACH)
@given(FILES)
def test_any_file(text: str) -> None:
    any_text.holds(text)


@settings(deadline=None, max_examples=EACH)
@given(FOLDERS)
def test_any_folder(text: str) -> None:
    any_text.folders_are_read(text)
