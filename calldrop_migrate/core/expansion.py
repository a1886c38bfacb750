"""One revision in one direction, expanded into operations.

A statement of a file becomes a Run; one that destroys gets in front of it what proves that it may.
A rebuild is no state machine: it is a list of operations like every other statement, only longer
(rebuilding.py). What the opposite direction set aside comes back at the end, when all tables have
their shape.

What is wrong in a file is collected and raised at once: `examine` does it for a whole folder before
a server is asked anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from calldrop_migrate.core import names, opposites
from calldrop_migrate.core.carrying import (
    can_misfit,
    identity,
    inexact,
    left_behind,
    shared_columns,
    uncopyable,
)
from calldrop_migrate.core.cql import Statement, quote, split
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.declared import describe
from calldrop_migrate.core.draft import Draft
from calldrop_migrate.core.files import Migration, Step
from calldrop_migrate.core.operations import Copy, Pairs, Proof, Rows, Run, Verify, run
from calldrop_migrate.core.plan import Attempt, Direction, Facts, steps_of
from calldrop_migrate.core.readding import cannot_return
from calldrop_migrate.core.rebuilding import rebuild
from calldrop_migrate.core.refusals import (
    free_index_name,
    lost_by_view,
    refusals,
    views_against,
)
from calldrop_migrate.core.rewriting import named
from calldrop_migrate.core.schema import Dropped, Schema, Table
from calldrop_migrate.errors import Fault, Irreversible, MigrationFileError

# More tables of one kind, for one table and revision, are not looked for.
_MOST_ASIDES = 99


def expand(
    migration: Migration, direction: Direction, attempt: UUID, before: Schema, facts: Facts
) -> Attempt:
    """One revision in one direction as operations, from the schema it begins at.

    Raises:
        Irreversible: it can't be taken back.
        MigrationFileError: what its file asks for can't be done to this schema.
    """
    if direction == "down" and migration.irreversible is not None:
        raise Irreversible(
            f"{migration.file} says that it can't be taken back: {migration.irreversible}",
            state="Nothing was changed.",
        )
    draft = Draft(migration, direction, attempt, facts, before)
    _fill(draft)
    if draft.faults:
        raise MigrationFileError((*draft.faults, *opposites.way_out(migration, direction)))
    if direction == "down" and migration.left:
        draft.notes += [
            f"down leaves {line} ({migration.partial})" for line in migration.left.lines
        ]
    # What a shadow gives back has come from the table before: it is no reason of its own.
    copies = [
        op
        for op in draft.operations
        if isinstance(op, Copy)
        and (before.table(op.source.name) or not names.is_internal(op.source.name))
    ]
    lost = (what for copy in copies for what in inexact(copy, element_times=facts.element_times))
    draft.notes += lost
    refusals = dict.fromkeys(
        [*draft.refusals, *(reason for copy in copies for reason in uncopyable(copy))]
    )
    return Attempt(
        *(attempt, migration, direction, tuple(draft.operations), before, draft.schema, facts),
        outages=tuple(dict.fromkeys(draft.outages)),
        at_risk=tuple(dict.fromkeys(draft.at_risk)),
        refusals=tuple(refusals),
        filled=frozenset(draft.filled),
        notes=tuple(dict.fromkeys(draft.notes)),
    )


def examine(migrations: Sequence[Migration]) -> tuple[tuple[Migration, ...], tuple[Fault, ...]]:
    """Return the revisions of a folder with what their ways down leave, and what is wrong in them:
    found by going up and back through it with rows in every table.
    """
    schema, faults, examined = Schema(""), set[Fault](), list[Migration]()
    for migration in migrations:
        begun, up = schema, _passed(migration, "up", schema)
        schema, found = _of_users(up.schema), up.faults
        left = None
        if migration.irreversible is None:
            down = _passed(migration, "down", schema)
            found = [*found, *down.faults]
            left = None if found else opposites.left(begun, schema, _of_users(down.schema))
        examined.append(replace(migration, left=left))
        faults |= {*found, *opposites.faults(examined[-1])}
    return tuple(examined), tuple(sorted(faults))


def _passed(migration: Migration, direction: Direction, schema: Schema) -> Draft:
    """Pass a revision with rows in every table."""
    facts = Facts(filled=frozenset(t.name for t in schema.tables), set_aside=True)
    draft = Draft(migration, direction, UUID(int=0), facts, schema)
    _fill(draft)
    return draft


def _of_users(schema: Schema) -> Schema:
    return replace(schema, tables=tuple(t for t in schema.tables if not names.is_internal(t.name)))


def declared_at(migrations: Sequence[Migration], number: int) -> Schema:
    """The schema that the files up to a revision declare, from nothing."""
    schema = Schema("")
    for migration in migrations[:number]:
        draft = Draft(migration, "up", UUID(int=0), Facts(), schema)
        _fill(draft)
        schema = draft.schema.owned()
    return schema


def _fill(draft: Draft) -> None:
    for step in steps_of(draft.migration, draft.direction):
        _step(draft, step)
    _bring_back(draft)
    for name in draft.perhaps_empty:
        draft.add(run(f"DROP TABLE {quote(name)}", Proof.EMPTY_ELSE_KEEP))


def _step(draft: Draft, step: Step) -> None:
    statement = step.statement
    effect = read(statement)
    written = statement if effect.unnamed else None
    if written:
        statement, effect = _named(draft, statement, effect)
    refused = [] if step.rebuild else list(refusals(draft.schema, effect, draft.facts.server))
    for message, hint in refused:
        draft.fault(statement.place, message, hint)
    if refused:  # what comes behind it finds the schema as if it weren't there
        return
    if effect.id:
        hint = "leave it out: each table that is made gets a new one"
        draft.fault(statement.place, f"{effect.name} is given an ID", hint)
    if step.rebuild:
        if effect.table and not step.rebuild.into:
            _bring_back(draft, effect.table)
        rebuild(draft, step.rebuild, statement, effect)
    elif effect.destroys:
        _destroy(draft, statement, effect)
    else:
        if (effect.verb, effect.kind) == ("drop", "type"):
            draft.refusals += [
                f"{table.name} keeps rows, and has columns of the type {effect.name}"
                for table in draft.schema.tables
                if names.is_internal(table.name) and table.has_type(effect.name)
            ]
        draft.add(Run(statement, effect, written=written))
        draft.notes += [
            f"{table}: what a DELETE of this file takes is gone for good; nothing brings it back"
            for table in effect.deletes
        ]
        if "default_time_to_live" in dict(effect.options) and effect.name in draft.filled:
            draft.notes.append(
                f"{effect.name}: rows already there keep the TTL they were written with"
            )


def _named(draft: Draft, statement: Statement, effect: Effect) -> tuple[Statement, Effect]:
    """A CREATE INDEX with a name: then it is known again, whichever names are taken."""
    (made,) = split(named(statement, free_index_name(draft.schema, effect)), statement.place.file)
    return replace(made, place=statement.place), read(made)


def _destroy(draft: Draft, statement: Statement, effect: Effect) -> None:
    """A statement that deletes: from an empty table, or after what it deletes went aside."""
    table, proof = draft.schema.table(effect.name), Proof.EMPTY
    lost = None
    if effect.verb == "alter" and table:
        lost = [c.name for c in table.columns if c.name in effect.drop]
        if not lost:  # DROP IF EXISTS of what isn't there
            draft.add(Run(statement, replace(effect, drop=())))
            return
    if table and table.name in draft.filled:
        if draft.facts.set_aside:
            if lost is None:
                draft.ask_to_drop()
            draft.set_aside(table, lost)
            proof = Proof.VERIFIED
        elif draft.facts.discard:
            proof = Proof.DISCARD
        else:
            draft.at_risk.append(table.name)
    if effect.drops_table:
        gone = draft.schema.triggers_on(effect.name)
        draft.notes += [f"the trigger {trigger.name} goes with the table" for trigger in gone]
    if table and lost:
        draft.notes += _for_ever(draft, table, lost)
    views = _made_room(draft, statement, effect) if lost else []
    draft.add(Run(statement, effect, proof))
    draft.add(*(run(describe(view)) for view in views))


def _for_ever(draft: Draft, table: Table, lost: Collection[str]) -> Iterator[str]:
    """Columns that the server won't take again once they are dropped."""
    for column in (c for c in table.columns if c.name in lost):
        gone = Dropped(column.name, column.type, column.kind)
        if why := cannot_return(draft.schema, table, column, gone, draft.facts.server):
            yield f"{table.name}.{quote(column.name)} can't be added again as it was: {why}"


