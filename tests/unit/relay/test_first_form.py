# SPDX-License-Identifier: Apache-2.0
"""
wsrc.relay.first_form: peers that know neither ids nor sessions.

The numbers in names are those of the faults that the first form was published with.
"""

import pytest

from tests.support.relay_clients import ATR, ICCID, OK, SELECT_MF, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, encode
from wsrc.relay.listing import STEP_S

SELECT = m.SelectCard(id_type="ICCID", id_str=ICCID)
COMMAND = m.CApdu(command=SELECT_MF)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def user(world: World) -> Peer:
    return world.user(first_form=True)


def test_a_whole_conversation_of_a_user(world: World, user: Peer) -> None:
    world.card(reader(eids=("89",)))
    listed = user.ask(m.ListCards(), m.ListCardsAck).cards
    ids = m.Identities(atr=str(ATR), eid="89", iccid=ICCID)
    first = m.CardInfo(remote_addr=("bench", 0), identities=ids, state=m.CardState.READY)
    assert listed == (first,)
    assert user.ask(SELECT, m.SelectCardAck) == m.SelectCardAck(identities=ids)
    assert user.ask(COMMAND, m.RApdu) == m.RApdu(response=OK, sw="9000")
    assert user.ask(m.ResetReq(), m.ResetResp).atr == ATR
    user.leave()
    assert world.relay.counts["sessions"] == 0


@pytest.mark.parametrize("id_type", ["iccid", "ICCID", "Atr", "label"])
def test_a_user_selects_by_each_kind_in_either_case(world: World, user: Peer, id_type: str) -> None:
    world.card(reader(label="L"))
    values = {"iccid": ICCID, "atr": str(ATR).upper(), "label": "l"}
    user.ask(m.SelectCard(id_type=id_type, id_str=values[id_type.lower()]), m.SelectCardAck)


def test_a_list_of_several_pages_comes_as_one(world: World, user: Peer) -> None:
    mute = reader("mute", state=m.ReaderState.MUTE)
    world.card(*(reader(f"r{n}") for n in range(1001)), mute)
    for _ in range(2):
        user.say(m.ListCards())
        world.pass_time(1)
        assert len(user.one(m.ListCardsAck).cards) == 1001


def test_b16_a_page_of_a_list_is_one_event(world: World, user: Peer) -> None:
    card = world.card(*(reader(f"r{n}") for n in range(1001)))
    user.say(m.ListCards())
    for _ in range(2):
        assert user.quiet()
        world.now += STEP_S
        world.perform(world.relay.tick(world.now))
    assert len(user.one(m.ListCardsAck).cards) == 1001
    user.say(m.ListCards())
    user.leave()
    card.leave()
    world.pass_time(1)
    assert not world.leftovers()


def test_b16_pages_of_two_users_are_two_events(world: World) -> None:
    world.card(*(reader(f"r{n}") for n in range(1000)))
    users = [world.user(first_form=True) for _ in range(2)]
    for user in users:
        user.say(m.ListCards())
    world.now += STEP_S
    world.perform(world.relay.tick(world.now))
    assert [user.quiet() for user in users] == [False, True]
    world.perform(world.relay.tick(world.now))
    assert not users[1].quiet()


def test_a11_a_list_has_as_many_cards_as_one_message_carries(world: World, user: Peer) -> None:
    for host in range(10):
        world.card(*(reader(f"r{n}") for n in range(1000)), name=f"{host}" + 200 * "x")
    user.say(m.ListCards())
    world.pass_time(1)
    listed = user.one(m.ListCardsAck)
    assert 0.8 * MAX_MESSAGE_OCTETS < len(encode(listed)) <= MAX_MESSAGE_OCTETS


def test_pipelined_questions_are_answered_in_their_order(world: World, user: Peer) -> None:
    card = world.card(reader(), auto=False)
    user.say(SELECT)
    user.say(COMMAND)
    user.say_text(b'{"msg_type": "what"}')
    user.say(m.ListCards())
    assert user.quiet()
    card.answer(card.one(m.Attach))
    user.one(m.SelectCardAck)
    card.answer(card.one(m.CApdu))
    user.next(m.RApdu)
    assert code_of(user.next(m.Error)) is ErrorCode.UNKNOWN_MESSAGE
    user.one(m.ListCardsAck)


@pytest.mark.parametrize("readable", [True, False])
def test_a_user_that_asks_on_and_on_is_cut_off(world: World, user: Peer, readable: bool) -> None:
    world.card(reader(), auto=False)
    user.say(SELECT)
    for _ in range(16):
        user.say(COMMAND)
    assert user.closed is None
    user.say(COMMAND) if readable else user.say_text(b'{"msg_type": "what"}')
    assert user.closed is not None
    assert user.closed[0] == 1002
    assert code_of(user.next(m.Error)) is ErrorCode.BAD_MESSAGE


def test_fault_1_an_unknown_message_before_selection_is_answered(user: Peer) -> None:
    user.say_text(b'{"msg_type": "what"}')
    assert code_of(user.one(m.Error)) is ErrorCode.UNKNOWN_MESSAGE
    assert code_of(user.refused(COMMAND)) is ErrorCode.NOTHING_SELECTED


