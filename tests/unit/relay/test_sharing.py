# SPDX-License-Identifier: Apache-2.0
"""One card for several users: who may join, who waits, and what becomes of the card."""

import msgspec
import pytest

from tests.support.card_watcher import CardWatcher
from tests.support.relay_clients import ATR, ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.slot import Disposition, Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.relay.records import MAX_HOLDERS

SHARED, EXCLUSIVE, DIRECT = Share.SHARED, Share.EXCLUSIVE, Share.DIRECT
DIRECT_R1 = m.SelectCard(id=1, reader="r1", share=DIRECT)


def select(id_: int = 90, share: Share = SHARED, wait_s: float = 0.0) -> m.SelectCard:
    return m.SelectCard(id=id_, iccid=ICCID, share=share, wait_s=wait_s)


def join(user: Peer) -> str:
    return user.ask(select(user.new_id()), m.SelectCardAck).session or ""


def two_share() -> tuple[World, CardClient, tuple[Peer, Peer], tuple[str, str]]:
    world = World(lease_idle_s=0)
    card = world.card(reader())
    first, second = world.user(name="first"), world.user(name="second")
    return world, card, (first, second), (join(first), join(second))


def test_those_who_ask_to_share_get_the_card_together() -> None:
    world, card, (first, second), (hers, his) = two_share()
    assert hers != his
    for user, session in ((first, hers), (second, his)):
        user.command(session)
        assert user.one(m.RApdu).session == session
    listed = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards[0]
    assert listed.lease is not None
    assert (listed.lease.holder, listed.lease.share) == ("first", SHARED)
    assert [each.holder for each in listed.others] == ["second"]
    assert card.quiet()


def test_their_requests_are_in_flight_apart() -> None:
    _, card, (first, second), (hers, his) = two_share()
    card.auto = False
    first.command(hers)
    second.command(his)
    earlier, later = card.next(m.CApdu), card.one(m.CApdu)
    card.answer(later)
    assert second.one(m.RApdu).session == his
    assert first.quiet()
    card.answer(earlier)
    first.one(m.RApdu)


@pytest.mark.parametrize("share", [EXCLUSIVE, DIRECT])
def test_who_does_not_share_is_told_who_does(share: Share) -> None:
    world, *_ = two_share()
    refused = world.user().refused(select(share=share))
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert refused.lease is not None
    assert [refused.lease.holder, *(each.holder for each in refused.others)] == ["first", "second"]
    since = "1970-01-01T00:16:40Z"
    assert refused.message == (
        f"The card in Reader r1 is held by first since {since}; and by second since {since}."
    )


@pytest.mark.parametrize("share", [EXCLUSIVE, DIRECT])
def test_a_card_that_is_held_alone_is_not_shared(share: Share) -> None:
    world = World()
    world.card(reader())
    world.user().ask(select(share=share), m.SelectCardAck)
    assert code_of(world.user().refused(select())) is ErrorCode.CARD_BUSY


def test_who_wants_the_card_alone_is_not_overtaken() -> None:
    world, _, (first, second), (hers, his) = two_share()
    alone, late = world.user(name="carl"), world.user(name="dora")
    alone.say(select(1, EXCLUSIVE, wait_s=60))
    assert alone.one(m.Waiting).position == 1
    assert code_of(late.refused(select())) is ErrorCode.CARD_BUSY
    late.say(select(2, wait_s=60))
    assert late.one(m.Waiting).position == 2
    first.ask(m.Detach(id=80, session=hers), m.DetachAck)
    assert alone.quiet()
    second.ask(m.Detach(id=80, session=his), m.DetachAck)
    alone.one(m.SelectCardAck)
    world.pass_time(1)
    assert late.one(m.Waiting).position == 1


