# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.hello, .names, .judging: names of principals, and what card hosts may announce."""

import re

import pytest
from hypothesis import given, strategies as st

from tests.support.policies import granting, rule
from tests.support.relay_clients import ATR, ICCID, Peer
from tests.support.relay_world import World, code_of, empty, reader
from tests.support.resuming_scene import FEATURES, running
from wsrc.card.identity import shorten
from wsrc.errors import ErrorCode
from wsrc.policy.machine import OPEN, Policy
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.relay.effects import Note
from wsrc.relay.names import MAX_PRINCIPAL, MAX_SHOWN, shown_name, written

EVERYTHING = granting(rule("anyone", list(ALL)), hosts=[rule("anyone")])
OTHER = "8949020000000000001"


def holder(world: World, user: Peer) -> str:
    world.card(reader(), features=FEATURES)
    user.hold(iccid=ICCID)
    watching = world.user(who="zoe")
    lease = watching.ask(m.ListCards(id=1), m.ListCardsAck).cards[0].lease
    assert lease is not None
    return lease.holder


@pytest.mark.parametrize(
    ("policy", "who", "name", "shown"),
    [
        (OPEN, None, "bench script", "bench script"),
        (OPEN, None, None, "a user"),
        (OPEN, "ann@example.org", None, "ann@example.org"),
        (OPEN, "ann@example.org", "bench script", "ann@example.org (bench script)"),
        (OPEN, "ann@example.org", "ann@example.org", "ann@example.org"),
        (EVERYTHING, None, "ann@example.org", "(ann@example.org)"),
        (EVERYTHING, None, "ann@example.org (bench script)", "(ann@example.org [bench script])"),
        (EVERYTHING, None, None, "(a user)"),
        (EVERYTHING, "bob", "x) (ann", "bob (x] [ann)"),
        (EVERYTHING, "Bob (admin)", None, "Bob %28admin%29"),
        (EVERYTHING, "bob", "\x1b[31mred", "bob ([31mred)"),
    ],
)
def test_13_others_are_shown_the_principal_and_the_name_it_chose(
    policy: Policy, who: str | None, name: str | None, shown: str
) -> None:
    world = World(policy=policy)
    assert holder(world, world.user(who=who, name=name)) == shown


people = st.one_of(st.none(), st.builds(Principal, st.text(min_size=1, max_size=255)))


@given(people, st.text(max_size=64), people, st.text(max_size=64))
def test_13_no_name_that_a_peer_chooses_is_shown_as_another_principals(
    one: Principal | None, free: str, other: Principal | None, others_free: str
) -> None:
    shown = shown_name(one, free, known=True)
    assert len(shown) <= MAX_SHOWN
    if one != other:
        assert shown != shown_name(other, others_free, known=True)


@given(st.text("ab()%2589", min_size=1, max_size=12), st.text("ab()%2589", min_size=1, max_size=12))
def test_13_principals_that_are_not_the_same_are_written_otherwise(one: str, other: str) -> None:
    assert (written(one) == written(other)) is (one == other)
    assert not set("()") & set(written(one))


def test_13_a_long_principal_is_told_from_one_that_begins_like_it() -> None:
    one, other = "p" * 255, "p" * 254 + "q"
    assert written(one) != written(other)
    assert len(written(one)) == MAX_PRINCIPAL


def test_13_two_hosts_of_a_principal_have_two_names() -> None:
    world = World(policy=EVERYTHING)
    hosts = [
        world.card(reader(f"r{n}", None), who="farm", name=name, instance=str(n))
        for n, name in enumerate(("a", "b", "a"))
    ]
    shown = [host.shown_as for host in hosts]
    assert shown == ["farm (a)", "farm (b)", "farm (a) (2)"]
    assert sum("is another's already" in note for note in world.notes) == 1


def test_13_a_policy_knows_a_host_by_its_principal_alone() -> None:
    policy = granting(
        rule("ann", list(ALL), host="farm"), hosts=[rule("farm"), rule("anyone", label="x*")]
    )
    world = World(policy=policy)
    for n, (who, name) in enumerate((("farm", "a"), ("farm", "a"), (None, "farm"), ("x", "farm"))):
        world.card(reader(f"r{n}", None, label=f"x{n}"), who=who, name=name)
    user = world.user(who="ann")
    listed = user.ask(m.ListCards(id=1), m.ListCardsAck).cards
    assert [(card.label, card.host) for card in listed] == [
        ("x0", "farm (a)"),
        ("x1", "farm (a) (2)"),
    ]


