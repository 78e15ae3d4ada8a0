# SPDX-License-Identifier: Apache-2.0
"""Commands within commands, as a person names them."""

import click


def within(command: click.Command, name: str) -> click.Command | None:
    """Return the command of a group that has this name; None where there is none."""
    if not isinstance(command, click.Group):
        return None
    return command.get_command(click.Context(command), name)
