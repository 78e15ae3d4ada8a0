# SPDX-License-Identifier: Apache-2.0
"""The PC/SC verbs on their way through the relay."""

import pytest

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, code_of, reader
from wsrc.card.slot import CardProtocol, Disposition
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import ANSWERS


def verbs(session: str) -> list[m.PcscVerb]:
    return [
        m.Reconnect(id=7, session=session),
        m.BeginTransaction(id=7, session=session),
        m.EndTransaction(id=7, session=session),
        m.Status(id=7, session=session),
        m.Control(id=7, session=session, number=2048, data=Octets(b"x")),
        m.GetAttribute(id=7, session=session, name="maxinput"),
        m.SetAttribute(id=7, session=session, name="maxinput", value=Octets()),
    ]


def test_each_verb_goes_to_the_card_client_and_its_answer_comes_back() -> None:
    world = World()
    world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    for verb in verbs(session):
        user.ask(verb, ANSWERS[type(verb)])


def test_a_verb_is_a_request_in_flight_like_any_other() -> None:
    world = World()
    world.seal = "off"
    card, user = world.card(reader()), world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    user.say(m.Status(id=50, session=session))
    assert card.one(m.Status).id == 50
    refused = user.refused(m.CApdu(id=51, session=session, command=Octets(4)))
    assert code_of(refused) is ErrorCode.REQUEST_IN_FLIGHT
    card.say(m.ControlAck(id=50, session=session, response=Octets()))
    wrong = user.one(m.Error)
    assert (wrong.id, wrong.outcome) == (50, Outcome.UNKNOWN)


def test_a_verb_needs_a_session_of_this_connection() -> None:
    world = World()
    world.card(reader())
    session, stranger = world.user().hold(iccid=ICCID), world.user()
    for verb in verbs(session):
        assert code_of(stranger.refused(verb)) is ErrorCode.NO_SUCH_SESSION


@pytest.mark.parametrize("first_form", [True, False])
def test_a_card_client_without_the_feature_is_not_asked(first_form: bool) -> None:
    world = World()
    card = world.old_card() if first_form else world.card(reader(), features=())
    user = world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    for verb in verbs(session):
        refused = user.refused(verb)
        assert (code_of(refused), refused.outcome) == (
            ErrorCode.NOT_SUPPORTED,
            Outcome.NOT_EXECUTED,
        )
    assert card.quiet()


def test_protocols_and_disposition_reach_the_card_client() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, protocols=(CardProtocol.T1,)))
    attach = card.one(m.Attach)
    assert attach.protocols == (CardProtocol.T1,)
    card.answer(attach)
    session = user.one(m.SelectCardAck).session or ""
    user.ask(m.Detach(id=2, session=session, disposition=Disposition.EJECT), m.DetachAck)
    assert card.one(m.Detach).disposition is Disposition.EJECT
    world.pass_time(world.limits.attach_s)
    assert card.one(m.Detach).disposition is Disposition.EJECT


@pytest.mark.parametrize("first_form", [True, False])
def test_a_protocol_is_not_chosen_where_the_card_client_cannot(first_form: bool) -> None:
    world = World()
    _ = world.old_card() if first_form else world.card(reader(), features=())
    user = world.user()
    refused = user.refused(m.SelectCard(id=1, iccid=ICCID, protocols=(CardProtocol.T0,)))
    assert code_of(refused) is ErrorCode.NOT_SUPPORTED
    user.select(iccid=ICCID)


def test_a_card_that_has_not_the_protocol_stays_free() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, protocols=(CardProtocol.T1,)))
    session = card.one(m.Attach).session
    card.say(m.error(ErrorCode.PROTOCOL_MISMATCH, "It has T0 only.", session=session))
    assert code_of(user.one(m.Error)) is ErrorCode.PROTOCOL_MISMATCH
    card.auto = True
    user.select(iccid=ICCID)
