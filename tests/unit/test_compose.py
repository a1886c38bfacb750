"""docker-compose.yml: what a wrong edit would break only on a machine that has Docker."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

NODES = ("scylla", "scylla2", "scylla3")
FILE = Path(__file__).parents[2] / "docker-compose.yml"
# What the image's entry point takes (dist/docker/commandlineparser.py at the tag scylla-2026.1.11);
# all else it hands to the server, whose options are in db/config.cc there, and in Seastar.
OF_THE_ENTRY_POINT = {
    *("--developer-mode", "--seeds", "--smp", "--memory", "--overprovisioned", "--rpc-address"),
    *("--broadcast-rpc-address", "--dc", "--rack"),
}
OF_THE_SERVER = {
    *("--auto-snapshot", "--ring-delay-ms", "--skip-wait-for-gossip-to-settle"),
    *("--twcs-max-window-count", "--max-networking-io-control-blocks"),
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def flags(service: dict[str, Any]) -> dict[str, str]:
    words = service["command"].split()
    assert all(name.startswith("--") for name in words[::2])
    return dict(zip(words[::2], words[1::2], strict=True))


def test_one_node_by_default_and_three_in_the_profile(services: dict[str, Any]) -> None:
    assert tuple(services) == NODES
    assert [services[name].get("profiles") for name in NODES] == [None, ["cluster"], ["cluster"]]


def test_compose_takes_the_file() -> None:
    plugin = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*plugin, "version"], check=False).returncode:
        plugin = ["docker-compose"]
    if not shutil.which(plugin[0]):
        pytest.skip("no Docker Compose (.ci/run installs one)")
    subprocess.run([*plugin, "-f", FILE, "--profile", "cluster", "config", "-q"], check=True)


def test_each_flag_is_one_that_the_image_takes(services: dict[str, Any]) -> None:
    for service in services.values():
        assert set(flags(service)) <= OF_THE_ENTRY_POINT | OF_THE_SERVER
        assert flags(service)["--developer-mode"] in "01"
        assert flags(service)["--overprovisioned"] in "01"


def test_all_nodes_run_one_full_version(services: dict[str, Any]) -> None:
    (image,) = {service["image"] for service in services.values()}
    assert re.fullmatch(r"scylladb/scylla:20\d\d\.\d\.\d+", image)


def test_each_node_is_in_its_own_rack_of_one_data_centre(services: dict[str, Any]) -> None:
    assert len({flags(service)["--rack"] for service in services.values()}) == len(NODES)
    assert {flags(service)["--dc"] for service in services.values()} == {"datacenter1"}


def test_ninety_windows_are_allowed(services: dict[str, Any]) -> None:
    assert all(int(flags(s)["--twcs-max-window-count"]) >= 90 for s in services.values())


def test_nodes_differ_in_rack_seeds_and_address_only(services: dict[str, Any]) -> None:
    own = ("--rack", "--seeds", "--broadcast-rpc-address")
    alike = [
        {k: v for k, v in flags(service).items() if k not in own} for service in services.values()
    ]
    assert alike[0] == alike[1] == alike[2]


def test_nodes_join_the_first_one_after_the_other(services: dict[str, Any]) -> None:
    assert [flags(services[name]).get("--seeds") for name in NODES] == [None, "scylla", "scylla"]
    waits = [services[name].get("depends_on") for name in NODES]
    healthy = {"condition": "service_healthy"}
    assert waits == [None, {"scylla": healthy}, {"scylla2": healthy}]


def test_health_is_an_answer_to_cql(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["healthcheck"]["test"][:4] == ["CMD", "cqlsh", "127.0.0.1", "-e"]


def test_each_node_tells_the_address_at_which_its_port_is_published(
    services: dict[str, Any],
) -> None:
    """A driver goes on with what system.local and system.peers tell it, at the same port."""
    told = [flags(services[name])["--broadcast-rpc-address"] for name in NODES]
    assert told == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    published = [services[name]["ports"] for name in NODES]
    assert published == [[f"{address}:${{SCYLLA_PORT:-9042}}:9042"] for address in told]
