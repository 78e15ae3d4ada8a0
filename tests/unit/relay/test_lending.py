# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.lending: a holder lets somebody share a card, or have it next."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, SECRET, comes_back, resume, running
from wsrc.audit import events
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.relay.lending import MAX_GUESTS

SHARED = Share.SHARED


def bench(**limits: float) -> tuple[World, CardClient, Peer, str]:
    """A card, and a user who has it alone."""
    world = World(**limits)
    card = world.card(reader(), features=FEATURES)
    ann = world.user(name="ann")
    return world, card, ann, ann.hold(iccid=ICCID)


def allow(ann: Peer, session: str, who: str) -> None:
    ann.ask(m.Allow(id=ann.new_id(), session=session, who=who), m.AllowAck)


def reconnect(ann: Peer, session: str, share: Share) -> None:
    ann.ask(m.Reconnect(id=ann.new_id(), session=session, share=share), m.ReconnectAck)


def wish(user: Peer, share: Share = Share.EXCLUSIVE, wait_s: float = 0.0) -> m.SelectCard:
    return m.SelectCard(id=user.new_id(), iccid=ICCID, share=share, wait_s=wait_s)


def test_a_guest_shares_a_card_and_nobody_else_does() -> None:
    world, card, ann, session = bench()
    bob, eve = world.user(name="bob"), world.user(name="eve")
    allow(ann, session, "bob")
    assert code_of(bob.refused(wish(bob, SHARED))) is ErrorCode.CARD_BUSY
    reconnect(ann, session, SHARED)
    assert code_of(eve.refused(wish(eve, SHARED))) is ErrorCode.CARD_BUSY
    bob.ask(wish(bob, SHARED), m.SelectCardAck)
    assert code_of(eve.refused(wish(eve, SHARED))) is ErrorCode.CARD_BUSY
    assert (ann.quiet(), card.quiet()) == (True, True)


def test_a_guest_who_waits_is_let_in_before_those_who_wait_for_longer() -> None:
    world, _, ann, session = bench()
    dan, eve, bob = (world.user(name=name) for name in ("dan", "eve", "bob"))
    for user, share in ((dan, Share.EXCLUSIVE), (eve, SHARED), (bob, SHARED)):
        user.ask(wish(user, share, 99.0), m.Waiting)
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    bob.one(m.SelectCardAck)
    assert (dan.quiet(), eve.quiet()) == (True, True)


def test_a_guest_of_a_card_that_is_shared_already_joins_at_once() -> None:
    world, _, ann, session = bench()
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    dan = world.user(name="dan")
    dan.ask(wish(dan, SHARED, 99.0), m.Waiting)
    allow(ann, session, "dan")
    dan.one(m.SelectCardAck)


def test_the_card_stays_closed_to_others_when_who_let_a_guest_in_has_left() -> None:
    world, _, ann, session = bench()
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    bob, eve = world.user(name="bob"), world.user(name="eve")
    bob.ask(wish(bob, SHARED), m.SelectCardAck)
    ann.ask(m.Detach(id=90, session=session), m.DetachAck)
    assert code_of(eve.refused(wish(eve, SHARED))) is ErrorCode.CARD_BUSY


def test_who_takes_a_card_back_for_themselves_has_no_guests_any_more() -> None:
    world, _, ann, session = bench()
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    reconnect(ann, session, Share.EXCLUSIVE)
    reconnect(ann, session, SHARED)
    eve = world.user(name="eve")
    eve.ask(wish(eve, SHARED), m.SelectCardAck)


def test_a_card_that_is_shared_with_all_stays_so() -> None:
    world = World()
    world.card(reader())
    ann, eve = world.user(name="ann"), world.user(name="eve")
    session = ann.hold(iccid=ICCID, share=SHARED)
    allow(ann, session, "bob")
    eve.ask(wish(eve, SHARED), m.SelectCardAck)


