"""A database in miniature, and migrations for it: what test_operations.py runs plans on.

The model executes operations on rows in memory and keeps account of every cell. It knows nothing of
proofs: whether a plan was right shows in what is left. Migrations are drawn as real CQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from hypothesis import strategies as st

from calldrop_migrate.core.files import Migration, load
from calldrop_migrate.core.names import is_never
from calldrop_migrate.core.operations import (
    Await,
    Copy,
    Operation,
    Pairs,
    Proof,
    Rows,
    Run,
    Verify,
    proofs_of,
)
from calldrop_migrate.core.schema import Column, Table

# A value, and the number of the cell: what was written once keeps its number wherever it is copied.
Cell = tuple[object, int]
Row = dict[str, Cell]
Key = tuple[object, ...]


class Refused(Exception):
    """The runner would stop here; nothing is lost by that."""


@dataclass
class World:
    """Tables with rows. `lost` are cells that are nowhere any more, and were not told to go."""

    tables: dict[str, Table] = field(default_factory=dict)
    rows: dict[str, dict[Key, Row]] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def cells(self) -> set[int]:
        return {n for rows in self.rows.values() for row in rows.values() for _, n in row.values()}

    @property
    def lost(self) -> set[int]:
        return self.wanted - self.cells()

    def insert(self, name: str, values: Mapping[str, object]) -> None:
        before = self.cells()
        row = {c: (v, next(self.numbers)) for c, v in values.items() if v is not None}
        self._put(name, row)
        self.wanted -= before - self.cells()  # overwritten
        self.wanted |= {n for _, n in row.values()}

    def _put(self, name: str, row: Row) -> None:
        key = tuple(row[c][0] for c in self.tables[name].key)
        self.rows[name].setdefault(key, {}).update(row)

    def adopt_computed(self) -> None:
        """Makes what an expression filled data like any other from now on."""
        for rows in self.rows.values():
            for row in rows.values():
                for column, (value, number) in row.items():
                    if not number:
                        row[column] = (value, next(self.numbers))
                        self.wanted.add(row[column][1])

    # -- the four operations

    def execute(self, operations: Sequence[Operation]) -> None:
        for index, operation in enumerate(operations):
            match operation:
                case Run():
                    for at in proofs_of(operations, index):
                        proof = operations[at]
                        assert isinstance(proof, Verify)
                        assert proof.source.same_rows_as(self.tables[proof.source.name])
                    self._run(operation)
                case Copy():
                    self._copy(operation)
                case Verify():
                    self._verify(operation)
                case Await(view):
                    assert view in self.views
            assert not self.lost, f"{operation.text} loses {self.lost}"

    def _run(self, operation: Run) -> None:
        effect, name = operation.effect, operation.effect.name
        if (
            effect.destroys
            and operation.proof in (Proof.EMPTY, Proof.EMPTY_ELSE_KEEP)
            and self.rows.get(name)
        ):
            if operation.proof is Proof.EMPTY:
                raise Refused(operation.text)
            return
        before = self.cells()
        for table in effect.deletes:
            self.rows[table].clear()
            self.wanted -= before - self.cells()
        match effect.verb, effect.kind:
            case "create", "table":
                assert name not in self.tables, f"{name} is there already"
                assert effect.table is not None
                self.tables[name], self.rows[name] = effect.table, {}
            case "create", "view":
                assert effect.table is not None
                assert set(effect.table.key) <= {
                    c.name for c in self.tables[effect.table.base].columns
                }
                self.views[name] = effect.table.base
            case "drop", "view":
                del self.views[name]
            case "drop", "table" if is_never(name):
                assert name not in self.tables
            case "drop", "table":
                assert name not in self.views.values(), f"{name} has views"
                del self.tables[name], self.rows[name]
            case "truncate", "table":
                self.rows[name].clear()
            case "alter", "table":
                self._alter(name, effect.add, effect.drop)
            case "write", "table":
                for table in effect.writes:
                    self.insert(table, dict.fromkeys(self.tables[table].key, 0))
        if operation.proof is Proof.DISCARD:
            self.wanted -= before - self.cells()

    def _alter(self, name: str, add: Sequence[Column], drop: Sequence[str]) -> None:
        kept = [c for c in self.tables[name].columns if c.name not in drop]
        self.tables[name] = replace(self.tables[name], columns=(*kept, *add))
        for row in self.rows[name].values():
            for column in drop:
                row.pop(column, None)

    def _become(self, row: Row, columns: Pairs) -> Row:
        """A row as the SELECT of a copy gives it; what is computed is a new cell, that nobody
        wants.
        """
        made = {}
        for name, selector in columns:
            if selector in row:
                made[name] = row[selector]
            elif "(" in selector:
                read = selector.removesuffix(")").partition("(")[2]
                if read in row:
                    made[name] = ((selector, row[read][0]), 0)
        return made

    def _fitting(self, operation: Copy | Verify) -> dict[Key, bool]:
        """For each key of the source, whether its row fits: the newest of those that want one key
        does.
        """
        rows, fits = self.rows[operation.source.name], operation.fits
        if fits is None:
            return dict.fromkeys(rows, True)
        groups: dict[Key, list[Key]] = {}
        for key, row in rows.items():
            groups.setdefault(_key(self._become(row, operation.fit_columns), fits), []).append(key)
        newest = {
            max(keys, key=lambda k: max(n for _, n in rows[k].values()))
            for wanted, keys in groups.items()
            if None not in wanted
        }
        return {key: key in newest for key in rows}

    def _chosen(self, operation: Copy | Verify) -> list[tuple[Key, Row]]:
        for table in (operation.source, operation.target):
            real = self.tables[table.name]
            assert table.same_rows_as(real), f"{operation.text}: that is not {real}"
        fitting = self._fitting(operation)
        if operation.rows is Rows.ALL and not all(fitting.values()):
            raise Refused(operation.text)
        if operation.rows in (Rows.FITS, Rows.MISFITS):
            fitting = {k: fit for k, fit in fitting.items() if fit is (operation.rows is Rows.FITS)}
        rows = self.rows[operation.source.name]
        return [(key, rows[key]) for key in fitting]

    def _copy(self, operation: Copy) -> None:
        source, target = operation.source.name, operation.target
        for key, row in self._chosen(operation):
            made = self._become(row, operation.columns)
            wanted = _key(made, target)
            if not operation.rows.moved:
                assert None not in wanted, f"{operation.text}: a null for the key"
                self._put(target.name, made)
                continue
            there = self.rows[target.name].get(wanted)
            if there is None and operation.rows is Rows.FREE and None not in wanted:
                for table in filter(None, (operation.also, target)):
                    self._put(table.name, made)
            elif there is not None and operation.rows is Rows.PRESENT:
                for column, cell in made.items():
                    there.setdefault(column, cell)
            there = self.rows[target.name].get(wanted, {})
            same = [c for c in made if c not in target.key]
            if there and all(there.get(c) == made[c] for c in same):
                self.wanted -= {made[c][1] for c in target.key} - self._except(source, key)
                del self.rows[source][key]

    def _except(self, name: str, key: Key) -> set[int]:
        """All cells but those of one row."""
        return {
            n
            for table, rows in self.rows.items()
            for at, row in rows.items()
            if (table, at) != (name, key)
            for _, n in row.values()
        }

    def _verify(self, operation: Verify) -> None:
        for _, row in self._chosen(operation):
            made = self._become(row, operation.columns)
            there = self.rows[operation.target.name].get(_key(made, operation.target), {})
            assert all(there.get(c, (None, -1))[1] == n for c, (_, n) in made.items()), (
                operation.text
            )


def _key(row: Row, table: Table) -> Key:
    return tuple(row[c][0] if c in row else None for c in table.key)


# --- generated migrations: real CQL, from the shapes that tables have at that point

LETTERS = "abcdef"


@dataclass
class Shapes:
    """The schema that statements drawn so far have made: (columns, key) by table, key by view."""

    draw: st.DrawFn
    tables: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Shapes:
        return Shapes(self.draw, dict(self.tables), dict(self.views))

    def one_of(self, values: Sequence[str]) -> str:
        return self.draw(st.sampled_from(values))

    def shape(self) -> tuple[list[str], list[str]]:
        columns = self.draw(st.permutations(LETTERS))[: self.draw(st.integers(2, 5))]
        return columns, columns[: self.draw(st.integers(1, min(3, len(columns))))]

    def create(self, name: str, shape: tuple[list[str], list[str]]) -> str:
        columns, key = shape
        typed = ", ".join(f"{c} int" for c in columns)
        return f"CREATE TABLE {name} ({typed}, PRIMARY KEY ({', '.join(key)}))"

    def step(self) -> list[str]:
        """One more statement, with what has to stand before it."""
        kinds: dict[str, Callable[[str], list[str]]] = {
            "create": self.new_table,
            "rebuild": self.rebuild,
            "rebuild again": self.rebuild,
            "alter": self.alter,
            "drop": self.drop,
            "delete": self.delete,
            "view": self.view,
        }
        kind = self.one_of(list(kinds) if self.tables else ["create"])
        return kinds[kind](self.one_of(sorted(self.tables)) if self.tables else "")

    def new_table(self, _: str) -> list[str]:
        free = [n for n in ("t", "u", "w") if n not in self.tables]
        if not free:
            return []
        name = self.one_of(free)
        self.tables[name] = self.shape()
        return [self.create(name, self.tables[name])]

    def rebuild(self, name: str) -> list[str]:
        into = self.one_of(["", "", *(n for n in ("u", "w") if n not in self.tables)])
        old, shape = self.tables[name][0], self.shape()
        words = [f"into={into}"] if into else []
        carried = [c for c in shape[0] if c in old]
        for column in shape[0]:
            # A new column of the key must be filled, any other may be.
            if column not in old and (column in shape[1] or self.draw(st.booleans())):
                source = self.one_of(old)
                renamed = self.draw(st.booleans())
                words.append(f"{column}={source}" if renamed else f"{column}=abs({source})")
                carried += [source] if renamed else []
        words += [f"drop={c}" for c in old if c not in carried]
        before = [] if into else self.without_views(name)
        self.tables[into or name] = shape
        return [*before, f"-- migrate:rebuild {' '.join(words)}\n" + self.create(name, shape)]

    def without_views(self, name: str) -> list[str]:
        gone = [view for view, base in self.views.items() if base == name]
        for view in gone:
            del self.views[view]
        return [f"DROP MATERIALIZED VIEW {view}" for view in gone]

    def alter(self, name: str) -> list[str]:
        columns, key = self.tables[name]
        free = [c for c in LETTERS if c not in columns]
        droppable = [c for c in columns if c not in key]
        if free and (not droppable or self.draw(st.booleans())):
            column = self.one_of(free)
            self.tables[name] = ([*columns, column], key)
            return [f"ALTER TABLE {name} ADD {column} int"]
        if droppable and name not in self.views.values():
            column = self.one_of(droppable)
            self.tables[name] = ([c for c in columns if c != column], key)
            return [f"ALTER TABLE {name} DROP {column}"]
        return [f"ALTER TABLE {name} WITH default_time_to_live = 60"]

    def drop(self, name: str) -> list[str]:
        before = self.without_views(name)
        del self.tables[name]
        return [*before, f"DROP TABLE {name}"]

    def delete(self, name: str) -> list[str]:
        key = self.tables[name][1][0]
        zeros = ", ".join("0" for _ in self.tables[name][1])
        forms = [f"TRUNCATE {name}", f"DELETE FROM {name} WHERE {key} = 1"]
        forms.append(f"INSERT INTO {name} ({', '.join(self.tables[name][1])}) VALUES ({zeros})")
        return [self.one_of(forms)]

    def view(self, name: str) -> list[str]:
        if self.views and self.draw(st.sampled_from([False, True])):
            gone, _ = self.views.popitem()
            return [f"DROP MATERIALIZED VIEW {gone}"]
        if self.views:
            return []
        self.views["mv"] = name
        key = self.tables[name][1]
        where = " AND ".join(f"{c} IS NOT NULL" for c in key)
        return [
            f"CREATE MATERIALIZED VIEW mv AS SELECT * FROM {name} WHERE {where} "
            f"PRIMARY KEY ({', '.join(reversed(key))})"
        ]


def _section(shapes: Shapes, most: int) -> str:
    steps, rebuilt = [], set[str]()
    for _ in range(shapes.draw(st.integers(1, most))):
        earlier = shapes.copy()
        step = shapes.step()
        table = step[-1].partition("CREATE TABLE ")[2].partition(" ")[0] if step else ""
        if step and step[-1].startswith("-- migrate:rebuild") and "into=" not in step[-1]:
            if table in rebuilt:  # a fault, and tested as one
                shapes.tables, shapes.views = earlier.tables, earlier.views
                continue
            rebuilt.add(table)
        steps += step
    return ";\n".join(steps or ["GRANT SELECT ON TABLE t TO r"]) + ";\n"


@st.composite
def folders(draw: st.DrawFn) -> tuple[str, str]:
    """Revision 1 makes a table or two; 2 and its way back do anything at all."""
    shapes = Shapes(draw)
    first = "".join(shapes.new_table("")[0] + ";\n" for _ in range(draw(st.integers(1, 2))))
    second = _section(shapes, 3)
    back = _section(shapes, 3)
    return (
        f"-- migrate:up\n{first}-- migrate:irreversible nobody asks\n",
        f"-- migrate:up\n{second}-- migrate:down\n{back}",
    )


def loaded(*texts: str) -> tuple[Migration, ...]:
    return load({f"000{at}_x.cql": text.encode() for at, text in enumerate(texts, 1)})
