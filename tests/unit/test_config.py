"""Settings: flags > CALLDROP_* > profile > file > defaults; and where migrations and seeds are."""

from __future__ import annotations

from pathlib import Path

import pytest

from calldrop_migrate import config
from calldrop_migrate.config import Embedded, load
from calldrop_migrate.errors import ConfigurationError

FILE = """
keyspace = "of_file"
consistency = "QUORUM"
port = 1111

[profiles.production]
port = 2222
keyspace = "of_profile"
confirm = true
hosts = ["10.0.0.1", "10.0.0.2"]

[profiles.production.replication]
dc1 = 3
"""
RUNNING = Embedded(("127.0.0.1",), 9042)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from the developer's own environment."""
    monkeypatch.setenv("CALLDROP_PORT", "no port")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "calldrop-migrate.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_each_source_wins_over_the_next(folder: Path) -> None:
    environ = {"CALLDROP_KEYSPACE": "of_environment"}
    settings = load({}, folder, {}, None).settings
    assert (settings.keyspace, settings.port, settings.consistency) == ("of_file", 1111, "QUORUM")
    assert settings.lease_ttl == 60
    settings = load({"profile": "production"}, folder, {}, None).settings
    assert (settings.keyspace, settings.port) == ("of_profile", 2222)
    assert settings.consistency == "QUORUM"
    settings = load({"profile": "production"}, folder, environ, None).settings
    assert (settings.keyspace, settings.port) == ("of_environment", 2222)
    flags = {"profile": "production", "keyspace": "of_flag"}
    assert load(flags, folder, environ, None).settings.keyspace == "of_flag"


def test_a_profile_from_the_environment(folder: Path) -> None:
    found = load({}, folder, {"CALLDROP_PROFILE": "production"}, RUNNING)
    assert found.profile == "production"
    assert found.settings.hosts == ("10.0.0.1", "10.0.0.2")
    assert not found.embedded
    assert found.settings.confirm
    assert found.settings.replication == {"class": "NetworkTopologyStrategy", "dc1": "3"}


def test_the_embedded_server_has_dev(tmp_path: Path) -> None:
    found = load({}, tmp_path, {}, RUNNING)
    assert (found.profile, found.embedded) == ("dev", True)
    assert found.settings.hosts == ("127.0.0.1",)
    assert found.settings.keep_shadow == 0
    assert found.settings.replication["datacenter1"] == "1"
    assert not found.settings.confirm


def test_a_cluster_without_a_profile_has_the_documents_replication_and_asks(tmp_path: Path) -> None:
    found = load({"hosts": "10.0.0.1, 10.0.0.2,"}, tmp_path, {}, RUNNING)
    assert found.settings.hosts == ("10.0.0.1", "10.0.0.2")
    assert (found.profile, found.embedded) == ("", False)
    assert found.settings.replication == {"class": "NetworkTopologyStrategy", "datacenter1": "3"}
    assert found.settings.confirm
    assert found.settings.keep_shadow == 7


def test_lists_by_commas_from_the_environment(tmp_path: Path) -> None:
    environ = {"CALLDROP_HOSTS": "a,b", "CALLDROP_KEEP_SHADOW": "0.5"}
    environ["CALLDROP_REPLICATION"] = "dc1=3, dc2 = 1"
    settings = load({}, tmp_path, environ, None).settings
    assert settings.replication == {"class": "NetworkTopologyStrategy", "dc1": "3", "dc2": "1"}
    assert settings.hosts == ("a", "b")
    assert settings.keep_shadow == 0.5


def test_no_password_is_shown(tmp_path: Path) -> None:
    found = load({}, tmp_path, {"CALLDROP_PASSWORD": "s3cret"}, None)
    assert found.settings.password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(found)
    assert "s3cret" not in found.settings.model_dump_json()


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        ("port = 'x'", {}, ["--port", "CALLDROP_PORT", "calldrop-migrate.toml", "'x'"]),
        ("", {"port": 70000}, ["--port", "70000"]),
        ("nonsense = 1", {}, ["nonsense", "is no setting"]),
        ("keyspace = 'no-dashes'", {}, ["keyspace", "no-dashes"]),
        ("", {"consistency": "SOME"}, ["--consistency", "LOCAL_QUORUM"]),
        ("", {"profile": "nowhere"}, ["'nowhere'", "known: none"]),
        ("[profiles.a]\n", {"profile": "b"}, ["'b'", "known: a"]),
        ("keyspace = ", {}, ["calldrop-migrate.toml"]),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, text: str, flags: dict[str, object], words: list[str]
) -> None:
    (tmp_path / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(flags, tmp_path, {}, None)
    assert caught.value.exit_code == 2
    assert caught.value.state
    for word in words:
        assert word in caught.value.message, caught.value.message


def test_pyproject_counts_only_with_our_table(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert not load({}, tmp_path, {}, None).configured
    pyproject.write_text("[tool.calldrop-migrate]\nlease-ttl = 50\n", encoding="utf-8")
    found = load({}, tmp_path, {}, None)
    assert found.configured
    assert found.settings.lease_ttl == 50


def test_folders(tmp_path: Path) -> None:
    found = load({}, tmp_path, {}, None)
    assert config.migrations_folder(found, tmp_path).shown == "packaged CallDrop migrations"
    assert len(config.read_folder(config.migrations_folder(found, tmp_path).path)) == 4
    (tmp_path / "migrations").mkdir()
    assert config.migrations_folder(found, tmp_path).path == tmp_path / "migrations"
    (tmp_path / "migrations").rmdir()
    (tmp_path / "calldrop-migrate.toml").write_text("", encoding="utf-8")
    configured = load({}, tmp_path, {}, None)
    with pytest.raises(ConfigurationError, match="no folder"):
        config.migrations_folder(configured, tmp_path)
    assert "packaged" in config.seeds_folder(configured, tmp_path).shown


def test_the_settle_time_is_derived(tmp_path: Path) -> None:
    assert load({}, tmp_path, {}, None).settings.settle == 45
    assert load({"settle_time": 1.5}, tmp_path, {}, None).settings.settle == 1.5
