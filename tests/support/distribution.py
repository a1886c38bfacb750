"""The work of each worker of pytest-xdist, and the server that it ran on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_SCHEDULES = "::test_nothing_is_lost["
RAN_ON = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Three nodes are enough once, and so is a secured one: one worker gets all tests on them.

    (`--dist loadgroup` would say so with marks, which xdist 3.8 doesn't see under pytest 9.2.)
    """
    return _ByServer(config, log)


class _ByServer(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        folder = Path(nodeid.partition("::")[0]).parent.name
        if _SCHEDULES in nodeid:  # those of one journey share what is known of it
            return nodeid.partition("[")[2].partition(":")[0] + nodeid.rpartition("-")[2]
        return folder if folder in ("cluster", "secured") else nodeid


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it ran on."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["ran_on"] = session.config.stash.get(RAN_ON, "")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if ran_on := getattr(node, "workeroutput", {}).get("ran_on"):
        before = node.config.stash.get(RAN_ON, "")
        node.config.stash[RAN_ON] = f"{before}; {ran_on}" if before else ran_on


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if ran_on := config.stash.get(RAN_ON, ""):
        terminalreporter.write_sep("-", f"ran on: {ran_on}")