@pytest.mark.parametrize("how", ["cancel", "time"])
def test_who_waited_behind_joins_when_the_one_before_gives_up(how: str) -> None:
    world, *_ = two_share()
    alone, late = world.user(), world.user()
    alone.say(select(1, EXCLUSIVE, wait_s=20))
    late.say(select(2, wait_s=60))
    late.one(m.Waiting)
    if how == "cancel":
        alone.say(m.Cancel(id=3, target=1))
    else:
        world.pass_time(20)
    late.one(m.SelectCardAck)


def test_who_leaves_is_given_nothing_that_they_still_waited_for() -> None:
    world, card, _, _ = two_share()
    card.auto = False
    user, other = world.user(), world.user()
    user.say(select(1, EXCLUSIVE, wait_s=60))
    user.say(select(2, wait_s=60))
    other.say(select(1, wait_s=60))
    user.leave()
    attach = card.one(m.Attach)
    card.answer(attach)
    assert [type(message) for message in other.inbox] == [m.Waiting, m.SelectCardAck]
    assert world.relay.counts["waiting"] == 0


def test_all_who_would_share_get_a_card_that_became_free() -> None:
    world = World()
    world.card(reader())
    holder, first, second = world.user(), world.user(), world.user()
    session = holder.hold(iccid=ICCID)
    for user in (first, second):
        user.say(select(1, wait_s=60))
        user.one(m.Waiting)
    holder.ask(m.Detach(id=9, session=session), m.DetachAck)
    assert [type(message) for message in second.inbox[-1:]] == [m.SelectCardAck]
    first.one(m.SelectCardAck)


def test_a_holder_who_leaves_says_what_becomes_of_the_card() -> None:
    world, card, (first, second), (hers, his) = two_share()
    card.auto = False
    first.ask(m.Detach(id=80, session=hers, disposition=Disposition.LEAVE), m.DetachAck)
    assert card.one(m.Detach) == m.Detach(session=hers, disposition=Disposition.LEAVE)
    second.leave()
    assert card.one(m.Detach) == m.Detach(session=his, disposition=Disposition.RESET)
    card.say(m.DetachAck(session=hers))
    late = world.user()
    late.say(select(1, wait_s=60))
    late.one(m.Waiting)
    assert card.quiet()
    card.say(m.DetachAck(session=his))
    assert card.one(m.Attach).share is SHARED


def test_one_may_join_while_another_leaves() -> None:
    world, card, (first, _), (hers, _) = two_share()
    card.auto = False
    first.ask(m.Detach(id=80, session=hers), m.DetachAck)
    card.one(m.Detach)
    carl = world.user()
    carl.say(select(1))
    card.answer(card.one(m.Attach))
    carl.one(m.SelectCardAck)


@pytest.mark.parametrize("report", [empty(), reader(insertion=2), None])
def test_a_card_that_goes_ends_the_lease_of_everyone(report: m.ReaderInfo | None) -> None:
    world, card, users, sessions = two_share()
    card.report(report) if report is not None else card.leave()
    for user, session in zip(users, sessions, strict=True):
        assert user.one(m.SessionEnded).session == session
    assert world.relay.counts["sessions"] == 0


def test_a_session_that_its_card_client_ends_ends_alone() -> None:
    world, card, (first, second), (hers, his) = two_share()
    code = ErrorCode.CARD_UNRESPONSIVE
    card.say(m.SessionEnded(session=hers, code=code, message="It hangs."))
    assert first.one(m.SessionEnded).code is code
    second.command(his)
    second.one(m.RApdu)
    join(world.user())


def test_a_join_that_fails_leaves_the_others_alone() -> None:
    world, card, (_, second), (_, his) = two_share()
    card.auto = False
    carl = world.user()
    carl.say(select(1))
    attach = card.one(m.Attach)
    why = m.error(ErrorCode.PROTOCOL_MISMATCH, "It runs in T0.", session=attach.session)
    card.say(why)
    assert code_of(carl.one(m.Error)) is ErrorCode.PROTOCOL_MISMATCH
    card.auto = True
    second.command(his)
    second.one(m.RApdu)


