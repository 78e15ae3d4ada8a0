# SPDX-License-Identifier: Apache-2.0
"""Lists in pages: several answers to one request, one at a time, so that others have their turn."""

import msgspec

from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import SOON_S
from wsrc.relay import evidence, rights
from wsrc.relay.records import Listed, Paged, UserPeer
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

MAX_ASKED = 1_000
"""
Lists of one connection that wait until all readers are looked at: more than are read of it in the
time that this takes.
"""


def begin(state: RelayState, user: UserPeer, asked: Listed, now: float) -> None:
    """
    Send the first page of a list, or of a watch; others follow where they are asked for.

    For users who see new readers it waits until all are looked at: what is on a page, and where it
    ends, is to tell nothing of readers that are hidden. Of one list a user several pages follow.
    """
    if not user.asked and _caught_up(state, user):
        _answer(state, user, asked, now)
    elif len(user.asked) < MAX_ASKED:
        user.asked.append(asked)
        _later(state, user, now)
    else:
        why = f"{MAX_ASKED} lists wait to be answered on this connection; try again later."
        state.refuse(user, asked.id, ErrorCode.TOO_MANY, why, retry_after_s=SOON_S)


def go_on(state: RelayState, user: UserPeer, now: float) -> None:
    """Send the next page, or the first of a list that waits."""
    if _caught_up(state, user):
        rest, user.listing = user.listing, None
        if rest is not None:
            _send(state, user, rest, now)
        elif user.asked:
            _answer(state, user, user.asked.popleft(), now)
    if user.listing is not None or user.asked:
        _later(state, user, now)


def _caught_up(state: RelayState, user: UserPeer) -> bool:
    """Look at some readers that a user is to see; return whether all are looked at."""
    readers = state.readers.of(user)
    state.effects += readers.go_on(LOOKED_AT)
    return not readers.is_behind


def _later(state: RelayState, user: UserPeer, now: float) -> None:
    state.timers.set((TIMER, user.number, None), now + STEP_S)


def _answer(state: RelayState, user: UserPeer, asked: Listed, now: float) -> None:
    if isinstance(asked, m.WatchReaders):
        _watch(state, user, asked)
        return
    most = m.MAX_PAGES if user.listing is None else 1
    _send(state, user, msgspec.structs.replace(asked, pages=min(asked.pages, most)), now)


def _watch(state: RelayState, user: UserPeer, asked: m.WatchReaders) -> None:
    why = rights.no_events(user)
    if why is None:
        state.effects += state.readers.of(user).watch_for(user, asked)
        return
    evidence.not_watched(state, user, why)
    state.refuse(user, asked.id, ErrorCode.FORBIDDEN, why)


def forget(state: RelayState, user: UserPeer) -> None:
    """Send no more of what a user asked for."""
    user.listing = None
    user.asked.clear()
    state.timers.clear((TIMER, user.number, None))


def _send(state: RelayState, user: UserPeer, asked: Paged, now: float) -> None:
    page = _page(state, user, asked, now)
    if page.next is not None and asked.pages > 1:
        page = msgspec.structs.replace(page, more=True)
        left = asked.pages - 1
        user.listing = msgspec.structs.replace(asked, after=page.next, pages=left)
        _later(state, user, now)
    state.send(user, page)


def _page(
    state: RelayState, user: UserPeer, asked: Paged, now: float
) -> m.ListCardsAck | m.ListReadersAck | m.WhoAck:
    readers = state.readers.of(user)
    if isinstance(asked, m.ListReaders):
        return readers.page_of(asked)
    bounds = Bounds(PAGE, PAGE_OCTETS)
    if isinstance(asked, m.Who):
        describe = Uses(state, user, asked, now).describe
        uses, after = readers.cards(Filter(asked), asked.after, describe, bounds)
        return m.WhoAck(id=asked.id, cards=uses, next=after)
    cards, after = readers.cards(Filter(asked), asked.after, state.card_in, bounds)
    return m.ListCardsAck(id=asked.id, cards=cards, next=after)
