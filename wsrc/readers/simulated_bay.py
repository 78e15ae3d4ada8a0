# SPDX-License-Identifier: Apache-2.0
"""One simulated reader and what is in it."""

import threading

from wsrc.card.slot import Share
from wsrc.errors import CardNotPresentError, Outcome, ReaderInUseError, ReaderUnavailableError
from wsrc.readers.base import Slot, SlotState
from wsrc.readers.simulation import Card


class Bay:
    """
    One reader and what is in it; `changed` guards all of it.

    `event_count` names one insertion: a connection is good for that one alone. `settings` are the
    attributes that were set. `held_elsewhere` is how another program has the card open.
    """

    def __init__(self, name: str, changed: threading.Condition, event_count: int) -> None:
        self.name = name
        self.plugged = True
        self.card: Card | None = None
        self.last_card: Card | None = None
        self.event_count = event_count
        self.held_elsewhere: Share | None = None
        self._changed = changed
        self._connected = False
        self._direct = False
        self.settings: dict[str, bytes] = {}

    def slot(self) -> Slot:
        """Describe the reader as it is now."""
        if self.card is None:
            return Slot(self.name, SlotState.EMPTY, event_count=self.event_count)
        state = SlotState.PRESENT if self.card.atr else SlotState.MUTE
        return Slot(
            self.name,
            state,
            self.card.atr,
            self.event_count,
            in_use=self.held_elsewhere is not None,
            exclusive=self.held_elsewhere is Share.EXCLUSIVE,
        )

    def insert(self, card: Card) -> None:
        """Put a card in, without power."""
        card.insert()
        self.card = self.last_card = card
        self.event_count += 1

    def take_out(self) -> Card | None:
        """Take the card out; its connection is void from then on."""
        card, self.card = self.card, None
        if card is not None:
            self.event_count += 1
            self._connected = False
            card.remove()
        return card

    def take(self) -> tuple[Card, int]:
        """Reserve the card for one connection, and return it with its event count."""
        with self._changed:
            card = self._present()
            self._require_free()
            self._connected = True
            return card, self.event_count

    def take_direct(self) -> None:
        """Reserve the reader for one connection, with or without a card."""
        with self._changed:
            self._require_plugged()
            self._require_free()
            self._direct = True

    def give_back_direct(self) -> None:
        """Take the reader back."""
        with self._changed:
            self._direct = False

    def give_back(self, event_count: int) -> bool:
        """Take the card back; false if another insertion is there by now."""
        with self._changed:
            if event_count != self.event_count:
                return False
            self._connected = False
            return True

    def require(self, event_count: int) -> None:
        """Check that the card of that insertion is still there."""
        with self._changed:
            self._present()
            if event_count != self.event_count:
                raise CardNotPresentError(
                    f"the card in {self.name} was changed", Outcome.NOT_EXECUTED
                )

    def look(self) -> Card | None:
        """
        Return the card that is there now.

        Raises:
            ReaderUnavailableError: If the reader was unplugged.
        """
        with self._changed:
            self._require_plugged()
            return self.card

    def _require_plugged(self) -> None:
        if not self.plugged:
            raise ReaderUnavailableError(f"{self.name} was unplugged", Outcome.NOT_EXECUTED)

    def _require_free(self) -> None:
        if self._connected or self._direct or self.held_elsewhere:
            raise ReaderInUseError(
                f"{self.name} is in use; close the other connection first", Outcome.NOT_EXECUTED
            )

    def _present(self) -> Card:
        self._require_plugged()
        if self.card is None:
            raise CardNotPresentError(f"there is no card in {self.name}", Outcome.NOT_EXECUTED)
        return self.card
