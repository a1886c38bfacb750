"""The rebuild of a table: into another shape, with its rows (docs/protocol.md 5 to 7).

    in place, with rows    Run drop nothing, Run create shadow, Run create indexes on it, Run create
                           and drop views on it, Copy, Verify, Run drop views, Run drop,
                           Run create, Run create indexes, Copy back, Verify, Run create views,
                           Await; and with keep_shadow 0 at once: Run drop shadow
    with a fence           Run revoke in front of the shadow, Run grant behind Copy back and Verify
    in place, no rows      Run drop views, Run drop, Run create, ...

What a server can refuse it is asked for first where nothing depends on it: the DROP of a table that
there isn't, and the indexes and views of the table on the empty shadow.
    into=NAME              Run create NAME, Copy, Verify: the old table stays as it is

Rows that the new shape can't hold, and values of columns that it doesn't take, go aside before the
old table is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from calldrop_migrate import commands
from calldrop_migrate.core import masks, names
from calldrop_migrate.core.carrying import (
    becomes_key,
    can_misfit,
    identity,
    left_behind,
    mapping,
    uncarried,
)
from calldrop_migrate.core.cql import Statement, quote, split
from calldrop_migrate.core.ddl import Effect, read
from calldrop_migrate.core.declared import describe, describe_index
from calldrop_migrate.core.directives import Rebuild
from calldrop_migrate.core.draft import Draft
from calldrop_migrate.core.operations import Copy, Pairs, Proof, Rows, Run, Verify, run
from calldrop_migrate.core.options import differences, map_as_cql, merged
from calldrop_migrate.core.refusals import indexed, triggers_in_the_way
from calldrop_migrate.core.rewriting import rewritten
from calldrop_migrate.core.schema import Extra, Table
from calldrop_migrate.core.widening import origin


def rebuild(draft: Draft, asked: Rebuild, create: Statement, effect: Effect) -> None:
    """Bring the existing table into the declared shape, with its rows."""
    source, target = draft.schema.table(effect.name), effect.table
    if target is None:  # no CREATE TABLE: said when the file was loaded
        return
    if source is None or source.base:
        what = "is a materialized view" if source else "is not there"
        hint = f"has somebody changed it by hand?  {commands.status()}"
        draft.fault(asked.place, f"{effect.name} is to be rebuilt, and {what}", hint)
        draft.add(Run(create, effect))
        return
    columns, faults = mapping(asked, source, target)
    draft.faults += faults
    if asked.into:
        _into(draft, asked, create, source, columns)
        return
    if source.name in draft.rebuilt:
        hint = "declare the last of the shapes, once: each rebuild copies all rows twice"
        draft.fault(asked.place, f"a second rebuild of {source.name} in one section", hint)
    draft.rebuilt.add(source.name)
    for message, hint in _in_the_way(draft, source, target):
        draft.fault(asked.place, message, hint)
    _in_place(draft, _made(create, source, target, columns), source, columns)


def _in_place(draft: Draft, create: Run, source: Table, columns: Pairs) -> None:
    target = create.effect.table
    assert target is not None
    filled = source.name in draft.filled
    if filled or (source.name in draft.facts.elder and source.name not in draft.made):
        draft.outages.append(source.name)
    draft.notes += _changed_options(draft, source, target)
    views, indexes = draft.schema.views_on(source.name), draft.schema.indexes_on(source.name)
    drop_views = [run(f"DROP MATERIALIZED VIEW {quote(v.name)}") for v in views]
    make_views = [run(describe(v)) for v in views]
    # On the empty table an index is complete at once, and stays so.
    make_indexes = [run(describe_index(i)) for i in indexes]
    drop = f"DROP TABLE {quote(source.name)}"
    if filled or views:
        draft.ask_to_drop()
    if not filled:
        draft.add(*drop_views, run(drop, Proof.EMPTY), create, *make_indexes, *make_views)
        return
    fence = draft.facts.fence(source.name)
    draft.add(*(fence.up() if fence else ()))
    shadow_name = names.shadow(target.name, draft.migration.number, draft.attempt)
    marked = becomes_key(source, target, columns) or bool(uncarried(source, columns))
    shadow = _created(draft, create, shadow_name, marked=marked)
    _try(draft, shadow, views, indexes)
    proof = _copy_out(draft, source, shadow, target, columns)
    draft.add(*drop_views, run(drop, proof), create, *make_indexes)
    back = identity(c.name for c in target.columns)
    at_once = draft.facts.keep_shadow == 0
    draft.add(Copy(shadow, target, back), Verify(shadow, target, back, final=at_once))
    draft.add(*(fence.away() if fence else ()))
    draft.add(*make_views)
    if at_once:
        draft.add(run(f"DROP TABLE {quote(shadow.name)}", Proof.VERIFIED))
    else:
        days = f"{draft.facts.keep_shadow:g} days"
        draft.notes.append(f"{shadow.name} stays for {days} as a second copy")


def _try(draft: Draft, shadow: Table, views: Iterable[Table], indexes: Iterable[Extra]) -> None:
    """Makes on the empty shadow what is to be made on the new table.

    So a server that has it disabled, or finds fault with it, says so while the old table is whole.
    An index stays, and with it what it refuses of the rows that come.
    """

    def named(name: str) -> str:
        return names.shadow(name, draft.migration.number, draft.attempt)

    for index in indexes:
        definition = json.dumps([shadow.name, *json.loads(index.definition)[1:]])
        tried = replace(index, name=named(index.name), definition=definition)
        draft.add(run(describe_index(tried), Proof.TRIED))
    tried_views = [replace(view, name=named(view.name), base=shadow.name) for view in views]
    draft.add(*(run(describe(v), Proof.TRIED) for v in tried_views))
    draft.add(*(run(f"DROP MATERIALIZED VIEW {quote(v.name)}") for v in tried_views))


def _into(draft: Draft, asked: Rebuild, create: Statement, source: Table, columns: Pairs) -> None:
    """The new shape under another name, beside the old table; what doesn't fit stays there."""
    name = asked.into or ""
    if draft.schema.table(name) is not None:
        hint = "into= makes a new table; without it the new shape takes the old table's place"
        draft.fault(asked.place, f"`into={name}`: there is a table {name} already", hint)
    shape = read(create).table
    assert shape is not None
    target = _created(draft, _made(create, source, shape, columns), name)
    if source.name not in draft.filled:
        return
    rows, fits, fit_columns = _selection(draft, source, target, columns)
    if rows is Rows.FITS:
        draft.notes.append(f"{source.name}: rows that do not fit {name} stay in it alone")
    draft.add(
        Copy(source, target, columns, rows, fits, fit_columns),
        Verify(source, target, columns, rows, fits, fit_columns),
    )


