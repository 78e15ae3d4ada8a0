# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.queue: who gets a card, who waits, and what those are told who get none."""

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.identity import luhn_digit
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

OTHER = "8949020000099999999"


def select(peer_id: int = 1, wait_s: float = 0.0, **by: str) -> m.SelectCard:
    return m.SelectCard(id=peer_id, wait_s=wait_s, **(by or {"iccid": ICCID}))


def test_a_card_that_is_not_here_is_named_in_the_refusal() -> None:
    refused = World().user().refused(select(label="bench", iccid="8949"))
    assert code_of(refused) is ErrorCode.NO_SUCH_CARD
    assert refused.message == "No card here has ICCID 8949 and LABEL bench."


def test_two_card_clients_with_the_same_card_are_candidates_not_a_lottery() -> None:
    world = World()
    world.card(reader("r1"), name="berlin")
    world.card(reader("r2"), name="oslo")
    refused = world.user().refused(select())
    assert code_of(refused) is ErrorCode.AMBIGUOUS
    assert [card.host for card in refused.candidates] == ["berlin", "oslo"]
    assert "berlin/Reader r1, oslo/Reader r2. Select by reader" in refused.message
    assert world.user().select(iccid=ICCID, reader="r2").card is not None


def test_no_more_than_ten_candidates_are_named() -> None:
    world = World()
    world.card(*(reader(f"r{n}") for n in range(12)))
    refused = world.user().refused(select())
    assert len(refused.candidates) == 10
    assert "12 cards have" in refused.message
    assert "and 2 more" in refused.message


def test_a_busy_card_is_refused_with_who_holds_it_since_and_until() -> None:
    world = World(lease_idle_s=60)
    world.card(reader())
    world.user(name="user").hold(iccid=ICCID)
    refused = world.user().refused(select())
    assert code_of(refused) is ErrorCode.CARD_BUSY
    since, until = "1970-01-01T00:16:40Z", "1970-01-01T00:17:40Z"
    assert refused.lease == m.LeaseInfo(holder="user", since=since, until=until)
    assert refused.message == (
        f"The card in Reader r1 is held by user since {since}, until {until} unless used."
    )


