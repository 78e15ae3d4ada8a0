# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.uses: who has which card, and who waits for it, as far as one may know."""

from tests.support.policies import granting, rule
from tests.support.relay_clients import ATR, ICCID, Peer
from tests.support.relay_world import World, code_of, empty, reader
from tests.support.resuming_scene import FEATURES, scene
from tests.support.steps import steps
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.uses import MAX_WAITERS

OTHER = "8949020000012345670"


def who(user: Peer, **fields: object) -> m.WhoAck:
    return user.ask(m.Who(id=user.new_id(), **fields), m.WhoAck)  # type: ignore[arg-type]


def everything(user: Peer, **fields: object) -> list[m.CardUse]:
    """Return all pages."""
    found, after = list[m.CardUse](), 0
    while True:
        ack = who(user, after=after, **fields)
        found += ack.cards
        if ack.next is None:
            return found
        after = ack.next


def test_a_card_is_told_of_with_who_has_it_and_who_waits_for_it() -> None:
    world = World(lease_idle_s=100)
    world.card(reader(), reader("r2", OTHER))
    ann = world.user(name="ann")
    session = ann.hold(iccid=ICCID)
    world.pass_time(5)
    bob = world.user(name="bob")
    bob.ask(m.SelectCard(id=1, iccid=ICCID, wait_s=60, share=Share.SHARED), m.Waiting)
    world.pass_time(7.5)
    busy, free = who(world.user()).cards
    assert busy.holders == (
        m.HolderInfo(
            holder="ann",
            since="1970-01-01T00:16:40Z",
            idle_s=12.5,
            state=m.HolderState.HELD,
            until="1970-01-01T00:18:20Z",
            sealed=False,
            session=session[:8],
        ),
    )
    assert busy.waiting == 1
    assert busy.waiters == (
        m.WaiterInfo(name="bob", since="1970-01-01T00:16:45Z", share=Share.SHARED),
    )
    assert (busy.card.identities.iccid, busy.card.lease) == (ICCID, None)
    assert free == m.CardUse(card=free.card)
    assert free.card.state is m.CardState.READY


def test_who_has_a_command_open_is_not_idle() -> None:
    world = World()
    card = world.card(reader())
    ann = world.user()
    session = ann.hold(iccid=ICCID)
    world.pass_time(9)
    card.auto = False
    ann.command(session)
    world.pass_time(9)
    assert who(world.user()).cards[0].holders[0].idle_s == 0.0


def test_who_is_out_of_reach_is_told_of_as_such() -> None:
    world, _, user, _ = scene()
    user.leave()
    (use,) = who(world.user()).cards
    assert [each.state for each in use.holders] == [m.HolderState.KEPT]
    assert use.holders[0].until == "1970-01-01T00:17:40Z"


def test_a_reader_that_is_used_without_a_card_is_told_of_and_an_empty_one_is_not() -> None:
    world = World()
    world.card(empty("r1"), empty("r2"))
    world.user(name="ann").hold(reader="r1", share=Share.DIRECT)
    (use,) = who(world.user()).cards
    assert use.card.reader == "r1"
    assert [(each.holder, each.share) for each in use.holders] == [("ann", Share.DIRECT)]


def test_cards_are_chosen_by_name_by_holder_and_by_whether_they_are_free() -> None:
    world = World()
    world.card(reader(), reader("r2", OTHER))
    world.user(who="ann", name="desk").hold(iccid=ICCID)
    looker = world.user()

    def readers(**fields: object) -> list[str | None]:
        return [use.card.reader for use in everything(looker, **fields)]

    assert readers() == ["r1", "r2"]
    assert readers(free=True) == ["r2"]
    assert readers(busy=True) == ["r1"]
    assert readers(free=True, busy=True) == []
    for holder in ("ann", "ann (desk)", "*desk*", "a*"):
        assert readers(holder=holder) == ["r1"]
    for holder in ("desk", "ANN", "bob", ""):
        assert readers(holder=holder) == []
    assert readers(holder="*") == ["r1"]
    assert readers(iccid=OTHER) == ["r2"]
    assert readers(iccid="8949*", busy=True) == ["r1"]
    assert readers(any="nothing") == []