def _made(create: Statement, source: Table, target: Table, columns: Pairs) -> Run:
    """The declared table with the masks of the columns that go into it, unless it has its own."""
    kept = {}
    for into, selector in columns:
        here, there = source.column(origin(source, selector)), target.column(into)
        if here and there and here.mask and not there.mask and masks.can_be_written(here.mask):
            kept[into] = here.mask
    if not kept:
        return Run(create, read(create))
    return _as(create, rewritten(create, quote(target.name), masked=kept))


def _as(create: Statement, text: str) -> Run:
    """A statement that stands for one of a file."""
    (statement,) = split(text, create.place.file)
    return Run(replace(statement, place=create.place), read(statement), written=create)


def _created(draft: Draft, create: Run, name: str, *, marked: bool = False) -> Table:
    """The declared table under another name.

    Args:
        marked: with the column that keeps a row's own time and life. They can come from a cell that
            becomes part of the key, and a key has neither, or from one that is left behind.
    """
    column = f"{names.MARKER} boolean" if marked else ""
    made = _as(create.written or create.statement, rewritten(create.statement, quote(name), column))
    draft.add(made)
    assert made.effect.table is not None
    return made.effect.table


def _selection(
    draft: Draft, source: Table, target: Table, columns: Pairs
) -> tuple[Rows, Table | None, Pairs]:
    """The rows that a copy is about, and the shape that tells those that fit from the others."""
    if not can_misfit(source, target, columns):
        return Rows.ALL, None, ()
    told = draft.facts.set_aside or draft.facts.discard
    return (Rows.FITS if told else Rows.ALL), target, columns


