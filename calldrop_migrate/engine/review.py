"""A plan with what a person has to know before it runs, and what keeps it from running.

A `Review` is what is shown, and what is made again, from fresh reads, once the lease is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from calldrop_migrate.core.plan import Attempt, Plan
from calldrop_migrate.core.preflight import Finding
from calldrop_migrate.core.schema import Schema
from calldrop_migrate.engine.estimating import Estimate
from calldrop_migrate.engine.history import Record
from calldrop_migrate.engine.misfits import Misfits
from calldrop_migrate.errors import (
    ConfigurationError,
    MisfitRows,
    RowsAtRisk,
    StatementRefused,
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """The permissions of the user, and what the keyspace should be like.

    Attributes:
        replication: of the keyspace, class included; used when it has to be made.
        tablets: whether ScyllaDB makes it with tablets; None leaves that to the server.
        scan: count misfits when planning.
        fence: keep writers from a table while it is rebuilt; `trusted` roles don't write.
        keep_shadow: days.
    """

    replication: Mapping[str, str]
    set_aside: bool = False
    discard: bool = False
    outage_accepted: bool = False
    keep_shadow: float = 7
    scan: bool = True
    strict: bool = False
    tablets: bool | None = None
    fence: bool = False
    trusted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Review:
    """A plan with what else has to be known before it runs.

    Attributes:
        uncounted: tables of which rows that don't fit were not looked for.
        unread: tables that rows are carried out of, or deleted from, and that were not counted.
        losses: what --discard-rows deletes for good in rebuilds, by attempt.
        findings: what a run would meet on this server.
        chores: what is done besides the plan's operations, to the bookkeeping alone.
        unreadable: what the server says where this role may not read what the plan will wait for.
        masked: why values would be copied as they are masked.
    """

    plan: Plan
    schema: Schema
    records: Mapping[int, Record]
    misfits: tuple[Misfits, ...] = ()
    uncounted: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    losses: Mapping[UUID, tuple[str, ...]] = field(default_factory=dict)
    estimates: tuple[Estimate, ...] = ()
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    chores: tuple[str, ...] = ()
    unreadable: StatementRefused | None = None
    masked: StatementRefused | None = None

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to do."""
        return self.plan.empty and not self.chores

    def same_work(self, other: Review) -> bool:
        """Return whether both come to the same, but for the keyspace, which is made in between."""
        plans = (replace(review.plan, keyspace=None) for review in (self, other))
        return self.chores == other.chores and next(plans).same_work(next(plans))

    @property
    def goes_on(self) -> bool:
        """Return whether the plan begins with what an earlier run left half-way."""
        return any(attempt.resumed for attempt in self.plan.attempts)

    def refuse_by_server(self, state: str) -> None:
        """Raises what the server would say to the plan, as far as that is known beforehand.

        Raises:
            ConfigurationError: keyspaces don't go with the server.
            StatementRefused: it would refuse a statement, or a permission is missing.
        """
        for kind, error in (("configuration", ConfigurationError), ("refused", StatementRefused)):
            found = [finding for finding in self.findings if finding.kind == kind]
            if found:
                raise error(
                    "\n".join(finding.message for finding in found),
                    state=state,
                    hint="\n".join(dict.fromkeys(f.hint for f in found if f.hint)),
                )
        if self.unreadable:
            self.unreadable.state = state
            raise self.unreadable

    @property
    def rebuilds_rows(self) -> bool:
        """Return whether the rebuild of a table with rows is begun: always asked about."""
        begun = [a for a in self.plan.attempts if not a.resumed]
        return any(table in a.facts.filled for a in begun for table in a.outages)

    def refuse(self) -> None:
        """Raises what keeps the plan from being run under the flags that were given.

        Raises:
            StatementRefused: values would be copied masked.
            ConfigurationError, StatementRefused: see `refuse_by_server`. What is half-way is
                finished first, whatever the server would say to what comes after it: a table may
                be incomplete until then.
            MisfitRows: rows that don't fit, and no --set-aside or --discard-rows.
            RowsAtRisk: rows that can't be copied, or that a statement would delete; an outage that
                wasn't accepted.
        """
        attempts = self.plan.attempts
        if self.masked:
            self.masked.state = "Nothing was changed."
            raise self.masked
        if not self.goes_on:
            self.refuse_by_server("Nothing was changed.")
        refused = [(a, reason) for a in attempts if not a.done for reason in a.refusals]
        if refused:
            attempt = refused[0][0]
            reasons = _lines(reason for a, reason in refused if a is attempt)
            raise RowsAtRisk(
                f"{attempt.label}, {attempt.direction}: the rows that there are stand in its"
                f" way:{reasons}",
                state="Nothing was changed.",
                hint=(
                    "Such a table can be rebuilt or dropped while it is empty, or dropped with"
                    " --discard-rows."
                ),
            )
        misfits = [m for m in self.misfits if m.count]
        if any(a.facts.set_aside or a.facts.discard for a in attempts):
            misfits = []
        problems = [(_misfit_lines(m), _KEEP_OR_DELETE) for m in misfits]
        problems += [
            (
                f"{a.label}, {a.direction}: {table} has rows, and they would be deleted",
                _KEEP_OR_DELETE,
            )
            for a in attempts
            for table in a.at_risk
        ]
        outages = [(a, table) for a in attempts for table in a.outages]
        problems += [
            (
                f"{a.label}, {a.direction}: {fence.table} can't be fenced:" + _lines(fence.open),
                _OPEN,
            )
            for a in attempts
            if not a.resumed
            for fence in a.facts.fences
            if fence.open
        ]
        problems += [
            (f"{a.label}, {a.direction}: {_meets(a, table)}", hint)
            for a, table in outages
            if not a.facts.outage_accepted
            for hint in (
                "Add --outage-accepted."
                if a.is_view(table)
                else "Stop the writers, then add --outage-accepted.",
            )
        ]
        if problems:
            raise (MisfitRows if misfits else RowsAtRisk)(
                "\n".join(what for what, _ in problems),
                state="Nothing was changed.",
                hint="\n".join(dict.fromkeys(hint for _, hint in problems)),
            )


_OPEN = (
    "Take that permission from them, or say of each that doesn't write:  --no-writer ROLE\n"
    "Or stop the writers, and leave --fence out."
)


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"\n    {text}" for text in texts)


def _meets(attempt: Attempt, table: str) -> str:
    """Return what an outage is for others."""
    if attempt.is_view(table):
        return f"{table} is dropped and built again, and its readers see it incomplete until then"
    rebuilt = f"while {table} is rebuilt"
    if attempt.facts.fence(table):
        return f"{rebuilt}, writers are refused, and readers see it incomplete for a part of that"
    return f"{rebuilt}, readers see it incomplete, and what is written to it is lost"


_KEEP_OR_DELETE = (
    "--set-aside keeps such rows in a table beside, and the opposite direction brings them back; "
    "--discard-rows deletes them."
)


def _misfit_lines(misfits: Misfits) -> str:
    what = []
    if misfits.nulls:
        what.append(f"{misfits.nulls:,} rows have a null in a column that becomes part of the key")
    if misfits.refused:
        what.append(f"{misfits.refused:,} rows would have a key that the server refuses")
    if misfits.collisions:
        what.append(
            f"{misfits.collisions:,} rows share their key in the new shape with a newer row"
        )
    shown = "".join(f"\n      {example}" for example in misfits.examples)
    more = misfits.count - len(misfits.examples)
    return f"{misfits.table}: {'; '.join(what)}{shown}" + (
        f"\n      ... {more:,} more" if more > 0 else ""
    )
