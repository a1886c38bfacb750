"""Make one schedule again, on the simulator and then on a real server, and say of each whether all
holds behind it:

    tests/support/replay "up keep=0; killed 14; killed 9"

It prints the statement that each part is about, and the request that it was on the server. A
failing test of tests/simulated prints the line. With `--simulated` it takes no server. Otherwise
it is one of this run's own; or the one that servers.py finds: CALLDROP_HOSTS and CALLDROP_PORT, or
CALLDROP_TEST_EMBEDDED=reuse.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from tests.support import replaying, servers
from tests.support.forks import forking
from tests.support.reaching import command_line, connected, datacenter_of
from tests.support.simulator.exploring import Explorer
from tests.support.simulator.holding import Broken
from tests.support.simulator.judging import judge
from tests.support.simulator.lines import Happening, Line, parse

HOLDS, BROKEN, NO_LINE = range(3)


def on_simulator(line: Line) -> int:
    """Return how it went."""
    try:
        explorer = Explorer(line.journey)
        for at, part in enumerate(line.parts):
            sent = explorer.sent(line.parts[:at])
            there = part.number <= len(sent) and part.what != Happening.PAUSES
            about = sent[part.number - 1].text if there else "(no statement)"
            print(f"{part}: {about}")
        judge(explorer, line)
    except Broken as broken:
        print(f"On the simulator: broken.\n{broken}")
        return BROKEN
    print("On the simulator: all holds.")
    return HOLDS


def on_server(line: Line) -> int:
    """Return how it went."""
    with ExitStack() as stack:
        server = servers.given() or servers.running() or stack.enter_context(servers.own())
        client, forks = stack.enter_context(connected(server)), stack.enter_context(forking())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "work"
        keyspace = f"replay_{uuid4().hex[:12]}"
        cli = command_line(folder, keyspace, server, datacenter_of(client), forks)
        stack.callback(client.execute, f"DROP KEYSPACE IF EXISTS {keyspace}")
        stack.callback(cli.end)
        try:
            replaying.Replaying(line, cli, client, server, print).run()
        except (replaying.NotReplayed, Broken) as why:
            print(f"On the server: not replayed.\n{why}")
            return NO_LINE
        except replaying.Broken as broken:
            print(f"On the server: broken.\n{broken}")
            return BROKEN
    print("On the server: all holds.")
    return HOLDS


def main(args: Sequence[str]) -> int:
    """Return 0 if all holds, 1 if something doesn't, 2 for what is no line or isn't replayed."""
    words = [word for word in args if word != "--simulated"]
    try:
        line = parse(" ".join(words))
    except ValueError as error:
        print(error, file=sys.stderr)
        return NO_LINE
    simulated = on_simulator(line)
    if len(words) < len(args):
        return simulated
    return max(simulated, on_server(line))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
