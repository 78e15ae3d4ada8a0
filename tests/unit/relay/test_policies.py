# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.policies, .judging, .audiences: another policy, and cards that become others."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_watchers import watch
from tests.support.relay_world import World, code_of, reader
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.policy.machine import OPEN, Policy
from wsrc.policy.words import ALL, Verb
from wsrc.protocol import messages as m
from wsrc.relay import audiences, policies
from wsrc.relay.audiences import AT_ONCE, MAX_IDLE

OTHER = "8949020000000000001"
FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "seal", "share")
ANYTHING = rule("*")


def giving(*may: Verb, who: str = "ann", **cards: str) -> Policy:
    return granting(rule(who, may, **cards), hosts=[ANYTHING])


def lab(policy: Policy, **limits: float) -> World:
    world = World(policy=policy, **limits)
    world.host = world.card(  # type: ignore[attr-defined]
        reader("r1", label="one"), reader("r2", OTHER, label="two"), who="host", features=FEATURES
    )
    return world


def cards_of(user: Peer) -> list[str | None]:
    ack = user.ask(m.ListCards(id=user.new_id()), m.ListCardsAck)
    return [card.label for card in ack.cards]


@pytest.mark.parametrize("share", [Share.EXCLUSIVE, Share.SHARED, Share.DIRECT])
def test_13_a_session_that_is_not_allowed_any_more_ends_with_the_reason(share: Share) -> None:
    world = lab(giving(*ALL))
    user = world.user(who="ann")
    session = user.hold(iccid=ICCID, share=share.value)
    taken = {Share.EXCLUSIVE: Verb.USE, Share.SHARED: Verb.SHARE, Share.DIRECT: Verb.DIRECT}[share]
    world.obey(giving(*(ALL - {taken})))
    world.pass_time(1)
    ended = user.one(m.SessionEnded)
    assert (ended.session, ended.code) == (session, ErrorCode.FORBIDDEN)
    assert f"'{taken}'" in ended.message
    assert code_of(user.refused(user_command(user, session))) is ErrorCode.FORBIDDEN
    assert any(session[:8] in note and "lost" in note for note in world.notes)
    if share is not Share.DIRECT:
        assert cards_of(user) == ["one", "two"]
    assert world.relay.counts["sessions"] == 0


def user_command(user: Peer, session: str) -> m.ResetReq:
    return m.ResetReq(id=user.new_id(), session=session)


def test_13_one_that_is_allowed_still_goes_on_and_what_it_may_do_is_new() -> None:
    world = lab(giving(*ALL))
    user = world.user(who="ann")
    session = user.hold(iccid=ICCID)
    world.obey(giving(Verb.USE))
    assert code_of(user.refused(user_command(user, session))) is ErrorCode.FORBIDDEN
    world.pass_time(1)
    user.command(session)
    assert user.one(m.RApdu).sw == "9000"
    world.obey(giving(Verb.USE, Verb.RESET))
    user.ask(user_command(user, session), m.ResetResp)


def test_13_a_request_is_judged_by_the_new_policy_before_its_turn_comes() -> None:
    world = lab(giving(*ALL))
    users = [world.user(who="ann") for _ in range(3)]
    assert cards_of(users[2]) == ["one", "two"]
    world.obey(giving(Verb.LIST, label="two"))
    assert cards_of(users[2]) == ["two"]
    assert cards_of(world.user(who="ann")) == ["two"]
    assert cards_of(world.user(who="bob")) == []


def test_13_a_request_in_flight_of_a_session_that_ends_is_in_doubt() -> None:
    world = lab(giving(*ALL))
    user = world.user(who="ann")
    session = user.hold(iccid=ICCID)
    world.host.auto = False  # type: ignore[attr-defined]
    asked = user.command(session)
    world.obey(giving(Verb.LIST))
    world.pass_time(1)
    error = user.next(m.Error)
    assert (error.id, code_of(error), error.outcome) == (
        asked.id,
        ErrorCode.FORBIDDEN,
        Outcome.UNKNOWN,
    )
    user.one(m.SessionEnded)


