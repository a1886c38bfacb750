"""The four operations. All that changes a database is a list of these, made here, run by one loop.

    Run(statement)                   one CQL statement
    Copy(source, target, columns)    rows with every cell's write time and remaining TTL
    Verify(source, target)           every source cell is in the target
    Await(view)                      built on every node

The rule that no row is lost is a property of such lists, `unproven`: each statement that destroys
comes after Verifys that cover all it destroys, or is run only once its table is proven empty or
that of which it is a copy is seen to be there, or the rows were told to be discarded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from calldrop_migrate.core.cql import Statement, split
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.names import MARKER, is_shadow
from calldrop_migrate.core.schema import Table
from calldrop_migrate.core.secrets import shown
from calldrop_migrate.core.widening import origin

# (column of the target, selector on the source): a column of the source by its name as it is,
# without quotes, and anything else is an expression in CQL.
Pairs = tuple[tuple[str, str], ...]


TOOL = "calldrop-migrate"  # instead of a file, of a statement that the tool wrote itself


class Proof(StrEnum):
    """The reason for which a statement that destroys may run, or what else one of the tool's own is
    for.
    """

    NONE = "nothing is destroyed"
    ASKS = "asks whether tables may be dropped here; none has this name"
    TRIED = "tried before anything is dropped"
    VERIFIED = "all its rows are verified elsewhere"
    EMPTY = "proven empty when it runs"
    EMPTY_ELSE_KEEP = "dropped if it is empty by then, else kept"
    COPY = "a copy of a table that is still there"
    DISCARD = "--discard-rows"


class Rows(StrEnum):
    """The rows of the source that an operation is about."""

    ALL = "all rows"
    FITS = "rows that fit"
    MISFITS = "rows that do not fit"
    FREE = "rows whose key is free, moved"
    PRESENT = "rows whose key is there, moved"

    @property
    def moved(self) -> bool:
        """Return whether a row leaves the source once it is in the target. What the target has of
        its key decides whether it goes there.
        """
        return self in (Rows.FREE, Rows.PRESENT)


@dataclass(frozen=True, slots=True)
class Run:
    """One CQL statement, what it does, and why it may.

    Attributes:
        originals: of a COPY: the tables, with their ids, that must still be there.
        fence: up or away, of what keeps writers from a table (fencing.py).
        written: the statement of a file for which this one stands: under another name, or with what
            the file leaves to the tool.
    """

    statement: Statement
    effect: Effect
    proof: Proof = Proof.NONE
    originals: tuple[tuple[str, UUID | None], ...] = ()
    fence: str = ""
    written: Statement | None = None

    @property
    def text(self) -> str:
        """Return what the journal keeps of it, and what is shown: without passwords."""
        return shown(self.statement)

    @property
    def is_our_own(self) -> bool:
        """Return whether the tool wrote the statement itself."""
        return self.statement.place.file == TOOL

    @property
    def names(self) -> tuple[str, ...]:
        """The objects whose digest tells whether it has happened."""
        return (self.effect.name,) if self.effect.name and self.effect.changes_schema else ()

    @property
    def label(self) -> str:
        """Its head, for people: CREATE TABLE call_records."""
        kind = {"view": "MATERIALIZED VIEW"}.get(self.effect.kind, self.effect.kind.upper())
        if self.effect.name and self.effect.verb in ("create", "alter", "drop", "truncate"):
            return f"{self.effect.verb.upper()} {kind} {self.effect.name}"
        return " ".join(self.text.split())[:60]


@dataclass(frozen=True, slots=True)
class Carried:
    """Rows of one table that are, or are proven to be, in another one: what Copy and Verify share.

    Attributes:
        columns: which of the target is filled from what of the source.
        fits: the shape by which FITS and MISFITS are told apart, and in which ALL must fit; None
            when every row fits whatever it holds.
        fit_columns: how a row of the source becomes one of `fits`.
    """

    source: Table
    target: Table
    columns: Pairs
    rows: Rows = Rows.ALL
    fits: Table | None = None
    fit_columns: Pairs = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that must be the same ones from begin to end."""
        return (self.source.name, self.target.name)

    @property
    def what(self) -> str:
        """Columns and rows, as the journal keeps them: all that decides which cells go where."""
        text = f"({_pairs(self.columns)}), {self.rows}"
        if self.fits is None:
            return text
        chosen = dict(self.fit_columns)
        key = [(name, chosen[name]) for name in self.fits.key if name in chosen]
        return f"{text} for KEY ({_pairs(key)})"


