# SPDX-License-Identifier: Apache-2.0
"""
Users of a night as a program: they take, hold, share and lend cards, and tell what they were told.

    python -c 'from tests.soak.night_user import main; main()' --server-url URL ... NAME...

Prints one JSON object a line, of `night_events.Event`. SIGTERM asks for the end: each user gives up
what it waits for, and gives back what it has.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.soak import night_events as told
from tests.support.counter import READ_COUNTER, SELECT_USIM, VERIFY_PIN
from tests.support.tokens import now
from wsrc.aio import Card, Client
from wsrc.card.slot import Pick, Share
from wsrc.errors import (
    CardError,
    CardWasResetError,
    ConnectionLostError,
    NotExecutedError,
    OutcomeUnknownError,
    RefusedError,
    SessionLostError,
    WsrcError,
)

# Longer than the aim: all that a user does in a night, and what it tells of that.

ASK_PIN = bytes.fromhex("00200001")
INCREASE = bytes.fromhex("80329c000300000100")

WAIT_S = 8.0
"""How long a user waits for a card."""

IMPATIENT = 0.15
"""Share of the requests that are given up while they wait."""

MEETING_S = 3.0
"""How long a holder waits for whom the card is shared with or lent to."""


class NightUser:
    """
    One user.

    Args:
        given: The command line.
        name: Of the principal.
        stop: Asks for the end.
        others: The users of this program, by their names, this one too.
    """

    def __init__(
        self,
        given: argparse.Namespace,
        name: str,
        stop: asyncio.Event,
        others: dict[str, "NightUser"],
    ) -> None:
        self.name = name
        self._given = given
        self._stop = stop
        self._others = others
        self._draw = random.Random(f"{given.seed}/{name}/{given.run}")
        self._number = given.run * 1_000_000
        self._invited: asyncio.Queue[tuple[str, str]] = asyncio.Queue(8)
        self._client: Client
        self._patience: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Use cards until the end."""
        given = self._given
        folder = Path(given.folder)
        while not self._stop.is_set():
            try:
                async with Client(
                    given.server_url,
                    ca=given.ca,
                    token_file=folder / f"{self.name}.token",
                    keep_s=given.keep_s,
                    seal=self._draw.choice(("off", "required")),
                    known_hosts=folder / "known_hosts",
                ) as self._client:
                    await self._client.greeted()
                    await self._use_cards()
            except ConnectionLostError:
                await asyncio.sleep(0.2)  # the server is away

    async def _use_cards(self) -> None:
        """Do what is drawn, again and again, until the end."""
        acts: dict[Callable[[], Coroutine[Any, Any, None]], int] = {
            self._take_any: 8,
            self._take_one: 5,
            self._hold: 4,
            self._share: 4,
            self._allow: 3,
            self._lend: 3,
            self._reserve: 3,
        }
        while not self._stop.is_set():
            if not self._invited.empty():
                await self._visit(*self._invited.get_nowait())
                continue
            self._client.check()
            (act,) = self._draw.choices(list(acts), list(acts.values()))
            await act()
            await self._pause(0.3)

    async def _take_any(self) -> None:
        async with self._any() as card:
            if card is not None:
                await self._work(card, self._draw.randint(1, 6))

    async def _take_one(self) -> None:
        async with self._one(self._draw.choice(self._given.wanted)) as card:
            if card is not None:
                await self._work(card, self._draw.randint(1, 6))

    async def _hold(self) -> None:
        """Have a card alone for a while, which may be one that others would share."""
        common = self._draw.random() < 0.5
        holding = self._one(self._draw.choice(self._given.common)) if common else self._any()
        async with holding as card:
            if card is not None and await self._work(card, 2):
                await self._pause(3.0)
                await self._work(card, 2, begins=False)

    async def _reserve(self) -> None:
        """Have a card kept, and take it by the token, or give that up."""
        which: dict[str, Any] = {"iccid": self._draw.choice(self._given.wanted)}
        if self._draw.random() < 0.5:
            which = {"pick": Pick.ANY, "tags": {"kind": self._draw.choice(self._given.kinds)}}
        begins = datetime.now(UTC) + timedelta(seconds=self._draw.uniform(0.0, 1.5))
        try:
            made = await self._client.reserve(self._draw.uniform(3.0, 6.0), begins=begins, **which)
        except RefusedError:
            return
        info = made.reservation
        times = [datetime.fromisoformat(each).timestamp() for each in (info.begins, info.ends)]
        iccid = info.card.removeprefix("iccid ")
        _say(told.Reserved(self.name, info.number, now(), iccid, *times, info.any))
        await self._list()
        await self._pause(2.0)
        if self._draw.random() < 0.25:
            _say(told.Cancels(self.name, info.number, now()))
            await self._client.cancel_reservation(info.number)
            return
        for _ in range(self._draw.randint(1, 2)):
            await self._take_reserved(info.number, made.token)
        await self._list()

    async def _take_reserved(self, number: int, token: str) -> None:
        asked = self._ask("exclusive", reservation=number)
        wish = {"reservation": token, "wait_s": WAIT_S}
        async with self._given_card(asked, wish) as card:
            if card is not None:
                await self._work(card, self._draw.randint(1, 3))

    async def _list(self) -> None:
        at = now()
        own = tuple(each.number for each in await self._client.reservations() if each.own)
        _say(told.Listed(self.name, at, now(), own))

    async def _share(self) -> None:
        """Share a card with whoever would."""
        async with self._one(self._draw.choice(self._given.common), Share.SHARED) as card:
            if card is not None:
                await self._work_beside(card, self._draw.randint(1, 4))

    async def _allow(self) -> None:
        """Let one other share a card, who is told of it, and an outsider who is told as well."""
        guest, outsider = self._partners()
        async with self._any() as card:
            if card is None or not await self._work(card, 1):
                return
            with contextlib.suppress(WsrcError):
                await card.allow(guest.name)
                _say(told.Allowed(card.session[:8], guest.name))
                iccid = card.info.identities.iccid or ""
                guest.invite(iccid, Share.SHARED)
                outsider.invite(iccid, Share.SHARED)
            await self._pause(MEETING_S)
            await self._work_beside(card, 2)

    async def _lend(self) -> None:
        """Hand a card over to another, who is told of it."""
        friend, _ = self._partners()
        async with self._any() as card:
            if card is None or not await self._work(card, 1):
                return
            with contextlib.suppress(WsrcError):
                await card.lend(friend.name)
                _say(told.Lent(card.session[:8], friend.name, now()))
                friend.invite(card.info.identities.iccid or "", Share.EXCLUSIVE)

    def _partners(self) -> tuple["NightUser", "NightUser"]:
        others = [each for each in self._others.values() if each is not self] or [self]
        return self._draw.choice(others), self._draw.choice(others)

    def invite(self, iccid: str, share: Share) -> None:
        """Tell a user of a card; who has been told of too many forgets this one."""
        with contextlib.suppress(asyncio.QueueFull):
            self._invited.put_nowait((iccid, share.value))

    async def _visit(self, iccid: str, share: str) -> None:
        async with self._one(iccid, Share(share), wait_s=0.5) as card:
            if card is None:
                return
            if Share(share) is Share.SHARED:
                await self._work_beside(card, 2)
            else:
                await self._work(card, 2)

    @contextlib.asynccontextmanager
    async def _any(self) -> AsyncGenerator[Card | None, None]:
        kind = self._draw.choice(self._given.kinds)
        number = self._ask("exclusive", kind=kind)
        wish = {"pick": Pick.ANY, "tags": {"kind": kind}, "wait_s": WAIT_S}
        async with self._given_card(number, wish) as card:
            yield card

    @contextlib.asynccontextmanager
    async def _one(
        self, iccid: str, share: Share = Share.EXCLUSIVE, wait_s: float = WAIT_S
    ) -> AsyncGenerator[Card | None, None]:
        number = self._ask(share.value, iccid=iccid)
        wish = {"iccid": iccid, "share": share, "wait_s": wait_s}
        async with self._given_card(number, wish) as card:
            yield card

    def _ask(self, share: str, **which: Any) -> int:
        self._number += 1
        _say(told.Asked(self.name, self._number, now(), share, **which))
        return self._number

    @contextlib.asynccontextmanager
    async def _given_card(
        self, number: int, wish: dict[str, Any]
    ) -> AsyncGenerator[Card | None, None]:
        """Take a card, and give it back; None if there is none."""
        card = await self._select(number, wish)
        try:
            yield card
        finally:
            if card is not None:
                with contextlib.suppress(WsrcError):
                    await card.detach()

    async def _select(self, number: int, wish: dict[str, Any]) -> Card | None:
        gives_up = self._draw.random() < IMPATIENT

        def hear(_waiting: object) -> None:
            _say(told.Waits(self.name, number, now()))
            if gives_up:
                self._leave_in(self._draw.uniform(0.0, 0.5))

        try:
            async with asyncio.timeout(None) as self._patience:
                if self._stop.is_set():
                    self.leave()
                card = await self._client.select(on_waiting=hear, **wish)
        except TimeoutError:
            _say(told.Ended(self.name, number, now(), "given_up"))
            return None
        except WsrcError as exc:
            code = str(exc.code) if isinstance(exc, RefusedError) else type(exc).__name__
            _say(told.Ended(self.name, number, now(), code, str(exc)))
            return None
        iccid = card.info.identities.iccid or ""
        _say(told.Took(self.name, number, now(), card.session[:8], iccid))
        self._hear_of(card)
        return card

    def leave(self) -> None:
        """Give up what is waited for."""
        self._leave_in(0.0)

    def _leave_in(self, delay_s: float) -> None:
        if self._patience is not None and not self._patience.expired():
            with contextlib.suppress(RuntimeError):  # it was over already
                self._patience.reschedule(asyncio.get_running_loop().time() + delay_s)

    def _hear_of(self, card: Card) -> None:
        session = card.session[:8]

        def over(exc: WsrcError) -> None:
            code = str(exc.code) if isinstance(exc, SessionLostError) else type(exc).__name__
            _say(told.Lost(self.name, session, now(), code, str(exc)))

        card.when_over(over)

    async def _work(self, card: Card, count: int, *, begins: bool = True) -> bool:
        """Have the card of a user alone count; tell whether the session lives."""
        session = card.session[:8]
        try:
            if begins:
                pin = await card.transmit(ASK_PIN)
                await _checked(card, SELECT_USIM)
                await _checked(card, VERIFY_PIN)
                total = int.from_bytes(await _checked(card, READ_COUNTER))
                _say(told.Found(session, f"{pin.sw:04x}", total))
            for _ in range(count):
                await self._count(card)
                await self._pause(0.15)
        except WsrcError as exc:
            return self._failed(exc)
        return True

    async def _work_beside(self, card: Card, count: int) -> None:
        """Have a card count that others share, in transactions."""
        try:
            for _ in range(count):
                async with card.transaction():
                    await _checked(card, SELECT_USIM)
                    await _checked(card, VERIFY_PIN)
                    await _checked(card, READ_COUNTER)
                    await self._count(card)
                await self._pause(0.15)
        except WsrcError as exc:
            self._failed(exc)

    async def _count(self, card: Card) -> None:
        """Have a card count once."""
        try:
            answer = await _checked(card, INCREASE)
        except (SessionLostError, NotExecutedError, CardWasResetError, RefusedError):
            raise
        except WsrcError:
            _say(told.Doubted(card.session[:8]))
            raise
        _say(told.Counted(card.session[:8], int.from_bytes(answer[:3])))

    def _failed(self, exc: WsrcError) -> bool:
        """Tell of an error that nothing of a night explains; return that the session is over."""
        expected = SessionLostError, NotExecutedError, OutcomeUnknownError, CardError, RefusedError
        if not isinstance(exc, (*expected, CardWasResetError)):
            _say(told.Broke(self.name, f"{type(exc).__name__}: {exc}"))
        return False

    async def _pause(self, most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._draw.uniform(0.0, most_s)):
                await self._stop.wait()


