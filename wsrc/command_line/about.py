# SPDX-License-Identifier: Apache-2.0
"""The commands `help` and `version`."""

from collections.abc import Sequence

import click

from wsrc import __version__
from wsrc.command_line.completion import PROGRAM


@click.command("help", epilog="\b\nExamples:\n  wsrc help\n  wsrc help apdu\n  wsrc help pcsc run")
@click.argument("command", nargs=-1, metavar="[COMMAND…]")
def help_(command: Sequence[str]) -> None:
    """Show the help of a command, or of all."""
    program = click.get_current_context().find_root().command
    program.main([*command, "--help"], PROGRAM, standalone_mode=False)


@click.command("version", epilog="\b\nExamples:\n  wsrc version")
def version() -> None:
    """Show the version."""
    click.echo(__version__)