def test_without_a_limit_of_use_there_is_no_until() -> None:
    world = World(lease_idle_s=0)
    world.card(reader())
    world.user(name="user").hold(iccid=ICCID)
    refused = world.user().refused(select())
    assert refused.lease is not None
    assert refused.lease.until is None
    assert refused.message.endswith("since 1970-01-01T00:16:40Z.")


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        (m.ReaderState.MUTE, ErrorCode.CARD_UNRESPONSIVE, "gives no ATR"),
        (m.ReaderState.IN_USE, ErrorCode.READER_IN_USE, "Another program on bench"),
        (m.ReaderState.EMPTY, ErrorCode.NO_SUCH_CARD, "No card here"),
        (m.ReaderState.UNAVAILABLE, ErrorCode.NO_SUCH_CARD, "No card here"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_why(
    state: m.ReaderState, code: ErrorCode, words: str
) -> None:
    world = World()
    world.card(reader(state=state))
    refused = world.user().refused(select())
    assert code_of(refused) is code
    assert words in refused.message


def test_the_queue_is_fair_and_tells_positions_as_they_change() -> None:
    world = World()
    world.card(reader())
    holder, *users = (world.user(name=f"u{n}") for n in range(4))
    session = holder.hold(iccid=ICCID)
    for place, user in enumerate(users, start=1):
        user.say(select(wait_s=60))
        waiting = user.one(m.Waiting)
        assert (waiting.id, waiting.position) == (1, place)
        assert waiting.lease is not None
        assert waiting.lease.holder == "u0"
    first, second, third = users
    holder.ask(m.Detach(id=9, session=session), m.DetachAck)
    first.one(m.SelectCardAck)
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1
    assert third.one(m.Waiting).position == 2
    second.leave()
    world.pass_time(1)
    assert third.one(m.Waiting).position == 1
    first.leave()
    third.one(m.SelectCardAck)


def test_who_waits_too_long_is_told_who_holds_the_card_and_those_behind_move_up() -> None:
    world = World()
    world.card(reader())
    world.user(name="user").hold(iccid=ICCID)
    first, second = world.user(), world.user()
    first.say(select(wait_s=5))
    second.say(select(wait_s=60))
    first.one(m.Waiting)
    assert second.one(m.Waiting).position == 2
    world.pass_time(4.9)
    assert first.quiet()
    world.pass_time(0.1)
    refused = first.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert refused.lease is not None
    assert second.one(m.Waiting).position == 1


def test_nobody_waits_longer_than_the_server_allows() -> None:
    world = World(wait_max_s=10)
    user = world.user()
    user.say(select(wait_s=1e9))
    user.one(m.Waiting)
    world.pass_time(10)
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD


def test_an_absent_card_is_waited_for() -> None:
    world = World()
    first, second = world.user(), world.user()
    first.say(select(wait_s=60))
    second.say(select(wait_s=60, any=ICCID))
    assert first.one(m.Waiting) == m.Waiting(id=1, position=1)
    assert second.one(m.Waiting).position == 2
    world.card(reader())
    first.one(m.SelectCardAck)
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1


def test_those_behind_move_up_when_one_gives_up_an_absent_card() -> None:
    world = World()
    first, second, third = (world.user() for _ in range(3))
    for user in (first, second, third):
        user.say(select(wait_s=60))
        user.one(m.Waiting)
    first.leave()
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1
    assert third.one(m.Waiting).position == 2


def test_a_card_that_comes_twice_is_ambiguous_for_who_waits() -> None:
    world = World()
    card = world.card(reader("r1", state=m.ReaderState.MUTE))
    user = world.user()
    user.say(select(wait_s=60))
    user.one(m.Waiting)
    card.report(reader("r2"))
    assert code_of(user.one(m.Error)) is ErrorCode.AMBIGUOUS


def test_a_name_that_became_ambiguous_is_told_when_the_wait_is_over() -> None:
    world = World()
    card = world.card(reader("r1", label="x"), reader("r2", OTHER, label="y"), auto=False)
    holder, other, user = world.user(), world.user(), world.user()
    holder.say(select(label="x"))
    other.say(select(label="y"))
    first, second = card.next(m.Attach), card.one(m.Attach)
    card.say(m.AttachAck(session=first.session, atr=m.Octets(b"\x3b\x01")))
    user.say(select(atr="3b01", wait_s=5))
    user.one(m.Waiting)
    card.say(m.AttachAck(session=second.session, atr=m.Octets(b"\x3b\x01")))
    world.pass_time(5)
    assert code_of(user.one(m.Error)) is ErrorCode.AMBIGUOUS


@pytest.mark.parametrize("state", [m.ReaderState.IDENTIFYING])
def test_a_card_that_is_identified_is_waited_for_without_being_asked_to(
    state: m.ReaderState,
) -> None:
    world = World()
    card = world.card(reader(state=state))
    user = world.user()
    user.say(select(reader="r1"))
    assert user.one(m.Waiting).position == 1
    card.report(reader())
    user.one(m.SelectCardAck)


def test_a_card_that_is_reset_is_waited_for_without_being_asked_to_but_not_for_ever() -> None:
    world = World(settle_s=3, attach_s=100)
    card = world.card(reader(), auto=False)
    holder, user = world.user(), world.user()
    holder.say(select())
    card.answer(card.one(m.Attach))
    holder.leave()
    user.say(select())
    assert user.one(m.Waiting).lease is None
    card.one(m.Detach)
    world.pass_time(3)
    refused = user.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert "still being reset" in refused.message
    assert refused.lease is None


def test_who_did_not_ask_to_wait_is_refused_when_another_gets_the_card() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    holder, first, second = world.user(), world.user(name="first"), world.user()
    holder.say(select())
    card.answer(card.one(m.Attach))
    holder.leave()
    first.say(select())
    second.say(select())
    card.answer(card.one(m.Detach))
    card.answer(card.one(m.Attach))
    first.next(m.Waiting)
    first.one(m.SelectCardAck)
    second.next(m.Waiting)
    refused = second.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert refused.lease is not None
    assert refused.lease.holder == "first"


def test_who_did_not_ask_to_wait_is_refused_when_the_card_goes() -> None:
    world = World()
    card = world.card(reader(state=m.ReaderState.IDENTIFYING))
    user, patient = world.user(), world.user()
    user.say(select())
    patient.say(select(wait_s=60))
    user.one(m.Waiting)
    patient.one(m.Waiting)
    card.report(empty())
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD
    world.pass_time(1)
    assert patient.one(m.Waiting).position == 1
    assert world.relay.counts["waiting"] == 1


def test_a_card_that_stood_behind_another_is_given_when_that_goes() -> None:
    world = World()
    without = "894902000001234567"
    card = world.card(reader("r1", without + luhn_digit(without)), reader("r2", without))
    world.user().hold(iccid=without)
    first, second = world.user(), world.user()
    first.say(select(iccid=without, wait_s=60))
    second.say(select(iccid=without, wait_s=60))
    first.one(m.Waiting)
    second.one(m.Waiting)
    card.say(m.ReaderGone(reader="r2"))
    got = first.one(m.SelectCardAck)
    assert got.card is not None
    assert got.card.reader == "r1"
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1


def test_one_card_that_is_uncovered_is_offered_once() -> None:
    world = World()
    without = "894902000001234567"
    hiding = reader("r2", without, state=m.ReaderState.IDENTIFYING)
    card = world.card(reader("r1", without + luhn_digit(without)), hiding)
    first, second = world.user(), world.user()
    first.say(select(iccid=without, wait_s=60))
    second.say(select(iccid=without))
    first.one(m.Waiting)
    second.one(m.Waiting)
    card.say(m.ReaderGone(reader="r2"))
    first.one(m.SelectCardAck)
    assert code_of(second.one(m.Error)) is ErrorCode.CARD_BUSY


def test_cards_that_are_uncovered_may_be_too_many() -> None:
    world = World()
    without = "894902000001234567"
    covered = [reader(name, without + luhn_digit(without)) for name in ("r1", "r2")]
    card = world.card(*covered, reader("r3", without, state=m.ReaderState.MUTE))
    user = world.user()
    user.say(select(iccid=without, wait_s=60))
    user.one(m.Waiting)
    card.report(covered[0])
    assert user.quiet()
    card.say(m.ReaderGone(reader="r3"))
    assert code_of(user.one(m.Error)) is ErrorCode.AMBIGUOUS


def test_who_waits_for_another_card_of_the_name_does_not_move() -> None:
    world = World()
    world.card(reader())
    world.user().hold(iccid=ICCID)
    first, second = world.user(), world.user()
    first.say(select(iccid=ICCID, label="not here", wait_s=60))
    second.say(select(iccid=ICCID, wait_s=60))
    first.one(m.Waiting)
    second.one(m.Waiting)
    first.leave()
    assert second.quiet()


def waits(world: World, waited_s: float = 0.0, **by: str) -> Peer:
    """Give a user who waits, and says for how long they did before."""
    user = world.user()
    selection = by or {"iccid": ICCID}
    user.say(m.SelectCard(id=1, wait_s=60, waited_s=waited_s, **selection))
    return user


def test_who_waited_on_a_connection_that_was_lost_keeps_the_place() -> None:
    world = World()
    world.card(reader())
    holder = world.user()
    holder.hold(iccid=ICCID)
    third = waits(world)
    world.pass_time(10)
    second = waits(world, 20)
    world.pass_time(1)
    first = waits(world, 31)
    world.pass_time(1)
    assert [third.next(m.Waiting).position for _ in range(3)] == [1, 2, 3]
    assert [second.next(m.Waiting).position for _ in range(2)] == [1, 2]
    assert first.one(m.Waiting).position == 1
    holder.leave()
    assert first.one(m.SelectCardAck).session
    world.pass_time(1)
    assert (second.one(m.Waiting).position, third.one(m.Waiting).position) == (1, 2)


def test_who_waited_longer_for_an_absent_card_goes_before_others() -> None:
    world = World()
    second, first = waits(world), waits(world, 5)
    world.pass_time(1)
    assert first.one(m.Waiting).position == 1
    assert [second.next(m.Waiting).position for _ in range(2)] == [1, 2]
    world.card(reader())
    assert first.one(m.SelectCardAck).session
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1


def test_who_has_yet_to_come_waits_since_now() -> None:
    world = World()
    first, second = waits(world, -5), waits(world)
    assert (first.one(m.Waiting).position, second.one(m.Waiting).position) == (1, 2)


def test_nobody_waited_for_longer_than_the_server_lets_them() -> None:
    world = World(wait_max_s=100)
    first, second = waits(world, 100), waits(world, 1e300)
    assert (first.one(m.Waiting).position, second.one(m.Waiting).position) == (1, 2)


def test_the_queue_has_a_bound() -> None:
    world = World(max_waiting=1)
    world.user().say(select(wait_s=60))
    refused = world.user().refused(select(wait_s=60))
    assert code_of(refused) is ErrorCode.TOO_MANY


def test_a_second_wait_with_the_same_id_is_refused() -> None:
    user = World().user()
    user.say(select(wait_s=60))
    user.one(m.Waiting)
    refused = user.refused(select(wait_s=60, label="x"))
    assert code_of(refused) is ErrorCode.REQUEST_IN_FLIGHT


def test_a_wait_that_is_cancelled_is_answered_and_its_cancel_too() -> None:
    world = World()
    user = world.user()
    user.say(select(wait_s=60))
    user.one(m.Waiting)
    user.say(m.Cancel(id=2, target=1))
    refused = user.next(m.Error)
    assert (refused.id, code_of(refused)) == (1, ErrorCode.CANCELLED)
    assert user.one(m.CancelAck) == m.CancelAck(id=2, cancelled=True)
    assert world.relay.counts["timers"] == 0
