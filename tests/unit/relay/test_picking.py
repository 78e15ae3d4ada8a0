# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.picking: who takes any card is given the one that was used least recently, in turn."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ATR, CardClient, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.policy.words import ALL, Verb
from wsrc.protocol import messages as m
from wsrc.relay.picking import LOOKED_AT

ANY = m.Pick.ANY


def iccid(number: int) -> str:
    return f"{8949020000000000000 + number}"


def card(number: int, **fields: object) -> m.ReaderInfo:
    """Describe a card of the kind `sgp22`."""
    return reader(f"r{number}", iccid(number), **({"tags": {"kind": "sgp22"}} | fields))


def farm(count: int, **limits: float) -> tuple[World, CardClient]:
    world = World(**limits)
    return world, world.card(*(card(number) for number in range(1, count + 1)))


def any_of(user: Peer, wait_s: float = 0.0, kind: str = "sgp22", **by: object) -> m.SelectCard:
    tags = {"kind": kind} if kind else None
    given: dict[str, object] = {"tags": tags, "wait_s": wait_s, "pick": ANY} | by
    return m.SelectCard(id=user.new_id(), **given)  # type: ignore[arg-type]  # fields by name


def taken(user: Peer, **by: object) -> tuple[str, str]:
    """Take any card; return the reader and the session."""
    ack = user.ask(any_of(user, **by), m.SelectCardAck)  # type: ignore[arg-type]
    assert ack.card is not None
    return ack.card.reader or "", ack.session or ""


def give_back(user: Peer, session: str) -> None:
    user.say(m.Detach(id=user.new_id(), session=session))
    user.next(m.DetachAck)


def test_any_of_several_is_not_ambiguous() -> None:
    world, _ = farm(3)
    user = world.user()
    assert code_of(user.refused(any_of(user, pick=m.Pick.ONE))) is ErrorCode.AMBIGUOUS
    assert taken(user)[0].startswith("r")


def test_each_card_is_used_before_one_is_used_again() -> None:
    world, _ = farm(5)
    user = world.user()
    rounds: list[list[str]] = []
    for _ in range(3):
        readers: list[str] = []
        for _ in range(5):
            where, session = taken(user)
            give_back(user, session)
            readers.append(where)
        rounds.append(readers)
    assert all(len(set(readers)) == 5 for readers in rounds)
    assert rounds[0] == rounds[1] == rounds[2]


def test_the_order_is_that_in_which_cards_were_given_back() -> None:
    world, _ = farm(3)
    user = world.user()
    held = [taken(user) for _ in range(3)]
    for at in (1, 2, 0):
        give_back(user, held[at][1])
    assert [taken(user)[0] for _ in range(3)] == [held[at][0] for at in (1, 2, 0)]


def test_a_card_that_was_used_is_not_new_when_its_host_is_back() -> None:
    world, host = farm(2)
    user = world.user()
    where, session = taken(user)
    give_back(user, session)
    host.leave()
    world.card(card(1), card(2))
    assert taken(user)[0] != where


def test_a_card_that_comes_is_taken_before_one_that_was_used() -> None:
    world, host = farm(1)
    user = world.user()
    give_back(user, taken(user)[1])
    host.say(m.ReaderReport(reader=card(2)))
    assert taken(user)[0] == "r2"


def test_without_a_condition_any_card_is_meant() -> None:
    world = World()
    world.card(empty("r1"), reader("r2", iccid(2)))
    user = world.user()
    assert taken(user, kind="")[0] == "r2"


@pytest.mark.parametrize("by", [{"reader": "Reader r1"}, {"any": "r1"}, {"iccid": iccid(1)}])
def test_any_has_conditions_of_each_kind(by: dict[str, str]) -> None:
    world, _ = farm(3)
    assert taken(world.user(), **by)[0] == "r1"


