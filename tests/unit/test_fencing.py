"""Who can write to a table, and how long a REVOKE takes to count. No server."""

from __future__ import annotations

import pytest

from calldrop_migrate.core.fencing import Access, Fence, Role, fence, patience, taken_back

TABLE = "data/k/t"


def access(modify: dict[str, set[str]], *roles: Role, us: str = "us") -> Access:
    known = {role.name: role for role in (Role(us), *roles)}
    return Access(us, known, {where: frozenset(who) for where, who in modify.items()})


def around(found: Access, *trusted: str) -> Fence:
    return fence(found, "k", "t", frozenset(trusted))


def test_direct_grants_are_revoked_whoever_has_them_but_us() -> None:
    group = Role("group", can_login=False)
    found = around(
        access(
            {TABLE: {"us", "app", "group"}},
            Role("app"),
            group,
            Role("m", True, False, frozenset({"group"})),
        )
    )
    assert found == Fence("t", ("app", "group"), trusted=("us",))
    assert [run.text for run in found.up()] == [
        "REVOKE MODIFY ON TABLE t FROM app",
        "REVOKE MODIFY ON TABLE t FROM group",
    ]
    assert [run.text for run in found.away()] == [taken_back(run).text for run in found.up()]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("data", "app has MODIFY on ALL KEYSPACES"),
        ("data/k", "app has MODIFY on KEYSPACE k"),
        ("data/k/*", "app has MODIFY on ALL TABLES IN KEYSPACE k"),
    ],
)
def test_wider_grants_can_not_be_taken(where: str, words: str) -> None:
    found = access({where: {"app"}, TABLE: {"app"}}, Role("app"))
    assert around(found).open == (words,)
    assert around(found, "app").open == ()


def test_superusers_and_members_of_them_are_named() -> None:
    admin = Role("admin", superuser=True)
    deep = Role("deep", True, False, frozenset({"middle"}))
    middle = Role("middle", False, False, frozenset({"admin"}))
    assert around(access({}, admin, middle, deep)).open == (
        "admin is a superuser",
        "deep is a member of admin, which is a superuser",
    )


def test_a_role_that_can_not_log_in_any_more_may_still_have_a_session() -> None:
    nobody = Role("nobody", can_login=False)
    (why,) = around(access({"data": {"nobody"}}, nobody)).open
    assert why.startswith("nobody has MODIFY on ALL KEYSPACES (it has no LOGIN, but")
    member = Role("member", True, False, frozenset({"nobody"}))  # so that one is a group
    (why,) = around(access({"data": {"nobody"}}, nobody, member)).open
    assert why == "member is a member of nobody, which has MODIFY on ALL KEYSPACES"


def test_what_we_write_by_ourselves_is_not_taken_from_us() -> None:
    """A role of which both we and the application are members."""
    both = frozenset({"both"})
    app, shared = Role("app", True, False, both), Role("both", can_login=False)
    us = Role("us", True, False, both)
    found = Access(
        "us", {role.name: role for role in (us, app, shared)}, {TABLE: frozenset({"both"})}
    )
    why = "app is a member of both, which has MODIFY on t, as we have by it"
    assert around(found) == Fence("t", (), (why,), ("us",))


def test_members_of_each_other_end() -> None:
    ring = (Role("a", True, False, frozenset({"b"})), Role("b", True, False, frozenset({"a"})))
    assert around(access({TABLE: {"b"}}, *ring)) == Fence("t", ("b",), trusted=("us",))


def test_the_longest_node_is_waited_for() -> None:
    named = "CassandraAuthorizer"
    quick = {
        "authorizer.class_name": named,
        "permissions_validity": "2s",
        "write_request_timeout": "2000ms",
    }
    slow = {
        "authorizer": named,
        "permissions_validity_in_ms": "10000",
        "write_request_timeout_in_ms": "2000",
    }
    assert patience({"1": quick, "2": slow}) == (13, [])
    # A member of a group that it was taken out of writes as long as both are remembered.
    assert patience({"1": quick | {"roles_validity": "20s"}, "2": slow}) == (25, [])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (None, "can't be read"),
        ({"permissions_validity": "2s"}, "asks nobody"),
        ({"authorizer": "org.apache.cassandra.auth.AllowAllAuthorizer"}, "asks nobody"),
        ({"authorizer": "com.scylladb.auth.TransitionalAuthorizer"}, "asks nobody"),
    ],
)
def test_a_node_that_forbids_nothing_is_no_fence(
    settings: dict[str, str] | None, words: str
) -> None:
    _, (fault,) = patience({"10.0.0.1": settings})
    assert "10.0.0.1" in fault
    assert words in fault
