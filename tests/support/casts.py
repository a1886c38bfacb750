"""The CASTs between two types that lose nothing."""

from __future__ import annotations

from calldrop_migrate.core.schema import Column, Table
from calldrop_migrate.core.widening import origin

KINDS = (
    *("tinyint", "smallint", "int", "bigint", "varint", "decimal", "float", "double"),
    *("ascii", "text", "timestamp", "date"),
)
SOURCE = Table("t", (Column("k", "int", "partition_key", 0), *(Column(n, n) for n in KINDS)))
EXACT = {(n, m) for n in KINDS for m in KINDS if n != m and origin(SOURCE, f"CAST({n} AS {m})")}
