"""The words that a refused command must say, and the files and moments that make it refuse."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.cli import Cli, Result
from tests.support.pace import PACE


def told(result: Result, code: int, *words: str, out: bool = False) -> str:
    """Sees that a command ended with `code` and said `words` on stderr, in three parts."""
    assert result.code == code, result
    assert "Traceback" not in result.err + result.out, result.err
    for word in words:
        assert word in result.err, result.err
    assert result.err.rstrip().endswith(f"(exit {code})"), result.err
    assert out or not result.out, result.out
    return result.err


def ok(result: Result) -> str:
    """Sees that a command ended with 0; gives what it said."""
    assert result.code == 0, f"exit {result.code}\n{result.err}\n{result.out}"
    return result.err + result.out


def told_as_json(result: Result, code: int, *words: str) -> dict[str, Any]:
    """The same of --json: stdout holds the error and nothing else."""
    assert result.code == code, result
    document = json.loads(result.out)
    assert document["schema_version"] == 1
    error: dict[str, Any] = document["error"]
    assert error["exit_code"] == code
    assert error["state"]
    for word in words:
        assert word in error["message"] + error["hint"], error
    return error


def only(cli: Cli, **files: str) -> None:
    """These migrations and no others: name without ending -> text."""
    folder = cli.folder / "migrations"
    for path in folder.iterdir():
        path.unlink()
    for name, text in files.items():
        write(cli, name, text)


def write(cli: Cli, name: str, text: str) -> Path:
    path = cli.folder / "migrations" / f"{name.removeprefix('r')}.cql"
    path.write_text(text, encoding="utf-8")
    return path


# Of a way down that is no opposite.
PARTIAL = "-- migrate:partial a test\nGRANT SELECT ON TABLE t TO nobody;\n"


def tables(*names: str) -> str:
    """A migration that makes these tables, and its way back."""
    up = "\n".join(f"CREATE TABLE {name} (id int PRIMARY KEY);" for name in names)
    down = "\n".join(f"DROP TABLE {name};" for name in reversed(names))
    return f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n"


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + seconds * PACE.factor
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
