"""Schemas of keyspaces as plain values: columns, tables, views.

A materialized view is a Table with a `base`: the server keeps both alike, and so do we. Three
notions of "same":

  digest      every stored property, the table's id and dropped columns among them: did *anything*
              change since we looked? (docs/protocol.md 4; only ever compared on one server)
  comparable  what two servers, or two points in time, can be compared by: columns, types, masks,
              keys, order, options (options.py), a view's base and WHERE
  holds       a live table has at least what a statement declared (declared.py)

Nothing here reads a server: `from_rows` takes the rows of system_schema as mappings.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from calldrop_migrate.core import options as table_options
from calldrop_migrate.core.cql import CqlError, Kind, Token, literal, quote, tokenize
from calldrop_migrate.core.names import is_internal
from calldrop_migrate.core.options import Options, short_class

Row = Mapping[str, Any]

_KIND_ORDER = {"partition_key": 0, "clustering": 1, "static": 2, "regular": 3}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        kind: partition_key, clustering, static or regular.
        position: within its part of the key.
        order: asc, desc, or none outside of the clustering key; empty where a view's statement
            leaves it to the server.
        mask: the function that masks it, as CQL (Cassandra 5.0); empty without.
    """

    name: str
    type: str
    kind: str = "regular"
    position: int = -1
    order: str = "none"
    mask: str = ""

    @property
    def is_key(self) -> bool:
        """Return whether the column is part of the primary key."""
        return self.kind in ("partition_key", "clustering")

    def comparable(self) -> str:
        """Type, whether it is static, and mask; one type is always written in one way."""
        masked = f" masked with {self.mask}" if self.mask else ""
        return plain_type(self.type) + " static" * (self.kind == "static") + masked