async def _checked(card: Card, command: bytes) -> bytes:
    response = await card.transmit(command)
    if response.sw != 0x9000:
        raise CardError(f"{command[:4].hex()} was answered {response.sw:04X}")
    return response.data


def _say(event: told.Event) -> None:
    sys.stdout.write(told.text_of(event) + "\n")
    sys.stdout.flush()


async def _main(given: argparse.Namespace) -> None:
    stop = asyncio.Event()
    users: dict[str, NightUser] = {}

    def end() -> None:
        stop.set()
        for user in users.values():
            user.leave()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    for name in given.name:
        users[name] = NightUser(given, name, stop, users)
    async with asyncio.TaskGroup() as tasks:
        for user in users.values():
            tasks.create_task(user.run())


def _list(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Use the cards of a farm, and tell of it.")
    parser.add_argument("name", nargs="+", help="principals, each with a file of its token")
    parser.add_argument("--server-url", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--run", type=int, required=True, help="how often these users died before")
    parser.add_argument("--folder", required=True, help="of tokens and known hosts")
    parser.add_argument("--keep-s", type=float, required=True)
    parser.add_argument("--kinds", type=_list, required=True, help="of which any card is taken")
    parser.add_argument("--wanted", type=_list, required=True, help="ICCIDs that many want")
    parser.add_argument("--common", type=_list, required=True, help="ICCIDs of shared cards")
    logging.getLogger("wsrc.user_client.core.seals").setLevel(logging.ERROR)  # a key is new once
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
