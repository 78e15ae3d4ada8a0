# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: what a card client does not know is not asked of it; cancels and their order."""

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import MAY_SAY, Phase, Speaker

ALL = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "share")
STEP = m.Step(command=Octets(bytes(4)))


def without(feature: str) -> World:
    """Return a world whose card client lacks a feature."""
    world = World()
    features = tuple(each for each in ALL if each != feature)
    world.card(reader(), features=features, auto=True)
    return world


def test_e32_a_batch_is_refused_where_the_card_client_knows_none() -> None:
    world = without("batch")
    user = world.user()
    session = user.hold(iccid=ICCID)
    refused = user.refused(m.Batch(id=5, session=session, steps=(STEP,)))
    assert code_of(refused) is ErrorCode.NOT_SUPPORTED
    assert (refused.outcome, refused.seq) == (Outcome.NOT_EXECUTED, None)
    assert refused.message == "The card client of bench does not know 'batch'."
    user.ask(m.CApdu(id=6, session=session, command=Octets(bytes(4))), m.RApdu)


def test_e32_a_cancel_does_nothing_where_the_card_client_knows_none() -> None:
    world = World()
    features = tuple(each for each in ALL if each != "cancel")
    card = world.card(reader(), features=features, auto=True)
    user = world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    assert command.id is not None
    cancel = m.Cancel(id=9, target=command.id, session=session)
    assert user.ask(cancel, m.CancelAck) == m.CancelAck(id=9, session=session, cancelled=False)
    card.answer(card.one(m.CApdu))
    assert user.one(m.RApdu).id == command.id


def test_e32_raw_tpdus_are_refused_where_the_card_client_has_none() -> None:
    refused = without("raw_tpdu").user().refused(m.SelectCard(id=1, iccid=ICCID, raw_tpdu=True))
    assert code_of(refused) is ErrorCode.NOT_SUPPORTED
    assert refused.message == "The card client of bench does not pass TPDUs as they are."


@pytest.mark.parametrize("known", [True, False])
def test_e32_a_card_client_is_asked_to_read_ahead_where_it_knows_that(known: bool) -> None:
    world = World()
    card = world.card(reader(), features=(*ALL, "read_ahead") if known else ALL, auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, read_ahead=True))
    assert card.one(m.Attach).read_ahead is known


@pytest.mark.parametrize("feature", ALL)
def test_e32_no_card_client_is_sent_what_it_does_not_announce(feature: str) -> None:
    world = World()
    features = tuple(each for each in ALL if each != feature)
    card = world.card(reader(), features=features, auto=True)
    heard: list[m.Message] = []
    answer = card.answer

    def note(message: m.Message) -> None:
        heard.append(message)
        answer(message)

    card.answer = note  # type: ignore[method-assign]  # to see what comes
    user = world.user(instance="u")
    session = user.hold(iccid=ICCID)
    everything(user, session)
    assert {type(each) for each in heard} & set(OF[feature]) == set()
    assert {type(each) for each in heard} <= MAY_SAY[Speaker.SERVER_TO_CARD, Phase.OPEN]


OF: dict[str, tuple[type[m.Message], ...]] = {
    "batch": (m.Batch,),
    "cancel": (m.Cancel,),
    "pcsc": (
        m.Reconnect,
        m.BeginTransaction,
        m.EndTransaction,
        m.Status,
        m.Control,
        m.GetAttribute,
        m.SetAttribute,
    ),
    "raw_tpdu": (),
    "resume": (m.Resume,),
    "share": (),
}
"""What is asked of a card client that announces a feature, and of no other."""


def everything(user: Peer, session: str) -> None:
    """Ask for all that a user can ask for of a session."""
    of_session = {"session": session}
    data = Octets(b"\x00")
    for request in (
        m.CApdu(id=20, command=Octets(bytes(4)), **of_session),
        m.Batch(id=21, steps=(STEP,), **of_session),
        m.ResetReq(id=22, **of_session),
        m.Reconnect(id=23, **of_session),
        m.BeginTransaction(id=24, **of_session),
        m.EndTransaction(id=25, **of_session),
        m.Status(id=26, **of_session),
        m.Control(id=27, number=1, data=data, **of_session),
        m.GetAttribute(id=28, name="maxinput", **of_session),
        m.SetAttribute(id=29, name="maxinput", value=data, **of_session),
        m.Cancel(id=30, target=20, **of_session),
        m.Resume(id=31, session=session, secret="s", host="bench", reader="r1"),
    ):
        user.say(request)
    assert [each.id for each in user.inbox if each.id is not None] == list(range(20, 32))
    user.inbox.clear()


def test_e32_who_has_an_empty_reader_alone_is_told_no_atr() -> None:
    world = World()
    card = world.card(empty(), features=ALL, auto=False)
    user = world.user()
    select = m.SelectCard(id=1, reader="r1", share=Share.DIRECT)
    user.say(select)
    attach = card.one(m.Attach)
    card.say(m.AttachAck(session=attach.session, atr=Octets()))
    granted = user.one(m.SelectCardAck)
    assert granted.identities.atr == ""
    assert granted.card is not None
    assert (granted.card.identities.atr, granted.card.protocol) == ("", None)


# The order of a cancel and of what it cancels


def test_e32_what_is_given_up_is_answered_before_its_cancel() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    for wait in (m.SelectCard(id=1, label="absent", wait_s=60), m.SelectCard(id=1, iccid=ICCID)):
        user.say(wait)
        user.inbox.clear()
        user.say(m.Cancel(id=2, target=1))
        assert user.next(m.Error).id == 1
        assert user.one(m.CancelAck) == m.CancelAck(id=2, cancelled=True)
    card.inbox.clear()


def test_e32_a_command_that_runs_is_answered_after_its_cancel() -> None:
    world = World()
    card, user = world.card(reader()), world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    assert command.id is not None
    user.say(m.Cancel(id=9, target=command.id, session=session))
    card.next(m.CApdu)
    card.answer(card.one(m.Cancel))
    assert not user.one(m.CancelAck).cancelled
    card.answer(command)
    user.one(m.RApdu)
