# SPDX-License-Identifier: Apache-2.0
"""A card with one node, its user with another (issue 16)."""

import msgspec
import pytest

from tests.support.cluster_world import Cluster
from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, SELECT_MF
from tests.support.relay_world import code_of, reader
from wsrc.cluster.roads import MAX_NODES, Said
from wsrc.errors import ErrorCode, Outcome
from wsrc.policy.words import ALL
from wsrc.protocol import messages as m

RESUME = ("batch", "cancel", "pcsc", "raw_tpdu", "seal", "share", "resume")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


def test_a_card_of_another_node_is_selected_and_used(cluster: Cluster) -> None:
    card = cluster["b"].card(reader())
    user = cluster["a"].user()
    session = user.hold(iccid=ICCID)
    answer = user.ask(m.CApdu(id=user.new_id(), session=session, command=SELECT_MF), m.RApdu)
    assert answer.session == session
    assert user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
    assert card.quiet() or True


def test_a_card_that_is_nowhere_is_refused_at_once(cluster: Cluster) -> None:
    user = cluster["a"].user()
    error = user.refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(error) is ErrorCode.NO_SUCH_CARD


def test_who_waits_is_given_a_card_that_comes_up_elsewhere(cluster: Cluster) -> None:
    user = cluster["a"].user()
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    cluster["c"].card(reader())
    cluster.pass_time(1)
    assert user.one(m.SelectCardAck).id == 1


def test_by_label_all_are_asked(cluster: Cluster) -> None:
    cluster["b"].card(reader(label="blue"))
    user = cluster["a"].user()
    assert user.hold(label="blue")


def test_a_label_on_two_nodes_is_ambiguous(cluster: Cluster) -> None:
    cluster["b"].card(reader(label="blue"))
    cluster["c"].card(reader(iccid="8949020000012345686", label="blue"), name="other")
    user = cluster["a"].user()
    error = user.refused(m.SelectCard(id=1, label="blue"))
    assert code_of(error) is ErrorCode.AMBIGUOUS
    assert len(error.candidates or ()) == 2


