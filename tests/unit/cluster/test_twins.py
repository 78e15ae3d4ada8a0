# SPDX-License-Identifier: Apache-2.0
"""Cards of one number with several nodes: the number names neither, as with one server."""

import msgspec
import pytest

from tests.support.cluster_world import Cluster
from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import code_of, reader
from wsrc.card.identity import luhn_digit
from wsrc.cluster import twins
from wsrc.cluster.items import Has
from wsrc.errors import ErrorCode
from wsrc.policy.words import ALL
from wsrc.protocol import messages as m
from wsrc.selection import lookups

EID = "89049032123451234512345678901235"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


def number(at: int) -> str:
    """Return an ICCID with its check digit."""
    body = f"894902{at:012}"
    return body + luhn_digit(body)


def both(cluster: Cluster) -> tuple[CardClient, CardClient]:
    """Have a card of one number with b and c."""
    first = cluster["b"].card(reader(), name="first")
    return first, cluster["c"].card(reader("r2"), name="second")


def is_ambiguous(user: Peer, **by: str | float) -> bool:
    """Return whether a select of this is refused, with both cards as candidates."""
    error = user.refused(m.SelectCard(id=user.new_id(), **by))  # type: ignore[arg-type]  # by name
    assert code_of(error) is ErrorCode.AMBIGUOUS
    return len({each.host for each in error.candidates}) == 2


def is_known(cluster: Cluster) -> int:
    """Return how many nodes know of twins."""
    return sum(bool(len(node.relay._beyond.same)) for node in cluster.nodes.values())


@pytest.mark.parametrize("at", ["a", "b", "c"])
@pytest.mark.parametrize("wait_s", [0.0, 30.0])
def test_a_number_of_two_cards_names_neither(cluster: Cluster, at: str, wait_s: float) -> None:
    whole = number(1)
    for node, name in (("b", "first"), ("c", "second")):
        cluster[node].card(reader(iccid=whole), name=name)
    assert is_ambiguous(cluster[at].user(), iccid=whole, wait_s=wait_s)
    assert is_ambiguous(cluster[at].user(), iccid=whole[:-1])


def test_an_eid_of_two_cards_names_neither(cluster: Cluster) -> None:
    for node, name in (("b", "first"), ("c", "second")):
        cluster[node].card(reader(iccid=None, eids=(EID,)), name=name)
    assert is_ambiguous(cluster["a"].user(), eid=EID)


@pytest.mark.parametrize("at", ["a", "b", "c"])
def test_by_its_reader_one_of_them_is_taken(cluster: Cluster, at: str) -> None:
    both(cluster)
    ack = cluster[at].user().select(iccid=ICCID, reader="r2")
    assert ack.card is not None
    assert ack.card.host == "second"


@pytest.mark.parametrize("at", ["a", "b", "c"])
def test_when_one_is_gone_the_other_is_meant(cluster: Cluster, at: str) -> None:
    first, _ = both(cluster)
    first.leave()
    assert cluster[at].user().hold(iccid=ICCID)
    assert is_known(cluster) == 0


def test_when_a_node_is_lost_the_other_card_is_meant(cluster: Cluster) -> None:
    both(cluster)
    cluster.frozen.add("c")
    cluster.pass_time(6)
    assert cluster["b"].user().hold(iccid=ICCID)
    assert not len(cluster["b"].relay._beyond.same)


@pytest.mark.parametrize("at", ["a", "b"])
def test_who_sees_one_of_them_is_given_it(cluster: Cluster, at: str) -> None:
    """As with one server, what is hidden changes nothing."""
    cluster["c"].obey(granting(rule("ida", list(ALL)), hosts=[rule("*")]))
    cluster["b"].card(reader(), name="first")
    cluster["c"].card(reader("r2"), name="second", who="farm")
    assert is_ambiguous(cluster[at].user(who="ida"), iccid=ICCID)
    ack = cluster[at].user(who="eve").select(iccid=ICCID)
    assert ack.card is not None
    assert ack.card.host == "first"


def test_a_card_host_that_has_come_to_another_node_has_no_twins(cluster: Cluster) -> None:
    """Its first node has not noticed yet that it is gone."""
    card = cluster["b"].card(reader())
    cluster["c"].card(reader(), before=card)
    assert cluster["c"].user().hold(iccid=ICCID)


