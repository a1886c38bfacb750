"""Roles and a table, while a revision makes it anew: fences are closed and watched here, and grants
that end with a table are read and given back. What a fence is, core/fencing.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.core.fencing import Fence, patience
from calldrop_migrate.core.fencing import fence as around
from calldrop_migrate.core.operations import Copy, Verify
from calldrop_migrate.core.plan import Attempt
from calldrop_migrate.core.schema import Schema, Table
from calldrop_migrate.engine.journal import Journal
from calldrop_migrate.engine.lease import Clock
from calldrop_migrate.engine.news import News, Waiting
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.errors import RowsAtRisk, StatementRefused, Unreachable


class Permissions:
    """The permissions of one database, for one run."""

    def __init__(
        self,
        database: Database,
        log: Journal,
        clock: Clock,
        between: Callable[[], None],
        emit: Callable[[News], None],
    ) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._between = between
        self._emit = emit

    def close_fence(self, fence: Fence) -> None:
        """See that nobody can write to a fenced table: not by what was revoked, nor by what a node
        still remembers of the time before.

        Raises:
            RowsAtRisk: somebody was let through since it was put up.
        """
        self.see_fenced(fence)
        self._until_nobody_writes()

    def see_fenced(self, fence: Fence) -> None:
        """See that nobody was let through a fence since it was put up.

        Raises:
            RowsAtRisk: somebody was.
        """
        keyspace, access = self._database.keyspace, self._database.access()
        now = around(access, keyspace, fence.table, frozenset(fence.trusted))
        if can := [who for who in (*now.roles, *now.open) if who not in fence.trusted]:
            lines = "".join(f"\n    {who}" for who in can)
            raise RowsAtRisk(
                f"{fence.table} is fenced, and was opened to writers since:{lines}",
                state="It was not dropped.",
                hint=(
                    f"Take MODIFY on {fence.table} from them again, then run the same command"
                    f" again.\nTo take the fence away:  {commands.abort()}"
                ),
            )

    def _until_nobody_writes(self) -> None:
        """Until what was revoked counts on every node, and what was let through has ended."""
        seconds, faults = patience(self._database.server(()).settings)
        if faults:
            raise Unreachable(
                f"whether a fence holds can't be known: {'; '.join(faults)}",
                hint=f"Run the same command again.\nTo take the fence away:  {commands.abort()}",
            )
        self._emit(Waiting("no node may let a writer through any more", seconds))
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0:
            self._between()
            self._clock.sleep(min(0.2, left))

    def grants_of(self, table: str) -> list[tuple[str, str]] | None:
        """Return what ends with a table that is to be made anew: permissions, each with its role.
        None where this role may not know.
        """
        with suppress(StatementRefused):
            return self._database.grants(table)
        return None

    def give_back(self, table: str, grants: Iterable[tuple[str, str]]) -> list[str]:
        """Grants them on the new table; gives what was refused, for a person to grant."""
        full, refused = f"{quote(self._database.keyspace)}.{quote(table)}", []
        for permission, role in grants:
            cql = f"GRANT {permission} ON TABLE {full} TO {quote(role)}"
            self._between()
            self._log.check()
            try:
                self._database.ddl(cql)
            except StatementRefused as error:
                refused.append(f"not granted again ({error.message}):  {cql};")
        return refused


def masked_copies(
    database: Database, attempts: Sequence[Attempt], live: Schema
) -> StatementRefused | None:
    """Return what keeps this role from reading the values that are to be copied: of a masked column
    it would get others, and they would be written in their place. Whoever makes a table sees all.
    """
    left = [op for a in attempts for op in a.operations[a.done :]]
    read = [op.source for op in left if isinstance(op, (Copy, Verify))]
    read += [op.target for op in left if isinstance(op, Verify)]
    return masked_of({t.name: t for t in read if live.table(t.name)}.values(), database)


def masked_of(tables: Iterable[Table], database: Database) -> StatementRefused | None:
    """Return what keeps this role from reading the values of masked columns in one of these
    tables.
    """
    user = quote(database.user) if database.user else "ROLE"
    for table in tables:
        masked = [quote(column.name) for column in table.columns if column.mask]
        if masked and not database.sees_unmasked(table.name):
            name = f"{quote(database.keyspace)}.{quote(table.name)}"
            return StatementRefused(
                f"{table.name}: {', '.join(masked)} would be read masked, because this role may"
                " not see the values",
                hint=f"A superuser types, then run the same command again:\n"
                f"  GRANT UNMASK ON TABLE {name} TO {user};",
            )
    return None
