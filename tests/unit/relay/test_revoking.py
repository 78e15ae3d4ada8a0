# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.revoking: a card is taken from who has it, whatever it is doing."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, comes_back, resume, running, scene
from wsrc.audit import events
from wsrc.card.slot import Disposition, Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import MAY_SAY, Phase, Speaker

WHY = "the farm is needed"
SAYS = "Revoked by boss: the farm is needed."


def bench(**limits: float) -> tuple[World, CardClient, Peer, Peer]:
    """A card, a user who has it, and somebody who may take it back."""
    world = World(**limits)
    card = world.card(reader(), features=FEATURES)
    return world, card, world.user(name="ann"), world.user(name="boss")


def revoke(boss: Peer, **fields: str) -> m.RevokeAck:
    asked = m.Revoke(id=boss.new_id(), **{"iccid": ICCID, "why": WHY, **fields})
    return boss.ask(asked, m.RevokeAck)


def holders(ack: m.RevokeAck) -> list[str]:
    return [each.holder for each in ack.holders]


def test_a_holder_is_told_who_took_the_card_and_why_and_the_next_has_it_reset() -> None:
    world, card, ann, boss = bench()
    session = ann.hold(iccid=ICCID)
    bob = world.user(name="bob")
    bob.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    bob.next(m.Waiting)
    card.auto = False
    ack = revoke(boss)
    assert holders(ack) == ["ann"]
    assert ack.holders[0].session == session[:8]
    ended = ann.one(m.SessionEnded)
    assert (ended.session, ended.code, ended.message) == (session, ErrorCode.REVOKED, SAYS)
    detach = card.one(m.Detach)
    assert (detach.code, detach.message) == (ErrorCode.REVOKED, SAYS)
    assert bob.quiet(), "given away before it was reset"
    card.auto = True
    card.answer(detach)
    assert bob.one(m.SelectCardAck).session != session
    refused = ann.refused(m.CApdu(id=9, session=session, command=Octets(4)))
    assert (code_of(refused), refused.outcome) == (ErrorCode.REVOKED, Outcome.NOT_EXECUTED)
    assert SAYS in refused.message


def test_the_log_and_the_audit_log_have_who_lost_a_card_and_who_took_it() -> None:
    world, _, ann, boss = bench()
    ann.hold(iccid=ICCID)
    revoke(boss)
    taken = [e for e in world.events if isinstance(e, events.Operated)]
    assert [(e.who.name, e.did, e.to, e.why) for e in taken] == [
        ("boss", "revoke", f"the card ICCID {ICCID}", WHY)
    ]
    lost = [e for e in world.events if isinstance(e, events.GaveBack)]
    assert [(e.who.name, e.why, e.asked) for e in lost] == [("ann", SAYS, False)]
    assert any(n.startswith("ann lost") and n.endswith(SAYS) for n in world.notes)
    assert any(n.startswith("boss asked for revoke of the card ICCID") for n in world.notes)
    assert not any(ICCID in n for n in world.notes)


def test_a_command_in_flight_is_in_doubt_and_the_card_is_not_given_away_before_it_ends() -> None:
    world, card, ann, boss = bench()
    session = ann.hold(iccid=ICCID)
    card.auto = False
    command = ann.command(session)
    revoke(boss)
    failed, ended = ann.next(m.Error), ann.one(m.SessionEnded)
    assert (failed.id, code_of(failed)) == (command.id, ErrorCode.REVOKED)
    assert (failed.outcome, failed.message, ended.message) == (Outcome.UNKNOWN, SAYS, SAYS)
    bob = world.user(name="bob")
    bob.say(m.SelectCard(id=1, iccid=ICCID, wait_s=200))
    assert bob.next(m.Waiting).lease is None
    asked, detach = card.next(m.CApdu), card.one(m.Detach)
    card.answer(asked)
    assert (ann.quiet(), bob.quiet()) == (True, True)
    card.auto = True
    card.answer(detach)
    bob.one(m.SelectCardAck)


def test_a_cancel_that_is_open_is_answered_too() -> None:
    _, card, ann, boss = bench()
    session = ann.hold(iccid=ICCID)
    card.auto = False
    command = ann.command(session)
    ann.say(m.Cancel(id=50, target=command.id or 0, session=session))
    revoke(boss)
    assert ann.next(m.Error).id == command.id
    assert ann.next(m.CancelAck).cancelled is False
    ann.one(m.SessionEnded)


def test_a_card_that_is_being_reset_after_its_holder_is_nobodys() -> None:
    _, card, ann, boss = bench()
    session = ann.hold(iccid=ICCID)
    card.auto = False
    ann.ask(m.Detach(id=9, session=session), m.DetachAck)
    assert holders(revoke(boss)) == []
    assert ann.quiet()
    card.answer(card.one(m.Detach))


