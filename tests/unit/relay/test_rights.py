# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.rights: which verb each request needs, and what is said where it is lacking."""

from functools import partial
from typing import Any

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.steps import steps
from wsrc.audit.events import Denied
from wsrc.card.slot import Disposition, Initialization, ResetKind, Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.policy.words import ALL, Verb
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import MAY_SAY, Phase, Speaker
from wsrc.relay.rights import NEEDS

A_LOOK = 12
"""Lines of code that it takes to look rights up."""

ALL_CARDS = rule("host-*")
SHARED = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "seal", "share")

FORWARDED: list[tuple[type[m.Message], dict[str, Any], set[Verb]]] = [
    (m.CApdu, {"command": Octets(b"\x00\xa4\x00\x04")}, set()),
    (m.Batch, {"steps": (m.Step(Octets(b"\x00\xa4\x00\x04")),)}, set()),
    (m.ResetReq, {}, {Verb.RESET}),
    (m.ResetReq, {"kind": ResetKind.WARM}, {Verb.RESET}),
    (m.Status, {}, set()),
    (m.Control, {"number": 1, "data": Octets()}, {Verb.CONTROL}),
    (m.GetAttribute, {"name": "ATTR_ATR_STRING"}, {Verb.ATTRIBUTES}),
    (m.SetAttribute, {"name": "ATTR_X", "value": Octets()}, {Verb.ATTRIBUTES}),
    (m.BeginTransaction, {}, set()),
    (m.EndTransaction, {}, set()),
    (m.EndTransaction, {"disposition": Disposition.RESET}, {Verb.RESET}),
    (m.EndTransaction, {"disposition": Disposition.UNPOWER}, {Verb.RESET}),
    (m.EndTransaction, {"disposition": Disposition.EJECT}, {Verb.RESET}),
    (m.Reconnect, {}, set()),
    (m.Reconnect, {"initialization": Initialization.RESET}, {Verb.RESET}),
    (m.Reconnect, {"initialization": Initialization.UNPOWER}, {Verb.RESET}),
    (m.Reconnect, {"share": Share.SHARED}, {Verb.SHARE}),
    (
        m.Reconnect,
        {"share": Share.SHARED, "initialization": Initialization.RESET},
        {Verb.SHARE, Verb.RESET},
    ),
]


def lab(*may: Verb, who: str = "ann", **cards: str) -> World:
    """A world where somebody may do so much with all cards."""
    world = World(policy=granting(rule(who, may, **cards), hosts=[ALL_CARDS]))
    world.card(reader(label="one"), who="host-1", features=SHARED)
    return world


def forbidden(user: Peer, request: m.Message) -> m.Error:
    error = user.refused(request)
    assert code_of(error) is ErrorCode.FORBIDDEN
    assert error.outcome is Outcome.NOT_EXECUTED
    return error


def test_13_every_message_of_a_user_has_its_line() -> None:
    said = MAY_SAY[Speaker.USER, Phase.GREETING] | MAY_SAY[Speaker.USER, Phase.OPEN]
    assert set(NEEDS) == said


def test_13_every_verb_in_a_line_is_one_and_those_of_this_protocol_are_all_in_some() -> None:
    named = {verb for verb in Verb if any(f"`{verb}`" in text for text in NEEDS.values())}
    assert named == ALL


@pytest.mark.parametrize(("kind", "fields", "needed"), FORWARDED)
def test_13_a_request_of_a_session_needs_its_verbs_and_no_more(
    kind: Any, fields: dict[str, Any], needed: set[Verb]
) -> None:
    for lacking in ALL - {Verb.LIST, Verb.USE}:
        world = lab(*(ALL - {lacking}))
        user = world.user(who="ann")
        session = user.hold(iccid=ICCID)
        request = kind(id=user.new_id(), session=session, **fields)
        if lacking in needed:
            error = forbidden(user, request)
            assert error.session == session
            assert f"'{lacking}'" in error.message
        else:
            user.say(request)
            assert not isinstance(user.next(m.Message), m.Error)