def test_any_is_taken_where_most_are_free(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    cluster["c"].card(reader("r2", iccid="8949020000012345686"), reader("r3", iccid=None), name="o")
    user = cluster["a"].user()
    ack = user.ask(m.SelectCard(id=1, pick=m.Pick.ANY), m.SelectCardAck)
    assert ack.card.host == "o"


def test_the_session_goes_on_when_the_users_node_dies(cluster: Cluster) -> None:
    cluster["b"].card(reader(), features=RESUME, instance="host")
    user = cluster["a"].user(instance="run")
    ack = user.select(iccid=ICCID, secret="s", keep_s=60.0)
    assert ack.keep_s
    session = ack.session
    cluster.frozen.add("a")
    cluster.pass_time(6)
    again = cluster["c"].user(instance="run")
    resumed = again.ask(
        m.Resume(id=9, session=session, secret="s", seq=0, host="bench", reader="r1"), m.Resumed
    )
    assert resumed.session == session
    answer = again.ask(m.CApdu(id=10, session=session, seq=1, command=SELECT_MF), m.RApdu)
    assert answer.session == session


def test_the_session_goes_on_when_the_cards_node_dies(cluster: Cluster) -> None:
    card = cluster["b"].card(reader(), features=RESUME, instance="host")
    user = cluster["a"].user(instance="run")
    ack = user.select(iccid=ICCID, secret="s", keep_s=60.0)
    session = ack.session
    cluster.frozen.add("b")
    cluster.pass_time(6)
    assert user.one(m.SessionInterrupted).session == session
    user.say(m.Resume(id=9, session=session, secret="s", seq=0, host="bench", reader="r1"))
    assert user.quiet()
    running = m.RunningSession(
        session=session, reader="r1", insertion=1, holder="a user", keep_s=60.0
    )
    cluster["c"].card(reader(), features=RESUME, instance="host", before=card, sessions=(running,))
    cluster.pass_time(1)
    assert user.one(m.Resumed).session == session


def test_a_list_has_the_cards_of_all_nodes(cluster: Cluster) -> None:
    cluster["a"].card(reader(), name="host-a")
    cluster["b"].card(reader("r2", iccid="8949020000012345686"), name="host-b")
    cluster["c"].card(reader("r3", iccid=None), name="host-c")
    user = cluster["a"].user()
    user.say(m.ListCards(id=1, pages=8))
    cluster.pass_time(1)
    pages = [each for each in user.inbox if isinstance(each, m.ListCardsAck)]
    hosts = [card.host for page in pages for card in page.cards]
    assert hosts == ["host-a", "host-b", "host-c"]
    assert [page.more for page in pages] == [True, True, False]
    assert pages[-1].next is None
    assert all(page.id == 1 and not page.unanswered for page in pages)


def test_a_list_says_which_node_does_not_answer(cluster: Cluster) -> None:
    cluster["a"].card(reader(), name="host-a")
    cluster["c"].card(reader("r3", iccid=None), name="host-c")
    cluster.frozen.add("b")
    user = cluster["a"].user()
    user.say(m.ListCards(id=1, pages=8))
    cluster.pass_time(4)
    pages = [each for each in user.inbox if isinstance(each, m.ListCardsAck)]
    assert [card.host for page in pages for card in page.cards] == ["host-a", "host-c"]
    assert pages[-1].unanswered == ("b",)


def test_who_watches_hears_of_all_nodes(cluster: Cluster) -> None:
    cluster["a"].card(reader(), name="host-a")
    cluster["b"].card(reader("r2", iccid="8949020000012345686"), name="host-b")
    user = cluster["a"].user()
    user.say(m.WatchReaders(id=1))
    ack = user.next(m.WatchReadersAck)
    assert [each.host for each in ack.readers or ()] == ["host-a"]
    rest = user.ask(m.ListReaders(id=2, after=ack.next or 0), m.ListReadersAck)
    assert rest.instance == ack.instance
    numbers = [each.number for each in (*(ack.readers or ()), *rest.readers)]
    assert len(set(numbers)) == 2
    card = cluster["c"].card(reader("r3", iccid=None), name="host-c")
    event = user.one(m.ReaderEvent)
    assert (event.seq, event.change, event.reader.host) == (1, m.Change.ADDED, "host-c")
    card.leave()
    events = [each for each in user.inbox if isinstance(each, m.ReaderEvent)]
    assert events[-1].change is m.Change.REMOVED
    assert events[-1].reader.number == event.reader.number
    assert [each.seq for each in events] == list(range(2, 2 + len(events)))
    user.inbox.clear()
    cluster.frozen.add("b")
    cluster.pass_time(6)
    gone = user.one(m.ReaderEvent)
    assert (gone.change, gone.reader.host) == (m.Change.REMOVED, "host-b")


def test_a_node_that_comes_later_is_watched(cluster: Cluster) -> None:
    cluster["c"].card(reader("r3", iccid=None), name="host-c")
    cluster.cut.add("c")
    cluster.pass_time(6)
    user = cluster["a"].user()
    user.say(m.WatchReaders(id=1))
    assert user.one(m.WatchReadersAck).readers == ()
    cluster.cut.clear()
    cluster.pass_time(3)
    event = user.one(m.ReaderEvent)
    assert (event.change, event.reader.host) == (m.Change.ADDED, "host-c")


def test_a_hidden_card_of_another_node_is_none(cluster: Cluster) -> None:
    """Each node judges by its own policy, and the users of others by their principals."""
    cluster["b"].obey(granting(rule("ida", list(ALL)), hosts=[rule("*")]))
    cluster["b"].card(reader(), who="farm")
    assert cluster["a"].user(who="ida").hold(iccid=ICCID)
    error = cluster["c"].user(who="eve").refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(error) is ErrorCode.NO_SUCH_CARD


def test_a_select_is_cancelled_wherever_it_is(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    holder, user = cluster["b"].user(), cluster["a"].user()
    session = holder.hold(iccid=ICCID)
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    assert user.one(m.Waiting).position == 1
    user.say(m.Cancel(id=2, target=1))
    answers = {each.id: each for each in user.inbox}
    assert isinstance(answers[2], m.CancelAck)
    assert answers[2].cancelled
    assert isinstance(answers[1], m.Error)
    user.inbox.clear()
    holder.ask(m.Detach(id=9, session=session), m.DetachAck)
    assert user.quiet()
    assert cluster["a"].relay.beside["elsewhere"] == 0


def test_a_session_that_cannot_go_on_ends_with_the_node_of_its_card(cluster: Cluster) -> None:
    card = cluster["b"].card(reader(), auto=True)
    user = cluster["a"].user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    user.say(m.CApdu(id=8, session=session, command=SELECT_MF))
    cluster.frozen.add("b")
    cluster.pass_time(6)
    error, ended = user.next(m.Error), user.one(m.SessionEnded)
    assert (error.id, error.outcome) == (8, Outcome.UNKNOWN)
    assert (ended.session, ended.code) == (session, ErrorCode.CARD_CLIENT_GONE)


def test_who_leaves_gives_back_what_is_elsewhere(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    user = cluster["a"].user()
    user.hold(iccid=ICCID)
    assert cluster["b"].relay.beside["guests"] == 1
    user.leave(goodbye=True)
    assert cluster["b"].relay.beside["guests"] == 0
    assert cluster["b"].relay.counts["sessions"] == 0
    assert cluster["c"].user().hold(iccid=ICCID)


def test_a_host_of_another_node_is_drained(cluster: Cluster) -> None:
    cluster["b"].card(reader(), name="bench")
    operator = cluster["a"].user(who="root")
    error = operator.refused(m.Drain(id=1, host="bench"))
    assert code_of(error) is ErrorCode.FORBIDDEN, "a user of another node is not on this host"
    cluster["b"].obey(granting(rule("root", list(ALL)), hosts=[rule("*")]))
    assert cluster["a"].user(who="root").ask(m.Drain(id=1, host="bench"), m.DrainAck)


def test_a_node_that_ends_sends_its_users_elsewhere(cluster: Cluster) -> None:
    """A session is interrupted, and goes on when its card host is with another node."""
    card = cluster["b"].card(reader(), features=RESUME, instance="host")
    user = cluster["a"].user(instance="run")
    session = user.select(iccid=ICCID, secret="s", keep_s=60.0).session
    node = cluster["b"]
    node.perform(node.relay.shut_down(0.0, node.now))
    refused = user.refused(m.CApdu(id=7, session=session, seq=1, command=SELECT_MF))
    assert code_of(refused) is ErrorCode.SHUTTING_DOWN
    node.perform(node.relay.leave(node.now))
    assert user.one(m.SessionInterrupted).session == session
    cluster.cut.add("b")
    user.say(m.Resume(id=9, session=session, secret="s", seq=1, host="bench", reader="r1"))
    running = m.RunningSession(
        session=session, reader="r1", insertion=1, holder="a user", keep_s=60.0
    )
    cluster["c"].card(reader(), features=RESUME, instance="host", before=card, sessions=(running,))
    cluster.pass_time(3)
    assert user.one(m.Resumed).session == session


def test_two_nodes_of_one_name_are_told_of(cluster: Cluster) -> None:
    here = msgspec.msgpack.encode(("a", "0123456789abcdef", ""))
    cluster["a"].heard("wsrc.test.here", here)
    cluster["a"].heard("wsrc.test.here", here)
    told = [note for note in cluster["a"].notes if "is called a as well" in note]
    assert len(told) == 1


DEEP = b"\x98\x03\x07" + b"\x91" * 100_000


@pytest.mark.parametrize(
    "octets", [b"", b"\xc1", b"\x92\xa1a", bytes(100), DEEP], ids=["", "none", "cut", "0", "deep"]
)
def test_nonsense_on_a_subject_changes_nothing(cluster: Cluster, octets: bytes) -> None:
    cluster["a"].card(reader())
    node = cluster["a"]
    for subject in [*node.subjects, "wsrc.test.road.a.b", "wsrc.test.road.a.nobody", "wsrc.other"]:
        node.heard(subject, octets)
    assert cluster["b"].user().hold(iccid=ICCID)


def test_an_item_that_is_none_is_told_of_and_passed_over(cluster: Cluster) -> None:
    roads = cluster["a"].relay._roads
    cluster["a"].perform(cluster["a"].relay._effects(0.0))
    for octets in (b"\xc1", b"\x93\x07\x01" + b"\x91" * 100_000 + b"\xc0"):
        roads.events.append(Said("b", octets))
    cluster["a"].pass_time(1)
    assert any("is not understood" in note for note in cluster["a"].notes)


def test_a_card_that_two_nodes_give_is_given_back_by_one(cluster: Cluster) -> None:
    """The first has it, and gives it before it hears that another was asked meanwhile."""
    cluster["b"].card(reader())
    holder, user = cluster["b"].user(), cluster["a"].user()
    session = holder.hold(iccid=ICCID)
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    cluster.frozen.add("b")
    cluster["c"].card(reader(), name="moved")
    taken = user.one(m.SelectCardAck)
    assert taken.card is not None
    assert taken.card.host == "moved"
    holder.ask(m.Detach(id=9, session=session), m.DetachAck)
    assert cluster["b"].relay.counts["sessions"] == 1
    cluster.thaw("b")
    assert cluster["b"].relay.counts["sessions"] == 0
    assert user.quiet()


def test_what_an_ending_node_refuses_is_asked_of_the_next(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    user, node = cluster["a"].user(), cluster["b"]
    node.perform(node.relay.shut_down(0.0, node.now))
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    assert user.quiet()
    cluster["c"].card(reader(), name="moved")
    node.perform(node.relay.leave(node.now))
    cluster.cut.add("b")
    cluster.pass_time(3)
    assert user.next(m.SelectCardAck).id == 1


def test_a_card_is_free_when_the_node_of_its_user_is_lost(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    cluster["a"].user().hold(iccid=ICCID)
    cluster.frozen.add("a")
    cluster.pass_time(6)
    assert cluster["b"].relay.beside["guests"] == 0
    assert cluster["c"].user().hold(iccid=ICCID)


def test_forged_names_of_nodes_take_no_room(cluster: Cluster) -> None:
    node = cluster["a"]
    for number in range(2 * MAX_NODES):
        name, run = f"forged-{number}", f"{number:016x}"
        node.heard("wsrc.test.here", msgspec.msgpack.encode((name, run, "")))
    assert set(node.relay.nodes) == {"b", "c"}
    assert len(node.relay._roads._neighbours) <= MAX_NODES
    cluster["b"].card(reader())
    assert node.user().hold(iccid=ICCID)
