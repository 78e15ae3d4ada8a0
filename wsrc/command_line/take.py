# SPDX-License-Identifier: Apache-2.0
"""The command `take`: a card for a shell or a command, and for every command inside."""

import os

import click

from wsrc.card.slot import Pick, Share
from wsrc.command_line.holding import Hold, hold_options
from wsrc.command_line.invocation import (
    Invocation,
    require_selection,
    user_command,
)


@user_command(
    "take",
    "wsrc take --any --tag kind=sgp22",
    "wsrc take --label blue --wait 600 -- make test",
    "wsrc take --any -- sh -c 'wsrc read iccid; wsrc apdu 00A4000C023F00'",
    notes="The exit status is that of the command, 127 if there is none, and 128 + n if it was "
    "ended by signal n; that of wsrc where no card can be had.\n\n",
)
@hold_options(Share.EXCLUSIVE, Share.SHARED, protocols=("t0", "t1"))
@click.option(
    "--reset-between",
    is_flag=True,
    help="Reset the card between two commands inside; else it stays as it is.",
)
@click.argument("command", nargs=-1, metavar="[-- COMMAND [ARGUMENT]...]")
def take(
    call: Invocation,
    hold: Hold,
    command: tuple[str, ...],
    *,
    reset_between: bool,
) -> int:
    """
    Hold a card until a command ends, or a shell.

    Every `wsrc` command inside finds the card without a selection, and so do programs of `pcsc`,
    pyscard, lpac and pySim; --server-url leads to other cards. The card stays as one command left
    it for the next: a PIN that was verified is verified.

    SIGTERM and SIGHUP go to the command; the card is given back 5 s later at the latest. `wsrc
    give-back` gives it back from elsewhere, and hangs up on the command; `wsrc allow` and `wsrc
    lend` share it and hand it over.
    """
    if hold.pick is Pick.ONE and hold.reservation is None and not hold.which:
        with call.client() as client:
            require_selection(client, hold.which)
    from wsrc.command_line.held_for import Taken, take_for  # noqa: PLC0415 - help needs no network
    from wsrc.process.loop import run_main  # noqa: PLC0415 - as above

    shell = command or (os.environ.get("SHELL") or "/bin/sh",)
    taken = Taken(call, shell, hold.share, resets=reset_between)
    return run_main(take_for(call, hold, taken))


# What follows the name of the command is the command's.
take.allow_interspersed_args = False