def test_who_is_about_to_have_a_card_does_not_get_it() -> None:
    world, card, ann, boss = bench()
    card.auto = False
    ann.say(m.SelectCard(id=4, iccid=ICCID))
    ack = revoke(boss)
    assert [each.state for each in ack.holders] == [m.HolderState.ATTACHING]
    refused = ann.one(m.Error)
    assert (refused.id, code_of(refused), refused.outcome) == (
        4,
        ErrorCode.REVOKED,
        Outcome.NOT_EXECUTED,
    )
    card.auto = True
    for asked in (card.next(m.Attach), card.one(m.Detach)):
        card.answer(asked)
    world.user().hold(iccid=ICCID)
    denied = [e for e in world.events if isinstance(e, events.Denied)]
    assert [(e.who.name, e.code) for e in denied] == [("ann", "revoked")]


def test_a_card_that_is_kept_for_who_is_out_of_reach_is_free_and_they_are_told_later() -> None:
    world, card, user, session = scene()
    user.leave()
    boss = world.user(name="boss")
    ack = revoke(boss)
    assert [(each.holder, each.state) for each in ack.holders] == [("user", m.HolderState.KEPT)]
    world.user().hold(iccid=ICCID)
    back = world.user(name="user", instance="u")
    ended = back.ask(resume(back, session), m.SessionEnded)
    assert ended.code is ErrorCode.REVOKED
    assert SAYS in ended.message
    assert card.quiet()


def test_who_resumes_while_the_card_is_being_reset_is_told_as_well() -> None:
    world, card, user, session = scene()
    user.leave()
    card.auto = False
    revoke(world.user(name="boss"))
    back = world.user(name="user", instance="u")
    back.say(resume(back, session))
    detach, asked = card.next(m.Detach), card.one(m.Resume)
    end = card.ends[session]
    card.say(end.resumed(asked))
    ended = back.one(m.SessionEnded)
    assert ended.code is ErrorCode.REVOKED
    assert SAYS in ended.message
    card.answer(detach)


def test_a_host_that_is_lost_in_the_reset_ends_the_session_when_it_is_back() -> None:
    world, card, user, session = scene()
    card.auto = False
    revoke(world.user(name="boss"))
    assert user.one(m.SessionEnded).code is ErrorCode.REVOKED
    card.leave()
    again = comes_back(world, card, running(session), auto=False)
    detach = again.one(m.Detach)
    assert (detach.code, detach.message) == (ErrorCode.REVOKED, SAYS)
    lost = [e for e in world.events if isinstance(e, events.GaveBack)]
    assert all(e.why == SAYS and not e.asked for e in lost)


def three_share() -> tuple[World, CardClient, list[Peer], Peer]:
    world = World()
    card = world.card(reader(), features=FEATURES)
    users = [world.user(name=f"u{n}") for n in range(3)]
    for user in users:
        user.hold(iccid=ICCID, share=Share.SHARED)
    return world, card, users, world.user(name="boss")


def test_all_who_share_a_card_lose_it() -> None:
    world, _, users, boss = three_share()
    assert holders(revoke(boss)) == ["u0", "u1", "u2"]
    for user in users:
        assert user.one(m.SessionEnded).code is ErrorCode.REVOKED
    world.user().hold(iccid=ICCID)


def test_one_of_those_who_share_a_card_loses_it_and_it_is_reset_for_the_others() -> None:
    _, card, users, boss = three_share()
    card.auto = False
    assert holders(revoke(boss, holder="u1")) == ["u1"]
    assert card.one(m.Detach).disposition is Disposition.RESET
    users[1].one(m.SessionEnded)
    assert users[0].quiet()
    assert users[2].quiet()
    assert holders(revoke(boss, holder="nobody*")) == []
    assert holders(revoke(boss, holder="u*")) == ["u0", "u2"]


def test_one_without_the_right_to_reset_leaves_a_card_that_is_reset_all_the_same() -> None:
    policy = granting(rule("u*", [Verb.SHARE]), rule("boss", [Verb.REVOKE]), hosts=[rule("anyone")])
    world = World(policy=policy)
    card = world.card(reader(), auto=True)
    users = [world.user(who=f"u{n}", name=None) for n in range(2)]
    for user in users:
        user.hold(iccid=ICCID, share=Share.SHARED)
    card.auto = False
    revoke(world.user(who="boss", name=None), holder="u0")
    assert card.one(m.Detach).disposition is Disposition.RESET


def test_a_transaction_ends_with_the_session_that_has_it() -> None:
    _, card, users, boss = three_share()
    session = next(iter(users[0].world.relay._state.sessions))
    users[0].ask(m.BeginTransaction(id=70, session=session), m.BeginTransactionAck)
    card.auto = False
    revoke(boss, holder="u0")
    assert card.one(m.Detach).session == session