def test_13_under_a_policy_an_id_tells_of_no_twin_and_finds_the_reader_as_before() -> None:
    policy = granting(rule("ann", list(ALL), label="mine"), hosts=[rule("anyone")])
    world = World(policy=policy)
    world.card(reader("r1", OTHER), who="vault")
    host = world.card(
        reader("r1", label="mine"), reader("r2@bench", None, label="mine"), who="farm"
    )
    user = world.user(who="ann")
    cards = user.ask(m.ListCards(id=1), m.ListCardsAck).cards
    assert [card.reader for card in cards] == ["r1@farm (bench)", "r2@farm (bench)"]
    for name in ("r1", "r1@farm (bench)", "r2@bench", "r2@farm (bench)"):
        user.ask(m.Detach(id=9, session=user.hold(reader=name)), m.DetachAck)
    host.leave()
    assert world.user(who="ann").ask(m.ListCards(id=1), m.ListCardsAck).cards == ()


HOST_RULES = granting(
    rule("anyone", list(ALL)), hosts=[rule("farm", iccid="894902*"), rule("open-*")]
)
FOREIGN = "8988211000000430010"


def listed(world: World) -> list[str | None]:
    cards = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards
    return [card.identities.iccid for card in cards]


def warnings(world: World) -> list[str]:
    return [note for note in world.notes if "may not announce" in note]


def test_13_a_card_that_its_host_may_not_announce_is_not_entered_and_others_are() -> None:
    world = World(policy=HOST_RULES)
    card = world.card(reader("r1"), reader("r2", FOREIGN), who="farm")
    error = card.one(m.Error)
    assert (error.id, code_of(error)) == (None, ErrorCode.FORBIDDEN)
    assert shorten(FOREIGN) in error.message
    assert listed(world) == [ICCID]
    assert len(warnings(world)) == 1
    assert world.relay.counts["readers"] == 1


def test_13_a_rogue_host_is_warned_of_once_a_card_and_told_at_each() -> None:
    world = World(policy=HOST_RULES)
    card = world.card(reader("r1", FOREIGN), who="farm")
    for _ in range(5):
        card.report(reader("r1", FOREIGN, in_use=True))
    assert len(warnings(world)) == 1
    card.report(reader("r1", "8988211000000430028"))
    assert len(warnings(world)) == 2
    assert listed(world) == []


def test_13_the_operator_is_warned_and_not_only_told() -> None:
    world = World(policy=HOST_RULES)
    told: list[Note] = []
    perform = world.perform
    world.perform = lambda effects: (  # type: ignore[method-assign]
        told.extend(each for each in effects if isinstance(each, Note)),
        perform(effects),
    )[1]
    world.card(reader("r1", FOREIGN), who="farm")
    assert [note.warns for note in told if "may not announce" in note.sentence] == [True]


@pytest.mark.parametrize("who", [None, "stranger"])
def test_13_a_host_that_no_rule_is_for_announces_nothing(who: str | None) -> None:
    world = World(policy=HOST_RULES)
    world.card(reader("r1"), empty("r2"), who=who)
    assert world.relay.counts["readers"] == 0
    assert listed(world) == []


def test_13_an_update_poses_as_no_card_of_another_either() -> None:
    world = World(policy=HOST_RULES)
    card = world.card(reader("r1"), who="farm")
    user = world.user()
    session = user.hold(iccid=ICCID)
    waiting = world.user()
    waiting.say(m.SelectCard(id=1, iccid=FOREIGN, wait_s=60))
    waiting.one(m.Waiting)
    card.report(reader("r1", FOREIGN))
    ended = user.one(m.SessionEnded)
    assert (ended.session, ended.code) == (session, ErrorCode.FORBIDDEN)
    assert waiting.quiet()
    assert listed(world) == []
    card.report(reader("r1"))
    assert listed(world) == [ICCID]


def test_13_the_card_client_is_told_to_let_go_of_a_card_that_it_may_not_announce() -> None:
    world = World(policy=HOST_RULES)
    card = world.card(reader("r1"), who="farm", features=FEATURES)
    user = world.user()
    select = m.SelectCard(id=1, iccid=ICCID, secret="s" * 32, keep_s=60.0)
    session = user.ask(select, m.SelectCardAck).session
    assert list(card.ends) == [session]
    card.report(reader("r1", FOREIGN))
    assert user.one(m.SessionEnded).code is ErrorCode.FORBIDDEN
    assert card.ends == {}
    claim = m.Resume(id=2, session=session or "", secret="s" * 32, host="farm (bench)", reader="r1")
    assert user.ask(claim, m.SessionEnded).code is ErrorCode.FORBIDDEN
    card.report(reader("r1"))
    user.say(m.SelectCard(id=3, iccid=ICCID))
    user.one(m.SelectCardAck)


