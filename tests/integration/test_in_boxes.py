# SPDX-License-Identifier: Apache-2.0
"""What is in boxes: a server sees nothing of it, and the card host checks it."""

import pytest

from tests.support.sealed_world import WRONG_PIN, SealedWorld
from tests.support.world import ASK_PIN, PIN, READ_ICCID, UICC
from wsrc.card.identity import iccid_to_ef
from wsrc.card.slot import Initialization, Share
from wsrc.errors import (
    BadApduError,
    ErrorCode,
    GuardedError,
    Outcome,
    RefusedError,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.protocol.parts import Numbered
from wsrc.readers.simulated_connection import ECHO_CONTROL, SETTABLE

SAID = bytes.fromhex("5ea1ed5ea1ed")
STEP = m.Step(command=Octets(WRONG_PIN))


pytestmark = pytest.mark.usefixtures("state_of_both")


@pytest.fixture
def world(sealed_world: SealedWorld) -> SealedWorld:
    return sealed_world


async def test_every_request_of_a_session_is_sealed_and_so_is_every_answer(
    world: SealedWorld,
) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC, share=Share.SHARED, read_ahead=True) as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        assert (await card.batch([ASK_PIN, *READ_ICCID])).results[-1].sw == 0x9000
        await card.reset()
        await card.reconnect(initialization=Initialization.RESET)
        async with card.transaction():
            await card.transmit(READ_ICCID[0])
        assert (await card.status()).reader_name
        await card.control(3400)
        assert await card.control(ECHO_CONTROL, SAID) == SAID
        await card.set_attribute(SETTABLE, SAID)
        with pytest.raises(RefusedError, match="NOT_THERE"):
            await card.get_attribute("NOT_THERE")
    numbered = [each for each in world.relay.heard if isinstance(each, Numbered)]
    assert {type(each) for each in numbered} == {m.Sealed, m.SealedResp}
    kinds = {each.of for each in world.relay.of(m.Sealed)}
    assert kinds == {
        "c_apdu",
        "batch",
        "reset_req",
        "reconnect",
        "begin_transaction",
        "end_transaction",
        "status",
        "control",
        "get_attribute",
        "set_attribute",
    }
    told = b"".join(map(encode, (*world.relay.heard, *world.relay.said)))
    hidden = (PIN.hex(), READ_ICCID[-1].hex(), iccid_to_ef(UICC).hex(), SAID.hex(), "NOT_THERE")
    assert [text for text in (*hidden, SETTABLE) if text.encode() in told] == []


async def test_what_is_no_command_is_refused_by_the_card_host_and_its_number_is_settled(
    world: SealedWorld,
) -> None:
    """A server cannot look: the sentence is in the box as well, and the next command runs."""
    await world.host()
    card = await world.card()
    with pytest.raises(BadApduError):
        await card._session.ask(m.CApdu(command=Octets.fromhex("00a4")), 10.0)
    (answer,) = world.relay.of(m.SealedResp)
    assert (answer.of, answer.code) == ("error", ErrorCode.BAD_APDU)
    assert (await card.transmit(ASK_PIN)).sw == 0x63C3


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (STEP,) * (m.MAX_BATCH + 1),
        (STEP, m.Step(command=Octets(2))),
        (STEP, m.Step(command=STEP.command, expect=("9000", "9"))),
    ],
)
async def test_what_is_no_batch_is_refused_by_the_card_host_and_nothing_of_it_runs(
    world: SealedWorld, steps: tuple[m.Step, ...]
) -> None:
    """What a server checks of one that is not sealed: how many, their lengths, what is expected."""
    await world.host()
    card = await world.card()
    with pytest.raises(BadApduError, match="batch"):
        await card._session.ask(m.Batch(session="", steps=steps), 10.0)
    (answer,) = world.relay.of(m.SealedResp)
    assert (answer.code, answer.outcome) == (ErrorCode.BAD_APDU, Outcome.NOT_EXECUTED)
    assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_texts_are_padded_to_steps(world: SealedWorld) -> None:
    await world.host(pad_octets=256)
    card = await world.card(pad_octets=256)
    for command in (ASK_PIN, PIN):
        await card.transmit(command)
    boxes = [len(each.box) for each in (*world.relay.of(m.Sealed), *world.relay.of(m.SealedResp))]
    assert len(set(boxes)) == 1


async def test_the_guard_of_a_card_host_looks_into_boxes(world: SealedWorld) -> None:
    await world.host()
    card = await world.card()
    wrong = bytes.fromhex("0020000108 39393939ffffffff")
    for _ in range(2):
        await card.transmit(wrong)
    with pytest.raises(GuardedError):
        await card.transmit(wrong)
    assert (await card.transmit(ASK_PIN)).sw == 0x63C1
    (refusal,) = (each for each in world.relay.of(m.SealedResp) if each.of == "error")
    assert refusal.code is ErrorCode.GUARDED
