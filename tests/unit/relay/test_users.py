# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.users: every request of a user, and the answer to each."""

import pytest

from tests.support.card_watcher import CardWatcher
from tests.support.relay_clients import ICCID, OK, SELECT_MF, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.relay.listing import PAGE


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def user(world: World) -> Peer:
    return world.user()


def cards(user: Peer, **by: str) -> list[str | None]:
    ack = user.ask(m.ListCards(id=user.new_id(), **by), m.ListCardsAck)
    return [card.reader for card in ack.cards]


def test_a_list_has_the_cards_that_match_and_no_empty_reader(world: World, user: Peer) -> None:
    world.card(reader("r1", label="left"), empty("r2"), reader("r3", None, label="right"))
    assert cards(user) == ["r1", "r3"]
    assert cards(user, label="*t") == ["r1", "r3"]
    assert cards(user, label="l*", iccid="8949*") == ["r1"]
    assert cards(user, any="nothing") == []


def test_a_list_says_all_that_is_known_of_a_card(world: World, user: Peer) -> None:
    world.card(reader(eids=("89", "90"), label="L"))
    card = user.ask(m.ListCards(id=1), m.ListCardsAck).cards[0]
    assert card.remote_addr == ("bench", 0)
    assert (card.identities.iccid, card.identities.eid) == (ICCID, "89")
    assert (card.eids, card.label, card.reader_name) == (("89", "90"), "L", "Reader r1")
    assert (card.state, card.lease) == (m.CardState.READY, None)


def test_a_long_list_comes_page_by_page(world: World, user: Peer) -> None:
    world.card(*(reader(f"r{n}") for n in range(600)))
    world.card(*(reader(f"s{n}") for n in range(600)))
    seen: list[str | None] = []
    after: int | None = 0
    while after is not None:
        ack = user.ask(m.ListCards(id=1, after=after), m.ListCardsAck)
        assert len(ack.cards) <= PAGE
        seen += [card.reader for card in ack.cards]
        after = ack.next
    assert seen == [f"r{n}" for n in range(600)] + [f"s{n}" for n in range(600)]


def test_the_text_of_a_command_and_of_its_answer_is_passed_on_with_what_is_not_known(
    world: World, user: Peer
) -> None:
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    card.auto = False
    asked = b'{"msg_type":"c_apdu","id":7,"session":"%b","command":"00A40004","x":1}'
    user.say_text(asked % session.encode())
    assert card.texts[-1] == asked % session.encode()
    said = b'{"msg_type":"r_apdu","id":7,"session":"%b","response":"","sw":"6A82","y":2}'
    card.say_text(said % session.encode())
    assert user.texts[-1] == said % session.encode()


def test_each_kind_of_command_is_answered(world: World, user: Peer) -> None:
    world.card(reader())
    session = user.hold(iccid=ICCID)
    apdu = user.ask(m.CApdu(id=1, session=session, command=SELECT_MF), m.RApdu)
    assert (apdu.response, apdu.sw) == (OK, "9000")
    steps = (m.Step(command=SELECT_MF, expect=("9000", "61xx")),) * m.MAX_BATCH
    batch = user.ask(m.Batch(id=2, session=session, steps=steps), m.BatchResp)
    assert len(batch.results) == m.MAX_BATCH
    assert user.ask(m.ResetReq(id=3, session=session), m.ResetResp).atr
    assert user.ask(m.Detach(id=4, session=session), m.DetachAck).session == session


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        (m.CApdu(command=Octets(3)), ErrorCode.BAD_APDU, "this one has 3"),
        (m.CApdu(command=Octets()), ErrorCode.BAD_APDU, "this one has 0"),
        (
            m.CApdu(command=Octets(MAX_COMMAND_OCTETS + 1)),
            ErrorCode.BAD_APDU,
            "4 to 65544 octets",
        ),
        (m.Batch(session="", steps=()), ErrorCode.BAD_MESSAGE, "1 to 256 commands, not 0"),
        (
            m.Batch(session="", steps=(m.Step(command=SELECT_MF),) * 257),
            ErrorCode.BAD_MESSAGE,
            "not 257",
        ),
        (
            m.Batch(session="", steps=(m.Step(command=Octets(4)), m.Step(command=Octets(2)))),
            ErrorCode.BAD_APDU,
            "this one has 2",
        ),
        (
            m.Batch(session="", steps=(m.Step(command=SELECT_MF, expect=("9000", "9")),)),
            ErrorCode.BAD_MESSAGE,
            "'9' in expect",
        ),
    ],
)
def test_a_command_that_cannot_be_one_never_reaches_the_card(
    world: World, user: Peer, wrong: m.CApdu | m.Batch, code: ErrorCode, words: str
) -> None:
    world.seal = "off"
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    card.auto = False
    refused = user.refused(type(wrong)(**{**fields(wrong), "id": 9, "session": session}))
    assert code_of(refused) is code
    assert words in refused.message
    assert refused.outcome is Outcome.NOT_EXECUTED
    assert card.quiet()


