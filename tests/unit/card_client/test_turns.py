# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.turns: whose turn it is with a shared card."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from wsrc.card.slot import Disposition, Share
from wsrc.card_client.attachment import Held
from wsrc.card_client.turns import Turns
from wsrc.errors import ErrorCode, RefusedError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.readers.base import Direct
from wsrc.readers.simulated import SimulatedSource


async def call(_: Direct, function: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(function)


def turns(*sessions: str, idle_s: float = 10.0) -> Turns:
    source = SimulatedSource()
    made = Turns(wait_s=5.0, idle_s=idle_s)
    for session in sessions:
        reader = source.open(source.plug(name=session))
        asked = m.Attach(session=session, reader=session, insertion=0, share=Share.SHARED)
        made.add(Held(asked, reader.connect_direct(), call))
    return made


def command(session: str) -> m.CApdu:
    return m.CApdu(id=1, session=session, command=Octets(4))


def test_requests_wait_in_their_order_and_go_on_after_the_transaction() -> None:
    made = turns("a", "b", "c")
    made.begin("a", 0.0)
    assert not made.must_wait(command("a"))
    assert not made.must_wait(command("stranger"))
    assert not made.must_wait(m.Status(id=1, session="b"))
    first, second = command("c"), command("b")
    for request in (first, second):
        assert made.must_wait(request)
        made.park(request, 1.0)
    assert made.next_ready() is None
    made.end("a")
    assert (made.next_ready(), made.next_ready(), made.next_ready()) == (first, second, None)


def test_a_wait_has_an_end() -> None:
    made = turns("a", "b", idle_s=0.0)
    made.begin("a", 0.0)
    request = command("b")
    made.park(request, 1.0)
    assert made.due() == 6.0
    assert made.overdue(5.9) == []
    assert made.overdue(6.0) == [request]
    assert made.due() is None
    assert made.end_idle(1e9) is None


def test_a_transaction_lasts_as_long_as_it_is_used() -> None:
    made = turns("a", "b")
    made.begin("a", 0.0)
    made.used("a", 8.0)
    made.used("b", 17.0)
    assert made.end_idle(17.9) is None
    assert made.due() == 18.0
    assert made.end_idle(18.0) == "a"
    assert made.owner is None
    with pytest.raises(RefusedError) as caught:
        made.end("a")
    assert caught.value.code is ErrorCode.NOT_TRANSACTED


def test_the_strongest_wish_of_those_who_left_is_done_after_the_transaction() -> None:
    made = turns("a", "b", "c", "d")
    made.begin("a", 0.0)
    for session, wish in (("b", Disposition.UNPOWER), ("c", Disposition.RESET)):
        assert made.leave(session, wish) is not None
    assert made.disposition() is Disposition.LEAVE
    made.end("a")
    assert made.disposition() is Disposition.UNPOWER
    assert made.disposition() is Disposition.LEAVE


def test_the_last_who_leaves_has_nobody_to_leave_wishes_to() -> None:
    made = turns("a")
    made.begin("a", 0.0)
    made.leave("a", Disposition.UNPOWER)
    assert made.owner is None
    assert made.disposition() is Disposition.LEAVE
    assert made.leave("a", Disposition.RESET) is None


def test_who_leaves_takes_its_requests_along() -> None:
    made = turns("a", "b")
    made.begin("a", 0.0)
    made.park(command("b"), 0.0)
    made.leave("b", Disposition.LEAVE)
    made.end("a")
    assert made.next_ready() is None


def test_all_but_the_one_who_reset_are_told() -> None:
    made = turns("a", "b")
    made.were_reset("a")
    assert [held.was_reset for held in made.sessions.values()] == [False, True]
    made.were_reset(None)
    assert [held.was_reset for held in made.sessions.values()] == [True, True]


def test_only_those_who_share_join() -> None:
    made = turns("a")
    assert made.may_join(Share.SHARED)
    assert not made.may_join(Share.EXCLUSIVE)
    assert not made.may_join(Share.DIRECT)
    assert [held.session for held in made.clear()] == ["a"]
    assert made.may_join(Share.DIRECT)
