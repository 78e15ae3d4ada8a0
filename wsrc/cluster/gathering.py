# SPDX-License-Identifier: Apache-2.0
"""
Lists of what all nodes have, one node after the other, in one stream of pages.

The number of a reader, and of the page that follows, has the place of its node in its upper bits;
our own readers have place 0, so that with one node alone all is as without a cluster. A node that
does not answer in time is named in place of what it has.
"""

from dataclasses import dataclass

import msgspec

from wsrc.cluster import items
from wsrc.cluster.outside import ANSWER_S, Home, Outside
from wsrc.protocol import codec, messages as m
from wsrc.relay.listing import STEP_S
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState

PLACE_BITS = 40
"""Below these bits a number is that of a reader with its own node."""

Listing = m.ListCards | m.ListReaders | m.Who | m.ListPeers
Page = m.ListCardsAck | m.ListReadersAck | m.WhoAck | m.ListPeersAck

TIMER = "page"


@dataclass(slots=True, eq=False)
class Gathering:
    """One list: what was asked, up to where it is answered, and how many pages are left."""

    number: int
    user: UserPeer
    asked: Listing
    place: int
    after: int
    left: int
    is_asked: bool = False
    unanswered: tuple[str, ...] = ()


class Lists:
    """
    All lists that are being sent.

    `instances` are the runs of the nodes whose connections were listed last, by their places.

    Args:
        state: Of our own relay.
        outside: The other nodes.
        home: Has our own relay act on a request.
    """

    def __init__(
        self,
        state: RelayState,
        outside: Outside,
        home: Home,
    ) -> None:
        self._state = state
        self._outside = outside
        self._home = home
        self._by_request: dict[tuple[int, int], Gathering] = {}
        self._by_number: dict[int, Gathering] = {}
        self._number = 0
        self.instances: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    def takes(self, user: UserPeer, message: m.Message, now: float) -> bool:
        """Take a list that concerns other nodes; return whether it was taken."""
        if not isinstance(message, Listing) or message.id is None or self._state.draining:
            return False
        place, after = place_of(message.after)
        if not place and not self._outside.up():
            return False
        if (user.number, message.id) in self._by_request:
            return False
        self._number += 1
        pages = 1 if isinstance(message, m.ListPeers) else max(1, min(message.pages, m.MAX_PAGES))
        gathering = Gathering(self._number, user, message, place, after, pages)
        self._by_request[user.number, message.id] = gathering
        self._by_number[gathering.number] = gathering
        self._ask(gathering, now)
        return True

    def told(self, node: str, link: int, message: m.Message, now: float) -> bool:
        """Take a page of another node; return whether it is one."""
        gathering = self._by_request.get((link, message.id if message.id is not None else -1))
        if gathering is None or self._outside.place(node) != gathering.place:
            return False
        if isinstance(message, Page):
            self._state.send(gathering.user, self._took(gathering, message, now))
        elif isinstance(message, m.Error) and isinstance(gathering.asked, m.ListPeers):
            self._passed_over(gathering, now)  # who operates here need not do so there
        elif isinstance(message, m.Error):
            self._state.send(gathering.user, message)
            self._forget(gathering)
        return True

    def answered(self, user: int, message: m.Message, now: float) -> m.Message | None:
        """Return in what form a user is sent a page of our own relay; None of all else."""
        gathering = self._by_request.get((user, message.id if message.id is not None else -1))
        if gathering is None or gathering.place or not gathering.is_asked:
            return None
        if isinstance(message, Page):
            return self._took(gathering, message, now)
        if isinstance(message, m.Error):
            self._forget(gathering)
        return None

    def expired(self, number: int, now: float) -> None:
        """Ask for the next page, or pass over a node that does not answer."""
        gathering = self._by_number.get(number)
        if gathering is None:
            return
        if gathering.is_asked:
            self._passed_over(gathering, now)
        else:
            self._ask(gathering, now)

    def down(self, node: str, now: float) -> None:
        """Pass over a node that is gone."""
        place = self._outside.place(node)
        for gathering in list(self._by_number.values()):
            if gathering.place == place and gathering.is_asked:
                self._passed_over(gathering, now)

    def gone(self, user: int) -> None:
        """Forget what a user asked for that is gone."""
        for gathering in [g for g in self._by_number.values() if g.user.number == user]:
            self._forget(gathering)

    def _ask(self, gathering: Gathering, now: float) -> None:
        node = self._outside.at(gathering.place) if gathering.place else None
        if gathering.place and node is None:
            self._go_to(gathering, self._following(gathering.place), now)
            return
        gathering.is_asked = True
        asked: Listing = msgspec.structs.replace(gathering.asked, after=gathering.after)
        if not isinstance(asked, m.ListPeers):
            asked = msgspec.structs.replace(asked, pages=1)
        if node is None:
            self._home(gathering.user, asked, None, now)
            return
        self._outside.arrives(gathering.user, node)
        said = items.Say(gathering.user.number, codec.encode(asked))
        self._outside.until((TIMER, gathering.number), now + ANSWER_S)
        self._outside.carry(node, said)

    def _took(self, gathering: Gathering, page: Page, now: float) -> Page:
        """Return a page as the user is sent it, and have the next one follow."""
        place = gathering.place
        if page.next is not None:
            following: int | None = number_of(place, page.next)
        else:
            place_after = self._following(place)
            following = number_of(place_after, 0) if place_after is not None else None
        if isinstance(page, m.ListReadersAck):
            page = msgspec.structs.replace(page, readers=placed(page.readers, place))
        if isinstance(page, m.ListPeersAck):
            page = self._of_a_node(page, place)
        gathering.left -= 1
        more = gathering.left > 0 and following is not None
        unanswered = gathering.unanswered if not more else ()
        page = msgspec.structs.replace(
            page, id=gathering.asked.id, next=following, unanswered=unanswered
        )
        if not isinstance(page, m.ListPeersAck):
            page = msgspec.structs.replace(page, more=more)
        if more and following is not None:
            gathering.place, gathering.after = place_of(following)
            gathering.is_asked = False
            self._outside.until((TIMER, gathering.number), now + STEP_S)
        else:
            self._forget(gathering)
        return page

    def _of_a_node(self, page: m.ListPeersAck, place: int) -> m.ListPeersAck:
        """Return connections with the numbers that they have in the cluster."""
        if not place:
            return page
        self.instances[place] = page.instance
        node = self._outside.name(place)
        peers = tuple(
            msgspec.structs.replace(each, number=number_of(place, each.number), node=node)
            for each in page.peers
        )
        return msgspec.structs.replace(page, peers=peers, instance=self._state.instance)

    def _passed_over(self, gathering: Gathering, now: float) -> None:
        """Go on with the next node, and tell the user at the end which had nothing to say."""
        name = self._outside.name(gathering.place)
        gathering.unanswered += (name,) if name is not None else ()
        self._go_to(gathering, self._following(gathering.place), now)

    def _go_to(self, gathering: Gathering, place: int | None, now: float) -> None:
        if place is not None:
            gathering.place, gathering.after = place, 0
            self._ask(gathering, now)
            return
        kinds: dict[type[Listing], Page] = {
            m.ListCards: m.ListCardsAck(cards=()),
            m.ListReaders: m.ListReadersAck(instance=self._state.instance, seq=0, readers=()),
            m.Who: m.WhoAck(cards=()),
            m.ListPeers: m.ListPeersAck(instance=self._state.instance, peers=()),
        }
        last = msgspec.structs.replace(
            kinds[type(gathering.asked)],
            id=gathering.asked.id,
            unanswered=gathering.unanswered,
        )
        self._state.send(gathering.user, last)
        self._forget(gathering)

    def _following(self, place: int) -> int | None:
        """Return the place of the node that comes after one."""
        places = map(self._outside.place, self._outside.up())
        return min((each for each in places if each > place), default=None)

    def _forget(self, gathering: Gathering) -> None:
        self._outside.until((TIMER, gathering.number), None)
        self._by_number.pop(gathering.number, None)
        self._by_request.pop((gathering.user.number, gathering.asked.id or 0), None)


def place_of(number: int) -> tuple[int, int]:
    """Return the place of the node in a number, and the number there."""
    return number >> PLACE_BITS, number & ((1 << PLACE_BITS) - 1)


def number_of(place: int, number: int) -> int:
    """Return a number of a node with its place."""
    return (place << PLACE_BITS) | number


def placed(readers: tuple[m.ReaderView, ...], place: int) -> tuple[m.ReaderView, ...]:
    """Return readers of a node with the numbers that they have in the cluster."""
    if not place:
        return readers
    replace = msgspec.structs.replace
    return tuple(replace(each, number=number_of(place, each.number)) for each in readers)