def test_what_is_told_is_what_the_policy_lets_one_know() -> None:
    policy = granting(
        rule("ann", [Verb.USE]),
        rule("bob", [Verb.USE], iccid=ICCID),
        rule("looker", [Verb.LIST]),
        rule("boss", [Verb.REVOKE]),
        rule("dan", [Verb.USE], iccid=OTHER),
        hosts=[rule("anyone")],
    )
    world = World(policy=policy)
    world.card(reader(), reader("r2", OTHER))
    ann, bob, dan, looker, boss = (
        world.user(who=each, name=None) for each in ("ann", "bob", "dan", "looker", "boss")
    )
    session = ann.hold(iccid=ICCID)
    bob.ask(m.SelectCard(id=1, iccid=ICCID, wait_s=60), m.Waiting)
    assert [use.card.reader for use in who(dan).cards] == ["r2@(bench)"]
    seen = who(looker).cards[0]
    assert [each.holder for each in seen.holders] == ["ann"]
    assert (seen.holders[0].session, seen.waiting, seen.waiters) == (None, 1, ())
    told = who(boss).cards[0]
    assert told.holders[0].session == session[:8]
    assert [each.name for each in told.waiters] == ["bob"]
    assert everything(world.user(who="nobody", name=None)) == []


def test_without_a_policy_strangers_are_not_told_who_waits() -> None:
    world = World(open_to_operators=False)
    world.card(reader())
    world.user(who="ann").hold(iccid=ICCID)
    world.user(who="bob").ask(m.SelectCard(id=1, iccid=ICCID, wait_s=60), m.Waiting)
    (use,) = who(world.user(who="eve")).cards
    assert [each.holder for each in use.holders] == ["ann (a user)"]
    assert (use.waiting, use.waiters, use.holders[0].session) == (1, (), None)


def test_few_of_those_who_wait_are_named_and_all_are_counted() -> None:
    world = World(max_sessions_per_user=100)
    world.card(reader())
    world.user().hold(iccid=ICCID)
    for number in range(3 * MAX_WAITERS):
        user = world.user(name=f"w{number}")
        user.ask(m.SelectCard(id=1, iccid=ICCID, wait_s=60), m.Waiting)
    (use,) = who(world.user()).cards
    assert use.waiting == 3 * MAX_WAITERS
    assert [each.name for each in use.waiters] == [f"w{n}" for n in range(MAX_WAITERS)]


def test_a_seal_is_told_of() -> None:
    world = World()
    card = world.card(reader(), features=(*FEATURES, "seal"), auto=False)
    ann = world.user()
    ann.say(m.SelectCard(id=1, iccid=ICCID))
    session = card.one(m.Attach).session
    offer = m.SealOffer(
        host="bench",
        reader="r1",
        atr=ATR,
        nonce=b"n" * 32,
        suites=("s",),
        mode="preferred",
        suite="s",
        key=b"k",
        certificates=(),
        signature=b"s",
    )
    card.say(m.AttachAck(session=session, atr=ATR, seal=offer))
    (use,) = who(world.user()).cards
    assert use.holders[0].sealed is True


def test_a_card_that_is_lent_says_to_whom() -> None:
    world = World()
    world.card(reader())
    ann = world.user(name="ann")
    session = ann.hold(iccid=ICCID)
    ann.ask(m.Lend(id=5, session=session, who="bob"), m.LendAck)
    (use,) = who(world.user()).cards
    assert (use.lent, use.holders) == ("bob", ())


def test_ten_thousand_holders_are_listed_in_pages_of_a_bounded_size() -> None:
    world = World(max_sessions_per_user=20_000, max_readers_per_card_client=20_000)
    count = 10_000
    world.card(*(reader(f"r{n}", f"{894902 * 10**13 + n:019d}") for n in range(count)))
    ann = world.user(name="ann")
    for number in range(count):
        ann.hold(reader=f"r{number}")
    looker = world.user()
    first = who(looker, busy=True)
    assert len(first.cards) == 500
    assert len(encode(first)) < 1 << 20
    found = everything(looker, busy=True)
    assert [use.card.reader for use in found] == [f"r{n}" for n in range(count)]
    several = m.Who(id=7, pages=8)
    looker.say(several)
    for _ in range(7):
        assert looker.next(m.WhoAck).more
        world.pass_time(0.002)
    assert not looker.one(m.WhoAck).more
    alone = m.Who(id=8, reader="r9000")
    took = steps(lambda: looker.say(alone))
    assert [use.card.reader for use in looker.one(m.WhoAck).cards] == ["r9000"]
    assert took < 5_000


def test_a_list_of_a_user_who_is_gone_goes_nowhere() -> None:
    world = World()
    world.card(*(reader(f"r{n}", f"{894902 * 10**13 + n:019d}") for n in range(900)))
    looker = world.user()
    looker.say(m.Who(id=7, pages=8))
    looker.leave()
    world.pass_time(1)
    too_long = world.user().refused(m.Who(id=1, holder="x" * 257))
    assert code_of(too_long) is ErrorCode.BAD_MESSAGE
