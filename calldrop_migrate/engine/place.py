"""The place of an operation: in which attempt it is, and on which tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from calldrop_migrate.core.operations import Copy


@dataclass(frozen=True, slots=True)
class Place:
    """An operation of an attempt: the key of its checkpoints.

    Attributes:
        parts: how many ranges its grid has.
        ids: of its two tables, as far as they are known: those that the attempt began with or made.
        aside: the operation that put aside rows that don't fit, if an earlier run may have done it.
        began: how many rows of the journal the attempt had when it began: more in each run.
        emptied: the source may have been truncated already, by a statement whose outcome nobody
            knows: that the target has more tells nothing then.
    """

    attempt: UUID
    operation: int
    parts: int
    ids: Mapping[str, str] = field(default_factory=dict)
    aside: Copy | None = None
    began: int = 0
    emptied: bool = False
