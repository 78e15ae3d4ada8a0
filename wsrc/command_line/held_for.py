# SPDX-License-Identifier: Apache-2.0
"""A card that `wsrc take` holds: the command that it is held for, and who asks for it meanwhile."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import assert_never

import msgspec

from wsrc.card.slot import Disposition, Share
from wsrc.command_line.holding import Hold
from wsrc.command_line.invocation import Exit, Invocation
from wsrc.command_line.notes import heard
from wsrc.command_line.program_run import run_program, status_of
from wsrc.errors import ConnectionLostError, NoSuchCardError, WsrcError
from wsrc.hold.control import Answer, Asked, Wish, controlled
from wsrc.hold.folder import Folder, base_of
from wsrc.hold.local import EXTRA_S, offered
from wsrc.hold.reader import HeldSource
from wsrc.settings.held import VARIABLE, HeldFile
from wsrc.user_client.aio import Card, Client

END_S = 5.0
"""How long a command may take to end once it is told to."""

_NOT_INSIDE = ("WSRC_RESERVATION", "WSRC_TOKEN")
"""What the environment has for the server, and not for that on loopback."""


async def take_for(call: Invocation, hold: Hold, taken: "Taken") -> int:
    """Take a card, hold it for a command, and return the exit status of that."""
    base_of(os.environ)
    with heard(call.output):
        client = Client.from_settings(call.settings)
        client.prepare()
        async with client:
            card = await _selected(client, call, hold)
            try:
                with Folder(os.environ) as folder:
                    return await taken.run(card, folder)
            finally:
                with suppress(ConnectionLostError):
                    await card.detach(disposition=taken.after, wait=False)


async def _selected(client: Client, call: Invocation, hold: Hold) -> Card:
    """Make a card ours, with raw TPDUs where its host has them."""

    async def select(*, raw_tpdu: bool) -> Card:
        return await client.select(
            wait_s=hold.wait_s,
            on_waiting=call.output.waiting,
            raw_tpdu=raw_tpdu,
            look_ahead=raw_tpdu,
            share=hold.share,
            protocols=hold.protocols,
            pick=hold.pick,
            reservation=hold.reservation,
            **hold.which,
        )

    try:
        return await select(raw_tpdu=True)
    except NoSuchCardError as exc:
        inside = " Inside `wsrc take` there is its card alone; give --server-url for others."
        more = inside if call.only_card else " `wsrc list` shows all."
        raise NoSuchCardError(f"{exc}{more}") from exc


class Taken:
    """
    A card that is held, the command that it is held for, and who asks for it meanwhile.

    `after` is what is done with it at the end where others share it.
    """

    def __init__(
        self, call: Invocation, command: Sequence[str], share: Share, *, resets: bool
    ) -> None:
        self.after = Disposition.LEAVE if share is Share.SHARED else Disposition.RESET
        self._call = call
        self._command = command
        self._resets = resets
        self._ending = asyncio.Event()
        self._send: Callable[[signal.Signals], None] | None = None
        self._card: Card | None = None
        self._source: HeldSource | None = None
        self._folder: Folder | None = None
        self._held: HeldFile | None = None

    async def run(self, card: Card, folder: Folder) -> int:
        """Offer the card to a command, and return its exit status."""
        settings = self._call.settings
        limit_s = settings.timeout_s + settings.keep_s + EXTRA_S
        source = HeldSource(card, limit_s, resets=self._resets)
        self._card, self._source, self._folder = card, source, folder
        async with (
            offered(card, source, settings, folder) as self._held,
            controlled(folder.control, self._asked),
        ):
            folder.tell(self._held)
            card.when_over(self._lost)
            inside = {k: v for k, v in os.environ.items() if k not in _NOT_INSIDE}
            return await self._until_ended(inside | {VARIABLE: str(folder.session)})

    async def _until_ended(self, environment: dict[str, str]) -> int:
        """Run the command; give it a moment to end where it is told to, and then end it."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self._status(environment))
            ending = tasks.create_task(self._ending.wait())
            await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({running}, timeout=END_S)
            running.cancel()
            ending.cancel()
        return Exit.HUNG_UP if running.cancelled() else running.result()

    async def _status(self, environment: dict[str, str]) -> int:
        try:
            return await run_program(self._command, environment, self)
        except OSError as exc:
            self._call.output.complain(f"wsrc: {self._command[0]}: {exc.strerror}")
            return status_of(exc)

    # See `program_run.Watch`

    def begun(self, send: Callable[[signal.Signals], None]) -> None:
        """Take note that the command runs."""
        self._send = send

    def came(self, number: signal.Signals) -> None:
        """End in a moment, whatever the command makes of the signal, where it is to end us."""
        if number in {signal.SIGTERM, signal.SIGHUP}:
            asyncio.get_running_loop().call_later(END_S, self._hang_up)

    def _hang_up(self) -> None:
        """Hang up on the command, as a terminal does that is closed."""
        self._ending.set()
        if self._send is not None:
            self._send(signal.SIGHUP)
            self._send(signal.SIGCONT)

    def _lost(self, why: WsrcError) -> None:
        self._over(why)
        self._call.output.complain(f"wsrc: {why}")

    def _over(self, why: WsrcError) -> None:
        """Have programs inside told that there is no card any more, and why."""
        assert self._source is not None
        assert self._folder is not None
        assert self._held is not None
        if self._held.over is not None:
            return
        self._held = msgspec.structs.replace(self._held, over=str(why))
        self._source.over(why)
        with suppress(OSError):
            self._folder.tell(self._held)

    async def _asked(self, asked: Asked) -> Answer:
        """Do what another command of our user wants with the card."""
        card, until = self._card, None
        assert card is not None
        match asked.wish:
            case Wish.ALLOW:
                await card.allow(asked.who)
                self.after = Disposition.LEAVE
                return Answer()
            case Wish.LEND:
                until = await card.lend(asked.who)
                why = f"The card was lent to {asked.who}."
            case Wish.GIVE_BACK:
                with suppress(ConnectionLostError):  # the server gives it back by itself then
                    await card.detach(disposition=self.after)
                why = "The card was given back by `wsrc give-back`."
            case _:
                assert_never(asked.wish)
        self._over(NoSuchCardError(why))
        self._call.output.note(why)
        # The answer goes before the command can end us.
        asyncio.get_running_loop().call_later(0.1, self._hang_up)
        return Answer(until=until)
