# SPDX-License-Identifier: Apache-2.0
"""
wsrc.relay.first_form: card clients that know neither ids nor sessions.

The numbers in names are those of the faults that the first form was published with.
"""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ATR, ICCID, OK, SELECT_MF, OldCardClient, Peer
from tests.support.relay_world import World, code_of
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.policy.machine import Policy
from wsrc.policy.words import ALL, Verb
from wsrc.protocol import messages as m

SELECT = m.SelectCard(id_type="ICCID", id_str=ICCID)
COMMAND = m.CApdu(command=SELECT_MF)


@pytest.fixture
def world() -> World:
    return World()


def attached(world: World) -> tuple[OldCardClient, Peer, str]:
    """A first-form card in the hands of a user; from now on nothing is answered by itself."""
    card, user = world.old_card(), world.user(name="user")
    session = user.hold(iccid=ICCID)
    card.auto = False
    card.log.clear()
    return card, user, session


@pytest.mark.parametrize("channels", [True, False])
def test_a_card_is_identified_and_left_as_after_a_reset(world: World, channels: bool) -> None:
    card = world.old_card(channels=channels)
    assert (card.log.count("reset"), card.log[-1]) == (0 if channels else 1, "ready")
    listed = world.user().ask(m.ListCards(id=1, iccid=ICCID), m.ListCardsAck).cards[0]
    assert (listed.state, listed.identities.atr) == (m.CardState.READY, str(ATR))


def test_a_card_that_answers_errors_is_listed_by_its_atr(world: World) -> None:
    card = world.old_card(auto=False)
    while card.inbox and isinstance(card.inbox[0], m.CApdu):
        card.next(m.CApdu)
        card.say(m.Error(message="I cannot."))
    assert isinstance(card.inbox[0], m.ResetReq)
    card.answer(card.one(m.ResetReq))
    card.one(m.StateNotification)
    listed = world.user().ask(m.ListCards(id=1, atr=str(ATR)), m.ListCardsAck).cards[0]
    assert listed.identities.iccid is None


def test_a_card_that_cannot_be_reset_after_identification_is_not_served(world: World) -> None:
    card = world.old_card(auto=False, channels=False)
    while isinstance(card.inbox[0], m.CApdu):
        card.answer(card.next(m.CApdu))
    card.say(m.Error(message="No reset."))
    assert card.closed is not None
    assert "The card cannot be reset. The card client answered: No reset." in card.closed[1]


def test_fault_8_a_card_client_that_never_answers_is_closed_and_not_listed(world: World) -> None:
    card = world.old_card(auto=False)
    listed = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards
    assert [each.state for each in listed] == [m.CardState.IDENTIFYING]
    assert world.user(first_form=True).ask(m.ListCards(), m.ListCardsAck).cards == ()
    world.pass_time(world.limits.attach_s)
    assert card.closed == (1008, "This peer did not let its card be identified in time.")
    assert world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards == ()


def test_a_card_client_that_goes_while_it_is_identified_leaves_nothing(world: World) -> None:
    world.old_card(auto=False).leave()
    assert world.leftovers() == {}


def test_fault_17_a_card_client_that_speaks_unasked_is_cut_off(world: World) -> None:
    card, user, _ = attached(world)
    card.say(m.RApdu(response=OK, sw="9000"))
    assert card.closed == (1002, "Nothing was asked, so there is nothing to answer.")
    assert user.one(m.SessionEnded).code is ErrorCode.CARD_CLIENT_GONE


def test_fault_4_the_card_is_reset_and_identified_between_users(world: World) -> None:
    card, user, session = attached(world)
    card.auto = True
    user.command(session)
    user.one(m.RApdu)
    card.log.clear()
    card.iccid = "8949020000099999999"
    card.auto = False
    user.leave()
    desk = world.user()
    desk.say(m.SelectCard(id=1, reader="first-form-card-client"))
    desk.one(m.Waiting)
    card.answer(card.one(m.ResetReq))
    while isinstance(card.inbox[0], m.CApdu):
        assert desk.quiet()
        card.answer(card.next(m.CApdu))
    assert card.next(m.StateNotification).new_state is m.CardState.READY
    assert desk.quiet()
    card.answer(card.one(m.ResetReq))
    assert card.one(m.StateNotification).new_state is m.CardState.ASSOCIATED
    assert desk.one(m.SelectCardAck).identities.iccid == "8949020000099999999"