@pytest.mark.parametrize(
    ("share", "verb"),
    [(Share.EXCLUSIVE, Verb.USE), (Share.SHARED, Verb.SHARE), (Share.DIRECT, Verb.DIRECT)],
)
def test_13_a_card_is_had_in_the_way_that_is_granted(share: Share, verb: Verb) -> None:
    select = m.SelectCard(id=1, iccid=ICCID, share=share, wait_s=60)
    assert lab(verb).user(who="ann").ask(select, m.SelectCardAck).session
    error = forbidden(lab(*(ALL - {verb})).user(who="ann"), select)
    assert f"'{verb}'" in error.message
    assert "ann" in error.message
    assert "operator" in error.message


def test_13_what_is_lacking_is_said_to_whoever_has_no_name_too() -> None:
    error = forbidden(lab(Verb.LIST, who="anyone").user(), m.SelectCard(id=1, iccid=ICCID))
    assert "no name" in error.message


def test_13_who_may_not_list_a_card_is_answered_as_if_it_were_not_there() -> None:
    for world in (lab(*ALL, label="other"), lab(*ALL, who="bob")):
        user = world.user(who="ann")
        assert user.ask(m.ListCards(id=1), m.ListCardsAck).cards == ()
        assert user.ask(m.ListReaders(id=2), m.ListReadersAck).readers == ()
        error = user.refused(m.SelectCard(id=3, iccid=ICCID))
        assert code_of(error) is ErrorCode.NO_SUCH_CARD
        assert error.outcome is None


@pytest.mark.parametrize("share", [Share.SHARED, Share.EXCLUSIVE])
def test_13_who_may_not_reset_leaves_a_shared_card_as_it_is(share: Share) -> None:
    world = lab(Verb.USE, Verb.SHARE)
    card = world.card(reader("r2", "8949020000000000001"), who="host-2", features=SHARED)
    user = world.user(who="ann")
    session = user.hold(iccid="8949020000000000001", share=share.value)
    card.auto = False
    user.say(m.Detach(id=9, session=session, disposition=Disposition.UNPOWER))
    left = Disposition.LEAVE if share is Share.SHARED else Disposition.UNPOWER
    assert card.next(m.Detach).disposition is left


def test_13_a_connection_that_is_lost_resets_no_shared_card_either() -> None:
    world = lab(Verb.SHARE)
    card = world.card(reader("r2", "8949020000000000001"), who="host-2", features=SHARED)
    user = world.user(who="ann")
    user.hold(iccid="8949020000000000001", share="shared")
    card.auto = False
    user.leave()
    assert card.next(m.Detach).disposition is Disposition.LEAVE


def test_13_a_command_asks_no_policy() -> None:
    few = granting(rule("ann", [Verb.USE]), hosts=[ALL_CARDS])
    many = granting(
        *(rule(f"*{n}*", [Verb.USE]) for n in range(500)), few.grants[0], hosts=[ALL_CARDS]
    )
    took = []
    for policy in (few, many):
        world = World(policy=policy)
        world.card(reader(), who="host-1", features=SHARED)
        user = world.user(who="ann")
        session = user.hold(iccid=ICCID)
        user.command(session)
        took.append(steps(lambda user=user, session=session: user.command(session)))  # type: ignore[misc]
    assert took[0] == took[1]


def test_13_a_user_of_the_first_form_obeys_too() -> None:
    world = lab(Verb.LIST)
    user = world.user(first_form=True, who="ann")
    user.say(m.ListCards())
    assert len(user.one(m.ListCardsAck).cards) == 1
    user.say(m.SelectCard(id_type="ICCID", id_str=ICCID))
    error = user.one(m.Error)
    assert (code_of(error), error.outcome) == (ErrorCode.FORBIDDEN, Outcome.NOT_EXECUTED)
    stranger = world.user(first_form=True, who="bob")
    stranger.say(m.ListCards())
    assert stranger.one(m.ListCardsAck).cards == ()
    stranger.say(m.SelectCard(id_type="ICCID", id_str=ICCID))
    assert code_of(stranger.one(m.Error)) is ErrorCode.NO_SUCH_CARD


@pytest.mark.parametrize("form", list(m.ReaderForm))
@pytest.mark.parametrize("cards", [0, 2])
def test_13_who_may_watch_nothing_is_refused_whatever_cards_there_are(
    form: m.ReaderForm, cards: int
) -> None:
    rules = rule("ann", [Verb.USE]), rule("bob", [Verb.EVENTS], label="x")
    world = World(policy=granting(*rules, hosts=[ALL_CARDS]))
    world.card(*(reader(f"r{n}") for n in range(cards)), who="host-1")
    refused = world.user(who="ann").refused(m.WatchReaders(id=1, form=form))
    assert (refused.code, refused.outcome) == (ErrorCode.FORBIDDEN, Outcome.NOT_EXECUTED)
    assert refused.message.startswith("ann may not watch any reader, which needs 'events'")
    assert [each.code for each in world.events if isinstance(each, Denied)] == ["forbidden"]
    world.user(who="bob").ask(m.WatchReaders(id=1, form=form), m.WatchReadersAck)


