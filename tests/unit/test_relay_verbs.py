# SPDX-License-Identifier: Apache-2.0
"""The PC/SC verbs on their way through the relay."""

import pytest

from tests.unit.relay_world import ICCID, World, code_of, reader
from wsrc import messages as m
from wsrc.conversation import ANSWERS
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets


def verbs(session: str) -> list[m.PcscVerb]:
    return [
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
