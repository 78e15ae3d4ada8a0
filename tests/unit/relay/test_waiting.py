# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.waiting."""

from tests.support.relay_clients import ICCID
from tests.support.relay_world import reader
from wsrc.card.slot import Share
from wsrc.protocol.messages import SelectCard
from wsrc.relay.records import UserPeer, Waiter
from wsrc.relay.waiting import WaitingRoom, in_order
from wsrc.selection import Key, keys_of, selection_of


def waiter(id_: int, since: float = 0.0, **by: object) -> Waiter:
    select = SelectCard(id=id_, **({"wait_s": 60.0} | by))  # type: ignore[arg-type]
    return Waiter(UserPeer(id_), select, selection_of(select), 0.0, (since, id_))


def keys() -> tuple[Key, ...]:
    return keys_of(reader(label="L"))


def test_those_who_wait_for_a_card_come_in_their_order_whatever_they_call_it() -> None:
    room = WaitingRoom()
    waiters = [waiter(1, label="l"), waiter(2, iccid=ICCID), waiter(3, any="L")]
    for each in (waiters[2], waiters[0], waiters[1]):
        room.add(each)
    room.add(waiter(4, label="other"))
    assert list(in_order(room.under(keys()))) == waiters
    assert list(in_order(room.under(keys()), waiters[0].ticket)) == waiters[1:]
    assert len(room) == 4


def test_who_asks_in_the_same_words_stands_in_the_same_line() -> None:
    room = WaitingRoom()
    same = {room.add(waiter(n, label=label)) for n, label in enumerate(("L", "l", " L "))}
    assert len(same) == 1
    others = {
        room.add(waiter(10, label="L", share=Share.DIRECT)),
        room.add(waiter(11, label="L", wait_s=0.0)),
        room.add(waiter(12, label="L", reader="r")),
        room.add(waiter(13, any="L")),
    }
    assert len(others | same) == 5


def test_a_place_in_a_line_is_that_of_the_ticket() -> None:
    room = WaitingRoom()
    late, early, middle = waiter(1, 3.0, any="x"), waiter(2, 1.0, any="x"), waiter(3, 2.0, any="x")
    line = room.add(late)
    for each in (early, middle):
        assert room.add(each) is line
    assert [line.ahead(each.ticket) for each in (early, middle, late)] == [0, 1, 2]
    assert list(line.after()) == [early, middle, late]


def test_who_leaves_while_others_are_looked_at_is_passed_over() -> None:
    room = WaitingRoom()
    those = [waiter(n, any="x") for n in range(4)]
    (line,) = {room.add(each) for each in those}
    seen: list[Waiter] = []
    for each in line.after():
        seen.append(each)
        room.remove(each)
        if each is those[0]:
            room.remove(those[1])
    assert seen == [those[0], *those[2:]]


def test_a_line_is_filed_where_the_fewest_cards_and_lines_are() -> None:
    there = {("atr", "3b00"): 9, ("label", "common"): 2, ("reader", "r"): 1}
    room = WaitingRoom(lambda key, _: there.get(key, 0))
    assert room.add(waiter(1, atr="3b00", label="common", reader="r")).keys == (("reader", "r"),)
    assert room.add(waiter(2, atr="3b00", label="none")).keys == (("label", "none"),)
    for n in range(3, 100):
        room.add(waiter(n, label="L", reader=f"r{n}"))
    assert len(room.under([("label", "l")])) <= 1


def test_nothing_is_left_of_who_went() -> None:
    room = WaitingRoom()
    first, second = waiter(1, any=ICCID), waiter(2, iccid=ICCID)
    room.add(first)
    line = room.add(second)
    room.remove(first)
    assert room.under(keys()) == [line]
    assert first.user.waiting == {}
    assert room.line_of(first) is None
    room.remove(second)
    assert len(room) == 0
    assert room._by_key == {}
    assert room._lines == {}
