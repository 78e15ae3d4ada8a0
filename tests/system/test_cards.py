# SPDX-License-Identifier: Apache-2.0
"""A card in one place, a tool in another: what a user does with a card."""

import pytest

from tests.support.world import ASK_PIN, EUICC, PIN, READ_ICCID, UICC, World
from wsrc.card.apdu import Response
from wsrc.card.identity import iccid_to_ef
from wsrc.card.slot import ResetKind
from wsrc.net.websocket import Link
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.messages import Step


async def test_a_card_is_selected_by_iccid_and_read(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        answers = [await card.transmit(command) for command in READ_ICCID]
    assert answers[-1] == Response(bytes.fromhex("988812010000400310f0"), 0x9000)


async def test_a_euicc_is_selected_by_eid_and_tells_it(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(eid=EUICC) as card:
        await card.transmit(bytes.fromhex("00a4040010a0000005591010ffffffff890000010000"))
        answer = await card.transmit(bytes.fromhex("80e2910006bf3e035c015a00"))
    assert EUICC in answer.data.hex()


@pytest.mark.parametrize(
    "selection",
    [
        {"iccid": UICC + "F"},
        {"iccid": UICC[:-1]},
        {"any": UICC},
        {"reader": "simulated uicc 00 00"},
        {"label": "Bench 7"},
        {"iccid": UICC, "label": "bench 7"},
    ],
)
async def test_a_card_is_found_by(world: World, selection: dict[str, str]) -> None:
    await world.host(labels={UICC: "bench 7"})
    user = await world.user()
    async with user.select(**selection) as card:
        assert card.info.identities.iccid == UICC


async def test_reset_gives_the_new_atr_and_forgets_the_pin(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        for kind in ResetKind:
            assert (await card.transmit(PIN)).sw == 0x9000
            assert await card.reset(kind) == card.atr
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_terminal_capability_is_still_possible_first_in_a_session(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        assert (await card.transmit(bytes.fromhex("80aa000005a903830107"))).sw == 0x9000
        await card.reset()
        assert (await card.transmit(bytes.fromhex("80aa000005a903830107"))).sw == 0x9000


async def test_a_batch_stops_at_the_first_unexpected_status_word(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        select, select_iccid, read = (Octets(command) for command in READ_ICCID)
        steps = [Step(command=c, expect=("9000",)) for c in (select, select_iccid, read)]
        whole = await card.batch(steps)
        assert whole.stopped is None
        assert whole.results[-1].data.hex() == "988812010000400310f0"
        steps[1] = Step(command=select_iccid, expect=("6a82", "6xxx"))
        part = await card.batch(steps)
        assert part.stopped == 1
        assert len(part.results) == 2


async def test_the_iccid_is_asked_again_after_a_profile_switch(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(eid=EUICC) as card:
        before = card.info.identities.iccid
        await card.transmit(bytes.fromhex("00a4040010a0000005591010ffffffff890000010000"))
        other = iccid_to_ef("8988211000000430036")
        enable = bytes.fromhex("80e2910014bf3111a00c5a0a") + other + bytes.fromhex("8101ff00")
        assert (await card.transmit(enable)).ok
        await card.reset()
        [seen] = await user.list_cards(eid=EUICC)
        assert seen.identities.iccid == "8988211000000430036" != before
    async with user.select(iccid="8988211000000430036", wait_s=5) as card:
        assert card.info.eids == (EUICC,)


async def test_with_raw_tpdus_a_response_that_was_announced_costs_no_round_trip(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.host()
    user = await world.user()
    sent: list[m.Message] = []
    forward = Link.send

    def count(link: Link, message: m.Message) -> None:
        if isinstance(message, m.RApdu | m.SealedResp):
            sent.append(message)
        forward(link, message)

    monkeypatch.setattr(Link, "send", count)
    async with user.select(iccid=UICC, raw_tpdu=True, look_ahead=True) as card:
        announced = await card.transmit(bytes.fromhex("00a40004023f00"))
        fetched = await card.transmit(bytes((0x00, 0xC0, 0, 0, announced.sw & 0xFF)))
        assert (announced.sw >> 8, fetched.data[0], fetched.sw) == (0x61, 0x62, 0x9000)
        assert len(sent) == 1
        announced = await card.transmit(bytes.fromhex("00a40004023f00"))
        assert (await card.transmit(ASK_PIN + b"\0")).sw == 0x63C3
        assert (await card.transmit(bytes((0x00, 0xC0, 0, 0, announced.sw & 0xFF)))).sw != 0x9000
        assert len(sent) == 4
