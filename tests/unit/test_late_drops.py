"""What is behind a DROP, of a column or of a table, as far as no server is needed to tell."""

from __future__ import annotations

from uuid import UUID

from calldrop_migrate.cluster.hidden import behind
from calldrop_migrate.engine.journal import Event, unanswered_drops

ONE, TWO = UUID(int=1), UUID(int=2)
DROP = "DROP TABLE t__aside_0001"


def event(what: str, epoch: int, attempt: UUID = ONE, text: str = DROP) -> Event:
    return Event(what, attempt, 1, "up", operation=3, statement=text, epoch=epoch)


def test_behind_a_drop_of_a_column() -> None:
    """Cassandra keeps milliseconds, ScyllaDB microseconds: 2026-11-26T12:00:00Z."""
    assert behind(1_795_694_400_000) == 1_795_694_400_001_000
    assert behind(1_795_694_400_000_000) == 1_795_694_400_000_001


def test_a_drop_without_an_answer() -> None:
    assert unanswered_drops([event("before", 1)]) == {"t__aside_0001"}
    # A later run saw that it is gone: the one that was sent first may be on its way all the same.
    assert unanswered_drops([event("before", 1), event("applied", 2)]) == {"t__aside_0001"}
    assert unanswered_drops([event("before", 1), event("unknown", 1)]) == {"t__aside_0001"}


def test_a_drop_with_an_answer() -> None:
    for answer in ("applied", "refused"):
        assert unanswered_drops([event("before", 1), event(answer, 1)]) == frozenset()
    answered = [event("before", 1, TWO), event("before", 1), event("applied", 1)]
    assert unanswered_drops(answered) == {"t__aside_0001"}


def test_only_drops_of_our_own_tables() -> None:
    own = [event("before", 1, text=text) for text in ("DROP TABLE t", "CREATE TABLE t__aside_0001")]
    assert unanswered_drops(own) == frozenset()
