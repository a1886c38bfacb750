"""What `new --seed` writes: a module that runs, whatever the table's columns are."""

import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from types import ModuleType
from typing import Any
from uuid import UUID

from calldrop_migrate.core.schema import Column, Table
from calldrop_migrate.core.seed_template import seed_template

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def rows_of(text: str) -> list[dict[str, Any]]:
    module = sys.modules["__seed__"] = ModuleType("__seed__")  # dataclasses look there
    try:
        exec(text, vars(module))
        code: Any = module
        return list(code.rows(Random(1), NOW, code.Options(rows=50)))
    finally:
        del sys.modules["__seed__"]


def test_every_type_that_it_knows_is_made() -> None:
    types = {
        "text": str,
        "int": int,
        "bigint": int,
        "double": float,
        "boolean": bool,
        "decimal": Decimal,
        "uuid": UUID,
        "timestamp": datetime,
        "blob": bytes,
    }
    columns = tuple(Column(f"c_{kind}", kind) for kind in types)
    text = seed_template(Table("t", (Column("id", "int", "partition_key", 0), *columns)))
    rows = rows_of(text)
    assert [row["id"] for row in rows] == list(range(50))
    assert {kind: type(rows[7][f"c_{kind}"]) for kind in types} == types
    assert len({row["c_uuid"] for row in rows}) == 50


def test_what_it_does_not_know_is_left_to_the_user_and_nothing_needless_is_imported() -> None:
    columns = (Column("name", "text", "partition_key", 0), Column("tags", "set<text>"))
    text = seed_template(Table("people", (*columns, Column("odd name", "int"))))
    assert rows_of(text)[3] == {"name": "name-3"}
    assert "# 'tags': ...,  # set<text>" in text
    assert "# 'odd name': ...,  # int" in text
    assert not re.search("timedelta|Decimal|UUID", text)
