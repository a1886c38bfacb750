"""Migrations of cassandra-migrate as files of ours.

Theirs are plain CQL without a way back; a file's version is its place in the natural order of their
names. What is written here is meant to be read and mended: whatever our format doesn't allow is
found when the files are loaded, and told with file and line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from calldrop_migrate.core.cql import CqlError, Kind, split, tokenize
from calldrop_migrate.core.rules import qualified

_CQL = """\
-- {name} of cassandra-migrate.

-- migrate:up
{text}
-- migrate:irreversible cassandra-migrate has no way back; write one below `-- migrate:down` instead
"""
_PYTHON = """\
-- {name} of cassandra-migrate was a program. Write below `-- migrate:up`, in CQL, what it did:
{text}

-- migrate:up

-- migrate:irreversible cassandra-migrate has no way back; write one below `-- migrate:down` instead
"""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A migration of cassandra-migrate, as it reads its file."""

    version: int
    name: str
    text: str
    checksum: bytes

    @property
    def file(self) -> str:
        """The name of our file: `v2_add_towers.cql`, if it is the second, gives
        `0002_add_towers.cql`.
        """
        stem = re.sub(r"^[vV]?\d+", "", self.name.rpartition(".")[0])
        slug = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
        return f"{self.version:04d}_{slug or 'migration'}.cql"

    def converted(self, keyspace: str) -> str:
        """The text of our file; names in it lose the keyspace, which comes from the settings."""
        if self.name.endswith(".py"):
            text = "\n".join(f"--  {line}".rstrip() for line in self.text.splitlines())
            return _PYTHON.format(name=self.name, text=text)
        return _CQL.format(name=self.name, text=_plain(self.text, keyspace).strip("\n"))


def _plain(text: str, keyspace: str) -> str:
    """CQL without the keyspace in its names, and with the last `;`, which something follows now."""
    try:
        statements = split(text)
        last = [token for token in tokenize(text) if token.kind is not Kind.COMMENT][-1:]
    except CqlError:  # told with its place when the file is loaded
        return text
    if last and not last[0].is_symbol(";"):
        text = f"{text[: last[0].end]};{text[last[0].end :]}"
    pairs = [pair for statement in statements for pair in qualified(statement)]
    for name, table in reversed(pairs):
        if name.value == keyspace:
            text = text[: name.start] + text[table.start :]
    return text
