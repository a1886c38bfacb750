"""What a node is started with: the layout, cassandra.yaml, the command line."""

from pathlib import Path

import pytest

from calldrop_migrate.embedded.node import Node, command, lay_out, prepare, yaml
from calldrop_migrate.embedded.tuning import Tuning
from calldrop_migrate.errors import ConfigurationError

JARS = [Path("/jars/cassandra-all-5.0.9.jar"), Path("/jars/jamm-0.4.0.jar")]


def layout(count: int = 1, home: str = "/home/of it", **extra: str) -> tuple[Node, ...]:
    return lay_out(Path(home) / f"nodes-{count}-5.0", "127.0.0.9", count, 9142, Tuning(512, extra))


def settings(node: Node) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in yaml(node).splitlines())


def test_nodes_are_on_consecutive_addresses_with_one_seed() -> None:
    nodes = layout(3)
    assert [node.host for node in nodes] == ["127.0.0.9", "127.0.0.10", "127.0.0.11"]
    assert {node.seed for node in nodes} == {"127.0.0.9"}
    assert {node.port for node in nodes} == {9142}
    assert len({node.directory for node in nodes}) == 3


def test_servers_of_different_sizes_share_no_directory() -> None:
    assert {node.directory for node in layout(1)}.isdisjoint(node.directory for node in layout(3))


@pytest.mark.parametrize(
    ("host", "count", "port"),
    [
        ("localhost", 1, 9042),
        ("::1", 1, 9042),
        ("255.255.255.255", 2, 9042),
        ("127.0.0.1", 0, 9042),
        ("127.0.0.1", 1, 0),
        ("127.0.0.1", 1, 65536),
    ],
)
def test_impossible_layouts_are_refused_before_anything_starts(
    host: str, count: int, port: int
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        lay_out(Path("/home"), host, count, port, Tuning())
    assert refused.value.hint


def test_yaml_names_the_node_and_its_seed() -> None:
    found = settings(layout(3)[1])
    assert found["listen_address"] == found["rpc_address"] == '"127.0.0.10"'
    assert found["native_transport_port"] == "9142"
    assert '{seeds: "127.0.0.9:7000"}' in found["seed_provider"]


def test_yaml_keeps_everything_below_the_node_and_quotes_it() -> None:
    found = settings(layout()[0])
    assert found["data_file_directories"] == '["/home/of it/nodes-1-5.0/node1/data"]'
    assert found["commitlog_directory"] == '"/home/of it/nodes-1-5.0/node1/commitlog"'


def test_yaml_has_what_migrations_need() -> None:
    found = settings(layout()[0])
    assert found["materialized_views_enabled"] == "true"
    assert found["auto_snapshot"] == "false"


def test_extra_settings_win() -> None:
    found = settings(layout(num_tokens="1", authenticator="PasswordAuthenticator")[0])
    assert found["num_tokens"] == "1"
    assert found["authenticator"] == "PasswordAuthenticator"


def test_command_line() -> None:
    [node] = layout()
    words = command(node, Path("/java"), JARS)
    assert words[:2] == ["/java", "-javaagent:/jars/jamm-0.4.0.jar"]
    assert "-Xmx512m" in words
    assert "-Dcassandra.config=file:///home/of%20it/nodes-1-5.0/node1/conf/cassandra.yaml" in words
    classpath = words[words.index("-cp") + 1]
    assert classpath == ":".join([f"{node.directory}/conf", *map(str, JARS)])
    assert "--add-opens=java.base/java.io=ALL-UNNAMED" in words
    assert "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED" in words


def test_only_a_node_alone_may_hurry() -> None:
    def ring_delay(count: int) -> set[str]:
        return {
            word
            for node in layout(count)
            for word in command(node, Path("/java"), JARS)
            if "ring_delay" in word
        }

    assert ring_delay(1) == {"-Dcassandra.ring_delay_ms=1"}
    assert ring_delay(3) == {"-Dcassandra.ring_delay_ms=4000"}


def test_prepare_puts_the_last_log_aside(tmp_path: Path) -> None:
    [node] = layout(home=str(tmp_path))
    prepare(node)
    node.log.write_text("the first start")
    prepare(node)
    assert node.log.read_text() == ""
    assert node.log.with_suffix(".log.1").read_text() == "the first start"
    assert (node.directory / "conf" / "cassandra.yaml").read_text() == yaml(node)
