"""A project of cassandra-migrate: its files, and its program beside ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, Result
from tests.support.servers import Address

ONE = """-- The first one.
CREATE TABLE KS.users (id int PRIMARY KEY, name text);
INSERT INTO KS.users (id, name) VALUES (1, 'KS.users; -- no comment');
"""
THEIRS = {
    "v1_create_users.cql": ONE,
    "v2_AddTowers.cql": "CREATE TABLE towers (id text PRIMARY KEY)",
    "v10_more.cql": "ALTER TABLE users ADD email text;\n",
}


@pytest.fixture
def project(cli: Cli, client: Any, datacenter: str) -> Path:
    """Its files, and a keyspace, which its own default would give another data centre."""
    folder = cli.folder / "migrations"
    shutil.rmtree(folder)
    folder.mkdir()
    for name, text in THEIRS.items():
        (folder / name).write_text(text.replace("KS", cli.keyspace), encoding="utf-8")
    client.execute(
        f"CREATE KEYSPACE {cli.keyspace} WITH replication ="
        f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    )
    return folder


@pytest.fixture
def peer(cli: Cli, server: Address) -> Callable[..., Result]:
    """Runs `cassandra-migrate` beside us: the same folder, keyspace and server."""
    (cli.folder / "cassandra-migrate.yml").write_text(
        f"keyspace: {cli.keyspace}\nmigrations_path: migrations\n", encoding="utf-8"
    )

    def run(*args: str) -> Result:
        done = subprocess.run(
            [
                # By its interpreter: its first line can't name one below a folder with blanks.
                *(sys.executable, str(Path(sys.executable).with_name("cassandra-migrate"))),
                *("--hosts", ",".join(server.hosts), "--port", str(server.port)),
                *reaching(cli),
                *args,
            ],
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            cwd=cli.folder,
            env=dict(cli.environment),
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


def reaching(cli: Cli) -> list[str]:
    user, password = (cli.environment.get(f"CALLDROP_{n}", "") for n in ("USERNAME", "PASSWORD"))
    return ["--user", user, "--password", password] if user else []
