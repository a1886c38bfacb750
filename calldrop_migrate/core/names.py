"""The names of tables that the tool makes beside the user's own: built and recognised here alone.

    call_records__0002_a1b2c3e7       the shadow of a rebuild; the first six of its last digits are
                                      the attempt's, so that a new attempt starts clean
    call_records__aside_0002          rows in the shape of 0002 that the way down couldn't keep
    call_records__aside_0002_up       rows in the shape before 0002 that the way up couldn't keep
    call_records__aside_0002_cells    values of columns that the way down dropped, with their keys
    call_records__aside_0002_2        a second time: the first ones are still there, or
                                      their DROP got no answer
    no_such_table_<32 digits>         never made: a DROP of it asks whether tables may be dropped

The indexes and views of a table are tried on its shadow, by names that are made as the shadow's is.

A shadow can have a column that no user made, MARKER: written with a row's own time and life where
the row's cells don't tell them.

A shadow's last two digits are a check over the rest: else `sales__2024_202401ab` would be one.

A server's limit is 48 characters (Cassandra before 5.0.3; the later ones allow more): a longer name
loses the end of the table's own part to a digest of it.
"""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

LONGEST = 48
MARKER = "calldrop_row"
BOOKKEEPING = ("database_migrations", "migration_journal", "migration_progress")
_SHADOW = re.compile(r".+__\d{4,}_[0-9a-f]{8}", re.ASCII)
_NEVER = re.compile(r"no_such_table_[0-9a-f]{32}", re.ASCII)
_ASIDE = re.compile(r"(.+)__aside_(\d{4,})(_up)?(_cells)?(_\d+)?", re.ASCII)
_SERVERS_OWN = ("$paxos", "_scylla_cdc_log")


def shadow(table: str, revision: int, attempt: UUID) -> str:
    """The shadow table of a rebuild of `table` in one attempt; what an index or a view of the table
    is called on it, by that object's own name.
    """
    name = _fit(table, f"__{revision:04d}_{attempt.hex[:6]}", room=2)
    return name + _digest(name)[:2]


def aside(table: str, revision: int, direction: str, *, cells: bool = False, nth: int = 1) -> str:
    """Return where goes what the other side of a revision can't hold, when it is passed in
    `direction`.

    Args:
        cells: the values of dropped columns, not whole rows.
        nth: counts the tables of that kind which are kept at one time.
    """
    ending = "_up" * (direction == "up") + "_cells" * cells + f"_{nth}" * (nth > 1)
    return _fit(table, f"__aside_{revision:04d}{ending}")


def never(attempt: UUID) -> str:
    """A table that there isn't, and never will be."""
    return f"no_such_table_{attempt.hex}"


def is_never(name: str) -> bool:
    """Return whether it is the name of a table that there never is."""
    return bool(_NEVER.fullmatch(name))


def revision_of(shadow: str) -> int:
    """The revision in whose rebuild a shadow was made."""
    return int(shadow.rpartition("_")[0].rpartition("__")[2])


def is_shadow(name: str) -> bool:
    """Return whether it is the name of a shadow."""
    return bool(_SHADOW.fullmatch(name)) and name.endswith(_digest(name[:-2])[:2])


def aside_of(name: str) -> tuple[str, int, str, bool] | None:
    """Return what the name of an aside says: its table (the end of a long name is a digest),
    revision, direction, and whether it has the values of dropped columns. None if it is no aside's.
    """
    found = _ASIDE.fullmatch(name)
    if found is None:
        return None
    return found[1], int(found[2]), "up" if found[3] else "down", bool(found[4])


def is_internal(name: str) -> bool:
    """Return whether a table is bookkeeping, a shadow, an aside, or one that a server made for
    itself.
    """
    if name in BOOKKEEPING or name.endswith(_SERVERS_OWN):
        return True
    return is_shadow(name) or bool(_ASIDE.fullmatch(name))


def _fit(table: str, ending: str, *, room: int = 0) -> str:
    longest = LONGEST - len(ending) - room
    if len(table) > longest:
        table = table[: longest - 6] + _digest(table)[:6]
    return table + ending


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
