"""The effect of a statement on the schema: the object it names, what it declares, what it destroys.

Reads the few statement forms that change a schema or rows, from tokens; every other statement is an
`Effect` with verb "other" and no name. It doesn't judge syntax, that is the server's part: a
statement that can't be read raises `CqlError` only where the tool has to understand it.

What an effect leads to is in effects.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from calldrop_migrate.core import masks
from calldrop_migrate.core.cql import Statement
from calldrop_migrate.core.cursor import Cursor
from calldrop_migrate.core.ddl_parts import (
    declared_index,
    declared_type,
    ended,
    option,
    type_text,
)
from calldrop_migrate.core.names import is_never
from calldrop_migrate.core.options import Options, text_of
from calldrop_migrate.core.schema import Column, Extra, Table, sorted_columns

_KINDS = {"columnfamily": "table"}
# What changes the schema and that no single name finds again: a function is overloaded, the others
# are not read back. Such a statement is sent like any other schema change, and repeated if its
# outcome is unknown.
_NAMELESS = ("function", "aggregate", "keyspace")
_ROWS = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one statement.

    Attributes:
        verb: create, alter, drop, truncate, write, or other.
        kind: table, view, type, index, function, ...; empty for other.
        name: the object; empty when the statement names none that can be read back.
        table: the declared table or view of a CREATE.
        extra: the declared type or index of a CREATE.
        add, drop, rename, options: the parts of an ALTER; of a type, `add` are fields.
        masks: columns of an ALTER with the mask that each gets; an empty one is dropped.
        unnamed: a CREATE INDEX that leaves the name to the server; `name` is the one that a server
            chooses if it is free.
        compact: an ALTER TABLE that drops COMPACT STORAGE.
        conditional: IF [NOT] EXISTS was written of the object.
        loose: IF [NOT] EXISTS was written of the parts of an ALTER.
        writes, deletes: tables that rows are written into, and deleted from.
        id: the ID that a CREATE TABLE asks for.
    """

    verb: str
    kind: str = ""
    name: str = ""
    table: Table | None = None
    extra: Extra | None = None
    add: tuple[Column, ...] = ()
    drop: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    options: Options = ()
    masks: tuple[tuple[str, str], ...] = ()
    conditional: bool = False
    loose: bool = False
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    id: str = ""
    unnamed: bool = False
    compact: bool = False

    @property
    def destroys(self) -> bool:
        """Return whether a whole table or column is gone afterwards, with what is in it.

        Rows that a DELETE names are the file's own business.
        """
        if self.kind == "table" and self.verb in ("drop", "truncate"):
            return not is_never(self.name)
        return (self.verb, self.kind) == ("alter", "table") and bool(self.drop)

    @property
    def makes_table(self) -> bool:
        """Return whether it is a CREATE TABLE."""
        return (self.verb, self.kind) == ("create", "table")

    @property
    def drops_table(self) -> bool:
        """Return whether it is a DROP TABLE."""
        return (self.verb, self.kind) == ("drop", "table")

    @property
    def changes_schema(self) -> bool:
        """Return whether schema agreement has to be awaited after it."""
        return self.verb in ("create", "alter", "drop")


OTHER = Effect("other")


def read(statement: Statement) -> Effect:
    """The effect of a statement.

    Raises:
        CqlError: a statement of a form that the tool has to understand, and can't make out.
    """
    reader = Cursor(statement)
    match reader.peek():
        case "create":
            return _create(reader)
        case "alter":
            return _alter(reader)
        case "drop":
            return _drop(reader)
        case "truncate":
            reader.expect("truncate")
            _ = reader.take("table") or reader.take("columnfamily")
            return Effect("truncate", "table", reader.name())
        case "insert" | "update" | "delete" | "begin":
            return _rows(statement)
    return OTHER


# -- rows ------------------------------------------------------------------------------------------


def _rows(statement: Statement) -> Effect:
    """INSERT, UPDATE, DELETE, or a BATCH: its `;` may be left out, but these words are reserved."""
    written: dict[str, None] = {}
    deleted: dict[str, None] = {}
    for at, token in enumerate(statement.tokens):
        if not token.is_word(*_ROWS):
            continue
        reader = Cursor(statement, at + 1)
        if token.value != "update":
            word = "from" if token.value == "delete" else "into"
            reader.until(word)
            reader.expect(word)
        (deleted if token.value == "delete" else written)[reader.name()] = None
    return Effect("write", "table", writes=tuple(written), deletes=tuple(deleted))