def test_guests_are_the_same_when_the_host_comes_back() -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    ann = world.user(name="ann", instance="u")
    asked = m.SelectCard(id=1, iccid=ICCID, secret=SECRET, keep_s=60.0)
    session = ann.ask(asked, m.SelectCardAck).session or ""
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    card.leave()
    ann.one(m.SessionInterrupted)
    comes_back(world, card, running(session, share=SHARED))
    ann.ask(resume(ann, session), m.Resumed)
    bob, eve = world.user(name="bob"), world.user(name="eve")
    assert code_of(eve.refused(wish(eve, SHARED))) is ErrorCode.CARD_BUSY
    bob.ask(wish(bob, SHARED), m.SelectCardAck)


def test_the_policy_says_whether_a_guest_may_share_the_card() -> None:
    policy = granting(
        rule(["ann", "bob"], [Verb.SHARE, Verb.USE]),
        rule("eve", [Verb.USE]),
        hosts=[rule("anyone")],
    )
    world = World(policy=policy)
    world.card(reader(), features=FEATURES)
    ann, eve = world.user(who="ann", name=None), world.user(who="eve", name=None)
    session = ann.hold(iccid=ICCID)
    refused = ann.refused(m.Allow(id=50, session=session, who="eve"))
    assert (code_of(refused), refused.outcome) == (ErrorCode.FORBIDDEN, Outcome.NOT_EXECUTED)
    assert "eve may not 'share'" in refused.message
    allow(ann, session, "nobody-is-here-yet")
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    late = world.user(who="nobody-is-here-yet", name=None)
    assert code_of(late.refused(wish(late, SHARED))) is ErrorCode.NO_SUCH_CARD
    assert code_of(eve.refused(wish(eve, SHARED))) is ErrorCode.FORBIDDEN
    bob = world.user(who="bob", name=None)
    bob.ask(wish(bob, SHARED), m.SelectCardAck)


def test_nobody_takes_the_name_of_a_principal() -> None:
    world, _, ann, session = bench()
    allow(ann, session, "bob")
    reconnect(ann, session, SHARED)
    posing = [
        world.user(who="eve", name="bob"),
        world.user(who="(bob)", name=None),
        world.user(who="eve (bob)", name=None),
    ]
    for user in posing:
        assert code_of(user.refused(wish(user, SHARED))) is ErrorCode.CARD_BUSY
    bob = world.user(who=Principal("bob"), name="on his desk")
    bob.ask(wish(bob, SHARED), m.SelectCardAck)


def test_a_principal_with_parentheses_is_not_taken_for_a_name_that_was_chosen() -> None:
    policy = granting(rule("anyone", [Verb.USE, Verb.SHARE]), hosts=[rule("anyone")])
    world = World(policy=policy)
    world.card(reader(), features=FEATURES)
    ann = world.user(who="ann", name=None)
    session = ann.hold(iccid=ICCID)
    allow(ann, session, "(bob)")
    reconnect(ann, session, SHARED)
    odd = world.user(who="(bob)", name=None)
    assert code_of(odd.refused(wish(odd, SHARED))) is ErrorCode.CARD_BUSY
    bob = world.user(name="bob")
    bob.ask(wish(bob, SHARED), m.SelectCardAck)


def test_a_name_is_what_others_are_shown_as_well() -> None:
    world, _, ann, session = bench()
    allow(ann, session, "bob (desk)")
    reconnect(ann, session, SHARED)
    other = world.user(who="bob", name="lab")
    assert code_of(other.refused(wish(other, SHARED))) is ErrorCode.CARD_BUSY
    desk = world.user(who="bob", name="desk")
    desk.ask(wish(desk, SHARED), m.SelectCardAck)


def test_guests_have_a_bound() -> None:
    _, _, ann, session = bench()
    for number in range(MAX_GUESTS):
        allow(ann, session, f"guest {number}")
    refused = ann.refused(m.Allow(id=999, session=session, who="one more"))
    assert code_of(refused) is ErrorCode.TOO_MANY
    allow(ann, session, "guest 3")


