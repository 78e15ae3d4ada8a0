# SPDX-License-Identifier: Apache-2.0
"""The relay among peers of a later version, which say what it does not know."""

import json

import pytest

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, code_of, reader
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.protocol.fields import MAX_USER_ID


def test_e31_a_card_in_a_state_that_is_not_known_is_not_given_to_anybody() -> None:
    world = World()
    bench = world.card(reader(state=m.ReaderState("being_cleaned")))
    (card,) = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards
    assert card.state is m.CardState.IN_USE
    refused = world.user().refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(refused) is ErrorCode.READER_IN_USE
    why = "The card in Reader r1 cannot be had now: bench says that it is 'being_cleaned'."
    assert refused.message == why
    bench.report(reader())
    assert world.user().hold(iccid=ICCID)


def test_e31_who_has_a_card_keeps_it_in_a_state_that_is_not_known() -> None:
    world = World()
    bench = world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    bench.report(reader(state=m.ReaderState("being_cleaned")))
    user.command(session)
    assert user.one(m.RApdu).sw == "9000"


def test_e31_a_session_shared_in_a_way_that_is_not_known_has_its_card_alone() -> None:
    world = World()
    running = m.RunningSession(
        session="s", reader="r1", insertion=1, holder="ida", keep_s=60, share=Share("half")
    )
    features = ("pcsc", "share", "resume")
    world.card(reader(), features=features, sessions=(running,))
    refused = world.user().refused(m.SelectCard(id=1, iccid=ICCID, share=Share.SHARED))
    assert code_of(refused) is ErrorCode.CARD_BUSY


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"msg_type": "reset_req", "kind": "lukewarm"}, "kind"),
        ({"msg_type": "reconnect", "share": "half"}, "share"),
        ({"msg_type": "reconnect", "protocols": ["T1", "T15"]}, "protocols"),
        ({"msg_type": "end_transaction", "disposition": "polish"}, "disposition"),
    ],
)
def test_e31_a_request_with_a_word_that_is_not_known_is_refused_and_the_session_goes_on(
    request_: dict[str, object], field: str
) -> None:
    world = World()
    world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    user.say_text(json.dumps({**request_, "id": 77, "session": session}).encode())
    refused = user.next(m.Error)
    assert (refused.id, refused.session, refused.code) == (77, session, ErrorCode.NOT_SUPPORTED)
    assert refused.outcome is Outcome.NOT_EXECUTED
    assert repr(field) in refused.message
    user.command(session)
    assert user.one(m.RApdu).sw == "9000"


def test_e31_a_client_of_a_type_that_is_not_known_may_say_hello_as_another() -> None:
    world = World()
    stranger = world.stranger(m.ClientType.USER)
    stranger.say_text(b'{"msg_type":"hello","id":1,"client_type":"watcher","version":2}')
    refused = stranger.next(m.Error)
    assert (refused.id, refused.code) == (1, ErrorCode.NOT_SUPPORTED)
    stranger.say_text(b'{"msg_type":"hello","id":2,"client_type":"user","version":2}')
    assert stranger.next(m.HelloAck).version == m.VERSION


@pytest.mark.parametrize("id_", [MAX_USER_ID + 1, 2**53 - 1, -1])
def test_e31_an_id_that_is_not_for_user_clients_is_refused(id_: int) -> None:
    refused = World().user().refused(m.ListCards(id=id_))
    assert (refused.id, code_of(refused)) == (id_, ErrorCode.BAD_MESSAGE)