def test_13_a_watch_that_is_not_allowed_any_more_ends_with_the_reason() -> None:
    given = granting(rule("ann", [Verb.USE, Verb.EVENTS]), hosts=[ALL_CARDS])
    world = World(policy=given)
    card = world.card(reader("r1"), who="host-1")
    user, other = world.user(who="ann"), world.user(who="ann")
    user.ask(m.WatchReaders(id=1), m.WatchReadersAck)
    world.obey(granting(rule("ann", [Verb.USE]), hosts=[ALL_CARDS]))
    world.pass_time(1.0)
    (over,) = [each for each in user.inbox if isinstance(each, m.Error)]
    assert (over.code, over.id) == (ErrorCode.FORBIDDEN, None)
    assert other.quiet()
    user.inbox.clear()
    card.report(reader("r1", None, insertion=2))
    assert user.quiet()
    world.obey(given)
    world.pass_time(1.0)
    assert user.quiet()
    user.ask(m.WatchReaders(id=2), m.WatchReadersAck)


def test_13_only_what_may_be_watched_is_told_of() -> None:
    policy = granting(
        rule("ann", [Verb.EVENTS], label="one"), rule("ann", [Verb.USE]), hosts=[ALL_CARDS]
    )
    world = World(policy=policy)
    card = world.card(reader("r1", label="one"), reader("r2", None), who="host-1")
    user = world.user(who="ann")
    ack = user.ask(m.WatchReaders(id=1), m.WatchReadersAck)
    assert [view.label for view in ack.readers or ()] == ["one"]
    assert len(user.ask(m.ListReaders(id=2), m.ListReadersAck).readers) == 2
    card.report(reader("r2", None, insertion=2))
    assert user.quiet()
    card.report(reader("r2", None, insertion=2, label="one"))
    assert user.one(m.ReaderEvent).change is m.Change.ADDED
    card.report(reader("r1", label="two"))
    assert user.one(m.ReaderEvent).change is m.Change.REMOVED
    assert len(user.ask(m.ListReaders(id=3), m.ListReadersAck).readers) == 2


@pytest.mark.parametrize("by", ["iccid", "label", "reader", "any"])
def test_13_a_hidden_card_takes_the_work_of_an_absent_one(by: str) -> None:
    rules = [rule(f"*{n}*", [Verb.USE]) for n in range(500)]
    policy = granting(*rules, rule("ann", [Verb.USE], label="mine"), hosts=[ALL_CARDS])
    world = World(policy=policy)
    world.card(reader("r1", label="theirs"), who="host-1")
    user = world.user(who="ann")
    hidden = {"iccid": ICCID, "label": "theirs", "reader": "r1", "any": ICCID}[by]
    other = "8949020000012345686"
    absent = {"iccid": other, "label": "others", "reader": "r9", "any": other}[by]

    def refused(value: str, **more: float) -> None:
        select = m.SelectCard(id=user.new_id(), **{by: value}, **more)  # type: ignore[arg-type]
        user.say(select)
        user.inbox.clear()
        if more:
            user.say(m.Cancel(id=user.new_id(), target=select.id or 0))
            user.inbox.clear()

    for more in ({}, {"wait_s": 60.0}):
        refused(hidden, **more)
        took = [steps(partial(refused, each, **more)) for each in (hidden, absent)]
        assert 0 <= took[0] - took[1] <= A_LOOK * 6


def test_a_sealed_command_of_which_the_server_is_told_that_it_resets_needs_that_right() -> None:
    """Its card host refuses it as well, for there is no such command in the box."""
    world = lab(Verb.LIST, Verb.USE)
    ann = world.user(who="ann")
    session = ann.hold(label="one")
    asked = m.Sealed(id=9, seq=1, session=session, of="c_apdu", box=b"b", resets=True)
    assert "reset" in forbidden(ann, asked).message
