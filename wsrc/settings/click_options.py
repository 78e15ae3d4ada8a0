# SPDX-License-Identifier: Apache-2.0
"""Command-line options made from the settings of a program."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

import click
from click.core import ParameterSource

from wsrc.settings.load import load, values_of
from wsrc.settings.types import ENVIRONMENT_PREFIX, Setting, Settings, settings_of

HELP_OPTIONS: Mapping[str, Any] = {"help_option_names": ["-h", "--help"]}
"""Settings of the context of a program: how its help is asked for, and that of its commands."""

R = TypeVar("R")
S = TypeVar("S", bound=Settings)


class Late(Generic[S]):
    """Settings that are read when they are asked for; each call may raise ConfigError."""

    def __init__(self, kind: type[S], flags: Mapping[str, object], config: Path | None) -> None:
        self._kind, self._flags, self._config = kind, flags, config

    def __call__(self) -> S:
        """Return all of them, which must go together."""
        return load(self._kind, os.environ, self._flags, self._config)

    def given(self) -> dict[str, Any]:
        """Return those that somebody gave, each by itself, whether they go together or not."""
        return values_of(self._kind, os.environ, self._flags, self._config)


def click_options(
    kind: type[Settings], *, late: bool = False
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """
    Return a decorator that adds an option for each setting, and `--config`.

    The command is called with `settings`, a Struct of `kind`, instead of the options; with `late`
    it is called with what returns that Struct, for a command that may do without.

    Raises:
        ConfigError: When the command is called, or with `late` when the settings are asked for,
            and they cannot work.
    """
    described = [setting for setting in settings_of(kind) if not setting.tables]

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def run(*args: Any, **options: Any) -> R:
            config: Path | None = options.pop("config")
            context = click.get_current_context()
            given = {s.name: options.pop(s.name) for s in described}
            flags = {
                name: value
                for name, value in given.items()
                if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            }
            loaded = Late(kind, flags, config)
            return command(*args, settings=loaded if late else loaded(), **options)

        decorated: Callable[..., R] = run
        for setting in reversed(described):
            decorated = _option(setting)(decorated)
        return _config_option(kind)(decorated)

    return decorate


def _config_option(kind: type[Settings]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=f"TOML file of settings  [default: {' or '.join(kind.FILES)}]. "
        f"Each option --some-name is some_name in this file, and {ENVIRONMENT_PREFIX}SOME_NAME in "
        "the environment. "
        "An option wins over the environment, and that over the file.",
    )


def _option(setting: Setting) -> Callable[[Callable[..., R]], Callable[..., R]]:
    help_text = f"{setting.description}  [default: {setting.default_text}]"
    base = get_args(setting.type)[0]
    if base is bool:
        names = f"{setting.flag}/--no-{setting.flag[2:]}" if setting.default else setting.flag
        return click.option(names, setting.name, is_flag=True, default=None, help=help_text)
    if isinstance(setting.default, tuple | dict):
        return click.option(
            setting.flag,
            setting.name,
            multiple=True,
            metavar=_metavar(setting),
            help=f"{help_text}  May be given several times.",
        )
    return click.option(
        setting.flag, setting.name, type=_type(base, setting.folder), help=help_text
    )


def _metavar(setting: Setting) -> str:
    if isinstance(setting.default, dict):
        return "KEY=LABEL"
    listed = get_args(get_args(setting.type)[0])[0]
    if get_origin(listed) is Literal:
        return f"[{'|'.join(get_args(listed))}]"
    return "FILE" if setting.paths else "TEXT"


def _type(base: Any, folder: bool) -> Any:
    if get_origin(base) is Literal:
        return click.Choice(get_args(base))
    if isinstance(base, UnionType) and Path in get_args(base):
        return click.Path(path_type=Path, dir_okay=folder, file_okay=not folder)
    return int if type(None) in get_args(base) else base
