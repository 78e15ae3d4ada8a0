# SPDX-License-Identifier: Apache-2.0
"""The PC/SC verbs from end to end: what a user asks of a card and of its reader."""

import asyncio

import pytest

from tests.system.world import UICC, World
from wsrc.errors import ErrorCode, RefusedError, SessionLostError
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

    await asyncio.to_thread(use)
