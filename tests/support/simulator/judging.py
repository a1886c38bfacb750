"""A whole schedule, judged: the same command, run again, ends with 0, if need be behind the command
that its message names; then all is there as it has to be (holding.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calldrop_migrate.errors import DriftError
from tests.support.simulator.cluster import Cluster
from tests.support.simulator.commands import typed
from tests.support.simulator.database import let_pass
from tests.support.simulator.exploring import Explorer, expected
from tests.support.simulator.faults import Fate, Schedule
from tests.support.simulator.holding import SETTLES, Broken, kept, see_waited, see_wanted
from tests.support.simulator.lines import Happening, Line, Part
from tests.support.simulator.runs import Ended, history

PATIENCE = 6  # commands until all must have come to an end
NOTHING = 2  # the exit code of `abort` where nothing is half-way
_READS = 40  # seconds that somebody takes to read what a command said


def judge(on: Explorer, line: Line) -> None:
    """Carry out a schedule.

    Raises:
        Broken: something doesn't hold behind it.
    """
    try:
        if on.is_nothing(line.parts):
            _see_without_it(on, line.parts)
        else:
            _settle(on, on.after(line.parts), line.parts)
    except Broken as broken:
        raise Broken(f"{line}\n{broken}") from None


def _see_without_it(on: Explorer, parts: tuple[Part, ...]) -> None:
    """Judge, once, what is left of a schedule whose held statement changes nothing."""
    *before, held = parts
    without = (*before, Part(Fate.KILLED, held.number))
    if without not in on.judged:
        on.judged.add(without)
        _settle(on, on.trace(without).end.copy(), without)


def _settle(on: Explorer, cluster: Cluster, parts: Sequence[Part]) -> None:
    said = _end(on, cluster)
    if any(part.what in (Happening.DELAYED, Happening.STRAYS) for part in parts):
        let_pass(cluster, SETTLES)  # all arrives that was on its way
        said += _end(on, cluster)
    reached = on.goal
    if on.journey.abort and not on.journey.again:
        reached = max(
            (n for n, state in history(cluster).items() if state == "SUCCEEDED"), default=0
        )
    late = any(part.what in (Fate.HELD, Happening.STANDS) for part in parts)
    if late and on.journey.keep and kept(cluster).rows != on.wanted[reached].rows:
        # A DROP may have landed behind the run: the second copy has the rows.
        said.append(on.who(cluster).restore())
    told = late and reached != on.goal and on.step(cluster.copy()).code == DriftError.exit_code
    wanted = on.wanted
    if cluster.taken:
        rows = expected(reached, taken=True)
        wanted = {**wanted, reached: replace(wanted[reached], rows=rows)}
    see_wanted(cluster, wanted, reached, said, drift_is_told=told)


def _end(on: Explorer, cluster: Cluster) -> list[Ended]:
    """Run the same command, and what its message names, until it ends."""
    aborts = on.journey.abort and not on.journey.again

    def run(cluster: Cluster) -> Ended:
        schedule = Schedule()
        ended = (on.next if aborts else on.step)(cluster, schedule)
        see_waited(cluster, schedule.all)
        return ended

    said = [run(cluster)]
    while said[-1].code and len(said) < PATIENCE:
        if aborts and said[-1].code == NOTHING:
            return said
        if len(said) > 1 and said[-1] == said[-2]:
            said.append(_follow(on, cluster, said[-1]))
            if aborts and not said[-1].code:
                return said
        if cluster.behind() or len(said) > 2:
            let_pass(cluster, _READS)
        said.append(run(cluster))
    if said[-1].code:
        raise Broken(f"neither the same command nor what its message names ends it: {said}")
    return said


def _follow(on: Explorer, cluster: Cluster, ended: Ended) -> Ended:
    """Run the first command that a message names."""
    who = on.who(cluster)
    match goes_on(ended.hint):
        case ["repair", *_]:
            return who.restore()
        case ["abort"]:
            return who.abort()
        case ["up", target]:
            return who.up(target)
        case ["down", target]:
            return who.down(target)
    return ended


def goes_on(hint: str) -> list[str]:
    """Return the first command that a message names and that goes on; none if there is none."""
    for command, rest in typed(hint):
        match command, rest:
            case "repair", ["--restore", *_]:
                return ["repair", "--restore"]
            case "abort", _:
                return ["abort"]
            case "up" | "down" as way, [target]:
                return [way, target]
    return []