def fields(message: m.Message) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


@pytest.mark.parametrize(
    ("session", "code"),
    [(None, ErrorCode.NOTHING_SELECTED), ("session-1", ErrorCode.NO_SUCH_SESSION)],
)
def test_a_session_of_another_user_is_no_session(
    world: World, user: Peer, session: str | None, code: ErrorCode
) -> None:
    world.card(reader())
    assert world.user().hold(iccid=ICCID) == "session-1"
    refused = user.refused(m.CApdu(id=1, session=session, command=SELECT_MF))
    assert code_of(refused) is code
    assert refused.outcome is Outcome.NOT_EXECUTED


def test_one_request_of_a_session_at_a_time(world: World, user: Peer) -> None:
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    card.auto = False
    user.command(session)
    refused = user.refused(m.ResetReq(id=99, session=session))
    assert code_of(refused) is ErrorCode.REQUEST_IN_FLIGHT


def test_sessions_on_one_connection_do_not_wait_for_each_other(world: World, user: Peer) -> None:
    card = world.card(reader("r1"), reader("r2"))
    first, second = user.hold(reader="r1"), user.hold(reader="r2")
    card.auto = False
    one, two = user.command(first), user.command(second)
    asked = [card.next(m.CApdu), card.one(m.CApdu)]
    for each in reversed(asked):
        card.answer(each)
    assert [user.next(m.RApdu).id, user.one(m.RApdu).id] == [two.id, one.id]


def test_a_user_has_only_so_many_cards(user: Peer) -> None:
    user.world.card(*(reader(f"r{n}") for n in range(3)))
    user.world.relay._state.limits = type(user.world.limits)(max_sessions_per_user=2)
    user.hold(reader="r0")
    user.say(m.SelectCard(id=50, label="none", wait_s=60))
    user.one(m.Waiting)
    refused = user.refused(m.SelectCard(id=51, reader="r2"))
    assert code_of(refused) is ErrorCode.TOO_MANY
    assert "holds or waits for as many cards as it may: 2" in refused.message


def test_a_select_of_nothing_is_refused(user: Peer) -> None:
    assert code_of(user.refused(m.SelectCard(id=1))) is ErrorCode.NOTHING_SELECTED
    odd = user.refused(m.SelectCard(id=2, id_type="imsi", id_str="1"))
    assert code_of(odd) is ErrorCode.BAD_MESSAGE


