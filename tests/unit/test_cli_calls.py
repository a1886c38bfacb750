"""Calls that are wrong before any server is asked, in this process: exit codes, three parts, never
a traceback.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from calldrop_migrate import config
from calldrop_migrate.cli import folders
from calldrop_migrate.cli.program import app

Calldrop = Callable[..., Result]


@pytest.fixture
def calldrop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calldrop:
    """The program in an empty folder: with the packaged revisions, no server, no configuration."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CALLDROP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLDROP_EMBEDDED_HOME", str(tmp_path / "none"))
    return lambda *args: CliRunner().invoke(app, list(args))


def told(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    for word in words:
        assert word in result.stderr, result.stderr
    assert result.stderr.endswith(f"  (exit {code})\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("ups",), ("No such command 'ups'", "Did you mean 'up'")),
        (("up", "1", "2"), ("unexpected extra argument", "calldrop-migrate up --help")),
        (("up", "--port", "70000"), ("--port", "65535")),
        (("up", "--port", "-1"), ("--port",)),
        (("up", "--wait", "-1"), ("--wait", "greater than or equal to 0")),
        (("up", "--wait", "nan"), ("--wait",)),
        (("up", "--wait"), ("'--wait' requires an argument",)),
        (("up", "--consistency", "SOME"), ("--consistency", "LOCAL_QUORUM")),
        (("up", "--lease-ttl", "0"), ("--lease-ttl",)),
        (("up", "--profile", "prod"), ("no profile 'prod'", "[profiles.prod]")),
        (("up", "-k", ""), ("--keyspace",)),
        (("up", "-k", "x" * 49), ("--keyspace",)),
        (("up", "-k", "system_schema"), ("server's own", "--keyspace NAME")),
        (("up", "-k", "SYSTEM"), ("server's own",)),
        (("up", "--migrations", "nowhere"), ("no folder nowhere", "--migrations DIR")),
        (("up", "--migrations", "/dev/null"), ("no folder /dev/null",)),
        (("up", "--hosts", "h", "--username", "u"), ("no password for u", "CALLDROP_PASSWORD")),
        (("up", "--wait", "inf"), ("--wait", "finite")),
        (("up", "--keep-shadow", "1e300"), ("--keep-shadow", "36500")),
        (("up", "--lease-ttl", "99999999999"), ("--lease-ttl", "86400")),
        (("up", "--ddl-timeout", "0"), ("--ddl-timeout", "greater than 0")),
        (("repair", "--accept", "--restore"), ("--accept or --restore, not both",)),
        (("diff", "1", "1"), ("one and the same", "calldrop-migrate diff 1 head")),
        (("diff", "1", "dead"), ("no revision 'dead'", "0001 to 0004")),
        (("show", "0001_initial.cql"), ("no revision '0001_initial.cql'", "A target is a number")),
        (("show",), ("Missing argument 'REVISION'", "calldrop-migrate show --help")),
        (("down", "-1"), ("No such option: -1", "calldrop-migrate down --steps 1")),
        (("up", "--set-aside", "--discard-rows"), ("--set-aside keeps", "give one of the two")),
        (("down", "1", "--set-aside", "--discard-rows"), ("give one of the two",)),
        (("plan", "--set-aside", "--discard-rows"), ("give one of the two",)),
        (("up", "--hosts", "h", "--confirm", "other"), ("--confirm other", "is calldrop")),
        (("seed", "--hosts", "h", "--confirm", "other"), ("--confirm other", "is calldrop")),
        (("up", "-k", "other"), ("no migrations here", "calldrop-migrate up -k other --demo")),
        (("up", "--demo", "--migrations", "m"), ("--demo", "--migrations", "Leave one")),
        (("help", "nothing"), ("No such command 'nothing'",)),
        (("down", "1", "--steps", "1"), ("a target or --steps, not both",)),
        (("down", "--steps", "x"), ("'--steps'",)),
        (("new", "!?"), ("gives no file name", "calldrop-migrate new 'add roaming flag'")),
        (("new",), ("Missing argument 'NAME'", "calldrop-migrate new --help")),
        (("show", "9"), ("no revision '9'", "0001 to 0004")),
        (("show", "base"), ("base has no file",)),
        (("seed", "../seeds/call_records"), ("no seed module",)),
        (("seed", "--now", "9999-99-99"), ("--now '9999-99-99'", "ISO 8601")),
        (("seed", "--now", "0001-01-01T00:00:00+14:00"), ("ISO 8601",)),
        (("seed", "--seeds", "nowhere"), ("no folder nowhere",)),
        (("server", "start", "--port", "0"), ("'--port'", "greater than or equal to 1")),
        (("server", "begin"), ("No such command 'begin'", "calldrop-migrate server --help")),
        (("status", "--check=maybe"), ("--check",)),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_bad_calls(calldrop: Calldrop, args: tuple[str, ...], words: tuple[str, ...]) -> None:
    told(calldrop(*args), 2, *words, "Nothing was changed.")


def test_no_server(calldrop: Calldrop) -> None:
    hint = "calldrop-migrate status --hosts 10.0.1.10"
    told(calldrop("status"), 10, "no hosts were given", "calldrop-migrate server start", hint)
    told(calldrop("status", "--hosts", ","), 10, "no hosts were given")


@pytest.mark.parametrize(
    "args", [["--json"], ["up", "--json", "--what"], ["down", "--json"], ["x", "--json"]]
)
def test_bad_calls_as_json(calldrop: Calldrop, args: list[str]) -> None:
    result = calldrop(*args)
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert document["schema_version"] == 1
    assert document["error"]["exit_code"] == 2
    assert document["error"]["message"]
    assert document["error"]["state"] == "Nothing was changed."
    assert document["error"]["hint"]


@pytest.mark.parametrize(
    "text",
    [
        "keyspace = 5\n",
        "keyspace = \n",
        "keyspace = 'a'\nkeyspace = 'b'\n",
        "nonsense = 1\n",
        "hosts = 7\n",
        "confirm = 'perhaps'\n",
        "profile = 3\n",
        "profile = 'x'\n[profiles.x]\nprofiles = 1\n",
        "replication = 3\n",
        "[replication]\ndc1 = -1\n",
        "[replication]\ndc1 = 'three'\n",
        "[replication]\ndc1 = {a = 1}\n",
        "profiles = 3\n",
        "[profiles]\nx = 3\n",
        "wait = inf\n",
        "migrations = 3\n",
        "hosts = [1, 2]\n",
        "\ufeffkeyspace = 'a'\n",
    ],
)
def test_bad_configuration(calldrop: Calldrop, tmp_path: Path, text: str) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_a.cql").write_text(
        "-- migrate:up\nCREATE TABLE a (id int PRIMARY KEY);\n-- migrate:down\nDROP TABLE a;\n"
    )
    (tmp_path / "calldrop-migrate.toml").write_text(text, encoding="utf-8")
    told(calldrop("up"), 2, "calldrop-migrate.toml", "Nothing was changed.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool]\ncalldrop-migrate = 3\n", "pyproject.toml: tool.calldrop-migrate is no table"),
        ("[tool\n", "pyproject.toml: "),
        ("tool = 3\n[profiles.x]\n", "no profile 'x' in any configuration file here"),
    ],
)
def test_bad_pyproject(calldrop: Calldrop, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    told(calldrop("up", "--profile", "x"), 2, words)


def test_a_configuration_that_is_a_folder(calldrop: Calldrop, tmp_path: Path) -> None:
    (tmp_path / "calldrop-migrate.toml").mkdir()
    told(calldrop("up"), 2, "calldrop-migrate.toml: Is a directory")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PORT", "ninety"), ("WAIT", "soon"), ("CONFIRM", "maybe"), ("KEYSPACE", "a b")),
        *(("REPLICATION", "dc1:3"), ("REPLICATION", "dc1=x"), ("REPLICATION", "[1]")),
    ],
)
def test_bad_environment(
    calldrop: Calldrop, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CALLDROP_{name}", value)
    told(calldrop("up"), 2, f"CALLDROP_{name}", repr(value))


def test_what_is_named_like_a_migration_and_is_no_file(calldrop: Calldrop, tmp_path: Path) -> None:
    """Never passed over: a revision would be missing. Nor are other ones used in its place."""
    (tmp_path / "migrations").write_text("no folder", encoding="utf-8")
    told(calldrop("up"), 2, "no folder ./migrations")
    (tmp_path / "migrations").unlink()
    (tmp_path / "migrations").symlink_to("nowhere")
    told(calldrop("up"), 2, "no folder ./migrations")
    (tmp_path / "migrations").unlink()
    odd = tmp_path / "migrations" / "0001_a.cql"
    odd.mkdir(parents=True)
    told(calldrop("up"), 2, "0001_a.cql in migrations is named like a migration, and is no file")
    odd.rmdir()
    odd.symlink_to("0001_a.cql")
    told(calldrop("verify"), 2, "0001_a.cql in migrations is named like a migration")


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("0001_a.cql", bytes(range(256)), "0001_a.cql:3:115: the byte 0x80 is not UTF-8"),
        ("0001_a.cql", b"\x7fELF\1\0", "0001_a.cql:1:1: this character (U+007F"),
        ("0001_a.cql", b"\n\n", "0001_a.cql:1:1: no `-- migrate:up`"),
        ("9999_a.cql", b"", "no 0001 to 9998 before it"),
        ("99999_a.cql", b"", "rename it to NNNN_a.cql, from 0001"),
        ("1" * 200 + "_a.cql", b"", "rename it to NNNN_a.cql, from 0001"),
        ("0001_a.up.cql", b"", "rename it to 0001_a_up.cql"),
        ("V1__a.cql", b"", "rename it to 0001_a.cql"),
    ],
)
def test_files_that_are_no_migrations(
    calldrop: Calldrop, tmp_path: Path, file: str, data: bytes, words: str
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / file).write_bytes(data)
    told(calldrop("up"), 4, words, "Nothing was changed.", "Mend what is named")


