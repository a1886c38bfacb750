"""Cassandra's jars: resolved and downloaded once by jgo, afterwards a list of files in the cache.

A file gets its name only when all its bytes are there and their SHA-1 is the published one, the
list is written after the last of them, and every start checks the sizes: whatever is interrupted
here is simply done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calldrop_migrate.embedded.state import locked, replace
from calldrop_migrate.errors import ConfigurationError, Unreachable

VERSION = "5.0.9"
_COORDINATE = f"org.apache.cassandra:cassandra-all:{VERSION}"


def cache_directory() -> Path:
    """Where the jars are kept, for all homes together."""
    from platformdirs import user_cache_path

    return user_cache_path("calldrop-migrate", appauthor=False)


def classpath(say: Callable[[str], None], cache: Path | None = None) -> list[Path]:
    """The jars of Cassandra, downloaded first if they aren't all in the cache.

    Raises:
        ConfigurationError: they must be downloaded, and the `local` extra isn't installed.
        Unreachable: a download failed.
    """
    cache = cache or cache_directory()
    listing = cache / f"cassandra-{VERSION}.json"
    if jars := _listed(listing):
        return jars
    with locked(cache, lambda: say("another process is downloading Cassandra; waiting for it")):
        if jars := _listed(listing):
            return jars
        jars = _download(cache / "maven", say)
        replace(listing, json.dumps([[str(jar), jar.stat().st_size] for jar in jars]))
    return jars


def _listed(listing: Path) -> list[Path]:
    """The jars of an earlier download, if all are whole; those that aren't are removed."""
    try:
        sizes = {Path(name): size for name, size in json.loads(listing.read_bytes())}
    except (OSError, ValueError, TypeError):
        return []
    missing = [jar for jar in sizes if not jar.is_file()]
    damaged = [jar for jar in sizes if jar not in missing and jar.stat().st_size != sizes[jar]]
    for jar in damaged:
        jar.unlink()
    return [] if missing or damaged else list(sizes)


def _download(repository: Path, say: Callable[[str], None]) -> list[Path]:
    """Resolve Cassandra and what it needs, and fetch what `repository` doesn't hold yet."""
    try:
        # 0.3 s to import, and needed once: never at the top of a module.
        import requests
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext, PythonResolver
        from jgo.parse import Coordinate
        from requests.adapters import HTTPAdapter
        from urllib3 import Retry
    except ImportError as error:
        raise ConfigurationError(
            f"the embedded server needs the `local` extra ({error.name} is not installed)",
            hint="pip install 'calldrop-migrate[local]'",
        ) from error

    say(f"downloading Apache Cassandra {VERSION} to {repository} (67 MB, this once)")
    patient = Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    with requests.Session() as session:
        session.mount("https://", HTTPAdapter(max_retries=patient))

        class WholeFiles(PythonResolver):  # type: ignore[misc]  # jgo is skipped by mypy
            """jgo's own writes in place, only warns of a wrong checksum, connects for each file."""

            def download(self, artifact: Any) -> Path:
                folder = artifact.component.path_prefix.as_posix()
                url = f"{MAVEN_CENTRAL_URL}/{folder}/{artifact.filename}"
                target: Path = artifact.cached_path
                try:
                    _fetch(session, url, target)
                except OSError as error:
                    raise Unreachable(
                        f"could not download {artifact.filename}: {error}",
                        state="nothing was started; what came whole is kept for the next time",
                        hint="check the network (HTTPS_PROXY, REQUESTS_CA_BUNDLE), then try again",
                    ) from error
                return target

        context = MavenContext(resolver=WholeFiles(), repo_cache=repository, local_repos=[])
        return _fetch_all(context, Coordinate.parse(_COORDINATE))


def _fetch_all(context: Any, coordinate: Any) -> list[Path]:
    from concurrent.futures import ThreadPoolExecutor

    try:
        wanted, needed = context.resolver.resolve([context.create_dependency(coordinate)])
    except (ValueError, RuntimeError, LookupError) as error:
        raise Unreachable(
            f"could not resolve {coordinate}: {error}", hint="run the same command again"
        ) from error
    artifacts = [
        dependency.artifact
        for dependency in (*wanted, *needed)
        if dependency.scope in (None, "compile", "runtime")
    ]
    with ThreadPoolExecutor(8) as pool:
        return [Path(path) for path in pool.map(lambda artifact: artifact.resolve(), artifacts)]


def _fetch(session: Any, url: str, target: Path) -> None:
    """Download `url` to `target`, which is only there when this returns.

    Raises:
        OSError: not the published bytes, or no room for them; requests' own errors are OSErrors.
    """
    import hashlib

    expected = session.get(f"{url}.sha1", timeout=20)
    expected.raise_for_status()
    answer = session.get(url, timeout=60)
    answer.raise_for_status()
    if hashlib.sha1(answer.content).hexdigest() != expected.text.split()[0].lower():
        raise OSError("what arrived has another SHA-1 than the published one")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.write_bytes(answer.content)
    part.replace(target)
