"""Room and settings of the nodes of one server, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tuning:
    """Room and settings of each node.

    Attributes:
        heap_mb: the heap of its JVM, in MiB.
        settings: of cassandra.yaml; each value is YAML, and wins over ours.
        jvm: arguments of the JVM, which win over ours.
    """

    heap_mb: int = 1024
    settings: Mapping[str, str] = field(default_factory=dict)
    jvm: tuple[str, ...] = ()
