"""Finds what a server would refuse of a plan, before anything runs.

A statement that is refused in the middle of a plan leaves a keyspace half-way. What ScyllaDB and
Cassandra refuse by their settings, and what ScyllaDB can't do on tablets in this version, can be
known beforehand. The rules are those of ScyllaDB's sources:

    windows   default_time_to_live / window may not exceed twcs_max_window_count, of any node
    tablets   conditional writes, which lease and history are made of, from 2025.4 on
              views: in 2025.1 to 2025.3 as an experiment; in 2025.4 with rf_rack_valid_keyspaces;
              later on a keyspace that has, in each data centre, one copy or one on each rack
              counters from 2026.1 on, CDC from 2025.4 on
    views     on Cassandra where materialized_views_enabled is true on every node
    masks     on Cassandra where dynamic_data_masking_enabled is true on every node

Versions are told by the features that all nodes have: every role can read those. A setting that
can't be read is taken for what the server's packages have, and then it is a warning, no refusal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from calldrop_migrate.core.cql import literal
from calldrop_migrate.core.demands import Demand, Windows

MOST_WINDOWS = 50  # twcs_max_window_count where nobody has set it
Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Placement:
    """The placement of a keyspace's rows.

    Attributes:
        tablets: None where that isn't known.
        rack_lists: data centres whose copies are placed on racks by name.
    """

    tablets: bool | None = False
    replication: Mapping[str, str] = field(default_factory=dict)
    rack_lists: frozenset[str] = frozenset()
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Server:
    """The properties of a server that a plan can depend on.

    Attributes:
        name: which server, with its version where that is known.
        racks: data centre -> number of its racks.
        settings: each node's, by its address; None where they can't be read.
        features: of ScyllaDB, those that every node has.
        keyspaces: those that were asked about, and exist.
    """

    scylla: bool
    name: str
    racks: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Settings | None] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    keyspaces: Mapping[str, Placement] = field(default_factory=dict)

    def setting(self, name: str) -> str | None:
        """A setting of the first node that tells it."""
        return next((s[name] for s in self.settings.values() if s and name in s), None)

    def made(self, replication: Mapping[str, str], tablets: bool | None) -> Placement:
        """Return how a keyspace would be placed that is made now; `tablets` as asked for, if at
        all.
        """
        if "TABLETS" not in self.features or not _by_networks(replication):
            tablets = False
        mode = self.setting("tablets_mode_for_new_keyspaces")
        if tablets is None and mode in ("enabled", "enforced", "disabled"):
            tablets = mode != "disabled"
        elif tablets is None and (default := self.setting("enable_tablets")) is not None:
            tablets = default == "true"
        return Placement(tablets, replication, exists=False)


def _by_networks(replication: Mapping[str, str]) -> bool:
    return replication.get("class", "").endswith("NetworkTopologyStrategy")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a run would meet.

    Attributes:
        kind: refused: the server would refuse a statement. configuration: how keyspaces are, or
            are asked to be, doesn't go with this server. warning: it may be refused.
        hint: what to do about it.
    """

    kind: Literal["refused", "configuration", "warning"]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """The keyspaces in which a plan works.

    Attributes:
        keyspace, data: the migrated keyspace, and how its rows are placed.
        bookkeeping: how those of the tool's own tables are, where these are still to be made.
        tablets: as asked for.
    """

    keyspace: str
    data: Placement
    bookkeeping: Placement | None = None
    tablets: bool | None = None


def examine(asked: Sequence[Demand], places: Places, server: Server) -> tuple[Finding, ...]:
    """Return what a run of a plan that asks for this would meet."""
    if not server.scylla:
        return tuple(f for demand in asked for f in _disabled(demand, server))
    found = [finding for demand in asked for finding in _windows(demand, server)]
    if not (places.data.exists and (places.bookkeeping or places.data).exists):
        found += _keyspaces(places, server)
    if places.bookkeeping and places.bookkeeping.tablets is not False:
        found += _conditional(places, places.bookkeeping, server)
    if places.data.tablets is not False:
        found += [f for demand in asked for f in _on_tablets(demand, places, server)]
    return tuple(dict.fromkeys(found))


