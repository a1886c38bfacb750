"""Rows of one table as rows of another: which columns are carried, which rows can't be.

A target's column is filled from the source's of the same name, or by a selector of the rebuild:
another column (a rename), or an expression that the server evaluates in the copy's SELECT. A column
of the source that no target column takes as it is stays behind; that has to be said in the file.

Expressions are guarded, because Copy and Verify evaluate the same ones: an aggregate would make one
row of a whole range, and the Verify would find that very row in the target; one that depends on the
moment would never be found equal. So only functions are let through that are known to be neither.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from calldrop_migrate.core import masks
from calldrop_migrate.core.cql import CqlError, Token, bind_markers, quote, tokenize
from calldrop_migrate.core.directives import Rebuild
from calldrop_migrate.core.keys import is_loose, size_of
from calldrop_migrate.core.names import MARKER
from calldrop_migrate.core.operations import Carried, Pairs
from calldrop_migrate.core.schema import Column, Table, plain_type
from calldrop_migrate.core.widening import cast_of, origin, same_bytes
from calldrop_migrate.errors import Fault, Place

_NATIVE = {
    *("ascii", "bigint", "blob", "boolean", "counter", "date", "decimal", "double", "duration"),
    *("float", "inet", "int", "smallint", "text", "time", "timestamp", "timeuuid", "tinyint"),
    *("uuid", "varint"),
}
# Functions of both servers that give one value per row, always the same.
_SCALAR = re.compile(
    r"to_?date|to_?timestamp|to_?unix_?timestamp|dateof|unixtimestampof|(min|max)_?timeuuid"
    r"|cast|token|writetime|floor|abs|exp|log|log10|round|length|octet_length"
    r"|blob_?as_?[a-z]+|[a-z]+_?as_?blob|map_(keys|values)|collection_(count|min|max|sum|avg)"
    r"|similarity_[a-z]+|to_?json|from_?json|mask_(null|default|replace|inner|outer)"
)
_WORDS = {"as", "null", "true", "false", "nan", "infinity", *_NATIVE}
_WORDS |= {"varchar", "frozen", "list", "set", "map", "tuple", "vector"}


def identity(columns: Iterable[str]) -> Pairs:
    """Each column from the one of the same name."""
    return tuple((name, name) for name in columns)


def carries(source: Column | None, target: Column | None) -> bool:
    """Return whether a value of one column is a value of the other."""
    if source is None or target is None:
        return False
    return same_bytes(source.type, target.type)


def shared_columns(source: Table, target: Table) -> Pairs:
    """The columns that a copy carries when nothing else is said: those that both have."""
    names = [c.name for c in target.columns]
    return identity(n for n in names if carries(source.column(n), target.column(n)))


def left_behind(source: Table, columns: Pairs) -> tuple[str, ...]:
    """The source's columns whose values no target column takes, as they are or made wider."""
    taken = {origin(source, selector) for _, selector in columns}
    return tuple(c.name for c in source.columns if c.name not in taken)


# -- which rows don't fit --------------------------------------------------------------------------


def can_misfit(source: Table, target: Table, columns: Pairs = ()) -> bool:
    """Return whether a row of the source may not fit: with a null for the target's key, with a key
    that a server refuses, or with one that another row has.
    """
    return (
        _can_be_null(source, target, columns)
        or can_be_refused(source, target, columns)
        or can_collide(source, target, columns)
    )


def _can_be_null(source: Table, target: Table, columns: Pairs) -> bool:
    """Return whether a column of the target's key can be null. The source's key never is, but an
    expression over it is where that is empty.
    """
    pairs = columns or shared_columns(source, target)
    chosen, rows, partitions = dict(pairs), set(source.key), set(source.key)
    statics = [n for n, what in pairs if _is_static(source, origin(source, what))]
    if statics:
        # A partition of statics alone has none of the other key columns.
        partitions = set(source.partition_key)
        if not all(_is_static(target, name) for name in statics):
            rows = partitions
    never = {name: partitions if name in target.partition_key else rows for name in target.key}
    return any(chosen.get(name) not in known for name, known in never.items())


