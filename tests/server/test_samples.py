"""docs/samples: the document's deliverables, made again and compared, so that they can't grow
stale.

CALLDROP_SAMPLES=write writes them anew; read what changed before it is committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from calldrop_migrate.core.cql import split
from tests.support.cli import Cli
from tests.support.places import PROJECT
from tests.support.told import ok

SAMPLES = PROJECT / "docs" / "samples"
SEED = ("seed", "--random-seed", "507", "--now", "2026-11-23T00:00:00Z")
DOCUMENTS = {"CALLDROP_KEYSPACE": "calldrop", "CALLDROP_REPLICATION": "datacenter1=3"}


def is_as_kept(name: str, made: str) -> None:
    """What was made is what the file has; how long things took differs each time."""
    path = SAMPLES / name
    if os.environ.get("CALLDROP_SAMPLES") == "write":
        path.write_text(made, encoding="utf-8")
    kept = path.read_text(encoding="utf-8")
    assert timeless(made) == timeless(kept), f"CALLDROP_SAMPLES=write makes {path} anew"


def timeless(text: str) -> str:
    return re.sub(r"\b[\d.,]+ (s|ms|rows/s)\b", r"N \1", text)


def session(cli: Cli, *commands: Sequence[str]) -> str:
    """What was typed, and what came on stdout; the test's keyspace under the document's name."""
    text = ""
    for args in commands:
        result = cli(*args)
        assert result.code == 0, result
        text += f"$ calldrop-migrate {' '.join(args)}\n{result.out}\n"
    return text.replace(cli.keyspace, "calldrop").rstrip("\n") + "\n"


def shown(client: Any, keyspace: str, cql: str) -> str:
    """A query and its rows, as cqlsh lays them out."""
    rows = [
        {name: value(each, order=name == "clustering_order") for name, each in row.items()}
        for row in client.execute(cql.replace("calldrop.", f"{keyspace}."))
    ]
    widths = {n: max(len(n), *(len(row[n]) for row in rows)) for n in rows[0]}
    lines = [" | ".join(f"{n:<{widths[n]}}" for n in widths)]
    lines.append("-+-".join("-" * width for width in widths.values()))
    lines += [" | ".join(f"{row[n]:>{widths[n]}}" for n in widths) for row in rows]
    table = "\n".join(f" {line}".rstrip() for line in lines)
    return f"{cql};\n\n{table}\n\n({len(rows)} row{'s' * (len(rows) != 1)})\n"


def value(each: object, *, order: bool = False) -> str:
    if isinstance(each, datetime):
        return f"{each:%Y-%m-%d %H:%M:%S.%f}+0000"
    return str(each).lower() if order else str(each)  # ScyllaDB's orders are in capitals


def test_the_schema_is_what_head_makes(cli: Cli, client: Any, datacenter: str) -> None:
    """Also by what a server makes of the file: revision 4 to the last option."""
    made = cli("show", "head", "--schema", env=DOCUMENTS)
    assert made.code == 0, made
    is_as_kept("create-schema.cql", made.out)

    kept = (SAMPLES / "create-schema.cql").read_text(encoding="utf-8")
    ours = kept.replace("calldrop", cli.keyspace, 1).replace(
        "'datacenter1': '3'", f"'{datacenter}': 1"
    )
    create, _, *statements = [statement.text for statement in split(ours)]
    client.execute(create)
    names = r"^(CREATE (?:TABLE|MATERIALIZED VIEW)|  FROM) "
    for text in statements:
        client.execute(re.sub(names, rf"\1 {cli.keyspace}.", text, flags=re.MULTILINE))
    ok(cli("stamp", "4", "--yes"))
    ok(cli("verify"))


def test_verification_generation_and_rows(cli: Cli, client: Any) -> None:
    ok(cli("up"))
    columns = shown(
        client,
        cli.keyspace,
        "SELECT table_name, column_name, kind, position, clustering_order, type"
        f" FROM system_schema.columns WHERE keyspace_name = '{cli.keyspace}'"
        " AND table_name IN ('call_records', 'calls_by_completion')",
    ).replace(cli.keyspace, "calldrop")
    verified = session(cli, ("verify",), ("diff", "live", "head"))
    is_as_kept("schema-verification.txt", f"{verified}\n{columns}")

    is_as_kept("generation-output.txt", session(cli, SEED))

    users = client.execute(
        f"SELECT DISTINCT source_phone_number AS user FROM {cli.keyspace}.call_records"
    )
    first = min(row["user"] for row in users)
    queries = [
        f"SELECT * FROM calldrop.call_records WHERE source_phone_number = '{first}' LIMIT 5",
        "SELECT COUNT(*) FROM calldrop.call_records",
        "SELECT COUNT(*) FROM calldrop.calls_by_completion WHERE call_completed = true",
        "SELECT COUNT(*) FROM calldrop.calls_by_completion WHERE call_completed = false",
        "SELECT source_phone_number, COUNT(*) AS call_count FROM calldrop.call_records"
        " GROUP BY source_phone_number",
    ]
    is_as_kept("table-data-sample.txt", "\n".join(shown(client, cli.keyspace, q) for q in queries))
