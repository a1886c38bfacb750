"""No value is pasted into CQL: what is compared, set or inserted is bound with `?`, or goes through
`literal` where it names something; names go through `quote`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import calldrop_migrate

PACKAGE = Path(calldrop_migrate.__file__).parent
CQL = re.compile(r"\b(SELECT|FROM|INTO|UPDATE|DELETE|WHERE|SET|VALUES|CREATE|ALTER|DROP) ")
# Where a value would stand: behind a comparison, in quotes, in the brackets of VALUES or IN.
VALUE = re.compile(r"""(?:[=<>]\s*|'|(?:VALUES|IN)\s*\()$""")
SAFE = re.compile(r"(literal|quote)\(|', '\.join\('\?' \*")
# Two integers of our own: tokens, in a read that has to go unprepared; question marks; and an UUID
# in what a person is told to type.
KNOWN = {
    ("cluster/probing.py", "low"),
    ("cluster/probing.py", "high"),
    ("cluster/bulk.py", "marks"),
    ("engine/adopting.py", "row.id"),
}


def pasted(source: str) -> Iterator[str]:
    """What f-strings that look like CQL have in the place of a value."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        texts = [part.value if isinstance(part, ast.Constant) else "" for part in node.values]
        if not CQL.search("".join(map(str, texts))):
            continue
        for before, part in zip(("", *texts), node.values, strict=False):
            if isinstance(part, ast.FormattedValue) and VALUE.search(str(before)):
                what = ast.unparse(part.value)
                if not SAFE.match(what):
                    yield what


@pytest.mark.parametrize("folder", ["core", "engine", "cluster"])
def test_no_value_is_pasted_into_cql(folder: str) -> None:
    found = {
        (str(path.relative_to(PACKAGE)), what)
        for path in (PACKAGE / folder).rglob("*.py")
        for what in pasted(path.read_text(encoding="utf-8"))
    }
    assert not found - KNOWN


@pytest.mark.parametrize(
    "line",
    [
        """f"SELECT a FROM t WHERE k = {key}" """,
        """f"DELETE FROM t WHERE k = '{key}'" """,
        """f"INSERT INTO t (a) VALUES ({key})" """,
        """f"UPDATE t SET a = {key}" """,
        """f"SELECT a FROM t " f"WHERE k IN ({key})" """,
    ],
)
def test_one_would_be_found(line: str) -> None:
    assert list(pasted(line)) == ["key"]