@dataclass(frozen=True, slots=True)
class Copy(Carried):
    """Rows from one table into another.

    Attributes:
        also: where rows are moved, a second copy of the target: gets what that gets, before it.
    """

    also: Table | None = None

    @property
    def head(self) -> str:
        """Return how its text begins, whichever rows it is about."""
        return f"COPY {self.source.name} TO {self.target.name} ({_pairs(self.columns)}), "

    @property
    def text(self) -> str:
        """Return what the journal keeps of it."""
        also = f" ALSO TO {self.also.name}" if self.also else ""
        return f"COPY {self.source.name} TO {self.target.name} {self.what}{also}"

    @property
    def label(self) -> str:
        """For people."""
        verb = "move" if self.rows.moved else "copy"
        return f"{verb} {self.source.name} to {self.target.name}: {self.rows}"


@dataclass(frozen=True, slots=True)
class Verify(Carried):
    """Proves that every cell of the source's rows is in the target (docs/protocol.md 6).

    Attributes:
        final: the last one before the source is dropped: reads at ALL.
        mends: what is missing is copied once more. Not where it may have been deleted since.
    """

    final: bool = False
    mends: bool = True

    @property
    def text(self) -> str:
        """Return what the journal keeps of it."""
        at = " AT ALL" * self.final + " AS IT IS" * (not self.mends)
        return f"VERIFY {self.source.name} IN {self.target.name} {self.what}{at}"

    @property
    def label(self) -> str:
        """For people."""
        return f"verify {self.source.name} in {self.target.name}: {self.rows}"


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until a materialized view is built on every node."""

    view: str

    @property
    def text(self) -> str:
        """Return what the journal keeps of it."""
        return f"AWAIT {self.view}"

    @property
    def names(self) -> tuple[str, ...]:
        """Nothing is changed by it."""
        return ()

    @property
    def label(self) -> str:
        """For people."""
        return f"wait until {self.view} is built on every node"


Operation = Run | Copy | Verify | Await


def static_pairs(source: Table, target: Table, columns: Pairs) -> Pairs:
    """The columns that are static on both sides: of a partition here, and of one there."""
    return tuple(
        (name, what)
        for name, what in columns
        for both in ((source.column(origin(source, what)), target.column(name)),)
        if all(column and column.kind == "static" for column in both)
    )


def holds_statics(source: Table, target: Table, columns: Pairs) -> list[str]:
    """The source's static columns that the target has a place for, whatever becomes of the rows:
    both are static, and each partition of the source has one in the target.
    """
    chosen = dict(columns)
    partition = {origin(source, chosen.get(name, "")) for name in target.partition_key}
    if not partition <= set(source.partition_key):
        return []
    return [origin(source, what) for _, what in static_pairs(source, target, columns)]


def _pairs(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(c if c == s else f"{c}={s}" for c, s in columns)


def run(cql: str, proof: Proof = Proof.NONE) -> Run:
    """A Run of a statement that the tool wrote itself."""
    (statement,) = split(cql, TOOL)
    return Run(statement, read(statement), proof)


def hash_of(operation: Operation) -> str:
    """Return what a resumed attempt compares: the same files must give the same operations
    again.
    """
    return hashlib.sha256(operation.text.encode()).hexdigest()[:16]


# -- the rule --------------------------------------------------------------------------------------


def unproven(operations: Sequence[Operation]) -> list[Run]:
    """The destroying statements whose rows nothing protects; empty for every plan that is right."""
    return [
        operation
        for operation, standing in _with_proofs(operations)
        if isinstance(operation, Run)
        and operation.effect.destroys
        and not _is_proven(operation.effect, operation.proof, standing.values())
    ]


def _drops_table(operation: Operation) -> bool:
    return isinstance(operation, Run) and operation.effect.drops_table


def is_replaced(operations: Sequence[Operation], index: int) -> bool:
    """Return whether an operation drops a table that a later one makes anew."""
    dropped, later = operations[index], operations[index:]
    if not _drops_table(dropped):
        return False
    made = (op.effect for op in later if isinstance(op, Run) and op.effect.makes_table)
    return any((effect.name,) == dropped.names for effect in made)


def incomplete(operations: Sequence[Operation], done: int) -> list[str]:
    """The tables that the first `done` operations have dropped, and that lack rows, indexes or
    views until later ones have made them anew.
    """
    dropped = [op.names[0] for op in operations[:done] if _drops_table(op)]
    left = {name for op in operations[done:] for name in _completes(op)}
    return [name for name in dict.fromkeys(dropped) if name in left]


def _completes(operation: Operation) -> set[str]:
    """The tables that lack something as long as an operation of the tool hasn't run."""
    match operation:
        case Copy(target=target) | Verify(target=target):
            return {target.name}
        case Run(effect=effect) if effect.makes_table:
            return {effect.name}
        case Run(effect=effect) if effect.verb == "create" and operation.is_our_own:
            base = effect.table.base if effect.table else ""
            return {base, effect.extra.table if effect.extra else ""}
    return set()


