# SPDX-License-Identifier: Apache-2.0
"""Requests that wait while cards, nodes and roads come and go (issue 16)."""

import pytest

from tests.support.cluster_world import Cluster
from tests.support.relay_clients import ICCID, SELECT_MF, CardClient, Peer
from tests.support.relay_world import code_of, reader
from wsrc.cluster import items
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

RESUME = ("batch", "cancel", "pcsc", "raw_tpdu", "seal", "share", "resume")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


def waits_for_a_busy_card(cluster: Cluster, at: str) -> tuple[CardClient, Peer]:
    """Have a user of `at` wait for a card of b that another has."""
    card = cluster["b"].card(reader())
    cluster["b"].user().hold(iccid=ICCID)
    user = cluster[at].user()
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    return card, user


def moves(card: CardClient, cluster: Cluster, to: str) -> CardClient:
    """Have a card host lose its node, and come to another."""
    card.leave()
    return cluster[to].card(reader(), before=card)


@pytest.mark.parametrize("to", ["a", "c"])
def test_who_waits_elsewhere_is_given_a_card_where_it_comes_up(cluster: Cluster, to: str) -> None:
    card, user = waits_for_a_busy_card(cluster, "a")
    moves(card, cluster, to)
    cluster.pass_time(1)
    assert [each for each in user.inbox if not isinstance(each, m.Waiting)] == [
        each for each in user.inbox if isinstance(each, m.SelectCardAck) and each.id == 1
    ]
    assert isinstance(user.inbox[-1], m.SelectCardAck)
    assert not cluster["b"].relay.counts["waiting"]


def test_who_asks_before_there_is_a_road_is_given_the_card_when_there_is_one(
    cluster: Cluster,
) -> None:
    cluster.cut.add("b")
    cluster.pass_time(6)
    cluster["b"].card(reader())
    user = cluster["a"].user()
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    cluster.pass_time(20)
    assert all(isinstance(each, m.Waiting) for each in user.inbox)
    user.inbox.clear()
    cluster.cut.clear()
    cluster.pass_time(4)
    assert user.one(m.SelectCardAck).id == 1


def test_news_that_are_lost_are_asked_for(cluster: Cluster) -> None:
    user = cluster["a"].user()
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    cluster.lost = "came"
    cluster["c"].card(reader())
    assert user.quiet()
    cluster.pass_time(5)
    assert user.one(m.SelectCardAck).id == 1


def test_a_session_is_resumed_before_there_is_a_road_to_its_card(cluster: Cluster) -> None:
    card = cluster["b"].card(reader(), features=RESUME, instance="host")
    user = cluster["a"].user(instance="run")
    session = user.select(iccid=ICCID, secret="s", keep_s=60.0).session
    assert session is not None
    cluster.cut.add("a")
    cluster.frozen.add("b")
    cluster.pass_time(6)
    running = m.RunningSession(
        session=session, reader="r1", insertion=1, holder="a user", keep_s=60.0
    )
    cluster["c"].card(reader(), features=RESUME, instance="host", before=card, sessions=(running,))
    user.inbox.clear()
    user.say(m.Resume(id=9, session=session, secret="s", seq=0, host="bench", reader="r1"))
    cluster.pass_time(4)
    cluster.cut.clear()
    cluster.pass_time(4)
    assert user.one(m.Resumed).session == session


def test_what_waits_elsewhere_is_cancelled_there(cluster: Cluster) -> None:
    _, user = waits_for_a_busy_card(cluster, "a")
    user.say(m.Cancel(id=2, target=1))
    assert code_of(user.next(m.Error)) is ErrorCode.CANCELLED
    assert user.one(m.CancelAck).cancelled


def test_what_is_being_cancelled_is_when_its_node_dies(cluster: Cluster) -> None:
    _, user = waits_for_a_busy_card(cluster, "a")
    cluster.frozen.add("b")
    user.say(m.Cancel(id=2, target=1))
    assert user.quiet()
    cluster.pass_time(6)
    assert code_of(user.next(m.Error)) is ErrorCode.CANCELLED
    assert user.one(m.CancelAck).cancelled
    cluster.frozen.clear()
    cluster.pass_time(6)
    assert user.quiet()


def test_a_card_that_comes_up_is_not_for_who_cancels(cluster: Cluster) -> None:
    card, user = waits_for_a_busy_card(cluster, "a")
    cluster.frozen.add("b")
    user.say(m.Cancel(id=2, target=1))
    card.gone = True
    cluster["c"].card(reader())
    cluster.pass_time(6)
    assert code_of(user.next(m.Error)) is ErrorCode.CANCELLED
    assert user.one(m.CancelAck).cancelled
    assert cluster["c"].relay.counts["sessions"] == 0


