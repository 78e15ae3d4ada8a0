# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.noting: tags and comments that users set are kept, shown, and looked at by nobody."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.audit import events
from wsrc.errors import ErrorCode
from wsrc.policy.words import ALL, Verb
from wsrc.protocol import messages as m
from wsrc.relay.effects import Keep
from wsrc.relay.kept import Change, Kept
from wsrc.relay.noting import MAX_PENDING

OTHER = "8949020000099999990"


def noted(user: Peer, iccid: str = ICCID, unset: tuple[str, ...] = (), **tags: str) -> m.ReaderView:
    request = m.SetTags(id=user.new_id(), iccid=iccid, set=tags, unset=unset)
    return user.ask(request, m.SetTagsAck).reader


def listed(user: Peer, **tags: str) -> list[str]:
    ack = user.ask(m.ListCards(id=user.new_id(), tags=tags), m.ListCardsAck)
    return [card.reader or "" for card in ack.cards]


def test_tags_are_set_and_taken_away_and_the_hosts_are_there_again() -> None:
    world = World()
    world.card(reader(tags={"kind": "host"}))
    user = world.user()
    view = noted(user, kind="mine", bench="3")
    assert view.number == 1
    assert (view.tags or {})["kind"] == "mine"
    assert listed(user, kind="mine", bench="3") == ["r1"]
    assert listed(user, kind="host") == []
    assert (noted(user, unset=("kind",)).tags or {})["kind"] == "host"
    assert listed(user, bench="3") == ["r1"]
    noted(user, unset=("bench", "never"))
    assert world.relay._state.kept_tags == {}


def test_a_comment_is_shown_to_all_and_can_go() -> None:
    world = World()
    world.card(reader())
    user = world.user()
    request = m.SetComment(id=1, iccid=ICCID, comment=" PIN is 0000 ")
    assert user.ask(request, m.SetCommentAck).reader.comment == "PIN is 0000"
    (card,) = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards
    assert card.comment == "PIN is 0000"
    assert world.user().select(iccid=ICCID).card.comment == "PIN is 0000"  # type: ignore[union-attr]
    user.ask(m.SetComment(id=2, iccid=ICCID, comment=""), m.SetCommentAck)
    assert world.relay._state.kept_tags == {}


def test_what_is_noted_follows_the_card_and_outlives_the_server() -> None:
    world = World()
    host = world.card(reader("r1"), empty("r2"))
    user = world.user()
    noted(user, kind="mine")
    host.say(m.ReaderReport(reader=empty("r1", insertion=2)))
    host.say(m.ReaderReport(reader=reader("r2", insertion=2)))
    assert listed(user, kind="mine") == ["r2"]
    world.start()
    world.card(reader("r9"), name="other")
    assert listed(world.user(), kind="mine") == ["r9"]


@pytest.mark.parametrize(
    ("info", "identity"),
    [
        (reader(), f"iccid {ICCID}"),
        (reader(iccid=None, eids=("89" + "0" * 30,)), "eid 89" + "0" * 30),
        (reader(iccid=None), "reader r1@bench"),
        (empty(), "reader r1@bench"),
    ],
)
def test_it_is_kept_under_iccid_else_eid_else_host_and_reader(
    info: m.ReaderInfo, identity: str
) -> None:
    world = World()
    host = world.card(info)
    user = world.user()
    request = m.SetTags(id=1, reader="r1", set={"bench": "1"})
    assert (user.ask(request, m.SetTagsAck).reader.tags or {})["bench"] == "1"
    assert world.kept == {identity: Kept({"bench": "1"})}
    host.say(m.ReaderReport(reader=reader(iccid=OTHER, insertion=9)))
    (view,) = user.ask(m.ListReaders(id=2), m.ListReadersAck).readers
    assert "bench" not in (view.tags or {})
    assert view.comment is None


def test_those_who_watch_and_who_wait_have_it_when_it_is_kept() -> None:
    world = World()
    world.card(reader())
    world.keeps_late = True
    user, watcher, waiter, anybody = (world.user() for _ in range(4))
    watcher.ask(m.WatchReaders(id=1, tags={"kind": "mine"}), m.WatchReadersAck)
    waiter.say(m.SelectCard(id=1, tags={"kind": "mine"}, wait_s=60.0))
    anybody.say(m.SelectCard(id=1, tags={"kind": "mine"}, wait_s=60.0, pick=m.Pick.ANY))
    waiter.one(m.Waiting)
    user.say(m.SetTags(id=1, iccid=ICCID, set={"kind": "mine"}))
    assert user.quiet()
    assert watcher.quiet()
    world.keep()
    user.one(m.SetTagsAck)
    assert watcher.next(m.ReaderEvent).reader.iccid == ICCID
    assert waiter.next(m.SelectCardAck).id == 1
    assert anybody.one(m.Waiting)


def test_what_cannot_be_written_changes_nothing_and_is_said() -> None:
    world = World()
    world.card(reader())
    world.keeps_late = True
    user = world.user()
    user.say(m.SetTags(id=1, iccid=ICCID, set={"kind": "mine"}))
    world.keep("The disk is full.")
    failed = user.one(m.Error)
    assert (code_of(failed), failed.message) == (ErrorCode.NOT_KEPT, "The disk is full.")
    assert listed(user, kind="mine") == []
    assert world.relay._state.pending == {}