def proofs_of(operations: Sequence[Operation], index: int) -> list[int]:
    """Return where the Verifys stand that a destroying statement relies on: also one that may
    discard rows relies on them, for all others. All of them are of the table as that statement
    finds it.
    """
    operation, standing = list(_with_proofs(operations))[index]
    proofs = (Proof.VERIFIED, Proof.DISCARD)
    if not isinstance(operation, Run) or operation.proof not in proofs:
        return []
    return [at for at, verify in standing.items() if verify.source.name == operation.effect.name]


def _with_proofs(
    operations: Sequence[Operation],
) -> Iterator[tuple[Operation, dict[int, Verify]]]:
    """Each operation with the final Verifys before it that still hold, by where they stand.

    A final Verify covers the columns that it carries, of its rows, until something is written into
    the source again, or the source changes, or rows go from the table that holds the other copy.
    So each statement that destroys in a table needs Verifys of its own.
    """
    standing: dict[int, Verify] = {}
    for at, operation in enumerate(operations):
        yield operation, standing
        ended: set[int] = set()
        match operation:
            case Verify(final=True):
                standing = {**standing, at: operation}
            case Copy(source=source, target=target, rows=rows):
                ended = {at for at, v in standing.items() if v.source.name == target.name}
                if rows.moved:
                    ended |= {at for at, v in standing.items() if v.target.name == source.name}
            case Run(effect=effect):
                ended = {at for at, v in standing.items() if _ends(v, effect)}
        standing = {at: verify for at, verify in standing.items() if at not in ended}


def _ends(verify: Verify, effect: Effect) -> bool:
    """Return whether a statement ends what a Verify has proven."""
    of_table = effect.name if effect.kind == "table" else ""
    lessened = {of_table if effect.destroys else "", *effect.deletes}
    return verify.target.name in lessened or verify.source.name in {
        *(of_table, *effect.writes, *effect.deletes)
    }


def _is_proven(effect: Effect, proof: Proof, verified: Collection[Verify]) -> bool:
    if proof is not Proof.VERIFIED:
        return proof is not Proof.NONE
    of_table = [v for v in verified if v.source.name == effect.name]
    if not of_table:
        return False
    source = of_table[-1].source
    lost = effect.drop if effect.verb == "alter" else [c.name for c in source.columns]
    lost = [name for name in lost if name != MARKER or not is_shadow(source.name)]
    gone = {*source.key, *lost} & {c.name for c in source.columns}
    return all(_is_covered(column, of_table) for column in gone)


def _is_covered(column: str, verified: Sequence[Verify]) -> bool:
    """Return whether that column of each row is elsewhere, as it is or made wider: another
    expression over it isn't it.
    """
    holding = [v for v in verified if any(origin(v.source, s) == column for _, s in v.columns)]
    carried = (v for v in holding if v.rows is not Rows.MISFITS)
    if any(column in holds_statics(v.source, v.target, v.columns) for v in carried):
        return True  # it is carried by the partition, whichever of its rows fit
    fits, misfits = (
        {(v.fits, v.fit_columns) for v in holding if v.rows is rows}
        for rows in (Rows.FITS, Rows.MISFITS)
    )
    return any(v.rows is Rows.ALL for v in holding) or bool(fits & misfits)
