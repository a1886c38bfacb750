"""Between a declaration and the live table: does it hold, and the CQL that would declare it.

The theory of `holds`: a server fills in what a statement left open (min_threshold beside a declared
compaction class), writes values in its own way (99PERCENTILE as 99p, a class with its package), and
keeps some options where system_schema.tables doesn't show them (ScyllaDB's tombstone_gc, a boolean
of Cassandra's at its default). So only what both sides show is compared, and what isn't shown isn't
doubted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from calldrop_migrate.core.cql import literal, quote
from calldrop_migrate.core.schema import Extra, Schema, Table, comparable_compaction, conditions

# What both servers show of a view, and take back in a CREATE.
_VIEW_OPTIONS = (
    *("additional_write_policy", "bloom_filter_fp_chance", "caching", "comment", "compression"),
    *("crc_check_chance", "gc_grace_seconds", "max_index_interval", "memtable_flush_period_in_ms"),
    *("min_index_interval", "speculative_retry"),
)
# 99PERCENTILE, 99.0p and 99p; 50.0ms and 50ms: in these options alone.
_RETRIES = ("speculative_retry", "additional_write_policy")
_RETRY = re.compile(r"(\d+(?:\.\d+)?)\s*(percentile|p|ms)\b")

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?", re.IGNORECASE)


def holds(declared: Table, live: Table) -> bool:
    """Whether the live table has the declared columns, keys, view definition, and options."""
    if not declared.same_rows_as(live):
        return False
    if (declared.base, conditions(declared.where)) != (live.base, conditions(live.where)):
        return False
    return options_hold(declared.options, live)


def options_hold(declared: Iterable[tuple[str, str]], live: Table) -> bool:
    """Whether each declared option that the live table shows is so; of a map each entry."""
    shown = dict(live.options)
    return all(_same(name, value, shown[name]) for name, value in declared if name in shown)


def _same(name: str, declared: str, live: str) -> bool:
    wanted, got = _entries(declared), _entries(live)
    if wanted is None or got is None:
        return _plain(name, declared) == _plain(name, live)
    return all(_plain("", got.get(key, "")) == _plain("", value) for key, value in wanted.items())


def _entries(value: str) -> dict[str, str] | None:
    """The entries of a map option; None when it is no map (a comment may begin with a brace)."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    # ScyllaDB writes some keys of compression as older Cassandras did.
    older = {"sstable_compression": "class", "chunk_length_kb": "chunk_length_in_kb"}
    return comparable_compaction(json.dumps({older.get(k, k): v for k, v in found.items()}))


def _plain(name: str, value: str) -> str:
    if name == "comment":
        return value
    try:
        return str(float(value))
    except ValueError:
        value = value.lower()
    if name in _RETRIES:
        # Cassandra keeps whole milliseconds, ScyllaDB writes them with a decimal.
        value = _RETRY.sub(_rounded, value.replace(" ", "")).replace("none", "never")
    return value


def _rounded(match: re.Match[str]) -> str:
    return f"{int(float(match[1]))}ms" if match[2] == "ms" else f"{float(match[1]):g}p"


# -- as CQL ----------------------------------------------------------------------------------------


def describe(table: Table, *, all_options: bool = False) -> str:
    """CQL that makes this table or view, with the options that can be compared, or all."""
    head = _view_head(table) if table.base else _table_head(table)
    order = ", ".join(
        f"{quote(c.name)} {c.order.upper()}" for c in table.columns if c.kind == "clustering"
    )
    options = [f"CLUSTERING ORDER BY ({order})"] if order else []
    if compaction := comparable_compaction(table.option("compaction")):
        options.append(f"compaction = {_map(compaction)}")
    ttl = int(table.option("default_time_to_live") or 0)
    if ttl and not table.base:  # a view's rows expire with those of its base, and no view takes it
        options.append(f"default_time_to_live = {ttl}")
    if all_options:
        options += [_option(n, v) for n, v in table.options if n in _VIEW_OPTIONS and v]
    return head + (" WITH " + "\n   AND ".join(options) if options else "")


def _keys(table: Table) -> str:
    partition = ", ".join(map(quote, table.partition_key))
    if len(table.partition_key) > 1:
        partition = f"({partition})"
    return ", ".join([partition, *map(quote, table.clustering_key)])


def _table_head(table: Table) -> str:
    columns = "".join(
        f"    {quote(c.name)} {c.type}{' STATIC' if c.kind == 'static' else ''},\n"
        for c in table.columns
    )
    return f"CREATE TABLE {quote(table.name)} (\n{columns}    PRIMARY KEY ({_keys(table)})\n)"


def _view_head(view: Table) -> str:
    selected = "*" if view.whole else ",\n    ".join(quote(c.name) for c in view.columns)
    return (
        f"CREATE MATERIALIZED VIEW {quote(view.name)} AS\n  SELECT\n    {selected}\n"
        f"  FROM {quote(view.base)}\n  WHERE {view.where}\n  PRIMARY KEY ({_keys(view)})"
    )


def _map(entries: dict[str, str]) -> str:
    return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in entries.items()) + "}"


def _option(name: str, value: str) -> str:
    entries = _entries(value)
    if entries is not None:
        return f"{name} = {_map(json.loads(value))}"
    return f"{name} = {value if _NUMBER.fullmatch(value) else literal(value)}"


def as_cql(schema: Schema) -> str:
    """CQL that makes everything of a schema, in an order in which it can be made."""
    types = [describe_type(e) for e in schema.extras if e.kind == "type"]
    tables = [describe(t) for t in schema.tables if not t.base]
    indexes = [describe_index(e) for e in schema.extras if e.kind == "index"]
    views = [describe(t) for t in schema.tables if t.base]
    return "".join(f"{text};\n\n" for text in (*types, *tables, *indexes, *views)).rstrip() + "\n"


def describe_type(made: Extra) -> str:
    """CQL that makes a user type."""
    names, types = json.loads(made.definition)
    fields = ", ".join(f"{quote(n)} {t}" for n, t in zip(names, types, strict=True))
    return f"CREATE TYPE {quote(made.name)} ({fields})"


def describe_index(index: Extra) -> str:
    """CQL that makes an index, from its definition as the server stores it."""
    table, kind, options = json.loads(index.definition)
    target, using = options["target"], options.get("class_name", "")
    if target.startswith("{"):  # ScyllaDB's local index
        parts = json.loads(target)
        target = f"({_names(parts['pk'])}), {_names(parts['ck'])}"
    custom = "CUSTOM " if kind == "CUSTOM" else ""
    text = f"CREATE {custom}INDEX {quote(index.name)} ON {quote(table)} ({target})"
    rest = {k: v for k, v in options.items() if k not in ("target", "class_name")}
    if using:
        text += f" USING {literal(using)}"
    return text + (f" WITH OPTIONS = {_map(rest)}" if rest else "")


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(quote, columns))
