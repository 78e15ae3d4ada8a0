# SPDX-License-Identifier: Apache-2.0
"""
Users as a program: each has one card, adds to its counter, and tells what it was told.

    python -m tests.soak.user --server-url URL --ca FILE --seed SEED ICCID...

Prints one JSON object a line, of `ledger.Event`. SIGTERM asks for the end: each user finishes what
it does, takes its card once more, and says that it is done.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import signal
import sys

import msgspec

from tests.soak.ledger import Done, Event, Given, Outcome, Selected, Taken, Told, Troubled
from tests.support.counter import READ_COUNTER, SELECT_USIM, VERIFY_PIN
from wsrc.aio import Card, Client, Response
from wsrc.errors import (
    CardError,
    ConnectionLostError,
    NotExecutedError,
    Outcome as Known,
    RefusedError,
    SessionLostError,
    WsrcError,
)

ASK_PIN = bytes.fromhex("00200001")
SELECT_COUNTER = bytes.fromhex("00a40804047fff6f3900")
READ_SELECTED = bytes.fromhex("00b2010403")

MAX_BATCH = 12
MAX_REQUESTS = 40
"""Most requests between two selections."""

READ_AHEAD, LOOKS = 0.5, 0.25
"""How many sessions are read ahead, and before how many requests the counter is looked at."""

PAUSE_S = 0.02
"""How long a user waits before it tries again what failed."""

_encoder = msgspec.json.Encoder()


class SoakUser:
    """
    One user and one card.

    Args:
        settings: The command line.
        iccid: The card, which nobody else uses.
        seal: Whether its sessions are sealed.
        stop: Asks for the end.
    """

    def __init__(
        self, settings: argparse.Namespace, iccid: str, seal: str, stop: asyncio.Event
    ) -> None:
        self.name = f"user-{iccid[-3:]}"
        self._settings = settings
        self._iccid = iccid
        self._seal = seal
        self._stop = stop
        self._draw = random.Random(f"{settings.seed}/{iccid}")
        self._number = 0

    async def run(self) -> None:
        """Take the card again and again, until the end."""
        done = False
        while not done:
            done = await self._connected()
        _say(Done(self.name))

    async def _connected(self) -> bool:
        """Use one client; tell whether the user is done."""
        given = self._settings
        try:
            async with Client(
                given.server_url,
                ca=given.ca,
                name=self.name,
                ping_s=given.ping_s,
                keep_s=given.keep_s,
                seal=self._seal,
                known_hosts=given.known_hosts,
            ) as client:
                while True:
                    stopping = self._stop.is_set()
                    leaving = self._draw.random() < given.goodbyes
                    requests = 0 if stopping else self._draw.randint(1, MAX_REQUESTS)
                    taken = await self._lease(client, requests, detach=not leaving)
                    if leaving or (taken and stopping):
                        return taken and stopping
        except WsrcError as exc:
            self._trouble("connect", exc)
            await asyncio.sleep(PAUSE_S)
            return False

    async def _lease(self, client: Client, requests: int, *, detach: bool) -> bool:
        """Take the card and use it; tell whether it could be taken."""
        try:
            card = await client.select(
                iccid=self._iccid,
                wait_s=self._settings.wait_s,
                read_ahead=self._draw.random() < READ_AHEAD,
            )
        except ConnectionLostError:
            raise
        except WsrcError as exc:
            self._trouble("select", exc)
            await asyncio.sleep(PAUSE_S)
            return False
        begun = await self._begin(card)
        lives = begun
        while lives and requests and not self._stop.is_set():
            requests -= 1
            looks = self._draw.random() < LOOKS
            lives = (not looks or await self._look(card)) and await self._request(card)
        if detach:
            await self._detach(card)
        return begun

    async def _begin(self, card: Card) -> bool:
        """Look at the PIN and the counter of a fresh card, and verify the PIN."""
        try:
            pin = await card.transmit(ASK_PIN)
            _say(Selected(self.name, f"{pin.sw:04x}"))
            await _checked(card, SELECT_USIM)
            await _checked(card, VERIFY_PIN)
            counter = await _checked(card, READ_COUNTER)
        except WsrcError as exc:
            self._trouble("begin", exc)
            return False
        _say(Taken(self.name, int.from_bytes(counter.data)))
        return True

    async def _look(self, card: Card) -> bool:
        """Read the counter, which its host may have read ahead; tell whether the session lives."""
        try:
            await _checked(card, SELECT_COUNTER)
            counter = await _checked(card, READ_SELECTED)
        except WsrcError as exc:
            self._trouble("look", exc)
            return False
        _say(Taken(self.name, int.from_bytes(counter.data)))
        return True

    async def _detach(self, card: Card) -> None:
        try:
            await card.detach()
        except WsrcError as exc:
            self._trouble("detach", exc)
        else:
            _say(Given(self.name))

    async def _request(self, card: Card) -> bool:
        """Add to the counter, once or several times; tell whether the session lives."""
        count = self._draw.choice((1, 1, 1, self._draw.randint(2, MAX_BATCH)))
        first = self._number + 1
        self._number += count
        asked = [_addend(number) for number in range(first, first + count)]
        answers, error = await _increase(card, asked)
        rest = Outcome.ANSWERED if error is None else _outcome(error)
        why = "" if error is None else _sentence(error)
        texts = tuple(addend.hex() for addend in asked)
        _say(Told(self.name, first, texts, tuple(map(_text, answers)), rest, why))
        sound = all(answer.sw == 0x9000 for answer in answers)
        return sound and rest is not Outcome.SESSION_LOST

    def _trouble(self, doing: str, exc: WsrcError) -> None:
        _say(Troubled(self.name, doing, _sentence(exc)))


def _addend(number: int) -> bytes:
    """Return 1 in as many octets as tell a command from its neighbours: the card repeats them."""
    return (1).to_bytes(1 + number % 3)


async def _increase(
    card: Card, asked: list[bytes]
) -> tuple[tuple[Response, ...], WsrcError | None]:
    commands = [b"\x80\x32\x9c\x00" + bytes([len(each)]) + each + b"\x00" for each in asked]
    try:
        if len(commands) == 1:
            return (await card.transmit(commands[0]),), None
        batch = await card.batch(commands)
    except WsrcError as exc:
        return (), exc
    return batch.results, batch.error


async def _checked(card: Card, command: bytes) -> Response:
    response = await card.transmit(command)
    if response.sw != 0x9000:
        raise CardError(f"{command[:4].hex()} was answered {response.sw:04X}")
    return response


def _outcome(error: WsrcError) -> Outcome:
    """Say what an error says of the command."""
    if isinstance(error, SessionLostError | ConnectionLostError):
        return Outcome.SESSION_LOST
    if isinstance(error, NotExecutedError | RefusedError):
        return Outcome.NOT_EXECUTED
    if isinstance(error, CardError) and error.outcome is Known.NOT_EXECUTED:
        return Outcome.NOT_EXECUTED
    return Outcome.UNKNOWN


def _text(response: Response) -> str:
    return f"{response.data.hex()}{response.sw:04x}"


def _sentence(exc: WsrcError) -> str:
    return f"{type(exc).__name__}: {exc}"


def text_of(event: Event) -> str:
    """Return an event as the line that tells it."""
    return _encoder.encode(event).decode()


def _say(event: Event) -> None:
    sys.stdout.write(text_of(event) + "\n")
    sys.stdout.flush()


async def _main(settings: argparse.Namespace) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as tasks:
        for number, iccid in enumerate(settings.iccid):
            mixed = "off" if number % 2 else "required"
            seal = mixed if settings.seal == "mixed" else settings.seal
            tasks.create_task(SoakUser(settings, iccid, seal, stop).run())


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Use cards and tell what comes of it.")
    parser.add_argument("iccid", nargs="+", help="a card for each user")
    parser.add_argument("--server-url", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--seal", default="off", help="of all users, or mixed: of every other")
    parser.add_argument("--known-hosts", default=None)
    parser.add_argument("--keep-s", type=float, default=60.0)
    parser.add_argument("--ping-s", type=float, default=10.0)
    parser.add_argument("--wait-s", type=float, default=90.0, help="limit for a busy card")
    parser.add_argument(
        "--goodbyes", type=float, default=0.0, help="share of the leases that are not given back"
    )
    logging.getLogger("wsrc.user_client.core.seals").setLevel(logging.ERROR)  # a key is new once
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
