# SPDX-License-Identifier: Apache-2.0
"""
Readers of the pcscd socket by the cards that were in them, from what a server says of both.

That a card is gone is told of the card; whether it was taken out or is out of reach is told of
its reader. The two come one after the other, in either order.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.names import reader_name
from wsrc.card.slot import Share, SlotState
from wsrc.octets import from_wire
from wsrc.protocol import messages as m
from wsrc.protocol.messages import CardInfo, CardState, Change, LeaseInfo, ReaderView
from wsrc.user_client.core.reader_feed import ReaderNews, ReaderSnapshot
from wsrc.user_client.naming import Where, where

MAX_EMPTY = 64
"""Readers that stay without a card; the oldest ones go first."""


class Place:
    """
    One reader; its name stays when what is known of the card becomes more or less.

    While its card is `held` by us, what becomes of it is put off until our session is over, for
    the session waits for it.

    Args:
        card: Put in at once.
        seen: The reader until then.
    """

    def __init__(self, card: CardInfo, seen: Seen) -> None:
        self.card = card
        self.seen = seen
        self.leaving = False
        """Whether its card is gone, and it is not known why."""
        self.doubted = False
        self.unheard = False
        """Whether it is not known to be as it was before the connection was made again."""
        self.given_back = -math.inf
        """When we gave it back last, in monotonic seconds."""
        self._holder: object = None
        self._later: Callable[[], None] | None = None
        self._taking = False
        self._ours: LeaseInfo | None = None
        self.put_in(card)

    @property
    def where(self) -> Where:
        """Where the card is, or was last."""
        return where(self.card)

    def put_in(self, card: CardInfo) -> bool:
        """Note that the card is there; tell whether that is news."""
        before, self.card = self.seen, card
        self.leaving, self.unheard, self._later = False, False, None
        if self.held and self._is_resumed(card.lease):
            self._ours = card.lease
        self.seen = Seen(
            before.name,
            present=True,
            mute=card.state is CardState.MUTE,
            atr=from_wire(card.identities.atr),
            protocol=card.protocol,
            event_count=before.event_count + (not before.present),
            others=self._others(),
        )
        return self.seen != before

    def take_out(self) -> None:
        """Note that the reader is empty."""
        if self.held:
            self.put_off(self.take_out)
            return
        self.leaving = self.unheard = False
        self.seen = Seen(self.seen.name, event_count=self.seen.event_count + 1)

    def lose(self) -> None:
        """Note that the reader is out of reach."""
        if self.held:
            self.put_off(self.lose)
            return
        self.leaving = self.unheard = False
        before = self.seen
        self.seen = Seen(before.name, unavailable=True, event_count=before.event_count)

    @property
    def held(self) -> bool:
        """Whether the card is ours."""
        return self._holder is not None

    def hold(self, card: object) -> None:
        """Note that the card is ours."""
        self._holder = card

    def release(self, card: object) -> None:
        """Note that the card is not ours any more, and then what became of it meanwhile."""
        if self._holder is not card:
            return
        self._holder = None
        later, self._later = self._later, None
        if later is not None:
            later()

    def put_off(self, note: Callable[[], None]) -> None:
        """Call `note` when the card is not ours any more, unless it proves to be there."""
        self.leaving, self._later = True, note

    def doubt(self) -> None:
        """Note that nothing was heard of the reader for a while."""
        if self.seen.present:
            self.leaving, self.doubted, self.unheard = True, False, True

    def take(self) -> None:
        """Note that we ask for it: a lease that is told of from now on is likely to be ours."""
        self._taking = True

    def taken(self, lease: LeaseInfo | None) -> None:
        """Note that we have it, or were refused."""
        self._taking = False
        self._ours = lease
        if self.seen.present:
            self.seen = msgspec.structs.replace(self.seen, others=self._others())

    def _others(self) -> int:
        """Return how many others use the card; -1 for one that excludes us."""
        card = self.card
        if self._taking:
            return 0
        leases = [each for each in (card.lease, *card.others) if each and not self._is_ours(each)]
        if any(each.share is not Share.SHARED for each in leases):
            return -1
        return len(leases) or int(card.state is CardState.IN_USE)

    def _is_resumed(self, lease: LeaseInfo | None) -> bool:
        """Return whether a lease is ours as a server tells it that was started again meanwhile."""
        ours = self._ours
        return ours is not None and lease is not None and ours.holder == lease.holder

    def _is_ours(self, lease: LeaseInfo) -> bool:
        ours = self._ours
        return ours is not None and (ours.holder, ours.since) == (lease.holder, lease.since)


class Shelf:
    """
    All readers.

    A reader stays, empty, when its card is taken out, until another card is in its place; a card
    that comes back is in the reader of its name, wherever it is put in. It stays, unavailable,
    while its host or the server is out of reach.
    """

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._readers: dict[Where, ReaderView] | None = None
        self._blind = False

    def seen(self) -> list[Seen]:
        """Return all readers."""
        return [place.seen for place in self._places]

    def find(self, name: bytes) -> Place | None:
        """Return the reader of a name."""
        return next((p for p in self._places if p.seen.name == name), None)

    def holds(self, card: CardInfo) -> bool:
        """Return whether a card is in a reader."""
        return self._at(where(card)) is not None

    def out_of_reach(self) -> None:
        """Note that the server is: what it says of readers next is the whole."""
        self._readers, self._blind = None, False
        for place in self._places:
            place.lose()

    def doubt(self) -> None:
        """Note that the connection was lost: cards are as they were, until they are told not to."""
        self._readers, self._blind = None, False
        for place in self._places:
            place.doubt()

    def blind(self) -> bool:
        """Note that the server says nothing of readers: a card that is gone was taken out."""
        self._blind = True
        return self._settle_all(self._places)

    def expect(self, cards: Sequence[CardInfo]) -> bool:
        """
        Take what a server lists before it tells of each card; tell whether a reader changed.

        Readers that are new come in the order of their hosts, whichever connected first, so that
        of those with equal names each has the same number every time.
        """
        by_host = sorted(cards, key=lambda card: where(card)[0])
        new = [card for card in by_host if self._at(where(card)) is None]
        news = [self.hear(m.CardEvent(change=Change.ADDED, card=card)) for card in new]
        for card in new:
            place = self._at(where(card))
            if place is not None:
                place.doubt()
        return any(news)

    def hear(self, event: m.CardEvent) -> bool:
        """Take what happened to a card; tell whether a reader changed."""
        card = event.card
        there = self._at(where(card))
        if event.change is Change.REMOVED:
            if there is None:
                return False
            there.leaving, there.doubted, there.unheard = True, False, False
            return self._settle(there)
        if there is not None and there.held:
            return self._into_held(there, card)
        unknown = card.state is CardState.IDENTIFYING
        changed = there is not None and (unknown or _is_changed(there, card))
        if there is not None and changed:
            there.take_out()
            there = None
        if unknown or (there is None and _is_overlooked(card)):
            return changed
        if there is not None:
            return there.put_in(card)
        return self._into_empty(card)

    def _into_held(self, place: Place, card: CardInfo) -> bool:
        """Take that a card is where ours was: ours again, or another as soon as ours is over."""
        if card.state is CardState.IDENTIFYING:
            return False
        if not place.leaving or _who(place.card) == _who(card):
            return place.put_in(card)
        place.put_off(functools.partial(self._replace, place, card))
        return False

    def _replace(self, place: Place, card: CardInfo) -> None:
        place.take_out()
        self._into_empty(card)

    def hear_reader(self, news: ReaderNews) -> bool:
        """Take what is said of readers; tell whether one changed."""
        if isinstance(news, ReaderSnapshot):
            self._readers = {(each.host, each.reader): each for each in news.readers}
            return self._settle_all(self._places)
        readers, view = self._readers, news.reader
        if readers is None:
            return False
        at = view.host, view.reader
        if news.change is not Change.REMOVED:
            readers[at] = view
        elif at in readers and readers[at].number == view.number:
            del readers[at]
        return self._settle_all([place for place in self._places if place.where == at])

    def doubtful(self) -> list[Place]:
        """Return the readers, each once, whose card is gone and that seem to be there."""
        doubtful = [place for place in self._places if place.leaving and not place.doubted]
        for place in doubtful:
            place.doubted = True
        return doubtful

    def _settle_all(self, places: Sequence[Place]) -> bool:
        news = [self._settle(place) for place in places]
        return any(news)

    def _settle(self, place: Place) -> bool:
        """Tell apart what became of a reader without its card; tell whether that is news."""
        if (place.seen.present and not place.leaving) or (place.unheard and self._blind):
            return False
        before = place.seen
        state = self._state(place.where)
        if state is SlotState.UNAVAILABLE and not before.unavailable:
            place.lose()
        elif state is SlotState.EMPTY and (place.leaving or before.unavailable):
            place.take_out()
        return place.seen != before

    def _state(self, at: Where) -> SlotState:
        if self._blind:
            return SlotState.EMPTY
        if self._readers is None:
            return SlotState.PRESENT
        view = self._readers.get(at)
        return view.state if view is not None else SlotState.UNAVAILABLE

    def _at(self, at: Where) -> Place | None:
        """Return the reader that stands for this one of a card host, with a card in it."""
        return next((p for p in self._places if p.seen.present and p.where == at), None)

    def _into_empty(self, card: CardInfo) -> bool:
        """Put a card into the reader where it was last, else into a new one."""
        empty = [p for p in self._places if not p.seen.present]
        known = next((p for p in empty if _who(p.card) == _who(card)), None)
        before: dict[bytes, Seen] = {}
        for place in empty[:-MAX_EMPTY] + [p for p in empty if p.where == where(card)]:
            if place is not known and place in self._places:
                self._places.remove(place)
                before[place.seen.name] = place.seen
        if known is not None:
            return known.put_in(card)
        taken = {place.seen.name for place in self._places}
        name = reader_name(card, taken)
        self._places.append(Place(card, before.get(name, Seen(name))))
        return True


def _who(card: CardInfo) -> Any:
    """Return what a card is known by; one that has no number is known by where it is."""
    ids = card.identities
    return (card.eids[0] if card.eids else ids.eid) or ids.iccid or where(card)


def _is_changed(place: Place, card: CardInfo) -> bool:
    """Return whether a card is not the one that was in the place, or was taken out meanwhile."""
    return place.leaving and not (place.unheard and _who(place.card) == _who(card))


def _is_overlooked(card: CardInfo) -> bool:
    """Return whether nobody looked at a card yet because somebody has, or had, its reader alone."""
    alone = card.lease is not None and card.lease.share is Share.DIRECT
    return (alone or card.state is CardState.RESETTING) and _who(card) == where(card)
