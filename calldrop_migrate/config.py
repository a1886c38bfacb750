"""Settings: flags > CALLDROP_* > profile > configuration file > defaults.

The file is calldrop-migrate.toml, or [tool.calldrop-migrate] of pyproject.toml, in the working
directory and nowhere else. A profile is a table [profiles.NAME] in it with any setting. Each field
here is a flag `--a-b` and a variable `CALLDROP_A_B`; lists are written with commas.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from calldrop_migrate import commands
from calldrop_migrate.errors import ConfigurationError

DEFAULT_REPLICATION = {"class": "NetworkTopologyStrategy", "datacenter1": "3"}
UNTOUCHED = "Nothing was changed."
# How many copies; of them transient ones (Cassandra), or the racks for them (ScyllaDB).
_COPIES = re.compile(r"\d+(/\d+)?|\[.*\]", re.ASCII)
_Seconds = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)]
# What is read from the environment besides the settings.
_OTHER_VARIABLES = ("AT_REVISION", "EMBEDDED_HOME", "NOW", "RANDOM_SEED")
CONSISTENCIES = ("ONE", "LOCAL_ONE", "QUORUM", "LOCAL_QUORUM", "EACH_QUORUM", "ALL")


class Settings(BaseSettings):
    """All settings of a command; times in seconds, `keep_shadow` in days."""

    model_config = SettingsConfigDict(env_prefix="CALLDROP_", extra="forbid", frozen=True)

    hosts: Annotated[tuple[str, ...], NoDecode] = ()
    port: int = Field(9042, ge=1, le=65535)
    local_dc: str = ""
    keyspace: str = Field("calldrop", pattern=r"^[A-Za-z0-9_]{1,48}$")
    bookkeeping_keyspace: str = Field("", pattern=r"^[A-Za-z0-9_]{0,48}$")
    profile: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    tls: bool | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_hostname: bool = True
    migrations: Path | None = None
    demo: bool = False
    seeds: Path | None = None
    replication: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    tablets: bool | None = None
    confirm: bool = False
    consistency: str = "LOCAL_QUORUM"
    wait: _Seconds = 0
    wait_for_lease: _Seconds = 0
    lease_ttl: int = Field(60, ge=2, le=86_400)
    ddl_timeout: _Seconds = Field(30, gt=0)
    settle_time: _Seconds | None = None
    keep_shadow: float = Field(7, ge=0, le=36_500, allow_inf_nan=False)
    repaired: bool = False
    max_rows_per_second: int | None = Field(None, ge=1)
    workers: int | None = Field(None, ge=1, le=64)
    dask: str = ""
    strict: bool = False

    @field_validator("hosts", mode="before")
    @classmethod
    def _by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("consistency")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in CONSISTENCIES:
            raise ValueError(f"one of {', '.join(CONSISTENCIES)}")
        return value.upper()

    @field_validator("replication", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        if isinstance(value, str) and all("=" in part for part in value.split(",")):
            parts = [part.partition("=") for part in value.split(",")]
            value = {name.strip(): copies.strip() for name, _, copies in parts}
        match value:
            case Mapping():
                given = {str(k): str(v) for k, v in value.items()}
            case _:
                raise ValueError("data centres with their copies, as datacenter1=3,datacenter2=2")
        for name, copies in given.items():
            if name != "class" and not _COPIES.fullmatch(copies):
                raise ValueError(f"{copies!r} is no number of copies for {name!r}")
        return {"class": "NetworkTopologyStrategy"} | given

    @property
    def settle(self) -> float:
        """The settle time: as set, or what docs/protocol.md 3 derives."""
        return (
            self.ddl_timeout + self.lease_ttl / 4 if self.settle_time is None else self.settle_time
        )

    @property
    def tls_files(self) -> dict[str, Path]:
        """The files for TLS that were given, by their settings' names."""
        files = {"tls_ca": self.tls_ca, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
        return {name: path for name, path in files.items() if path}

    @property
    def encrypted(self) -> bool:
        """Tells whether connections go over TLS: as said, or because a file for it was given.

        Raises:
            ConfigurationError: it was turned off, and there is a file for it.
        """
        files = self.tls_files
        if self.tls is False and files:
            raise ConfigurationError(
                f"tls = false, and {' and '.join(flag(name) for name in files)} given",
                state=UNTOUCHED,
                hint="Leave tls (CALLDROP_TLS) out, or every file for TLS.",
            )
        return bool(self.tls or files)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment; profile and file follow as one mapping (`load`)."""
        assert isinstance(init_settings, InitSettingsSource)
        assert isinstance(env_settings, EnvSettingsSource)
        given = init_settings.init_kwargs
        lower, environ = given.pop("_lower", {}), given.pop("_environ", {})
        # A variable that is empty, as compose files have them, says nothing.
        env_settings.env_vars = {name.lower(): value for name, value in environ.items() if value}
        return init_settings, env_settings, InitSettingsSource(settings_cls, lower)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The running embedded server, as far as settings depend on it."""

    hosts: tuple[str, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Environment:
    """Settings, and where they and the folders came from."""

    settings: Settings
    embedded: bool
    configured: bool
    profile: str


def load(
    flags: Mapping[str, Any], folder: Path, environ: Mapping[str, str], embedded: Embedded | None
) -> Environment:
    """The settings of one command; `flags` are those that were given.

    Raises:
        ConfigurationError: a file, a profile or a value is wrong.
    """
    check_variables(environ)
    stored, source = read_file(folder)
    profiles = _tables(stored.pop("profiles", {}), source)
    _check_file(stored, profiles, source)
    given = bool(flags.get("hosts") or environ.get("CALLDROP_HOSTS"))
    name = flags.get("profile") or environ.get("CALLDROP_PROFILE") or stored.get("profile", "")
    if not isinstance(name, str):
        raise ConfigurationError(
            f"profile in {source}: {name!r} is no name",
            state=UNTOUCHED,
            hint='Write it as  profile = "NAME"',
        )
    on_embedded = False
    if not name and not given and not stored.get("hosts") and embedded:
        name, on_embedded = "dev", True
    if name and name not in profiles and not (name == "dev" and on_embedded):
        known = ", ".join(profiles) or "none"
        raise ConfigurationError(
            f"there is no profile {name!r} in {source or 'any configuration file here'}; known:"
            f" {known}",
            state=UNTOUCHED,
            hint=f"Add [profiles.{name}] to calldrop-migrate.toml, or leave --profile out.",
        )
    lower = _over(stored, profiles.get(name, {})) | {"profile": name}
    # Whatever names a password file is nearer than a password further away.
    if flags.get("password_file") or environ.get("CALLDROP_PASSWORD_FILE"):
        lower.pop("password", None)
    if flags.get("password_file"):
        environ = {name: value for name, value in environ.items() if name != "CALLDROP_PASSWORD"}
    if not given and not lower.get("hosts") and embedded:
        lower |= {"hosts": embedded.hosts, "port": embedded.port}
        on_embedded = True
    if on_embedded:
        lower.setdefault("keep_shadow", 0)
        lower.setdefault(
            "replication", {"datacenter1": str(len(embedded.hosts if embedded else ()))}
        )
    lower.setdefault("replication", DEFAULT_REPLICATION)
    if not name:
        lower.setdefault("confirm", True)
    try:
        settings = Settings(**{**flags, "_lower": lower, "_environ": environ})
    except ValidationError as error:
        raise _invalid(error, source) from None
    return Environment(settings, on_embedded, bool(source), name)


def _tables(profiles: object, source: str) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(profiles, Mapping) or not all(
        isinstance(profile, Mapping) for profile in profiles.values()
    ):
        raise ConfigurationError(
            f"{source}: a profile is a table of settings",
            state=UNTOUCHED,
            hint="Write it as [profiles.NAME], and its settings below.",
        )
    return {name: _plain(profile) for name, profile in profiles.items()}


def _check_file(
    stored: Mapping[str, Any], profiles: Mapping[str, Mapping[str, Any]], source: str
) -> None:
    """Sees that the file, in whichever profile, has settings alone.

    Raises:
        ConfigurationError: it has another name.
    """
    known = (*Settings.model_fields,)
    tables = {"": stored} | {f" in [profiles.{name}]": table for name, table in profiles.items()}
    lines = [
        f"{key}{where} in {source} is no setting"
        + (f"; did you mean {near}?" if (near := _nearest(key, known)) else "")
        for where, table in tables.items()
        for key in table
        if key not in known
    ]
    if lines:
        hint = f"The settings and what they may be:  {commands.help_settings()}"
        raise ConfigurationError("\n".join(lines), state=UNTOUCHED, hint=hint)


def _plain(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names with dashes are names with underscores."""
    return {key.replace("-", "_"): value for key, value in stored.items()}


def _over(stored: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile over the rest of the file; its password file is nearer than a password there."""
    hidden = {"password"} if "password_file" in profile else set()
    return {k: v for k, v in stored.items() if k not in hidden} | dict(profile)


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def _invalid(error: ValidationError, source: str) -> ConfigurationError:
    lines = []
    for fault in error.errors():
        name = str(fault["loc"][0]) if fault["loc"] else "?"
        said = fault["msg"].removeprefix("Value error, ")
        # Of a password not even a wrong one is shown, and an input without a name has all of them.
        shown = "" if name in ("password", "?") else f"{fault['input']!r}: "
        stored = f"{name} in {source or 'a configuration file'}"
        lines.append(f"{flag(name)} / CALLDROP_{name.upper()} / {stored}: {shown}{said}")
    return ConfigurationError(
        "\n".join(lines),
        state=UNTOUCHED,
        hint=f"The settings and what they may be:  {commands.help_settings()}",
    )


def check_variables(environ: Mapping[str, str]) -> None:
    """Sees that no variable CALLDROP_* is a misspelt setting, which would be ignored in silence.

    Raises:
        ConfigurationError: one is nearly the name of a setting.
    """
    known = [name.upper() for name in (*Settings.model_fields, *_OTHER_VARIABLES)]
    lines = []
    for variable in sorted(name for name, value in environ.items() if value):
        prefix, _, name = variable.upper().partition("_")
        if prefix == "CALLDROP" and name not in known and (near := _nearest(name, known)):
            lines.append(f"{variable} is no setting; CALLDROP_{near} is")
    if lines:
        raise ConfigurationError(
            "\n".join(lines),
            state=UNTOUCHED,
            hint=f"Rename it, or unset it. All settings:  {commands.help_settings()}",
        )


def _nearest(name: str, known: Collection[str]) -> str:
    """The known name that somebody may have meant; empty if it resembles none."""
    if name.upper() == "CONTACT_POINTS":  # the flag has that name, too
        return "hosts" if name.islower() else "HOSTS"
    begun = [other for other in known if len(name) > 3 and other.startswith(name)]
    return [*get_close_matches(name, known, 1, 0.8), *begun, ""][0]


def read_file(folder: Path) -> tuple[dict[str, Any], str]:
    """The configuration file's contents and its name; empty where there is none.

    Raises:
        ConfigurationError: it is no TOML.
    """
    for name in ("calldrop-migrate.toml", "pyproject.toml"):
        path = folder / name
        if not path.exists():
            continue
        try:
            stored = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{name}: {error}", state=UNTOUCHED, hint="Mend the file."
            ) from None
        if name == "pyproject.toml":
            tool = stored.get("tool")
            ours = tool.get("calldrop-migrate") if isinstance(tool, dict) else None
            if ours is None:
                continue
            if not isinstance(ours, dict):
                raise ConfigurationError(
                    f"{name}: tool.calldrop-migrate is no table",
                    state=UNTOUCHED,
                    hint="Write it as [tool.calldrop-migrate], and the settings below.",
                )
            stored = ours
        return _plain(stored), name
    return {}, ""


def password_in(settings: Settings) -> str:
    """The password as set, or what its file has; empty where neither is given.

    Raises:
        ConfigurationError: the file can't be read, or holds something else than one line.
    """
    given, path = settings.password.get_secret_value(), settings.password_file
    if given or path is None:
        return given
    wrong = ""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        wrong = error.strerror or str(error)
    except UnicodeDecodeError:
        wrong = "that is no text in UTF-8"
    else:
        if len(lines) == 1 and lines[0]:
            return lines[0]
        wrong = "more than one line" if any(lines) else "that is empty"
    raise ConfigurationError(
        f"{flag('password_file')} {path}: {wrong}",
        state=UNTOUCHED,
        hint="The file holds the password in one line, and nothing else.",
    )
