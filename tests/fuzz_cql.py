"""A search, guided by coverage, for a text that breaks what any_text.py says of all texts.

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install atheris
    /tmp/fuzz/bin/python tests/fuzz_cql.py -max_total_time=3600 -max_len=400 -len_control=0 corpus

Atheris is no dependency of the project: it is wanted for this alone, and the package's core needs
nothing else. The options are libFuzzer's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["calldrop_migrate"]):
    from tests.support.any_text import FRAGMENTS, holds


def text_of(data: bytes) -> str:
    """Bytes as a text: each a fragment, or, behind a byte 255, the next one as a character."""
    pieces, values = [], iter(data)
    for value in values:
        plain = value >= len(FRAGMENTS)
        pieces.append(chr(next(values, 32)) if plain else FRAGMENTS[value])
    return "".join(pieces)


def one(data: bytes) -> None:
    """One execution."""
    holds(text_of(data))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