def can_collide(source: Table, target: Table, columns: Pairs = ()) -> bool:
    """Return whether two rows of the source can have one key in the target."""
    chosen = _kept_apart(source, columns or identity(target.key))
    whole = set(source.clustering_key) <= {chosen.get(name) for name in target.key}
    return not whole or can_collide_across(source, target, columns)


def can_collide_across(source: Table, target: Table, columns: Pairs = ()) -> bool:
    """Return whether two rows of different partitions of the source can: a column of the partition
    key is missing in the new key, or has become part of a clustering key whose comparator calls
    bytes equal that differ.
    """
    chosen = _kept_apart(source, columns or identity(target.key))
    kept = {chosen.get(name) for name in target.partition_key}
    ordered = {chosen.get(name) for name in target.clustering_key}
    return any(
        name not in ordered or is_loose(_type(source, name))
        for name in source.partition_key
        if name not in kept
    )


def _kept_apart(source: Table, columns: Pairs) -> dict[str, str]:
    """Return what each column is filled from, if two values of that are never one afterwards: a
    CAST of what can be equal and differ in bytes may give the same bytes.
    """
    columns_of = ((name, selector, origin(source, selector)) for name, selector in columns)
    return {
        name: what
        for name, selector, what in columns_of
        if what and (what == selector or not is_loose(_type(source, what)))
    }


def can_be_refused(source: Table, target: Table, columns: Pairs = ()) -> bool:
    """Return whether a row of the source can have a key that a server refuses: an empty one, or one
    that is too long. What is as short as the source's own key can't.
    """
    chosen = dict(columns or identity(target.key))
    partition, clustering = (
        [chosen.get(name, "") for name in part]
        for part in (target.partition_key, target.clustering_key)
    )
    if len(partition) == 1 and (*partition,) != source.partition_key:
        return True  # what is empty is a value, whatever its type
    longest = (
        (partition, source.partition_key, target.partition_key),
        (clustering, source.clustering_key, target.clustering_key),
    )
    return any(
        not (set(now) <= set(was) and len(set(now)) == len(now))
        and not all(size_of(_type(target, name)) for name in names)
        for now, was, names in longest
    )


def _type(table: Table, name: str) -> str:
    column = table.column(name)
    return column.type if column else ""


def can_tell(source: Table, columns: Pairs) -> bool:
    """Return whether a row of the target names the one of the source that it came from."""
    return set(source.key) <= {what for _, what in columns}


def uncarried(source: Table, columns: Pairs) -> list[str]:
    """The cells of a source row that no column of the target takes as they are: those that are left
    behind, or that an expression is computed from. Elements of collections aren't among them.
    """
    taken = {origin(source, what) for _, what in columns} | {MARKER}
    return [
        column.name
        for column in source.columns
        if column.kind == "regular"
        and column.name not in taken
        and column.type != "counter"
        and not elements_of(column.type)
    ]


def becomes_key(source: Table, target: Table, columns: Pairs) -> bool:
    """Return whether a cell of the source becomes part of the target's key."""
    chosen = dict(columns)
    into_key = [source.column(origin(source, chosen.get(name, ""))) for name in target.key]
    return any(column is not None and not column.is_key for column in into_key)


# -- which tables can't be copied ------------------------------------------------------------------


