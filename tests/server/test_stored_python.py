"""Rows of a history that name a Python file: told of, shown, and never run."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.cli import Cli
from tests.support.told import only, tables, told


@pytest.mark.thorough
def test_python_in_the_history_is_never_run(cli: Cli, client: Any) -> None:
    only(cli, r0001_a=tables("a"), r0002_b=tables("b"))
    assert cli("up").code == 0
    mark = cli.folder / "ran"
    code = f"open({str(mark)!r}, 'w').close()\n\ndef up(db): ...\n\ndef down(db): ...\n"
    table = f"{cli.keyspace}.database_migrations"
    (last,) = client.execute(f"SELECT id FROM {table} WHERE version = 2 ALLOW FILTERING")
    client.execute(
        f"UPDATE {table} SET name = '0002_b.py', content = %s WHERE id = %s IF EXISTS",
        (code, last["id"]),
    )
    (cli.folder / "migrations" / "0002_b.cql").unlink()
    words = ("0002 was applied from 0002_b.py", "is never run", "show 2 --applied")
    for command in (["down", "1", "--yes"], ["plan", "base"]):
        told(cli(*command), 5, *words, "Nothing was changed.")
    assert code in cli("show", "2", "--applied").out
    assert cli("status").code == 0
    assert cli("verify").code == 0
    assert "ahead of this folder: 0002" in cli("up").err

    client.execute(
        f"UPDATE {table} SET state = 'IN_PROGRESS', attempt = %s WHERE id = %s IF EXISTS",
        (uuid4(), last["id"]),
    )
    told(cli("up"), 5, *words)
    assert "Traceback" not in cli("abort", "--yes").err
    assert not mark.exists()