def test_13_a_session_that_is_brought_poses_as_none_either() -> None:
    world = World(policy=HOST_RULES)
    card = world.card(
        reader("r1", FOREIGN), who="farm", features=FEATURES, sessions=(running("s"),), auto=False
    )
    assert card.next(m.Error).code is ErrorCode.FORBIDDEN
    assert card.one(m.Detach).session == "s"
    assert world.relay.counts["sessions"] == 0


def test_13_a_reader_without_a_card_is_entered_where_no_card_is_named() -> None:
    world = World(policy=HOST_RULES)
    world.card(empty("r1"), who="farm")
    world.card(empty("r2"), who="open-1")
    identifying = reader("r3", None, state=m.ReaderState.IDENTIFYING)
    card = world.card(identifying, who="farm", name="b")
    assert [slot.info.reader for slot in world.relay._state.slots.values()] == ["r2"]
    assert warnings(world) == []
    assert card.quiet()
    card.report(reader("r3", ICCID))
    assert listed(world) == [ICCID]


@pytest.mark.parametrize(("iccid", "entered"), [(ICCID, [ICCID]), (FOREIGN, [])])
def test_13_a_card_client_of_the_first_form_obeys_too(iccid: str, entered: list[str]) -> None:
    world = World(policy=HOST_RULES)
    card = world.old_card(iccid, who="farm")
    assert card.quiet()
    assert card.closed is None
    assert listed(world) == entered
    assert len(warnings(world)) == 1 - len(entered)


def test_13_what_is_withheld_is_bounded_and_goes_with_its_reader() -> None:
    world = World(policy=HOST_RULES, max_readers_per_card_client=2)
    card = world.card(*(reader(f"r{n}", FOREIGN) for n in range(3)), who="farm")
    assert [error.code for error in card.inbox if isinstance(error, m.Error)] == [
        ErrorCode.FORBIDDEN,
        ErrorCode.FORBIDDEN,
        ErrorCode.TOO_MANY,
    ]
    card.inbox.clear()
    card.say(m.ReaderGone(reader="r0"))
    card.report(reader("r2"))
    assert listed(world) == [ICCID]


def test_13_a_policy_that_lets_more_or_less_be_announced_is_in_force_at_once() -> None:
    world = World(policy=HOST_RULES)
    world.card(reader("r1"), reader("r2", FOREIGN), who="farm")
    user = world.user()
    session = user.hold(iccid=ICCID)
    world.obey(granting(rule("anyone", list(ALL)), hosts=[rule("farm", iccid=FOREIGN)]))
    world.pass_time(1)
    ended = user.one(m.SessionEnded)
    assert (ended.session, ended.code) == (session, ErrorCode.FORBIDDEN)
    assert listed(world) == [FOREIGN]
    world.obey(EVERYTHING)
    world.pass_time(1)
    assert listed(world) == [FOREIGN, ICCID]


def test_13_an_atr_that_is_told_at_the_reset_poses_as_no_other() -> None:
    policy = granting(rule("anyone", [Verb.USE]), hosts=[rule("farm", atr="3b00")])
    world = World(policy=policy)
    card = world.card(reader("r1", atr=type(ATR).fromhex("3b00")), who="farm")
    user = world.user()
    error = user.refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(error) is ErrorCode.FORBIDDEN
    assert listed(world) == []
    assert not card.closed
    assert re.search("may not announce", warnings(world)[0])


def test_13_no_principal_is_written_as_a_shortened_one() -> None:
    other = written("p" * 200)
    assert written(other) != other
    assert len(written(other)) == MAX_PRINCIPAL


def test_13_a_holder_that_a_card_host_alone_names_is_shown_as_one_without_a_principal() -> None:
    world = World(policy=EVERYTHING)
    kept = running("s", holder="ann@example.org (bench)")
    world.card(reader(), features=FEATURES, who="farm", sessions=(kept,))
    lease = world.user(who="zoe").ask(m.ListCards(id=1), m.ListCardsAck).cards[0].lease
    assert lease is not None
    assert lease.holder == "(ann@example.org [bench])"