def uncopyable(operation: Carried) -> list[str]:
    """Return why these rows can't be copied with all that belongs to them; empty when they can."""
    source, target, name = operation.source, operation.target, operation.source.name
    found = list(_incomparable(operation))
    if source.compact:
        found.append(
            f"{name} was made WITH COMPACT STORAGE, and shows columns that nothing can read: first,"
            f" in a revision of its own,  ALTER TABLE {quote(name)} DROP COMPACT STORAGE"
        )
    found += [
        f"the mask of {name}.{quote(c.name)}, {c.mask}, is kept by the server in a form that is no"
        f" CQL: drop it first  (ALTER TABLE {quote(name)} ALTER {quote(c.name)} DROP MASKED), and"
        " set it again behind it"
        for c in source.columns
        if not masks.can_be_written(c.mask)
    ]
    whole = _partition_of(source, target, operation.columns)
    split = [n for n in source.partition_key if n not in whole]
    for into, selector in operation.columns:
        here, there = source.column(origin(source, selector)), target.column(into)
        if here and here.type == "counter":
            found.append(
                f"{name}.{here.name} is a counter: a counter can't be written, only added to"
            )
        if there is None or there.kind != "static":
            continue
        if here is None or here.kind != "static":
            found.append(f"{into} is static in the new shape: rows of a partition can't share it")
        elif split:
            found.append(
                f"{name}.{selector} is static, and the new shape has it static, too, without "
                f"{', '.join(split)} in its partition key: partitions with a value each would fall "
                "into one (a regular column takes it to each row)"
            )
    return found


def _incomparable(operation: Carried) -> Iterator[str]:
    """Parts of the new key of which nobody here can tell whether two of them are one key."""
    source, target, columns = operation.source, operation.target, operation.columns
    if not can_collide(source, target, columns):
        return
    for name in target.clustering_key:
        if "'" in (kind := _type(target, name)):
            yield (
                f"{source.name}: {name}, part of the new key, is of the custom type {kind}: nobody"
                " here can tell which of its values are one key, and two rows may come to have one"
            )


def _partition_of(source: Table, target: Table, columns: Pairs) -> set[str]:
    """The columns of the source that the target's partition key keeps apart."""
    chosen = _kept_apart(source, columns)
    return {chosen.get(name, "") for name in target.partition_key}


# -- statics and elements --------------------------------------------------------------------------


