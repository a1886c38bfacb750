"""What may not be read is done without, where it can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pytest

from calldrop_migrate.cluster import catalog
from calldrop_migrate.errors import StatementRefused


def refused(queries: Sequence[str]) -> NoReturn:
    """ScyllaDB to a role without a grant; on Cassandra every role may read size_estimates."""
    raise StatementRefused(f"User app has no SELECT permission: {queries}")


def test_a_size_that_may_not_be_read_is_unknown() -> None:
    assert catalog.estimate(refused, "k", "t") == 0


def test_whether_a_view_is_built_has_to_be_known() -> None:
    with pytest.raises(StatementRefused):
        catalog.unbuilt(refused, "k", "v", {}, "system.view_build_status_v2")