def test_who_will_not_wait_is_told_that_none_is_free_and_how_many_there_are() -> None:
    world, _ = farm(2)
    one, other = world.user(), world.user()
    taken(one)
    taken(one)
    busy = other.refused(any_of(other))
    assert code_of(busy) is ErrorCode.CARD_BUSY
    assert busy.message == "No card that has tag kind=sgp22 is free; there are 2."
    none = other.refused(any_of(other, kind="gsma"))
    assert code_of(none) is ErrorCode.NO_SUCH_CARD
    assert none.message == "No card that has tag kind=gsma is here that you may take."
    both = other.refused(m.SelectCard(id=99, tags={"kind": "sgp22", "card": "uicc"}, pick=ANY))
    assert both.message.endswith("is free, or there is none.")
    assert "No card is here that" in World().user().refused(any_of(one, kind="")).message


def test_with_nothing_that_ever_matches_the_wait_ends_at_its_limit_and_says_so() -> None:
    world, _ = farm(1)
    user = world.user()
    user.say(any_of(user, 60.0, kind="gsma"))
    assert user.one(m.Waiting).position == 1
    world.pass_time(59.0)
    assert user.quiet()
    world.pass_time(2.0)
    late = user.one(m.Error)
    assert code_of(late) is ErrorCode.NO_SUCH_CARD
    assert late.message.endswith("is here that you may take. None came in 60 s.")
    assert "waiting" not in world.leftovers()


def test_the_first_card_that_becomes_free_is_for_who_waits_longest() -> None:
    world, _ = farm(2)
    holder, first, second, third = (world.user() for _ in range(4))
    held = dict(taken(holder) for _ in range(2))
    first.say(any_of(first, 60.0))
    second.say(m.SelectCard(id=1, iccid=iccid(1), wait_s=60.0))
    third.say(any_of(third, 60.0))
    for user in (first, second, third):
        assert user.next(m.Waiting).position >= 1
    give_back(holder, held["r2"])
    assert first.next(m.SelectCardAck).card is not None
    give_back(holder, held["r1"])
    assert second.next(m.SelectCardAck).id == 1
    assert not any(isinstance(each, m.SelectCardAck) for each in third.inbox)


def test_who_waits_for_this_card_is_not_overtaken_by_who_waits_for_any() -> None:
    world, _ = farm(1)
    holder, this, anybody = (world.user() for _ in range(3))
    _, session = taken(holder)
    this.say(m.SelectCard(id=1, iccid=iccid(1), wait_s=60.0))
    anybody.say(any_of(anybody, 60.0))
    give_back(holder, session)
    this.next(m.Waiting)
    assert this.next(m.SelectCardAck).id == 1
    assert [type(each) for each in anybody.inbox] == [m.Waiting]


def test_places_are_those_among_who_waits_for_any() -> None:
    world, _ = farm(1)
    holder, *users = (world.user() for _ in range(4))
    _, session = taken(holder)
    for place, user in enumerate(users, start=1):
        user.say(any_of(user, 600.0))
        assert user.one(m.Waiting).position == place
    give_back(holder, session)
    assert users[0].one(m.SelectCardAck)
    world.pass_time(3.0)
    assert [user.one(m.Waiting).position for user in users[1:]] == [1, 2]


def test_a_card_that_comes_is_for_who_waits_for_any() -> None:
    world, host = farm(0)
    user = world.user()
    user.say(any_of(user, 60.0))
    host.say(m.ReaderReport(reader=card(7)))
    user.next(m.Waiting)
    assert user.one(m.SelectCardAck)


def test_a_card_that_is_being_reset_is_waited_for_unasked() -> None:
    world, host = farm(1)
    host.auto = False
    holder, user = world.user(), world.user()
    holder.say(any_of(holder))
    attach = host.next(m.Attach)
    host.say(m.AttachAck(session=attach.session, atr=ATR))
    session = holder.next(m.SelectCardAck).session or ""
    holder.say(m.Detach(id=5, session=session))
    user.say(any_of(user))
    assert user.one(m.Waiting).position == 1
    host.say(m.DetachAck(session=host.next(m.Detach).session))
    assert host.next(m.Attach).reader == "r1"


