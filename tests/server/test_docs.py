"""Every block of README.md, CONTRIBUTING.md and docs/*.md, run in the order of its page, in a
folder and on a keyspace of the page's own.

A line of `sh` is a command that must end with 0 (`plan` also with 9, as the run would); a question
is answered by the command that its refusal names. A comment before a block says how it is run where
that isn't obvious:

    file NAME            it is written to that file
    with rows            the tables have rows; going there and back again loses none
    drift STATEMENT      somebody has changed the schema so
    no history           the bookkeeping was lost
    part of FILE         the names on its lines are in that file
    ScyllaDB             for that server only
    elsewhere FILE TEST  that test runs it
    by hand              for hours, or with what isn't here: its programs and targets are there

Where a page has a host, a data centre or the keyspace calldrop, this test has its own; of many rows
it loads a tenth. What was answered to a command of a page is said beforehand the next time.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking import is_scylla
from tests.support.cli import Cli, Result
from tests.support.places import PROJECT
from tests.support.told import ok

BLOCK = re.compile(
    r"(?:^<!-- run: (?P<how>.*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
GIVEN = "calldrop-data-model.md"  # the data model document itself: test_document.py
PAGES = [
    *(PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"),
    *sorted(path for path in (PROJECT / "docs").glob("*.md") if path.name != GIVEN),
]
VALUES = {"text": "'x'", "timestamp": "0", "int": "1", "boolean": "true", "date": "'2026-01-01'"}


@dataclass(frozen=True, slots=True)
class Block:
    how: str
    kind: str
    text: str

    @property
    def what(self) -> tuple[str, str]:
        """What its comment begins with, and the rest of that."""
        for word in ("file", "drift", "part of", "elsewhere"):
            if self.how.startswith(f"{word} "):
                return word, self.how.removeprefix(f"{word} ")
        return self.how, ""


def blocks(page: Path) -> Iterator[Block]:
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(found["how"] or "", found["kind"], found["text"])


def runnable(page: Path) -> bool:
    return any(b.kind == "sh" and b.how != "by hand" for b in blocks(page))


def commands_in(block: Block) -> list[list[str]]:
    lines = (shlex.split(line, comments=True) for line in block.text.splitlines())
    return [words for words in lines if words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_each_block_says_how_it_is_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        what, rest = block.what
        known = ("", "file", "with rows", "drift", "no history", "part of", "ScyllaDB", "by hand")
        assert what in (*known, "elsewhere"), block
        if what == "elsewhere":
            file, name = rest.split()
            assert f"def {name}(" in (PROJECT / file).read_text(encoding="utf-8"), block
        elif what == "part of":
            have = (PROJECT / rest).read_text(encoding="utf-8")
            assert all(name in have for name in re.findall(r"'(\w+)':", block.text)), block
        elif what == "by hand" or block.kind == "sh":
            for words in commands_in(block):
                is_there(words)
        else:
            assert what in ("file", "ScyllaDB") or block.kind == "text", block
    outside = BLOCK.sub("", text)
    assert "```" not in outside
    assert not re.search(r"^\n {4}\S", outside, re.MULTILINE), "an indented block"
    for target in re.findall(r"\]\(([^)#:]+)\)", outside):
        assert (page.parent / target).exists(), f"{page.name}: {target} isn't there"


def is_there(words: list[str]) -> None:
    """That what a command needs of this project is there."""
    while re.fullmatch(r"\w+=\S*", words[0]):
        if len(words) == 1:
            return
        words = words[1:]
    match words:
        case ["make", target, *_]:
            assert f"\n{target}: " in (PROJECT / "Makefile").read_text(encoding="utf-8"), words
        case ["python", file, *_]:
            assert (PROJECT / file).is_file(), words
        case ["docker", *more]:
            text = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
            named = [word for word in more if ":" in word or word == "cluster"]
            assert all(word in text for word in named), words
        case [".ci/run"] | ["tests/support/replay", *_]:
            assert (PROJECT / words[0]).is_file()
        case _:
            assert words[0] in ("calldrop-migrate", "pip"), words


@pytest.mark.parametrize(
    "page", [page for page in PAGES if runnable(page)], ids=lambda page: str(page.name)
)
def test_each_block_runs(page: Path, cli: Cli, client: Any, datacenter: str) -> None:
    reader = Reader(cli, client, datacenter)
    found = list(blocks(page))
    if any(b.how.startswith("file migrations/0001") for b in found):
        for path in (cli.folder / "migrations").iterdir():
            path.unlink()
    try:
        for block in found:
            reader.run(block)
    finally:
        for name in reader.made:
            client.execute(f"DROP KEYSPACE IF EXISTS {name}")


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, cli: Cli, client: Any, datacenter: str) -> None:
        self._cli = cli
        self._client = client
        self._datacenter = datacenter
        self._env = {"CALLDROP_REPLICATION": f"{datacenter}=1", "CALLDROP_LEASE_TTL": "60"}
        self._variables: dict[str, str] = {}
        self._answers: dict[tuple[str, str], list[str]] = {}  # of a command and a keyspace
        self.made: list[str] = []

    def run(self, block: Block) -> None:
        what, rest = block.what
        match what:
            case "file":
                path = self._cli.folder / rest
                path.write_text(self._as_here(block.text), encoding="utf-8")
                return
            case "drift":
                named = re.sub(r"(TABLE )(\w+)", rf"\1{self._cli.keyspace}.\2", rest)
                self._client.execute(named)
            case "no history":
                for name in ("database_migrations", "migration_journal", "migration_progress"):
                    self._client.execute(f"DROP TABLE {self._cli.keyspace}.{name}")
            case "with rows":
                self._fill(block)
            case "ScyllaDB":
                if is_scylla(self._client):
                    self._client.execute(block.text.strip().rstrip(";"))
        if block.kind == "sh" and what not in ("elsewhere", "by hand"):
            counts = {self._current(): self._counts()}
            for words in commands_in(block):
                self._line(words)
                if what == "with rows" and "seed" not in words:
                    found = self._counts()
                    assert counts.setdefault(self._current(), found) == found, words

    def _as_here(self, text: str) -> str:
        text = re.sub(r"10\.0\.1\.\d+", self._cli.environment["CALLDROP_HOSTS"], text)
        text = re.sub(r"\b10_000\b", "1_000", text)
        return re.sub(r"datacenter1 = \d", f"{self._datacenter} = 1", text)

    def _line(self, words: list[str]) -> None:
        if re.fullmatch(r"\w+=\S*", words[0]):
            name, _, value = words[0].partition("=")
            self._variables[name] = value
            return
        if words[0] != "calldrop-migrate" or words[1] == "server":  # test_embedded.py
            return
        args = [self._as_here(word) for word in words[1:]]
        for name, value in self._variables.items():
            args = [arg.replace(f"${name}", value) for arg in args]
        if "-k" in args:
            at = args.index("-k") + 1
            args[at] = f"{self._cli.keyspace}_{args[at]}"[:48]
            self.made.append(args[at])
        args = [self._cli.keyspace if arg == "calldrop" else arg for arg in args]
        result = self._typed(args)
        allowed = (0, 9) if args[0] == "plan" else (0,)
        assert result.code in allowed, f"{shlex.join(words)}: {result}"

    def _typed(self, args: list[str]) -> Result:
        about = (args[0], args[args.index("-k") + 1] if "-k" in args else "")
        result = self._cli(*args, *self._answers.get(about, []), env=self._env)
        if asked := re.search(r"To answer beforehand:  calldrop-migrate (.*)", result.err):
            answered = shlex.split(asked[1])
            self._answers[about] = answered[len(args) :]
            return self._cli(*answered, env=self._env)
        return result

    # -- rows --------------------------------------------------------------------------------------

    def _fill(self, block: Block) -> None:
        """Rows at the revision that the keyspace is at, or that the block goes down to."""
        if not self._current():
            down = re.search(r"\bdown (\d)", block.text)
            ok(self._typed(["up", down[1] if down else "1"]))
        if "call_records" in self._tables():
            ok(self._typed(["seed", "--users", "3", "--random-seed", "3"]))
            return
        for table in self._tables():
            columns = list(
                self._client.execute(
                    "SELECT column_name, type FROM system_schema.columns"
                    " WHERE keyspace_name = %s AND table_name = %s",
                    (self._cli.keyspace, table),
                )
            )
            names = ", ".join(column["column_name"] for column in columns)
            values = ", ".join(VALUES[column["type"]] for column in columns)
            for n in range(3):
                row = values.replace("'x'", f"'x{n}'")
                self._client.execute(
                    f"INSERT INTO {self._cli.keyspace}.{table} ({names}) VALUES ({row})"
                )

    def _current(self) -> int:
        """The revision that the keyspace is at."""
        if "database_migrations" not in self._names():
            return 0
        rows = self._client.execute(f"SELECT state FROM {self._cli.keyspace}.database_migrations")
        return sum(row["state"] == "SUCCEEDED" for row in rows)

    def _tables(self) -> list[str]:
        return [n for n in self._names() if "__" not in n and "migration" not in n]

    def _names(self) -> list[str]:
        found = self._client.execute(
            "SELECT table_name AS name FROM system_schema.tables WHERE keyspace_name = %s",
            (self._cli.keyspace,),
        )
        return [row["name"] for row in found]

    def _counts(self) -> dict[str, int]:
        return {
            name: self._client.execute(
                f"SELECT COUNT(*) AS n FROM {self._cli.keyspace}.{name}"
            ).one()["n"]
            for name in self._tables()
        }
