"""Settings: flags > CALLDROP_* > profile > file > defaults; and where migrations and seeds are."""

from __future__ import annotations

from pathlib import Path

import pytest

from calldrop_migrate import config
from calldrop_migrate.cli import folders
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
    "text",
    [
        "password = 50103",
        "password = ['50103']",
        "password = {is = 50103}",
        "[profiles.a]\npassword = 50103",
        "passwort = '50103'",
        "password = '50103",
    ],
)
def test_not_even_a_wrong_password_is_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load({"profile": "a"} if "profiles" in text else {}, tmp_path, {}, None)
    assert "50103" not in caught.value.message + caught.value.hint
    assert "passwor" in caught.value.message or "'50103" in text


def password(folder: Path, text: str, environ: dict[str, str], **flags: object) -> str:
    (folder / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
    return config.password_in(load(flags, folder, environ, None).settings)


def test_the_nearest_password_counts(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("of file\n", encoding="utf-8")
    both = f"password = 'of toml'\n[profiles.a]\npassword_file = '{file}'\n"
    environ = {"CALLDROP_PASSWORD_FILE": str(file)}
    assert password(tmp_path, "", {}) == ""
    assert password(tmp_path, both, {}) == "of toml"
    assert password(tmp_path, both, {}, profile="a") == "of file"
    assert password(tmp_path, both, environ) == "of file"
    assert password(tmp_path, both, {}, password_file=file) == "of file"
    given = environ | {"CALLDROP_PASSWORD": "of environment"}
    assert password(tmp_path, both, given) == "of environment"
    assert password(tmp_path, both, given, password_file=file) == "of file"


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    empty = {f"CALLDROP_{name}": "" for name in ("WAIT", "TLS_CA", "HOSTS", "PASSWORD_FILE")}
    settings = load({}, tmp_path, empty, None).settings
    assert settings == load({}, tmp_path, {}, None).settings
    assert not settings.encrypted


def test_a_profile_is_one_name(tmp_path: Path) -> None:
    (tmp_path / "calldrop-migrate.toml").write_text('profile = ["dev"]', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is no name"):
        load({}, tmp_path, {}, None)


@pytest.mark.parametrize("stored", [b"", b"\n", b"50103\n\n50103", b"50103\xff"])
def test_a_password_file_is_one_line(tmp_path: Path, stored: bytes) -> None:
    (tmp_path / "secret").write_bytes(stored)
    with pytest.raises(ConfigurationError, match="--password-file") as caught:
        password(tmp_path, "", {}, password_file=tmp_path / "secret")
    assert "50103" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="No such file"):
        password(tmp_path, "", {}, password_file=tmp_path / "nowhere")


def test_a_file_for_tls_turns_it_on(tmp_path: Path) -> None:
    assert not load({}, tmp_path, {}, None).settings.encrypted
    for name in ("tls_ca", "tls_cert", "tls_key"):
        settings = load({}, tmp_path, {f"CALLDROP_{name.upper()}": "a.pem"}, None).settings
        assert settings.encrypted
        assert settings.tls_files == {name: Path("a.pem")}
    settings = load({"tls": True}, tmp_path, {}, None).settings
    assert settings.encrypted
    assert settings.tls_hostname
    off = load({"tls_ca": "a.pem"}, tmp_path, {"CALLDROP_TLS": "false"}, None).settings
    with pytest.raises(ConfigurationError, match="tls = false, and --tls-ca"):
        assert off.encrypted


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


@pytest.mark.parametrize(
    ("variable", "right"),
    [
        *(("CALLDROP_HOST", "HOSTS"), ("CALLDROP_HOSTES", "HOSTS"), ("calldrop_host", "HOSTS")),
        *(("CALLDROP_USER", "USERNAME"), ("CALLDROP_PASS", "PASSWORD")),
        *(("CALLDROP_PROFIL", "PROFILE"), ("CALLDROP_KEYSPACES", "KEYSPACE")),
        *(("CALLDROP_CONTACT_POINTS", "HOSTS"), ("CALLDROP_TLS_HOST", "TLS_HOSTNAME")),
        *(("CALLDROP_RANDOMSEED", "RANDOM_SEED"), ("CALLDROP_WORKER", "WORKERS")),
    ],
)
def test_a_variable_that_is_nearly_a_setting(tmp_path: Path, variable: str, right: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path, {variable: "x"}, None)
    assert caught.value.message == f"{variable} is no setting; CALLDROP_{right} is"
    assert "calldrop-migrate help settings" in caught.value.hint


def test_variables_that_resemble_no_setting_are_left_alone(tmp_path: Path) -> None:
    others = ("DB_HOST", "ENV", "VERSION", "LOG_LEVEL", "URL", "TOKEN", "TESTS", "ROUNDS", "DEBUG")
    environ = {f"CALLDROP_{name}": "x" for name in (*others, "TEST_EMBEDDED", "CHROMIUM", "ID")}
    environ |= {"CALLDROPPED_HOST": "x", "CALLDROP_EMBEDDED_HOME": "x", "CALLDROP_NOW": "x"}
    environ |= {"CALLDROP_HOST": ""}  # an empty one says nothing
    assert load({}, tmp_path, environ, None).settings == load({}, tmp_path, {}, None).settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hostes = ['h']", "hostes in calldrop-migrate.toml is no setting; did you mean hosts?"),
        ("[profiles.a]\nhost = ['h']", "host in [profiles.a] in calldrop-migrate.toml is no"),
        ("[profiles.a]\nkeep-shadows = 1", "is no setting; did you mean keep_shadow?"),
        ("[profiles.a]\nnonsense = 1", "nonsense in [profiles.a]"),
        (
            "x = 1\n[profiles.a]\ny = 1",
            "x in calldrop-migrate.toml is no setting\ny in [profiles.a]",
        ),
    ],
)
def test_a_name_that_is_no_setting_in_any_profile(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path, {}, None)
    assert words in caught.value.message


def test_names_with_dashes_in_a_profile(tmp_path: Path) -> None:
    text = "[profiles.a]\nlease-ttl = 50\n"
    (tmp_path / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
    assert load({"profile": "a"}, tmp_path, {}, None).settings.lease_ttl == 50


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
    assert folders.migrations_folder(found, tmp_path).shown == "packaged CallDrop migrations"
    assert len(folders.read_folder(folders.migrations_folder(found, tmp_path).path)) == 4
    other = load({"keyspace": "other"}, tmp_path, {}, None)
    with pytest.raises(ConfigurationError, match="no migrations here") as caught:
        folders.migrations_folder(other, tmp_path)
    assert "calldrop-migrate new initial" in caught.value.hint
    assert "--demo" in caught.value.hint
    demo = load({"keyspace": "other", "demo": True}, tmp_path, {}, None)
    assert folders.migrations_folder(demo, tmp_path).path == folders.packaged("migrations")
    (tmp_path / "migrations").mkdir()
    assert folders.migrations_folder(found, tmp_path).path == tmp_path / "migrations"
    (tmp_path / "migrations").rmdir()
    (tmp_path / "calldrop-migrate.toml").write_text("", encoding="utf-8")
    configured = load({}, tmp_path, {}, None)
    with pytest.raises(ConfigurationError, match="no folder"):
        folders.migrations_folder(configured, tmp_path)
    assert "packaged" in folders.seeds_folder(configured, tmp_path).shown


def test_the_settle_time_is_derived(tmp_path: Path) -> None:
    assert load({}, tmp_path, {}, None).settings.settle == 45
    assert load({"settle_time": 1.5}, tmp_path, {}, None).settings.settle == 1.5
