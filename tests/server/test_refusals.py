"""What the driver's words and versions mean to us, without a server: refusals for want of a grant,
and which port is taken with TLS.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cassandra import Unauthorized, __version_info__
from cassandra.connection import DefaultEndPoint, ShardingInfo
from cassandra.pool import HostConnection

from calldrop_migrate.cluster.failures import Refused, grant_for
from calldrop_migrate.cluster.session import Endpoint, shard_aware_options

LACKS = "User {} has no {} permission on <{}> or any of its parents"


@pytest.mark.parametrize(
    ("role", "what", "where", "grant"),
    [
        ("app", "CREATE", "all keyspaces", "GRANT CREATE ON ALL KEYSPACES TO app;"),
        ("app", "CREATE", "keyspace k", "GRANT CREATE ON KEYSPACE k TO app;"),
        ("app", "CREATE", "all tables in k", "GRANT CREATE ON KEYSPACE k TO app;"),
        ("app", "ALTER", "table Caps.my table", 'GRANT ALTER ON KEYSPACE "Caps" TO app;'),
        ("a b", "SELECT", "table system.x", 'GRANT SELECT ON TABLE system.x TO "a b";'),
        ('o"x', "MODIFY", "table k.t", 'GRANT MODIFY ON KEYSPACE k TO "o""x";'),
    ],
)
def test_the_grant_that_is_missing(role: str, what: str, where: str, grant: str) -> None:
    message = LACKS.format(role, what, where)
    assert grant_for(message) == grant
    text = f'Error from server: code=2100 [Unauthorized] message="{message}"'
    assert Refused(Unauthorized(text)).hint.endswith(grant)


def test_a_refusal_that_says_something_else() -> None:
    assert grant_for("You have not logged in") == ""
    refused = Refused(Unauthorized('code=2100 [Unauthorized] message="Only superusers may"'))
    assert refused.message == "Only superusers may"
    assert refused.hint


def test_an_endpoint_does_not_show_its_password() -> None:
    assert "s3cret" not in repr(Endpoint(("a",), 9042, "k", username="u", password="s3cret"))


@pytest.mark.parametrize("driver", [(3, 29, 11), (3, 29, 12), __version_info__])
def test_old_drivers_are_kept_from_the_port_without_tls(driver: tuple[int, ...]) -> None:
    assert shard_aware_options(driver, encrypted=False) is None
    avoided = shard_aware_options(driver, encrypted=True)
    assert avoided == ({"disable_shardaware_port": True} if driver < (3, 29, 12) else None)


@pytest.mark.parametrize(("with_tls", "port"), [(True, 19142), (True, None), (False, 19042)])
def test_this_driver_takes_the_port_with_tls(with_tls: bool, port: int | None) -> None:
    """What we rely on where nothing is switched off: ScyllaDB tells of both ports, or of one."""
    sharding = ShardingInfo(0, 8, "", "", 12, 19042, port if with_tls else None)
    options = shard_aware_options(__version_info__, encrypted=with_tls) or {}
    cluster = SimpleNamespace(
        ssl_context=object() if with_tls else None,
        ssl_options=None,
        shard_aware_options=SimpleNamespace(**{"disable_shardaware_port": False, **options}),
    )
    pool = SimpleNamespace(
        host=SimpleNamespace(endpoint=DefaultEndPoint("10.0.0.1"), sharding_info=sharding),
        advanced_shardaware_block_until=None,
        _session=SimpleNamespace(cluster=cluster),
    )
    found = HostConnection._get_shard_aware_endpoint(pool)
    taken = found.port if found else None
    assert taken in (port, None)
    assert taken == port or __version_info__ < (3, 29, 12)
