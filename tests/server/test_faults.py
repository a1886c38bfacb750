"""One request of a run is lost, or its reply: cut, swallowed, delayed. Then the command again.

Schema, history and every cell must be as if nothing had happened. Each N and each kind of harm of
`up` from 1 to 4 and `down` from 4 to 1, with rows, some of which don't fit: all of them with
CALLDROP_TESTS=full (`make test-faults`), else some that are drawn; what is drawn prints its seed.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import pytest
from cassandra.query import BatchStatement, BatchType

from tests.support import cells
from tests.support.calls import AT_1, AT_2, Writer, calls, write_mixed
from tests.support.cli import Cli, Result
from tests.support.misfits import (
    DOUBLE,
    WITHOUT,
    newest_of_each,
    write_collisions,
    write_without_destination,
)
from tests.support.sampling import sample
from tests.support.schema import tables_in
from tests.support.servers import Address
from tests.support.settings import BRIEF, FULL, GO_ASIDE
from tests.support.told import ok, only
from tests.support.wire import HARMS, Fault, Harm, Request, tapped

# For the run behind it nothing is short: it shares the machine with others.
AGAIN = {"CALLDROP_SETTLE_TIME": "0.3"}
DRAWN = 20
AT_ONCE = 2
DELAYS = (0.2, 2.5, 6)  # seconds: short, longer than the DDL timeout, than the lease
# Of what is to be run again, and what may come of a run that is struck.
CODES = (0, 6, 8, 10)


class Up:
    """From 1 to 4; some rows have no destination."""

    command = ("up", *GO_ASIDE)
    revision = 4

    def __init__(self, cli: Cli, client: Any) -> None:
        self.cli, self.client = cli, client
        ok(cli("up", "1"))
        writer = Writer(client, cli.keyspace)
        write_mixed(writer, each=2)
        write_without_destination(writer, 3)
        self.before, self.shape = calls(client, cli)

    def check(self) -> None:
        fit = {key: row for key, row in self.before.items() if "destination_number" in row}
        rest = {key: row for key, row in self.before.items() if key not in fit}
        at_4, _ = calls(self.client, self.cli)
        wanted = cells.by(fit, self.shape, AT_2)
        assert cells.differences(wanted, at_4, earlier=2 * cells.EARLIER) == []
        aside = cells.read(self.client, self.cli.keyspace, WITHOUT)
        assert cells.differences(rest, aside, earlier=2 * cells.EARLIER) == []


class Down:
    """From 4 to 1; some rows share their key there."""

    command = ("down", "1", *GO_ASIDE)
    revision = 1

    def __init__(self, cli: Cli, client: Any) -> None:
        self.cli, self.client = cli, client
        ok(cli("up"))
        write_collisions(client, cli, groups=3)
        self.before, self.shape = calls(client, cli)

    def check(self) -> None:
        kept = newest_of_each(self.before)
        at_1, _ = calls(self.client, self.cli)
        wanted = cells.by(kept, self.shape, AT_1)
        assert cells.differences(wanted, at_1, earlier=2 * cells.EARLIER) == []
        beaten = {key: row for key, row in self.before.items() if key not in kept}
        aside = cells.read(self.client, self.cli.keyspace, DOUBLE)
        assert cells.differences(beaten, aside, earlier=2 * cells.EARLIER) == []


WAYS: dict[str, type[Up | Down]] = {"up": Up, "down": Down}


def struck(cli: Cli, server: Address, fault: Fault, *command: str) -> tuple[Result, Request | None]:
    with tapped(server.hosts[0], server.port, fault) as tap:
        result = cli(
            *command,
            env={**BRIEF, "CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)},
            timeout=120,
        )
        return result, tap.struck


def passes(cli: Cli, client: Any, server: Address, way: str, fault: Fault) -> bool:
    """Whether the fault struck at all; everything is as it must be afterwards."""
    leg = WAYS[way](cli, client)
    result, request = struck(cli, server, fault, *leg.command)
    told = f"{fault} struck {request}\nexit {result.code}\n{result.err}"
    assert result.code in CODES, told
    assert "Traceback" not in result.err, told
    for _ in range(3):
        again = cli(*leg.command, env=AGAIN)
        if again.code != 8:  # which says: run it again
            break
    assert again.code == 0, f"{told}\nagain: exit {again.code}\n{again.err}"
    status = cli.json("status")
    assert (status["current"], status["drift"]) == (leg.revision, []), told
    assert [r["state"] for r in status["revisions"]].count("applied") == leg.revision, told
    leg.check()
    ok(cli("verify"))
    left = [n for n in tables_in(client, cli) if "__" in n and "aside" not in n]
    assert left == [], told
    return request is not None


def count(make_cli: Any, client: Any, server: Address, way: str) -> int:
    """How many requests a run sends that nothing happens to."""
    cli = make_cli(f"count_{way}_{os.getpid()}")
    try:
        leg = WAYS[way](cli, client)
        with tapped(server.hosts[0], server.port) as tap:
            env = {**BRIEF, "CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
            ok(cli(*leg.command, env=env))
        return sum(r.kind not in ("STARTUP", "OPTIONS", "REGISTER") for r in tap.requests)
    finally:
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")


@pytest.mark.twin
def test_one_request_is_lost(make_cli: Any, client: Any, server: Address) -> None:
    seed = int(os.environ.get("CALLDROP_SEED") or random.randrange(10**6))
    print(f"seed: CALLDROP_SEED={seed}")
    draw = random.Random(seed)
    most = {way: count(make_cli, client, server, way) for way in WAYS}
    print(f"requests: {most}")
    every: list[tuple[str, int, Harm]] = [
        (way, number, harm) for way in WAYS for number in range(1, most[way] + 1) for harm in HARMS
    ]
    chosen = every if FULL else draw.sample(every, DRAWN)
    faults = [(way, Fault(number, harm, delay=draw.choice(DELAYS))) for way, number, harm in chosen]

    def one(at: int, cli: Cli, way: str, fault: Fault) -> None:
        print(f"{at} {way} {fault}", flush=True)
        passes(cli, client, server, way, fault)
        client.execute(f"DROP KEYSPACE IF EXISTS {cli.keyspace}")

    # Each in a keyspace of its own; a run that is struck spends its time waiting.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = [
            pool.submit(one, at, make_cli(f"f_{os.getpid()}_{at}"), way, fault)
            for at, (way, fault) in enumerate(faults)
        ]
        wait(done, return_when=FIRST_EXCEPTION)
        for each in done:
            each.cancel()
    for each in done:
        if not each.cancelled():
            each.result()


WHICH = [
    (r"^DROP TABLE call_records\b", "up"),
    (r"^CREATE TABLE call_records\b", "up"),
    (r"^CREATE MATERIALIZED VIEW", "up"),
    (r"^ALTER TABLE", "down"),
]
UNANSWERED = [(*which, harm) for which in WHICH for harm in ("swallow reply", "delay reply")]


@pytest.mark.parametrize(("of", "way", "harm"), sample(UNANSWERED))
def test_a_schema_change_is_not_answered(
    cli: Cli, client: Any, server: Address, of: str, way: str, harm: Harm
) -> None:
    """The lease has ended long before the reply comes, if it does."""
    assert passes(cli, client, server, way, Fault(1, harm, delay=6, of=of))


@pytest.mark.thorough
def test_a_node_does_not_know_yet_what_its_schema_shows(
    cli: Cli, client: Any, server: Address
) -> None:
    """As behind a CREATE whose reply was lost: the schema's tables are written first."""
    leg = WAYS["up"](cli, client)
    says = "Base table 'call_records' doesn't exist"
    fault = Fault(1, "refuse", of="^CREATE MATERIALIZED VIEW", says=says)
    result, request = struck(cli, server, fault, *leg.command)
    assert (result.code, request is not None) == (0, True), result
    leg.check()


