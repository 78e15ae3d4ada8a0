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

from wsrc import __version__
from wsrc.command_line.completion import PROGRAM
from wsrc.command_line.groups import Late, Place, shared_options
from wsrc.command_line.invocation import Exit, cut_off
from wsrc.process.signals import catch, heeded
from wsrc.settings.click_options import HELP_OPTIONS

_ENDING = {"SIGTERM": Exit.TERMINATED, "SIGHUP": Exit.HUNG_UP}


def _place(module: str, name: str, sentence: str) -> Place:
    return Place(f"wsrc.command_line.{module}", name, sentence)


COMMANDS = {
    "list": _place("cards", "list_", "List the cards that are there."),
    "info": _place("cards", "info", "Show one card and its ATR, without taking it."),
    "apdu": _place("apdu", "apdu", "Send command APDUs and show the responses."),
    "reset": _place("apdu", "reset", "Reset a card and show its new ATR."),
    "script": _place(
        "apdu", "script", "Run a file of command APDUs and check their status words and data."
    ),
    "shell": _place("apdu", "shell", "Talk to a card at a prompt."),
    "read": _place(
        "read", "read", "Read what a card has under names, such as iccid, imsi or profiles."
    ),
    "take": _place("take", "take", "Hold a card until a command ends, or a shell."),
    "give-back": _place(
        "giving",
        "give_back",
        "Give back the card that `wsrc take` holds, and hang up on its command.",
    ),
    "allow": _place("giving", "allow", "Let a colleague share the card that `wsrc take` holds."),
    "lend": _place(
        "giving",
        "lend",
        "Hand the card that `wsrc take` holds to a colleague, and hang up on its command.",
    ),
    "watch": _place("cards", "watch", "Show cards as they come, change and go."),
    "tag": _place("tagging", "tag", "Set tags of a card, or of a reader without one."),
    "comment": _place(
        "tagging",
        "comment",
        "Note something of a card, or of a reader without one, for all who may list it.",
    ),
    "who": _place("uses", "who", "Show who has the cards, and who waits for them."),
    "revoke": _place("uses", "revoke", "Take a card back from those who have it."),
    "reserve": _place("reserving", "reserve", "Have a card kept for a time to come."),
    "reservations": _place("reserving", "reservations", "Show which cards are reserved."),
    "cancel": _place("reserving", "cancel", "Give up a reservation."),
    "admin": _place("admin", "admin", "Run the server that cards are used by."),
    "readers": _place("readers", "readers", "Show the readers, empty ones too."),
    "status": _place(
        "verbs",
        "status",
        "Show what the card host's PC/SC says of a card: reader, state, protocol, ATR.",
    ),
    "control": _place(
        "verbs", "control", "Send a control code to the reader itself and show its answer."
    ),
    "attribute": _place("verbs", "attribute", "Show attributes of a reader, or set one."),
    "pcsc": _place("pcsc", "pcsc", "Give unchanged PC/SC programs cards that are elsewhere."),
    "lpac": _place("bridges", "lpac", "Run lpac to manage the profiles of an eUICC."),
    "vpcd": _place(
        "bridges",
        "vpcd",
        "Put a card into the system's pcscd, for programs that use the PC/SC of the system.",
    ),
    "completion": _place("completion", "completion", "Print the completion of `wsrc` for a shell."),
    "help": _place("about", "help_", "Show the help of a command, or of all."),
    "version": _place("about", "version", "Show the version."),
    "sample": _place("sample", "sample", "Print a file to begin with, or which there are."),
}
"""Every command; its module is loaded when it is called."""


EXITS = "\b\nExit status:\n" + "\n".join(f"  {each.value:>3}  {each.meaning}" for each in Exit)


@click.group(
    PROGRAM,
    cls=Late,
    params=shared_options(),
    places=COMMANDS,
    context_settings=HELP_OPTIONS,
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
            from wsrc.command_line.output import Output  # noqa: PLC0415 - help prints none of it

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