@pytest.mark.parametrize(
    "more",
    [
        m.Batch(session="", steps=()),
        m.Detach(session=""),
        m.Cancel(target=1),
        m.WatchReaders(),
        m.Error(message="?"),
        m.RApdu(response=OK, sw="9000"),
    ],
)
def test_fault_2_everything_after_selection_is_answered(
    world: World, user: Peer, more: m.Message
) -> None:
    world.card(reader())
    user.ask(SELECT, m.SelectCardAck)
    assert code_of(user.refused(more)) is ErrorCode.NOT_SUPPORTED
    again = user.refused(SELECT)
    assert "cannot ask for a second card" in again.message
    assert code_of(user.refused(m.Hello(client_type=m.ClientType.USER))) is (
        ErrorCode.UNEXPECTED_MESSAGE
    )
    assert len(user.ask(m.ListCards(), m.ListCardsAck).cards) == 1
    user.ask(COMMAND, m.RApdu)


def test_fault_3_a_user_may_take_its_time(world: World, user: Peer) -> None:
    world.card(reader())
    world.pass_time(3000)
    user.ask(SELECT, m.SelectCardAck)
    world.pass_time(3000)
    user.ask(COMMAND, m.RApdu)


def test_a_lease_that_expired_is_told_when_the_user_asks_and_can_be_had_again(
    world: World, user: Peer
) -> None:
    world.card(reader())
    user.ask(SELECT, m.SelectCardAck)
    world.pass_time(world.limits.lease_idle_s)
    assert user.quiet()
    assert code_of(user.refused(COMMAND)) is ErrorCode.LEASE_EXPIRED
    user.ask(SELECT, m.SelectCardAck)
    user.ask(COMMAND, m.RApdu)


def test_fault_6_a_card_client_that_drops_during_a_command_is_told(
    world: World, user: Peer
) -> None:
    card = world.card(reader())
    user.ask(SELECT, m.SelectCardAck)
    card.auto = False
    user.say(COMMAND)
    card.leave()
    refused = user.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_CLIENT_GONE
    assert refused.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("text", [b"no json", b'"msg_type"', b'{"x": "msg_type"}'])
def test_faults_7_and_13_what_is_no_message_is_told_why(user: Peer, text: bytes) -> None:
    user.say_text(text)
    assert code_of(user.one(m.Error)) is ErrorCode.BAD_MESSAGE
    assert user.closed is not None


def test_fault_9_a_busy_card_is_told_from_an_unknown_one(world: World, user: Peer) -> None:
    world.card(reader())
    world.user(name="user").hold(iccid=ICCID)
    busy = user.refused(SELECT)
    assert code_of(busy) is ErrorCode.CARD_BUSY
    assert "held by user" in busy.message
    unknown = user.refused(m.SelectCard(id_type="EID", id_str="89"))
    assert code_of(unknown) is ErrorCode.NO_SUCH_CARD


@pytest.mark.parametrize("selected", [True, False])
def test_faults_15_and_16_nothing_is_left_of_a_user_that_went(
    world: World, user: Peer, selected: bool
) -> None:
    card = world.card(reader())
    if selected:
        user.ask(SELECT, m.SelectCardAck)
    user.leave()
    card.leave()
    assert world.leftovers() == {}


def test_fault_20_one_identity_twice_is_ambiguous(world: World, user: Peer) -> None:
    world.card(reader("r1"))
    world.card(reader("r2"))
    assert code_of(user.refused(SELECT)) is ErrorCode.AMBIGUOUS


def test_fault_25_where_a_card_host_is_on_the_network_is_not_told(world: World, user: Peer) -> None:
    world.old_card()
    card = user.ask(m.ListCards(), m.ListCardsAck).cards[0]
    assert card.remote_addr == ("first-form card client", 0)


def test_fault_26_the_user_gets_the_new_atr_after_a_reset(world: World, user: Peer) -> None:
    card = world.card(reader())
    user.ask(SELECT, m.SelectCardAck)
    card.auto = False
    user.say(m.ResetReq())
    asked = card.one(m.ResetReq)
    new = Octets.fromhex("3b01")
    card.say(m.ResetResp(id=asked.id, session=asked.session, atr=new))
    assert user.one(m.ResetResp) == m.ResetResp(atr=new)


def test_a_select_that_waits_says_nothing_until_it_is_decided(world: World, user: Peer) -> None:
    card = world.card(reader(state=m.ReaderState.IDENTIFYING))
    user.say(SELECT)
    assert user.quiet()
    card.report(empty())
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD


def test_users_of_the_first_form_and_card_clients_of_the_first_form_meet(
    world: World, user: Peer
) -> None:
    world.old_card()
    user.ask(SELECT, m.SelectCardAck)
    assert user.ask(COMMAND, m.RApdu) == m.RApdu(response=Octets(), sw="9000")
    user.ask(m.ResetReq(), m.ResetResp)