def _made_room(draft: Draft, statement: Statement, effect: Effect) -> list[Table]:
    """Drops the views that keep a column from being dropped; gives them, to be made again."""
    views = views_against(draft.schema, effect, draft.facts.server)
    for view in views:
        if column := lost_by_view(view, effect.drop):
            hint = f"put  DROP MATERIALIZED VIEW {quote(view.name)};  before it"
            draft.fault(statement.place, f"the view {view.name} needs {quote(column)}", hint)
        draft.notes.append(
            f"{view.name} is dropped and built again: its readers see it incomplete until then"
        )
        if effect.name in draft.filled:
            draft.outages.append(view.name)
    draft.add(*(run(f"DROP MATERIALIZED VIEW {quote(view.name)}") for view in views))
    return views


# -- what was set aside comes back -----------------------------------------------------------------


def _bring_back(draft: Draft, becomes: Table | None = None) -> None:
    """Rows and values return to their tables: at the end of the section, when all have their shape.

    Args:
        becomes: what a table is about to be rebuilt into. Then only what has a place in it now and
            none afterwards returns: the rebuild takes it along.
    """
    for table in draft.schema.owned().tables:
        if table.base or (becomes and table.name != becomes.name):
            continue
        for cells, bring in ((False, _return_rows), (True, _return_cells)):
            for aside in _asides(draft, table, cells=cells):
                if becomes is None or (
                    _columns_back(aside, table) and not _columns_back(aside, becomes)
                ):
                    bring(draft, aside, table)


