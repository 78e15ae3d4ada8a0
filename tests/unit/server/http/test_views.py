# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.http.views: what users see of readers, as the REST interface gives it."""

import pytest

from wsrc.card.slot import SlotState
from wsrc.protocol.messages import ClientType
from wsrc.protocol.parts import CardState, LeaseInfo
from wsrc.protocol.reader_events import ReaderView
from wsrc.server.http import views
from wsrc.server.http.values import Host
from wsrc.server.state import Stored

LEASE = LeaseInfo(holder="ann", since="2026-01-01T00:00:00Z")


def view(number: int, host: str = "bench", *, card: bool = True, held: bool = False) -> ReaderView:
    return ReaderView(
        number=number,
        reader=f"r{number}",
        name=f"Reader {number}",
        host=host,
        state=SlotState.PRESENT if card else SlotState.EMPTY,
        card_state=CardState.READY if card else None,
        lease=LEASE if held else None,
    )


def test_a_reader_without_a_card_has_none() -> None:
    assert views.card(view(1, card=False)) is None
    assert views.reader(view(1, card=False)).card is None
    shown = views.reader(view(2)).card
    assert shown is not None
    assert (shown.number, shown.state) == (2, CardState.READY)


def test_a_reader_that_is_held_without_a_card_is_a_lease_too() -> None:
    held = views.lease(view(1, card=False, held=True))
    assert held is not None
    assert held.lease is LEASE
    assert views.lease(view(1)) is None


def test_hosts_have_their_counts_and_are_in_order() -> None:
    seen = [view(1, "b"), view(2, "a", card=False), view(3, "b", held=True)]
    assert views.hosts(seen) == (
        Host(host="a", readers=1, cards=0, held=0),
        Host(host="b", readers=2, cards=2, held=1),
    )


@pytest.mark.parametrize(
    ("most", "shown", "after"), [(0, [], 0), (1, [1], 1), (2, [1, 3], 3), (3, [1, 3, 4], None)]
)
def test_a_page_ends_where_the_next_begins(most: int, shown: list[int], after: int | None) -> None:
    seen = [view(1), view(2, card=False), view(3), view(4)]
    cards, next_ = views.some(seen, views.card, most)
    assert [each.number for each in cards] == shown
    if after is None:
        assert next_ is None
    else:
        assert next_ is not None
        rest, _ = views.some([each for each in seen if each.number > next_], views.card, 10)
        assert [*shown, *(each.number for each in rest)] == [1, 3, 4]


def test_a_token_is_shown_without_what_it_is() -> None:
    stored = Stored(7, b"h" * 32, "ann", ClientType.USER, 0.0, None, 86_400.5)
    shown = views.token(stored)
    assert (shown.number, shown.name, shown.role) == (7, "ann", "user")
    assert (shown.made, shown.expires, shown.used) == (
        "1970-01-01T00:00:00Z",
        None,
        "1970-01-02T00:00:00Z",
    )
    assert not hasattr(shown, "hash")