@pytest.mark.parametrize("channels", [True, False])
def test_a_card_client_whose_reset_between_users_fails_is_cut_off(
    world: World, channels: bool
) -> None:
    card = world.old_card(channels=channels)
    user = world.user()
    user.hold(iccid=ICCID)
    card.auto = False
    user.leave()
    if not channels:
        card.answer(card.one(m.ResetReq))
        while isinstance(card.inbox[0], m.CApdu):
            card.answer(card.next(m.CApdu))
    card.say(m.Error(message="Stuck."))
    assert card.closed is not None
    assert card.closed[0] == 1008
    assert world.relay.counts["cards"] == 0


def test_fault_18_a_card_client_that_does_not_finish_the_reset_is_cut_off(world: World) -> None:
    card, user, _ = attached(world)
    user.leave()
    world.pass_time(world.limits.attach_s)
    assert card.closed == (1008, "Card host first-form card client did not reset a card in time.")


def test_fault_5_an_error_of_a_card_client_reaches_the_user(world: World) -> None:
    card, user, session = attached(world)
    command = user.command(session)
    card.next(m.CApdu)
    card.say(m.Error(message="Reader on fire"))
    refused = user.one(m.Error)
    assert (refused.id, refused.session) == (command.id, session)
    assert refused.message == "The card client answered: Reader on fire"
    assert refused.outcome is Outcome.UNKNOWN
    card.auto = True
    user.command(session)
    user.one(m.RApdu)


@pytest.mark.parametrize(
    "wrong", [b'{"msg_type":"what"}', b'{"msg_type":"r_apdu","response":"0","sw":"9000"}']
)
def test_an_answer_that_cannot_be_read_is_an_error_of_its_question(
    world: World, wrong: bytes
) -> None:
    card, user, session = attached(world)
    user.command(session)
    card.next(m.CApdu)
    card.say_text(wrong)
    assert user.one(m.Error).outcome is Outcome.UNKNOWN
    assert card.quiet()
    card.say_text(wrong)
    assert card.closed is not None


def test_a_reset_gives_the_new_atr_and_may_fail(world: World) -> None:
    card, user, session = attached(world)
    user.say(m.ResetReq(id=7, session=session))
    card.next(m.ResetReq)
    card.say(m.ResetResp(atr=Octets.fromhex("3b02")))
    assert user.one(m.ResetResp) == m.ResetResp(id=7, session=session, atr=Octets.fromhex("3b02"))
    user.say(m.ResetReq(id=8, session=session))
    card.say(m.RApdu(response=OK, sw="9000"))
    refused = user.one(m.Error)
    assert refused.message == "The card client answered: an answer of another kind"


def test_an_attach_that_fails_is_told(world: World) -> None:
    card = world.old_card()
    card.auto = False
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    card.next(m.ResetReq)
    card.say(m.Error(message="No card."))
    refused = user.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_TRANSMISSION_ERROR
    assert refused.outcome is Outcome.NOT_EXECUTED


def test_raw_tpdus_are_refused(world: World) -> None:
    world.old_card()
    refused = world.user().refused(m.SelectCard(id=1, iccid=ICCID, raw_tpdu=True))
    assert code_of(refused) is ErrorCode.NOT_SUPPORTED


def batch(user: Peer, session: str, *expected: str) -> m.Batch:
    steps = tuple(m.Step(command=SELECT_MF, expect=(each,) if each else ()) for each in expected)
    asked = m.Batch(id=user.new_id(), session=session, steps=steps)
    user.say(asked)
    return asked


def test_a_batch_is_run_command_by_command(world: World) -> None:
    card, user, session = attached(world)
    card.auto = True
    asked = batch(user, session, "9xxx", "", "9000")
    done = user.one(m.BatchResp)
    assert (done.id, len(done.results), done.stopped) == (asked.id, 3, None)
    batch(user, session, "9000", "61XX", "9000")
    stopped = user.one(m.BatchResp)
    assert (len(stopped.results), stopped.stopped, stopped.error) == (2, 1, None)


