# SPDX-License-Identifier: Apache-2.0
"""Readers that hold simulated cards, for demonstration, for tests and for who has no card."""

import threading
from collections.abc import Callable, Iterable

from wsrc.errors import (
    CardError,
    CardNotPresentError,
    CardTransmissionError,
    Outcome,
    ReaderInUseError,
    ReaderUnavailableError,
)
from wsrc.readers.base import CardProtocol, ResetKind, Slot, SlotState
from wsrc.readers.simulation import Card


class SimulatedSource:
    """
    Simulated readers, each with at most one card; they may come and go while it is watched.

    All methods are safe from any thread. What a command in flight meets: `remove` ends it with
    `CardNotPresentError`, `unplug` with `ReaderUnavailableError`, either with its true outcome.
    """

    def __init__(self, cards: Iterable[Card] = ()) -> None:
        self._changed = threading.Condition()
        self._bays: dict[str, _Bay] = {}
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
        Add a reader, with or without a card, and give its name.

        Raises:
            ValueError: If a reader of that name is there.
        """
        with self._changed:
            name = name or self._free_name(card.name if card else "Simulated Reader")
            if name in self._bays:
                raise ValueError(f"there is a reader {name} already")
            self._bays[name] = _Bay(name, self._changed, self._event_counts.get(name, 0))
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
        Take the card out and give it.

        Raises:
            ValueError: If the reader is empty.
        """
        with self._changed:
            card = self._bay(name).take_out()
            self._tell()
        if card is None:
            raise ValueError(f"{name} is empty")
        return card

    def hold(self, name: str) -> None:
        """Behave as though another program held the card."""
        self._set_held(name, held=True)

    def release(self, name: str) -> None:
        """Behave as though the other program let go of the card."""
        self._set_held(name, held=False)

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

    def open(self, name: str) -> "SimulatedReader":
        """
        Give the reader of that name.

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

    def _set_held(self, name: str, *, held: bool) -> None:
        with self._changed:
            self._bay(name).held_elsewhere = held
            self._tell()

    def _bay(self, name: str) -> "_Bay":
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

    def __init__(self, source: SimulatedSource, bay: "_Bay") -> None:
        self._source = source
        self._bay = bay

    @property
    def name(self) -> str:
        """Name of the reader."""
        return self._bay.name

    @property
    def stable_id(self) -> str:
        """The name: a simulated reader has no serial number."""
        return self._bay.name

    def connect(self) -> "SimulatedConnection":
        """
        Take the card for exclusive use, powered by a cold reset.

        Raises:
            CardNotPresentError: If the slot is empty.
            CardUnresponsiveError: If the card gives no ATR.
            ReaderInUseError: If another connection or program holds the card.
            ReaderUnavailableError: If the reader was unplugged.
        """
        card, event_count = self._bay.take()
        try:
            card.power_on()
        except CardError:
            self._bay.give_back(event_count)
            raise
        return SimulatedConnection(self._source, self._bay, card, event_count)

    def close(self) -> None:
        """Let go of the reader; nothing is held."""


class SimulatedConnection:
    """A simulated card in use."""

    def __init__(self, source: SimulatedSource, bay: "_Bay", card: Card, event_count: int) -> None:
        self._source = source
        self._bay = bay
        self._card = card
        self._event_count = event_count
        self._closed = False

    @property
    def atr(self) -> bytes:
        """ATR of the last reset."""
        return self._card.atr

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        return self._card.protocol

    def transmit(self, octets: bytes) -> bytes:
        """
        Send one TPDU (T=0) or one APDU (T=1) as it is and give the card's answer as it is.

        Raises:
            CardNotPresentError: If the card was taken out.
            ReaderUnavailableError: If the reader was unplugged.
            CardTransmissionError: If the connection was closed.
        """
        self._check()
        try:
            return self._card.transmit(octets)
        except CardError as exc:
            raise self._translated(exc) from exc

    def reset(self, kind: ResetKind) -> bytes:
        """
        Reset the card and give the new ATR.

        Raises:
            CardError: If the card does not come up again.
        """
        self._check()
        try:
            return self._card.reset(kind)
        except CardError as exc:
            raise self._translated(exc) from exc

    def close(self) -> None:
        """Power the card off and let go of it; a command in flight ends at once."""
        if not self._closed:
            self._closed = True
            if self._bay.give_back(self._event_count):
                self._card.power_off()

    def _check(self) -> None:
        if self._closed:
            raise CardTransmissionError(
                f"the connection to {self._bay.name} is closed; connect again",
                Outcome.NOT_EXECUTED,
            )
        self._bay.require(self._event_count)

    def _translated(self, error: CardError) -> CardError:
        """Say it of the reader where the reader is what went away."""
        self._source.find_dead()
        if not self._bay.plugged:
            return ReaderUnavailableError(f"{self._bay.name} was unplugged", error.outcome)
        return error


class _Bay:
    """
    One reader and what is in it; `changed` guards all of it.

    `event_count` names one insertion: a connection is good for that one alone.
    """

    def __init__(self, name: str, changed: threading.Condition, event_count: int) -> None:
        self.name = name
        self.plugged = True
        self.card: Card | None = None
        self.last_card: Card | None = None
        self.event_count = event_count
        self.held_elsewhere = False
        self._changed = changed
        self._connected = False

    def slot(self) -> Slot:
        """Describe the reader as it is now."""
        if self.card is None:
            return Slot(self.name, SlotState.EMPTY, event_count=self.event_count)
        state = SlotState.PRESENT if self.card.atr else SlotState.MUTE
        return Slot(self.name, state, self.card.atr, self.event_count, self.held_elsewhere)

    def insert(self, card: Card) -> None:
        """Put a card in, without power."""
        card.insert()
        self.card = self.last_card = card
        self.event_count += 1

    def take_out(self) -> Card | None:
        """Take the card out; its connection is good for nothing any more."""
        card, self.card = self.card, None
        if card is not None:
            self.event_count += 1
            self._connected = False
            card.remove()
        return card

    def take(self) -> tuple[Card, int]:
        """Give the card to one connection."""
        with self._changed:
            card = self._present()
            if self._connected or self.held_elsewhere:
                raise ReaderInUseError(
                    f"{self.name} is in use; close the other connection first",
                    Outcome.NOT_EXECUTED,
                )
            self._connected = True
            return card, self.event_count

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

    def _present(self) -> Card:
        if not self.plugged:
            raise ReaderUnavailableError(f"{self.name} was unplugged", Outcome.NOT_EXECUTED)
        if self.card is None:
            raise CardNotPresentError(f"there is no card in {self.name}", Outcome.NOT_EXECUTED)
        return self.card


def _no_reader(name: str) -> ReaderUnavailableError:
    return ReaderUnavailableError(f"there is no reader {name}", Outcome.NOT_EXECUTED)
