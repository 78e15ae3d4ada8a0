# SPDX-License-Identifier: Apache-2.0
"""
A program for PC/SC that counts on a card, and what becomes of the way to the card meanwhile.

`running` starts a server, a card client with one simulated card and a proxy before each of the
server's ports; the counter of the card tells how many of a program's commands ran.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import processes
from tests.support.certificates import Certificates
from tests.support.pcsc.bench import SOCKET_VARIABLE, reader_states, wait_until
from tests.support.processes import LIMIT_S, Program, Programs, argv
from tests.support.proxy import Proxy, listening
from tests.support.threads import in_a_thread
from tests.support.world import UICC

COUNT = """
import collections, signal, sys, time
from smartcard import scard

SELECT_USIM = bytes.fromhex("00a4040c10a0000000871002ffffffff8907090000")
VERIFY_PIN = bytes.fromhex("002000010831323334ffffffff")
INCREASE = bytes.fromhex("80329c000101")
READ = bytes.fromhex("00b201e403")
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))

def asked(result):
    assert result == 0, scard.SCardGetErrorMessage(result)

def transmit(command):
    result, answer = scard.SCardTransmit(card, scard.SCARD_PCI_T0, list(command))
    if result == 0 and answer[0] == 0x61:
        result, answer = scard.SCardTransmit(card, scard.SCARD_PCI_T0, [0, 0xC0, 0, 0, answer[1]])
    if result == 0:
        assert answer[-2:] == [0x90, 0], answer
    return result & 0xFFFFFFFF, bytes(answer[:-2])

def prepare():
    for command in (SELECT_USIM, VERIFY_PIN):
        code, _ = transmit(command)
        assert code == 0, hex(code)

def counter():
    code, value = transmit(READ)
    assert code == 0, hex(code)
    return int.from_bytes(value, "big")

result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
asked(result)
reader = scard.SCardListReaders(context, [])[1][0]
result, card, _ = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)
asked(result)
if "transaction" in sys.argv:
    asked(scard.SCardBeginTransaction(card))
prepare()
first = counter()
print("counts", flush=True)
codes = collections.Counter()
while not stopping:
    code, _ = transmit(INCREASE)
    codes[code] += 1
    if code == 0:
        print("answered", codes[0], flush=True)
    else:
        print(f"told {code:#x}", flush=True)
        time.sleep(0.01)
    if code == scard.SCARD_W_RESET_CARD & 0xFFFFFFFF:
        asked(scard.SCardReconnect(card, scard.SCARD_SHARE_SHARED, 3, scard.SCARD_LEAVE_CARD)[0])
        prepare()
        print("reconnected", flush=True)
counted = counter() - first
if "transaction" in sys.argv:
    asked(scard.SCardEndTransaction(card, scard.SCARD_LEAVE_CARD))
print("ended", counted, *(f"{code:#x}={codes[code]}" for code in codes), flush=True)
"""
"""Prints what it is told, and at the end what the card has counted."""


class Ended(NamedTuple):
    """How often the card has counted, and how often the program was told each code."""

    counted: int
    codes: dict[int, int]


class Counting:
    """The programs, and the way between them."""

    def __init__(self, programs: Programs, path: Path, legs: "Legs") -> None:
        self.programs = programs
        self.path = path
        self.legs = legs
        self._near = Programs(programs.certificates, programs._stack)
        self._near.user_port, self._near.card_port = legs.user_port, legs.card_port

    def card_client(self) -> Program:
        client = self._near.card_client("--no-pcsc", "--simulated", "default")
        client.wait_for("Connected to")
        return client

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a program that uses the socket, or the server through the proxy."""
        return self._near.user_environment | {SOCKET_VARIABLE: str(self.path)}

    def serve(self, *more: str) -> Program:
        """Start the socket and wait until the card is shown."""
        given = ("--socket", str(self.path), "--iccid", UICC, *more)
        served = self.start(*argv("wsrc", "pcsc", "serve", *given))
        served.wait_for("Ready")
        wait_until(lambda: bool(reader_states(self.path)), LIMIT_S, "the reader is shown")
        return served

    def start(self, *command: str) -> Program:
        return self.programs._start(command, self.environment)

    def script(self, script: str, *args: str) -> Program:
        return self.start(sys.executable, "-c", script, *args)

    def counter(self, *args: str) -> Program:
        """Start a program that counts, and wait until it does."""
        program = self.script(COUNT, *args)
        self.goes_on(program)
        return program

    @staticmethod
    def goes_on(program: Program, more: int = 20) -> None:
        """Wait until so many more commands are answered."""
        program.wait_for("answered", program.output.count("answered") + more)

    @staticmethod
    def end(program: Program) -> Ended:
        """End a program that counts."""
        assert program.end() == 0, program.output
        _, counted, *codes = program.lines[-1].split()
        pairs = (code.split("=") for code in codes)
        return Ended(int(counted), {int(code, 16): int(count) for code, count in pairs})


class Legs:
    """A proxy before each port of a server, in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, users: Proxy, cards: Proxy) -> None:
        self._loop = loop
        self._users = users
        self._cards = cards

    @property
    def user_port(self) -> int:
        return self._users.port

    @property
    def card_port(self) -> int:
        return self._cards.port

    def cut_users(self) -> None:
        """Reset the connections of users."""
        self._do(self._users.cut)

    def cut_cards(self) -> None:
        """Reset the connections of card clients."""
        self._do(self._cards.cut)

    def _do(self, doing: Callable[[], None]) -> None:
        async def do() -> None:
            doing()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(LIMIT_S)


@contextlib.asynccontextmanager
async def _both(users: Proxy, cards: Proxy) -> AsyncIterator[None]:
    async with listening(users), listening(cards):
        yield


@contextlib.contextmanager
def legs_to(user_port: int, card_port: int) -> Iterator[Legs]:
    """Put a proxy before each port for as long as the context lasts."""
    users, cards = Proxy(user_port), Proxy(card_port)
    with in_a_thread(_both(users, cards)) as (_, loop):
        yield Legs(loop, users, cards)


@contextlib.contextmanager
def running(certificates: Certificates, path: Path) -> Iterator[tuple[Counting, Program]]:
    """Start all but the socket, and give the server with it; end every program afterwards."""
    with contextlib.ExitStack() as stack:
        programs = stack.enter_context(processes.running(certificates))
        server = programs.server()
        legs = stack.enter_context(legs_to(programs.user_port, programs.card_port))
        yield Counting(programs, path, legs), server
