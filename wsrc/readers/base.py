# SPDX-License-Identifier: Apache-2.0
"""
What WSRC asks of a reader.

All of it blocks. A `Source` is watched by one thread; each `Reader` is used by one thread at a
time, its own. Every failure is a `CardError` of `wsrc.errors`; what a reader or card cannot do is
a `RefusedError`, and nothing was done then.
"""

from collections.abc import Callable, Container, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from wsrc.card.identity import Identities
from wsrc.card.slot import CardProtocol, CardStatus, ResetKind, Share, SlotState

__all__ = [
    "CardProtocol",
    "CardStatus",
    "Connection",
    "Direct",
    "Found",
    "Known",
    "Reader",
    "ResetKind",
    "Share",
    "Slot",
    "SlotState",
    "Source",
    "Status",
]


class Slot(msgspec.Struct, frozen=True):
    """
    One reader as its source sees it now.

    `event_count` grows with each insertion and removal, so that two cards in turn are told apart
    even where nobody saw the slot empty. `in_use` tells that another program of this host has the
    card open, and `exclusive` that it does not let others have it.
    """

    name: str
    state: SlotState
    atr: bytes = b""
    event_count: int = 0
    in_use: bool = False
    exclusive: bool = False


class Status(msgspec.Struct, frozen=True):
    """What a reader says of its card; `protocol` is None where none was agreed on."""

    states: tuple[CardStatus, ...]
    protocol: CardProtocol | None = None
    atr: bytes = b""


class Found(msgspec.Struct, frozen=True):
    """
    A card as it answered after a cold reset.

    `whole` is whether it answered all questions, and `event_count` is that of its `Connection`.
    """

    atr: bytes
    protocol: CardProtocol
    identities: Identities
    whole: bool
    event_count: int | None


class Direct(Protocol):
    """A reader, with or without a card, that no other program of this host can use meanwhile."""

    @property
    def harmless_controls(self) -> Container[int]:
        """Control numbers with which the reader provably gives its card no command."""
        ...

    def status(self) -> Status:
        """
        Return what SCardStatus says.

        Raises:
            CardError: If the reader cannot be asked.
        """
        ...

    def control(self, number: int, octets: bytes) -> bytes:
        """
        Send a control code to the reader; `number` is the same on every platform.

        Raises:
            RefusedError: If the reader cannot do that; code `not_supported`.
            CardError: If it failed.
        """
        ...

    def get_attribute(self, name: str) -> bytes:
        """
        Return an attribute by its name of `pcsc_numbers.ATTRIBUTES`.

        Raises:
            RefusedError: If there is no such name or the reader has no such attribute; code
                `not_supported`.
            CardError: If it failed.
        """
        ...

    def set_attribute(self, name: str, value: bytes) -> None:
        """Set an attribute; errors as `get_attribute`."""
        ...

    def close(self, *, eject: bool = False) -> None:
        """
        Power the card off, if there is one, and release the reader; never raises.

        With `eject`, a reader that can push the card out does.
        """
        ...


class Connection(Direct, Protocol):
    """A powered card, held so that no other program of this host can use it meanwhile."""

    @property
    def atr(self) -> bytes:
        """ATR of the last reset."""
        ...

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        ...

    @property
    def event_count(self) -> int | None:
        """As in `Slot`, after the card was taken: whether it is the card that was seen."""
        ...

    def transmit(self, octets: bytes) -> bytes:
        """
        Send one TPDU (T=0) or one APDU (T=1) as it is and return the card's answer as it is.

        Raises:
            CardError: With the outcome: whether the card may have run the command.
        """
        ...

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        """
        Reset the card and return the new ATR; `protocols` as in `Reader.connect`.

        Raises:
            RefusedError: If the card has none of these; code `protocol_mismatch`.
            CardError: If the card does not come up again.
        """
        ...


class Reader(Protocol):
    """One reader of a source, for the thread that serves it."""

    @property
    def name(self) -> str:
        """Name as the host's PC/SC shows it."""
        ...

    @property
    def stable_id(self) -> str:
        """
        Name that survives restarts and other ports where the reader allows it.

        A serial number, else the bus position, else the name; not qualified by the host.

        Raises:
            ReaderInUseError: If another program keeps it from being asked.
            ReaderUnavailableError: If the reader or the service behind it is gone.
        """
        ...

    @property
    def position(self) -> str:
        """Where it is plugged in, with nothing of the reader in it; empty where that is unknown."""
        ...

    def connect(
        self, protocols: Sequence[CardProtocol] = (), *, share: Share = Share.EXCLUSIVE
    ) -> Connection:
        """
        Take the card, powered by a cold reset, such that nobody else can use it meanwhile.

        With the share `shared` programs of this host that want it wait, where PC/SC lets them, and
        are refused otherwise: it is for a few questions that no user waits for.

        Args:
            protocols: Those that may be used; none means any, the one that PC/SC itself chooses.
            share: Exclusive or shared.

        Raises:
            RefusedError: If the card has none of these; code `protocol_mismatch`.
            CardNotPresentError: If the slot is empty.
            CardUnresponsiveError: If the card gives no ATR.
            ReaderInUseError: If another program holds the card.
            ReaderUnavailableError: If the reader or the service behind it is gone.
        """
        ...

    def connect_direct(self) -> Direct:
        """
        Take the reader as it is, with or without a card; no card is powered.

        Raises:
            ReaderInUseError: If another program holds the reader.
            ReaderUnavailableError: If the reader or the service behind it is gone.
        """
        ...

    def close(self) -> None:
        """Release what the reader holds on the host; never raises."""
        ...


@runtime_checkable
class Known(Protocol):
    """A reader, or a connection, whose card is known: nobody asks it, or resets it for that."""

    @property
    def found(self) -> Found:
        """What is known of the card."""
        ...


class Source(Protocol):
    """Where readers come from: PC/SC, or simulated cards."""

    def watch(self, report: Callable[[list[Slot]], None]) -> None:
        """
        Report all slots at once and again after each change, until `stop` is called.

        A source whose service is away reports no slots, and goes on when it is back.
        """
        ...

    def prompt(self, name: str) -> bool:
        """Return whether a command to that reader's card is answered without any wait now."""
        ...

    def stop(self) -> None:
        """End `watch`, from any thread."""
        ...

    def open(self, name: str) -> Reader:
        """Return the reader of that name, with a PC/SC context of its own."""
        ...
