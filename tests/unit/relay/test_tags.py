# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.tags: which tags a card is shown with, found by and judged by."""

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.slot import CardProtocol
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.policy.machine import Policy, Rule
from wsrc.policy.patterns import Cards, pattern_of
from wsrc.policy.words import ALL
from wsrc.protocol import messages as m

FAMILY = "8031a073be21136743200718000001"
OTHER = "8949020000099999990"


def tags_of(user: Peer, **by: object) -> list[dict[str, str]]:
    """Return the tags of the readers that match."""
    asked = m.ListReaders(id=user.new_id(), **by)  # type: ignore[arg-type]  # fields by name
    return [dict(each.tags or {}) for each in user.ask(asked, m.ListReadersAck).readers]


def listed(user: Peer, **tags: str) -> list[str]:
    """Return the readers of the cards that have these tags."""
    ack = user.ask(m.ListCards(id=user.new_id(), tags=tags), m.ListCardsAck)
    return [card.reader or "" for card in ack.cards]


def test_what_is_known_of_a_card_are_tags() -> None:
    world = World()
    euicc = reader("r1", protocol=CardProtocol.T0, eids=("89" + "0" * 30,))
    tap = reader("r2", None, atr=Octets.fromhex("3b8180018080"), protocol=CardProtocol.T1)
    world.card(euicc, tap, empty("r3"))
    assert tags_of(world.user()) == [
        {"card": "euicc", "protocol": "T0", "atr_family": FAMILY, "host": "bench"},
        {"card": "contactless", "protocol": "T1", "atr_family": "80", "host": "bench"},
        {"host": "bench"},
    ]


def test_of_a_card_that_is_not_identified_nothing_is_derived() -> None:
    world = World()
    world.card(reader("r1", None, state=m.ReaderState.IDENTIFYING))
    assert tags_of(world.user()) == [{"host": "bench"}]


def test_a_host_of_the_first_form_has_derived_tags_as_well() -> None:
    world = World()
    world.old_card()
    (tags,) = tags_of(world.user())
    assert tags["card"] == "uicc"
    assert tags["host"]


def test_a_host_sets_tags_but_no_derived_one() -> None:
    world = World()
    world.card(reader(tags={"kind": "sgp22", "card": "other", "host": "mine"}))
    (tags,) = tags_of(world.user())
    assert (tags["kind"], tags["card"], tags["host"]) == ("sgp22", "uicc", "bench")


@pytest.mark.parametrize(
    "tags",
    [{"kind": "a\nb"}, {"Kind": "a"}, {"kind": ""}, {f"k{n}": "v" for n in range(10_000)}],
)
def test_a_reader_with_wrong_tags_is_refused(tags: dict[str, str]) -> None:
    world = World()
    host = world.card(reader("r1", tags=tags), reader("r2", OTHER))
    assert code_of(host.next(m.Error)) is ErrorCode.BAD_MESSAGE
    assert listed(world.user()) == ["r2"]


def test_cards_are_listed_by_tags_all_of_which_match() -> None:
    world = World()
    both = {"kind": "sgp22", "operator": "orange"}
    world.card(reader("r1", tags=both), reader("r2", OTHER, tags={"kind": "sgp22"}))
    user = world.user()
    assert listed(user, kind="sgp22") == ["r1", "r2"]
    assert listed(user, kind="sgp22", operator="orange") == ["r1"]
    assert listed(user, kind="sgp22", operator="ora*") == ["r1"]
    assert listed(user, kind="sgp22", operator="") == ["r2"]
    assert listed(user, host="bench", card="u*") == ["r1", "r2"]
    assert listed(user, kind="SGP22") == listed(user, unheard="of") == []
    assert listed(user, kind="gp22") == []


@pytest.mark.parametrize(
    "tags", [{"Kind": "x"}, {"k*": "x"}, {"k": "x" * 257}, {f"k{n}": "" for n in range(10_000)}]
)
def test_who_looks_for_what_is_no_tag_is_told(tags: dict[str, str]) -> None:
    user = World().user()
    for number, kind in enumerate((m.ListCards, m.SelectCard, m.WatchReaders)):
        assert code_of(user.refused(kind(id=number, tags=tags))) is ErrorCode.BAD_MESSAGE


