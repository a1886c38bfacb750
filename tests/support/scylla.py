"""Makes a real Cassandra answer as ScyllaDB 2026.1 does, where the two differ in a way that matters
to us: rules for the proxy of tests/support/wire.py, which sits between.

What the server says is rewritten, never made up: a query for a table that only ScyllaDB has is sent
as one that Cassandra can answer.

    rows without metadata   SCYLLA_USE_METADATA_ID is offered, and the driver then asks for that
    system_schema           clustering orders in capitals, `dropped_time` in microseconds, a view of
                            each index, a `$paxos` table of each with conditional writes
    system                  no name of the cluster, tables with "scylla" in their names
    errors                  "unconfigured table"
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any

from cassandra import Unauthorized
from cassandra.protocol import ResultMessage
from cassandra.protocol_features import ProtocolFeatures

_STARTUP, _SUPPORTED, _QUERY, _RESULT, _PREPARE, _EXECUTE, _ERROR = 1, 6, 7, 8, 9, 10, 0
_ROWS, _PREPARED = (kind.to_bytes(4, "big") for kind in (2, 4))
_EXTENSION = "SCYLLA_USE_METADATA_ID"
_METADATA_ID = b"\0\x10" + b"as one of Scylla"
_OWN = {"system": b"scylla_local", "system_schema": b"scylla_tables"}
_CASSANDRAS = (b"column_masks",)
_CONDITIONAL = ("database_migrations", "migration_journal")
# What only ScyllaDB has -> what Cassandra tells under the same names of columns.
_ASKED = {
    r"SELECT version FROM system\.versions WHERE .*": (
        "SELECT release_version AS version FROM system.local"
    ),
    r"(SELECT name, value FROM) system\.config": r"\1 system_views.settings",
    r"SELECT supported_features (FROM system\.\w+)": r"SELECT rack AS supported_features \1",
    r"SELECT \* (FROM system_schema)\.scylla_tables (.*)": r"SELECT table_name \1.tables \2",
    r"SELECT initial_tablets FROM system_schema\.scylla_keyspaces .*": (
        "SELECT view_name AS initial_tablets FROM system_schema.views WHERE keyspace_name = 'none'"
    ),
}

_NOT_EVERYBODYS = re.compile(
    r"(?<=FROM )(system\.(?:config|versions|size_estimates|role\w*)|\w+\.view_build_status\w*)"
)

Cells = dict[str, bytes | None]
Ask = Callable[[str], list[Any]]


WINDOWS = 100


def let_windows_be(session: Any) -> str:
    """Lets each node of a ScyllaDB keep the 90 windows of revision 0003, and tells whether it had
    to be asked for: 50 are the default, and it is each node's own. It stays so until the node
    starts again, since other workers of this run may need it longer than this one.
    """
    to = f"SET value = '{WINDOWS}' WHERE name = 'twcs_max_window_count'"
    raised = []
    with suppress(Unauthorized):  # then `up` says what is to be done
        for host in session.cluster.metadata.all_hosts():
            found = session.execute("SELECT name, value FROM system.config", host=host)
            settings = {row["name"]: row["value"] for row in found}
            if 0 < int(settings.get("twcs_max_window_count", 0)) < WINDOWS:
                session.execute(f"UPDATE system.config {to}", host=host)
                raised.append(str(host.address))
    return f", its twcs_max_window_count raised to {WINDOWS}: {', '.join(raised)}" if raised else ""


class AsScylla:
    """The frames of one connection, rewritten: a `Rewriting` of tests/support/wire.py.

    Args:
        ask: runs a SELECT on the server itself, for the indexes whose views are to be told of.
        ordinary: as to a role that may read no more of `system` than every role may.
    """

    def __init__(self, ask: Ask, *, ordinary: bool = False) -> None:
        self._ask = ask
        self._ordinary = ordinary
        self._extended = False
        self._columns: dict[str, list[str]] = {}  # by CQL, of what was prepared

    def asked(self, opcode: int, body: bytes) -> bytes:
        """A request as it goes to the server."""
        if opcode == _STARTUP:
            self._extended = _EXTENSION.encode() in body
        if opcode == _EXECUTE and self._extended:
            end = 2 + int.from_bytes(body[:2], "big")  # behind the statement's id is the metadata's
            return body[:end] + body[end + 2 + int.from_bytes(body[end : end + 2], "big") :]
        if opcode not in (_QUERY, _PREPARE):
            return body
        end = 4 + int.from_bytes(body[:4], "big")
        cql = body[4:end].decode()
        if self._ordinary and _NOT_EVERYBODYS.search(cql):
            cql = "SELECT * FROM system.of_superusers"
        for theirs, ours in _ASKED.items():
            cql = re.sub(rf"^{theirs}$", ours, cql)
        return len(cql.encode()).to_bytes(4, "big") + cql.encode() + body[end:]

    def answered(self, cql: str, opcode: int, body: bytes) -> bytes:
        """An answer to a request, or to the statement that it executes, as the client gets it."""
        if opcode == _SUPPORTED:
            name = struct.pack(">H", len(_EXTENSION)) + _EXTENSION.encode() + b"\0\0"
            return (int.from_bytes(body[:2], "big") + 1).to_bytes(2, "big") + body[2:] + name
        if opcode == _ERROR and self._ordinary and (kept := _NOT_EVERYBODYS.search(cql)):
            return _unauthorized(kept[0])
        if opcode == _ERROR:
            return _error(body)
        if opcode == _RESULT and body[:4] == _PREPARED:
            return self._prepared(cql, body)
        if opcode == _RESULT and body[:4] == _ROWS and "system" in cql:
            return self._rows(cql, body)
        return body

    def _prepared(self, cql: str, body: bytes) -> bytes:
        end = 6 + int.from_bytes(body[4:6], "big")
        told: Any = ResultMessage(4)
        told.recv_prepared_metadata(BytesIO(body[end:]), 4, ProtocolFeatures(), {})
        self._columns[cql] = [column[2] for column in told.column_metadata or ()]
        return body[:end] + _METADATA_ID * self._extended + body[end:]

    def _rows(self, cql: str, body: bytes) -> bytes:
        read, told = BytesIO(body), ResultMessage(2)
        read.read(4)
        told.recv_results_metadata(read, {})
        described = told.column_metadata
        names = [c[2] for c in described] if described else self._columns[cql]
        head = body[: read.tell()]
        count = int.from_bytes(read.read(4), "big")
        rows: list[Cells] = [{name: _cell(read) for name in names} for _ in range(count)]
        rows = self._changed(cql, names, rows)
        cells = b"".join(_packed(row.get(name)) for row in rows for name in names)
        return head + len(rows).to_bytes(4, "big") + cells

    def _changed(self, cql: str, names: list[str], rows: list[Cells]) -> list[Cells]:
        for row in rows:
            if row.get("clustering_order") is not None:
                row["clustering_order"] = (row["clustering_order"] or b"").upper()
            if "cluster_name" in row:
                row["cluster_name"] = b""
            for name in names:
                at = row[name]
                if "dropped_time" in name and at is not None:
                    # Not sooner than it was: Cassandra goes by more than it tells.
                    row[name] = (int.from_bytes(at, "big") * 1000 + 999).to_bytes(8, "big")
        for keyspace, own in _OWN.items():
            if cql.endswith(f"system_schema.tables WHERE keyspace_name = '{keyspace}'"):
                return [r for r in rows if r["table_name"] not in _CASSANDRAS] + [
                    {"table_name": own}
                ]
        if found := re.search(r"FROM system_schema\.(\w+) WHERE keyspace_name = '(\w+)'$", cql):
            return [*rows, *self._own(found[1], found[2], rows)]
        return rows

    def _own(self, source: str, keyspace: str, rows: list[Cells]) -> Iterator[Cells]:
        """Rows of system_schema about tables and views that ScyllaDB makes for itself."""
        for row in rows:
            name = (row.get("table_name") or b"").decode()
            if source in ("tables", "columns") and name in _CONDITIONAL:
                yield row | {"table_name": f"{name}$paxos".encode()}
        if source not in ("views", "columns"):
            return
        its = f"FROM system_schema.indexes WHERE keyspace_name = '{keyspace}'"
        for index in self._ask(f"SELECT table_name, index_name, options {its}"):
            yield from _of_index(source, keyspace, index)


def _of_index(source: str, keyspace: str, index: Mapping[str, Any]) -> Iterator[Cells]:
    view = f"{index['index_name']}_index".encode()
    within: Cells = {"keyspace_name": keyspace.encode()}
    if source == "views":
        yield within | {
            "view_name": view,
            "base_table_name": index["table_name"].encode(),
            "id": view[:16].ljust(16, b"\0"),
            "where_clause": b"",
            "include_all_columns": b"\0",
        }
        return
    for kind, name in ("partition_key", index["options"]["target"]), ("clustering", "idx_token"):
        yield within | {
            "table_name": view,
            "column_name": name.encode(),
            "clustering_order": b"ASC" if kind == "clustering" else b"NONE",
            "kind": kind.encode(),
            "position": (0).to_bytes(4, "big"),
            "type": b"bigint",
        }


def _unauthorized(table: str) -> bytes:
    said = f"User you has no SELECT permission on <table {table}> or any of its parents".encode()
    return (0x2100).to_bytes(4, "big") + len(said).to_bytes(2, "big") + said


def _error(body: bytes) -> bytes:
    end = 6 + int.from_bytes(body[4:6], "big")
    said = re.sub(
        r"(?i)\btable (\S+) does not exist", r"unconfigured table \1", body[6:end].decode()
    )
    return body[:4] + len(said.encode()).to_bytes(2, "big") + said.encode() + body[end:]


def _cell(read: BytesIO) -> bytes | None:
    size = int.from_bytes(read.read(4), "big", signed=True)
    return None if size < 0 else read.read(size)


def _packed(cell: bytes | None) -> bytes:
    return (
        (-1).to_bytes(4, "big", signed=True)
        if cell is None
        else len(cell).to_bytes(4, "big") + cell
    )
