"""Where a password may come from, and that it goes nowhere else."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.support.cli import Cli, Result
from tests.support.roles import SUPERUSER, seen_as
from tests.support.terminal import Terminal
from tests.support.told import told, told_as_json

WRONG = "wr0ng-secret"


@pytest.fixture
def unnamed(cli: Cli) -> Cli:
    """A command line that knows no password."""
    return seen_as(cli, password="")


def test_the_flag_the_environment_then_the_question(unnamed: Cli) -> None:
    file = unnamed.folder / "secret"
    file.write_text(f"{SUPERUSER}\r\n", encoding="utf-8")
    assert unnamed("status", "--password-file", "secret").code == 0
    assert seen_as(unnamed, password_file="secret")("status").code == 0
    wrong = seen_as(unnamed, password=WRONG)
    assert wrong("status", "--password-file", "secret").code == 0
    told(seen_as(wrong, password_file="secret")("status"), 2, "refuses user")
    told(unnamed("status"), 2, "no password for cassandra", "CALLDROP_PASSWORD", "--password-file")
    with Terminal(unnamed, "status") as terminal:
        terminal.shows("Password of cassandra:")
        terminal.types(f"{SUPERUSER}\n")
        assert terminal.ends() == 0
    assert SUPERUSER not in terminal.text.replace("Password of cassandra", "")


@pytest.mark.thorough
def test_the_question_is_not_answered(unnamed: Cli) -> None:
    with Terminal(unnamed, "status") as terminal:
        terminal.shows("Password of cassandra:")
        terminal.types("\x04")
        assert terminal.ends() == 2
    assert "Traceback" not in terminal.text


def test_a_wrong_one_is_told_and_not_shown(unnamed: Cli) -> None:
    wrong = seen_as(unnamed, password=WRONG)
    process = wrong.start("status", "--wait", "1")
    seen = subprocess.run(["ps", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
    out, err = process.communicate(timeout=60)
    told(Result(process.returncode, out, err), 2, "refuses user 'cassandra'", "--password-file")
    assert WRONG not in err + seen.stdout
    assert WRONG not in json.dumps(told_as_json(wrong("up", "--json"), 2, "refuses user"))
    (unnamed.folder / "secret").write_text(f"{WRONG}\n{WRONG}\n", encoding="utf-8")
    assert WRONG not in told(unnamed("status", "--password-file", "secret"), 2, "one line")
    nobody = seen_as(unnamed, username="")
    told(nobody("status"), 2, "refuses a connection without a user", "--username")


def test_there_is_no_flag_for_it(unnamed: Cli) -> None:
    for given in ([f"--password={WRONG}"], ["--password", WRONG]):
        err = told(unnamed("status", *given), 2, "No such option: --password", "--password-file")
        assert WRONG not in err


@pytest.mark.thorough
def test_it_is_nowhere_in_the_database(unnamed: Cli, client: Any) -> None:
    """From a configuration file, where it may stand, too."""
    secret = "of-the-role-9d"
    client.execute(f"CREATE ROLE r_{unnamed.keyspace} WITH PASSWORD = '{secret}' AND LOGIN = true")
    client.execute(f"GRANT CREATE ON ALL KEYSPACES TO r_{unnamed.keyspace}")
    client.execute(f"GRANT SELECT ON system_distributed.view_build_status TO r_{unnamed.keyspace}")
    configuration = unnamed.folder / "calldrop-migrate.toml"
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(f'password = "{secret}"\n{text}', encoding="utf-8")
    cli = seen_as(unnamed, username=f"r_{unnamed.keyspace}")
    done = [cli(*args) for args in (["up"], ["status", "--log", "--json"], ["up", "--nonsense"])]
    assert [result.code for result in done] == [0, 0, 2]
    assert all(secret not in result.out + result.err for result in done)
    for table in ("database_migrations", "migration_journal", "migration_progress"):
        rows = [str(row) for row in client.execute(f"SELECT * FROM {cli.keyspace}.{table}")]
        assert rows or table == "migration_progress"
        assert not [row for row in rows if secret in row]
    assert secret not in "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in cli.folder.rglob("*")
        if path.is_file() and path != configuration
    )
    client.execute(f"DROP ROLE r_{cli.keyspace}")