def _copy_out(draft: Draft, source: Table, shadow: Table, target: Table, columns: Pairs) -> Proof:
    """Copies what is in the source into the shadow, or aside; gives the proof for its DROP."""
    left, facts = left_behind(source, columns), draft.facts
    rows, fits, fit_columns = _selection(draft, source, target, columns)
    proof = Proof.VERIFIED
    if left:
        draft.notes.append(f"{source.name}: the new shape does not take {', '.join(left)}")
    if facts.set_aside:
        if rows is Rows.FITS:
            draft.set_aside(source, None, Rows.MISFITS, fits, fit_columns)
        if left:
            draft.set_aside(source, left, rows, fits, fit_columns)
    elif facts.discard:
        proof = Proof.DISCARD if left or fits else Proof.VERIFIED
    elif left:
        draft.at_risk.append(source.name)
        proof = Proof.EMPTY
    draft.add(
        Copy(source, shadow, columns, rows, fits, fit_columns),
        Verify(source, shadow, columns, rows, fits, fit_columns, final=True),
    )
    return proof


# -- what else belongs to a table ------------------------------------------------------------------


def _in_the_way(draft: Draft, source: Table, target: Table) -> Iterator[tuple[str, str]]:
    """Yield what could not be made again over the new shape: views and indexes of the table; and a
    column that its shadow has no place for.
    """
    if target.column(names.MARKER) is not None:
        hint = f"call it something else:  NEW={names.MARKER}"
        yield f"{names.MARKER} is the name of a column that the tool's own copies have", hint
    for view in draft.schema.views_on(source.name):
        if why := _misses_view(view, target):
            hint = f"put  DROP MATERIALIZED VIEW {quote(view.name)};  before the rebuild"
            yield f"the view {view.name} can't stand over the new shape: {why}", hint
    for index in draft.schema.indexes_on(source.name):
        if missing := sorted(indexed(index, source) - {c.name for c in target.columns}):
            hint = f"put  DROP INDEX {quote(index.name)};  before the rebuild"
            what = f"the index {index.name} can't stand over the new shape"
            yield f"{what}: there is no {', '.join(missing)}", hint
    yield from triggers_in_the_way(draft.schema, source.name)
    if source.beyond:
        alter = f"ALTER TABLE {quote(source.name)}"
        hint = (
            f"take it away by hand (as by  {alter} TTL NULL;  or  {alter} ALTER column DROP CHECK;)"
            f" and set it again behind the rebuild, each time with  {commands.accept()}"
        )
        yield f"{source.name} has what a rebuilt table would not: {map_as_cql(source.beyond)}", hint
    for column in (c for c in source.columns if not masks.can_be_written(c.mask)):
        change = f"ALTER TABLE {quote(source.name)} ALTER {quote(column.name)}"
        hint = (
            f"put  {change} DROP MASKED;  before the rebuild, and  {change} MASKED WITH ...  behind"
        )
        yield f"the mask of {column.name} is kept by the server in a form that is no CQL", hint


def _misses_view(view: Table, target: Table) -> str:
    """Return why a view can't stand over a table; empty when it can."""
    have = {c.name for c in target.columns}
    needed = view.key if view.whole else [c.name for c in view.columns]
    if missing := [name for name in needed if name not in have]:
        return f"there is no {', '.join(missing)}"
    if missing := [name for name in target.key if name not in view.key]:
        return f"its key lacks {', '.join(missing)}"
    if len(view.key) > len(target.key) + 1:
        return "its key has more than one column besides the table's own key"
    return ""


def _changed_options(draft: Draft, source: Table, target: Table) -> Iterator[str]:
    """Options that change: what the new shape doesn't name gets the server's default.

    A table of the tool's own, which was made without options, shows what this server gives. What it
    really makes of the CREATE is told once it is there (`changed_by`).
    """
    ours = draft.schema.table(names.BOOKKEEPING[1])
    new = dict(ours.options if ours else source.options)
    declared = dict(target.options)
    options = {
        name: value if name in declared else new[name]
        for name, value in merged(target.options, source.options)
        if name in declared or name in new  # what a new table doesn't show is at its default
    }
    yield from changed_by(source, replace(target, options=tuple(options.items())))


def changed_by(source: Table, made: Table) -> Iterator[str]:
    """Yield what options a table has that is made in place of another one, where they differ."""
    before, after = (table.comparable()["options"] for table in (source, made))
    for line in differences(before, after, one_sided=True):
        yield f"{source.name}: {line}"
