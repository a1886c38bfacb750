"""The files and arguments of one node: cassandra.yaml, logback.xml, its data centre, the JVM's.

Texts from values: nothing is started here, and nothing is written but the files of `prepare`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from calldrop_migrate.embedded.tuning import Tuning
from calldrop_migrate.errors import ConfigurationError

STORAGE_PORT = 7000
MAIN_CLASS = "org.apache.cassandra.service.CassandraDaemon"

# Packages that Cassandra, jamm and netty reach into; those of java.base without their module.
_EXPORTS = (
    *("jdk.internal.misc", "java.lang.ref", "jdk.unsupported/sun.misc", "java.sql/java.sql"),
    *("java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server", "java.rmi/sun.rmi.transport.tcp"),
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
)
_OPENS = (
    *("java.io", "java.lang", "java.lang.module", "java.lang.reflect", "java.nio", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.loader", "sun.nio.ch"),
    *("jdk.internal.math", "jdk.internal.module", "jdk.internal.ref", "jdk.internal.reflect"),
    *("jdk.internal.util.jar", "jdk.management/com.sun.management.internal"),
    # What the jamm of 4.1 walks through when it measures a statement, on Java 17.
    *(
        "java.lang.invoke",
        "java.math",
        "java.net",
        "java.nio.charset",
        "java.security",
        "java.text",
    ),
    *("java.time", "java.time.format", "java.time.temporal", "java.time.zone", "sun.nio.cs"),
    *("java.util.concurrent.locks", "java.util.function", "java.util.regex", "sun.util.calendar"),
)

# What brings the first answer from 10-12 s down to 4-5 s. Loads of a minute run no slower for it.
_QUICK = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    # Otherwise measured at each start, for 2 s; this is what it measures.
    "-Dcassandra.memtable.row_overhead_size=180",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
)
_ALONE = ("-Dcassandra.ring_delay_ms=1", "-Dcassandra.shutdown_announce_in_ms=0")
_PROPERTIES = (
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    # Without it Cassandra closes its standard output, our log, once it has started.
    "-Dcassandra-foreground=yes",
)

# To the console: the log is whatever the process prints, so that a JVM which can't even start says
# why in the same file. No comma in the date: it would begin a time zone.
_LOGBACK = """\
<configuration>
  <appender name="LOG" class="ch.qos.logback.core.ConsoleAppender">
    <encoder>
      <pattern>%-5level %d{yyyy-MM-dd HH:mm:ss.SSS} [%thread] %logger{0} - %msg%n</pattern>
    </encoder>
  </appender>
  <root level="INFO"><appender-ref ref="LOG"/></root>
</configuration>
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of an embedded server, as it is to be started."""

    directory: Path
    host: str
    port: int
    storage_port: int
    seed: str
    alone: bool
    tuning: Tuning

    @property
    def log(self) -> Path:
        """Return what the node printed since its last start."""
        return self.directory / "server.log"


def lay_out(directory: Path, host: str, count: int, port: int, tuning: Tuning) -> tuple[Node, ...]:
    """The nodes of a server of `count` nodes, on consecutive addresses from `host` on.

    Raises:
        ConfigurationError: no such address, or port, or number of nodes.
    """
    try:
        first = IPv4Address(host)
        hosts = [str(first + number) for number in range(count)]
    except ValueError as error:
        raise ConfigurationError(
            f"{host!r} is no IPv4 address to start {count} nodes from", hint="use 127.0.0.1"
        ) from error
    if not 1 <= port <= 65535 or count < 1:
        raise ConfigurationError(
            f"can't start {count} nodes on port {port}",
            hint="at least one node, and a port between 1 and 65535",
        )
    return tuple(
        Node(
            directory=directory / f"node{number}",
            host=address,
            port=port,
            storage_port=STORAGE_PORT,
            seed=hosts[0],
            alone=count == 1,
            tuning=tuning,
        )
        for number, address in enumerate(hosts, start=1)
    )


def yaml(node: Node) -> str:
    """The text of cassandra.yaml; the values of `node.tuning` are YAML, and win over ours."""
    settings = {
        "cluster_name": "calldrop-embedded",
        "num_tokens": "16",
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "GossipingPropertyFileSnitch",
        "listen_address": json.dumps(node.host),
        "rpc_address": json.dumps(node.host),
        "native_transport_port": str(node.port),
        "storage_port": str(node.storage_port),
        "seed_provider": "[{class_name: org.apache.cassandra.locator.SimpleSeedProvider, "
        f'parameters: [{{seeds: "{node.seed}:{node.storage_port}"}}]}}]',
        "auto_bootstrap": "false",
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10000ms",
        # DROP and TRUNCATE would otherwise leave a copy of every test's tables on the disk.
        "auto_snapshot": "false",
        "materialized_views_enabled": "true",
        **{
            f"{name}_directory": json.dumps(str(node.directory / name))
            for name in ("commitlog", "saved_caches", "hints", "cdc_raw")
        },
        "data_file_directories": json.dumps([str(node.directory / "data")]),
        **node.tuning.settings,
    }
    return "".join(f"{name}: {value}\n" for name, value in settings.items())


def prepare(node: Node) -> None:
    """Write the node's configuration, and put the log of its last start aside."""
    conf = node.directory / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "cassandra.yaml").write_text(yaml(node), encoding="utf-8")
    (conf / "logback.xml").write_text(_LOGBACK, encoding="utf-8")
    (conf / "cassandra-rackdc.properties").write_text(
        "dc=datacenter1\nrack=rack1\n", encoding="utf-8"
    )
    if node.log.exists():
        node.log.replace(node.log.with_suffix(".log.1"))
    node.log.touch()


def command(node: Node, java: Path, jars: Sequence[Path]) -> list[str]:
    """The command line that starts the node."""
    jamm = next(jar for jar in jars if jar.name.startswith("jamm-"))
    conf = node.directory / "conf"
    return [
        str(java),
        f"-javaagent:{jamm}",
        f"-Xms{min(node.tuning.heap_mb, 256)}m",
        f"-Xmx{node.tuning.heap_mb}m",
        *_QUICK,
        *_PROPERTIES,
        # One alone waits for nobody and says good-bye to nobody; others need time to hear of it.
        *(_ALONE if node.alone else ("-Dcassandra.ring_delay_ms=4000",)),
        f"-Dcassandra.config={(conf / 'cassandra.yaml').as_uri()}",
        f"-Dcassandra.storagedir={node.directory}",
        *(f"--add-exports={_full(package)}=ALL-UNNAMED" for package in _EXPORTS),
        *(f"--add-opens={_full(package)}=ALL-UNNAMED" for package in _OPENS),
        *node.tuning.jvm,
        "-cp",
        ":".join([str(conf), *map(str, jars)]),
        MAIN_CLASS,
    ]


def _full(package: str) -> str:
    return package if "/" in package else f"java.base/{package}"
