# SPDX-License-Identifier: Apache-2.0
"""Readers that hold simulated cards, for demonstrations, for tests and for want of a card."""

import threading
from collections.abc import Callable, Iterable, Sequence

from wsrc.card.slot import Share
from wsrc.errors import CardError, Outcome, ReaderUnavailableError, RefusedError
from wsrc.readers.base import CardProtocol, Slot
from wsrc.readers.simulated_bay import Bay
from wsrc.readers.simulated_connection import (
    SimulatedConnection,
    SimulatedDirect,
    check_protocol,
)
from wsrc.readers.simulation import Card


class SimulatedSource:
    """
    Simulated readers, each with at most one card; they may come and go while it is watched.

    All methods are safe from any thread. What a command in flight meets: `remove` ends it with
    `CardNotPresentError`, `unplug` with `ReaderUnavailableError`, either with its true outcome.
    """

    def __init__(self, cards: Iterable[Card] = ()) -> None:
        self._changed = threading.Condition()
        self._bays: dict[str, Bay] = {}
        self._event_counts: dict[str, int] = {}
        self._version = 0
        self._stopped = False
        for card in cards:
            self.plug(card)

    @property
    def names(self) -> list[str]:
        """Names of the readers that are plugged in."""
        with self._changed:
            return list(self._bays)

    def plug(self, card: Card | None = None, name: str | None = None) -> str:
        """
        Add a reader, with or without a card, and return its name.

        Raises:
            ValueError: If a reader of that name is there.
        """
        with self._changed:
            name = name or self._free_name(card.name if card else "Simulated Reader")
            if name in self._bays:
                raise ValueError(f"there is a reader {name} already")
            self._bays[name] = Bay(name, self._changed, self._event_counts.get(name, 0))
            if card is not None:
                self._bays[name].insert(card)
            self._tell()
        return name

    def unplug(self, name: str) -> None:
        """Take a reader away, with its card."""
        with self._changed:
            bay = self._bay(name)
            del self._bays[name]
            bay.plugged = False
            bay.take_out()
            self._event_counts[name] = bay.event_count
            self._tell()

    def insert(self, name: str, card: Card | None = None) -> None:
        """
        Put a card into an empty reader; without one, the card that was there last.

        Raises:
            ValueError: If a card is in the reader, or none was there before.
        """
        with self._changed:
            bay = self._bay(name)
            card = card or bay.last_card
            if bay.card is not None or card is None:
                raise ValueError(f"{name} is not empty" if bay.card else f"{name} never had a card")
            bay.insert(card)
            self._tell()

    def remove(self, name: str) -> Card:
        """
        Take the card out and return it.

        Raises:
            ValueError: If the reader is empty.
        """
        with self._changed:
            card = self._bay(name).take_out()
            self._tell()
        if card is None:
            raise ValueError(f"{name} is empty")
        return card

    def hold(self, name: str, share: Share = Share.EXCLUSIVE) -> None:
        """Behave as though another program held the card."""
        self._set_held(name, share)

    def release(self, name: str) -> None:
        """Behave as though the other program let go of the card."""
        self._set_held(name, None)

    def watch(self, report: Callable[[list[Slot]], None]) -> None:
        """Report all slots at once and after each change, until `stop` is called."""
        seen = -1
        while True:
            with self._changed:
                while self._version == seen and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                seen = self._version
                slots = [bay.slot() for bay in self._bays.values()]
            report(slots)

    def stop(self) -> None:
        """End `watch`, now and for good, from any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def prompt(self, name: str) -> bool:
        """Return whether the card of that reader is there, and has no delay."""
        bay = self._bays.get(name)
        card = None if bay is None else bay.card
        return card is not None and not card.faults.delay_s

    def open(self, name: str) -> "SimulatedReader":
        """
        Return the reader of that name.

        Raises:
            ReaderUnavailableError: If there is none.
        """
        with self._changed:
            if name not in self._bays:
                raise _no_reader(name)
            return SimulatedReader(self, self._bays[name])

    def find_dead(self) -> None:
        """Empty the slots whose cards died by themselves."""
        with self._changed:
            dead = [b for b in self._bays.values() if b.card is not None and b.card.removed]
            for bay in dead:
                bay.take_out()
            if dead:
                self._tell()

    def _set_held(self, name: str, share: Share | None) -> None:
        with self._changed:
            self._bay(name).held_elsewhere = share
            self._tell()

    def _bay(self, name: str) -> Bay:
        if name not in self._bays:
            raise ValueError(f"there is no reader {name}")
        return self._bays[name]

    def _free_name(self, product: str) -> str:
        numbers = (f"{product} {i:02} 00" for i in range(len(self._bays) + 1))
        return next(name for name in numbers if name not in self._bays)

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()


class SimulatedReader:
    """One simulated reader."""

    def __init__(self, source: SimulatedSource, bay: Bay) -> None:
        self._source = source
        self._bay = bay
        self.name = self.stable_id = bay.name
        self.position = ""

    def connect(
        self, protocols: Sequence[CardProtocol] = (), *, share: Share = Share.EXCLUSIVE
    ) -> SimulatedConnection:
        """See `base.Reader.connect`; the card is taken for exclusive use whatever the share."""
        card, event_count = self._bay.take()
        try:
            check_protocol(self._bay, card, protocols)
            card.power_on()
        except (CardError, RefusedError):
            self._bay.give_back(event_count)
            raise
        return SimulatedConnection(self._bay, card, event_count, self._source.find_dead)

    def connect_direct(self) -> SimulatedDirect:
        """See `base.Reader.connect_direct`."""
        self._bay.take_direct()
        return SimulatedDirect(self._bay)

    def close(self) -> None:
        """Release the reader; nothing is held."""


def _no_reader(name: str) -> ReaderUnavailableError:
    return ReaderUnavailableError(f"there is no reader {name}", Outcome.NOT_EXECUTED)
