"""Sees that tables are the ones that they were: what is carried is bound to the ids of both. One
that somebody drops and makes again under the old name is empty, and what was copied out of the old
one is all there is.
"""

from __future__ import annotations

from collections.abc import Mapping

from calldrop_migrate import commands
from calldrop_migrate.core.cql import quote
from calldrop_migrate.engine.ports import Database
from calldrop_migrate.errors import OutcomeUnknown, RowsAtRisk


def see_same(database: Database, ids: Mapping[str, str]) -> None:
    """See that both tables are the ones that they were.

    Raises:
        OutcomeUnknown: one is gone.
        RowsAtRisk: one is another one by the same name.
    """
    live = {
        row["table_name"]: str(row["id"])
        for row in database.query(
            "SELECT table_name, id FROM system_schema.tables "
            "WHERE keyspace_name = ? AND table_name IN ?",
            [database.keyspace, list(ids)],
        )
    }
    for name, table_id in ids.items():
        if name not in live:
            raise OutcomeUnknown(
                f"{name} is gone: what an earlier run sent has arrived only now, or somebody"
                " has dropped it",
                hint=(
                    "Run the same command again. If it says the same then, somebody did, and as"
                    f" long as the other table stands:\n  {commands.abort()}"
                ),
            )
        if live[name] != table_id:
            other = next((n for n in ids if n != name), "")
            full = f"{quote(database.keyspace)}.{quote(name)}"
            raise RowsAtRisk(
                f"{name} is not the table any more that it was: somebody has dropped it",
                state=f"Nothing of {other} was dropped; it may hold the only copy of the rows.",
                hint=(
                    f"Look at both. Where this run was killed as it dropped {name}, and what is"
                    f" there now has nothing to lose:\n  DROP TABLE {full};  in cqlsh, then the"
                    f" same command again\nOtherwise take from {other} what you need, by hand,"
                    f" and then:\n  {commands.abort_discarding()}"
                ),
            )
