# SPDX-License-Identifier: Apache-2.0
"""A cluster whose NATS is slow or loses something, and whose cards are not where they were."""

import pytest

from tests.support.cluster_world import Cluster
from tests.support.relay_clients import ICCID
from tests.support.relay_world import code_of, reader
from wsrc.card.identity import luhn_digit
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


def test_a_question_that_nats_loses_is_asked_again(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    user = cluster["a"].user()
    cluster.lost = "has"
    user.say(m.SelectCard(id=1, iccid=ICCID))
    assert user.quiet()
    cluster.lost = ""
    cluster.pass_time(1)
    assert user.one(m.SelectCardAck).id == 1


def test_what_nobody_answers_is_refused_after_some_questions(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    user = cluster["a"].user()
    cluster.lost = "has"
    user.say(m.SelectCard(id=1, iccid=ICCID))
    asked = cluster.topics["has"]
    cluster.pass_time(5.5)
    assert user.quiet()
    cluster.pass_time(1)
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD
    claims, forms = 7, 2
    assert cluster.topics["has"] - asked <= 4 * forms + claims
    assert cluster["a"].relay.counts["errands_elsewhere"] == 0


@pytest.mark.parametrize("by", [{"iccid": ICCID}, {"label": "blue"}], ids=["iccid", "label"])
def test_a_card_is_found_though_nats_is_slow_by_2_s(cluster: Cluster, by: dict[str, str]) -> None:
    cluster["b"].card(reader(label="blue"))
    user = cluster["a"].user()
    cluster.slow_s = 2.0
    cluster.pass_time(10)
    user.say(m.SelectCard(id=1, **by))  # type: ignore[arg-type]  # fields by name
    cluster.pass_time(8.5)
    assert user.one(m.SelectCardAck).id == 1


def test_no_select_fails_where_nats_drops_1_of_100_messages(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    user = cluster["a"].user()
    cluster.drop_each = 101
    for _ in range(1_000):
        user.say(m.SelectCard(id=user.new_id(), iccid=ICCID))
        while user.quiet():
            cluster.pass_time(0.3)
        session = user.one(m.SelectCardAck).session
        assert session is not None
        user.say(m.Detach(id=user.new_id(), session=session))
        while user.quiet():
            cluster.pass_time(0.3)
        user.one(m.DetachAck)
    assert set(cluster["a"].relay.nodes.values()) == {True}


def test_a_card_is_found_by_a_road_that_is_left_without_nats(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    cluster.lost = "has"
    cluster["a"].perform(cluster["a"].relay.carried(cluster.now, is_there=False))
    assert cluster["a"].user().hold(iccid=ICCID)


def test_who_reaches_nobody_is_told_at_once_what_is_not_here(cluster: Cluster) -> None:
    cluster["b"].card(reader())
    cluster.cut.add("a")
    cluster["a"].perform(cluster["a"].relay.carried(cluster.now, is_there=False))
    cluster.pass_time(6)
    error = cluster["a"].user().refused(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(error) is ErrorCode.NO_SUCH_CARD


def test_10_000_cards_that_move_at_once_are_found_where_they_are(cluster: Cluster) -> None:
    """What is said of a card is the same for 10,000 as for one; who waits has it there."""
    numbers = [(body := f"894902{each:012}") + luhn_digit(body) for each in range(10_000)]
    hosts = [
        [reader(f"r{at}", iccid=iccid) for at, iccid in enumerate(numbers[first : first + 500])]
        for first in range(0, 10_000, 500)
    ]
    cards = [cluster["b"].card(*each, name=f"host-{at}") for at, each in enumerate(hosts)]
    users = [cluster["a"].user() for _ in range(20)]
    for user, iccid in zip(users, numbers[::500], strict=True):
        cluster["b"].user().hold(iccid=iccid)
        user.say(m.SelectCard(id=1, iccid=iccid, wait_s=60))
        user.one(m.Waiting)
    cluster.kill("b")
    cluster.topics.clear()
    for at, (card, readers) in enumerate(zip(cards, hosts, strict=True)):
        cluster["c" if at % 2 else "a"].card(*readers, name=f"host-{at}", before=card)
    cluster.pass_time(6)
    assert cluster.topics["came"] <= 10_020
    for user in users:
        assert [each.id for each in user.inbox if isinstance(each, m.SelectCardAck)] == [1]
    finder = cluster["b"].user()
    for iccid in numbers[7::500]:
        assert finder.hold(iccid=iccid)
