"""The jars: listed, checked, and never half there."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from calldrop_migrate.embedded import jars
from calldrop_migrate.errors import ConfigurationError, Unreachable


def cached(cache: Path) -> list[Path]:
    """A cache that holds two jars, as a download leaves it."""
    found = [cache / "maven" / name for name in ("cassandra-all.jar", "jamm.jar")]
    found[0].parent.mkdir(parents=True)
    for jar in found:
        jar.write_bytes(b"all of it")
    listing = cache / f"cassandra-{jars.VERSION}.json"
    listing.write_text(json.dumps([[str(jar), 9] for jar in found]))
    return found


def test_whole_jars_need_no_jgo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    found = cached(tmp_path)
    assert jars.classpath(pytest.fail, tmp_path) == found


@pytest.mark.parametrize("damage", ["truncated", "gone", "no list", "bad list"])
def test_damaged_jars_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    found = cached(tmp_path)
    listing = tmp_path / f"cassandra-{jars.VERSION}.json"
    match damage:
        case "truncated":
            found[1].write_bytes(b"all")
        case "gone":
            found[1].unlink()
        case "no list":
            listing.unlink()
        case "bad list":
            listing.write_text("[[")

    def download(repository: Path, say: object) -> list[Path]:
        assert damage != "truncated" or not found[1].exists(), "jgo would trust what is there"
        found[1].write_bytes(b"all of it")
        return found

    monkeypatch.setattr(jars, "_download", download)
    assert jars.classpath(pytest.fail, tmp_path) == found
    monkeypatch.setattr(jars, "_download", pytest.fail)
    assert jars.classpath(pytest.fail, tmp_path) == found


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(ConfigurationError) as refused:
        jars.classpath(pytest.fail, tmp_path)
    assert "`local` extra" in refused.value.message
    assert refused.value.hint == "pip install 'calldrop-migrate[local]'"


class Repository:
    """Answers as a session does: the checksum of `published`, and the bytes of `sent`."""

    def __init__(self, published: bytes, sent: bytes | OSError) -> None:
        self.published = published
        self.sent = sent

    def get(self, url: str, timeout: float) -> SimpleNamespace:
        if url.endswith(".sha1"):
            text = hashlib.sha1(self.published).hexdigest() + "  a.jar\n"
            return SimpleNamespace(text=text, raise_for_status=lambda: None)
        if isinstance(self.sent, OSError):
            raise self.sent
        return SimpleNamespace(content=self.sent, raise_for_status=lambda: None)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "a.jar"
    jars._fetch(Repository(b"jar", b"jar"), "scheme:a.jar", target)
    assert target.read_bytes() == b"jar"
    assert [target] == list(target.parent.iterdir())


@pytest.mark.parametrize("sent", [b"ja", b"", ConnectionResetError()])
def test_a_file_that_came_in_part_is_not_there(tmp_path: Path, sent: bytes | OSError) -> None:
    target = tmp_path / "a.jar"
    with pytest.raises(OSError):  # noqa: PT011  # whichever: the caller turns all into one
        jars._fetch(Repository(b"jar", sent), "scheme:a.jar", target)
    assert not target.exists()


def test_a_failed_download_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jgo")

    def refuse(session: object, url: str, target: Path) -> None:
        raise ConnectionRefusedError("no route")

    monkeypatch.setattr(jars, "_fetch", refuse)
    said: list[str] = []
    with pytest.raises(
        Unreachable, match=r"could not download cassandra-all.*: no route"
    ) as failed:
        jars.classpath(said.append, tmp_path)
    assert failed.value.state
    assert failed.value.hint
    assert len(said) == 1
    assert not (tmp_path / f"cassandra-{jars.VERSION}.json").exists()
