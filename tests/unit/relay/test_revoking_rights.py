# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.operators: who may take a card from its holder."""

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.audit import events
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m

WHY = "the farm is needed"


def revoke(boss: Peer, **fields: str) -> m.RevokeAck:
    asked = m.Revoke(id=boss.new_id(), **{"iccid": ICCID, "why": WHY, **fields})
    return boss.ask(asked, m.RevokeAck)


def holders(ack: m.RevokeAck) -> list[str]:
    return [each.holder for each in ack.holders]


def test_who_may_not_is_refused_and_the_holder_keeps_the_card() -> None:
    policy = granting(
        rule("ann", [Verb.USE]),
        rule("bob", [Verb.USE, Verb.RESET]),
        rule("eve", [Verb.REVOKE], label="other"),
        rule("boss", [Verb.REVOKE]),
        rule("root", [Verb.ADMIN]),
        hosts=[rule("anyone")],
    )
    world = World(policy=policy)
    world.card(reader())
    ann = world.user(who="ann", name=None)
    ann.hold(iccid=ICCID)
    refused = world.user(who="bob", name=None).refused(m.Revoke(id=1, iccid=ICCID))
    assert code_of(refused) is ErrorCode.FORBIDDEN
    assert "bob may not 'revoke' what is in Reader r1 on (bench)" in refused.message
    hidden = world.user(who="eve", name=None).refused(m.Revoke(id=1, iccid=ICCID))
    assert code_of(hidden) is ErrorCode.NO_SUCH_CARD
    assert ann.quiet()
    denied = [e for e in world.events if isinstance(e, events.Denied)]
    assert (denied[0].who.name, denied[0].code) == ("bob", "forbidden")
    for who in ("boss", "root"):
        taker = world.user(who=who, name=None)
        assert len(revoke(taker).holders) == 1
        assert ann.one(m.SessionEnded).message == f"Revoked by {who}: {WHY}."
        ann.hold(iccid=ICCID)


def test_a_principal_takes_back_what_another_program_of_its_own_has() -> None:
    policy = granting(rule(["ann", "bob"], [Verb.USE, Verb.SHARE]), hosts=[rule("anyone")])
    world = World(policy=policy)
    world.card(reader())
    desk, home = world.user(who="ann", name="desk"), world.user(who="ann", name="home")
    desk.hold(iccid=ICCID, share=Share.SHARED)
    assert holders(revoke(home)) == ["ann (desk)"]
    assert desk.one(m.SessionEnded).message == f"Revoked by ann (home): {WHY}."
    bob = world.user(who="bob", name=None)
    desk.hold(iccid=ICCID, share=Share.SHARED)
    bob.hold(iccid=ICCID, share=Share.SHARED)
    for asked in (m.Revoke(id=70, iccid=ICCID), m.Revoke(id=71, iccid=ICCID, holder="bob")):
        assert code_of(home.refused(asked)) is ErrorCode.FORBIDDEN
    assert holders(revoke(home, holder="ann*")) == ["ann (desk)"]
    assert bob.quiet()
    bob.leave(goodbye=True)
    assert code_of(home.refused(m.Revoke(id=72, iccid=ICCID))) is ErrorCode.FORBIDDEN
    nameless = World(open_to_operators=False)
    nameless.card(reader())
    nameless.user(name="ann").hold(iccid=ICCID)
    refused = nameless.user(name="ann").refused(m.Revoke(id=1, iccid=ICCID))
    assert code_of(refused) is ErrorCode.FORBIDDEN


def test_without_a_policy_it_is_for_a_server_that_only_its_own_host_reaches() -> None:
    world = World(open_to_operators=False)
    world.card(reader())
    ann = world.user()
    ann.hold(iccid=ICCID)
    refused = world.user(who="bob").refused(m.Revoke(id=1, iccid=ICCID))
    assert code_of(refused) is ErrorCode.FORBIDDEN
    assert "has no policy that says who may" in refused.message
    assert ann.quiet()