@pytest.mark.parametrize("lost", ["has", "road"])
def test_a_claim_that_was_lost_is_made_again(cluster: Cluster, lost: str) -> None:
    cluster.lost = lost
    both(cluster)
    assert is_known(cluster) == 0
    cluster.lost = ""
    cluster.pass_time(2 * twins.ROUND_S + 2)
    assert is_ambiguous(cluster["a"].user(), iccid=ICCID)


def test_twins_are_found_by_nodes_that_meet(cluster: Cluster) -> None:
    cluster.cut.add("c")
    cluster.pass_time(6)
    both(cluster)
    cluster.cut.clear()
    cluster.pass_time(2 * twins.ROUND_S + 3)
    assert is_ambiguous(cluster["b"].user(), iccid=ICCID)


def test_what_anybody_claims_marks_nothing(cluster: Cluster) -> None:
    """A claim is believed when its node says it on its road."""
    cluster["b"].card(reader())
    cluster.pass_time(1)
    claim = msgspec.msgpack.encode(("c", twins.CLAIM))
    for subject in list(cluster["b"].subjects):
        cluster["b"].heard(subject, claim)
    cluster.pass_time(1)
    assert is_known(cluster) == 0
    assert cluster["b"].user().hold(iccid=ICCID)


def test_who_waits_for_a_card_does_not_go_back_and_forth_when_a_twin_comes(
    cluster: Cluster,
) -> None:
    cluster["b"].card(reader(), name="first")
    cluster["b"].user().hold(iccid=ICCID)
    user = cluster["a"].user()
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=600))
    user.one(m.Waiting)
    second = cluster["c"].card(reader("r2", state=m.ReaderState.IN_USE), name="second")
    cluster.pass_time(10)
    where = [node.relay.counts["waiting"] for node in cluster.nodes.values()]
    said = len(user.inbox)
    for _ in range(100):
        cluster.pass_time(1)
        assert [node.relay.counts["waiting"] for node in cluster.nodes.values()] == where
    assert len(user.inbox) - said <= 1
    assert not second.gone


def test_a_select_says_no_more_than_without_twins(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    user = cluster["a"].user()
    user.hold(iccid=ICCID)
    cluster["b"].card(reader("r3", iccid="8949020000012345686"), name="other")
    before = cluster.topics.copy()
    user.hold(iccid="8949020000012345686")
    said = cluster.topics - before
    assert said["has"] == len(list(lookups("iccid", "8949020000012345686")))
    assert said["road"] <= 4


def test_claims_have_a_bound_in_each_second(cluster: Cluster) -> None:
    readers = [reader(f"r{at}", iccid=number(at)) for at in range(500)]
    cluster["b"].card(*readers)
    cluster.pass_time(2)
    cluster.topics.clear()
    cluster.pass_time(10)
    assert 500 <= cluster.topics["has"] <= 11 * twins.CLAIMS


def test_an_answer_to_a_question_that_another_asked_in_our_name_is_none(cluster: Cluster) -> None:
    """Whoever can publish can have a node be told by a node what it did not ask."""
    cluster["b"].card(reader())
    user = cluster["a"].user()
    cluster.lost = "has"
    user.say(m.SelectCard(id=1, iccid=ICCID))
    asked = cluster["a"].relay._abroad._asked
    (number,) = asked
    cluster.lost = ""
    forged = Has(number, cluster["a"].relay._names.key(("iccid", "1")))
    cluster["c"].relay._beyond.carry("a", forged)
    cluster["c"].perform(cluster["c"].relay._effects(cluster.now))
    cluster.pass_time(1)
    assert user.one(m.SelectCardAck).id == 1


def test_who_waits_elsewhere_does_not_lose_its_place_by_what_anybody_says(
    cluster: Cluster,
) -> None:
    cluster["b"].card(reader())
    holder, user, later = cluster["b"].user(), cluster["a"].user(), cluster["b"].user()
    session = holder.hold(iccid=ICCID)
    user.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    user.one(m.Waiting)
    later.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    came = cluster["a"].relay._names.came(("iccid", ICCID))
    cluster["a"].heard(came, b"c")
    cluster.pass_time(1)
    holder.ask(m.Detach(id=9, session=session), m.DetachAck)
    cluster.pass_time(1)
    assert isinstance(user.inbox[-1], m.SelectCardAck)
