"""Masked columns and triggers: part of the schema, and never copied in place of what they mask."""

from __future__ import annotations

from typing import Any

import pytest

from calldrop_migrate.cluster.access import sees_unmasked
from tests.support.cli import Cli
from tests.support.roles import as_role, listed
from tests.support.secured import Secured
from tests.support.told import ok, only, told
from tests.support.trigger import NAME

SHAPE = "CREATE TABLE users (id int, team text, mail text{}, pin int, PRIMARY KEY {})"
MASKED = SHAPE.format(" MASKED WITH DEFAULT", "(id)")
OUTAGE = ("--outage-accepted", "--yes")
REBUILD = f"""-- migrate:up
-- migrate:rebuild
{SHAPE.format("", "(team, id)")};
-- migrate:down
-- migrate:rebuild
{SHAPE.format("", "(id)")};
"""


@pytest.fixture
def users(cli: Cli, client: Any) -> str:
    """A table with a mask of its CREATE and one of an ALTER, and a row; its full name."""
    table = f"{cli.keyspace}.users"
    only(
        cli,
        r0001_users=f"""-- migrate:up
{MASKED};
ALTER TABLE users ALTER pin MASKED WITH mask_replace(-1);
-- migrate:down
ALTER TABLE users ALTER pin DROP MASKED;
DROP TABLE users;
""",
    )
    ok(cli("up"))
    client.execute(f"INSERT INTO {table} (id, team, mail, pin) VALUES (1, 'a', 'me@x.org', 77)")
    return table


def masks(client: Any, cli: Cli) -> dict[tuple[str, str], str]:
    """By table and column; the server keeps those of tables that are gone, too."""
    where = f"WHERE keyspace_name = '{cli.keyspace}'"
    there = {
        (row["table_name"], row["column_name"])
        for row in client.execute(f"SELECT * FROM system_schema.columns {where}")
    }
    rows = client.execute(f"SELECT * FROM system_schema.column_masks {where}")
    found = {(row["table_name"], row["column_name"]): row["function_name"] for row in rows}
    return {at: mask for at, mask in found.items() if at in there}


HAS = {("users", "mail"): "mask_default", ("users", "pin"): "mask_replace"}


@pytest.mark.thorough
@pytest.mark.usefixtures("users")
def test_masks_are_part_of_the_schema(cli: Cli, client: Any) -> None:
    assert "mail text MASKED WITH mask_default()" in ok(cli("show", "1", "--schema"))
    assert "pin int MASKED WITH mask_replace(-1)" in ok(cli("show", "1", "--schema"))
    ok(cli("verify"))
    ok(cli("diff", "1", "live"))
    client.execute(f"ALTER TABLE {cli.keyspace}.users ALTER mail DROP MASKED")
    told(cli("verify"), 5, "users: column mail: text masked with mask_default() -> text")
    ok(cli("repair", "--restore", "--yes"))
    ok(cli("verify"))
    assert masks(client, cli) == HAS


@pytest.mark.thorough
def test_a_rebuild_keeps_masks_and_values(cli: Cli, client: Any, users: str) -> None:
    """Also of the tables that hold the rows meanwhile and afterwards."""
    folder = cli.folder / "migrations"
    (folder / "0002_teams.cql").write_text(REBUILD, encoding="utf-8")
    (folder / "0003_pin.cql").write_text(
        "-- migrate:up\nALTER TABLE users DROP pin;\n"
        "-- migrate:down\nALTER TABLE users ADD pin int MASKED WITH mask_replace(-1);\n",
        encoding="utf-8",
    )
    shape = "mail text MASKED WITH mask_default(), pin int MASKED WITH mask_replace(-1)"
    assert cli("plan", "2").out.count(shape) == 2
    ok(cli("up", "2", *OUTAGE, "--keep-shadow", "7"))
    made = masks(client, cli)
    assert made.pop(("users", "mail")) == "mask_default"
    assert made.pop(("users", "pin")) == "mask_replace"
    assert {column for _, column in made} == {"mail", "pin"}  # the shadow's
    ok(cli("verify"))
    ok(cli("up", "3", "--set-aside", *OUTAGE))
    assert ("users__aside_0003_up_cells", "pin") in masks(client, cli)
    ok(cli("down", "1", "--set-aside", *OUTAGE, "--keep-shadow", "0"))
    ok(cli("verify"))
    assert HAS.items() <= masks(client, cli).items()
    row = client.execute(f"SELECT * FROM {users}").one()
    assert row == {"id": 1, "team": "a", "mail": "me@x.org", "pin": 77}


