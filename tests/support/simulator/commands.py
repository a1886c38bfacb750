"""Commands as values, what may happen to one, and those that a message names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tests.support.simulator.faults import Fate

What = Literal["go", "abort", "stamp", "clean", "accept", "restore", "unlock"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `go` is up or down, whichever way the target is."""

    what: What
    target: int = 0
    set_aside: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of one statement of a command; one that is held arrives in the next command, at a
    statement of that one.
    """

    fate: Fate
    number: int
    arrives: int = 1


def typed(hint: str) -> list[tuple[str, list[str]]]:
    """Return the commands that a message has, each with its arguments."""
    found = re.findall(r"calldrop-migrate ([a-z]+)(.*)", hint)
    return [(name, rest.split()) for name, rest in found]


def named(hint: str) -> list[Command]:
    """Return the commands that a message names, without those that delete rows."""
    found = []
    for name, rest in typed(hint):
        match name, rest:
            case "repair", ["--restore" | "--accept" as way]:
                found.append(Command("accept" if way == "--accept" else "restore"))
            case "abort", []:
                found.append(Command("abort"))
            case "up" | "down", [target]:
                found.append(Command("go", 0 if target == "base" else int(target)))
            case "stamp", [target]:
                found.append(Command("stamp", 0 if target == "base" else int(target)))
    return found
