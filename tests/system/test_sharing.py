# SPDX-License-Identifier: Apache-2.0
"""Two users with one card: they share it, exclude one another, and learn of resets."""

import asyncio
from collections.abc import Awaitable

import pytest

from tests.support.world import ASK_PIN, LIMIT_S, PIN, UICC, World, taken, until
from wsrc.card.slot import CardStatus, Disposition, Initialization, ResetKind, Share
from wsrc.errors import (
    CardBusyError,
    CardNotPresentError,
    CardWasResetError,
    ErrorCode,
    ReaderInUseError,
    RefusedError,
    SessionError,
)
from wsrc.protocol.messages import CardState
from wsrc.readers.simulated_connection import ECHO_CONTROL
from wsrc.user_client import blocking
from wsrc.user_client.aio import Card, Client

READER = "Simulated UICC 00 00"


async def share(world: World, **options: float) -> tuple[Client, Card, Client, Card]:
    """Two users with one card in which the PIN was verified by the first."""
    await world.host(**options)
    first, second = await world.user("first"), await world.user("second")
    ours = await first.select(iccid=UICC, share=Share.SHARED)
    assert (await ours.transmit(PIN)).sw == 0x9000
    theirs = await second.select(iccid=UICC, share=Share.SHARED)
    return first, ours, second, theirs


async def verified(card: Card) -> bool:
    return (await card.transmit(ASK_PIN)).sw == 0x9000


async def outcome(doing: Awaitable[object]) -> object:
    """Return what comes of something, or the error that says that the card was reset."""
    try:
        return await doing
    except CardWasResetError as exc:
        return exc


async def test_who_joins_finds_the_card_as_it_is(world: World) -> None:
    _, ours, _, theirs = await share(world)
    assert await verified(theirs)
    async with asyncio.TaskGroup() as tasks:
        for card in (ours, theirs) * 10:
            tasks.create_task(card.transmit(ASK_PIN))


@pytest.mark.parametrize("share_mode", [Share.EXCLUSIVE, Share.DIRECT])
async def test_who_wants_it_alone_is_refused_and_then_waits(
    world: World, share_mode: Share
) -> None:
    _, ours, _, theirs = await share(world)
    carl = await world.user("carl")
    with pytest.raises(CardBusyError, match=r"first .* second "):
        await carl.select(iccid=UICC, share=share_mode)
    places: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        selecting = tasks.create_task(
            taken(
                carl.select(
                    iccid=UICC,
                    share=share_mode,
                    wait_s=LIMIT_S,
                    on_waiting=lambda told: places.append(told.position),
                )
            )
        )
        await until(lambda: places == [1])
        await ours.detach(disposition=Disposition.LEAVE)
        assert await verified(theirs)
        await theirs.detach(disposition=Disposition.LEAVE)
    if share_mode is Share.EXCLUSIVE:
        assert not await verified(selecting.result())


@pytest.mark.parametrize("disposition", list(Disposition))
async def test_a_holder_who_leaves_says_what_becomes_of_the_card(
    world: World, disposition: Disposition
) -> None:
    _, ours, _, theirs = await share(world)
    await ours.detach(disposition=disposition)
    if disposition is Disposition.LEAVE:
        assert await verified(theirs)
        return
    with pytest.raises(CardWasResetError) as caught:
        await theirs.transmit(ASK_PIN)
    assert caught.value.code.pcsc == "SCARD_W_RESET_CARD"
    with pytest.raises(CardWasResetError):
        await theirs.status()
    await theirs.reconnect()
    assert not await verified(theirs)


