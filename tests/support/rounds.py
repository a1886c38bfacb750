"""A keyspace that goes up and down, round after round; everything is compared each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support import cells
from tests.support.bookkeeping import history
from tests.support.calls import AT_1, AT_2, Writer, calls, write_mixed
from tests.support.cli import Cli
from tests.support.misfits import (
    DOUBLE,
    WITHOUT,
    asides,
    newest_of_each,
    read_asides,
    without_times_of,
    write_without_destination,
)
from tests.support.schema import tables_in
from tests.support.settings import GO_ASIDE
from tests.support.told import ok

WAYS = {"up": ("up", *GO_ASIDE), "down": ("down", "1", *GO_ASIDE)}
EARLIER = 2 * cells.EARLIER


class Keyspace:
    """Calls that go up and down; some fit into one of the shapes only."""

    def __init__(self, cli: Cli, client: Any, each: int = 2) -> None:
        self.cli, self.client = cli, client
        ok(cli("up", "1"))
        writer = Writer(client, cli.keyspace)
        write_mixed(writer, each)
        write_without_destination(writer, 3)
        self.requests: dict[str, int] = {}

    def schema(self) -> list[Any]:
        """All columns of the tables, without ids and times."""
        asked = "SELECT * FROM system_schema.columns WHERE keyspace_name = %s"
        found = self.client.execute(asked, [self.cli.keyspace])
        return sorted(
            (r["table_name"], r["kind"], r["position"], r["column_name"], r["type"])
            for r in found
            if "__" not in r["table_name"]
        )

    def pass_through(self, way: str, run: Callable[[tuple[str, ...]], str]) -> None:
        """One way, by whatever means; everything is as it must be afterwards."""
        cli, client = self.cli, self.client
        before, shape = calls(client, cli)
        aside = WITHOUT if way == "down" else DOUBLE
        back = read_asides(client, cli, aside)
        told = run(WAYS[way])
        after, _ = calls(client, cli)
        if way == "up":
            fit = {key: row for key, row in before.items() if "destination_number" in row}
            wanted, goes, revision = cells.by(fit, shape, AT_2) | back, WITHOUT, 4
        else:
            fit = newest_of_each(before)
            returned = without_times_of(back, "destination_number")
            wanted, goes, revision = cells.by(fit, shape, AT_1) | returned, DOUBLE, 1
        rest = {key: row for key, row in before.items() if key not in fit}
        assert cells.differences(wanted, after, earlier=EARLIER) == [], told
        aside_now = read_asides(client, cli, goes)
        assert cells.differences(rest, aside_now, earlier=EARLIER) == [], told
        left = [name for name in sorted(tables_in(client, cli)) if "__" in name]
        assert left == (asides(client, cli, goes) if rest else []), told
        assert len(left) == bool(rest), told
        status = cli.json("status")
        assert (status["current"], status["drift"]) == (revision, []), told
        # Killed before it gave the lease back, with nothing left to do: its end is known.
        assert status["lease"] is None or status["lease"]["dead"], told
        states = [r["state"] for r in status["revisions"]]
        assert states == ["applied"] * revision + ["pending"] * (4 - revision), told
        assert history(client, cli) == [(n, "SUCCEEDED") for n in range(1, revision + 1)], told
        ok(cli("verify"))