# -- CREATE and DROP -------------------------------------------------------------------------------


def kind_of(reader: Cursor) -> str:
    """Return what a CREATE, ALTER or DROP is about; the cursor stands behind it."""
    if reader.take("materialized", "view"):
        return "view"
    while reader.take("or", "replace") or reader.take("custom"):
        pass
    word = reader.next().value
    return _KINDS.get(word, word)


def _drop(reader: Cursor) -> Effect:
    reader.expect("drop")
    kind = kind_of(reader)
    conditional = reader.take("if", "exists")
    if kind in _NAMELESS:
        return Effect("drop", kind, conditional=conditional)
    if kind not in ("table", "view", "type", "index"):
        return OTHER
    return Effect("drop", kind, reader.name(), conditional=conditional)


def _create(reader: Cursor) -> Effect:
    reader.expect("create")
    custom = reader.peek() == "custom"
    kind = kind_of(reader)
    conditional = reader.take("if", "not", "exists")
    effect = Effect("create", kind, conditional=conditional)
    match kind:
        case "table":
            table, table_id = _table(reader)
            return replace(effect, name=table.name, table=table, id=table_id)
        case "view":
            view = _view(reader)
            return replace(effect, name=view.name, table=view)
        case "type":
            made = declared_type(reader)
            return replace(effect, name=made.name, extra=made)
        case "index":
            unnamed = reader.peek() == "on"
            made = declared_index(reader, custom=custom)
            return replace(effect, name=made.name, extra=made, unnamed=unnamed)
    return effect if kind in _NAMELESS else OTHER


def _table(reader: Cursor) -> tuple[Table, str]:
    """A declared table, and the ID that was asked for."""
    name = reader.name()
    ended(reader, "(")
    columns: list[Column] = []
    partition: tuple[str, ...] = ()
    clustering: tuple[str, ...] = ()
    while True:
        if reader.take("primary", "key"):
            partition, clustering = _primary_key(reader)
        else:
            column, is_key = _column(reader)
            columns.append(column)
            partition = (column.name,) if is_key else partition
        if not reader.take(","):
            break
    ended(reader, ")")
    if not partition:
        raise reader.error(f"{name} has no PRIMARY KEY")
    order, options, compact = _with(reader)
    table_id = text_of(options.pop("id", '""'))
    keyed = _keyed(reader, columns, partition, clustering, order)
    return Table(name, keyed, tuple(sorted(options.items())), compact=compact), table_id


def _column(reader: Cursor) -> tuple[Column, bool]:
    """One column of a CREATE or an ADD, and whether it is the whole PRIMARY KEY."""
    name = reader.name()
    type_ = type_text(reader.type())
    kind = "static" if reader.take("static") else "regular"
    mask = _mask(reader)
    is_key = reader.take("primary", "key")
    return Column(name, type_, kind, mask=mask), is_key


def _mask(reader: Cursor) -> str:
    """The mask of a column, if one is declared."""
    if not reader.take("masked"):
        return ""
    reader.expect("with")
    return masks.declared(reader.until(",", "primary", "check"))