@pytest.mark.parametrize("how", ["reset", "reconnect", "end", "vanish"])
async def test_a_reset_by_one_is_seen_by_the_other(world: World, how: str) -> None:
    first, ours, _, theirs = await share(world)
    if how == "reset":
        await ours.reset(ResetKind.WARM)
    elif how == "reconnect":
        await ours.reconnect(initialization=Initialization.UNPOWER)
    elif how == "end":
        async with ours.transaction(disposition=Disposition.RESET):
            assert await verified(ours)
    else:
        await first.__aexit__(None, None, None)
        await until(lambda: world.counts["sessions"] == 1)
    with pytest.raises(CardWasResetError):
        await theirs.transmit(ASK_PIN)
    await theirs.reconnect()
    assert not await verified(theirs)
    if how != "vanish":
        assert not await verified(ours)


async def test_transactions_exclude_one_another(world: World) -> None:
    _, ours, _, theirs = await share(world)
    order: list[str] = []

    async def work(card: Card, name: str) -> None:
        async with card.transaction():
            order.append(f"{name} begins")
            async with card.transaction():
                for _ in range(5):
                    await card.transmit(ASK_PIN)
            await card.transmit(ASK_PIN)
            order.append(f"{name} ends")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work(ours, "first"))
        tasks.create_task(work(theirs, "second"))
    firsts = [line.split()[0] for line in order]
    assert firsts[0] == firsts[1] != firsts[2] == firsts[3]


async def test_others_wait_for_the_end_of_a_transaction(world: World) -> None:
    _, ours, _, theirs = await share(world)
    await ours.begin()
    await ours.begin()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(theirs.transmit(ASK_PIN))
        await until(lambda: world.in_flight == 1)
        assert await verified(ours)
        await ours.end()
        assert await verified(ours)
        assert not asking.done()
        await ours.end()
    assert asking.result().sw == 0x9000
    with pytest.raises(RefusedError) as caught:
        await ours.end()
    assert caught.value.code is ErrorCode.NOT_TRANSACTED


async def test_who_waits_for_a_transaction_asks_for_status_and_can_give_up(world: World) -> None:
    _, ours, _, theirs = await share(world)
    async with ours.transaction():
        assert CardStatus.POWERED in (await theirs.status()).states
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await theirs.transmit(ASK_PIN)
        assert CardStatus.POWERED in (await theirs.status()).states
    assert await verified(theirs)


async def test_the_wait_for_a_transaction_has_an_end(world: World) -> None:
    _, ours, _, theirs = await share(world, transaction_wait_s=0.05)
    async with ours.transaction():
        with pytest.raises(CardBusyError):
            await theirs.transmit(ASK_PIN)
        with pytest.raises(CardBusyError):
            await theirs.begin()
    assert await verified(theirs)


@pytest.mark.parametrize("how", ["leaves", "vanishes", "detaches"])
async def test_a_transaction_ends_with_its_owner(world: World, how: str) -> None:
    first, ours, _, theirs = await share(world)
    await ours.begin()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(outcome(theirs.transmit(ASK_PIN)))
        await until(lambda: world.in_flight == 1)
        if how == "vanishes":
            await first.__aexit__(None, None, None)
        else:
            leave = how == "leaves"
            await ours.detach(disposition=Disposition.LEAVE if leave else Disposition.RESET)
    assert isinstance(asking.result(), CardWasResetError) == (how != "leaves")
    await theirs.reconnect()
    async with theirs.transaction():
        assert await verified(theirs) == (how == "leaves")


async def test_a_transaction_that_is_not_used_ends_with_a_reset(world: World) -> None:
    _, ours, _, theirs = await share(world, transaction_idle_s=0.2)
    await ours.begin()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(outcome(theirs.transmit(ASK_PIN)))
    assert isinstance(asking.result(), CardWasResetError)
    with pytest.raises(CardWasResetError):
        await ours.transmit(ASK_PIN)
    for card in (ours, theirs):
        await card.reconnect()
        assert not await verified(card)
    with pytest.raises(RefusedError) as caught:
        await ours.end()
    assert caught.value.code is ErrorCode.NOT_TRANSACTED


