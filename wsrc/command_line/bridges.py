# SPDX-License-Identifier: Apache-2.0
"""Commands that put a remote card where a program looks for a card: `lpac`, `vpcd`."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from wsrc.bridges import lpac as stdio
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.bridges.remote.shelf import Place
from wsrc.bridges.vpcd import PORT, VpcdSlot
from wsrc.card.slot import Pick
from wsrc.command_line.holding import Hold, any_option, reservation_option
from wsrc.command_line.invocation import (
    NONE_YET,
    Exit,
    Invocation,
    ambiguous,
    card_options,
    exit_status,
    require_selection,
    user_command,
    wait_option,
)
from wsrc.command_line.program_run import status_of
from wsrc.command_line.showing import ONLY_ONE, Wanted, cards_of, one_of, queue_option
from wsrc.errors import ConfigError
from wsrc.net.tls_files import SELDOM_S, ClientTls, looked_after
from wsrc.process.loop import run_main
from wsrc.process.signals import service
from wsrc.process.texts import heed_mark
from wsrc.protocol.messages import CardInfo
from wsrc.readers.pcsc import reader_names
from wsrc.settings.hosts import host_name, is_loopback
from wsrc.settings.load import CardClientSettings, load
from wsrc.user_client.blocking import Card
from wsrc.user_client.naming import Filters, alternatives, exactly


@user_command(
    "lpac",
    "wsrc lpac --eid 89049032000000000000000000000013 -- lpac profile list",
    "socat EXEC:'env LPAC_APDU=stdio lpac chip info' EXEC:'wsrc lpac --card blue'",
)
@card_options
@wait_option
@any_option
@reservation_option
@click.argument("program", nargs=-1, metavar="[-- PROGRAM ARGS…]")
def lpac(  # noqa: PLR0913 - the options of a command, each by its name
    call: Invocation,
    which: Filters,
    wait_s: float,
    *,
    pick: Pick,
    reservation: str | None,
    program: Sequence[str],
) -> int:
    """
    Run lpac to manage the profiles of an eUICC.

    With PROGRAM, run it with LPAC_APDU=stdio and serve as its card; what else it writes is shown,
    and its exit status is returned, 127 if there is no such program. Without, requests come on
    standard input and are answered on standard output, and what else lpac writes is shown on
    standard error.
    """
    # Longer than the aim: what lpac is told and asked is one thing.
    with call.client() as client:
        if pick is Pick.ONE and reservation is None:
            require_selection(client, which)
        wanted = [Hold(which, wait_s, pick=pick, reservation=reservation)]

        def take() -> Card:
            """Take a card; of any, the one that was taken before."""
            taken = call.select(client, wanted[0])
            if pick is Pick.ANY and (again := exactly(taken.info)):
                wanted[0] = Hold(again, wait_s)
            return taken

        card = stdio.LpacCard(take, call.output.complain)
        if program:
            with call.output.at_risk():
                return _run(call, card, program)

        def other(line: str) -> str | None:
            call.output.complain(line)
            return stdio.NO_HTTP if stdio.is_http(line) else None

        with call.output.at_risk():
            heed_mark(sys.stdin)
            stdio.serve(card, sys.stdin, sys.stdout, other)
    return Exit.DONE if card.fault is None else exit_status(card.fault)


# What follows the program's name is the program's.
lpac.allow_interspersed_args = False


def _run(call: Invocation, card: stdio.LpacCard, program: Sequence[str]) -> int:
    try:
        process = stdio.start(program)
    except OSError as exc:
        call.output.complain(f"wsrc: {program[0]}: {exc.strerror}")
        return status_of(exc)
    return stdio.run(card, process, lambda line: _ask_user(call, line))


def _ask_user(call: Invocation, line: str) -> str | None:
    """Show a line; return the next one of standard input where lpac waits for a web page."""
    call.output.line(line)
    if not stdio.is_http(line):
        return None
    return sys.stdin.readline().rstrip("\n") or stdio.NO_HTTP


@user_command(
    "vpcd",
    "wsrc vpcd --iccid 8988211000000000013",
    "wsrc vpcd --card blue --port 35964",
    "wsrc vpcd --any --tag kind=sgp22",
)
@card_options
@any_option
@reservation_option
@queue_option
@click.option(
    "--host", default="127.0.0.1", metavar="HOST", help="Where pcscd runs.  [default: 127.0.0.1]"
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=PORT,
    metavar="PORT",
    help=f"Port of the slot of vpcd.  [default: {PORT}]",
)
@click.option(
    "--idle-s",
    type=click.FloatRange(min=0),
    default=5.0,
    metavar="S",
    help="Seconds to keep the card after pcscd powered it off.  [default: 5]",
)
def vpcd(  # noqa: PLR0913 - the options of a command, each by its name
    call: Invocation,
    which: Filters,
    *,
    pick: Pick,
    reservation: str | None,
    wait_s: float,
    host: str,
    port: int,
    idle_s: float,
) -> None:
    """
    Put a card into the system's pcscd, for programs that use the PC/SC of the system.

    pcscd must have the virtual reader driver vpcd (Debian package vsmartcard-vpcd). The card is
    taken when a program first uses it and given back when pcscd has powered it off. It runs until
    SIGINT or SIGTERM. SIGHUP has the certificate, key and CA read anew; it ends a service whose
    terminal was closed. With --any the slot has any free card of those that match, until another
    user has that.
    """
    tls = ClientTls(call.settings)
    cards = cards_of(call, _wanted(call, which, pick, reservation, wait_s), tls)
    is_own = _is_of_this_host if is_loopback(host) else None
    slot = VpcdSlot(cards, (host, port), idle_s, call.output.note, is_own=is_own)
    run_main(_serve_slot(call, cards, slot, tls))


def _wanted(
    call: Invocation, which: Filters, pick: Pick, reservation: str | None, wait_s: float
) -> Wanted:
    if pick is Pick.ANY or reservation is not None:
        return one_of(call, dict(which), reservation, wait_s)
    if wait_s:
        raise click.UsageError(ONLY_ONE)
    if not which:
        with call.client() as client:
            require_selection(client, which)
    kinds = {kind: [value] for kind, value in which.items() if isinstance(value, str)}
    return alternatives(kinds, which.get("tags"))


async def _serve_slot(call: Invocation, cards: RemoteCards, slot: VpcdSlot, tls: ClientTls) -> None:
    """Serve until a signal; cards are given back with the connection."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        await cards.begun()
        require_one(slot.places)
        if not slot.places and not cards.waits:
            call.output.note(NONE_YET)
        await slot.run()

    with (
        looked_after(tls.files, SELDOM_S) as reload,
        service(
            lambda: loop.call_soon_threadsafe(stop.set), lambda: loop.call_soon_threadsafe(reload)
        ),
    ):
        try:
            async with asyncio.TaskGroup() as tasks:
                at_work = [tasks.create_task(each) for each in (cards.run(slot.look), serve())]
                await stop.wait()
                for task in at_work:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None


def _is_of_this_host(card: CardInfo) -> bool:
    """Return whether the PC/SC of this machine has the reader of a card, as far as names tell."""
    return card.host in _names_of_this_host() and card.reader_name in reader_names()


def _names_of_this_host() -> set[str]:
    """Return what card clients of this machine are called: by default, and by their settings."""
    names = {host_name()}
    with suppress(ConfigError):
        home = {name: text for name, text in os.environ.items() if name == "HOME"}
        names.add(load(CardClientSettings, home).name)
    return names


def require_one(places: Sequence[Place]) -> None:
    """
    Check that at most one card is selected; one that is absent may come later.

    Raises:
        AmbiguousCardError: If there are several.
    """
    cards = [place.card for place in places if place.seen.present]
    if len(cards) > 1:
        raise ambiguous(cards)
