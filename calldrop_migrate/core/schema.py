"""What a keyspace looks like, as plain values: columns, tables, views.

A materialized view is a Table with a `base`: the server keeps both alike, and so do we. Three
notions of "same":

  digest      every stored property, the table's id and dropped columns among them: did *anything*
              change since we looked? (recovery, PROTOCOLS.md 4; only ever compared on one server)
  comparable  what two servers, or two points in time, can be compared by (SCYLLA.md 7): columns,
              types, keys, order, compaction, default_time_to_live, a view's base and WHERE
  holds       a live table has at least what a statement declared (declared.py)

Nothing here reads a server: `from_rows` takes the rows of system_schema as mappings.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from calldrop_migrate.core.cql import CqlError, Kind, Token, quote, tokenize
from calldrop_migrate.core.names import is_internal

Row = Mapping[str, Any]

_KIND_ORDER = {"partition_key": 0, "clustering": 1, "static": 2, "regular": 3}
# Columns of system_schema.tables and .views that are not options of the table.
_NOT_OPTIONS = {
    *("keyspace_name", "table_name", "view_name", "id", "flags", "dropped_columns"),
    *("base_table_id", "base_table_name", "include_all_columns", "where_clause"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        kind, order: the server's words.
        position: within its part of the key.
    """

    name: str
    type: str
    kind: str = "regular"
    position: int = -1
    order: str = "none"

    @property
    def is_key(self) -> bool:
        """Whether the column is part of the primary key."""
        return self.kind in ("partition_key", "clustering")

    def comparable(self) -> str:
        """Type, and whether it is static; one type is always written in one way."""
        return plain_type(self.type) + " static" * (self.kind == "static")


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a materialized view (`base` is set).

    Attributes:
        options: name -> value as text, sorted; compaction and other maps as JSON.
        dropped: columns that were dropped, with the time: they matter to `digest` alone.
        whole: a view of SELECT *, which takes every column that its base gets.
    """

    name: str
    columns: tuple[Column, ...]
    options: tuple[tuple[str, str], ...] = ()
    id: UUID | None = field(default=None, compare=False)
    base: str = ""
    where: str = ""
    dropped: tuple[str, ...] = ()
    whole: bool = False

    @property
    def partition_key(self) -> tuple[str, ...]:
        """The partition key's columns in order."""
        return tuple(c.name for c in self.columns if c.kind == "partition_key")

    @property
    def clustering_key(self) -> tuple[str, ...]:
        """The clustering columns in order."""
        return tuple(c.name for c in self.columns if c.kind == "clustering")

    @property
    def key(self) -> tuple[str, ...]:
        """The whole primary key in order."""
        return self.partition_key + self.clustering_key

    def column(self, name: str) -> Column | None:
        """The column of that name, if there is one."""
        return next((c for c in self.columns if c.name == name), None)

    def has_type(self, name: str) -> bool:
        """Whether a column is of a user type, or of one that is made of it."""
        quoted = re.compile(rf"(?<![\w\"]){re.escape(quote(name))}(?![\w\"])")
        return any(quoted.search(column.type) for column in self.columns)

    def option(self, name: str) -> str:
        """An option's value as text; empty where the server or the statement has none."""
        return dict(self.options).get(name, "")

    def comparable(self) -> dict[str, Any]:
        """What can be compared between servers and over time, ready for JSON."""
        shape: dict[str, Any] = {
            **self._rows(),
            "compaction": comparable_compaction(self.option("compaction")),
        }
        if self.base:
            return shape | {"base": self.base, "where": conditions(self.where)}
        return shape | {"default_time_to_live": int(self.option("default_time_to_live") or 0)}

    def same_rows_as(self, other: Table) -> bool:
        """Whether a row of one is one of the other: same columns and key, whatever the options."""
        return self._rows() == other._rows()

    def _rows(self) -> dict[str, Any]:
        return {
            "columns": {c.name: c.comparable() for c in self.columns},
            "partition_key": list(self.partition_key),
            "clustering_key": [
                f"{c.name} {c.order.upper()}" for c in self.columns if c.kind == "clustering"
            ],
        }

    def digest(self) -> str:
        """A fingerprint of everything the server stores about the table, its id included."""
        stored = [
            *(self.name, str(self.id), self.base, self.where, self.whole, self.dropped),
            *(self.options, [_flat(c) for c in self.columns]),
        ]
        return hashlib.sha256(json.dumps(stored).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Extra:
    """A user type or an index: kept as the text of its definition.

    Of a type it is JSON of [field names, field types]; of an index of [table, kind, options].
    """

    kind: str
    name: str
    definition: str

    @property
    def table(self) -> str:
        """The table of an index; empty for a type."""
        return str(json.loads(self.definition)[0]) if self.kind == "index" else ""

    def digest(self) -> str:
        """A fingerprint of the definition."""
        return hashlib.sha256(f"{self.kind} {self.definition}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Schema:
    """A keyspace as it is: `replication` is empty where the keyspace doesn't exist."""

    keyspace: str
    replication: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    extras: tuple[Extra, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether the keyspace exists."""
        return bool(self.replication)

    def table(self, name: str) -> Table | None:
        """The table or view of that name, if there is one."""
        return next((t for t in self.tables if t.name == name), None)

    def extra(self, kind: str, name: str) -> Extra | None:
        """The type or index of that name, if there is one."""
        return next((e for e in self.extras if (e.kind, e.name) == (kind, name)), None)

    def views_on(self, table: str) -> tuple[Table, ...]:
        """The materialized views over a table that somebody made."""
        return tuple(t for t in self.tables if t.base == table and not self._backs_an_index(t))

    def indexes_on(self, table: str) -> tuple[Extra, ...]:
        """The indexes of a table: they go when it is dropped."""
        return tuple(e for e in self.extras if e.table == table)

    def _backs_an_index(self, view: Table) -> bool:
        """ScyllaDB keeps an index as a view of its own, which comes and goes with it."""
        index = self.extra("index", view.name.removesuffix("_index"))
        return index is not None and index.table == view.base and view.name.endswith("_index")

    def put(self, *changed: Table) -> Schema:
        """This schema with these tables in it, in place of those of the same names."""
        names = {t.name for t in changed}
        kept = [t for t in self.tables if t.name not in names]
        return replace(self, tables=tuple(sorted([*kept, *changed], key=lambda t: t.name)))

    def without(self, name: str) -> Schema:
        """This schema without the table of that name."""
        return replace(self, tables=tuple(t for t in self.tables if t.name != name))

    def with_extras(self, extras: Iterable[Extra]) -> Schema:
        """This schema with these types and indexes, and no others."""
        return replace(self, extras=tuple(sorted(extras, key=lambda e: (e.kind, e.name))))

    def digest_of(self, name: str) -> str:
        """The digest of every object of that name; `absent` when there is none."""
        found: list[Table | Extra] = [t for t in self.tables if t.name == name]
        found += [e for e in self.extras if e.name == name]
        return "+".join(one.digest() for one in found) or "absent"

    def owned(self) -> Schema:
        """Without what is nobody's migration: our own tables, shadows, asides, a server's own."""
        tables = [t for t in self.tables if not is_internal(t.name) and not self._backs_an_index(t)]
        names = {t.name for t in tables}
        extras = [e for e in self.extras if e.kind != "index" or e.table in names]
        return replace(self, tables=tuple(tables), extras=tuple(extras))

    def comparable(self) -> dict[str, Any]:
        """What can be compared over time of the objects that migrations own, ready for JSON."""
        mine = self.owned()
        # A table and a type can have one name.
        return {t.name: t.comparable() for t in mine.tables} | {
            f"{e.kind} {e.name}": {"definition": e.definition} for e in mine.extras
        }


# -- comparing -------------------------------------------------------------------------------------


def comparable_compaction(text: str) -> dict[str, str]:
    """A compaction map with the class's short name; empty when none was declared."""
    options: dict[str, str] = json.loads(text) if text else {}
    return {k: _short_class(v) if k == "class" else str(v) for k, v in sorted(options.items())}


def _short_class(value: str) -> str:
    return value.rpartition(".")[2]


def plain_type(text: str, *, frozen: bool = False) -> str:
    """A type without each `frozen<>` that goes without saying.

    Within a frozen type, a tuple or a vector everything is frozen. Servers write it out where the
    statement did not, and not all of them at the same places.
    """
    name, bracket, rest = text.strip().partition("<")
    if not bracket:
        return name
    inner = rest.rstrip().removesuffix(">")
    if name == "frozen":
        within = plain_type(inner, frozen=True)
        implied = frozen or within.startswith(("tuple<", "vector<"))
        return within if implied else f"frozen<{within}>"
    deeper = frozen or name in ("tuple", "vector")
    return f"{name}<{', '.join(plain_type(part, frozen=deeper) for part in _parts(inner))}>"


def _parts(text: str) -> Iterator[str]:
    """The parts between the commas that stand in no brackets."""
    depth, begin = 0, 0
    for at, character in enumerate(text):
        depth += (character == "<") - (character == ">")
        if character == "," and not depth:
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]


def conditions(where: str) -> list[str]:
    """The conditions of a WHERE, written in one way and sorted."""
    try:
        tokens = tokenize(where)
    except CqlError:  # what a server stores is CQL, but nothing depends on it here
        return [where]
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token.is_word("and"):
            parts.append([])
        else:
            parts[-1].append(_canonical(token))
    return sorted(" ".join(part) for part in parts if part)


def _canonical(token: Token) -> str:
    if token.kind is Kind.QUOTED:
        return quote(token.value)
    return token.value if token.kind is Kind.WORD else token.text


# -- from and to rows and JSON ---------------------------------------------------------------------


def from_rows(
    keyspace: str,
    *,
    replication: Mapping[str, str] | None,
    tables: Iterable[Row],
    columns: Iterable[Row],
    dropped: Iterable[Row] = (),
    extras: Iterable[Extra] = (),
) -> Schema:
    """A Schema from rows of system_schema (`tables` holds those of .tables and .views)."""
    by_table: dict[str, list[Row]] = {}
    for row in columns:
        by_table.setdefault(row["table_name"], []).append(row)
    gone: dict[str, list[str]] = {}
    for row in dropped:
        gone.setdefault(row["table_name"], []).append(f"{row['column_name']} {row['dropped_time']}")
    made = [_table(row, by_table, gone) for row in tables]
    schema = Schema(
        keyspace,
        tuple(sorted((k, _short_class(v)) for k, v in (replication or {}).items())),
        tuple(sorted(made, key=lambda t: t.name)),
    )
    return schema.with_extras(extras)


def _table(row: Row, columns: Mapping[str, list[Row]], dropped: Mapping[str, list[str]]) -> Table:
    name = row.get("view_name") or row["table_name"]
    return Table(
        name=name,
        columns=sorted_columns(
            Column(c["column_name"], c["type"], c["kind"], c["position"], c["clustering_order"])
            for c in columns.get(name, [])
        ),
        options=tuple(
            sorted((k, _text(v)) for k, v in row.items() if k not in _NOT_OPTIONS and v is not None)
        ),
        id=row["id"],
        base=row.get("base_table_name") or "",
        where=row.get("where_clause") or "",
        dropped=tuple(sorted(dropped.get(name, []))),
        whole=bool(row.get("include_all_columns")),
    )


def sorted_columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns in the one order used everywhere: partition key, clustering, static, regular."""
    return tuple(
        sorted(
            (c if c.is_key else replace(c, position=-1) for c in columns),
            key=lambda c: (_KIND_ORDER[c.kind], c.position, c.name),
        )
    )


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return json.dumps({str(k): str(v) for k, v in sorted(value.items())})
    return str(value)


def _flat(column: Column) -> list[str | int]:
    return [column.name, column.type, column.kind, column.position, column.order]


def to_json(schema: Schema) -> str:
    """A Schema as text that `from_json` reads back, exactly."""
    return json.dumps(
        {
            "keyspace": schema.keyspace,
            "replication": schema.replication,
            "tables": [
                (
                    *(t.name, [_flat(c) for c in t.columns], t.options),
                    *(str(t.id) if t.id else None, t.base, t.where, t.dropped, t.whole),
                )
                for t in schema.tables
            ],
            "extras": [[e.kind, e.name, e.definition] for e in schema.extras],
        },
        separators=(",", ":"),
    )


def from_json(text: str) -> Schema:
    """The Schema that `to_json` wrote."""
    stored = json.loads(text)
    return Schema(
        stored["keyspace"],
        tuple((k, v) for k, v in stored["replication"]),
        tuple(
            Table(
                name,
                tuple(Column(*c) for c in columns),
                tuple((k, v) for k, v in options),
                UUID(id_) if id_ else None,
                *(base, where, tuple(dropped), *whole),
            )
            for name, columns, options, id_, base, where, dropped, *whole in stored["tables"]
        ),
        tuple(Extra(*e) for e in stored["extras"]),
    )
