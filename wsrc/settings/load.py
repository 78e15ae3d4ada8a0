# SPDX-License-Identifier: Apache-2.0
"""Settings as given: defaults, then a TOML file, then the environment, then flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import msgspec

from wsrc.errors import ConfigError
from wsrc.process.texts import read_text
from wsrc.settings.address import Address
from wsrc.settings.clients import BUILT_IN_CARDS, CardClientSettings, UserSettings
from wsrc.settings.held import HeldSettings, check_flags, held_file, held_values, read_held
from wsrc.settings.server import ServerSettings
from wsrc.settings.types import ENVIRONMENT_PREFIX, Setting, Settings, settings_of

__all__ = [
    "CardClientSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "UserSettings",
    "default_files",
    "load",
    "settings_of",
]

S = TypeVar("S", bound=Settings)


COMMAND_LINE, ARGUMENT = "command line", "argument"
"""Where values come from that override all others."""


def default_files(kind: type[Settings], environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the places of the settings file; those in the home only where HOME is set."""
    home = environ.get("HOME")
    return tuple(_expand(f, home) for f in kind.FILES if home or not f.startswith("~"))


def load(
    kind: type[S],
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    config: Path | None = None,
    *,
    source: str = COMMAND_LINE,
) -> S:
    """
    Return the settings of a program, merged from all sources.

    Inside `wsrc take` those of a user lead to the card that it holds, unless `flags` name a server.

    Args:
        kind: Which program's.
        environ: The environment; an empty variable counts as absent.
        flags: What was given on the command line, by field name, or by a program.
        config: The settings file, which must exist; else WSRC_CONFIG, else the default places.
        source: What errors call the place where `flags` come from. Only from a command line, which
            others can read, a URL with a password is refused.

    Raises:
        ConfigError: If the file cannot be read, a key is unknown, or a value cannot work.
        SessionLostError: If the card that `wsrc take` held is held no more.
    """
    values = values_of(kind, environ, flags, config, source=source)
    file = held_file(environ) if kind is UserSettings else None
    if file is None or "server_url" in (flags or {}):
        return kind(**values)
    check_flags(flags or {})
    return cast("S", HeldSettings(**cast("Any", held_values(read_held(file), values))))


def values_of(
    kind: type[Settings],
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    config: Path | None = None,
    *,
    source: str = COMMAND_LINE,
) -> dict[str, Any]:
    """Return what `load` makes settings of, without those that nobody gave: each has its type."""
    known = {setting.name: setting for setting in settings_of(kind)}
    home = environ.get("HOME")
    values: dict[str, object] = {}
    path, table = _read_first(kind, environ, config)
    for name, value in table.items():
        setting = known.get(name) or _unknown(name, known, str(path))
        placed = _beside(value, path.parent, home) if setting.paths else value
        values[name] = _convert(setting, placed, str(path), strict=True)
    for setting in known.values():
        if not setting.tables and (text := environ.get(setting.environment)):
            variable = f"environment variable {setting.environment}"
            values[setting.name] = _convert(setting, _split(setting, text), variable)
    for name, value in (flags or {}).items():
        setting = known.get(name) or _unknown(name, known, source)
        if source == COMMAND_LINE:
            _refuse_password(setting, value)
        values[name] = _convert(setting, value, source, strict=source != COMMAND_LINE)
    return values


def _refuse_password(setting: Setting, value: object) -> None:
    if setting.url and "@" in str(value):
        raise ConfigError(
            setting.name,
            "everyone on this machine can read a password on a command line; give the URL in "
            f"the environment, as {setting.environment}, or in the settings file",
        )


def from_arguments(kind: type[S], arguments: Mapping[str, object]) -> S:
    """
    Return the settings from values that a program has, by field name; None stands for the default.

    Raises:
        ConfigError: If a value has the wrong type or cannot work.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    return kind(
        **{
            setting.name: _convert(setting, given[setting.name], ARGUMENT, strict=True)
            for setting in settings_of(kind)
            if setting.name in given
        }
    )


def _convert(setting: Setting, value: object, source: str, *, strict: bool = False) -> object:
    """Check one value against the type of its setting; text is read as that type."""
    if not setting.paths and not _is_text(value):
        raise ConfigError(setting.name, f"must be text in UTF-8, not {value!r} ({source})")
    try:
        return msgspec.convert(
            _pairs(value) if isinstance(setting.default, dict) else value,
            setting.type,
            strict=strict,
            dec_hook=_decode_path,
        )
    except (msgspec.ValidationError, ValueError) as exc:
        if setting.tables:
            raise ConfigError(setting.name, f"{exc} ({source})") from exc
        raise ConfigError(
            setting.name, f"must be {setting.expected}, not {_shown(setting, value)!r} ({source})"
        ) from exc


def _shown(setting: Setting, value: object) -> object:
    """Return a value as a refusal shows it."""
    if setting.url and isinstance(value, str):
        return str(Address(value))
    if not isinstance(value, tuple | list):
        return value
    items = cast("Sequence[object]", value)
    return [_shown(setting, each) if setting.url else each for each in items]


def _is_text(value: object) -> bool:
    """Return whether what the environment or a command line had in octets were texts at all."""
    try:
        for each in (
            cast("Sequence[object]", value) if isinstance(value, tuple | list) else (value,)
        ):
            str(each).encode()
    except UnicodeEncodeError:
        return False
    return True


def _decode_path(_kind: type, value: object) -> Path:
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    raise ValueError("not the name of a file")


def _pairs(value: object) -> object:
    """Turn texts of the form KEY=LABEL into a table."""
    if not isinstance(value, tuple | list):
        return value
    pairs = [str(item).partition("=") for item in cast("Sequence[object]", value)]
    if not all(middle for _, middle, _ in pairs):
        raise ValueError("an item has no =")
    return {key.strip(): label.strip() for key, _, label in pairs}


def _split(setting: Setting, text: str) -> object:
    """Read lists and tables from the environment: items between commas."""
    if isinstance(setting.default, tuple | dict):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _expand(text: str, home: str | None) -> Path:
    return Path(home, text[2:]) if home and text.startswith("~/") else Path(text)


def _beside(value: object, folder: Path, home: str | None) -> object:
    """Take relative names of files as relative to the settings file."""
    if isinstance(value, list):
        return [_beside(item, folder, home) for item in cast("list[object]", value)]
    if isinstance(value, str) and value and value != BUILT_IN_CARDS:
        return str(folder / _expand(value, home))
    return value


def _read_first(
    kind: type[Settings], environ: Mapping[str, str], config: Path | None
) -> tuple[Path, dict[str, object]]:
    named = config or environ.get(ENVIRONMENT_PREFIX + "CONFIG")
    if named:
        table = _read(Path(named))
        if table is None:
            raise ConfigError("config", f"there is no file {named}")
        return Path(named), table
    for path in default_files(kind, environ):
        table = _read(path)
        if table is not None:
            return path, table
    return Path(), {}


def _read(path: Path) -> dict[str, object] | None:
    try:
        text = read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ConfigError("config", f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeError as exc:
        raise ConfigError("config", f"{path} is not TOML: {exc}") from exc
    import tomllib  # noqa: PLC0415 - many have no file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError("config", f"{path} is not TOML: {exc}") from exc


def _unknown(name: str, known: Mapping[str, Setting], source: str) -> NoReturn:
    import difflib  # noqa: PLC0415 - who is right needs none of it

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "the settings are " + ", ".join(known)
    raise ConfigError(name, f"there is no such setting ({source}); {hint}")
