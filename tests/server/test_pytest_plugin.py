"""The pytest plugin, in pytest runs of its own: throwaway keyspaces on a server that was given, at
an address that a fixture gives, on an embedded server of the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from calldrop_migrate.embedded import ports
from tests.support.cli import Result
from tests.support.places import PROJECT
from tests.support.servers import Address

pytest_plugins = ("pytester",)
PRINTS = """
    def test_it(calldrop_keyspace):
        keyspace = calldrop_keyspace(0)
        print(f"at={keyspace.name}@{keyspace.hosts}:{keyspace.port}.")
"""


def run(folder: Path, server: Address | None, *args: str, **more: str) -> Result:
    """pytest in a folder; without a server nothing tells the plugin of one."""
    kept = {k: v for k, v in os.environ.items() if not re.match("CALLDROP_|PYTEST_", k)}
    kept["CALLDROP_EMBEDDED_HOME"] = str(folder / "no embedded server")
    if server is not None:
        kept |= {"CALLDROP_HOSTS": ",".join(server.hosts), "CALLDROP_PORT": str(server.port)}
        names = ("USERNAME", "PASSWORD", "LOCAL_DC")
        kept |= {k: v for n in names if (v := os.environ.get(k := f"CALLDROP_{n}"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rP", "-p", "no:cacheprovider", *args],
        cwd=folder,
        env=kept | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def ended(result: Result, **counts: int) -> list[tuple[str, str]]:
    """That so many tests passed or failed; the keyspaces that they printed, and their servers."""
    for outcome, count in counts.items():
        assert re.search(rf"\b{count} {outcome}\b", result.out.splitlines()[-1]), result.out
    assert "Traceback" not in result.err, result.err
    return re.findall(r"at=(\w+)@(.*)\.$", result.out, re.MULTILINE)


def keyspaces(client: Any) -> set[str]:
    rows = client.execute("SELECT keyspace_name FROM system_schema.keyspaces")
    return {row["keyspace_name"] for row in rows}


def write(pytester: pytest.Pytester, **files: str) -> None:
    pytester.makepyfile(**{name: dedent(text) for name, text in files.items()})


def example(name: str) -> str:
    """A file of docs/pytest.md, by the comment that it begins with."""
    text = (PROJECT / "docs" / "pytest.md").read_text(encoding="utf-8")
    found = re.search(
        rf"^```python\n# {re.escape(name)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    assert found, name
    return found[1]


@pytest.mark.thorough
def test_the_examples_of_the_page(pytester: pytest.Pytester, server: Address, client: Any) -> None:
    """At this server's address, given as pytest-docker would give it."""
    address = f"""
        import pytest

        @pytest.fixture(scope="session")
        def docker_ip():
            return {",".join(server.hosts)!r}

        @pytest.fixture(scope="session")
        def docker_services():
            class Services:
                def port_for(self, service, port):
                    assert (service, port) == ("scylla", 9042)
                    return {server.port}
            return Services()
    """
    write(pytester, conftest=dedent(address) + example("conftest.py"))
    write(pytester, test_calls=example("test_calls.py"))
    before = keyspaces(client)
    refused = run(pytester.path, None)
    ended(refused, failed=2)
    assert "there are no migrations here" in refused.out
    ended(run(pytester.path, None, CALLDROP_DEMO="true"), passed=2)
    assert not {name for name in keyspaces(client) - before if "users" in name or "call" in name}


@pytest.mark.thorough
def test_what_is_dropped_and_what_is_not(
    pytester: pytest.Pytester, server: Address, client: Any, keyspace: str, datacenter: str
) -> None:
    """Those of failed tests are; one that was there before is not, and is not touched."""
    options = f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': 1}}"
    client.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {options}")
    write(
        pytester,
        test_it=f"""
        def test_fails(calldrop_keyspace):
            print(f"at={{calldrop_keyspace(0).name}}@1.")
            print(f"at={{calldrop_keyspace(0).name}}@2.")
            assert False

        def test_refused(calldrop_keyspace):
            calldrop_keyspace(0, seed="nothing_of_this_name")

        def test_theirs(calldrop_keyspace, monkeypatch):
            monkeypatch.setattr("calldrop_migrate.pytest_plugin._draw_name", lambda _: {keyspace!r})
            calldrop_keyspace(1)
        """,
    )
    result = run(pytester.path, server)
    (first, _), (second, _) = ended(result, failed=3)
    assert first != second
    assert first.startswith("t_test_fails_")
    assert "there is no seed module 'nothing_of_this_name'" in result.out
    assert "Cannot add existing keyspace" in result.out or "already exists" in result.out
    left = keyspaces(client)
    assert keyspace in left
    assert not {name for name in left if name.startswith(("t_test_fails", "t_test_refused"))}


@pytest.mark.thorough
def test_the_projects_own_files_and_not_its_profile(
    pytester: pytest.Pytester, server: Address, client: Any
) -> None:
    (pytester.path / "db").mkdir()
    (pytester.path / "db" / "0001_one.cql").write_text(
        "-- migrate:up\nCREATE TABLE one (a int PRIMARY KEY);\n-- migrate:down\nDROP TABLE one;\n"
    )
    pytester.path.joinpath("calldrop-migrate.toml").write_text(
        'migrations = "db"\nprofile = "production"\nkeyspace = "theirs"\n'
        '[profiles.production]\nhosts = ["127.0.0.9"]\nport = 1\n'
    )
    ini = f"[pytest]\ncalldrop_hosts = {','.join(server.hosts)}\ncalldrop_port = {server.port}\n"
    pytester.path.joinpath("pytest.ini").write_text(ini)
    write(
        pytester,
        test_it="""
        import pytest

        @pytest.fixture(scope="module")
        def one(calldrop_server):
            with calldrop_server.keyspace() as keyspace:
                yield keyspace

        def test_it(one):
            assert "0001  one" in one.run("status")
            one.run("down", "5")

        def test_again(one):
            one.run("down", "5", code=2)
        """,
    )
    result = run(pytester.path, None)
    ended(result, passed=1, failed=1)
    assert "calldrop-migrate down 5  on t_" in result.out
    assert "theirs" not in keyspaces(client)
    # A folder that is missing is no reason for the packaged schema.
    toml = pytester.path / "calldrop-migrate.toml"
    toml.write_text(toml.read_text().replace('"db"', '"bd"'))
    missing = run(pytester.path, None)
    ended(missing, errors=2)
    assert "no folder" in missing.out


@pytest.mark.thorough
def test_an_unknown_address_is_told_in_words(pytester: pytest.Pytester) -> None:
    write(pytester, test_it=PRINTS)
    nowhere = Address(("127.0.0.1",), 1, "given")
    result = run(pytester.path, nowhere, CALLDROP_WAIT="0")
    ended(result, error=1)
    assert "127.0.0.1:1" in result.out
    assert "opening.py" not in result.out


@pytest.mark.thorough
def test_workers_share_an_embedded_server_that_ends_with_the_run(
    pytester: pytest.Pytester,
) -> None:
    write(pytester, test_one=PRINTS, test_two=PRINTS)
    result = run(pytester.path, None, "-n", "2", "--dist", "loadfile")
    (one, address), (two, other) = ended(result, passed=2)
    assert {name[:6] for name in (one, two)} == {"t_gw0_", "t_gw1_"}
    assert address == other
    host, port = re.fullmatch(r"\('(.*)',\):(\d+)", address).groups()  # type: ignore[union-attr]
    assert not ports.accepts(host, int(port))