def test_a_holder_of_the_first_form_learns_it_by_the_next_answer() -> None:
    world = World()
    world.card(reader())
    old = world.user(first_form=True)
    old.say(m.SelectCard(id_type="ICCID", id_str=ICCID))
    old.one(m.SelectCardAck)
    assert len(revoke(world.user(name="boss")).holders) == 1
    assert old.quiet()
    old.say(m.CApdu(command=Octets(4)))
    assert code_of(old.one(m.Error)) is ErrorCode.REVOKED


def test_a_command_of_the_first_form_that_is_open_is_in_doubt() -> None:
    world = World()
    card = world.card(reader())
    old = world.user(first_form=True)
    old.say(m.SelectCard(id_type="ICCID", id_str=ICCID))
    old.one(m.SelectCardAck)
    card.auto = False
    old.say(m.CApdu(command=Octets(4)))
    revoke(world.user(name="boss"))
    failed = old.one(m.Error)
    assert (code_of(failed), failed.outcome) == (ErrorCode.REVOKED, Outcome.UNKNOWN)


def test_a_card_of_a_host_of_the_first_form_is_reset_and_goes_on() -> None:
    world = World()
    old = world.old_card()
    ann, boss = world.user(name="ann"), world.user(name="boss")
    ann.hold(iccid=ICCID)
    before = old.log.count("reset")
    revoke(boss)
    ann.one(m.SessionEnded)
    assert old.log.count("reset") > before
    world.user().hold(iccid=ICCID)


def test_a_reader_that_is_used_without_its_card_is_taken_back() -> None:
    _, _, ann, boss = bench()
    ann.say(m.SelectCard(id=1, reader="r1", share=Share.DIRECT))
    ann.one(m.SelectCardAck)
    assert holders(revoke(boss, iccid="", reader="r1")) == ["ann"]
    assert ann.one(m.SessionEnded).code is ErrorCode.REVOKED


def test_of_what_nobody_has_nobody_is_told() -> None:
    _, card, ann, boss = bench()
    assert revoke(boss).holders == ()
    assert (ann.quiet(), card.quiet()) == (True, True)


@pytest.mark.parametrize(
    ("which", "code"),
    [
        ({"iccid": "8949020000012345679"}, ErrorCode.NO_SUCH_CARD),
        ({"atr": "3b9f96801fc78031a073be21136743200718000001a5"}, ErrorCode.AMBIGUOUS),
        ({}, ErrorCode.NOTHING_SELECTED),
        ({"iccid": ICCID, "why": "x" * 257}, ErrorCode.BAD_MESSAGE),
        ({"iccid": ICCID, "holder": "x" * 257}, ErrorCode.BAD_MESSAGE),
    ],
)
def test_one_card_is_meant(which: dict[str, str], code: ErrorCode) -> None:
    world = World()
    world.card(reader(), reader("r2", "8949020000012345670"))
    ann = world.user()
    ann.hold(iccid=ICCID)
    assert code_of(world.user().refused(m.Revoke(id=1, **which))) is code
    assert ann.quiet()


def test_control_characters_of_a_reason_reach_nobody() -> None:
    world, card, ann, boss = bench()
    ann.hold(iccid=ICCID)
    card.auto = False
    revoke(boss, why="\x1b[2J\r\nfake\u202e line\x00" + "x" * 230)
    said, detach = ann.one(m.SessionEnded).message, card.one(m.Detach).message
    assert said == detach
    assert said.isprintable()
    assert said.startswith("Revoked by boss: [2Jfake line")
    assert len(said) < 230
    assert all(note.isprintable() for note in world.notes)


def test_a_server_that_stops_takes_no_card_back() -> None:
    world, _, ann, boss = bench()
    ann.hold(iccid=ICCID)
    world.perform(world.relay.shut_down(1.0, world.now))
    for peer in (ann, boss):
        peer.inbox.clear()
    assert code_of(boss.refused(m.Revoke(id=1, iccid=ICCID))) is ErrorCode.SHUTTING_DOWN
    assert ann.quiet()


def test_a_storm_of_revokes_ends_each_session_once() -> None:
    world, _, ann, boss = bench()
    for _ in range(50):
        ann.hold(iccid=ICCID)
        for _ in range(3):
            boss.say(m.Revoke(id=boss.new_id(), iccid=ICCID))
        assert ann.one(m.SessionEnded).code is ErrorCode.REVOKED
    acks = [each for each in boss.inbox if isinstance(each, m.RevokeAck)]
    assert sum(len(each.holders) for each in acks) == 50
    assert world.relay.counts["sessions"] == 0
    assert world.accounts()[0] == {"held": 0, "waiting": 0}


def test_a_user_of_the_first_form_has_no_such_request() -> None:
    world, _, ann, _ = bench()
    ann.hold(iccid=ICCID)
    old = world.user(first_form=True)
    old.say(m.Revoke(iccid=ICCID))
    assert code_of(old.one(m.Error)) is ErrorCode.NOT_SUPPORTED
    assert ann.quiet()
    assert m.Revoke not in MAY_SAY[Speaker.CARD, Phase.OPEN]
