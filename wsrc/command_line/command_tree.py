# SPDX-License-Identifier: Apache-2.0
"""Every command and option of `wsrc` as JSON values, from which words are completed."""

from typing import Any

import click

from wsrc.card.contents.catalogue import CATALOGUE
from wsrc.card.pcsc_numbers import ATTRIBUTES
from wsrc.card.pin import REFERENCES
from wsrc.command_line.completing import FILE, FOLDER, Tree
from wsrc.command_line.known import KINDS
from wsrc.command_line.listing import TITLES
from wsrc.command_line.program import COMMANDS, program

_OPTIONS: dict[str, object] = {
    **{f"--{kind}": kind for kind in KINDS},
    "--card": "any",
    "--columns": list(TITLES),
    "--verify": list(REFERENCES),
}
"""What may follow options that take any text."""

_ARGUMENTS: dict[str, object] = {
    "read": list(CATALOGUE),
    "attribute": list(ATTRIBUTES),
    "help": list(COMMANDS),
}
"""What may be given to commands that take any text."""


def tree() -> Tree:
    """Return the program; see `completing.Tree`."""
    return _of(program, click.Context(program, **program.context_settings))


def _of(command: click.Command, context: click.Context) -> dict[str, Any]:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    below = {}
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            below[name] = _of(child, click.Context(child, parent=context, info_name=name))
    return {
        "help": command.get_short_help_str(60),
        "options": _options(command, context),
        "argument": _ARGUMENTS.get(command.name or "") or next(map(_kind, arguments), None),
        "commands": below,
    }


def _options(command: click.Command, context: click.Context) -> dict[str, object]:
    found: dict[str, object] = {}
    for option in command.get_params(context):
        if isinstance(option, click.Option) and not option.hidden:
            for name in (*option.opts, *option.secondary_opts):
                takes = not (option.is_flag or option.count)
                found[name] = (_OPTIONS.get(name) or _kind(option) or "text") if takes else None
    return found


def _kind(parameter: click.Parameter) -> object:
    if isinstance(parameter, click.Argument) and parameter.name == "card":
        return "any"
    match parameter.type:
        case click.Choice() as choice:
            return [str(each) for each in choice.choices]
        case click.Path() as path:
            return FILE if path.file_okay else FOLDER
        case click.File():
            return FILE
        case _:
            return None
