"""Writes the pinned list of a release's jars: what Maven resolves, with our own SHA-256.

    python -m tests.support.pinning 5.0.9

For developers, when a release is added to calldrop_migrate/embedded/releases.py.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

from tests.support.places import PROJECT

_KEPT = (None, "compile", "runtime")  # scopes


def pinned(version: str, repository: Path) -> Iterator[str]:
    """Yield a line for each jar that a release needs, downloaded to a new repository."""
    context = MavenContext(resolver=PythonResolver(), repo_cache=repository, local_repos=[])
    coordinate = Coordinate.parse(f"org.apache.cassandra:cassandra-all:{version}")
    wanted, needed = context.resolver.resolve([context.create_dependency(coordinate)])
    for dependency in (*wanted, *needed):
        if dependency.scope in _KEPT:
            jar = Path(dependency.artifact.resolve())
            content = jar.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            yield f"{digest} {len(content)} {jar.relative_to(repository).as_posix()}\n"


def main(version: str) -> None:
    """Write the list of a release."""
    target = PROJECT / "calldrop_migrate/embedded/pinned" / f"cassandra-{version}.txt"
    with tempfile.TemporaryDirectory() as repository:
        target.write_text("".join(pinned(version, Path(repository))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