def test_a_command_in_flight_is_cancelled_by_its_card_client_alone(
    world: World, user: Peer
) -> None:
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    cancel = m.Cancel(id=20, target=command.id or 0, session=session)
    user.say(cancel)
    assert user.quiet()
    card.next(m.CApdu)
    assert card.one(m.Cancel) == cancel
    card.say(m.CancelAck(id=20, session=session, cancelled=True))
    assert user.one(m.CancelAck).cancelled
    card.say(m.error(ErrorCode.CANCELLED, "As you wish.", id=command.id, session=session))
    assert code_of(user.one(m.Error)) is ErrorCode.CANCELLED


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_cancel_is_answered_with_the_request_if_not_before(
    world: World, user: Peer, cancelled: bool
) -> None:
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    user.say(m.Cancel(id=20, target=command.id or 0, session=session))
    if cancelled:
        card.say(m.error(ErrorCode.CANCELLED, "As you wish.", id=command.id, session=session))
        user.next(m.Error)
    else:
        card.answer(card.next(m.CApdu))
        user.next(m.RApdu)
    assert user.one(m.CancelAck) == m.CancelAck(id=20, session=session, cancelled=cancelled)
    card.say(m.CancelAck(id=20, session=session, cancelled=True))
    assert user.quiet()


def test_a_second_cancel_changes_nothing(world: World, user: Peer) -> None:
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    user.say(m.Cancel(id=20, target=command.id or 0, session=session))
    again = user.ask(m.Cancel(id=21, target=command.id or 0, session=session), m.CancelAck)
    assert not again.cancelled


def test_a_cancel_of_what_is_not_open_is_answered(world: World, user: Peer) -> None:
    card = world.card(reader())
    session = user.hold(iccid=ICCID)
    assert not user.ask(m.Cancel(id=1, target=77, session=session), m.CancelAck).cancelled
    card.auto = False
    command = user.command(session)
    for wrong in (None, "other"):
        cancel = m.Cancel(id=2, target=command.id or 0, session=wrong)
        assert user.ask(cancel, m.CancelAck) == m.CancelAck(id=2, session=wrong, cancelled=False)


def test_who_watches_is_told_each_change_once(world: World, user: Peer) -> None:
    watcher = CardWatcher(user)
    card = world.card(reader(state=m.ReaderState.IDENTIFYING))
    assert told(watcher) == [("added", "identifying")]
    card.report(reader())
    card.report(reader())
    assert told(watcher) == [("changed", "ready")]
    other = world.user()
    session = other.hold(iccid=ICCID)
    assert told(watcher) == [("changed", "associated")]
    other.ask(m.Detach(id=9, session=session), m.DetachAck)
    assert told(watcher) == [("changed", "resetting"), ("changed", "ready")]
    card.report(reader(insertion=2))
    assert told(watcher) == [("removed", "ready"), ("added", "ready")]
    other.hold(iccid=ICCID)
    told(watcher)
    card.report(empty(insertion=2))
    assert told(watcher) == [("removed", "associated")]
    card.report(reader(insertion=3))
    card.leave()
    assert told(watcher) == [("added", "ready"), ("removed", "ready")]
    world.card(empty()).report(empty())
    assert told(watcher) == []


def test_who_watches_is_told_what_comes_into_the_filter_and_leaves_it(
    world: World, user: Peer
) -> None:
    watcher = CardWatcher(user, label="mine*")
    assert told(watcher) == []
    card = world.card(reader(label="yours"))
    assert user.quiet()
    card.report(reader(label="mine too"))
    assert told(watcher) == [("added", "ready")]
    card.report(reader(label="yours"))
    [event] = watcher.told()
    assert (event.change, event.card.label) == (m.Change.REMOVED, "mine too")
    watcher = CardWatcher(user)
    assert told(watcher) == [("added", "ready")]
    card.say(m.ReaderGone(reader="r1"))
    assert told(watcher) == [("removed", "ready")]


def test_a_card_whose_reader_went_out_of_reach_in_a_session_is_never_shown_as_free(
    world: World, user: Peer
) -> None:
    watcher = CardWatcher(user)
    card, other = world.card(reader()), world.user()
    session = other.hold(iccid=ICCID)
    told(watcher)
    gone = ErrorCode.READER_UNAVAILABLE
    card.say(m.SessionEnded(session=session, code=gone, message="The card client stops."))
    assert told(watcher) == [("removed", "associated")]


def told(watcher: CardWatcher) -> list[tuple[str, str]]:
    return [(event.change, event.card.state) for event in watcher.told()]