def test_who_is_gone_meanwhile_is_not_answered_and_the_tags_are_there() -> None:
    world = World()
    host = world.card(reader())
    world.keeps_late = True
    user = world.user()
    user.say(m.SetTags(id=1, iccid=ICCID, set={"kind": "mine"}))
    user.leave()
    host.leave()
    world.keep()
    world.card(reader())
    assert listed(world.user(), kind="mine") == ["r1"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (m.SetTags(id=1, iccid=ICCID), ErrorCode.BAD_MESSAGE),
        (m.SetTags(id=1, iccid=ICCID, set={"host": "x"}), ErrorCode.BAD_MESSAGE),
        (m.SetTags(id=1, iccid=ICCID, set={"k": "a\x07"}), ErrorCode.BAD_MESSAGE),
        (m.SetTags(id=1, iccid=ICCID, set={"k": ""}), ErrorCode.BAD_MESSAGE),
        (m.SetTags(id=1, iccid=ICCID, unset=("K",)), ErrorCode.BAD_MESSAGE),
        (
            m.SetTags(id=1, iccid=ICCID, set={f"k{n}": "v" for n in range(10_000)}),
            ErrorCode.BAD_MESSAGE,
        ),
        (m.SetTags(id=1, iccid=OTHER, set={"k": "v"}), ErrorCode.NO_SUCH_CARD),
        (m.SetTags(id=1, set={"k": "v"}), ErrorCode.NOTHING_SELECTED),
        (m.SetTags(id=1, label="two", set={"k": "v"}), ErrorCode.AMBIGUOUS),
        (m.SetTags(id=1, tags={"host": "be*"}, set={"k": "v"}), ErrorCode.BAD_MESSAGE),
        (m.SetComment(id=1, iccid=ICCID, comment="a\nb"), ErrorCode.BAD_MESSAGE),
        (m.SetComment(id=1, iccid=ICCID, comment="x" * 257), ErrorCode.BAD_MESSAGE),
    ],
)
def test_what_is_not_noted(request_: m.Message, code: ErrorCode) -> None:
    world = World()
    two = {"label": "two"}
    world.card(reader(), reader("r2", "8949020000000000026", **two), reader("r3", None, **two))
    assert code_of(world.user().refused(request_)) is code
    assert world.to_keep == []
    assert world.kept == {}


def test_what_is_not_noted_is_told_to_the_operator() -> None:
    world = World()
    world.user().refused(m.SetComment(id=1, iccid=ICCID, comment="x"))
    assert world.notes[-1] == "a user was refused tags or a comment: no_such_card"


def test_a_card_has_so_many_tags_from_users_and_no_more() -> None:
    world = World()
    world.card(reader())
    user = world.user()
    noted(user, **{f"a{n}": "v" for n in range(32)})
    noted(user, a1="w")
    request = m.SetTags(id=user.new_id(), iccid=ICCID, set={"b": "v"})
    assert code_of(user.refused(request)) is ErrorCode.TOO_MANY
    noted(user, unset=("a1",), b="v")


def test_what_waits_to_be_kept_has_a_bound() -> None:
    world = World()
    world.card(reader())
    world.keeps_late = True
    user = world.user()
    for number in range(MAX_PENDING):
        user.say(m.SetTags(id=number, iccid=ICCID, set={"k": "v"}))
    assert code_of(user.refused(m.SetTags(id=MAX_PENDING, iccid=ICCID, set={"k": "v"}))) is (
        ErrorCode.TOO_MANY
    )
    assert world.to_keep[0] == Keep(1, f"iccid {ICCID}", Change({"k": "v"}))


def test_while_the_server_stops_nothing_is_noted() -> None:
    world = World()
    world.card(reader())
    user = world.user()
    world.perform(world.relay.shut_down(1.0, world.now))
    user.one(m.Restarting)
    request = m.SetTags(id=1, iccid=ICCID, set={"k": "v"})
    assert code_of(user.refused(request)) is ErrorCode.SHUTTING_DOWN


def test_a_policy_says_who_may_and_does_not_look_at_what_users_set() -> None:
    policy = granting(
        rule("ann", [Verb.TAG], label="*"),
        rule("bob", [Verb.LIST], label="*"),
        rule("bob", list(ALL), tag="kind=mine"),
        hosts=[rule("*")],
    )
    world = World(policy=policy)
    world.card(reader(label="a"), who="host")
    ann, bob, cid = (world.user(who=name) for name in ("ann", "bob", "cid"))
    request = m.SetTags(id=1, iccid=ICCID, set={"kind": "mine"})
    assert code_of(bob.refused(request)) is ErrorCode.FORBIDDEN
    assert code_of(cid.refused(request)) is ErrorCode.NO_SUCH_CARD
    ann.ask(request, m.SetTagsAck)
    assert listed(bob, kind="mine") == ["r1@host (bench)"]
    refused = bob.refused(m.SelectCard(id=9, iccid=ICCID))
    assert code_of(refused) is ErrorCode.FORBIDDEN


def test_neither_log_nor_evidence_has_what_was_noted() -> None:
    world = World()
    world.card(reader())
    user = world.user()
    noted(user, kind="hush-1234")
    user.ask(m.SetComment(id=50, iccid=ICCID, comment="PIN is 9876"), m.SetCommentAck)
    told = [each for each in world.events if isinstance(each, events.Noted)]
    assert [each.tags for each in told] == [("kind",), ()]
    said = f"{world.events} {world.notes}"
    assert "9876" not in said
    assert "1234" not in said.replace(ICCID, "")
