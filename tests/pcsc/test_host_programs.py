# SPDX-License-Identifier: Apache-2.0
"""Programs of the card host that use its cards while nobody far away does."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from smartcard import scard  # noqa: TID251 - a program of the host

from tests.support.certificates import Certificates
from tests.support.ifd.bench import IfdBench
from tests.support.ifd.far_away import host, ready
from tests.support.ifd.reader import OddCard, OddReader
from tests.support.world import running, until
from wsrc.card.pcsc_numbers import PROTOCOL_ANY
from wsrc.readers.simulation import Card as SimulatedCard, default_cards

pytestmark = pytest.mark.pcscd

EXCLUSIVE, SHARED = 1, 2
READ_ICCID = ("00a4000c023f00", "00a4000c022fe2", "00b000000a")

Start = Callable[..., IfdBench]


class SlowCard(OddCard):
    """A simulated card that takes its time over each command."""

    def __init__(self, card: SimulatedCard, command_s: float) -> None:
        card.insert()
        card.power_on()
        self.card = card
        self._never = threading.Event()
        self._command_s = command_s
        super().__init__(card.atr, self._answer)

    def reset(self) -> None:
        self.card.power_off()
        self.card.power_on()

    def _answer(self, octets: bytes, _: int) -> bytes:
        self._never.wait(self._command_s)
        return self.card.transmit(octets)


def use(reader: str, share: int) -> int:
    """Use a card as lpac or pySim does, from connecting to letting go; the code of connecting."""
    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    try:
        code, card, protocol = scard.SCardConnect(context, reader, share, PROTOCOL_ANY)
        if code:
            return int(code & 0xFFFF_FFFF)
        for command in READ_ICCID:
            code, answer = scard.SCardTransmit(card, protocol, list(bytes.fromhex(command)))
            assert (code, answer[-2:]) == (0, [0x90, 0]), (code, answer)
        scard.SCardDisconnect(card, scard.SCARD_UNPOWER_CARD)
    finally:
        scard.SCardReleaseContext(context)
    return 0


def uses(reader: str, share: int, gap_s: float, rounds: int) -> list[int]:
    """Use a card again and again, with a gap between two uses."""
    rest = threading.Event()
    codes = []
    for _ in range(rounds):
        codes.append(use(reader, share))
        rest.wait(gap_s)
    return codes


@pytest.mark.parametrize("share", [EXCLUSIVE, SHARED], ids=["exclusive", "shared"])
@pytest.mark.parametrize("gap_s", [0.3, 0.05])
@pytest.mark.parametrize("command_s", [0.03, 0.0], ids=["slow", "fast"])
async def test_a3_programs_of_the_host_never_meet_the_idle_card_client(
    ifd: Start, certificates: Certificates, share: int, gap_s: float, command_s: float
) -> None:
    card = SlowCard(default_cards()[1], command_s)
    bench = ifd(OddReader("Euicc", card))
    async with running(certificates) as world, host(world, certificates):
        await until(lambda: ready(world, "Euicc 00 00@bench"))
        codes = await asyncio.to_thread(uses, bench.name(), share, gap_s, 8)
        assert codes == [0] * 8
