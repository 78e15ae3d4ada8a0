# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc`."""

import io
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from wsrc import __version__
from wsrc.command_line import pcsc as programs
from wsrc.command_line.apdu import apdu, reset, script, shell
from wsrc.command_line.bridges import lpac, vpcd
from wsrc.command_line.cards import info, list_, watch
from wsrc.command_line.invocation import Exit, Invocation, common_options, cut_off
from wsrc.command_line.output import Output
from wsrc.command_line.readers import readers
from wsrc.command_line.sample import sample
from wsrc.command_line.verbs import attribute, control, status
from wsrc.process.signals import catch, heeded

PROGRAM = "wsrc"

_COMPLETE = "_WSRC_COMPLETE"

_ENDING = {"SIGTERM": Exit.TERMINATED, "SIGHUP": Exit.HUNG_UP}


class Program(click.Group):
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
        """Pass the options that stood before its name to the command."""
        name, command, rest = super().resolve_command(ctx, args)
        takes = command is not None and command not in {completion, sample}
        return name, command, [*self._leading, *rest] if takes else rest


EXITS = "\b\nExit status:\n" + "\n".join(f"  {each.value:>3}  {each.meaning}" for each in Exit)


def _nothing(_call: Invocation) -> None:
    """Stand in for a command where only the options are wanted."""


@click.group(
    PROGRAM,
    cls=Program,
    params=click.command()(common_options(_nothing)).params,
    epilog=f"""\b
Examples:
  wsrc list
  wsrc apdu --iccid 8988211000000000013 00A4000C023F00
  wsrc script --eid 89049032000000000000000000000013 check.wsrc
  wsrc shell --card blue --wait 60
  WSRC_SERVER_URL=wss://cards.example:4220 wsrc watch --json

{EXITS}""",
)
@click.version_option(__version__, message="%(version)s")
def program(**_: Any) -> None:
    """
    Use smart cards that are somewhere else.

    A card is taken when a command begins, freshly reset, and given back when it ends. The options
    here may stand before or after the name of the command.
    """


@click.command("completion", epilog='\b\nExamples:\n  eval "$(wsrc completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion of `wsrc` for a shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(program, {}, PROGRAM, _COMPLETE).source())


def _nothing_more(**_: object) -> None:
    """Leave the work to the command within the group."""


pcsc = Program(
    "pcsc",
    commands=programs.COMMANDS,
    params=click.command()(common_options(_nothing)).params,
    help=programs.HELP,
    callback=_nothing_more,
)

for _command in (
    list_,
    info,
    apdu,
    reset,
    script,
    shell,
    watch,
    readers,
    status,
    control,
    attribute,
    pcsc,
    lpac,
    vpcd,
    completion,
    sample,
):
    program.add_command(_command)


def run(arguments: list[str]) -> int:
    """Run the command and return its exit status; nothing but a bug ends in a traceback."""
    try:
        status: Any = program.main(arguments, PROGRAM, standalone_mode=False)
    except click.ClickException as exc:
        return _wrong_usage(exc, arguments)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return Exit.INTERRUPTED
    return status if isinstance(status, int) else Exit.DONE


def _wrong_usage(exc: click.ClickException, arguments: Sequence[str]) -> int:
    try:
        if "--json" in itertools.takewhile(lambda argument: argument != "--", arguments):
            Output(as_json=True).wrong_usage(exc.format_message(), Exit.USAGE)
        exc.show()
    except OSError as failed:
        return cut_off(failed)
    return Exit.USAGE


def _open_standard_streams() -> None:
    """Open a file for each standard stream that is closed; replace what it cannot encode."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: object = getattr(sys, name)
        if stream is None:
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _end(number: signal.Signals) -> NoReturn:
    """Give the card back on the way out."""
    sys.exit(_ENDING[number.name])


def main() -> None:
    """Run the program."""
    catch(heeded(*_ENDING), _end)
    _open_standard_streams()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