def test_13_a_session_that_is_kept_ends_too() -> None:
    world = lab(giving(*ALL))
    user = world.user(who="ann", instance="u")
    select = m.SelectCard(id=1, iccid=ICCID, secret="s" * 32, keep_s=60)
    user.ask(select, m.SelectCardAck)
    user.leave()
    assert world.relay.counts["sessions"] == 1
    world.obey(giving(Verb.LIST))
    world.pass_time(1)
    assert world.relay.counts["sessions"] == 0


def test_13_who_waits_for_a_card_that_may_not_be_had_any_more_is_told() -> None:
    world = lab(giving(*ALL, who="*"))
    world.user(who="bob").hold(iccid=ICCID)
    user = world.user(who="ann")
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    world.obey(granting(rule("bob", list(ALL)), rule("ann", [Verb.LIST]), hosts=[ANYTHING]))
    world.pass_time(1)
    error = user.one(m.Error)
    assert (error.id, code_of(error)) == (1, ErrorCode.FORBIDDEN)


def test_13_who_waits_for_a_card_that_becomes_hidden_waits_on() -> None:
    world = lab(giving(*ALL, who="*"))
    holder = world.user(who="bob")
    session = holder.hold(iccid=ICCID)
    user = world.user(who="ann")
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    world.obey(giving(*ALL, who="bob"))
    holder.ask(m.Detach(id=9, session=session), m.DetachAck)
    world.pass_time(10)
    assert user.quiet()
    world.pass_time(60)
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD


def test_13_a_card_that_becomes_visible_is_offered() -> None:
    world = lab(giving(*ALL, who="bob"))
    user = world.user(who="ann")
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    assert user.one(m.Waiting).position == 1
    world.obey(giving(*ALL))
    world.pass_time(1)
    assert user.one(m.SelectCardAck).id == 1


def test_13_a_card_that_is_labelled_otherwise_is_offered_to_whoever_may_have_it() -> None:
    world = lab(giving(*ALL, label="mine"))
    user = world.user(who="ann")
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    world.host.report(reader("r1", label="mine"))  # type: ignore[attr-defined]
    assert user.one(m.SelectCardAck).id == 1


def test_13_a_card_that_is_another_by_a_profile_ends_the_session() -> None:
    world = lab(giving(*ALL, iccid=ICCID))
    user = world.user(who="ann")
    session = user.hold(iccid=ICCID)
    world.host.report(reader("r1", "8949020000000000002", label="one"))  # type: ignore[attr-defined]
    ended = user.one(m.SessionEnded)
    assert (ended.session, ended.code) == (session, ErrorCode.FORBIDDEN)
    assert cards_of(user) == []


def test_13_one_whose_rights_stay_goes_on() -> None:
    world = lab(giving(*ALL, label="one"))
    user = world.user(who="ann")
    session = user.hold(iccid=ICCID)
    world.host.report(reader("r1", "8949020000000000002", label="one"))  # type: ignore[attr-defined]
    user.command(session)
    assert user.one(m.RApdu).sw == "9000"


def test_13_the_atr_of_the_reset_for_a_session_is_judged_before_it_begins() -> None:
    world = World(policy=giving(*ALL, atr="3b00"))
    before = reader("r1", atr=Octets.fromhex("3b00"))
    card = world.card(before, who="host", auto=False)
    user = world.user(who="ann")
    user.say(m.SelectCard(id=1, iccid=ICCID))
    card.auto = True
    card.answer(card.next(m.Attach))  # with another ATR
    error = user.one(m.Error)
    assert (error.id, code_of(error), error.outcome) == (
        1,
        ErrorCode.FORBIDDEN,
        Outcome.NOT_EXECUTED,
    )
    world.pass_time(1)
    assert world.relay.counts["sessions"] == 0