def test_a_card_is_selected_by_a_tag() -> None:
    world = World()
    world.card(reader("r1", tags={"kind": "sgp22"}), reader("r2", OTHER, tags={"kind": "gsma"}))
    user = world.user()
    ack = user.ask(m.SelectCard(id=1, tags={"kind": "gsma"}), m.SelectCardAck)
    assert ack.card is not None
    assert (ack.card.reader, (ack.card.tags or {})["kind"]) == ("r2", "gsma")
    wrong = user.refused(m.SelectCard(id=2, tags={"kind": "nothing"}))
    assert code_of(wrong) is ErrorCode.NO_SUCH_CARD
    assert "tag kind=nothing" in wrong.message
    assert code_of(user.refused(m.SelectCard(id=3, tags={"host": "bench"}))) is ErrorCode.AMBIGUOUS
    for value in ("gs*", " "):
        why = user.refused(m.SelectCard(id=4, tags={"kind": value}))
        assert code_of(why) is ErrorCode.BAD_MESSAGE


def test_the_card_host_is_told_which_card_was_found_by_a_tag() -> None:
    world = World()
    host = world.card(reader(tags={"kind": "sgp22"}), auto=False)
    world.user().say(m.SelectCard(id=1, tags={"kind": "sgp22"}))
    assert host.next(m.Attach).iccid == ICCID


def test_a_watcher_is_told_of_a_card_when_it_has_the_tag_and_when_it_loses_it() -> None:
    world = World()
    host = world.card(reader())
    user = world.user()
    user.ask(m.WatchReaders(id=1, tags={"kind": "sgp22"}), m.WatchReadersAck)
    host.say(m.ReaderReport(reader=reader(tags={"other": "x"})))
    assert user.quiet()
    host.say(m.ReaderReport(reader=reader(tags={"kind": "sgp22"})))
    assert (user.one(m.ReaderEvent).reader.tags or {})["kind"] == "sgp22"
    host.say(m.ReaderReport(reader=reader()))
    assert "kind" not in (user.one(m.ReaderEvent).reader.tags or {})


def test_who_waits_for_a_tag_is_given_the_card_that_gets_it() -> None:
    world = World()
    host = world.card(reader())
    user = world.user()
    user.say(m.SelectCard(id=1, tags={"kind": "sgp22"}, wait_s=60.0))
    assert user.one(m.Waiting).position == 1
    host.say(m.ReaderReport(reader=reader(tags={"kind": "sgp22"})))
    assert user.one(m.SelectCardAck).id == 1


def policy(tag: str, *hosts: str) -> Policy:
    """Let `ida` use the cards with a tag, and hosts announce those of which all tags are given."""
    grant = Rule(1, ("ida",), Cards((pattern_of("tag", [tag]),)), ALL)
    rules = [Rule(2, ("anyone",), Cards((pattern_of("tag", list(hosts)),) if hosts else ()))]
    return Policy((grant,), rules)


@pytest.mark.parametrize("tag", ["kind=sgp22", "kind=*", "card=uicc", "atr_family=8031*"])
def test_a_policy_looks_at_tags(tag: str) -> None:
    world = World(policy=policy(tag))
    world.card(reader("r1", tags={"kind": "sgp22"}))
    assert listed(world.user(who="ida"), card="uicc") == ["r1@(bench)"]
    assert listed(world.user(who="eve"), card="uicc") == []


def test_a_host_rule_is_of_the_tags_that_the_host_sets() -> None:
    world = World(policy=policy("card=uicc", "kind=sgp22"))
    host = world.card(
        reader("r1", tags={"kind": "sgp22"}),
        reader("r2", OTHER, tags={"kind": "sgp22", "vip": "yes"}),
    )
    assert code_of(host.next(m.Error)) is ErrorCode.FORBIDDEN
    assert listed(world.user(who="ida")) == ["r1@(bench)"]


def test_a_session_ends_when_the_tag_that_allowed_it_goes() -> None:
    world = World(policy=policy("kind=sgp22"))
    host = world.card(reader(tags={"kind": "sgp22"}))
    user = world.user(who="ida")
    user.hold(iccid=ICCID)
    host.say(m.ReaderReport(reader=reader()))
    ended = user.one(m.SessionEnded)
    assert ended.code is ErrorCode.FORBIDDEN
