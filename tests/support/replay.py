"""Make one schedule again on the simulator, and say whether all holds behind it:

    python -m tests.support.replay "up keep=0; killed 14; killed 9"

It prints the statement that each part is about. A failing test of tests/simulated prints the line.
"""

from __future__ import annotations

import sys

from tests.support.simulator.exploring import Explorer
from tests.support.simulator.judging import Broken, judge
from tests.support.simulator.lines import parse


def main(text: str) -> int:
    """Return 0 if all holds, 1 if something doesn't, 2 for what is no line."""
    try:
        line = parse(text)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    explorer = Explorer(line.journey)
    for at, part in enumerate(line.parts):
        sent = explorer.trace(line.parts[:at]).sent
        about = sent[part.number - 1].text if part.number <= len(sent) else "(none: it has ended)"
        print(f"{part}: {about}")
    try:
        judge(explorer, line)
    except Broken as broken:
        print(broken)
        return 1
    print("All holds.")
    return 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
