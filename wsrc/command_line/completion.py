# SPDX-License-Identifier: Apache-2.0
"""The command `completion`: what a shell needs to complete `wsrc`."""

import click

PROGRAM = "wsrc"

_COMPLETE = "_WSRC_COMPLETE"


@click.command("completion", epilog='\b\nExamples:\n  eval "$(wsrc completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of `wsrc` for a shell."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - needed here alone

    kind = get_completion_class(shell)
    assert kind is not None
    program = click.get_current_context().find_root().command
    click.echo(kind(program, {}, PROGRAM, _COMPLETE).source())
