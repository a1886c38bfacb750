"""Answers of pure functions of core, kept between simulated runs: thousands of runs parse the same
statements and plan the same revisions.

A function is replaced in every module that imported it. Only functions whose arguments and answers
are never changed belong here. Two schemas that differ in nothing but the ids of their tables are
equal, and yet the answer has these ids: they count here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from functools import cache, wraps
from typing import Any

from calldrop_migrate.core import (
    cql,
    ddl,
    effects,
    expansion,
    operations,
    plan,
    secrets,
)
from calldrop_migrate.core.schema import Schema, Table

_MOST = 200_000  # known objects; then all is forgotten

# By identity, each with the object itself: nobody else gets its id as long as it is here.
_numbers: dict[int, tuple[object, int]] = {}
_values: dict[Hashable, int] = {}
_answers: dict[tuple[object, ...], object] = {}


@cache
def remember() -> None:
    """Replace the functions, once for this process."""
    for function in (
        *(ddl.read, cql.split, effects.after, effects.happened, expansion.expand),
        *(expansion.declared_at, plan.effect_of, plan.tables_at_stake, secrets.shown),
        secrets.shown_file,
        *(operations.proofs_of, operations.unproven, operations.hash_of),
    ):
        _replace(function, _kept(function))


def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def kept(*args: Any, **named: Any) -> Any:
        key = (function, *map(_number, args), *(_number(pair) for pair in named.items()))
        if key not in _answers:
            if len(_numbers) > _MOST:
                for known in (_numbers, _values, _answers):
                    known.clear()
            _answers[key] = function(*args, **named)
        return _answers[key]

    return kept


def _number(what: Any) -> object:
    """Return a number that equal arguments share."""
    if isinstance(what, str | int):
        return what
    known = _numbers.get(id(what))
    if known is None:
        number = _values.setdefault((type(what), _hashable(what)), len(_values))
        known = _numbers[id(what)] = (what, number)
    return known[1], type(what)


def _hashable(what: Any) -> Hashable:
    if isinstance(what, list | tuple) and not hasattr(what, "_fields"):
        return tuple(map(_hashable, what))
    if isinstance(what, Schema):
        return what, tuple(table.id for table in what.tables)
    if isinstance(what, Table):
        return what, what.id
    try:
        hash(what)
    except TypeError:  # a value that holds a set
        return repr(what)
    found: Hashable = what
    return found


def _replace(function: Callable[..., Any], by: Callable[..., Any]) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(("calldrop_migrate", "tests.support.simulator")):
            for attribute, value in list(vars(module).items()):
                if value is function:
                    setattr(module, attribute, by)