def _is_static(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and column.kind == "static"


def elements_of(type_name: str) -> str:
    """Return what a column has a cell for each of: list, set, map, or udt, where it isn't
    frozen.
    """
    head, bracket, _ = plain_type(type_name).partition("<")
    if bracket:
        return head if head in ("list", "set", "map") else ""
    return "" if head in _NATIVE or head.startswith("'") else "udt"


def inexact(operation: Carried, *, element_times: bool) -> Iterator[str]:
    """Yield what of the columns' cells can't be kept exactly, for people."""
    for into, selector in operation.columns:
        column = operation.source.column(selector)
        kind = elements_of(column.type) if column and operation.target.column(into) else ""
        name = f"{operation.source.name}.{selector}"
        if kind and not element_times:
            yield (
                f"{name} is not frozen, and this server does not tell the times of its elements: "
                "they are kept, their write times and TTLs are lost"
            )
        elif kind == "list":
            yield (
                f"{name} is a list that is not frozen: its elements keep order and TTL, their write"
                " times become one"
            )


# -- what a rebuild's arguments say ----------------------------------------------------------------


def mapping(rebuild: Rebuild, source: Table, target: Table) -> tuple[Pairs, list[Fault]]:
    """The columns that a rebuild carries into `target`, and what is wrong with its arguments."""
    faults: list[str] = []
    chosen = dict(shared_columns(source, target))
    for name, text in rebuild.assign:
        chosen[name], wrong = _selector(name, text, source, target.column(name))
        faults += wrong
    columns = tuple((c.name, chosen[c.name]) for c in target.columns if c.name in chosen)
    faults += _unfilled(rebuild, source, target, chosen)
    faults += _left(rebuild, source, target, columns)
    return columns, [_fault(rebuild.place, text) for text in faults]


def _fault(place: Place, text: str) -> Fault:
    message, _, hint = text.partition("\n")
    return Fault(place, message, hint)


def _unfilled(
    rebuild: Rebuild, source: Table, target: Table, chosen: Collection[str]
) -> Iterator[str]:
    """Yield what of the target would stay empty, and may not."""
    for column in target.columns:
        same = source.column(column.name)
        if column.name in chosen:
            continue
        if same is not None and column.name not in rebuild.drop:
            yield _other_type(source, same, column)
        elif column.is_key:
            yield (
                f"{column.name} is part of the new key, and nothing fills it\n"
                f"say what does:  {column.name}=SELECTOR"
            )


def _other_type(source: Table, column: Column, target: Column) -> str:
    name, kind = target.name, target.type
    return (
        f"{source.name}.{column.name} is {column.type}, and the new {name} is {kind}\n"
        f"say what becomes of its values:  {name}=CAST({quote(column.name)} AS {kind})"
    )


def _left(rebuild: Rebuild, source: Table, target: Table, columns: Pairs) -> Iterator[str]:
    """Yield what would stay behind without a word, or is told to and doesn't."""
    left = left_behind(source, columns)
    for name in rebuild.drop:
        if source.column(name) is None:
            yield f"`drop={name}`: {source.name} has no column {name}"
        elif name not in left:
            yield f"`drop={name}`: the new shape carries {name}"
    # `a=CAST(a AS text)` says what becomes of the values of a.
    said = {*rebuild.drop, *(name for name, text in rebuild.assign if name in _names_in(text))}
    filled = {name for name, _ in columns}
    for name in left:
        if name not in said and (target.column(name) is None or name in filled):
            yield (
                f"the new shape doesn't take {source.name}.{name}\n"
                f"say that it is left behind:  drop={name}    or where it goes:  NEW={name}"
            )


def _selector(name: str, text: str, source: Table, target: Column | None) -> tuple[str, list[str]]:
    """A selector as Copy has it, and what is wrong with it."""
    if target is None:
        return text, [f"`{name}={text}`: the new shape has no column {name}"]
    try:
        tokens = tokenize(text)
    except CqlError as error:
        return text, [f"`{name}={text}`: {error.fault.message}"]
    if len(tokens) > 1 or not tokens[0].is_name():
        wrong = [*_misread(tokens, source), *_miscast(text, target)]
        return _uncast(text, source), [f"`{name}={text}`: {what}" for what in wrong]
    selector = tokens[0].value
    column = source.column(selector)
    if column is None:
        return selector, [f"`{name}={text}`: {source.name} has no column {selector}"]
    return selector, [] if carries(column, target) else [_other_type(source, column, target)]


def _miscast(text: str, target: Column) -> Iterator[str]:
    """Yield what is wrong with a CAST as the value of a column."""
    _, kind = cast_of(text) or ("", "")
    if kind and not same_bytes(kind, target.type):
        yield f"the new {target.name} is {target.type}, and that gives {kind}"


def _uncast(text: str, source: Table) -> str:
    """The column itself where a CAST leaves its bytes as they are: so it keeps its own times."""
    name, kind = cast_of(text) or ("", "")
    column = source.column(name)
    return name if column is not None and same_bytes(column.type, kind) else text


def _misread(tokens: Sequence[Token], source: Table) -> Iterator[str]:
    """Yield what is wrong with an expression as one over a row of the source."""
    if next(bind_markers(tokens), None):
        yield "nothing is bound in a rebuild"
    depth = 0
    for before, token, following in zip((None, *tokens), tokens, (*tokens[1:], None), strict=False):
        depth += token.is_symbol("([{") - token.is_symbol(")]}")
        if depth == 0 and token.is_symbol(","):
            yield "these are two selectors, for one column"
        if not token.is_name() or (before and before.is_symbol(".")):
            continue
        if following and following.is_symbol("("):
            if not _SCALAR.fullmatch(token.value):
                yield f"{token.text}() is not known to give one value for each row, always the same"
        elif source.column(token.value) is None and not token.is_word(*_WORDS):
            yield f"{source.name} has no column {token.value}"


def _names_in(text: str) -> set[str]:
    try:
        return {token.value for token in tokenize(text) if token.is_name()}
    except CqlError:
        return set()
