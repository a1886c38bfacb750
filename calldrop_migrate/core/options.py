"""Options of tables and views: as a statement names them, as a server shows them, and compared.

A value is kept as JSON text: a number, true or false, a string, a map of strings. So its type
decides how it is written as CQL, and never its look: a comment may look like a map or a number.
Both sides use `canonical` to compare: servers write one value in several ways (99PERCENTILE as
99p, a class with its package), and not all of them in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from calldrop_migrate.core.cql import Kind, Token, literal

Options = tuple[tuple[str, str], ...]

# Columns of system_schema.tables and .views that are not options.
NOT_OPTIONS = frozenset(
    (
        *("keyspace_name", "table_name", "view_name", "id", "flags", "dropped_columns"),
        *("base_table_id", "base_table_name", "include_all_columns", "where_clause"),
        # Without effect since Cassandra 4.0 and in ScyllaDB, and gone from Cassandra's grammar.
        *("read_repair_chance", "dclocal_read_repair_chance"),
    )
)
# Servers show these only where they differ from their default.
HIDDEN: Mapping[str, Any] = {
    "allow_auto_snapshot": True,
    "cdc": False,
    "extensions": {},
    "incremental_backups": True,
    "large_data_guardrails_enabled": False,
    "memtable": "default",
    "paxos_grace_seconds": 864000,
    "per_partition_rate_limit": {},
    "storage_engine": "normal",
    "synchronous_updates": False,
    "tablets": {},
}
# Shown, and taken by no CREATE: what ScyllaDB keeps there and CQL has another word for.
READ_ONLY = "extensions"
_OPTIONS_AS_EXTENSIONS = ("cdc", "paxos_grace_seconds", "per_partition_rate_limit", "tombstone_gc")
_SYNCHRONOUS = "system:synchronous_view_updates"
_TEXTS = ("comment", "memtable", "read_repair", "speculative_retry", "additional_write_policy")
# 99PERCENTILE, 99.0p and 99p; 50.0ms and 50ms: in these options alone.
_RETRIES = ("speculative_retry", "additional_write_policy")
_RETRY = re.compile(r"(\d+(?:\.\d+)?)\s*(percentile|p|ms)\b")
# ScyllaDB writes some keys of compression as older Cassandras did.
_OLDER_KEYS = {"sstable_compression": "class", "chunk_length_kb": "chunk_length_in_kb"}
_NUMBER = re.compile(r"-?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_PLAIN = re.compile(r"[\w.(),%-]+", re.ASCII)
_PACKAGE = re.compile(r"org\.apache\.cassandra\.(?:\w+\.)*")


def shown(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The options in a row of system_schema.tables or .views, each value as JSON.

    What ScyllaDB has no column for is bytes in `extensions`: its own options, and tags, one of
    which is an option of views. A tag with another meaning, as of a TTL column, stays there.
    """
    options = {k: v for k, v in row.items() if k not in NOT_OPTIONS and v is not None}
    left = dict(options.get(READ_ONLY, {}))
    for name in _OPTIONS_AS_EXTENSIONS:
        if name in left:
            data = left.pop(name)
            number = name == "paxos_grace_seconds"
            options[name] = int.from_bytes(data, "little") if number else _texts(data)
    tags = _texts(left.pop("scylla_tags", bytes(4)))
    if _SYNCHRONOUS in tags:
        options["synchronous_updates"] = tags.pop(_SYNCHRONOUS) == "true"
    if READ_ONLY in options:
        options[READ_ONLY] = left | tags
    yield from ((name, stored(value)) for name, value in sorted(options.items()))


def _texts(data: bytes) -> dict[str, str]:
    """A map as ScyllaDB's serializer writes it: the number of entries, then each text's size and
    bytes.
    """

    def number(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "little")

    texts, at = [], 4
    for _ in range(2 * number(0)):
        end = at + 4 + number(at)
        texts.append(data[at + 4 : end].decode())
        at = end
    return dict(zip(texts[::2], texts[1::2], strict=True))


def stored(value: object) -> str:
    """The JSON of a value in a row of system_schema."""
    if isinstance(value, Mapping):
        return json.dumps({str(k): _entry(v) for k, v in sorted(value.items())})
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))


def _entry(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def written(tokens: Sequence[Token]) -> str:
    """The JSON of a value in a statement that is no map."""
    text = "".join(token.value for token in tokens)
    if len(tokens) == 1 and tokens[0].kind is Kind.NUMBER and _number(text) is not None:
        return json.dumps(_number(text))
    is_boolean = tokens and tokens[0].kind is Kind.WORD and text in ("true", "false")
    return text if is_boolean else json.dumps(text)


def text_of(value: str) -> str:
    """A value as text: of a string what it says, of everything else its JSON."""
    read = json.loads(value)
    return read if isinstance(read, str) else value


def as_cql(options: Iterable[tuple[str, str]]) -> Iterator[str]:
    """`name = value` of each option that a CREATE takes."""
    for name, value in options:
        if name != READ_ONLY:
            yield f"{name} = {_value_as_cql(name, json.loads(value))}"


def _value_as_cql(name: str, value: Any) -> str:
    if isinstance(value, dict):
        if name == "compaction":
            value = canonical(name, json.dumps(value))
        return map_as_cql(value)
    return literal(value) if isinstance(value, str) else json.dumps(value)


def map_as_cql(entries: Mapping[str, str]) -> str:
    """A map of strings as CQL."""
    return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in entries.items()) + "}"


