# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.waiting."""

from tests.support.relay_clients import ICCID
from tests.support.relay_world import reader
from wsrc.protocol.messages import SelectCard
from wsrc.relay.records import CardPeer, Slot, UserPeer, Waiter
from wsrc.relay.waiting import WaitingRoom
from wsrc.selection import keys_of, selection_of


def waiter(id_: int, **by: str) -> Waiter:
    select = SelectCard(id=id_, **by)
    return Waiter(UserPeer(id_), select, selection_of(select), 0.0, id_)


def slot() -> Slot:
    info = reader(label="L")
    return Slot(1, CardPeer(1), info, keys_of(info))


def test_those_who_wait_for_a_card_come_in_their_order_whatever_they_call_it() -> None:
    room = WaitingRoom()
    waiters = [waiter(1, label="l"), waiter(2, iccid=ICCID), waiter(3, any="L")]
    for each in waiters:
        room.add(each)
    room.add(waiter(4, label="other"))
    room.add(waiter(5, label="L", iccid="8949"))
    assert room.for_slot(slot()) == waiters
    assert len(room) == 5


def test_rivals_are_those_who_use_the_same_name() -> None:
    room = WaitingRoom()
    first, second, third = waiter(1, label="L"), waiter(2, any="l"), waiter(3, reader="x")
    for each in (first, second, third):
        room.add(each)
    assert room.rivals(first) == [second]
    assert room.rivals(second) == [first]
    assert room.rivals(third) == []


def test_nothing_is_left_of_who_went() -> None:
    room = WaitingRoom()
    first, second = waiter(1, any=ICCID), waiter(2, iccid=ICCID)
    room.add(first)
    room.add(second)
    room.remove(first)
    assert room.for_slot(slot()) == [second]
    assert first.user.waiting == {}
    room.remove(second)
    assert len(room) == 0
    assert room._by_key == {}
