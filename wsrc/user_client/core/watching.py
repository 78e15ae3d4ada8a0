# SPDX-License-Identifier: Apache-2.0
"""The cards as a watcher sees them: pages of a list and events, made one stream of events."""

from wsrc.protocol import messages as m
from wsrc.user_client.core.feed import Feed
from wsrc.user_client.naming import CardKey, key_of


class CardFeed(Feed[m.CardEvent]):
    """
    Take messages in the order in which the server sent them; give each change once.

    A page of a list counts as news of each card in it: what an event told before is not told
    again, and a card that went before it was listed is not told at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cards: dict[CardKey, m.CardInfo] = {}
        self._unlisted: set[CardKey] = set()

    def hear(self, message: m.Message) -> None:
        """Take one message; those that say nothing of cards are passed over."""
        match message:
            case m.ListCardsAck(cards=cards):
                for card in cards:
                    self._there(card)
            case m.CardEvent(change=m.Change.REMOVED, card=card):
                if self._cards.pop(key_of(card), None) is not None:
                    self._changed(m.Change.REMOVED, card)
            case m.CardEvent(card=card):
                self._there(card)
            case _:
                pass

    def begin_again(self) -> None:
        """Go on with another connection, on which all cards are listed, and then `listed`."""
        self._end = None
        self._unlisted = set(self._cards)

    def listed(self) -> None:
        """Tell of the cards that went while there was no connection: they were not listed."""
        unlisted, self._unlisted = self._unlisted, set()
        for key in unlisted:
            card = self._cards.pop(key, None)
            if card is not None:
                self._changed(m.Change.REMOVED, card)

    def _there(self, card: m.CardInfo) -> None:
        self._unlisted.discard(key_of(card))
        before = self._cards.get(key_of(card))
        if before == card:
            return
        self._cards[key_of(card)] = card
        self._changed(m.Change.ADDED if before is None else m.Change.CHANGED, card)

    def _changed(self, change: m.Change, card: m.CardInfo) -> None:
        self._tell(m.CardEvent(change=change, card=card))
