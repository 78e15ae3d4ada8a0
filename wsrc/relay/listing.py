# SPDX-License-Identifier: Apache-2.0
"""Lists in pages: several answers to one request, one at a time, so that others have their turn."""

import msgspec

from wsrc.protocol import messages as m
from wsrc.relay.records import UserPeer
from wsrc.relay.shelves import LOOKED_AT, Bounds
from wsrc.relay.state import RelayState
from wsrc.relay.uses import Uses
from wsrc.selection import Filter

PAGE = 500
"""Most cards in one `list_cards_ack`."""

PAGE_OCTETS = 500_000
"""No further card is put into one `list_cards_ack` that has grown to this."""

STEP_S = 0.001
"""How long after a page the next one follows."""

TIMER = "page"


Asked = m.ListCards | m.ListReaders | m.Who
"""Requests that are answered in pages."""


def begin(state: RelayState, user: UserPeer, asked: Asked, now: float) -> None:
    """Send the first page of a list; others follow where they are asked for, of one list a user."""
    most = m.MAX_PAGES if user.listing is None else 1
    asked = msgspec.structs.replace(asked, pages=min(asked.pages, most))
    _send(state, user, asked, now)


def go_on(state: RelayState, user: UserPeer, now: float) -> None:
    """Send the next page."""
    rest, user.listing = user.listing, None
    if rest is not None:
        _send(state, user, rest, now)


def forget(state: RelayState, user: UserPeer) -> None:
    """Send no more of what a user asked for."""
    user.listing = None
    state.timers.clear((TIMER, user.number, None))


def _send(state: RelayState, user: UserPeer, asked: Asked, now: float) -> None:
    page = _page(state, user, asked, now)
    if page.next is not None and asked.pages > 1:
        page = msgspec.structs.replace(page, more=True)
        left = asked.pages - 1
        user.listing = msgspec.structs.replace(asked, after=page.next, pages=left)
        state.timers.set((TIMER, user.number, None), now + STEP_S)
    state.send(user, page)


def _page(
    state: RelayState, user: UserPeer, asked: Asked, now: float
) -> m.ListCardsAck | m.ListReadersAck | m.WhoAck:
    readers = state.readers.of(user)
    state.effects += readers.go_on(LOOKED_AT)
    if isinstance(asked, m.ListReaders):
        return readers.page_of(asked)
    bounds = Bounds(PAGE, PAGE_OCTETS)
    if isinstance(asked, m.Who):
        describe = Uses(state, user, asked, now).describe
        uses, after = readers.cards(Filter(asked), asked.after, describe, bounds)
        return m.WhoAck(id=asked.id, cards=uses, next=after)
    cards, after = readers.cards(Filter(asked), asked.after, state.card_in, bounds)
    return m.ListCardsAck(id=asked.id, cards=cards, next=after)
