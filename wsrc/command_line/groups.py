# SPDX-License-Identifier: Apache-2.0
"""Groups of commands: options before the name of a command, and commands that are loaded late."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from wsrc.command_line.invocation import Invocation, common_options


class Leading(click.Group):
    """A group whose options may also stand before the name of the command."""

    _leading: tuple[str, ...] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands before the name of the command for the command."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        self._leading = tuple(given[: len(given) - len(rest) - 1])
        return rest

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Pass the options that stood before its name to a command that has them; know `help`."""
        if args[0] == "help" and self.get_command(ctx, "help") is None:
            args = [*args[1:], "--help"]
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
        name, command, rest = super().resolve_command(ctx, args)
        takes = command is not None and any(each.name == "as_json" for each in command.params)
        return name, command, [*self._leading, *rest] if takes else rest


class Place(NamedTuple):
    """Where a command is made, and the first sentence of its help."""

    module: str
    name: str
    sentence: str


class Late(Leading):
    """
    A group that loads the one command that is called; to list them loads none.

    Args:
        places: Every command by its name.
    """

    def __init__(self, *args: Any, places: Mapping[str, Place], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return sorted(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, loading its module."""
        if cmd_name in self.places and cmd_name not in self.commands:
            place = self.places[cmd_name]
            self.add_command(getattr(importlib.import_module(place.module), place.name))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        width = formatter.width - 6 - max(map(len, self.places))
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._sentence(name, width)) for name in names])

    def _sentence(self, name: str, width: int = 45) -> str:
        return click.Command(name, help=self.places[name].sentence).get_short_help_str(width)


def shared_options() -> list[click.Parameter]:
    """Return the options that every command has, for a group before its commands."""

    def nothing(_call: Invocation) -> None:
        """Stand in for a command where only the options are wanted."""

    return click.command()(common_options(nothing)).params
