"""The jars: pinned, checked, and never half there."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from calldrop_migrate.embedded import jars
from calldrop_migrate.embedded.releases import RELEASES, Release, release
from calldrop_migrate.errors import ConfigurationError, Unreachable

CONTENT = b"all of it"


@dataclass(frozen=True)
class Pinned:
    """A release as far as its jars go."""

    pinned: Path
    version: str = "9.9.9"


@pytest.fixture
def few(tmp_path: Path) -> Pinned:
    """A release of two jars."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    lines = [f"{digest} {len(CONTENT)} org/{name}.jar\n" for name in ("cassandra-all", "jamm")]
    pinned = tmp_path / "list.txt"
    pinned.write_text("".join(lines))
    return Pinned(pinned)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is downloaded, from a repository that has everything."""
    fetched: list[str] = []

    def fetch(session: object, url: str, target: Path, jar: jars.Jar) -> None:
        fetched.append(jar.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(CONTENT)

    monkeypatch.setattr(jars, "_fetch", fetch)
    return fetched


def test_each_release_has_its_list() -> None:
    for each in RELEASES:
        lines = [line.split() for line in each.pinned.read_text().splitlines()]
        assert lines[0][2].endswith(f"cassandra-all-{each.version}.jar")
        assert sum("/jamm-" in path for _, _, path in lines) == 1
        assert all(len(digest) == 64 and int(size) for digest, size, _ in lines)


@pytest.mark.parametrize(("asked", "version"), [("4.1", "4.1.10"), ("5.0.9", "5.0.9")])
def test_a_release_is_asked_for_by_its_line_or_its_number(asked: str, version: str) -> None:
    assert release(asked).version == version


def test_a_release_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match=r"no Cassandra 3\.11 .* 4\.1, 5\.0, 6\.0"):
        release("3.11")


@pytest.mark.parametrize("damage", ["truncated", "gone", "nothing"])
def test_what_is_not_whole_is_fetched_again(
    few: Release, tmp_path: Path, served: list[str], damage: str
) -> None:
    found = jars.classpath(few, lambda line: None, tmp_path)
    assert sorted(served) == ["org/cassandra-all.jar", "org/jamm.jar"]
    served.clear()
    if damage == "truncated":
        found[1].write_bytes(b"all")
    elif damage == "gone":
        found[1].unlink()
    assert jars.classpath(few, lambda line: None, tmp_path) == found
    assert served == ([] if damage == "nothing" else ["org/jamm.jar"])


def test_without_the_extra(
    few: Release, tmp_path: Path, served: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jgo.constants", None)
    with pytest.raises(ConfigurationError) as refused:
        jars.classpath(few, pytest.fail, tmp_path)
    assert "`local` extra" in refused.value.message
    assert refused.value.hint == "pip install 'calldrop-migrate[local]'"


def answering(sent: bytes | OSError) -> SimpleNamespace:
    """Return a session that gives these bytes."""

    def get(url: str, timeout: float) -> SimpleNamespace:
        if isinstance(sent, OSError):
            raise sent
        return SimpleNamespace(content=sent, raise_for_status=lambda: None)

    return SimpleNamespace(get=get)


PINNED = jars.Jar(hashlib.sha256(b"jar").hexdigest(), 3, "a/a.jar")


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "a.jar"
    jars._fetch(answering(b"jar"), "scheme:a.jar", target, PINNED)
    assert target.read_bytes() == b"jar"
    assert [target] == list(target.parent.iterdir())


@pytest.mark.parametrize("sent", [b"ja", b"", b"rja", ConnectionResetError("reset")])
def test_a_file_that_is_another_one_is_not_there(tmp_path: Path, sent: bytes | OSError) -> None:
    target = tmp_path / "a.jar"
    with pytest.raises(OSError, match=r"SHA-256|reset"):
        jars._fetch(answering(sent), "scheme:a.jar", target, PINNED)
    assert not target.exists()


def test_a_failed_download_names_the_file(
    few: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionRefusedError("no route")

    monkeypatch.setattr(jars, "_fetch", refuse)
    said: list[str] = []
    tell: Callable[[str], None] = said.append
    with pytest.raises(Unreachable, match=r"not download .*\.jar: no route") as failed:
        jars.classpath(few, tell, tmp_path)
    assert failed.value.state
    assert failed.value.hint
    assert len(said) == 1