async def test_a_holder_may_leave_within_the_transaction_of_another(world: World) -> None:
    _, ours, _, theirs = await share(world)
    async with theirs.transaction():
        await ours.detach()
        await until(lambda: world.counts["sessions"] == 1)
        assert await verified(theirs)
    with pytest.raises(CardWasResetError):
        await theirs.transmit(ASK_PIN)


async def test_an_error_in_a_transaction_ends_it(world: World) -> None:
    _, ours, _, theirs = await share(world)
    with pytest.raises(KeyError):
        async with ours.transaction():
            raise KeyError
    assert await verified(theirs)


async def test_a_card_that_is_taken_out_ends_both_sessions(world: World) -> None:
    host = await world.host()
    first, second = await world.user("first"), await world.user("second")
    ours = await first.select(iccid=UICC, share=Share.SHARED)
    theirs = await second.select(iccid=UICC, share=Share.SHARED)
    await ours.begin()
    host.source.remove(READER)
    for card in (ours, theirs):
        with pytest.raises((SessionError, CardNotPresentError)):
            await card.transmit(ASK_PIN)
    await until(lambda: world.counts["sessions"] == 0)


async def test_the_last_who_leaves_has_the_card_reset(world: World) -> None:
    _, ours, _, theirs = await share(world)
    await ours.detach(disposition=Disposition.LEAVE)
    await theirs.detach(disposition=Disposition.LEAVE)
    carl = await world.user("carl")
    async with carl.select(iccid=UICC, share=Share.SHARED) as card:
        assert not await verified(card)


async def test_a_card_is_opened_to_others_by_reconnect(world: World) -> None:
    await world.host()
    first, second = await world.user("first"), await world.user("second")
    ours = await first.select(iccid=UICC)
    await ours.reconnect(share=Share.SHARED)
    theirs = await second.select(iccid=UICC, share=Share.SHARED)
    with pytest.raises(CardBusyError):
        await ours.reconnect(share=Share.EXCLUSIVE)
    await theirs.detach(disposition=Disposition.LEAVE)
    await ours.reconnect(share=Share.EXCLUSIVE)
    with pytest.raises(CardBusyError):
        await second.select(iccid=UICC, share=Share.SHARED)


async def test_a_reader_is_used_without_its_card(world: World) -> None:
    host = await world.host()
    user = await world.user()
    host.source.remove(READER)
    async with user.select(reader=READER, share=Share.DIRECT) as reader:
        assert (await reader.status()).states == (CardStatus.ABSENT,)
        assert await reader.control(ECHO_CONTROL, b"1") == b"1"
        host.source.insert(READER)
        with pytest.raises(RefusedError) as caught:
            await reader.transmit(ASK_PIN)
        assert caught.value.code is ErrorCode.NOT_SUPPORTED
        assert await reader.get_attribute("icc_presence") == b"\2"
    async with user.select(iccid=UICC, wait_s=LIMIT_S) as card:
        assert not await verified(card)
    assert await world.state_of(iccid=UICC) in {CardState.READY, CardState.RESETTING}


async def test_a_reader_that_is_used_by_another_program_is_not_had_directly(world: World) -> None:
    host = await world.host()
    user = await world.user()
    host.source.hold(READER)
    with pytest.raises(ReaderInUseError):
        await user.select(reader=READER, share=Share.DIRECT)


async def test_the_blocking_client_shares_too(world: World) -> None:
    _, ours, _, theirs = await share(world)

    def use() -> None:
        with (
            blocking.Client(world.user_url, ca=world.ca) as client,
            client.select(iccid=UICC, share=Share.SHARED) as card,
        ):
            with card.transaction():
                assert card.transmit(ASK_PIN).sw == 0x9000
            with pytest.raises(KeyError), card.transaction():
                raise KeyError
            card.begin()
            card.end(disposition=Disposition.UNPOWER)
            assert card.transmit(ASK_PIN).sw == 0x63C3

    await asyncio.to_thread(use)
    for card in (ours, theirs):
        with pytest.raises(CardWasResetError):
            await card.transmit(ASK_PIN)
