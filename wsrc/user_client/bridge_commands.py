# SPDX-License-Identifier: Apache-2.0
"""Commands that put a remote card where a program looks for a card: `lpac`, `vpcd`."""

import sys
from collections.abc import Sequence

import click

from wsrc.user_client import lpac as stdio
from wsrc.user_client.invocation import (
    Exit,
    Invocation,
    card_options,
    exit_status,
    require_selection,
    user_command,
    wait_option,
)
from wsrc.user_client.naming import Filters


@user_command(
    "lpac",
    "wsrc lpac --eid 89049032000000000000000000000013 -- lpac profile list",
    "socat EXEC:'env LPAC_APDU=stdio lpac chip info' EXEC:'wsrc lpac --card blue'",
)
@card_options
@wait_option
@click.argument("program", nargs=-1, metavar="[-- PROGRAM ARGS…]")
def lpac(call: Invocation, which: Filters, wait_s: float, program: Sequence[str]) -> int:
    """
    Let lpac manage the profiles of a eUICC.

    With PROGRAM, run it with LPAC_APDU=stdio and be its card; what else it writes is shown, and
    its exit status is given on. Without, requests come on standard input and are answered on
    standard output, and what else lpac writes is shown on standard error.
    """
    with call.client() as client:
        require_selection(client, which)
        card = stdio.LpacCard(lambda: call.select(client, which, wait_s), call.output.complain)
        if program:
            return stdio.run(card, program, _ask_user)

        def other(line: str) -> str | None:
            call.output.complain(line)
            return stdio.NO_HTTP if stdio.is_http(line) else None

        stdio.serve(card, sys.stdin, sys.stdout, other)
    return Exit.DONE if card.fault is None else exit_status(card.fault)


# What follows the program's name is the program's.
lpac.allow_interspersed_args = False


def _ask_user(line: str) -> str | None:
    """Show a line; give the next line of standard input where lpac waits for a web page."""
    click.echo(line)
    if not stdio.is_http(line):
        return None
    return sys.stdin.readline().rstrip("\n") or stdio.NO_HTTP
