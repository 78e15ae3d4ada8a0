# SPDX-License-Identifier: Apache-2.0
"""One reader with any free card of those that match, or the one of a reservation."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.world import LIMIT_S, World, running, uicc, until
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote import one_card
from wsrc.bridges.remote.cards import clients
from wsrc.bridges.remote.one_card import Booked, OneCard
from wsrc.card.slot import Pick
from wsrc.errors import CardBusyError, NoSuchCardError, WsrcError
from wsrc.settings.load import UserSettings
from wsrc.user_client.aio import Client
from wsrc.user_client.naming import Filters

ONE, TWO, THREE = "8988211000000430010", "8988211000000430028", "8988211000000430036"
MF = bytes.fromhex("00a40004023f00")


@pytest.fixture
async def world(certificates: Certificates, tmp_path: Path) -> AsyncIterator[World]:
    async with running(certificates, state_dir=tmp_path / "state") as world:
        yield world


class Shown:
    """The one reader, and all that was reported and said of it."""

    def __init__(self, source: OneCard, said: list[str]) -> None:
        self.source = source
        self.said = said
        self.reports: list[Seen] = []

    def report(self, seen: Sequence[Seen]) -> None:
        (one,) = seen
        self.reports.append(one)

    @property
    def seen(self) -> Seen:
        return self.reports[-1]

    @property
    def iccid(self) -> str | None:
        """The card that is shown, None where there is none."""
        if not self.seen.present:
            return None
        return self.source.places[0].card.identities.iccid

    async def becomes(self, iccid: str | None) -> None:
        await until(lambda: self.iccid == iccid)


@contextlib.asynccontextmanager
async def shown(
    world: World, booked: Booked | None = None, wait_s: float = 0.0, **which: Any
) -> AsyncIterator[Shown]:
    settings = UserSettings(server_url=world.user_url, tls_ca=world.ca)
    said: list[str] = []
    source = OneCard(clients(settings), Filters(**which), said.append, booked, wait_s)
    one = Shown(source, said)
    async with asyncio.timeout(4 * LIMIT_S), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(source.run(one.report))
        await source.begun()
        yield one
        watching.cancel()


async def booked(world: World, **fields: Any) -> Booked:
    made = await (await world.user("ida")).reserve(3600, **fields)
    return Booked(made.token, made.reservation)


async def test_the_reader_is_there_before_any_card_and_keeps_its_name(world: World) -> None:
    async with shown(world, tags={"card": "uicc"}) as one:
        assert one.seen == Seen(b"WSRC any card=uicc 00 00")
        with pytest.raises(NoSuchCardError, match="No card is there that matches"):
            await one.source.open(b"")
        host = await world.host([uicc(ONE)])
        await one.becomes(ONE)
        assert (one.seen.name, one.seen.event_count) == (b"WSRC any card=uicc 00 00", 1)
        host.source.remove(host.source.names[0])
        await one.becomes(None)
        assert (one.seen.name, one.seen.event_count) == (b"WSRC any card=uicc 00 00", 2)


async def test_the_card_that_is_shown_is_the_one_that_is_taken(world: World) -> None:
    await world.host([uicc(ONE), uicc(TWO), uicc(THREE)])
    async with shown(world) as one:
        shown_first, atr = one.iccid, one.seen.atr
        for _ in range(2):  # and it stays
            session = await one.source.open(b"")
            assert session.atr == atr
            assert (await session.transmit(MF))[:1] == b"\x61"
            assert session.place.card.identities.iccid == shown_first
            await session.close()
        assert one.seen.event_count == 1


async def test_where_another_user_has_the_card_another_is_in_the_reader(world: World) -> None:
    await world.host([uicc(ONE), uicc(TWO)])
    user = await world.user()
    async with shown(world) as one:
        before = one.iccid
        other = TWO if before == ONE else ONE
        async with user.select(iccid=before):
            await one.becomes(other)
            assert one.seen.event_count == 3
            async with user.select(iccid=other):
                await until(lambda: one.seen.others == -1)
                with pytest.raises(CardBusyError, match="No card is free"):
                    await one.source.open(b"")
            await until(lambda: one.seen.others == 0)
        assert one.iccid == other


async def test_one_that_only_seems_to_be_free_is_no_obstacle(world: World) -> None:
    await world.host([uicc(ONE), uicc(TWO)])
    async with shown(world) as one:
        before = one.iccid or ""
        await (await world.user()).reserve(3600, iccid=before)  # which is told to nobody
        session = await one.source.open(b"")
        taken = session.place.card.identities.iccid
        assert taken == (TWO if before == ONE else ONE)
        assert one.iccid == taken
        assert (one.seen.event_count, one.seen.others) == (3, 0)
        await session.close()
        alone = await one.source.open(b"", direct=True)
        assert alone.place.card.identities.iccid == taken
        await alone.close()


async def test_only_cards_that_match_are_in_the_reader(world: World) -> None:
    await world.host([uicc(ONE)])
    await world.host([uicc(TWO)], "farm")
    user = await world.user()
    async with shown(world, tags={"host": "farm"}) as one:
        assert one.iccid == TWO
        async with user.select(iccid=TWO):
            await until(lambda: one.seen.others == -1)
            with pytest.raises(CardBusyError):
                await one.source.open(b"")
            assert one.iccid == TWO


async def test_a_reservation_has_its_card_in_the_reader(world: World) -> None:
    await world.host([uicc(ONE), uicc(TWO)])
    of = await booked(world, iccid=TWO)
    async with shown(world, of) as one:
        assert one.seen.name == f"WSRC reservation {of.info.number} 00 00".encode()
        assert one.iccid == TWO
        session = await one.source.open(b"")
        with pytest.raises(CardBusyError, match="with this token already"):
            await (await world.user("other")).select(reservation=of.token)
        await session.close()
        session = await one.source.open(b"")
        assert (await session.transmit(MF))[:1] == b"\x61"
        await session.close()


async def test_a_reservation_whose_card_is_away_waits_for_it(world: World) -> None:
    host = await world.host([uicc(ONE)])
    of = await booked(world, iccid=ONE)
    host.source.remove(host.source.names[0])
    await world.host([uicc(TWO)], "farm")
    async with shown(world, of) as one:
        assert one.iccid is None
        host.source.insert(host.source.names[0], uicc(ONE))
        await one.becomes(ONE)
        await (await one.source.open(b"")).close()


async def test_of_any_card_the_one_that_is_given_is_in_the_reader(world: World) -> None:
    await world.host([uicc(ONE), uicc(TWO)])
    user = await world.user()
    card = await user.select(iccid=ONE)
    other = await user.select(iccid=TWO)
    of = await booked(world, pick=Pick.ANY)
    mine, free = (card, other) if of.info.card == f"iccid {ONE}" else (other, card)
    await free.detach()
    async with shown(world, of) as one:
        assert one.iccid == mine.info.identities.iccid
        assert one.seen.others == 0
        session = await one.source.open(b"")
        assert one.iccid == session.place.card.identities.iccid == free.info.identities.iccid
        over: list[WsrcError] = []
        session.when_over(over.append)
        assert (await session.transmit(MF))[:1] == b"\x61"
        await mine.detach()
        await session.close()
        assert over == []


async def waiting(world: World) -> None:
    await until(lambda: world.counts["waiting"] > 0)


async def test_who_waits_has_an_empty_reader_until_its_turn_and_then_a_card_of_its_own(
    world: World,
) -> None:
    await world.host([uicc(ONE)])
    first, last = await world.user("first"), await world.user("last")
    held = await first.select(iccid=ONE)
    async with shown(world, wait_s=30.0) as one, asyncio.TaskGroup() as tasks:
        await waiting(world)
        assert one.iccid is None
        with pytest.raises(NoSuchCardError):
            await one.source.open(b"")
        late = tasks.create_task(_of(last, wait_s=30.0))
        await until(lambda: world.counts["waiting"] == 2)
        await held.detach()
        await one.becomes(ONE)
        assert world.counts["waiting"] == 1
        assert one.seen.others == 0
        session = await one.source.open(b"")
        assert (await session.transmit(MF))[:1] == b"\x61"
        assert not late.done()
        await session.close()
        assert await late == ONE
        await one.becomes(ONE)
        assert one.seen.event_count == 3


async def test_a_card_that_is_free_is_not_taken_before_a_program_connects(world: World) -> None:
    await world.host([uicc(ONE), uicc(TWO)])
    user = await world.user()
    async with shown(world, wait_s=30.0) as one:
        before = one.iccid
        assert before is not None
        assert world.counts["sessions"] == 0
        other = TWO if before == ONE else ONE
        async with user.select(iccid=before):
            await one.becomes(other)
            async with user.select(iccid=other):
                await one.becomes(None)
                await waiting(world)
                assert one.seen == Seen(one.seen.name, event_count=4)
            await one.becomes(other)
        assert one.seen.event_count == 5


async def test_a_card_to_which_no_program_connects_goes_on_and_is_not_waited_for_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_card, "UNUSED_S", 0.2)
    await world.host([uicc(ONE)])
    first, last = await world.user("first"), await world.user("last")
    held = await first.select(iccid=ONE)
    async with shown(world, wait_s=30.0) as one, asyncio.TaskGroup() as tasks:
        await waiting(world)
        late = tasks.create_task(last.select(iccid=ONE, wait_s=30.0).__aenter__())
        await until(lambda: world.counts["waiting"] == 2)
        await held.detach()
        card = await late
        assert one.said[-1] == "No program connected to the card, which is given back."
        await one.becomes(None)
        assert world.counts["waiting"] == 0
        await card.detach()
        await one.becomes(ONE)
        await until(lambda: world.counts["sessions"] == 0)


async def test_a_card_that_is_reserved_for_another_is_not_shown_as_free(world: World) -> None:
    await world.host([uicc(ONE)])
    await booked(world, iccid=ONE)
    async with shown(world, wait_s=30.0) as one:
        await waiting(world)
        assert one.iccid is None


async def test_who_waited_long_enough_is_told_and_sees_the_card_that_others_use(
    world: World,
) -> None:
    await world.host([uicc(ONE)])
    user = await world.user()
    async with user.select(iccid=ONE), shown(world, wait_s=0.2) as one:
        await one.becomes(ONE)
        assert one.seen.others == -1
        assert one.said[-1].startswith("No card is free; there are 1.")
        with pytest.raises(CardBusyError):
            await one.source.open(b"")
    assert world.counts["waiting"] == 0


async def test_a_reservation_waits_for_its_card_with_the_token(world: World) -> None:
    await world.host([uicc(ONE)])
    user = await world.user("bob")
    held = await user.select(iccid=ONE)
    token = await booked(world, iccid=ONE)
    async with shown(world, token, wait_s=30.0) as one:
        await waiting(world)
        assert one.iccid is None
        await held.detach()
        await one.becomes(ONE)
        session = await one.source.open(b"")
        assert session.place.card.identities.iccid == ONE
        with pytest.raises(CardBusyError):
            await user.select(iccid=ONE)


async def test_a_program_that_is_on_t1_has_the_card_as_it_asks_for_it(world: World) -> None:
    await world.host([uicc(ONE)])
    user = await world.user()
    held = await user.select(iccid=ONE)
    async with shown(world, wait_s=30.0) as one:
        await waiting(world)
        await held.detach()
        await one.becomes(ONE)
        session = await one.source.open(b"", raw_tpdu=False)
        assert (await session.transmit(MF + b"\0"))[-2:] == b"\x90\x00"


async def _of(user: Client, **options: Any) -> str | None:
    async with user.select(iccid=ONE, **options) as card:
        return card.info.identities.iccid
