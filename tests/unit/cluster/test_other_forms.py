# SPDX-License-Identifier: Apache-2.0
"""Users over nodes who speak otherwise: watchers in JSON-RPC, peers of the first form."""

import pytest

from tests.support.cluster_world import Cluster
from tests.support.relay_clients import ATR, ICCID, OK, SELECT_MF, Peer
from tests.support.relay_watchers import watch
from tests.support.relay_world import code_of, empty, reader
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

OTHER = "8949020000012345686"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster("a", "b", "c")


def rpc(user: Peer) -> list[object]:
    """Take the notifications that came: what lists name, states by their readers, marks."""
    heard, user.inbox = user.inbox, []
    told: list[object] = []
    for message in heard:
        match message:
            case m.StateChange(params=params):
                told.append((params.reader_id, params.status))
            case m.ListChange(params=params):
                told.append(params.reader_ids)
            case _:
                assert isinstance(message, m.ReaderMark)
                told.append(message.seq)
    return told


def test_in_json_rpc_readers_of_all_nodes_come_change_and_go(cluster: Cluster) -> None:
    """No list of one node says that the readers of the others are gone."""
    cluster["a"].card(reader("r0", iccid=OTHER), name="host-a")
    user = cluster["a"].user()
    watch(user, form=m.ReaderForm.JSON_RPC)
    host = cluster["b"].card(empty("r1"), name="host-b")
    assert rpc(user) == [None, ("r1", "empty"), 1]
    host.report(reader("r1", insertion=2))
    assert rpc(user)[0] == ("r1", "present")
    cluster["a"].card(empty("r2"), name="more")
    told = rpc(user)
    assert told[:2] == [None, ("r2", "empty")]
    host.leave()
    told += rpc(user)
    assert [each for each in told if each is None] == [None, None]
    marks = [each for each in told if isinstance(each, int)]
    assert marks == list(range(marks[0], marks[0] + len(marks)))


def test_in_json_rpc_readers_go_with_their_node_and_come_with_it(cluster: Cluster) -> None:
    cluster["b"].card(reader("r1"), name="host-b")
    user = cluster["a"].user()
    ack = watch(user, form=m.ReaderForm.JSON_RPC)
    user.ask(m.ListReaders(id=user.new_id(), after=ack.next or 0), m.ListReadersAck)
    cluster.cut.add("b")
    cluster.pass_time(6)
    assert rpc(user) == [None, 1]
    cluster.cut.clear()
    cluster.pass_time(4)
    assert rpc(user) == [None, ("r1", "present"), 2]
    cluster["c"].card(reader("r3", iccid=OTHER), name="host-c")
    assert rpc(user) == [None, ("r3", "present"), 3]
    cluster.cut.add("c")
    cluster.pass_time(6)
    assert rpc(user) == [None, 4], "also a reader that came after the list"


def test_in_json_rpc_a_server_that_is_alone_names_its_readers() -> None:
    cluster = Cluster("a")
    user = cluster["a"].user()
    watch(user, form=m.ReaderForm.JSON_RPC)
    cluster["a"].card(empty("r1"))
    assert rpc(user)[0] == ("r1",)


def test_a_user_of_the_first_form_uses_cards_of_all_nodes(cluster: Cluster) -> None:
    cluster["a"].card(reader("r0", iccid=OTHER), name="host-a")
    cluster["b"].card(reader("r1"), name="host-b")
    user = cluster["a"].user(first_form=True)
    user.say(m.ListCards())
    cluster.pass_time(3)
    listed = user.one(m.ListCardsAck).cards
    assert {each.identities.iccid for each in listed} == {ICCID, OTHER}
    user.ask(m.SelectCard(id_type="ICCID", id_str=ICCID), m.SelectCardAck)
    assert user.ask(m.CApdu(command=SELECT_MF), m.RApdu) == m.RApdu(response=OK, sw="9000")
    assert user.ask(m.ResetReq(), m.ResetResp).atr == ATR
    user.leave()
    assert cluster["b"].relay.counts["sessions"] == 0


def test_a_user_of_the_first_form_is_told_that_the_node_of_its_card_is_gone(
    cluster: Cluster,
) -> None:
    card = cluster["b"].card(reader("r1"), name="host-b")
    user = cluster["a"].user(first_form=True)
    user.ask(m.SelectCard(id_type="ICCID", id_str=ICCID), m.SelectCardAck)
    card.auto = False
    user.say(m.CApdu(command=SELECT_MF))
    cluster.frozen.add("b")
    cluster.pass_time(6)
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_CLIENT_GONE
    cluster["c"].card(reader("r1"), name="host-b")
    user.ask(m.SelectCard(id_type="ICCID", id_str=ICCID), m.SelectCardAck)
    assert user.ask(m.CApdu(command=SELECT_MF), m.RApdu).sw == "9000"


def test_a_user_of_the_first_form_who_names_a_card_that_is_nowhere_is_told(
    cluster: Cluster,
) -> None:
    user = cluster["a"].user(first_form=True)
    error = user.ask(m.SelectCard(id_type="ICCID", id_str=ICCID), m.Error)
    assert code_of(error) is ErrorCode.NO_SUCH_CARD


@pytest.mark.parametrize("first_form", [False, True])
def test_a_card_of_the_first_form_is_used_from_another_node(
    cluster: Cluster, *, first_form: bool
) -> None:
    cluster["b"].old_card()
    cluster.pass_time(1)
    user = cluster["a"].user(first_form=first_form)
    if first_form:
        user.ask(m.SelectCard(id_type="ICCID", id_str=ICCID), m.SelectCardAck)
        assert user.ask(m.CApdu(command=SELECT_MF), m.RApdu).sw == "9000"
        return
    session = user.hold(iccid=ICCID)
    answer = user.ask(m.CApdu(id=9, session=session, command=SELECT_MF), m.RApdu)
    assert answer.sw == "9000"
