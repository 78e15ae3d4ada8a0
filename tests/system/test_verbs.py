# SPDX-License-Identifier: Apache-2.0
"""The PC/SC verbs from end to end: what a user asks of a card and of its reader."""

import asyncio
import threading
from typing import cast

import pytest

from tests.support.certificates import Certificates
from tests.support.world import ASK_PIN, EUICC, LIMIT_S, PIN, UICC, World, running, until
from wsrc.card.slot import CardProtocol, Disposition, Initialization, ResetKind, Share
from wsrc.errors import (
    BadApduError,
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    RefusedError,
    SessionLostError,
    WsrcError,
)
from wsrc.readers.simulated_connection import ECHO_CONTROL, POWERED
from wsrc.user_client import blocking

READER = "Simulated UICC 00 00"


async def test_status_names_what_the_card_is(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        status = await card.status()
    assert (status.reader_name, status.states) == (READER, POWERED)
    assert (status.protocol, status.atr) == (card.protocol, card.atr)


async def test_attributes_go_by_name(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        assert await card.get_attribute("atr_string") == card.atr
        assert await card.get_attribute("device_friendly_name") == READER.encode() + b"\0"
        await card.set_attribute("supress_t1_ifs_request", b"\1")
        assert await card.get_attribute("supress_t1_ifs_request") == b"\1"
        for name in ("channel_id", "no_such_name", "x" * 10_000):
            with pytest.raises(RefusedError) as caught:
                await card.get_attribute(name)
            assert caught.value.code is ErrorCode.NOT_SUPPORTED
            assert len(str(caught.value)) < 200
        with pytest.raises(RefusedError):
            await card.set_attribute("maxinput", b"")


async def test_control_reaches_the_reader(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        for octets in (b"", b"hello", bytes(70_000)):
            assert await card.control(ECHO_CONTROL, octets) == octets
        with pytest.raises(RefusedError) as caught:
            await card.control(1)
        assert caught.value.code is ErrorCode.NOT_SUPPORTED
        with pytest.raises(RefusedError):
            await card.control(-1)
    with pytest.raises(SessionLostError):
        await card.status()


async def test_what_no_server_takes_is_not_sent_and_the_card_stays(world: World) -> None:
    await world.host()
    user = await world.user()
    long = bytes.fromhex("00d6000000f000") + bytes(0xF000)
    async with user.select(iccid=UICC, raw_tpdu=True) as card, asyncio.timeout(LIMIT_S):
        for wrong in (
            card.reconnect(initialization=cast("Initialization", Disposition.EJECT)),
            card.reset(cast("ResetKind", "hot")),
            card.end(disposition=cast("Disposition", "burn")),
            card.detach(disposition=cast("Disposition", "burn")),
            card.control(ECHO_CONTROL, bytes(600_000)),
            card.get_attribute(cast("str", 0x90303)),
            card.batch([long] * 20),
        ):
            with pytest.raises(LocalProtocolError):
                await wrong
        with pytest.raises(BadApduError):
            await card.transmit(bytes(65_545))
        assert (await card.transmit(ASK_PIN)).sw != 0


async def test_what_no_server_takes_is_not_asked_of_it(world: World) -> None:
    await world.host()
    user = await world.user()
    async with asyncio.timeout(LIMIT_S), user.select(iccid=UICC) as card:
        for wrong in (
            lambda: user.select(iccid=cast("str", 8988211000000430010)),
            lambda: user.select(iccid=EUICC, share=cast("Share", "x")),
            lambda: user.list_cards(label="b" * 1_200_000),
        ):
            with pytest.raises(LocalProtocolError):
                await wrong()
        assert (await card.transmit(ASK_PIN)).sw != 0


async def test_the_blocking_client_has_the_same(world: World) -> None:
    await world.host()

    def use() -> None:
        with (
            blocking.Client(world.user_url, ca=world.ca) as client,
            client.select(iccid=UICC) as card,
        ):
            assert card.status().states == POWERED
            assert card.get_attribute("atr_string") == card.atr
            card.set_attribute("supress_t1_ifs_request", b"\0")
            assert card.control(ECHO_CONTROL, b"1") == b"1"
            assert card.reconnect(initialization=Initialization.RESET) == card.atr
            card.detach(disposition=Disposition.UNPOWER)

    await asyncio.to_thread(use)


@pytest.mark.parametrize("initialization", list(Initialization))
async def test_reconnect_resets_if_told_to(world: World, initialization: Initialization) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        atr = await card.reconnect(initialization=initialization, protocols=(CardProtocol.T0,))
        assert atr == card.atr != b""
        kept = initialization is Initialization.LEAVE
        assert (await card.transmit(ASK_PIN)).sw == (0x9000 if kept else 0x63C3)


@pytest.mark.parametrize("initialization", list(Initialization))
async def test_a_protocol_that_the_card_has_not_is_refused(
    world: World, initialization: Initialization
) -> None:
    await world.host()
    user = await world.user()
    with pytest.raises(RefusedError) as caught:
        await user.select(iccid=UICC, protocols=(CardProtocol.T1,))
    assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH
    async with user.select(iccid=UICC, protocols=(CardProtocol.T0, CardProtocol.T1)) as card:
        with pytest.raises(RefusedError) as caught:
            await card.reconnect(initialization=initialization, protocols=(CardProtocol.T1,))
        assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


@pytest.mark.parametrize("disposition", list(Disposition))
async def test_the_next_user_finds_the_card_reset_whatever_is_asked_for(
    world: World, disposition: Disposition
) -> None:
    await world.host()
    user = await world.user()
    card = await user.select(iccid=UICC)
    assert (await card.transmit(PIN)).sw == 0x9000
    await card.detach(disposition=disposition)
    async with user.select(iccid=UICC) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_end_of_a_session_is_told_once_and_only_if_it_was_not_given_back(
    certificates: Certificates,
) -> None:
    told: list[WsrcError] = []
    async with running(certificates, lease_idle_s=0.3) as world:
        await world.host()
        user = await world.user()
        given_back = await user.select(eid=EUICC)
        given_back.when_over(told.append)
        await given_back.detach()
        card = await user.select(iccid=UICC)
        card.when_over(told.append)
        await until(lambda: bool(told))
        [why] = told
        assert isinstance(why, SessionLostError)
        assert why.code is ErrorCode.LEASE_EXPIRED
        card.when_over(told.append)
        assert len(told) == 2
        lasting = await user.select(iccid=UICC)
        lasting.when_over(told.append)
    await until(lambda: len(told) == 3)
    assert isinstance(told[2], SessionLostError | ConnectionLostError)


async def test_end_of_a_session_is_told_to_a_program_that_blocks(world: World) -> None:
    host = await world.host()
    told = threading.Event()

    def use() -> None:
        with (
            blocking.Client(world.user_url, ca=world.ca) as client,
            client.select(iccid=UICC) as card,
        ):
            card.when_over(lambda _: told.set())
            host.source.remove(host.source.names[0])
            assert told.wait(LIMIT_S)

    await asyncio.to_thread(use)
