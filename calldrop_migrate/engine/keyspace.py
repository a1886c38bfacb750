"""Before revision 1: the keyspace and the tool's own three tables.

First contact is a race that every runner may be in (docs/protocol.md 2): everything is made IF NOT
EXISTS, tables with an id that each runner would choose, all through one node, and what a server
refuses because somebody else is just making it is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import uuid5

from calldrop_migrate import commands
from calldrop_migrate.core import names
from calldrop_migrate.core.cql import literal, quote, split
from calldrop_migrate.core.operations import Run, run
from calldrop_migrate.core.rewriting import with_id
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine import copying, history, journal
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.errors import (
    ConfigurationError,
    HistoryError,
    OutcomeUnknown,
    StatementRefused,
)

_TRIES = 6
_CREATORS = {
    history.TABLE: history.create_table,
    journal.TABLE: journal.create_table,
    copying.TABLE: copying.create_table,
}


def create_keyspace(name: str, replication: Mapping[str, str], tablets: bool | None = None) -> str:
    """CQL that makes a keyspace; only ScyllaDB knows tablets."""
    options = ", ".join(f"{literal(k)}: {literal(str(v))}" for k, v in replication.items())
    placed = "" if tablets is None else f" AND tablets = {{'enabled': {str(tablets).lower()}}}"
    return f"CREATE KEYSPACE IF NOT EXISTS {quote(name)} WITH replication = {{{options}}}{placed}"


def making(database: Database, replication: Mapping[str, str], tablets: bool | None) -> Run:
    """The operation that makes the keyspace.

    Raises:
        ConfigurationError: the cluster can't hold that replication.
    """
    check_replication(replication, database.platform.nodes)
    wanted = tablets if database.platform.scylla else None
    return run(create_keyspace(database.keyspace, replication, wanted))


def missing_tables(schema: Schema) -> list[str]:
    """The bookkeeping tables that are not there yet."""
    return [name for name in names.BOOKKEEPING if schema.table(name) is None]


def make(
    database: Database, sleep: Callable[[float], None], statements: Sequence[str], what: str
) -> None:
    """Runs CREATE ... IF NOT EXISTS that a runner beside us may be running too.

    A server that gets CREATE TABLE IF NOT EXISTS of one table twice at the same moment can refuse
    one of them. `what` names it all when it is refused every time.

    Raises:
        StatementRefused: it is refused every time.
    """
    with _named(what):
        for again in range(_TRIES if statements else 0):
            try:
                return database.ddl(*statements)
            except (StatementRefused, OutcomeUnknown):
                if again + 1 == _TRIES:
                    raise
            sleep(0.1 * 2**again)


def make_tables(
    database: Database,
    sleep: Callable[[float], None],
    schema: Schema,
    replication: Mapping[str, str],
) -> None:
    """Makes the bookkeeping tables that a schema lacks, and a keyspace of their own where they are
    to be in one that isn't there yet: with the replication of the migrated one, or with
    `replication` where that is new too.
    """
    missing = missing_tables(schema)
    if missing and database.bookkeeping != database.keyspace:
        like = dict(schema.replication) or replication
        tablets = False if database.platform.scylla else None
        text = create_keyspace(database.bookkeeping, like, tablets)
        make(database, sleep, [] if _exists(database) else [text], text)
    wanted = [_identified(database, name) for name in missing]
    make(database, sleep, wanted, f"the tables of the tool itself: {', '.join(missing)}")


def _exists(database: Database) -> bool:
    """Return whether the bookkeeping keyspace is there: not every role may make one, IF NOT EXISTS
    or not.
    """
    where = "system_schema.keyspaces WHERE keyspace_name = ?"
    return bool(database.query(f"SELECT keyspace_name FROM {where}", [database.bookkeeping]))


def with_bookkeeping(schema: Schema, bookkeeping: Schema) -> Schema:
    """A schema with the tool's own tables of another keyspace.

    Raises:
        HistoryError: it has some itself, and what they say must not be passed over.
        ConfigurationError: the other keyspace has tables of its own: its history would have to be
            in it too, and rows of several keyspaces can't be told apart there.
    """
    if others := [table.name for table in bookkeeping.owned().tables]:
        raise ConfigurationError(
            f"bookkeeping_keyspace {bookkeeping.keyspace} has tables of its own:"
            f" {', '.join(others[:5])}",
            state="Nothing was changed.",
            hint="Name one that has nothing but lease and history, or is still to be made.",
        )
    own = [table for table in schema.tables if table.name in names.BOOKKEEPING]
    if own:
        ours = (table := schema.table(history.TABLE)) is None or table.column("attempt")
        where, elsewhere = schema.keyspace, bookkeeping.keyspace
        raise HistoryError(
            f"{where} has a history of its own, and bookkeeping_keyspace is {elsewhere}:"
            f" {', '.join(table.name for table in own)}",
            state="Nothing was changed.",
            hint=(
                "Leave bookkeeping_keyspace out; docs/settings.md says how to move a history there."
            )
            if ours
            else (
                "It is cassandra-migrate's. Leave bookkeeping_keyspace out, then take it over:  "
                f"{commands.adopt()}"
            ),
        )
    return schema.put(*(t for t in bookkeeping.tables if t.name in names.BOOKKEEPING))


def _identified(database: Database, name: str) -> str:
    cql = _CREATORS[name](database.bookkeeping)
    if database.platform.scylla:
        return cql
    return with_id(split(cql)[0], str(uuid5(history.NAMESPACE, f"{database.bookkeeping}.{name}")))


@contextmanager
def _named(what: str) -> Iterator[None]:
    """A refusal before the first revision says what was refused."""
    try:
        yield
    except StatementRefused as refused:
        said = (
            f"the server refused to make what comes before revision 1: {refused.message}\n   "
            f" {what}"
        )
        hint = refused.hint or "Mend what it names, then run the same command again."
        raise StatementRefused(said, state="No revision was begun.", hint=hint) from refused


def check_replication(replication: Mapping[str, str], nodes: Mapping[str, int]) -> None:
    """See that every data centre named exists and has enough nodes.

    Raises:
        ConfigurationError: it doesn't.
    """
    found = ", ".join(f"{dc} ({count} node{'s' * (count != 1)})" for dc, count in nodes.items())
    for dc, factor in replication.items():
        if dc == "class" or not str(factor).isdigit():
            continue
        most = sum(nodes.values()) if dc == "replication_factor" else nodes.get(dc)
        if most is None:
            raise ConfigurationError(
                f"replication names the data centre {dc!r}; the cluster has {found}",
                state="Nothing was changed.",
                hint=_copies(nodes),
            )
        if int(factor) > most:
            raise ConfigurationError(
                f"replication asks for {factor} copies in {dc}; the cluster has {found}",
                state="Nothing was changed.",
                hint=f"Add nodes, or have fewer copies. {_copies(nodes)}",
            )


def _copies(nodes: Mapping[str, int]) -> str:
    """Return how one copy in each data centre is configured."""
    table = "".join(f"\n  {name} = 1" for name in nodes)
    profile = "".join(f"profiles.{n}." for n in commands.present().flags.get("profile", ())[1:])
    return f"In calldrop-migrate.toml:\n  [{profile}replication]{table}"


def replication_differences(schema: Schema, wanted: Mapping[str, str]) -> list[str]:
    """Return how an existing keyspace's replication differs from the configured one; empty when it
    doesn't.
    """
    if not schema.exists:
        return []
    have = {k: v.rpartition(".")[2] for k, v in schema.replication}
    want = {k: str(v).rpartition(".")[2] for k, v in wanted.items()}
    if have == want:
        return []
    return [
        f"keyspace {schema.keyspace} has replication {_flat(have)}, configured is {_flat(want)}"
    ]


def _flat(replication: Mapping[str, str]) -> str:
    rest = ", ".join(f"{k}: {v}" for k, v in replication.items() if k != "class")
    return f"{replication.get('class', '')} {rest}"
