"""The things that Cassandra 6.0 tells of a table in DESCRIBE alone, and in no table of
system_schema.
"""

from __future__ import annotations

from itertools import pairwise

from calldrop_migrate.core.cql import quote, split
from calldrop_migrate.core.cursor import Cursor


def beyond(text: str) -> tuple[str, dict[str, str]]:
    """The name of a described table, and its constraints, the comments and labels of its columns,
    and its transactional mode.
    """
    create, *others = split(text)
    reader = Cursor(create)
    reader.expect("create", "table")
    reader.name()
    reader.expect(".")
    name, found = reader.name(), {}
    reader.expect("(")
    while not reader.take(")"):
        column = reader.name()
        reader.type()
        reader.until(",", "check")
        if reader.take("check"):
            found[f"CHECK of {quote(column)}"] = " ".join(t.text for t in reader.until(","))
        reader.take(",")
    for other in others:  # the comment of the table is its option, too
        if other.words(3) != ("comment", "on", "table"):
            *_, what, _, value = other.tokens
            found[other.text[: what.end - other.tokens[0].start]] = value.value
    for option, value in pairwise(t for t in create.tokens if not t.is_symbol("=")):
        if option.is_word("transactional_mode") and value.value != "off":
            found[option.value] = value.value
    return name, found