def test_a_card_that_could_not_be_reset_for_one_stays_with_the_others() -> None:
    _, card, (first, second), (hers, his) = two_share()
    card.auto = False
    first.ask(m.Detach(id=80, session=hers), m.DetachAck)
    card.one(m.Detach)
    card.say(m.error(ErrorCode.CARD_UNRESPONSIVE, "It hangs.", session=hers))
    card.auto = True
    second.command(his)
    second.one(m.RApdu)


def test_a_card_has_a_bound_of_holders() -> None:
    world = World()
    world.card(reader())
    for _ in range(MAX_HOLDERS):
        join(world.user())
    assert code_of(world.user().refused(select())) is ErrorCode.CARD_BUSY


@pytest.mark.parametrize("share", [SHARED, DIRECT])
def test_a_card_client_that_does_not_share_is_not_asked_to(share: Share) -> None:
    world = World()
    world.card(reader(), features=("pcsc",))
    user = world.user()
    assert code_of(user.refused(select(share=share))) is ErrorCode.NOT_SUPPORTED
    session = user.hold(iccid=ICCID)
    wish = m.Reconnect(id=50, session=session, share=SHARED)
    assert code_of(user.refused(wish)) is ErrorCode.NOT_SUPPORTED


def test_a_card_is_opened_to_others_and_closed_again_by_reconnect() -> None:
    world = World()
    world.seal = "off"
    card, first, second = world.card(reader()), world.user(), world.user()
    hers = first.hold(iccid=ICCID)
    second.say(select(1, wait_s=60))
    second.one(m.Waiting)
    first.ask(m.Reconnect(id=50, session=hers, share=SHARED), m.ReconnectAck)
    his = second.one(m.SelectCardAck).session or ""
    wish = m.Reconnect(id=51, session=hers, share=EXCLUSIVE)
    assert code_of(first.refused(wish)) is ErrorCode.CARD_BUSY
    second.ask(m.Detach(id=2, session=his), m.DetachAck)
    card.auto = False
    first.say(wish)
    asked = card.one(m.Reconnect)
    assert code_of(second.refused(select(3))) is ErrorCode.CARD_BUSY
    card.say(m.error(ErrorCode.PROTOCOL_MISMATCH, "No.", id=asked.id, session=hers))
    card.auto = True
    first.one(m.Error)
    join(second)


@pytest.mark.parametrize(
    ("held", "wished"),
    [(EXCLUSIVE, DIRECT), (SHARED, DIRECT), (DIRECT, SHARED), (DIRECT, EXCLUSIVE)],
)
def test_a_card_is_not_made_direct_and_not_made_another_by_reconnect(
    held: Share, wished: Share
) -> None:
    world = World()
    card, user = world.card(reader()), world.user()
    session = user.hold(reader="r1", share=held)
    card.auto = False
    refused = user.refused(m.Reconnect(id=50, session=session, share=wished))
    assert (code_of(refused), refused.outcome) == (ErrorCode.NOT_SUPPORTED, Outcome.NOT_EXECUTED)
    assert "'direct' is asked for by select_card" in refused.message
    assert card.quiet()


def test_direct_needs_no_card() -> None:
    world = World()
    card, user = world.card(empty()), world.user()
    by_reader = {"reader": "Reader r1", "share": DIRECT}
    session = user.ask(m.SelectCard(id=1, **by_reader), m.SelectCardAck).session or ""
    other = m.SelectCard(id=1, **by_reader)
    assert code_of(world.user().refused(other)) is ErrorCode.CARD_BUSY
    user.ask(m.Status(id=2, session=session), m.StatusAck)
    card.report(reader(insertion=2))
    user.ask(m.Status(id=3, session=session), m.StatusAck)
    assert code_of(world.user().refused(select(share=EXCLUSIVE))) is ErrorCode.CARD_BUSY
    card.report(empty(insertion=2))
    user.ask(m.Detach(id=4, session=session), m.DetachAck)
    user.ask(m.SelectCard(id=5, any="r1", share=DIRECT), m.SelectCardAck)
    card.report(reader(state=m.ReaderState.UNAVAILABLE))
    assert user.one(m.SessionEnded).code is ErrorCode.READER_UNAVAILABLE


