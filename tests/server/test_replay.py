"""Lines that a schedule of the simulator prints when it fails, made again on the server, as
`tests/support/replay` does. Nothing is broken here; so a row is deleted in the end, which is seen.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.replaying import Broken, Replaying
from tests.support.sampling import sample
from tests.support.servers import Address
from tests.support.settings import BRIEF
from tests.support.simulator.lines import parse

# Nothing that was sent is still on its way.
QUICK = BRIEF | {"CALLDROP_LEASE_TTL": "6"}
VIEW = "QUERY CREATE MATERIALIZED VIEW calls_by_completion"
ROW = "EXECUTE BEGIN BATCH UPDATE KS.migration_journal USING TTL ? SET owner"
ENDS = "EXECUTE UPDATE KS.database_migrations SET state = 'SUCCEEDED'"
TAKES_OVER = "EXECUTE UPDATE KS.database_migrations SET applied_at"


@pytest.mark.parametrize(
    ("text", "told"),
    sample(
        [
            (
                "up keep=7; killed 46; held 8 arrives 4",
                {
                    "killed 46: exit -9 at": ENDS,
                    "held 8 arrives 4: exit -9 at": VIEW,
                    "  who took over: exit 0; 4 was": VIEW,
                },
            ),
            (
                "up keep=0; killed 50; refused 8; killed 6; lost 2",
                {
                    "killed 50: exit -9 at": ENDS,
                    "refused 8: exit 7 at": VIEW,
                    "killed 6: exit -9 at": ROW,
                    "lost 2: exit": TAKES_OVER,
                },
            ),
            (
                "up keep=0 elsewhere; stands 53 while 4",
                {"stands 53 while 4: exit 6 at": VIEW, "  who took over: exit 0; 4 was": VIEW},
            ),
        ]
    ),
)
def test_a_line_is_made_again(
    cli: Cli, client: Any, server: Address, text: str, told: dict[str, str]
) -> None:
    said: list[str] = []
    replaying = Replaying(parse(text), cli, client, server, said.append, QUICK)
    replaying.run()
    wanted = [(how, request.replace("KS", cli.keyspace)) for how, request in told.items()]
    for line, (how, request) in zip(said, wanted, strict=False):
        assert line.startswith(how), said
        assert request in line, said
    assert said[len(told) :] == ["up --yes: exit 0"]
    client.execute(f"DELETE FROM {cli.keyspace}.call_records WHERE source_phone_number = '+3'")
    with pytest.raises(Broken, match="rows"):
        replaying.judge(4)
