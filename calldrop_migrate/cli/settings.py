"""The settings as people know them: flags, variables, meanings, defaults. One list makes the flags
of every command, `calldrop-migrate help settings` and the tables of docs/settings.md.

What a setting's value may be is config.Settings' business; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

_IN = " " * 6
_SECONDS, _FILE, _DIR, _NAME = "SECONDS", "FILE", "DIR", "NAME"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        flags: as typer takes them, a switch with its opposite behind a slash; none: it has no flag.
        metavar: what stands for its value; empty for a switch.
        default: in words; empty where it is "off" or "none".
    """

    name: str
    kind: Any
    flags: tuple[str, ...]
    metavar: str
    help: str
    default: str = ""

    @property
    def typed(self) -> str:
        """Its flags with their value, for people."""
        shown = [flag for names in self.flags for flag in names.split("/") if flag]
        return f"{', '.join(shown)} {self.metavar}".strip()

    @property
    def meaning(self) -> str:
        """Its meaning and its default."""
        return f"{self.help} Default: {self.default}." if self.default else self.help


def _switch(name: str, text: str, default: str = "", *, no: bool = False) -> Setting:
    flag = f"--{name.replace('_', '-')}"
    off = f"--no-{flag.removeprefix('--')}" if no else ""
    return Setting(name, bool, (f"{flag}/{off}",), "", text, default)


def _value(
    name: str, kind: Any, metavar: str, text: str, default: str = "", *short: str
) -> Setting:
    flags = (*short, f"--{name.replace('_', '-')}")
    return Setting(name, kind, flags, metavar, text, default)


def _unflagged(name: str, text: str, default: str = "") -> Setting:
    return Setting(name, str, (), "", text, default)


_HOSTS = ("-H", "--hosts", "--contact-points")
CONNECTION = (
    Setting(
        "hosts",
        str,
        _HOSTS,
        "A,B,...",
        "The nodes to connect to: one is enough, the others are found.",
        "the embedded server, if it runs",
    ),
    _value("port", int, "PORT", "The CQL port of the nodes.", "9042"),
    _value("local_dc", str, _NAME, "The data centre to send requests to.", "the first node's"),
    _value("keyspace", str, _NAME, "The keyspace to work on.", "calldrop", "-k"),
    _value(
        "bookkeeping_keyspace",
        str,
        _NAME,
        "The keyspace that keeps lease and history.",
        "the keyspace itself",
    ),
    _value("username", str, _NAME, "The role to log in as."),
    _value("password_file", Path, _FILE, "A file with the role's password as its only line."),
    _unflagged(
        "password",
        "The role's password. There is no flag: everybody on a machine can read flags.",
        "asked for on a terminal",
    ),
    _switch("tls", "Encrypt connections."),
    _value(
        "tls_ca",
        Path,
        _FILE,
        "The CA that signs the servers' certificates. Turns TLS on.",
        "the system's CAs",
    ),
    _value("tls_cert", Path, _FILE, "The certificate to show to servers. Turns TLS on."),
    _value("tls_key", Path, _FILE, "The key of that certificate. Turns TLS on."),
    _switch("tls_hostname", "Check that a server's certificate names its address.", "on", no=True),
    _value("consistency", str, _NAME, "The consistency level for rows.", "LOCAL_QUORUM"),
    _value("wait", float, _SECONDS, "How long to wait for a server that is starting.", "0"),
    _value("ddl_timeout", float, _SECONDS, "How long one statement may take.", "30"),
)
FILES = (
    _value("profile", str, _NAME, "The profile of the configuration file to use."),
    _value("migrations", Path, _DIR, "The folder of the migration files.", "./migrations"),
    _switch("demo", "Use the CallDrop revisions that are part of this package."),
)
SEEDS = _value("seeds", Path, _DIR, "The folder of the seed modules.", "./seeds")
KEYSPACE = (
    _unflagged(
        "replication",
        "Copies in each data centre, of a keyspace that is created: dc1=3,dc2=2.",
        "datacenter1=3",
    ),
    _switch(
        "tablets", "Create the keyspace with tablets (ScyllaDB).", "as the server does", no=True
    ),
    _unflagged(
        "confirm",
        "Ask for the keyspace's name before anything is changed.",
        "true without a profile, else false",
    ),
)
MOST = _value(
    "max_rows_per_second", int, "N", "The most rows to read or write in a second.", "no limit"
)
WORKERS = _value("workers", int, "N", "The processes that carry rows.", "by the number of rows")
RUNS = (
    _value("wait_for_lease", float, _SECONDS, "How long to wait until another run has ended.", "0"),
    _value("lease_ttl", int, _SECONDS, "How long a run that crashed keeps other runs out.", "60"),
    _value(
        "settle_time",
        float,
        _SECONDS,
        "The wait after a crashed run before a table is dropped.",
        "ddl_timeout + lease_ttl / 4",
    ),
    _value("keep_shadow", float, "DAYS", "How long the old rows of a rebuild are kept.", "7"),
    _switch("repaired", "Tables are repaired: verify at LOCAL_QUORUM instead of ALL."),
    MOST,
    WORKERS,
    _value("dask", str, "TCP://...", "The Dask scheduler whose workers carry rows."),
    _switch("strict", "Refuse to run where the history is ahead of the folder."),
)
SECTIONS = {
    "Connection": CONNECTION,
    "Files": (*FILES, SEEDS),
    "Keyspace": KEYSPACE,
    "Runs": RUNS,
}
INTRODUCTION = (
    "A setting is given by a flag, by a variable or in the configuration file; the",
    "first of these that has it counts. The flag --local-dc is the variable",
    "CALLDROP_LOCAL_DC, and local_dc in calldrop-migrate.toml or, in pyproject.toml,",
    "below [tool.calldrop-migrate]. A table [profiles.NAME] there has what holds for",
    "--profile NAME alone. docs/settings.md says more.",
)


def page() -> Iterator[str]:
    """`calldrop-migrate help settings`, line by line."""
    yield from INTRODUCTION
    for title, settings in SECTIONS.items():
        yield ""
        yield f"{title}:"
        for setting in settings:
            yield f"  {setting.typed or f'{setting.name} (no flag)'}"
            yield from wrap(setting.meaning, 78, initial_indent=_IN, subsequent_indent=_IN)


def tables() -> Iterator[str]:
    """The tables of docs/settings.md, line by line."""
    for title, settings in SECTIONS.items():
        yield from (f"### {title}", "", "| Setting | Flag | Meaning |", "|---|---|---|")
        for setting in settings:
            flag = f"`{setting.typed}`" if setting.flags else "none"
            yield f"| `{setting.name}` | {flag} | {setting.meaning} |"
        yield ""