def _asides(draft: Draft, table: Table, *, cells: bool) -> list[Table]:
    """Return what the opposite direction set aside of a table, the latest first."""
    back = "down" if draft.direction == "up" else "up"
    number = draft.migration.number
    if not any(f"__aside_{number:04d}" in t.name for t in draft.schema.tables):
        return []
    made = [
        draft.schema.table(names.aside(table.name, number, back, cells=cells, nth=nth))
        for nth in range(_MOST_ASIDES, 0, -1)
    ]
    return [aside for aside in made if aside is not None]


def _columns_back(aside: Table, table: Table) -> Pairs:
    """The columns that bring an aside's rows back; none if one of them has no place."""
    columns = shared_columns(aside, table)
    keyed = set(table.key) <= {name for name, _ in columns}
    return columns if keyed and not left_behind(aside, columns) else ()


def _way_back(draft: Draft, aside: Table, table: Table) -> Pairs:
    """The columns that bring an aside's rows back; none, and a note, if one has no place."""
    columns = _columns_back(aside, table)
    if not columns:
        draft.notes.append(f"{aside.name} stays: {table.name} has no place for all of its columns")
    return columns


def _return_rows(draft: Draft, aside: Table, table: Table) -> None:
    """Rows return onto free keys: in a table made just now all are. The others stay aside."""
    columns, drop = _way_back(draft, aside, table), f"DROP TABLE {quote(aside.name)}"
    if not columns:
        return
    anew = table.name in draft.made
    fresh = anew and table.name not in draft.filled
    found = _second_copy(draft, table)
    made = _make_second_copy(draft, table) if anew and not found else None
    back = identity(c.name for c in table.columns)
    if not fresh or can_misfit(aside, table):
        also = _that_takes(found or made, table, columns)
        draft.add(Copy(aside, table, columns, Rows.FREE, also=also))
        draft.add(run(drop, Proof.EMPTY_ELSE_KEEP))
        if made:
            draft.add(Verify(made, table, back))
    elif made:
        draft.add(Copy(aside, made, columns), Verify(aside, made, columns, final=True))
        draft.add(Copy(made, table, back), Verify(made, table, back), run(drop, Proof.VERIFIED))
    else:
        draft.add(Copy(aside, table, columns), Verify(aside, table, columns, final=True))
        draft.add(run(drop, Proof.VERIFIED))


def _return_cells(draft: Draft, aside: Table, table: Table) -> None:
    """Values of a dropped column return to the rows that still are: none comes to life by them."""
    if columns := _way_back(draft, aside, table):
        also = _that_takes(_second_copy(draft, table), table, columns)
        draft.add(Copy(aside, table, columns, Rows.PRESENT, also=also))
        draft.add(run(f"DROP TABLE {quote(aside.name)}", Proof.EMPTY_ELSE_KEEP))


# A DROP that comes late takes the table, with all that has come back to it by then: its second copy
# must have that as well.


def _second_copy(draft: Draft, table: Table) -> Table | None:
    name = names.shadow(table.name, draft.migration.number, draft.attempt)
    return draft.schema.table(name)


def _make_second_copy(draft: Draft, table: Table) -> Table | None:
    if not draft.facts.keep_shadow or table.column(names.MARKER) is not None:
        return None
    name = names.shadow(table.name, draft.migration.number, draft.attempt)
    draft.add(run(describe(replace(table, name=name, options=()))))
    days = f"{draft.facts.keep_shadow:g} days"
    draft.notes.append(f"{name} stays for {days} as a second copy of what comes back")
    return draft.schema.table(name)


def _that_takes(copy: Table | None, table: Table, columns: Pairs) -> Table | None:
    """The second copy, unless its key was renamed since; it may lack columns that were added."""
    if copy is None or (copy.key, copy.partition_key) != (table.key, table.partition_key):
        return None
    return copy if set(copy.key) <= {name for name, _ in columns} else None
