"""cassandra-migrate's own command on a database that we migrated: it reads our history as its own.

It runs from the same environment, where its `cassandra` is scylla-driver's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, Result

REVISIONS = (
    "0001_initial.cql",
    "0002_destination_clustering.cql",
    "0003_twcs_and_ttl.cql",
    "0004_calls_by_completion.cql",
)


@dataclass(frozen=True, slots=True)
class Applied:
    """A row of its list of applied migrations."""

    number: int
    name: str
    state: str
    checksum: str


def applied(out: str) -> list[Applied]:
    rows = re.findall(r"^ *(\d+)  (\S+) +([A-Z_]+)  \S+ \S+ +([0-9a-f]{64})$", out, re.MULTILINE)
    return [Applied(int(number), *rest) for number, *rest in rows]


def pending(out: str) -> list[str]:
    _, _, listed = out.partition("## Pending migrations")
    return re.findall(r"^ *\d+  (\S+)", listed, re.MULTILINE)


@pytest.mark.thorough
def test_status_lists_the_four_as_succeeded(cli: Cli, peer: Callable[..., Result]) -> None:
    shown = {r["number"]: r["checksum"] for r in (cli.json("show", str(n)) for n in range(1, 5))}
    assert cli("up").code == 0

    result = peer("status")

    assert result.code == 0, result
    assert "Traceback" not in result.err
    assert applied(result.out) == [
        Applied(n, name, "SUCCEEDED", shown[n]) for n, name in enumerate(REVISIONS, 1)
    ]
    assert pending(result.out) == []


@pytest.mark.thorough
def test_status_after_down_has_the_rest_pending(cli: Cli, peer: Callable[..., Result]) -> None:
    assert cli("up").code == 0
    assert cli("down", "2", "--yes").code == 0

    result = peer("status")

    assert result.code == 0, result
    assert [row.name for row in applied(result.out)] == list(REVISIONS[:2])
    assert pending(result.out) == list(REVISIONS[2:])


@pytest.mark.thorough
def test_a_changed_file_is_told_by_both(cli: Cli, peer: Callable[..., Result]) -> None:
    assert cli("up").code == 0
    file = cli.folder / "migrations" / REVISIONS[1]
    file.write_text(file.read_text(encoding="utf-8") + "-- more\n", encoding="utf-8")

    assert cli("up").code == 5
    result = peer("status")

    assert result.code == 1, result
    assert REVISIONS[1] in result.err


@pytest.mark.thorough
def test_migrate_at_head_changes_nothing(
    cli: Cli, peer: Callable[..., Result], client: Any
) -> None:
    assert cli("up").code == 0
    rows = f"SELECT * FROM {cli.keyspace}.database_migrations"
    before = list(client.execute(rows))

    result = peer("--assume-yes", "migrate")

    assert result.code == 0, result
    assert list(client.execute(rows)) == before
    assert cli("verify").code == 0


@pytest.mark.thorough
def test_it_stops_before_a_revision_that_is_under_way(
    cli: Cli, peer: Callable[..., Result], client: Any
) -> None:
    """A refused statement leaves its revision IN_PROGRESS, and the other tool must not go on."""
    bad = cli.folder / "migrations" / "0005_bad.cql"
    bad.write_text(
        "-- migrate:up\nALTER TABLE call_records WITH nothing_of_this_name = 1;\n"
        "-- migrate:down\n-- migrate:partial x\nALTER TABLE call_records ADD a int;\n",
        encoding="utf-8",
    )
    result = cli("up")
    assert result.code == 7, result

    result = peer("--assume-yes", "migrate")

    assert result.code == 1, result
    assert "0005_bad.cql" in result.err


def test_one_environment_has_the_four_packages() -> None:
    named = ("scylla-driver", "typer", "pytest-docker", "cassandra-migrate")
    assert all(distribution(name).version for name in named)


def test_scylla_driver_alone_owns_the_driver() -> None:
    assert packages_distributions()["cassandra"] == ["scylla-driver"]
    owned = {str(file) for file in distribution("scylla-driver").files or ()}
    package = Path(str(distribution("scylla-driver").locate_file("cassandra")))
    there = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert there <= owned
