"""Fixtures of several test modules of this folder."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from tests.support.calls import Calls
from tests.support.cli import Cli


@pytest.fixture
def draw() -> random.Random:
    seed = int(os.environ.get("CALLDROP_SEED") or random.randrange(10**6))
    print(f"seed: CALLDROP_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def mixed_calls(cli: Cli, client: Any) -> Calls:
    """Revision 1 with calls of all kinds."""
    return Calls(cli, client)