@pytest.mark.thorough
def test_masked_values_are_not_copied(cli: Cli, client: Any, users: str, role: str) -> None:
    """A role without UNMASK would read what masks them: known before anything runs."""
    (cli.folder / "migrations" / "0002_teams.cql").write_text(REBUILD, encoding="utf-8")
    for grant in listed("migrator", cli.keyspace, role):
        client.execute(grant)
    mine = as_role(cli, role)
    grant = f"GRANT UNMASK ON TABLE {users} TO {role};"
    words = ("users: mail, pin would be read masked", grant, "Nothing was changed.")
    told(mine("plan"), 7, *words, out=True)
    told(mine("up", *OUTAGE), 7, *words)
    told(mine("down", "base", "--set-aside", "--yes"), 7, "users: mail would be read masked", grant)
    ok(mine("verify"))
    # A resume, too, by who may not see them.
    stopped = cli.at("kill | before | COPY users TO users__", "up", *OUTAGE)
    assert stopped.code != 0
    told(mine("up", *OUTAGE), 7, *words[:2])
    client.execute(grant)
    shadow = next(table for table, _ in masks(client, cli) if "__0002" in table)
    told(mine("up", *OUTAGE), 7, f"GRANT UNMASK ON TABLE {cli.keyspace}.{shadow} TO {role};")
    ok(cli("abort", "--yes"))
    ok(mine("up", *OUTAGE))
    ok(mine("down", "1", *OUTAGE))
    assert client.execute(f"SELECT * FROM {users}").one()["mail"] == "me@x.org"
    assert masks(client, cli) == HAS


@pytest.mark.thorough
def test_masked_values_do_not_come_back_from_a_second_copy(
    cli: Cli, client: Any, users: str, role: str
) -> None:
    """Neither `repair` nor `clean` takes what masks a value for the value."""
    (cli.folder / "migrations" / "0002_teams.cql").write_text(REBUILD, encoding="utf-8")
    ok(cli("up", *OUTAGE, "--keep-shadow", "7"))
    for grant in listed("migrator", cli.keyspace, role):
        client.execute(grant)
    mine = as_role(cli, role)
    said = ok(mine("clean", "--keep-shadow", "0", "--yes"))
    assert "would be read masked" in said, said
    client.execute(f"DROP TABLE {users}")
    shadow = next(table for table, _ in masks(client, cli) if "__0002" in table)
    grant = f"GRANT UNMASK ON TABLE {cli.keyspace}.{shadow} TO {role};"
    told(mine("repair", "--restore", "--yes"), 7, "would be read masked", grant, "Nothing was")
    client.execute(grant)
    ok(mine("repair", "--restore", "--yes"))
    assert client.execute(f"SELECT * FROM {users}").one()["mail"] == "me@x.org"


@pytest.mark.thorough
@pytest.mark.usefixtures("users")
def test_a_mask_stays_on_a_column_that_gets_wider(cli: Cli, client: Any) -> None:
    """mask_replace keeps its argument by the type of the column: the server writes 0 as 0.0."""
    wide = SHAPE.format("", "(team, id)").replace("pin int", "pin bigint, size double")
    (cli.folder / "migrations" / "0002_wide.cql").write_text(
        f"-- migrate:up\n-- migrate:rebuild pin=CAST(pin AS bigint)\n{wide};\n"
        "ALTER TABLE users ALTER size MASKED WITH mask_replace(0);\n"
        "-- migrate:irreversible x\n",
        encoding="utf-8",
    )
    (cli.folder / "migrations" / "0003_again.cql").write_text(
        f"-- migrate:up\n-- migrate:rebuild\n{wide.replace('(team, id)', '(pin, id)')};\n"
        f"-- migrate:down\n-- migrate:rebuild\n{wide};\n",
        encoding="utf-8",
    )
    ok(cli("up", *OUTAGE))
    ok(cli("down", "2", *OUTAGE))
    ok(cli("up", *OUTAGE))
    ok(cli("verify"))
    assert masks(client, cli) == HAS | {("users", "size"): "mask_replace"}


