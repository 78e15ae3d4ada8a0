# SPDX-License-Identifier: Apache-2.0
"""What `watch` shows at a terminal: the cards that are there, and how the connection is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsrc.command_line import listing
from wsrc.command_line.live import Live
from wsrc.command_line.table import cut, lines
from wsrc.protocol.messages import CardInfo, Change
from wsrc.user_client.naming import CardKey, key_of

if TYPE_CHECKING:
    from wsrc.user_client.core.feeds import CardEvent

_LEAST_LINES = 3


class Watched:
    """
    Cards by their place, and what was said last of the connection.

    Args:
        names: Columns.
        time: Makes a time of the protocol readable.
    """

    def __init__(self, names: Sequence[str], time: listing.Time) -> None:
        self.live = Live(self.frame)
        self._names = names
        self._time = time
        self._cards: dict[CardKey, CardInfo] = {}
        self._begun = False
        self._note = "Connecting."

    def begin(self) -> None:
        """Forget all cards: those that are there come next."""
        with self.live.lock:
            self._cards.clear()
            self._begun, self._note = True, ""
        self.live.changed()

    def happened(self, event: "CardEvent") -> None:
        """Take what happened to a card."""
        with self.live.lock:
            if event.change is Change.REMOVED:
                self._cards.pop(key_of(event.card), None)
            else:
                self._cards[key_of(event.card)] = event.card
        self.live.changed()

    def note(self, text: str) -> None:
        """Show a sentence about the connection, below the cards."""
        with self.live.lock:
            self._note = text
        self.live.changed()

    def frame(self, width: int, height: int) -> list[str]:
        """Return the lines that fit a terminal; without a first connection there is no table."""
        if not self._begun:
            return [cut(self._note, width)]
        cards = listing.in_order(self._cards.values())
        room = max(height - _LEAST_LINES, 1)
        shown = lines(
            listing.titles(self._names),
            [listing.row(card, self._names, self._time) for card in cards[:room]],
            width,
        )
        if shown is None:
            rows = [listing.row(card, self._names, self._time) for card in cards[:room]]
            shown = lines(listing.titles(self._names), rows, None) or []
        hidden = max(len(shown) - 1 - room, 0) + max(len(cards) - room, 0)
        more = " More than fit are there." if hidden else ""
        said = [f"{listing.count(cards)}.{more}", *([self._note] if self._note else [])]
        return [cut(line, width) for line in [*shown[: room + 1], *said]][:height]
