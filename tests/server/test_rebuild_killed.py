"""A run that is killed at any moment and simply run again: no row lost, none doubled, no cell
changed.

A first version: kills come at random moments of whole runs. Each leg has rows that don't fit, so
that setting aside and bringing back are interrupted too.
"""

from __future__ import annotations

import random
import subprocess
import time
from typing import Any

import pytest

from tests.support import cells
from tests.support.calls import AT_1, AT_2, Writer, calls, write_mixed
from tests.support.cli import Cli, Result
from tests.support.misfits import (
    DOUBLE,
    WITHOUT,
    asides,
    newest_of_each,
    read_asides,
    without_times_of,
    write_collisions,
    write_without_destination,
)
from tests.support.schema import tables_in
from tests.support.settings import GO, QUICK
from tests.support.told import ok

pytestmark = pytest.mark.twin

KILLS_PER_LEG = 5


def run_killed(cli: Cli, moments: random.Random, short: float, *args: str) -> int:
    """The command, killed a few times at random moments and run again until it is done.

    The moments go by how long a `short` run takes here, in seconds: machines differ by far.
    """
    kills = 0
    while kills < KILLS_PER_LEG:
        process = cli.start(*args, env=QUICK)
        try:
            out, err = process.communicate(timeout=moments.uniform(0.5, 1.7) * short)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        ok(Result(process.returncode, out, err))
        return kills
    ok(cli(*args, env=QUICK))
    return kills


def test_killed_and_run_again(cli: Cli, client: Any) -> None:
    began = time.monotonic()
    ok(cli("up", "1"))
    short, moments = time.monotonic() - began, random.Random(3)
    writer = Writer(client, cli.keyspace)
    write_mixed(writer, each=25)
    write_without_destination(writer, 20)
    at_1, shape_1 = calls(client, cli)
    fit = {key: row for key, row in at_1.items() if "destination_number" in row}
    unfit = {key: row for key, row in at_1.items() if key not in fit}

    kills = run_killed(cli, moments, short, "up", *GO, "--set-aside")
    at_4, shape_4 = calls(client, cli)
    assert cells.differences(cells.by(fit, shape_1, AT_2), at_4) == []
    assert cells.differences(unfit, read_asides(client, cli, WITHOUT)) == []

    write_collisions(client, cli, groups=15)
    at_4, _ = calls(client, cli)
    kills += run_killed(cli, moments, short, "down", "1", *GO, "--set-aside")
    kept = newest_of_each(at_4)
    down_1, _ = calls(client, cli)
    wanted = cells.by(kept, shape_4, AT_1) | without_times_of(unfit, "destination_number")
    assert cells.differences(wanted, down_1, earlier=2 * cells.EARLIER) == []
    beaten = {key: row for key, row in at_4.items() if key not in kept}
    assert cells.differences(beaten, read_asides(client, cli, DOUBLE)) == []

    kills += run_killed(cli, moments, short, "up", *GO, "--set-aside")
    again, _ = calls(client, cli)
    assert cells.differences(at_4, again, earlier=2 * cells.EARLIER) == []
    back_aside = read_asides(client, cli, WITHOUT)
    assert cells.differences(unfit, back_aside, earlier=3 * cells.EARLIER) == []
    assert kills > KILLS_PER_LEG
    # Nothing else is left behind: no shadow of an attempt that was given up.
    left = [name for name in tables_in(client, cli) if "__" in name]
    assert left == asides(client, cli, WITHOUT)
    assert len(left) == 1