@pytest.mark.thorough
def test_what_was_too_much_is_tried_again_in_smaller_parts(
    cli: Cli, client: Any, server: Address
) -> None:
    ok(cli("up", "1"))
    rows = [(f"+{n % 3}", n, f"d{n}") for n in range(600)]
    insert = client.prepare(
        f"INSERT INTO {cli.keyspace}.call_records (source_phone_number, call_timestamp, "
        "destination_number) VALUES (?, ?, ?)"
    )
    for row in rows:
        client.execute(insert, row)
    with tapped(server.hosts[0], server.port, Fault(2, "swallow reply", of=r"^BATCH \d\d")) as tap:
        env = {**BRIEF, "CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
        ok(cli("up", "2", *GO_ASIDE, env=env))
    sizes = [request.statements for request in tap.requests if request.statements > 9]
    assert sizes[0] == max(sizes) == 100
    assert sizes.count(50) > 6, sizes
    found = client.execute(f"SELECT destination_number AS d FROM {cli.keyspace}.call_records")
    assert sorted(row["d"] for row in found) == sorted(d for *_, d in rows)


@pytest.mark.thorough
def test_a_row_that_ends_before_its_batch_is_refused(
    cli: Cli, client: Any, server: Address
) -> None:
    """The rows of a refused batch are sent one by one; of one that has ended nothing is sent."""
    made = "CREATE TABLE t (a int, b int, v int, PRIMARY KEY (a, b))"
    newest = "-- migrate:rebuild\n" + made + " WITH CLUSTERING ORDER BY (b DESC);\n"
    only(
        cli,
        r0001_t=f"-- migrate:up\n{made};\n-- migrate:down\nDROP TABLE t;\n",
        r0002_t=f"-- migrate:up\n{newest}-- migrate:down\n-- migrate:rebuild\n{made};\n",
    )
    ok(cli("up", "1"))
    # All at one second: whenever they are read, the first of them is in its last one.
    batch = BatchStatement(BatchType.UNLOGGED)
    insert = client.prepare(f"INSERT INTO {cli.keyspace}.t (a, b, v) VALUES (1, ?, 1) USING TTL ?")
    for b in range(98):
        batch.add(insert, (b, b + 1))
    client.execute(batch)
    fault = Fault(1, "refuse", of=r"^BATCH [1-9]\d", says="the batch is too large")
    with tapped(server.hosts[0], server.port, fault) as tap:
        env = {"CALLDROP_HOSTS": tap.host, "CALLDROP_PORT": str(tap.port)}
        ok(cli("up", "2", *GO_ASIDE, env=env))
    assert tap.struck is not None