# What Cassandra has by settings alone: what it is, and their names, the newest first.
_BY_SETTING = {
    "view": ("materialized views", ("materialized_views_enabled", "enable_materialized_views")),
    "mask": ("masks", ("dynamic_data_masking_enabled",)),
}


def _disabled(demand: Demand, server: Server) -> Iterator[Finding]:
    what, names = _BY_SETTING.get(demand.kind, ("", ()))
    nodes = [
        address
        for address, settings in server.settings.items()
        if settings and any(settings.get(name) == "false" for name in names)
    ]
    if nodes:
        yield Finding(
            "refused",
            f"{demand.where}: {what} are disabled on {', '.join(nodes)}",
            f"Set {names[0]}: true in cassandra.yaml on each node, restart it,"
            " then run the same command again.",
        )


# -- windows ---------------------------------------------------------------------------------------


def _windows(demand: Demand, server: Server) -> Iterator[Finding]:
    windows = demand.windows
    if windows is None:
        return
    allowed = {address: _most_windows(s) for address, s in server.settings.items()}
    less = {a: most for a, most in allowed.items() if most and windows.count > most}
    unread = [address for address, most in allowed.items() if most is None]
    what = f"{demand.where}: {windows}"
    if less:
        said = ", ".join(f"{address} allows {most}" for address, most in less.items())
        hint = _ways_out(demand, windows, less)
        yield Finding("refused", f"{what}; {said} (twcs_max_window_count)", hint)
    elif unread and windows.count > MOST_WINDOWS:
        said = f"what {', '.join(unread)} allows can't be read (twcs_max_window_count)"
        hint = _ways_out(demand, windows, dict.fromkeys(unread, MOST_WINDOWS))
        yield Finding("warning", f"{what}; {said}, and {MOST_WINDOWS} is what it has unset", hint)


def _most_windows(settings: Settings | None) -> int | None:
    """Return what a node allows, 0 for any number; None where that can't be read."""
    value = (settings or {}).get("twcs_max_window_count", "")
    return int(value) if value.isdigit() else None


def _ways_out(demand: Demand, windows: Windows, most: Mapping[str, int]) -> str:
    enough = str(max(100, windows.count))
    at = f" in {demand.place}" if demand.place else ""
    raise_it = (
        f"UPDATE system.config SET value = {literal(enough)} WHERE name = 'twcs_max_window_count'"
    )
    each = "".join(f'\n  cqlsh {address} -e "{raise_it}"' for address in most)
    return (
        f"Either let it, on each node by itself:{each}\n"
        "and, so that it lasts when they start again, in each scylla.yaml:\n"
        f"  twcs_max_window_count: {enough}\n"
        f"or make the windows larger{at}:\n"
        f"  'compaction_window_size': {windows.smallest(min(most.values()))},"
        f" 'compaction_window_unit': {literal(windows.unit)}"
    )


# -- tablets ---------------------------------------------------------------------------------------


def _keyspaces(places: Places, server: Server) -> Iterator[Finding]:
    """Yield what making the keyspaces that are not there would meet."""
    enforced = server.setting("tablets_mode_for_new_keyspaces") == "enforced"
    none = "this cluster makes no keyspace without tablets (tablets_mode_for_new_keyspaces)"
    if enforced and not places.data.exists and places.tablets is False:
        yield Finding(
            "configuration",
            f"tablets = false: {places.keyspace} is still to be made, and {none}",
            "Leave tablets out of the configuration.",
        )
    apart = places.bookkeeping is not None and places.bookkeeping is not places.data
    if enforced and apart and places.bookkeeping and not places.bookkeeping.exists:
        yield Finding(
            "configuration",
            f"the bookkeeping keyspace is made without tablets, and {none}",
            "Make it yourself, or leave bookkeeping_keyspace out of the configuration.",
        )
    if (
        not places.data.exists
        and places.data.tablets
        and server.setting("rf_rack_valid_keyspaces") == "true"
    ):
        for fault in _rack_faults(places.data, server):
            yield Finding(
                "configuration",
                f"{fault}, and this cluster makes no such keyspace (rf_rack_valid_keyspaces)",
                f"Choose another replication factor, or:\n{_without_tablets(places)}",
            )