class Dropped(NamedTuple):
    """A column that was dropped: servers limit what may be added under its name."""

    name: str
    type: str
    kind: str = "regular"
    at: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or a materialized view (`base` is set).

    Attributes:
        options: name -> value as JSON, sorted by name (options.py).
        whole: a view of SELECT *, which takes every column that its base gets.
        compact: made WITH COMPACT STORAGE.
    """

    name: str
    columns: tuple[Column, ...]
    options: Options = ()
    id: UUID | None = field(default=None, compare=False)
    base: str = ""
    where: str = ""
    dropped: tuple[Dropped, ...] = ()
    whole: bool = False
    compact: bool = False

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
        """Return whether a column is of a user type, or of one that is made of it."""
        return any(names_type(column.type, name) for column in self.columns)

    def option(self, name: str) -> str:
        """An option's value as text; empty where the server or the statement has none."""
        return table_options.text_of(dict(self.options).get(name, '""'))

    @property
    def beyond(self) -> dict[str, str]:
        """The things that the server keeps of it and no statement of the tool's says."""
        return dict(json.loads(dict(self.options).get(table_options.READ_ONLY, "{}")))

    def comparable(self) -> dict[str, Any]:
        """Return what can be compared between servers and over time, ready for JSON."""
        options = table_options.comparable(self.options)
        if self.base:
            # A view's rows expire with those of its base.
            options.pop("default_time_to_live", None)
            view = {"base": self.base, "where": conditions(self.where)}
            return {**self._rows(), "options": options, **view}
        return {**self._rows(), "options": {"default_time_to_live": 0, **options}}

    def same_shape_as(self, other: Table) -> bool:
        """Return whether both have the same columns, masks and key, whatever the options."""
        return self._rows() == other._rows()

    def same_rows_as(self, other: Table) -> bool:
        """Return whether a row of one is one of the other: as `same_shape_as`, whatever the
        masks.
        """
        return self._unmasked().same_shape_as(other._unmasked())

    def _unmasked(self) -> Table:
        return replace(self, columns=tuple(replace(c, mask="") for c in self.columns))

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
            *(self.options, self.compact, [_flat(c) for c in self.columns]),
        ]
        return hashlib.sha256(json.dumps(stored).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Extra:
    """A user type, an index or a trigger: kept as the text of its definition.

    Of a type it is JSON of [field names, field types]; of an index of [table, kind, options]; of a
    trigger of [table, class].
    """

    kind: str
    name: str
    definition: str

    @property
    def table(self) -> str:
        """The table of an index or a trigger; empty for a type."""
        return "" if self.kind == "type" else str(json.loads(self.definition)[0])

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
        """Return whether the keyspace exists."""
        return bool(self.replication)

    def table(self, name: str) -> Table | None:
        """The table or view of that name, if there is one."""
        return next((t for t in self.tables if t.name == name), None)

    def extra(self, kind: str, name: str) -> Extra | None:
        """The type, index or trigger of that name, if there is one."""
        return next((e for e in self.extras if (e.kind, e.name) == (kind, name)), None)

    def views_on(self, table: str) -> tuple[Table, ...]:
        """The materialized views over a table."""
        return tuple(t for t in self.tables if t.base == table)

    def indexes_on(self, table: str) -> tuple[Extra, ...]:
        """The indexes of a table: they go when it is dropped."""
        return tuple(e for e in self.extras if (e.kind, e.table) == ("index", table))

    def triggers_on(self, table: str) -> tuple[Extra, ...]:
        """The triggers of a table: they go when it is dropped."""
        return tuple(e for e in self.extras if (e.kind, e.table) == ("trigger", table))

    def put(self, *changed: Table) -> Schema:
        """This schema with these tables in it, in place of those of the same names."""
        names = {t.name for t in changed}
        kept = [t for t in self.tables if t.name not in names]
        return replace(self, tables=tuple(sorted([*kept, *changed], key=lambda t: t.name)))

    def without(self, name: str) -> Schema:
        """This schema without the table of that name, and without its indexes."""
        kept = replace(self, tables=tuple(t for t in self.tables if t.name != name))
        return kept.with_extras(e for e in self.extras if e.table != name)

    def with_extras(self, extras: Iterable[Extra]) -> Schema:
        """This schema with these types, indexes and triggers, and no others."""
        return replace(self, extras=tuple(sorted(extras, key=lambda e: (e.kind, e.name))))

    def digest_of(self, name: str) -> str:
        """The digest of every object of that name; `absent` when there is none."""
        found: list[Table | Extra] = [t for t in self.tables if t.name == name]
        found += [e for e in self.extras if e.name == name]
        return "+".join(one.digest() for one in found) or "absent"

    def owned(self) -> Schema:
        """Without what is nobody's migration: our own tables, shadows, asides, a server's own."""
        tables = [t for t in self.tables if not is_internal(t.name)]
        names = {t.name for t in tables}
        extras = [e for e in self.extras if not e.table or e.table in names]
        return replace(self, tables=tuple(tables), extras=tuple(extras))

    def comparable(self) -> dict[str, Any]:
        """Return what can be compared over time of the objects that migrations own, ready
        for JSON.
        """
        mine = self.owned()
        # A table and a type can have one name.
        return {t.name: t.comparable() for t in mine.tables} | {
            f"{e.kind} {e.name}": {"definition": e.definition} for e in mine.extras
        }


# -- comparing -------------------------------------------------------------------------------------


def names_type(text: str, name: str) -> bool:
    """Return whether a type is a user type, or made of it."""
    return bool(re.search(rf"(?<![\w\"]){re.escape(quote(name))}(?![\w\"])", text))


def plain_type(text: str, *, frozen: bool = False) -> str:
    """A type without each `frozen<>` that goes without saying.

    Within a frozen type, a tuple or a vector everything is frozen. Servers write it out where the
    statement did not, and not all of them at the same places.
    """
    name, parts = type_parts(text)
    if not parts:
        return name
    if name == "frozen":
        within = plain_type(parts[0], frozen=True)
        implied = frozen or within.startswith(("tuple<", "vector<"))
        return within if implied else f"frozen<{within}>"
    deeper = frozen or name in ("tuple", "vector")
    return f"{name}<{', '.join(plain_type(part, frozen=deeper) for part in parts)}>"


def type_parts(text: str) -> tuple[str, list[str]]:
    """A type's own name, and the types or numbers in its brackets."""
    name, _, rest = text.strip().partition("<")
    inner = rest.rstrip().removesuffix(">")
    return name, [part.strip() for part in _parts(inner)] if inner else []


def inner_types(text: str) -> tuple[str, list[str]]:
    """Return what stands in front of a type's brackets, and the parts within them."""
    head, bracket, rest = text.strip().partition("<")
    if not bracket or head.startswith(('"', "'")):
        return text.strip(), []
    return head, [part.strip() for part in _parts(rest.rstrip().removesuffix(">"))]


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
    if token.kind is Kind.STRING:
        return literal(token.value)
    return token.text.lower() if token.kind in (Kind.WORD, Kind.NUMBER) else token.text


# -- from and to rows and JSON ---------------------------------------------------------------------


def from_rows(
    keyspace: str,
    *,
    replication: Mapping[str, str] | None,
    tables: Iterable[Row],
    columns: Iterable[Row],
    dropped: Iterable[Row] = (),
    masks: Mapping[tuple[str, str], str] = MappingProxyType({}),
    extras: Iterable[Extra] = (),
) -> Schema:
    """A Schema from rows of system_schema.

    Args:
        tables: those of .tables and .views.
        masks: by table and column.
    """
    by_table: dict[str, list[Column]] = {}
    for row in columns:
        by_table.setdefault(row["table_name"], []).append(_column(row, masks))
    gone: dict[str, list[Dropped]] = {}
    for row in dropped:
        # ScyllaDB doesn't keep the kind.
        kind, at = row.get("kind") or "regular", str(row["dropped_time"])
        column = Dropped(row["column_name"], row.get("type") or "", kind, at)
        gone.setdefault(row["table_name"], []).append(column)
    made = [_table(row, by_table, gone) for row in tables]
    schema = Schema(
        keyspace,
        tuple(sorted((k, short_class(v)) for k, v in (replication or {}).items())),
        tuple(sorted(made, key=lambda t: t.name)),
    )
    return schema.with_extras(extras)


def _column(row: Row, masks: Mapping[tuple[str, str], str]) -> Column:
    name, order = row["column_name"], row["clustering_order"].lower()  # in capitals on ScyllaDB
    mask = masks.get((row["table_name"], name), "")
    return Column(name, row["type"], row["kind"], row["position"], order, mask)


def _table(
    row: Row, columns: Mapping[str, list[Column]], dropped: Mapping[str, list[Dropped]]
) -> Table:
    name = row.get("view_name") or row["table_name"]
    flags = set(row.get("flags") or ())
    return Table(
        name=name,
        columns=sorted_columns(columns.get(name, [])),
        options=tuple(table_options.shown(row)),
        id=row["id"],
        base=row.get("base_table_name") or "",
        where=row.get("where_clause") or "",
        dropped=tuple(sorted(dropped.get(name, []))),
        whole=bool(row.get("include_all_columns")),
        compact="flags" in row and ("compound" not in flags or bool(flags & {"dense", "super"})),
    )


def sorted_columns(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns in the one order used everywhere: partition key, clustering, static, regular."""
    return tuple(
        sorted(
            (c if c.is_key else replace(c, position=-1) for c in columns),
            key=lambda c: (_KIND_ORDER[c.kind], c.position, c.name),
        )
    )


def _flat(column: Column) -> list[str | int]:
    masked = [column.mask] if column.mask else []
    return [column.name, column.type, column.kind, column.position, column.order, *masked]


def to_json(schema: Schema) -> str:
    """A Schema as text that `from_json` reads back, exactly."""
    return json.dumps(
        {
            "keyspace": schema.keyspace,
            "replication": schema.replication,
            "tables": [
                (
                    *(t.name, [_flat(c) for c in t.columns], t.options),
                    *(str(t.id) if t.id else None, t.base, t.where, t.dropped, t.whole, t.compact),
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
                *(base, where, tuple(Dropped(*d) for d in dropped), *flags),
            )
            for name, columns, options, id_, base, where, dropped, *flags in stored["tables"]
        ),
        tuple(Extra(*e) for e in stored["extras"]),
    )