def test_a_folder_that_cannot_be_read(calldrop: Calldrop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> dict[str, bytes]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(folders, "read_folder", refuse)
    told(calldrop("up"), 2, "migrations: Permission denied", "may this user read")


def test_a_folder_without_migrations(calldrop: Calldrop, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    told(calldrop("up"), 2, "no migrations in ./migrations", "calldrop-migrate new initial")


def test_a_working_directory_that_is_gone(calldrop: Calldrop, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(gone)
        gone.rmdir()
        told(calldrop("up"), 2, "No such file or directory")


def test_a_bug_is_told_as_one(calldrop: Calldrop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only traceback there is: ours."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(config, "load", fail)
    result = calldrop("up", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["exit_code"] == 1
    assert "Traceback" in result.stderr
    assert "a bug in calldrop-migrate: ZeroDivisionError: by nothing" in result.stderr
    assert "report it" in result.stderr


def test_new(calldrop: Calldrop, tmp_path: Path) -> None:
    """In a folder that has nothing yet; twice, without filling the first."""
    names = ["Add roaming!", "../../etc/passwd", "é" * 300, "x"]
    made = [calldrop("new", name).stdout.partition(":")[0] for name in names]
    assert made == [
        "migrations/0001_add_roaming.cql",
        "migrations/0002_etc_passwd.cql",
        f"migrations/0003_{'e' * 60}.cql",
        "migrations/0004_x.cql",
    ]
    assert sorted(p.name for p in (tmp_path / "migrations").iterdir()) == [
        Path(m).name for m in made
    ]
    told(calldrop("up"), 4, "0001_add_roaming.cql:3:1: no statement after `-- migrate:up`")
    (tmp_path / "migrations" / "0005_y.cql").mkdir()
    assert calldrop("new", "y").stdout.startswith("migrations/0006_y.cql")
    assert json.loads(calldrop("new", "z", "--json").stdout)["path"] == "migrations/0007_z.cql"
    (tmp_path / "migrations" / "9999_last.cql").touch()
    told(calldrop("new", "more"), 2, "has 9999, and no revision comes after that")


def test_show_prints_the_file_and_nothing_else(calldrop: Calldrop) -> None:
    result = calldrop("show", "0003")
    assert result.exit_code == 0
    file = folders.packaged("migrations") / "0003_twcs_and_ttl.cql"
    assert result.stdout == file.read_text(encoding="utf-8")
    assert "0003_twcs_and_ttl.cql, sha256 " in result.stderr
    assert json.loads(calldrop("show", "head", "--json").stdout)["number"] == 4


WORDS = (
    *("up", "down", "plan", "status", "verify", "show", "new", "seed", "server", "start", "stop"),
    *("head", "base", "+1", "-1", "0", "99999999999999999999", "", " ", "--", "-", "-h", "--help"),
    *(
        "--json",
        "--yes",
        "--steps",
        "--port",
        "--wait",
        "--now",
        "-k",
        "--profile",
        "--hosts",
        "-H",
    ),
    *(
        "--lease-ttl",
        "1e309",
        "\0",
        "\udcff",
        "ä",
        "'",
        "%s",
        "{0}",
        "[bold]",
        "--no-json",
        "--json=1",
    ),
    *("--migrations", "--seeds", "/", ".", "\n", "--random-seed", "--list", "--check", "--version"),
)


def test_random_calls_end_without_a_traceback(calldrop: Calldrop) -> None:
    source = random.Random(20261123)
    for _ in range(80):
        args = [source.choice(WORDS) for _ in range(source.randint(1, 6))]
        if "start" in args or args[0] == "new":
            continue  # a server is started elsewhere, and files are made
        result = calldrop(*args)
        assert result.exit_code in (0, 2, 4, 10), (args, result.output)
        assert "Traceback" not in result.output, args
        if result.exit_code and "--json" in args and not {"--", "-h", "--help"} & set(args):
            assert json.loads(result.stdout)["error"]["exit_code"] == result.exit_code, args
