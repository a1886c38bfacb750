"""Cassandra's jars: downloaded once, from Maven's central repository, by a pinned list.

A file gets its name only when all its bytes are there and have the SHA-256 of the list, and every
start checks the sizes: whatever is interrupted here is simply done again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calldrop_migrate.embedded.releases import Release
from calldrop_migrate.embedded.state import locked
from calldrop_migrate.errors import ConfigurationError, Unreachable

_AT_ONCE = 8  # downloads


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar as it is pinned: the path is that of a Maven repository."""

    sha256: str
    size: int
    path: str


def cache_directory() -> Path:
    """Return where the jars are kept, for all homes together."""
    from platformdirs import user_cache_path

    return user_cache_path("calldrop-migrate", appauthor=False)


def classpath(
    release: Release, say: Callable[[str], None], cache: Path | None = None
) -> list[Path]:
    """Return the jars of a release, downloaded first if they aren't all in the cache.

    Raises:
        ConfigurationError: they must be downloaded, and the `local` extra isn't installed.
        Unreachable: a download failed.
    """
    cache = cache or cache_directory()
    repository, pinned = cache / "maven", _pinned(release)
    if _missing(pinned, repository):
        with locked(cache, lambda: say("another process is downloading Cassandra; waiting for it")):
            if missing := _missing(pinned, repository):
                _download(release, missing, repository, say)
    return [repository / jar.path for jar in pinned]


def _pinned(release: Release) -> list[Jar]:
    lines = release.pinned.read_text(encoding="utf-8").splitlines()
    return [Jar(digest, int(size), path) for digest, size, path in map(str.split, lines)]


def _missing(pinned: Sequence[Jar], repository: Path) -> list[Jar]:
    files = [(jar, repository / jar.path) for jar in pinned]
    return [jar for jar, file in files if not file.is_file() or file.stat().st_size != jar.size]


def _download(
    release: Release, missing: Sequence[Jar], repository: Path, say: Callable[[str], None]
) -> None:
    try:
        # 0.3 s to import, and needed once: never at the top of a module.
        import requests
        from jgo.constants import MAVEN_CENTRAL_URL
        from requests.adapters import HTTPAdapter
        from urllib3 import Retry
    except ImportError as error:
        raise ConfigurationError(
            f"the embedded server needs the `local` extra ({error.name} is not installed)",
            hint="pip install 'calldrop-migrate[local]'",
        ) from error
    megabytes = sum(jar.size for jar in missing) / 1e6
    name = f"Apache Cassandra {release.version}"
    say(f"downloading {name} to {repository} ({megabytes:.0f} MB, this once)")
    patient = Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    with requests.Session() as session, ThreadPoolExecutor(_AT_ONCE) as pool:
        session.mount("https://", HTTPAdapter(max_retries=patient, pool_maxsize=_AT_ONCE))

        def fetch(jar: Jar) -> None:
            try:
                _fetch(session, f"{MAVEN_CENTRAL_URL}/{jar.path}", repository / jar.path, jar)
            except OSError as error:
                raise Unreachable(
                    f"could not download {Path(jar.path).name}: {error}",
                    state="nothing was started; what came whole is kept for the next time",
                    hint="check the network (HTTPS_PROXY, REQUESTS_CA_BUNDLE), then try again",
                ) from error

        for _ in pool.map(fetch, missing):
            pass


def _fetch(session: Any, url: str, target: Path, jar: Jar) -> None:
    """Download `url` to `target`, which is only there when this returns.

    Raises:
        OSError: not the pinned bytes, or no room for them; requests' own errors are OSErrors.
    """
    answer = session.get(url, timeout=60)
    answer.raise_for_status()
    if hashlib.sha256(answer.content).hexdigest() != jar.sha256:
        raise OSError("what arrived has another SHA-256 than the pinned one")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.write_bytes(answer.content)
    part.replace(target)