# -- comparing -------------------------------------------------------------------------------------


def canonical(name: str, value: str) -> Any:
    """A value in the one form in which it is compared and recorded, ready for JSON."""
    read = json.loads(value)
    if isinstance(read, dict):
        off = name == "cdc" and str(read.get("enabled")).lower() != "true"
        return False if off else _canonical_map(name, read)
    if name == "comment":
        return read
    if name in _TEXTS:
        text = str(read).lower()
        if name in _RETRIES:
            # Cassandra keeps whole milliseconds, ScyllaDB writes them with a decimal.
            text = _RETRY.sub(_rounded, text.replace(" ", "")).replace("none", "never")
        return text
    if isinstance(read, bool) or str(read).lower() in ("true", "false"):
        return str(read).lower() == "true"
    number = _number(str(read))
    return read if number is None else number


def _canonical_map(name: str, entries: Mapping[str, Any]) -> dict[str, str]:
    if name == "compression":
        entries = {_OLDER_KEYS.get(k, k): v for k, v in entries.items()}
        entries = {k: v for k, v in entries.items() if (k, str(v).lower()) != ("enabled", "true")}
    if name == "caching":
        entries = {k: str(v).upper() for k, v in entries.items()}
    return {k: short_class(str(v)) if k == "class" else str(v) for k, v in sorted(entries.items())}


def short_class(name: str) -> str:
    """A class of the server's own without its package."""
    return _PACKAGE.sub("", name)


def comparable_compaction(text: str) -> dict[str, str]:
    """A compaction map with the class's short name; empty when none was declared."""
    found: dict[str, str] = canonical("compaction", text) if text else {}
    return found


def comparable(options: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Options as they are compared, but for what only tells a default that others leave out."""
    found = {name: canonical(name, value) for name, value in options}
    return {name: v for name, v in found.items() if name not in HIDDEN or v != HIDDEN[name]}


def hold(declared: Iterable[tuple[str, str]], live: Iterable[tuple[str, str]]) -> bool:
    """Return whether each declared option that is shown is so; of a map each entry."""
    shown = dict(live)
    return all(_same(name, value, shown[name]) for name, value in declared if name in shown)


def _same(name: str, declared: str, live: str) -> bool:
    wanted, got = canonical(name, declared), canonical(name, live)
    if not (isinstance(wanted, dict) and isinstance(got, dict)):
        return bool(wanted == got)
    return all(_plain(got.get(key, "")) == _plain(value) for key, value in wanted.items())


def _plain(value: str) -> str:
    number = _number(value)
    return value.lower() if number is None else str(number)


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return int(number) if number.is_integer() else number


def _rounded(match: re.Match[str]) -> str:
    return f"{int(float(match[1]))}ms" if match[2] == "ms" else f"{float(match[1]):g}p"


def merged(declared: Options, live: Options) -> Options:
    """Declared options, with what the live ones have where they leave it open; of a map each entry.

    A default_time_to_live that isn't named is 0, whatever is there.
    """
    wanted, found = dict(declared), dict(live)
    for name, value in found.items():
        if name not in wanted and name != "default_time_to_live":
            wanted[name] = value
        elif name in wanted and value.startswith("{") and wanted[name].startswith("{"):
            entries = canonical(name, value) | canonical(name, wanted[name])
            wanted[name] = json.dumps(entries)
    return tuple(sorted(wanted.items()))


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, one_sided: bool = False
) -> Iterator[str]:
    """Yield what differs between two of what `comparable` gives, a line each: `before -> after`.

    Args:
        one_sided: an option that only one side has is a difference; otherwise a server that shows
            more than the other is none.
    """
    for name in sorted({*before, *after}):
        if not (one_sided or name in HIDDEN) and not (name in before and name in after):
            continue
        old, new = (side.get(name, HIDDEN.get(name)) for side in (before, after))
        if isinstance(old, dict) and isinstance(new, dict):
            yield from entries(f"{name} ", old, new)
        elif old != new:
            yield f"{name}: {_shown(old)} -> {_shown(new)}"


def entries(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what differs between two maps, a line each."""
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"{what}{name} added: {after[name]}"
        elif name not in after:
            yield f"{what}{name} is gone, was: {before[name]}"
        elif before[name] != after[name]:
            yield f"{what}{name}: {before[name]} -> {after[name]}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return map_as_cql(value)
    if value is None:
        return "not named"
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _PLAIN.fullmatch(value) else literal(value).replace("\n", "\\n")
