# SPDX-License-Identifier: Apache-2.0
"""A relay that does what it likes with sealed sessions gains nothing but that they end."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.evil_relay import Change
from tests.support.sealed_world import WRONG_PIN, SealedWorld, sealed, tries
from tests.support.world import ASK_PIN, EUICC, UICC, until
from wsrc.errors import ErrorCode, Outcome, OutcomeUnknownError, RefusedError, WsrcError
from wsrc.octets import Octets
from wsrc.protocol import messages as m


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SealedWorld]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "host"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    async with sealed(tmp_path) as world:
        await world.host()
        yield world


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


def flipped(message: Any) -> bytes:
    return bytes([message.box[0] ^ 1]) + message.box[1:]


def cut(message: Any) -> bytes:
    return bytes(message.box[:-1])


# Requests


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changing(m.Sealed, box=flipped), id="changed"),
        pytest.param(changing(m.Sealed, box=cut), id="cut"),
        pytest.param(changing(m.Sealed, box=b""), id="empty"),
        pytest.param(changing(m.Sealed, seq=lambda asked: asked.seq + 1), id="number"),
        pytest.param(changing(m.Sealed, of="batch"), id="kind"),
        pytest.param(changing(m.Sealed, resets=True), id="told otherwise"),
        pytest.param(changing(m.Sealed, secret=None), id="without the secret"),
    ],
)
async def test_a_request_that_was_changed_on_its_way_is_not_run(
    world: SealedWorld, change: Change
) -> None:
    card = await world.card()
    world.relay.change = change
    with pytest.raises((OutcomeUnknownError, RefusedError)):
        await card.transmit(WRONG_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 3


async def test_a_request_of_another_session_is_not_run(world: SealedWorld) -> None:
    other = await world.card(name="other")
    await other.transmit(WRONG_PIN)
    (taken,) = world.relay.of(m.Sealed)
    await other.detach()
    card = await world.card()
    assert await tries(card) == 2
    world.relay.change = changing(m.Sealed, box=taken.box, seq=taken.seq, secret=None)
    with pytest.raises((OutcomeUnknownError, RefusedError)):
        await card.transmit(ASK_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 2


async def test_a_request_that_is_replayed_is_not_run_again(world: SealedWorld) -> None:
    card = await world.card()
    await card.transmit(WRONG_PIN)
    (asked,) = world.relay.of(m.Sealed)
    for number in (asked.seq, 2, 3):
        world.relay.to_card_host(msgspec.structs.replace(asked, seq=number))
    assert await tries(card) == 2


async def test_a_request_that_is_delivered_twice_runs_once(world: SealedWorld) -> None:
    card = await world.card()
    world.relay.change = lambda message: [message] * (1 + isinstance(message, m.Sealed))
    await card.transmit(WRONG_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 2


async def test_a_command_of_the_relays_own_is_not_run(world: SealedWorld) -> None:
    card = await world.card()
    await card.transmit(ASK_PIN)
    own = m.CApdu(id=77, seq=2, session=card.session, command=Octets(WRONG_PIN))
    for request in (own, msgspec.structs.replace(own, seq=None), m.ResetReq(session=card.session)):
        world.relay.to_card_host(request)
    assert await tries(card) == 3
    errors = [each for each in world.relay.of(m.Error) if each.code is ErrorCode.BAD_MESSAGE]
    assert len(errors) == 3


# Answers


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changing(m.SealedResp, box=flipped), id="changed"),
        pytest.param(changing(m.SealedResp, box=cut), id="cut"),
        pytest.param(changing(m.SealedResp, of="error"), id="kind"),
    ],
)
async def test_an_answer_that_was_changed_is_not_believed(
    world: SealedWorld, change: Change
) -> None:
    card = await world.card()
    world.relay.change = change
    with pytest.raises(OutcomeUnknownError):
        await card.transmit(WRONG_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 2


async def test_a_relay_that_answers_by_itself_is_not_believed(world: SealedWorld) -> None:
    card = await world.card()

    def change(message: m.Message) -> Iterable[m.Message]:
        if not isinstance(message, m.SealedResp):
            return (message,)
        own = {"id": message.id, "seq": message.seq, "session": message.session}
        return (m.error(ErrorCode.CANCELLED, "No.", outcome=Outcome.NOT_EXECUTED, **own),)

    world.relay.change = change
    with pytest.raises(OutcomeUnknownError):
        await card.transmit(WRONG_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 2


async def test_an_answer_that_is_kept_back_does_not_answer_the_next_number(
    world: SealedWorld,
) -> None:
    card = await world.card()
    await card.transmit(WRONG_PIN)
    (first,) = world.relay.of(m.SealedResp)
    world.relay.change = changing(m.SealedResp, box=first.box)
    with pytest.raises(OutcomeUnknownError):
        await card.transmit(ASK_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 2


async def test_a_relay_that_says_not_executed_of_what_ran_has_nothing_run_twice(
    world: SealedWorld,
) -> None:
    card = await world.card()

    def change(message: m.Message) -> Iterable[m.Message]:
        if not isinstance(message, m.SealedResp):
            return (message,)
        own = {"id": message.id, "session": message.session}
        return (m.error(ErrorCode.CANCELLED, "Not now.", outcome=Outcome.NOT_EXECUTED, **own),)

    world.relay.change = change
    with pytest.raises(OutcomeUnknownError, match="may or may not have run"):
        await card.transmit(WRONG_PIN)
    world.relay.stop_listening()
    assert await tries(card) == 2


# How a session begins


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changing(m.Attach, seal=None), id="the ask"),
        pytest.param(changing(m.SelectCardAck, seal=None), id="the offer"),
    ],
)
async def test_a_relay_that_strips_the_fields_is_noticed(
    world: SealedWorld, change: Change
) -> None:
    world.relay.change = change
    user = await world.user()
    with refused(ErrorCode.SEAL_REQUIRED):
        await user.select(iccid=UICC)


@pytest.mark.parametrize(
    "fields",
    [
        {"session": "another"},
        {"holder": "somebody else"},
        {"share": "shared"},
        {"raw_tpdu": True},
    ],
    ids=str,
)
async def test_what_a_card_host_is_told_otherwise_than_the_user_asked_is_noticed(
    world: SealedWorld, fields: dict[str, Any]
) -> None:
    def change(message: m.Message) -> Iterable[m.Message]:
        if isinstance(message, m.SelectCardAck) and "holder" in fields and message.seal is not None:
            seal = msgspec.structs.replace(message.seal, user="first")
            return (msgspec.structs.replace(message, seal=seal),)
        if not isinstance(message, m.Attach) or "session" in fields:
            return (message,)
        return (msgspec.structs.replace(message, **fields),)

    world.relay.change = change
    if "session" in fields:
        world.relay.change = changing(m.SelectCardAck, session="another")
    user = await world.user()
    with refused(ErrorCode.SEAL_HOST):
        await user.select(iccid=UICC)


async def test_a_weaker_suite_than_both_have_is_noticed(world: SealedWorld) -> None:
    def change(message: m.Message) -> Iterable[m.Message]:
        if isinstance(message, m.Attach) and message.seal is not None:
            seal = msgspec.structs.replace(message.seal, suites=("p256",))
            return (msgspec.structs.replace(message, seal=seal),)
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


async def test_a_secret_of_the_relays_own_is_refused_where_there_is_one(
    world: SealedWorld,
) -> None:
    card = await world.card()
    await card.transmit(ASK_PIN)
    (asked,) = world.relay.of(m.Sealed)
    other = m.SealSecret(sealed=b"x" * 1152)
    world.relay.to_card_host(msgspec.structs.replace(asked, seq=2, secret=other))
    await until(lambda: any(e.code is ErrorCode.SEAL_SECRET for e in world.relay.of(m.Error)))
    assert await tries(card) == 3


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