def _conditional(places: Places, bookkeeping: Placement, server: Server) -> Iterator[Finding]:
    if "LWT_WITH_TABLETS" in server.features:
        return
    hint = f'Keep them elsewhere:  bookkeeping_keyspace = "{places.keyspace[:30]}_migrations"'
    hint += f"\nor:  {_without_tablets(places)}"
    yield _unless_unknown(
        bookkeeping,
        f"{places.keyspace} is on tablets, and {server.name} has no conditional writes"
        " there (LWT): lease and history, which the tool keeps in it, are made of them",
        hint,
    )


def _on_tablets(demand: Demand, places: Places, server: Server) -> Iterator[Finding]:
    """Yield what can't be on tablets, or not on these."""
    reasons: list[str] = []
    match demand.kind:
        case "view" | "index":
            what = "materialized views" + ", and so indexes," * (demand.kind == "index")
            reasons += _against_views(what, places, server)
            if _needs_rack_setting(server):
                unread = [address for address, s in server.settings.items() if s is None]
                if unread and not reasons:
                    yield Finding(
                        "warning",
                        f"{demand.where}: on tablets it needs rf_rack_valid_keyspaces: true, which"
                        f" can't be read of {', '.join(unread)}",
                    )
        case "counter" if "COUNTERS_WITH_TABLETS" not in server.features:
            reasons.append(f"{server.name} has no counters there")
        case "cdc" if "CDC_WITH_TABLETS" not in server.features:
            reasons.append(f"{server.name} has no change log (CDC) there")
    for reason in reasons:
        yield _unless_unknown(
            places.data,
            f"{demand.where}: {places.keyspace} is on tablets, and {reason}",
            _without_tablets(places),
        )


def _needs_rack_setting(server: Server) -> bool:
    """2025.4 looks at the setting, later ones look at the keyspace."""
    features = server.features
    views = {"VIEWS_WITH_TABLETS", "LWT_WITH_TABLETS"} <= features
    return views and "COUNTERS_WITH_TABLETS" not in features


def _against_views(what: str, places: Places, server: Server) -> Iterator[str]:
    features = server.features
    if "VIEWS_WITH_TABLETS" not in features:
        if "TABLET_MERGE" in features:  # 2025.1; before it nothing was looked at
            yield f"{server.name} has no {what} there"
    elif _needs_rack_setting(server):
        off = [
            address
            for address, settings in server.settings.items()
            if settings and settings.get("rf_rack_valid_keyspaces") == "false"
        ]
        if off:
            nodes = ", ".join(off)
            yield f"{what} need rf_rack_valid_keyspaces: true there, which {nodes} hasn't"
    elif "COUNTERS_WITH_TABLETS" in features:
        yield from (
            f"{what} need a copy on each rack: {f}" for f in _rack_faults(places.data, server)
        )


def _rack_faults(placement: Placement, server: Server) -> Iterator[str]:
    """Data centres that have neither one copy nor one on each rack.

    From 2026.1 on a cluster that wants racks counted chooses as many as there are copies itself.
    """
    chooses = "RACK_LIST_RF" in server.features and "true" in (
        server.setting("rf_rack_valid_keyspaces"),
        server.setting("enforce_rack_list"),
    )
    for dc, factor in placement.replication.items():
        if dc in placement.rack_lists or not factor.isdigit() or int(factor) < 2:
            continue
        for name, racks in server.racks.items():
            if dc not in (name, "replication_factor") or int(factor) == racks:
                continue
            if not (chooses and not placement.exists and int(factor) < racks):
                yield f"{name} has {factor} copies and {racks} rack{'s' * (racks != 1)}"


def _unless_unknown(placement: Placement, message: str, hint: str) -> Finding:
    """A keyspace that is still to be made may come to be on tablets: that isn't known if no node
    tells its settings.
    """
    if placement.tablets is None:
        return Finding("warning", f"if it is made with tablets, as most are: {message}", hint)
    return Finding("configuration", message, hint)


def _without_tablets(places: Places) -> str:
    if places.data.exists:
        return (
            "A keyspace can't leave tablets: make it anew, with  AND tablets = {'enabled': false}"
        )
    return "Make it without tablets:  tablets = false  in the configuration, or --no-tablets"


def as_text(value: str) -> str:
    """A value of system.config, which is JSON, as it is written in a configuration."""
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return str(read).lower() if isinstance(read, bool) else str(read)