@pytest.mark.thorough
def test_who_sees_what_is_masked(
    cli: Cli, client: Any, users: str, role: str, secured: Secured
) -> None:
    group = f"{role}_group"
    client.execute(f"CREATE ROLE {group}")
    cluster = secured.cluster(role)
    session = cluster.connect()

    def sees(who: str = role) -> bool:
        def query(cql: str, *_: object, **__: object) -> list[Any]:
            return list(session.execute(cql))

        client.execute(f"GRANT SELECT ON KEYSPACE {cli.keyspace} TO {role}")
        found = sees_unmasked(query, who, cli.keyspace, "users")
        assert found == (session.execute(f"SELECT mail FROM {users}").one()["mail"] == "me@x.org")
        return found

    try:
        assert not sees()
        for resource in (f"TABLE {users}", f"KEYSPACE {cli.keyspace}", "ALL KEYSPACES"):
            for who in (role, group):
                client.execute(f"GRANT {group} TO {role}")
                client.execute(f"GRANT UNMASK ON {resource} TO {who}")
                assert _soon(sees)
                client.execute(f"REVOKE UNMASK ON {resource} FROM {who}")
                assert _soon(lambda: not sees())
                client.execute(f"REVOKE {group} FROM {role}")
        client.execute(f"ALTER ROLE {role} WITH SUPERUSER = true")
        assert _soon(sees)
        client.execute(f"ALTER ROLE {role} WITH SUPERUSER = false")
    finally:
        cluster.shutdown()
        client.execute(f"DROP ROLE {group}")


def _soon(holds: Any) -> bool:
    """What nodes remember of permissions counts for a moment: the two answers may differ then."""
    import time

    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if holds():
                return True
        except AssertionError:
            pass
        time.sleep(0.2)
    return False


@pytest.mark.thorough
@pytest.mark.usefixtures("users")
def test_a_trigger_is_in_the_way_of_a_rebuild(cli: Cli, client: Any) -> None:
    client.execute(f"CREATE TRIGGER audit ON {cli.keyspace}.users USING '{NAME}'")
    told(cli("verify"), 5, "trigger audit on users: exists")
    ok(cli("repair", "--accept", "--yes"))
    path = cli.folder / "migrations" / "0002_teams.cql"
    path.write_text(REBUILD, encoding="utf-8")
    make, drop = f"CREATE TRIGGER audit ON users USING '{NAME}';", "DROP TRIGGER audit ON users;"
    accept = ("repair", "--accept", "--yes")
    first = "0002_teams.cql:2:1: the trigger audit on users ends with the table"
    told(cli("up", *OUTAGE), 4, first, drop, make, "calldrop-migrate repair --accept")
    client.execute(drop.replace("users", f"{cli.keyspace}.users"))
    ok(cli(*accept))
    ok(cli("up", *OUTAGE))
    client.execute(make.replace("users", f"{cli.keyspace}.users"))
    ok(cli(*accept))
    ok(cli("verify"))
    client.execute(drop.replace("users", f"{cli.keyspace}.users"))
    told(cli("verify"), 5, "trigger audit on users: is gone")
    told(cli("repair", "--restore", "--yes"), 5, make)
    client.execute(make.replace("users", f"{cli.keyspace}.users"))
    ok(cli("verify"))
    (cli.folder / "migrations" / "0003_end.cql").write_text(
        "-- migrate:up\nDROP TABLE users;\n-- migrate:irreversible x\n", encoding="utf-8"
    )
    done = ok(cli("up", "--discard-rows", *OUTAGE))
    assert "the trigger audit on users goes with the table" in done
