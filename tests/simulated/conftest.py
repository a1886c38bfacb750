"""The fixture of all simulated tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

_OBJECTS = 200_000  # that are made before Python looks for garbage among them


@pytest.fixture(autouse=True, scope="module")
def _garbage_is_rare() -> Iterator[None]:
    """Keep Python from looking through saved states again and again: a quarter of the time."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS)
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()