def test_a_card_that_fails_at_once_is_passed_over() -> None:
    world, host = farm(2)
    host.auto = False
    user = world.user()
    user.say(any_of(user))
    bad = host.next(m.Attach)
    host.say(m.error(ErrorCode.CARD_UNRESPONSIVE, "It is mute.", session=bad.session))
    good = host.next(m.Attach)
    assert good.reader != bad.reader
    assert user.quiet()
    host.say(m.error(ErrorCode.CARD_UNRESPONSIVE, "So is that.", session=good.session))
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_BUSY
    assert host.quiet()


def test_a_card_that_is_not_reset_in_the_end_is_not_waited_for_any_longer() -> None:
    world, host = farm(1)
    holder, user = world.user(), world.user()
    _, session = taken(holder)
    host.auto = False
    give_back(holder, session)
    user.say(any_of(user))
    assert user.one(m.Waiting)
    failed = m.error(
        ErrorCode.CARD_UNRESPONSIVE, "It is stuck.", session=host.next(m.Detach).session
    )
    host.say(failed)
    world.pass_time(1.0)
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_BUSY
    assert "waiting" not in world.leftovers()


def test_a_reader_without_its_card_is_not_any() -> None:
    world, _ = farm(1)
    user = world.user()
    assert code_of(user.refused(any_of(user, share=Share.DIRECT))) is ErrorCode.BAD_MESSAGE


def test_who_shares_takes_a_free_card_and_joins_nobody() -> None:
    world, _ = farm(1)
    one, other = world.user(), world.user()
    _, session = taken(one, share=Share.SHARED)
    other.say(any_of(other, 60.0, share=Share.SHARED))
    other.one(m.Waiting)
    world.pass_time(1.0)
    assert other.quiet()
    give_back(one, session)
    assert other.one(m.SelectCardAck)


def test_who_waits_for_any_keeps_nobody_from_joining_a_shared_card() -> None:
    world, _ = farm(1)
    one, other, third = (world.user() for _ in range(3))
    taken(one, share=Share.SHARED)
    other.say(any_of(other, 60.0))
    assert third.select(iccid=iccid(1), share=Share.SHARED).session


def test_a_host_that_cannot_do_what_is_asked_has_none_of_these_cards() -> None:
    world = World()
    world.card(card(1), features=())
    world.card(card(2), features=("share",), name="able")
    user = world.user()
    assert taken(user, share=Share.SHARED)[0] == "r2"
    assert code_of(user.refused(any_of(user, share=Share.SHARED))) is ErrorCode.CARD_BUSY
    assert taken(user)[0] == "r1"


def test_what_a_user_may_not_have_or_see_is_never_given() -> None:
    policy = granting(
        rule("bob", list(ALL), label="seen"),
        rule("bob", [Verb.LIST], label="only"),
        hosts=[rule("*")],
    )
    world = World(policy=policy)
    shown = card(1, label="hidden"), card(2, label="only"), card(3, label="seen")
    host = world.card(*shown, card(4, label="hidden"), who="host")
    bob = world.user(who="bob")
    where, session = taken(bob)
    assert where.startswith("r3")
    assert code_of(bob.refused(any_of(bob))) is ErrorCode.CARD_BUSY
    bob.say(any_of(bob, 60.0))
    bob.one(m.Waiting)
    host.say(m.ReaderReport(reader=card(5, label="only")))
    host.say(m.ReaderReport(reader=card(6, label="hidden")))
    world.pass_time(5.0)
    assert bob.quiet()
    give_back(bob, session)
    assert bob.one(m.SelectCardAck)


def test_a_policy_that_gives_a_card_gives_it_to_who_waits_for_any() -> None:
    world = World(policy=granting(rule("bob", list(ALL), label="seen"), hosts=[rule("*")]))
    world.card(card(1, label="hidden"), who="host")
    bob = world.user(who="bob")
    bob.say(any_of(bob, 60.0))
    bob.one(m.Waiting)
    world.obey(granting(rule("bob", list(ALL)), hosts=[rule("*")]))
    world.pass_time(1.0)
    assert bob.one(m.SelectCardAck)