def test_a_batch_that_fails_has_the_results_up_to_there(world: World) -> None:
    card, user, session = attached(world)
    batch(user, session, "", "")
    card.answer(card.next(m.CApdu))
    card.next(m.CApdu)
    card.say(m.Error(message="Parity."))
    failed = user.one(m.BatchResp)
    assert len(failed.results) == 1
    assert failed.error is not None
    assert failed.error.outcome is Outcome.UNKNOWN


def test_a_command_behind_a_first_form_card_client_cannot_be_cancelled(world: World) -> None:
    card, user, session = attached(world)
    command = user.command(session)
    cancel = m.Cancel(id=77, target=command.id or 0, session=session)
    assert not user.ask(cancel, m.CancelAck).cancelled
    card.answer(card.next(m.CApdu))
    user.one(m.RApdu)


def test_a_batch_behind_a_first_form_card_client_stops_after_the_command_that_runs(
    world: World,
) -> None:
    card, user, session = attached(world)
    steps = tuple(m.Step(Octets.fromhex(f"00b0000{n}")) for n in range(3))
    user.say(m.Batch(id=9, session=session, steps=steps))
    running = card.next(m.CApdu)
    assert not user.ask(m.Cancel(id=76, target=8, session=session), m.CancelAck).cancelled
    assert user.ask(m.Cancel(id=77, target=9, session=session), m.CancelAck).cancelled
    card.answer(running)
    stopped = user.one(m.BatchResp)
    assert (stopped.id, len(stopped.results), stopped.stopped) == (9, 1, None)
    assert stopped.error is not None
    assert (stopped.error.code, stopped.error.outcome) == (
        ErrorCode.CANCELLED,
        Outcome.NOT_EXECUTED,
    )
    assert card.quiet()
    user.say(m.Batch(id=10, session=session, steps=steps[:1]))
    card.answer(card.next(m.CApdu))
    assert user.one(m.BatchResp).error is None


def test_a_late_answer_of_a_card_client_is_not_the_answer_to_the_next_question(
    world: World,
) -> None:
    card, user, session = attached(world)
    user.command(session)
    user.leave()
    desk = world.user()
    desk.say(m.SelectCard(id=1, iccid=ICCID))
    desk.one(m.Waiting)
    late = card.one(m.CApdu)
    card.auto = True
    card.say(m.Error(message="Late."))
    assert card.closed is None
    desk.one(m.SelectCardAck)
    assert late.command == SELECT_MF


def test_a_card_client_hears_no_word_that_it_does_not_know(world: World) -> None:
    card = world.old_card()
    world.perform(world.relay.shut_down(1.0, world.now))
    assert card.quiet()
    card.say_text(b"no json")
    assert card.next(m.Error).code is ErrorCode.BAD_MESSAGE


def test_an_atr_that_is_not_told_is_not_made_up(world: World) -> None:
    card = OldCardClient(world, ICCID, auto=True, channels=True)
    world._connect(card)
    card.say(m.Hello(client_type=m.ClientType.CARD))
    card.auto = False
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    card.say(m.ResetResp())
    assert user.one(m.SelectCardAck).identities.atr == ""


def test_13_a_batch_of_the_first_form_ends_with_the_session_that_is_not_allowed_any_more() -> None:
    def policy(*may: Verb) -> Policy:
        return granting(rule("ann", may), hosts=[rule("*")])

    world = World(policy=policy(*ALL))
    card = world.old_card(who="host")
    user = world.user(who="ann")
    session = user.hold(iccid=card.iccid)
    card.auto = False
    steps = tuple(m.Step(Octets.fromhex(f"00b0000{n}")) for n in range(3))
    user.say(m.Batch(id=9, session=session, steps=steps))
    first = card.next(m.CApdu)
    world.obey(policy(Verb.LIST))
    world.pass_time(1)
    error = user.next(m.Error)
    assert (error.id, code_of(error), error.outcome) == (
        9,
        ErrorCode.FORBIDDEN,
        Outcome.UNKNOWN,
    )
    assert user.one(m.SessionEnded).code is ErrorCode.FORBIDDEN
    asked, card.auto = len(card.log), True
    card.answer(first)
    world.pass_time(1)
    assert "00b00001" not in card.log[asked:]