def _primary_key(reader: Cursor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reader.expect("(")
    partition = reader.names_in_brackets() if reader.peek() == "(" else (reader.name(),)
    clustering = reader.names() if reader.take(",") else ()
    reader.expect(")")
    return partition, clustering


def _keyed(
    reader: Cursor,
    columns: Sequence[Column],
    partition: Sequence[str],
    clustering: Sequence[str],
    order: dict[str, str],
    default: str = "asc",
) -> tuple[Column, ...]:
    known = {c.name for c in columns}
    for name in (*partition, *clustering, *order):
        if name not in known:
            raise reader.error(f"the key names {name}, which is no column", reader.written(name))

    def place(column: Column) -> Column:
        name = column.name
        if name in partition:
            at = list(partition).index(name)
            return replace(column, kind="partition_key", position=at)
        if name in clustering:
            at, ordered = list(clustering).index(name), order.get(name, default)
            return replace(column, kind="clustering", position=at, order=ordered)
        return column

    return sorted_columns(map(place, columns))


def _with(reader: Cursor) -> tuple[dict[str, str], dict[str, str], bool]:
    """Clustering order, options, and whether COMPACT STORAGE stands behind a CREATE's WITH."""
    order: dict[str, str] = {}
    options: dict[str, str] = {}
    compact = False
    more = reader.take("with")
    while more:
        if reader.take("clustering", "order", "by"):
            reader.expect("(")
            while not reader.take(")"):
                name = reader.name()
                order[name] = "desc" if reader.take("desc") else "asc"
                _ = reader.take("asc") or reader.take(",")
                reader.take(",")
        elif reader.take("compact", "storage"):
            compact = True
        else:
            options |= dict([option(reader)])
        more = reader.take("and")
    if not reader.ended:
        raise reader.error("expected WITH or AND, or the end of the statement")
    return order, options, compact


def _view(reader: Cursor) -> Table:
    """A declared view. Its columns have no types yet, and one of SELECT * only those of its key.

    An order that isn't written is the server's: Cassandra takes the base's, ScyllaDB ASC.
    """
    name = reader.name()
    reader.expect("as", "select")
    selected = reader.until("from")
    reader.expect("from")
    base = reader.name()
    reader.expect("where")
    where = " ".join(t.text for t in reader.until("primary"))
    reader.expect("primary", "key")
    partition, clustering = _primary_key(reader)
    order, options, _ = _with(reader)
    options.pop("id", None)
    whole = any(t.is_symbol("*") for t in selected)
    named = (*partition, *clustering) if whole else [t.value for t in selected if t.is_name()]
    columns = _keyed(reader, [Column(c, "") for c in named], partition, clustering, order, "")
    return Table(name, columns, tuple(sorted(options.items())), base=base, where=where, whole=whole)


# -- ALTER -----------------------------------------------------------------------------------------


def _alter(reader: Cursor) -> Effect:
    reader.expect("alter")
    kind = kind_of(reader)
    conditional = reader.take("if", "exists")
    if kind in _NAMELESS:
        return Effect("alter", kind, conditional=conditional)
    if kind not in ("table", "view", "type"):
        return OTHER
    effect = _parts(reader, Effect("alter", kind, reader.name(), conditional=conditional))
    ended(reader)
    return effect


def _parts(reader: Cursor, effect: Effect) -> Effect:
    if reader.take("add"):
        loose = reader.take("if", "not", "exists")
        return replace(effect, add=_added(reader), loose=loose)
    if reader.take("drop"):
        if reader.take("compact", "storage"):
            return replace(effect, compact=True)
        loose, brackets = reader.take("if", "exists"), reader.peek() == "("
        dropped = reader.names_in_brackets() if brackets else reader.names()
        if reader.take("using", "timestamp"):
            reader.next()
        return replace(effect, drop=dropped, loose=loose)
    if reader.take("rename"):
        loose = reader.take("if", "exists")
        return replace(effect, rename=tuple(_renames(reader)), loose=loose)
    if reader.take("alter"):
        loose = reader.take("if", "exists")
        name = reader.name()
        if reader.take("type"):
            reader.type()
            return replace(effect, loose=loose)
        mask = "" if reader.take("drop") and reader.take("masked") else _mask(reader)
        return replace(effect, masks=((name, mask),), loose=loose)
    if reader.take("with"):
        options = [option(reader)]
        while reader.take("and"):
            options.append(option(reader))
        return replace(effect, options=tuple(sorted(options)))
    return effect


def _added(reader: Cursor) -> tuple[Column, ...]:
    brackets = reader.take("(")
    added = [_column(reader)[0]]
    while reader.take(","):
        added.append(_column(reader)[0])
    if brackets:
        ended(reader, ")")
    return tuple(added)


def _renames(reader: Cursor) -> Iterator[tuple[str, str]]:
    while True:
        old = reader.name()
        reader.expect("to")
        yield old, reader.name()
        if not reader.take("and"):
            return
