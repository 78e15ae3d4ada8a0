# SPDX-License-Identifier: Apache-2.0
"""
What an evil relay does beside the requests of a user, and with how sessions are resumed.

What it does with requests, answers and offers is the table of `test_evils.py`.
"""

import gc
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from tests.support.evil_relay import Change
from tests.support.sealed_world import WRONG_PIN, SealedWorld, tries
from tests.support.world import ASK_PIN, EUICC, UICC, until
from wsrc.errors import ErrorCode, RefusedError, WsrcError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.sealing import handshake
from wsrc.sealing.suites import OneTimeKey

UNUSED = 100


@pytest.fixture
async def world(sealed_world: SealedWorld) -> SealedWorld:
    await sealed_world.host()
    return sealed_world


def refused(*codes: ErrorCode) -> Any:
    return pytest.raises(RefusedError, check=lambda exc: exc.code in codes)


def changing(kind: type[m.Message], **fields: Any) -> Change:
    """Return what sets fields of the messages of a kind; one that is a function takes them."""

    def change(message: m.Message) -> Iterable[m.Message]:
        if not isinstance(message, kind):
            return (message,)
        new = {name: put(message) if callable(put) else put for name, put in fields.items()}
        return (msgspec.structs.replace(message, **new),)

    return change


def offers_there() -> int:
    gc.collect()
    return sum(isinstance(each, handshake.Offered) for each in gc.get_objects())


# Requests


async def test_a_command_of_the_relays_own_is_not_run(world: SealedWorld) -> None:
    card = await world.card()
    await card.transmit(ASK_PIN)
    own = m.CApdu(id=77, seq=2, session=card.session, command=Octets(WRONG_PIN))
    for request in (own, msgspec.structs.replace(own, seq=None), m.ResetReq(session=card.session)):
        world.relay.to_card_host(request)
    assert await tries(card) == 3
    errors = [each for each in world.relay.of(m.Error) if each.code is ErrorCode.BAD_MESSAGE]
    assert len(errors) == 3


# How a session begins


async def test_what_the_user_is_called_to_the_card_host_is_signed(world: SealedWorld) -> None:
    def change(message: m.Message) -> Iterable[m.Message]:
        if isinstance(message, m.SelectCardAck) and message.seal is not None:
            seal = msgspec.structs.replace(message.seal, user="first")
            return (msgspec.structs.replace(message, seal=seal),)
        if isinstance(message, m.Attach):
            return (msgspec.structs.replace(message, holder="somebody else"),)
        return (message,)

    world.relay.change = change
    user = await world.user()
    with refused(ErrorCode.SEAL_HOST):
        await user.select(iccid=UICC)


async def test_a_card_in_place_of_the_one_that_was_selected_is_noticed(
    world: SealedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await world.user()
    relay = world.world.app._peers.relay
    received = relay.received

    def swapped(peer: int, message: m.Message, *more: Any) -> Any:
        if isinstance(message, m.SelectCard):
            message = msgspec.structs.replace(message, iccid=None, eid=EUICC)
        return received(peer, message, *more)

    monkeypatch.setattr(relay, "received", swapped)
    with refused(ErrorCode.SEAL_TERMS):
        await user.select(iccid=UICC)


async def test_an_offer_of_an_earlier_session_is_of_no_use(world: SealedWorld) -> None:
    card = await world.card()
    await card.detach()
    (earlier,) = world.relay.of(m.AttachAck)
    world.relay.change = changing(m.SelectCardAck, seal=earlier.seal)
    user = await world.user(name="second")
    with refused(ErrorCode.SEAL_HOST):
        await user.select(iccid=UICC)


async def test_sessions_that_are_never_used_cost_one_key_pair_each_and_leave_nothing(
    world: SealedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand are in the unit tests of the handshake; here each goes by way of a server."""
    made, opened = [], []
    new_key, open_ = handshake.new_key, OneTimeKey.open

    def noted_key(*given: Any) -> Any:
        made.append(given)
        return new_key(*given)

    def noted_open(*given: Any) -> Any:
        opened.append(given)
        return open_(*given)

    monkeypatch.setattr(handshake, "new_key", noted_key)
    monkeypatch.setattr(OneTimeKey, "open", noted_open)
    user, before = await world.user(), offers_there()
    for _ in range(UNUSED):
        await (await user.select(iccid=UICC)).detach()
    assert (len(made), len(opened)) == (UNUSED, 0)
    await until(lambda: offers_there() <= before)
    assert await tries(await user.select(iccid=UICC)) == 3
    assert len(opened) == 1


# Resume


async def test_a_proof_is_of_no_use_to_whoever_copies_it(world: SealedWorld) -> None:
    """Neither on another connection, nor with another nonce, nor twice."""
    card = await world.card()
    await card.transmit(WRONG_PIN)
    world.relay.to_user(m.SessionInterrupted(session=card.session, message="Wait."))
    await until(lambda: bool(world.relay.of(m.Resumed)))
    (asked,) = world.relay.of(m.Resume)
    assert asked.proof is not None
    (nonce,) = [each.nonce for each in world.relay.said if isinstance(each, m.Resume)]
    for other in (nonce, b"\0" * 32, None):
        world.relay.to_card_host(msgspec.structs.replace(asked, id=1 << 40, nonce=other))
    thief = await world.user(name="thief")
    with pytest.raises(WsrcError):
        await thief._connection.requests.ask(asked, 5.0)
    assert len(world.relay.of(m.Resumed)) == 1
    assert await tries(card) == 2


async def test_no_secret_resumes_a_sealed_session(world: SealedWorld) -> None:
    card = await world.card(seal="preferred")
    await card.transmit(WRONG_PIN)
    (select,) = world.relay.of(m.SelectCard)
    assert select.secret
    asked = m.Resume(id=1 << 40, session=card.session, secret=select.secret, seq=1)
    world.relay.to_card_host(asked)
    assert await tries(card) == 2
    assert not world.relay.of(m.Resumed)


async def test_a_relay_that_makes_up_resumed_ends_the_session(world: SealedWorld) -> None:
    card = await world.card()
    await card.transmit(WRONG_PIN)

    def change(message: m.Message) -> Iterable[m.Message]:
        if isinstance(message, m.Resume):
            return ()
        return (message,)

    world.relay.change = change
    world.relay.to_user(m.SessionInterrupted(session=card.session, message="Wait."))
    await until(lambda: bool(world.relay.of(m.Resume)))
    (asked,) = world.relay.of(m.Resume)
    world.relay.to_user(m.Resumed(id=asked.id, session=card.session, seq=0))
    with pytest.raises(WsrcError, match="not its card host"):
        await card.transmit(WRONG_PIN)