def test_an_old_connection_does_not_take_the_place_of_a_newer_one(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    old = cluster["a"].user(instance="run")
    cluster["b"].user().hold(iccid=ICCID)
    old.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    cluster.pass_time(1)
    old.one(m.Waiting)
    cluster.frozen.add("a")
    cluster.pass_time(6)
    new = cluster["b"].user(instance="run")
    cluster.thaw("a")
    cluster.pass_time(6)
    assert code_of(old.next(m.Error)) is ErrorCode.FORBIDDEN
    assert new.closed is None
    new.say(m.ListCards(id=1))
    assert new.one(m.ListCardsAck).cards


def test_a_newer_connection_takes_the_place_of_an_old_one(cluster: Cluster) -> None:
    card = cluster["b"].card(reader())
    old = cluster["a"].user(instance="run")
    old.hold(iccid=ICCID)
    cluster.pass_time(1)
    new = cluster["c"].user(instance="run")
    new.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    cluster.pass_time(1)
    assert isinstance(new.inbox[-1], m.SelectCardAck)
    assert isinstance(old.inbox[-1], m.SessionEnded)
    assert card.closed is None


def test_who_is_banned_by_the_node_of_a_card_is_told_so_once(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    operator = cluster["b"].user(who="operator")
    operator.ask(m.Ban(id=1, who="anna", for_s=60.0), m.BanAck)
    user = cluster["a"].user(who="anna")
    error = user.refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(error) is ErrorCode.FORBIDDEN
    assert "banned" in error.message.lower()
    published = cluster.published
    cluster.pass_time(1)
    assert cluster.published < published + 100


def held_elsewhere(cluster: Cluster, keep_s: float) -> tuple[CardClient, Peer, str]:
    """Have a user of a hold a card of b."""
    card = cluster["b"].card(reader(), features=RESUME, instance="host")
    user = cluster["a"].user(instance="run")
    session = user.select(iccid=ICCID, secret="s", keep_s=keep_s).session
    assert session is not None
    return card, user, session


def running(session: str) -> m.RunningSession:
    return m.RunningSession(session=session, reader="r1", insertion=1, holder="a user", keep_s=60.0)


@pytest.mark.parametrize("keep_s", [0.0, 60.0])
def test_what_is_given_back_to_a_node_that_dies_is_given_back(
    cluster: Cluster, keep_s: float
) -> None:
    card, user, session = held_elsewhere(cluster, keep_s)
    cluster.frozen.add("b")
    user.say(m.Detach(id=50, session=session))
    cluster.pass_time(6)
    assert user.next(m.DetachAck).id == 50
    kept = (running(session),) if keep_s else ()
    cluster["c"].card(reader(), features=RESUME, instance="host", before=card, sessions=kept)
    cluster.pass_time(1)
    assert cluster["a"].user().hold(iccid=ICCID)


def test_what_is_given_back_while_it_is_out_of_reach_ends_where_its_card_comes_up(
    cluster: Cluster,
) -> None:
    card, user, session = held_elsewhere(cluster, 60.0)
    card.leave()
    user.one(m.SessionInterrupted)
    user.say(m.Resume(id=49, session=session, secret="s", seq=0, host="bench", reader="r1"))
    user.say(m.Detach(id=50, session=session))
    assert user.one(m.DetachAck).id == 50
    cluster["c"].card(
        reader(), features=RESUME, instance="host", before=card, sessions=(running(session),)
    )
    cluster.pass_time(1)
    assert user.next(m.SessionEnded).id == 49
    assert cluster["a"].user().hold(iccid=ICCID)


def test_a_resume_that_crosses_a_detach_gives_the_card_back(cluster: Cluster) -> None:
    card, user, session = held_elsewhere(cluster, 60.0)
    card.leave()
    user.one(m.SessionInterrupted)
    cluster["c"].card(
        reader(), features=RESUME, instance="host", before=card, sessions=(running(session),)
    )
    cluster.late_each = 1
    user.say(m.Resume(id=49, session=session, secret="s", seq=0, host="bench", reader="r1"))
    user.say(m.Detach(id=50, session=session))
    cluster.pass_time(2)
    cluster.late_each = 0
    cluster.pass_time(6)
    assert user.next(m.DetachAck).id == 50
    assert user.one(m.SessionEnded).id == 49
    assert cluster["b"].user().hold(iccid=ICCID)


def test_what_is_asked_of_a_session_is_answered_when_its_node_dies(cluster: Cluster) -> None:
    _, user, session = held_elsewhere(cluster, 60.0)
    cluster.frozen.add("b")
    user.say(m.Cancel(id=50, session=session, target=49))
    cluster.pass_time(6)
    assert not user.next(m.CancelAck).cancelled
    assert user.one(m.SessionInterrupted).session == session


def test_a_page_that_comes_too_late_is_dropped(cluster: Cluster) -> None:
    cluster.frozen.add("b")
    user = cluster["a"].user()
    user.say(m.ListCards(id=1, pages=8))
    cluster.pass_time(2.5)
    pages = [each for each in user.inbox if isinstance(each, m.ListCardsAck)]
    assert [page.more for page in pages] == [True, False]
    user.inbox.clear()
    cluster.thaw("b", hears_first=True)
    cluster.pass_time(6)
    assert user.quiet()


@pytest.mark.parametrize("hears_first", [False, True])
def test_a_node_that_was_frozen_for_long_ends_nothing_that_goes_on_elsewhere(
    cluster: Cluster, *, hears_first: bool
) -> None:
    card, user, session = held_elsewhere(cluster, 60.0)
    cluster.frozen.add("b")
    cluster.pass_time(6)
    assert user.one(m.SessionInterrupted).session == session
    cluster["b"].part(card)
    cluster["c"].card(
        reader(), features=RESUME, instance="host", before=card, sessions=(running(session),)
    )
    user.say(m.Resume(id=49, session=session, secret="s", seq=0, host="bench", reader="r1"))
    cluster.pass_time(24)
    assert user.one(m.Resumed).session == session
    cluster.thaw("b", hears_first=hears_first)
    cluster.pass_time(90)
    assert user.quiet()
    answer = user.ask(m.CApdu(id=50, session=session, seq=1, command=SELECT_MF), m.RApdu)
    assert answer.session == session


def test_each_node_serves_its_own_while_nothing_is_carried(cluster: Cluster) -> None:
    cluster["b"].card(reader(), name="host-b")
    cluster["c"].card(reader("r2", iccid="8949020000012345686"), name="host-c")
    users = {name: cluster[name].user() for name in ("a", "b")}
    users["a"].say(m.WatchReaders(id=90))
    rest = users["a"].next(m.WatchReadersAck).next
    users["a"].say(m.ListReaders(id=91, after=rest or 0, pages=8))
    cluster.pass_time(1)
    cluster.cut |= {"a", "b", "c"}
    for node in cluster.nodes.values():
        node.perform(node.relay.carried(node.now, is_there=False))
    cluster.pass_time(10)
    session = users["b"].hold(iccid=ICCID)
    users["b"].ask(m.CApdu(id=90, session=session, command=SELECT_MF), m.RApdu)
    cluster.cut.clear()
    for node in cluster.nodes.values():
        node.perform(node.relay.carried(node.now, is_there=True))
    cluster.pass_time(3)
    assert all(all(node.relay.nodes.values()) for node in cluster.nodes.values())
    users["a"].say(m.ListCards(id=92, pages=8))
    cluster.pass_time(1)
    pages = [each for each in users["a"].inbox if isinstance(each, m.ListCardsAck)]
    assert [card.host for page in pages for card in page.cards] == ["host-b", "host-c"]
    events = [each for each in users["a"].inbox if isinstance(each, m.ReaderEvent)]
    changes = [each.change for each in events if each.reader.host == "host-b"]
    assert changes.count(m.Change.ADDED) == changes.count(m.Change.REMOVED) == 1


def test_a_node_says_nothing_of_a_session_that_goes_on_with_another(cluster: Cluster) -> None:
    card, user, session = held_elsewhere(cluster, 60.0)
    cluster["c"].card(
        reader(),
        name="other",
        features=RESUME,
        instance="host",
        before=card,
        sessions=(running(session),),
    )
    user.say(m.Resume(id=49, session=session, secret="s", seq=0, host="other", reader="r1"))
    assert user.one(m.Resumed).session == session
    card.leave()
    cluster.pass_time(90)
    assert user.quiet()


def test_what_a_dead_node_may_have_done_is_not_done_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = cluster["b"].card(reader())
    cluster["b"].user().hold(iccid=ICCID)
    beyond = cluster["b"].relay._beyond
    carry = beyond.carry

    def dies_when_it_answers(node: str, item: items.Item) -> None:
        if isinstance(item, items.Tell):
            cluster.frozen.add("b")
        else:
            carry(node, item)

    monkeypatch.setattr(beyond, "carry", dies_when_it_answers)
    operator = cluster["a"].user()
    operator.say(m.Revoke(id=1, iccid=ICCID))
    assert cluster.frozen
    card.gone = True
    cluster["c"].card(reader())
    holder = cluster["c"].user()
    holder.hold(iccid=ICCID)
    cluster.pass_time(8)
    assert holder.quiet()
    error = operator.one(m.Error)
    assert code_of(error) is ErrorCode.CARD_CLIENT_GONE
    assert "may have done" in error.message