def test_a_card_that_is_lent_is_had_next_by_who_it_is_lent_to() -> None:
    world, _, ann, session = bench()
    dan, bob = world.user(name="dan"), world.user(name="bob")
    dan.ask(wish(dan, wait_s=500.0), m.Waiting)
    ack = ann.ask(m.Lend(id=7, session=session, who="bob"), m.LendAck)
    assert (ack.session, ack.until) == (session, "1970-01-01T00:18:40Z")
    assert ann.quiet()
    assert dan.quiet()
    eve = world.user(name="eve")
    refused = eve.refused(wish(eve))
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert refused.message == (
        "The card in Reader r1 is lent to bob by ann until 1970-01-01T00:18:40Z."
    )
    his = bob.ask(wish(bob), m.SelectCardAck).session
    assert his != session
    refused = ann.refused(m.ResetReq(id=9, session=session))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    bob.ask(m.Detach(id=60, session=his or ""), m.DetachAck)
    dan.one(m.SelectCardAck)


def test_who_waits_and_is_lent_the_card_has_it_once_it_is_reset() -> None:
    world, card, ann, session = bench()
    dan, bob = world.user(name="dan"), world.user(name="bob")
    for user in (dan, bob):
        user.ask(wish(user, wait_s=500.0), m.Waiting)
    card.auto = False
    ann.ask(m.Lend(id=7, session=session, who="bob"), m.LendAck)
    assert bob.quiet(), "given away before it was reset"
    card.auto = True
    card.answer(card.one(m.Detach))
    bob.one(m.SelectCardAck)
    assert dan.quiet()


def test_a_card_that_is_not_taken_in_time_goes_on() -> None:
    world, _, ann, session = bench(lend_s=30.0)
    dan = world.user(name="dan")
    dan.ask(wish(dan, wait_s=500.0), m.Waiting)
    ann.ask(m.Lend(id=7, session=session, who="bob"), m.LendAck)
    world.pass_time(29.9)
    assert dan.quiet()
    world.pass_time(0.1)
    dan.one(m.SelectCardAck)
    assert "bob did not take the card in Reader r1 that ann lent" in world.notes


def test_cards_that_are_lent_count_as_the_lenders_until_they_are_taken() -> None:
    world = World(max_sessions_per_user=2, max_sessions_per_principal=3, lend_s=30.0)
    world.card(*(reader(f"r{n}", f"894902000001234567{n}") for n in range(5)))

    def lends(user: Peer, name: str) -> None:
        lend = m.Lend(id=user.new_id(), session=user.hold(reader=name), who="bob")
        user.ask(lend, m.LendAck)

    ann = world.user(name="ann", account="ann")
    lends(ann, "r0")
    lends(ann, "r1")
    refused = ann.refused(m.SelectCard(id=70, reader="r2"))
    assert code_of(refused) is ErrorCode.TOO_MANY
    ann.leave(goodbye=True)
    again = world.user(name="ann", account="ann")
    lends(again, "r2")
    assert code_of(again.refused(m.SelectCard(id=70, reader="r3"))) is ErrorCode.TOO_MANY
    assert world.accounts() == ({"held": 3, "waiting": 0},) * 2
    world.user(name="bob", account="bob").hold(reader="r0")
    again.hold(reader="r3")
    world.pass_time(30.0)
    assert world.accounts() == ({"held": 2, "waiting": 0},) * 2


def test_another_card_in_the_reader_is_not_lent() -> None:
    world, card, ann, session = bench()
    ann.ask(m.Lend(id=7, session=session, who="bob"), m.LendAck)
    card.report(reader(insertion=2))
    eve = world.user(name="eve")
    eve.ask(wish(eve), m.SelectCardAck)