MANY = 4 * LOOKED_AT


def mixed() -> tuple[World, CardClient]:
    """Return cards of one kind and as many of another operator, and one at last that has both."""
    world = World(max_readers_per_card_client=3 * MANY)
    infos = [card(number, tags={"kind": "sgp22"}) for number in range(1, MANY)]
    infos += [card(number, tags={"operator": "o"}) for number in range(MANY, 2 * MANY)]
    both = card(2 * MANY, tags={"kind": "sgp22", "operator": "o"})
    host = world.card(*infos)
    first = world.user()
    host.say(m.ReaderReport(reader=both))
    session = first.hold(iccid=iccid(2 * MANY))
    first.say(m.Detach(id=77, session=session))
    return world, host


BOTH = {"kind": "sgp22", "operator": "o"}


def test_a_rare_card_is_found_among_many_others_some_in_a_turn() -> None:
    world, _ = mixed()
    user = world.user()
    user.say(any_of(user, tags=BOTH))
    assert user.one(m.Waiting).position == 1
    world.pass_time(0.1)
    ack = user.one(m.SelectCardAck)
    assert ack.card is not None
    assert ack.card.reader == f"r{2 * MANY}"
    assert world.relay._state.sought == {}


def test_where_none_has_both_who_will_not_wait_is_refused_at_the_end() -> None:
    world, host = mixed()
    host.say(m.ReaderGone(reader=f"r{2 * MANY}"))
    user = world.user()
    user.say(any_of(user, tags=BOTH))
    user.one(m.Waiting)
    world.pass_time(0.1)
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_BUSY
    assert world.relay._state.sought == {}


def test_who_is_looked_for_a_card_is_not_overtaken_by_who_names_it() -> None:
    world, _ = mixed()
    user, other, third = (world.user() for _ in range(3))
    user.say(any_of(user, tags=BOTH))
    other.say(m.SelectCard(id=1, iccid=iccid(2 * MANY), wait_s=60.0))
    third.say(any_of(third, kind="", reader=f"r{2 * MANY}"))
    user.next(m.Waiting)
    assert user.one(m.SelectCardAck)
    assert other.one(m.Waiting).position == 1
    assert code_of(third.one(m.Error)) is ErrorCode.CARD_BUSY


def test_one_who_gives_up_amid_the_search_leaves_nothing() -> None:
    world, _ = mixed()
    user = world.user()
    request = any_of(user, tags=BOTH)
    user.say(request)
    user.one(m.Waiting)
    user.say(m.Cancel(id=500, target=request.id or 0))
    world.pass_time(5.0)
    assert world.relay._state.sought == {}
    assert world.relay._state.rounds == {}


def test_the_waiters_of_a_card_host_that_is_lost_are_given_other_cards() -> None:
    world = World()
    lost = world.card(card(1), name="one", auto=False)
    world.card(card(2, state=m.ReaderState.IN_USE), name="two")
    user = world.user()
    user.say(any_of(user, 60.0))
    lost.next(m.Attach)
    lost.leave()
    assert user.one(m.Waiting)
    world.card(card(3), name="three")
    assert user.one(m.SelectCardAck)


def test_a_card_that_was_given_in_vain_is_given_back_when_any_is_selected_again() -> None:
    world = World()
    features = ("resume", "seal", "share")
    host = world.card(card(1), features=features)
    user = world.user(instance="run")
    user.say(any_of(user, secret="secret", keep_s=60.0))
    user.leave()
    again = world.user(instance="run")
    again.say(any_of(again, 10.0, secret="other", keep_s=60.0))
    acks = [each for each in again.inbox if isinstance(each, m.SelectCardAck)]
    assert len(acks) == 1
    assert host.quiet()
