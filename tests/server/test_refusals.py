"""What the driver's words and versions mean to us, without a server: refusals for want of a grant,
and which port is taken with TLS.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cassandra import (
    AlreadyExists,
    InvalidRequest,
    OperationType,
    RateLimitReached,
    ReadFailure,
    ReadTimeout,
    Unauthorized,
    Unavailable,
    WriteFailure,
    WriteTimeout,
    __version_info__,
)
from cassandra.connection import DefaultEndPoint, ShardingInfo
from cassandra.pool import HostConnection
from cassandra.protocol import (
    ConfigurationException,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    ServerError,
    TruncateError,
)

from calldrop_migrate.cluster import failures
from calldrop_migrate.cluster.failures import Refused, grant_for
from calldrop_migrate.cluster.session import Endpoint, shard_aware_options
from calldrop_migrate.errors import CalldropError

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


UNAVAILABLE = Unavailable("no", consistency=1, required_replicas=2, alive_replicas=1)


def read_failure(said: str) -> ReadFailure:
    text = f'Error from server: code=1300 [Replica(s) failed to execute read] message="{said}"'
    return ReadFailure(text, consistency=1, required_responses=1, received_responses=0)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            read_failure(
                "Operation failed - received 0 responses and 1 failures: READ_TOO_MANY_TOMBSTONES"
                " from /127.0.0.1:7000"
            ),
            7,
            ("t, token 1 to 2", "tombstone_failure_threshold", "nodetool compact"),
        ),
        (
            read_failure("Operation failed - 1 failures: READ_SIZE from /127.0.0.1:7000"),
            7,
            ("t, token 1 to 2", "local_read_size_fail_threshold"),
        ),
        (
            read_failure("Operation failed - 1 failures: UNKNOWN from /127.0.0.1:7000"),
            10,
            ("nodes failed to read t, token 1 to 2", "logs"),
        ),
        (
            read_failure("Operation failed - 1 failures: TIMEOUT from /127.0.0.1:7000"),
            10,
            ("nodes failed to read t, token 1 to 2", "TIMEOUT"),
        ),
        (ReadTimeout("timed out"), 10, ("does not answer", "once it does")),
        (UNAVAILABLE, 10, ("1 of the 2", "nodetool status")),
        (OverloadedErrorMessage(0x1001, "overloaded", None), 10, ("--max-rows-per-second",)),
        (IsBootstrappingErrorMessage(0x1002, "joining", None), 10, ("does not answer",)),
        (ServerError(0, "boom", None), 10, ("does not answer", "boom")),
        (Unauthorized("no"), 7, ("Have the permission granted",)),
    ],
)
def test_what_a_read_ends_with(error: Exception, code: int, words: tuple[str, ...]) -> None:
    with pytest.raises(CalldropError) as caught, failures.of_read("t, token 1 to 2"):
        raise error
    assert caught.value.exit_code == code
    assert caught.value.hint.strip()
    for word in words:
        assert word in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WriteTimeout("timed out", write_type=0), 8),
        (WriteFailure("failed", consistency=1, required_responses=1, received_responses=0), 8),
        (UNAVAILABLE, 8),
        (OverloadedErrorMessage(0x1001, "overloaded", None), 8),
        (TruncateError(0x1003, "not all nodes", None), 8),
        (RateLimitReached(OperationType.Write, True), 8),
        (AlreadyExists(keyspace="k", table="t"), 7),
        (ConfigurationException(0x2300, "no such strategy", None), 7),
    ],
)
def test_what_a_write_ends_with(error: Exception, code: int) -> None:
    with pytest.raises(CalldropError) as caught, failures.of_write():
        raise error
    assert caught.value.exit_code == code


def test_a_guard_rail_is_named() -> None:
    said = "Guardrail drop_truncate_table_enabled violated: DROP and TRUNCATE TABLE is not allowed"
    refused = Refused(InvalidRequest(f'code=2200 [Invalid query] message="{said}"'))
    assert "(drop_truncate_table_enabled)" in refused.hint
    assert "superuser" in refused.hint