def test_what_was_lent_of_a_reader_that_is_gone_is_forgotten() -> None:
    world, card, ann, session = bench()
    ann.ask(m.Lend(id=7, session=session, who="bob"), m.LendAck)
    card.say(m.ReaderGone(reader="r1"))
    world.pass_time(500.0)
    for peer in (card, ann):
        peer.leave()
    assert world.leftovers() == {}


def test_the_policy_says_whether_a_card_can_be_lent_to_somebody() -> None:
    policy = granting(rule("ann", [Verb.USE]), rule("eve", [Verb.SHARE]), hosts=[rule("anyone")])
    world = World(policy=policy)
    world.card(reader(), features=FEATURES)
    ann, eve = world.user(who="ann", name=None), world.user(who="eve", name=None)
    session = ann.hold(iccid=ICCID)
    refused = ann.refused(m.Lend(id=50, session=session, who="eve"))
    assert code_of(refused) is ErrorCode.FORBIDDEN
    ann.command(session)
    ann.one(m.RApdu)
    assert eve.quiet()


@pytest.mark.parametrize("kind", [m.Allow, m.Lend])
def test_a_session_that_is_not_the_users_is_not_given_on(kind: type[m.Allow | m.Lend]) -> None:
    world, _, ann, session = bench()
    eve = world.user(name="eve")
    refused = eve.refused(kind(id=1, session=session, who="eve"))
    assert (code_of(refused), refused.outcome) == (
        ErrorCode.NO_SUCH_SESSION,
        Outcome.NOT_EXECUTED,
    )
    for who in ("", "  ", "bob\n", "\x1b[2J", "x" * 257):
        refused = ann.refused(kind(id=2, session=session, who=who))
        assert code_of(refused) is ErrorCode.BAD_MESSAGE
    ann.command(session)
    ann.one(m.RApdu)


def test_a_card_is_not_lent_amid_a_command() -> None:
    _, card, ann, session = bench()
    card.auto = False
    ann.command(session)
    refused = ann.refused(m.Lend(id=9, session=session, who="bob"))
    assert code_of(refused) is ErrorCode.REQUEST_IN_FLIGHT
    card.answer(card.one(m.CApdu))
    ann.one(m.RApdu)


def test_a_card_that_others_share_is_not_lent() -> None:
    world = World()
    world.card(reader())
    ann, bob = world.user(name="ann"), world.user(name="bob")
    session = ann.hold(iccid=ICCID, share=SHARED)
    bob.hold(iccid=ICCID, share=SHARED)
    refused = ann.refused(m.Lend(id=9, session=session, who="bob"))
    assert code_of(refused) is ErrorCode.CARD_BUSY


def test_a_reader_without_its_card_is_not_shared_and_neither_is_one_whose_host_cannot() -> None:
    world = World()
    world.card(reader(), features=("pcsc",))
    ann = world.user(name="ann")
    session = ann.hold(iccid=ICCID)
    refused = ann.refused(m.Allow(id=9, session=session, who="bob"))
    assert code_of(refused) is ErrorCode.NOT_SUPPORTED
    world, _, ann, session = bench()
    ann.ask(m.Detach(id=8, session=session), m.DetachAck)
    session = ann.hold(reader="r1", share=Share.DIRECT)
    refused = ann.refused(m.Allow(id=9, session=session, who="bob"))
    assert code_of(refused) is ErrorCode.NOT_SUPPORTED


def test_the_audit_log_has_both() -> None:
    world, _, ann, session = bench()
    allow(ann, session, "bob")
    ann.ask(m.Lend(id=7, session=session, who="bob"), m.LendAck)
    turned = [e for e in world.events if isinstance(e, events.SessionTurned)]
    assert [e.turn for e in turned] == ["may be shared by bob"]
    gave = [e for e in world.events if isinstance(e, events.GaveBack)]
    assert [(e.why, e.asked) for e in gave] == [("its user lends it to bob", True)]
