# SPDX-License-Identifier: Apache-2.0
"""Readers in front of local programs, by the cards that were in them, from what a server tells."""

import functools
import math
from collections.abc import Callable, Sequence

import msgspec

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.names import reader_name
from wsrc.card.slot import Share, SlotState
from wsrc.octets import from_wire
from wsrc.protocol.messages import CardInfo, CardState, Change, LeaseInfo, ReaderView, card_of
from wsrc.selection import Filter
from wsrc.user_client.core.feeds import ReaderNews, ReaderSnapshot

MAX_EMPTY = 64
"""Readers that stay without a card; the oldest ones go first."""

Where = tuple[str, str]
"""A reader as its server knows it from one run to the next: its host and its id."""


class Place:
    """
    One reader; its name stays when what is known of the card becomes more or less.

    While its card is `held` by us, what becomes of it is put off until our session is over, for
    the session waits for it.

    Args:
        reader: Of the server, with a card that is put in at once.
        card: That card.
        seen: The reader until then.
    """

    def __init__(self, reader: ReaderView, card: CardInfo, seen: Seen) -> None:
        self.card = card
        self.seen = seen
        self.number: int | None = None
        """The server's number of the reader; None where it does not have it."""
        self.insertion: int | None = None
        """That of the card; None where it may be another by now."""
        self.where = where(reader)
        self.returning = False
        """Whether its host is not back yet at a server that was started again."""
        self.came_back = False
        """Whether the card was away and came back while it was ours."""
        self.given_back = -math.inf
        """When we gave it back last, in monotonic seconds."""
        self._holder: object = None
        self._later: Callable[[], None] | None = None
        self._taking = False
        self._ours: LeaseInfo | None = None
        self.put_in(reader, card)

    def put_in(self, reader: ReaderView, card: CardInfo) -> None:
        """Note that the card is there."""
        before, self.card = self.seen, card
        self.insertion, self.where = reader.insertion, where(reader)
        self.came_back = self.held and (self.came_back or self.leaving)
        self.returning, self._later = False, None
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

    def take_out(self) -> None:
        """Note that the reader is empty."""
        if self.held:
            self.put_off(self.take_out)
            return
        self.returning = False
        self.seen = Seen(self.seen.name, event_count=self.seen.event_count + 1)

    def lose(self) -> None:
        """Note that the reader is out of reach."""
        if self.held:
            self.put_off(self.lose)
            return
        before = self.seen
        self.seen = Seen(before.name, unavailable=True, event_count=before.event_count)

    @property
    def held(self) -> bool:
        """Whether the card is ours."""
        return self._holder is not None

    @property
    def leaving(self) -> bool:
        """Whether the card is ours and what became of it is put off."""
        return self._later is not None

    def hold(self, card: object) -> None:
        """Note that the card is ours."""
        self._holder, self.came_back = card, False

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
        self._later = note

    def take(self) -> None:
        """Note that we ask for it: a lease that is told of from now on is likely to be ours."""
        self._taking = True

    def taken(self, lease: LeaseInfo | None) -> None:
        """Note that we have it, or were refused."""
        self._taking = False
        self._ours = lease
        if self.seen.present:
            self.seen = msgspec.structs.replace(self.seen, others=self._others())

    @property
    def others(self) -> list[LeaseInfo]:
        """The leases of the card that are not ours."""
        leases = (self.card.lease, *self.card.others)
        return [each for each in leases if each and not self._is_ours(each)]

    def _others(self) -> int:
        """Return how many others use the card; -1 for one that excludes us."""
        if self._taking:
            return 0
        others = self.others
        if any(each.share is not Share.SHARED for each in others):
            return -1
        return len(others) or int(self.card.state is CardState.IN_USE)

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

    Args:
        wanted: The cards that match any of these are shown; all, if there are none.
    """

    def __init__(self, wanted: Sequence[Filter] = ()) -> None:
        self.places: list[Place] = []
        self.unknown: set[int] = set()
        """Readers with a card that may be shown when it is known, by the number of the server."""
        self._wanted = wanted
        self._at: dict[int, Place] = {}
        """The places of readers that the server has, by its numbers."""
        self._away: dict[Where, Place] = {}
        """The places of readers that the server does not have."""
        self._instance: str | None = None

    def seen(self) -> list[Seen]:
        """Return all readers."""
        return [place.seen for place in self.places]

    def find(self, name: bytes) -> Place | None:
        """Return the reader of a name."""
        return next((p for p in self.places if p.seen.name == name), None)

    def at(self, at: Where) -> Place | None:
        """Return the reader that shows one of the server's."""
        return next((p for p in self.places if p.where == at), None)

    def out_of_reach(self) -> None:
        """Note that the server is: what it says of readers next is the whole."""
        self._instance = None
        for place in self.places:
            place.returning = False
            place.lose()

    def hear(self, news: ReaderNews) -> bool:
        """Take news of readers; return whether one changed."""
        if isinstance(news, ReaderSnapshot):
            before = self.seen()
            self._hear_all(news.readers, news.mark.instance)
            return self.seen() != before
        reader = news.reader
        if news.change is not Change.REMOVED:
            return self._hear(reader)
        self.unknown.discard(reader.number)
        place = self._at.get(reader.number)
        return place is not None and self._gone(place)

    def await_no_more(self) -> None:
        """Give up the readers whose hosts are not back yet: their time is over."""
        for place in self.places:
            place.returning = False

    def _hear_all(self, readers: Sequence[ReaderView], instance: str) -> None:
        """
        Take all readers that a server has.

        Those that are new come in the order of their hosts, whichever connected first, so that of
        those with equal names each has the same number every time. Of a server that was started
        again, a card in the same place is the same card.
        """
        anew, self._instance = instance != self._instance, instance
        numbers = {reader.number for reader in readers if not anew}
        for place in [place for number, place in self._at.items() if number not in numbers]:
            self._unbind(place)
        self.unknown.clear()
        for reader in sorted(readers, key=lambda reader: reader.host):
            self._hear(reader)
        for place in self.places:
            if place.number is None and not place.seen.unavailable:
                place.returning = anew and place.seen.present
                place.lose()

    def _hear(self, reader: ReaderView) -> bool:
        """Take how a reader is now; return whether one of ours changed."""
        card = card_of(reader)
        unknown = card is not None and (card.state is CardState.IDENTIFYING or _is_overlooked(card))
        shown = card is not None and (
            not self._wanted or any(f.matches(card) for f in self._wanted)
        )
        self.unknown.discard(reader.number)
        if unknown and shown:
            self.unknown.add(reader.number)
        place = self._bound(reader)
        if place is None:
            return card is not None and shown and not unknown and self._into_empty(reader, card)
        before = place.seen
        if card is not None and card.state is CardState.IDENTIFYING:
            if place.seen.present and not place.held:
                place.take_out()
        elif card is not None and shown:
            return self._into(place, reader, card, unknown=unknown) or place.seen != before
        elif reader.state is SlotState.UNAVAILABLE:
            place.lose()
        elif place.seen.present or place.seen.unavailable:
            place.take_out()
        return place.seen != before

    def _into(self, place: Place, reader: ReaderView, card: CardInfo, *, unknown: bool) -> bool:
        """Put a card into a reader that is shown; return whether another one shows it."""
        same = self._is_same(place, reader, card)
        if place.held and place.seen.present and not same:
            place.put_off(functools.partial(self._replace, place, reader, card))
        elif place.seen.present and same:
            place.put_in(reader, card)
        elif not unknown:
            self._replace(place, reader, card)
            return True
        elif place.seen.present:
            place.take_out()
        return False

    @staticmethod
    def _is_same(place: Place, reader: ReaderView, card: CardInfo) -> bool:
        """Return whether a card is the one that was in a place, and there all the time."""
        known = place.insertion is not None and not place.leaving
        if known and place.insertion == reader.insertion:
            return True
        if known and not place.held:
            return False
        return _who(place.card, place.where) == _who(card, where(reader))

    def _replace(self, place: Place, reader: ReaderView, card: CardInfo) -> None:
        if place.seen.present:
            place.take_out()
        self._into_empty(reader, card)

    def _bound(self, reader: ReaderView) -> Place | None:
        """Return the place of a reader that the server has."""
        place = self._at.get(reader.number)
        if place is None:
            place = self._away.pop(where(reader), None)
            if place is not None:
                self._bind(place, reader)
        return place

    def _bind(self, place: Place, reader: ReaderView) -> None:
        place.number = reader.number
        self._at[reader.number] = place

    def _gone(self, place: Place) -> bool:
        """Note that the server has no such reader any more; return whether that is news."""
        before = place.seen
        self._unbind(place)
        place.lose()
        return place.seen != before

    def _unbind(self, place: Place) -> None:
        self._forget(place)
        self._away[place.where] = place

    def _forget(self, place: Place) -> None:
        """Make a place stand for no reader."""
        if place.number is not None:
            del self._at[place.number]
        elif self._away.get(place.where) is place:
            del self._away[place.where]
        place.number = place.insertion = None

    def _into_empty(self, reader: ReaderView, card: CardInfo) -> bool:
        """Put a card into the reader where it was last, else into a new one."""
        empty = [p for p in self.places if not p.seen.present]
        who = _who(card, where(reader))
        known = next((p for p in empty if _who(p.card, p.where) == who), None)
        before: dict[bytes, Seen] = {}
        for place in empty[:-MAX_EMPTY] + [p for p in empty if p.where == where(reader)]:
            if place is not known and place in self.places:
                self.places.remove(place)
                self._forget(place)
                before[place.seen.name] = place.seen
        if known is None:
            name = reader_name(card, {place.seen.name for place in self.places})
            known = Place(reader, card, before.get(name, Seen(name)))
            self.places.append(known)
        else:
            self._forget(known)
            known.put_in(reader, card)
        self._bind(known, reader)
        return True


def where(reader: ReaderView) -> Where:
    """Return the host and the id of a reader."""
    return reader.host, reader.reader


def _who(card: CardInfo, at: Where) -> str | Where:
    """Return what a card is known by; one that has no number is known by where it is."""
    return (card.eids[0] if card.eids else None) or card.identities.iccid or at


def _is_overlooked(card: CardInfo) -> bool:
    """Return whether nobody looked at a card yet because somebody has, or had, its reader alone."""
    alone = card.lease is not None and card.lease.share is Share.DIRECT
    nameless = not card.eids and not card.identities.iccid
    return (alone or card.state is CardState.RESETTING) and nameless
