"""The plugins of the tests: fixtures are in tests/support, and those of one folder in its own
conftest.py.
"""

from __future__ import annotations

import pytest

# A helper's assert says as much as a test's.
pytest.register_assert_rewrite("tests.support")

pytest_plugins = [
    "tests.support.distribution",
    "tests.support.sampling",
    "tests.support.compose",
    "tests.support.fixtures",
    "tests.support.theirs",
]