@pytest.mark.parametrize("form", list(m.ReaderForm))
def test_13_watchers_see_cards_go_and_come_by_a_policy(form: m.ReaderForm) -> None:
    world = lab(giving(*ALL, label="one"))
    user = world.user(who="ann")
    ack = watch(user, form=form)
    assert [view.label for view in ack.readers or ()] == ["one"]
    world.obey(giving(*ALL, label="two"))
    world.pass_time(1)
    if form is m.ReaderForm.WSRC:
        gone, came = user.next(m.ReaderEvent), user.one(m.ReaderEvent)
        assert (gone.change, gone.reader.label, gone.reader.number) == (m.Change.REMOVED, "one", 1)
        assert (came.change, came.reader.label, came.reader.number) == (m.Change.ADDED, "two", 2)
        assert (gone.seq, came.seq) == (ack.seq + 1, ack.seq + 2)
    else:
        listed = user.next(m.ListChange).params.reader_ids
        assert listed == ("r2@host (bench)",)
        assert user.next(m.StateChange).params.reader_id == "r2@host (bench)"
        assert user.one(m.ReaderMark).seq == ack.seq + 2
    assert cards_of(user) == ["two"]


def test_13_a_watcher_that_comes_back_to_other_rights_is_given_all_readers_anew() -> None:
    world = lab(giving(*ALL, label="one"))
    user = world.user(who="ann")
    ack = user.ask(m.WatchReaders(id=1), m.WatchReadersAck)
    again = m.WatchReaders(id=1, since=ack.seq, instance=ack.instance)
    user.leave()
    assert world.user(who="ann").ask(again, m.WatchReadersAck).readers is None
    world.obey(giving(*ALL, label="two"))
    anew = world.user(who="ann").ask(again, m.WatchReadersAck)
    assert [view.label for view in anew.readers or ()] == ["two"]
    assert anew.instance != ack.instance


def test_13_users_with_the_same_rules_are_one_audience_and_others_are_not() -> None:
    world = lab(granting(rule("a*", [Verb.USE]), rule("b*", [Verb.USE]), hosts=[ANYTHING]))
    users = [world.user(who=who) for who in ("a1", "a2", "b1", "b2", "c")]
    assert len({world.relay._state.peers[user.number].audience for user in users}) == 3


def test_13_audiences_without_users_are_not_kept_for_ever() -> None:
    names = [f"n{n:03}" for n in range(3 * MAX_IDLE)]
    world = lab(granting(*(rule(name, [Verb.USE]) for name in names), hosts=[ANYTHING]))
    for name in names:
        user = world.user(who=name)
        assert cards_of(user) == ["one", "two"]
        user.leave()
    assert len(world.relay._state.readers._readers) == MAX_IDLE
    world.host.leave()  # type: ignore[attr-defined]
    assert world.leftovers() == {}


def test_13_policies_that_come_and_go_leave_nothing() -> None:
    world = lab(giving(*ALL))
    user = world.user(who="ann")
    watch(user)
    for n in range(20):
        world.obey(giving(*ALL, label="one" if n % 2 else "two"))
        if n % 3:
            world.pass_time(1)
    world.pass_time(1)
    assert len(world.relay._state.readers._readers) == 1
    user.leave()
    world.host.leave()  # type: ignore[attr-defined]
    assert world.leftovers() == {}


def test_13_readers_are_looked_at_some_in_a_turn() -> None:
    world = World(policy=giving(*ALL, label="one"))
    count = 5 * AT_ONCE
    world.card(*(reader(f"r{n}", None, label="two") for n in range(count)), who="host")
    user = world.user(who="ann")
    watch(user)
    world.obey(giving(*ALL, label="two"))
    turns = 0
    told = 0
    while (due := world.relay.deadline()) is not None and due <= world.now + 5:
        world.now = max(world.now, due)
        world.perform(world.relay.tick(world.now))
        assert len(user.inbox) - told <= AT_ONCE
        told = len(user.inbox)
        turns += 1
    assert len(
        {event.reader.number for event in user.inbox if isinstance(event, m.ReaderEvent)}
    ) == (count)
    assert turns >= count // AT_ONCE


