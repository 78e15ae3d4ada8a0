# SPDX-License-Identifier: Apache-2.0
"""A program of the card host switches the profile of an eUICC, seen by nobody or by all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from smartcard import scard  # noqa: TID251 - a program of the host

from tests.support.certificates import Certificates
from tests.support.ifd.bench import IfdBench
from tests.support.ifd.direct import connected
from tests.support.ifd.far_away import host, ready
from tests.support.ifd.reader import OddCard, OddReader
from tests.support.world import World, running, until
from wsrc.card.identity import iccid_to_ef
from wsrc.errors import NoSuchCardError
from wsrc.user_client.aio import Client

pytestmark = pytest.mark.pcscd

ATR = bytes.fromhex("3b9f96803fc7828031e073fe211f640708018290000a63")
EID = "89882119900000000000000000007280"
ICCIDS = "8988211000000430010", "8988211000000430028"
ISD_R = "a0000005591010ffffffff8900000100"
READER = "Euicc 00 00@bench"
LABELS = {ICCIDS[0]: "first", ICCIDS[1]: "second"}

Start = Callable[..., IfdBench]


class Euicc(OddCard):
    """A eUICC with two profiles; 00FF000n has profile n enabled after the next reset."""

    def __init__(self) -> None:
        super().__init__(ATR, self._answer)
        self.enabled = self._next = 0

    def reset(self) -> None:
        self.enabled = self._next

    def _answer(self, octets: bytes, _: int) -> bytes:
        if octets[:3] == b"\x00\xff\x00":
            self._next = octets[3]
            return b"\x90\x00"
        ef = iccid_to_ef(ICCIDS[self.enabled])
        answers = {
            "0070000001": b"\x01\x90\x00",
            "01b000000a": ef + b"\x90\x00",
            "00b000000a": ef + b"\x90\x00",
            f"01a4040010{ISD_R}": b"\x61\x10",
            "81e2910006bf3e035c015a": b"\x61\x15",
            "01c0000015": bytes.fromhex(f"bf3e125a10{EID}9000"),
            "01c0000010": b"\x6f\x00" + bytes(14) + b"\x90\x00",
        }
        known = octets.hex() in answers or octets[1] != 0xA4
        return answers.get(octets.hex(), b"\x90\x00" if octets[2] == 0 or known else b"\x6a\x82")


def switch(reader: str, profile: int) -> None:
    """Enable a profile, in much less than the card client needs to see a card in use."""
    with connected(reader) as card:
        code, answer = scard.SCardTransmit(card, 1, [0, 0xFF, 0, profile])
        assert (code, answer) == (0, [0x90, 0])


async def switched(world: World, bench: IfdBench, profile: int) -> None:
    """Have a program switch the profile when nobody far away has the card."""
    await until(lambda: ready(world, READER))
    await asyncio.to_thread(switch, bench.name(), profile)


@asynccontextmanager
async def served(
    ifd: Start, certificates: Certificates
) -> AsyncIterator[tuple[World, Client, IfdBench]]:
    bench = ifd(OddReader("Euicc", Euicc()))
    async with (
        running(certificates) as world,
        host(world, certificates, LABELS),
        world.client() as client,
        asyncio.timeout(20),
    ):
        await until(lambda: ready(world, READER))
        (card,) = await client.list_cards()
        assert (card.identities.iccid, card.eids) == (ICCIDS[0], (EID,))
        yield world, client, bench


async def read_iccid(client: Client, **which: str) -> bytes:
    async with client.select(**which) as card:  # type: ignore[arg-type]
        return (await card.transmit(bytes.fromhex("00b000000a"))).data


async def test_a2_no_iccid_names_another_profile_than_the_one_that_is_enabled(
    ifd: Start, certificates: Certificates
) -> None:
    async with served(ifd, certificates) as (world, client, bench):
        for profile in (1, 0, 1, 0):
            await switched(world, bench, profile)
            with pytest.raises(NoSuchCardError):
                await client.select(iccid=ICCIDS[1 - profile])
            read = await read_iccid(client, iccid=ICCIDS[profile])
            assert read == iccid_to_ef(ICCIDS[profile])


async def test_a2_a_label_of_an_iccid_and_any_are_compared_likewise(
    ifd: Start, certificates: Certificates
) -> None:
    async with served(ifd, certificates) as (world, client, bench):
        await switched(world, bench, 1)
        with pytest.raises(NoSuchCardError):
            await client.select(label="first")
        assert await read_iccid(client, label="second") == iccid_to_ef(ICCIDS[1])
        await switched(world, bench, 0)
        with pytest.raises(NoSuchCardError):
            await client.select(any=ICCIDS[1])
        assert await read_iccid(client, any=ICCIDS[0]) == iccid_to_ef(ICCIDS[0])


@pytest.mark.parametrize("which", [{"eid": EID}, {"reader": READER}, {"atr": ATR.hex()}])
async def test_a2_a_selection_that_no_switch_can_change_is_never_refused_for_one(
    ifd: Start, certificates: Certificates, which: dict[str, str]
) -> None:
    async with served(ifd, certificates) as (world, client, bench):
        for profile in (1, 0, 1):
            await switched(world, bench, profile)
            assert await read_iccid(client, **which) == iccid_to_ef(ICCIDS[profile])


async def test_a2_the_list_has_the_new_iccid_soon_after_a_use_that_was_seen(
    ifd: Start, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.card_client.sight.QUIET_S", 0.1)
    async with served(ifd, certificates) as (_, client, bench):

        async def in_use(*, wanted: bool) -> bool:
            (view,) = (await client.list_readers()).readers
            return view.in_use is wanted

        async def is_new() -> bool:
            (card,) = await client.list_cards()
            return card.identities.iccid == ICCIDS[1] and card.label == "second"

        with connected(bench.name()) as card:
            assert scard.SCardTransmit(card, 1, [0, 0xFF, 0, 1])[0] == 0
            await until(lambda: in_use(wanted=True))
        await until(is_new)