@pytest.mark.parametrize("by", [{"iccid": ICCID}, {"reader": "r9"}, {"reader": "r1", "atr": "3b"}])
def test_direct_finds_an_empty_reader_by_its_name_alone(by: dict[str, str]) -> None:
    world = World()
    world.card(empty())
    refused = world.user().refused(m.SelectCard(id=1, share=DIRECT, **by))
    assert code_of(refused) is ErrorCode.NO_SUCH_CARD


def leaves_empty_reader(**limits: float) -> tuple[World, CardClient, Peer]:
    """Have a user leave an empty reader, which is not reset yet; give another user."""
    world = World(**limits)
    card, first, user = world.card(empty(), auto=False), world.user(), world.user()
    first.say(DIRECT_R1)
    card.answer(card.one(m.Attach))
    first.leave()
    return world, card, user


def test_an_empty_reader_that_is_reset_is_waited_for() -> None:
    world, card, user = leaves_empty_reader(settle_s=3)
    user.say(DIRECT_R1)
    assert user.one(m.Waiting).position == 1
    card.answer(card.one(m.Detach))
    card.answer(card.one(m.Attach))
    user.one(m.SelectCardAck)
    hasty, patient = world.user(), world.user()
    assert code_of(hasty.refused(DIRECT_R1)) is ErrorCode.CARD_BUSY
    patient.say(msgspec.structs.replace(DIRECT_R1, wait_s=60))
    assert patient.one(m.Waiting).position == 1
    user.leave()
    hasty.say(DIRECT_R1)
    assert hasty.one(m.Waiting).position == 2
    card.answer(card.one(m.Detach))
    card.answer(card.one(m.Attach))
    patient.one(m.SelectCardAck)
    assert code_of(hasty.one(m.Error)) is ErrorCode.CARD_BUSY


def test_an_empty_reader_is_not_waited_for_for_ever_nor_when_it_is_unplugged() -> None:
    world, card, user = leaves_empty_reader(settle_s=3)
    user.say(DIRECT_R1)
    user.one(m.Waiting)
    world.pass_time(3)
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_BUSY
    user.say(DIRECT_R1)
    user.one(m.Waiting)
    card.say(m.ReaderGone(reader="r1"))
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD


def test_a_reader_that_comes_without_a_card_is_given_to_who_waits_for_it_alone() -> None:
    world = World()
    other, user = world.user(), world.user()
    other.say(m.SelectCard(id=1, reader="r1", wait_s=60))
    user.say(msgspec.structs.replace(DIRECT_R1, wait_s=60))
    other.one(m.Waiting)
    assert user.one(m.Waiting).position == 2
    card = world.card(empty())
    user.one(m.SelectCardAck)
    card.report(reader(insertion=2))
    assert other.quiet()


def test_an_empty_reader_that_could_not_be_reset_stays_empty() -> None:
    world, card, user = leaves_empty_reader()
    watcher = world.user()
    cards = CardWatcher(watcher)
    user.say(DIRECT_R1)
    user.one(m.Waiting)
    session = card.one(m.Detach).session
    card.say(m.error(ErrorCode.CARD_UNRESPONSIVE, "It hangs.", session=session))
    card.answer(card.one(m.Attach))
    user.one(m.SelectCardAck)
    assert cards.told() == []
    assert watcher.ask(m.ListCards(id=2), m.ListCardsAck).cards == ()


def test_a_direct_lease_that_fails_says_nothing_of_the_card() -> None:
    world = World()
    card, user = world.card(reader(), auto=False), world.user()
    user.say(select(1, DIRECT))
    session = card.one(m.Attach).session
    card.say(m.error(ErrorCode.READER_IN_USE, "Another program has it.", session=session))
    assert code_of(user.one(m.Error)) is ErrorCode.READER_IN_USE
    card.auto = True
    assert user.select(iccid=ICCID).identities.atr == str(ATR)
