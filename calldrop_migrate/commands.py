"""The commands that messages name: each is made by a function here and nowhere else.

A hint is a command that can be typed as it stands. So it repeats the flags with which the present
call found its database and its files: `seed -k other` says `calldrop-migrate up -k other`. What
came from a configuration file or the environment is found again without being typed, and is left
out.

The command line sets the present call (`calling`); it is empty where this package is used without
one. tests/server/test_commands.py runs every command in a state in which it is printed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

PROGRAM = "calldrop-migrate"
FILES = ("profile", "migrations", "demo", "seeds")
# The settings that say where database and files are, in the order in which they are repeated.
WHERE = (
    *("keyspace", "hosts", "port", "local_dc", "bookkeeping_keyspace", "username"),
    *("password_file", "tls", "tls_ca", "tls_cert", "tls_key", "tls_hostname", *FILES),
)
_SEEDS = ("seed", "new")  # the commands that know --seeds


@dataclass(frozen=True, slots=True)
class Typed:
    """The present call as it was typed.

    Attributes:
        words: all of it, without the program's name.
        flags: of the settings in `WHERE` those that were typed, each as it is typed.
    """

    words: Sequence[str] = ()
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_NOTHING = Typed()
_present: ContextVar[Typed] = ContextVar("typed")


def present() -> Typed:
    """The present call."""
    return _present.get(_NOTHING)


@contextmanager
def calling(typed: Typed) -> Iterator[None]:
    """Makes this the present call."""
    token = _present.set(typed)
    try:
        yield
    finally:
        _present.reset(token)


def takes(command: str) -> tuple[str, ...]:
    """The settings of `WHERE` that a command has flags for."""
    if command in ("server", "help"):
        return ()
    known = FILES if command == "new" else WHERE
    kept = ("keep_shadow",) if command == "clean" else ()  # it decides what is dropped
    return *(name for name in known if name != "seeds" or command in _SEEDS), *kept


def _command(command: str, *words: str) -> str:
    flags = present().flags
    repeated = [word for name in takes(command) for word in flags.get(name, ())]
    return shlex.join([PROGRAM, command, *words, *repeated])


def again(*more: str) -> str:
    """The present call once more, with `more` flags."""
    words = list(present().words)
    at = words.index("--") if "--" in words else len(words)  # behind `--` nothing is a flag
    return shlex.join([PROGRAM, *words[:at], *more, *words[at:]])


# -- through the revisions -------------------------------------------------------------------------


def up() -> str:
    """Applies what is pending, and resumes what was interrupted on the way up."""
    return _command("up")


def up_to(number: int) -> str:
    """Goes up to a revision."""
    return _command("up", str(number))


def down_to(number: int) -> str:
    """Goes down to a revision, which stays applied."""
    return _command("down", str(number or "base"))


def down_one() -> str:
    """Takes the last revision back."""
    return _command("down", "--steps", "1")


def resume(direction: str, number: int) -> str:
    """Finishes an interrupted revision in the direction in which it was begun."""
    return down_to(number - 1) if direction == "down" else up_to(number)


def plan() -> str:
    """Shows what `up` would do."""
    return _command("plan")


# -- what is there ---------------------------------------------------------------------------------


def status() -> str:
    """Shows where the keyspace is."""
    return _command("status")


def log() -> str:
    """Shows every statement that was run."""
    return _command("status", "--log")


def diff_live(other: int | str) -> str:
    """Shows how the live schema differs from that of a revision."""
    return _command("diff", "live", str(other or "base"))


def diff_example() -> str:
    """Shows how the schemas of two revisions differ."""
    return _command("diff", "1", "head")


def show(number: int) -> str:
    """Prints a revision's file."""
    return _command("show", str(number))


def show_applied(number: int) -> str:
    """Prints a revision as it was applied."""
    return _command("show", str(number), "--applied")


def show_schema(number: int) -> str:
    """Prints the whole schema that a revision leads to."""
    return _command("show", str(number), "--schema")


# -- out of trouble --------------------------------------------------------------------------------


def accept() -> str:
    """Records schema and files as they are now."""
    return _command("repair", "--accept")


def restore() -> str:
    """Alters the schema back to what is recorded."""
    return _command("repair", "--restore")


def abort() -> str:
    """Takes back an interrupted revision."""
    return _command("abort")


def abort_discarding() -> str:
    """Takes back an interrupted revision, and the rows of tables that it made."""
    return _command("abort", "--discard-rows")


def abort_at_once() -> str:
    """Takes back an interrupted revision; nothing of it can arrive late."""
    return _command("abort", "--keep-shadow", "0")


def clean_discarding() -> str:
    """Drops shadow tables whose rows aren't missed."""
    return _command("clean", "--discard-rows")


def stamp() -> str:
    """Records the revision whose schema the keyspace has."""
    return _command("stamp")


def stamp_at(number: int) -> str:
    """Records that the keyspace is at a revision."""
    return _command("stamp", str(number or "base"))


def stamp_base() -> str:
    """Records that no revision is applied."""
    return _command("stamp", "base")


def unlock_from(token: str) -> str:
    """Takes the lease from the holder of this token."""
    return _command("unlock", "--token", token)


def adopt(*words: str) -> str:
    """Takes over a project of cassandra-migrate."""
    return _command("adopt", *words)


# -- files, rows, the embedded server --------------------------------------------------------------


def new(title: str) -> str:
    """Writes an empty revision."""
    return _command("new", title)


def new_seed(title: str) -> str:
    """Writes a seed module to begin with."""
    return _command("new", title, "--seed")


def seed(*words: str) -> str:
    """Loads rows."""
    return _command("seed", *words)


def seed_list() -> str:
    """Lists the seed modules with their options."""
    return _command("seed", "--list")


def server_start(*words: str) -> str:
    """Starts the embedded server."""
    return _command("server", "start", *words)


def server_stop() -> str:
    """Stops the embedded server; its data stays."""
    return _command("server", "stop")


def server_wipe() -> str:
    """Stops the embedded server and deletes its data."""
    return _command("server", "stop", "--wipe")


def help_on(*words: str) -> str:
    """Shows a command's page."""
    return shlex.join([PROGRAM, *words, "--help"])


def help_settings() -> str:
    """Shows all settings."""
    return _command("help", "settings")