def test_13_a_list_is_whole_before_all_readers_were_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audiences, "AT_ONCE", 2)
    world = World(policy=giving(*ALL))
    world.card(*(reader(f"r{n}", None, label=f"{n}") for n in range(7)), who="host")
    user = world.user(who="ann")
    assert cards_of(user) == [f"{n}" for n in range(7)]
    watcher = world.user(who="ann")
    assert len(watch(watcher).readers or ()) == 7


def test_13_users_who_come_put_off_nothing_that_is_to_be_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audiences, "AT_ONCE", 1)
    names = [f"n{n}" for n in range(20)]
    world = World(policy=granting(*(rule(name, [Verb.USE]) for name in names), hosts=[ANYTHING]))
    world.card(*(reader(f"r{n}", None) for n in range(5)), who="host")
    world.user(who=names[0])
    due = world.relay.deadline()
    assert due is not None
    for name in names[1:]:
        world.now += 0.0001
        world.user(who=name)
        assert world.relay.deadline() == due


def test_13_pages_that_follow_obey_the_policy_of_now() -> None:
    world = World(policy=giving(*ALL))
    count = 700
    labels = ("one", "two")
    world.card(*(reader(f"r{n}", None, label=labels[n % 2]) for n in range(count)), who="host")
    user = world.user(who="ann")
    user.say(m.ListCards(id=1, pages=8))
    assert user.one(m.ListCardsAck).more
    world.obey(giving(*ALL, label="two"))
    world.pass_time(1)
    rest = user.one(m.ListCardsAck)
    assert {card.label for card in rest.cards} == {"two"}


def test_13_a_server_may_be_opened_and_closed_again() -> None:
    world = lab(giving(Verb.LIST))
    user = world.user(who="ann")
    world.obey(OPEN)
    session = user.hold(iccid=ICCID)
    world.obey(giving(Verb.LIST))
    world.pass_time(1)
    assert user.one(m.SessionEnded).session == session


def test_13_places_among_those_who_wait_for_what_is_hidden_tell_of_nobody_else() -> None:
    world = lab(giving(*ALL, label="one"))
    hidden = world.user(who="bob")
    hidden.say(m.SelectCard(id=1, iccid="8949020000000000009", wait_s=60))
    assert hidden.one(m.Waiting).position == 1
    user = world.user(who="ann")
    user.say(m.SelectCard(id=1, iccid="8949020000000000009", wait_s=60))
    assert user.one(m.Waiting).position == 1
    again = world.user(who="ann")
    again.say(m.SelectCard(id=1, iccid="8949020000000000009", wait_s=60))
    assert again.one(m.Waiting).position == 2


def test_13_cards_among_which_a_selection_does_not_decide_come_as_they_were_seen() -> None:
    world = lab(giving(*ALL, label="two"))
    user = world.user(who="ann")
    world.host.report(reader("r1", OTHER, label="two"))  # type: ignore[attr-defined]
    error = user.refused(m.SelectCard(id=1, iccid=OTHER))
    assert [card.reader_name for card in error.candidates] == ["Reader r2", "Reader r1"]
    assert cards_of(user) == ["two", "two"]


def test_13_a_turn_that_has_much_to_tell_leaves_the_rest_to_the_next() -> None:
    world = World(policy=giving(*ALL), max_sessions_per_user=64)
    count = 400
    world.card(*(reader(f"r{n}", f"8949{n:014}") for n in range(count)), who="host")
    for first in range(0, count, 50):
        user = world.user(who="ann")
        for n in range(first, first + 50):
            user.hold(iccid=f"8949{n:014}")
    world.obey(giving(Verb.LIST))
    turns: list[int] = []
    while (due := world.relay.deadline()) is not None and due <= world.now + 1:
        world.now = max(world.now, due)
        effects = world.relay.tick(world.now)
        turns.append(len(effects))
        world.perform(effects)
    assert world.relay.counts["sessions"] == 0
    assert max(turns) <= policies.MAX_EFFECTS + 300  # one user with all its sessions
    assert len(turns) > 3
