"""The releases of Cassandra that can be started here, and what each of them needs.

The jars of each are listed in `pinned/`: a file is taken for what it is by our own SHA-256, and
nothing is resolved when a server starts. `python -m tests.support.pinning VERSION` writes a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calldrop_migrate import commands
from calldrop_migrate.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Release:
    """One release of Cassandra.

    Attributes:
        line: by what it is asked for.
        version: the whole of its number.
        java: the versions of Java on which it was tried.
    """

    line: str
    version: str
    java: tuple[int, ...]

    @property
    def pinned(self) -> Path:
        """The list of its jars: SHA-256, bytes, path in a Maven repository."""
        return Path(__file__).with_name("pinned") / f"cassandra-{self.version}.txt"


DEFAULT = "5.0"
# 4.1 is made for Java 8 and 11, and runs on 17 with the same arguments (tried with all revisions).
RELEASES = (
    Release("4.1", "4.1.10", (11, 17)),
    Release("5.0", "5.0.9", (11, 17)),
    Release("6.0", "6.0-alpha2", (17,)),
)


def release(line: str) -> Release:
    """Return the release of a line: `5.0`.

    Raises:
        ConfigurationError: there is none.
    """
    for each in RELEASES:
        if line in (each.line, each.version):
            return each
    lines = ", ".join(each.line for each in RELEASES)
    raise ConfigurationError(
        f"there is no Cassandra {line} to start here; there are {lines}",
        state="nothing was started",
        hint=commands.server_start("--version", DEFAULT),
    )
