# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.endings: whatever ends a lease, the card is reset before the next user has it."""

from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m


def held(world: World) -> tuple[CardClient, Peer, str]:
    """A card in the hands of a user; from now on its card client does nothing by itself."""
    card, user = world.card(reader()), world.user(name="user")
    session = user.hold(iccid=ICCID)
    card.auto = False
    return card, user, session


def test_nobody_gets_a_card_before_it_was_reset() -> None:
    world = World()
    card, user, session = held(world)
    user.leave()
    assert card.inbox == [m.Detach(session=session)]
    desk = world.user()
    desk.say(m.SelectCard(id=1, iccid=ICCID))
    desk.one(m.Waiting)
    assert card.inbox == [m.Detach(session=session)]
    listed = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards[0]
    assert (listed.state, listed.lease) == (m.CardState.RESETTING, None)
    card.answer(card.one(m.Detach))
    attach = card.one(m.Attach)
    assert desk.quiet()
    card.answer(attach)
    assert desk.one(m.SelectCardAck).session != session


def test_a_user_that_gives_its_card_back_has_its_open_requests_answered() -> None:
    world = World()
    card, user, session = held(world)
    command = user.command(session)
    user.say(m.Cancel(id=50, target=command.id or 0, session=session))
    user.say(m.Detach(id=51, session=session))
    refused = user.next(m.Error)
    assert (refused.id, code_of(refused)) == (command.id, ErrorCode.CANCELLED)
    assert refused.outcome is Outcome.UNKNOWN
    assert user.next(m.CancelAck) == m.CancelAck(id=50, session=session, cancelled=False)
    assert user.one(m.DetachAck) == m.DetachAck(id=51, session=session)
    for asked in list(card.inbox):
        card.answer(asked)
    assert user.quiet()
    assert code_of(user.refused(m.Detach(id=52, session=session))) is ErrorCode.NO_SUCH_SESSION


def test_a_user_that_leaves_while_attaching_or_waiting_leaves_nothing() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    attaching, waiting = world.user(), world.user()
    attaching.say(m.SelectCard(id=1, iccid=ICCID))
    waiting.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    waiting.leave()
    attaching.leave()
    for asked in list(card.inbox):
        card.answer(asked)
    assert world.relay.counts["sessions"] == world.relay.counts["waiting"] == 0
    assert world.relay.deadline() is None


def test_an_attach_that_was_cancelled_may_still_be_acknowledged() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    user.say(m.Cancel(id=2, target=1))
    refused = user.next(m.Error)
    assert (refused.id, refused.outcome) == (1, Outcome.NOT_EXECUTED)
    assert user.one(m.CancelAck).cancelled
    card.answer(card.next(m.Attach))
    assert world.relay.counts["sessions"] == 1
    card.answer(card.one(m.Detach))
    assert world.relay.counts["sessions"] == 0
    assert card.closed is None


def test_an_attach_that_was_cancelled_may_still_be_refused() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    user.say(m.Cancel(id=2, target=1))
    attach = card.next(m.Attach)
    why = m.error(ErrorCode.CARD_TRANSMISSION_ERROR, "No.", session=attach.session)
    card.say(why)
    assert world.relay.counts["sessions"] == 0
    card.answer(card.one(m.Detach))
    assert card.closed is None
    card.auto = True
    world.user().select(iccid=ICCID)


def test_a_late_error_of_a_command_is_not_taken_for_one_of_the_reset() -> None:
    world = World()
    card, user, session = held(world)
    command = user.command(session)
    user.leave()
    card.say(m.Error(id=command.id, session=session, message="It was interrupted."))
    assert world.relay.counts["sessions"] == 1
    card.say(m.DetachAck(session=session))
    assert world.relay.counts["sessions"] == 0


def test_a_card_that_could_not_be_reset_is_kept_from_users_until_it_is_reported_again() -> None:
    world = World()
    card, user, session = held(world)
    user.leave()
    card.say(m.error(ErrorCode.CARD_UNRESPONSIVE, "It hangs.", session=session))
    user = world.user()
    refused = user.refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(refused) is ErrorCode.CARD_UNRESPONSIVE
    assert card.closed is None
    assert any("could not be reset after a lease: It hangs." in note for note in world.notes)
    card.auto = True
    card.report(reader())
    user.select(iccid=ICCID)


def test_a_card_client_that_does_not_reset_a_card_is_asked_again() -> None:
    world = World(attach_s=5)
    card, user, session = held(world)
    user.leave()
    card.one(m.Detach)
    world.pass_time(5)
    assert card.one(m.Detach).session == session
    assert "Card host bench did not reset a card in time." in world.notes
    assert world.user().refused(m.SelectCard(id=1, label="x"))
    world.pass_time(5)
    card.answer(card.one(m.Detach))
    assert world.relay.deadline() is None
    card.auto = True
    world.user().select(iccid=ICCID)


def test_a_reset_may_have_to_wait_for_the_command_before_it() -> None:
    world = World(attach_s=5, command_s=20)
    card, user, session = held(world)
    user.command(session)
    user.leave()
    world.pass_time(24.9)
    card.next(m.CApdu)
    card.one(m.Detach)
    world.pass_time(0.1)
    card.one(m.Detach)


def test_a_session_that_its_card_client_ended_is_over_for_the_user() -> None:
    world = World()
    card, user, session = held(world)
    command = user.command(session)
    card.say(m.SessionEnded(session=session, code=ErrorCode.CARD_NOT_PRESENT, message="It went."))
    refused = user.next(m.Error)
    assert (refused.id, refused.outcome) == (command.id, Outcome.UNKNOWN)
    ended = user.one(m.SessionEnded)
    assert (ended.code, ended.message) == (ErrorCode.CARD_NOT_PRESENT, "It went.")
    refused = user.refused(m.ResetReq(id=9, session=session))
    assert code_of(refused) is ErrorCode.CARD_NOT_PRESENT
    assert refused.message == "The session is over: It went."
    assert world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards == ()


def test_a_session_that_ends_twice_is_told_once() -> None:
    world = World()
    card, user, session = held(world)
    user.leave()
    ended = m.SessionEnded(session=session, code=ErrorCode.INTERNAL, message="It went.")
    card.say(ended)
    card.say(ended)
    card.say(m.DetachAck(session=session))
    assert world.relay.counts["sessions"] == 0
    card.auto = True
    world.user().select(iccid=ICCID)


def test_only_so_many_ends_are_remembered() -> None:
    world = World()
    card, user = world.card(reader()), world.user()
    sessions = []
    for _ in range(17):
        sessions.append(user.hold(iccid=ICCID))
        ended = m.SessionEnded(session=sessions[-1], code=ErrorCode.INTERNAL, message="So.")
        card.say(ended)
        user.one(m.SessionEnded)
    codes = [code_of(user.refused(m.ResetReq(id=1, session=s))) for s in sessions[:2]]
    assert codes == [ErrorCode.NO_SUCH_SESSION, ErrorCode.INTERNAL]


def test_a_command_that_ends_with_its_lease_is_not_taken_for_another_one() -> None:
    world = World(command_s=5)
    card, user, session = held(world)
    user.command(session)
    world.pass_time(5)
    user.next(m.Error)
    user.one(m.SessionEnded)
    again = user.refused(m.CApdu(id=99, session=session, command=m.Octets(4)))
    assert code_of(again) is ErrorCode.COMMAND_TIMEOUT
    assert again.outcome is Outcome.NOT_EXECUTED
    card.answer(card.next(m.CApdu))
    assert user.quiet()
