# SPDX-License-Identifier: Apache-2.0
"""A simulated reader in use: what is asked of it, and of the card in it."""

import zlib
from collections.abc import Callable, Sequence
from typing import Final

from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST
from wsrc.errors import (
    CardError,
    CardTransmissionError,
    ErrorCode,
    Outcome,
    ReaderUnavailableError,
    RefusedError,
)
from wsrc.readers.base import CardProtocol, CardStatus, ResetKind, Status
from wsrc.readers.simulated_bay import Bay
from wsrc.readers.simulation import Card

ECHO_CONTROL: Final = 2048
"""Control number that a simulated reader answers with what it was given."""

SETTABLE: Final = "supress_t1_ifs_request"
"""The attribute that a simulated reader lets itself be set."""

POWERED: Final = (CardStatus.PRESENT, CardStatus.POWERED, CardStatus.SPECIFIC)


class SimulatedDirect:
    """A simulated reader in use, with or without a card; see `base.Direct`."""

    harmless_controls = range(1 << 32)
    """All: none reaches a card."""

    def __init__(self, bay: Bay) -> None:
        self._bay = bay
        self._closed = False

    def status(self) -> Status:
        """See `base.Direct.status`."""
        self._check()
        card = self._bay.look()
        if card is None:
            return Status((CardStatus.ABSENT,))
        return Status((CardStatus.PRESENT,), None, card.atr)

    def control(self, number: int, octets: bytes) -> bytes:
        """Answer `ECHO_CONTROL` with what came; errors as `base.Direct.control`."""
        self._check()
        if number == ECHO_CONTROL:
            return octets
        if number == GET_FEATURE_REQUEST:
            return b""
        raise self._refusal(f"control number {number}")

    def get_attribute(self, name: str) -> bytes:
        """See `base.Direct.get_attribute`; a simulated reader has few."""
        self._check()
        value = self._attributes().get(name)
        if value is None:
            raise self._refusal(f"attribute {name[:40]!r}")
        return value

    def set_attribute(self, name: str, value: bytes) -> None:
        """Set an attribute, which can be `SETTABLE` alone; errors as `get_attribute`."""
        self._check()
        if name != SETTABLE:
            raise self._refusal(f"attribute {name[:40]!r} that can be set")
        self._bay.settings[name] = value

    def close(self, *, eject: bool = False) -> None:
        """Release the reader, which cannot eject."""
        del eject
        if not self._closed:
            self._closed = True
            self._bay.give_back_direct()

    def _attributes(self) -> dict[str, bytes]:
        card = self._bay.look()
        name = self._bay.name.encode()
        known = {
            "vendor_name": b"WSRC",
            "vendor_ifd_serial_no": zlib.crc32(name).to_bytes(4).hex().encode(),
            "maxinput": MAX_COMMAND_OCTETS.to_bytes(4, "little"),
            "icc_presence": b"\x00" if card is None else b"\x02",
            "device_friendly_name": name + b"\0",
        }
        if card is not None and card.atr:
            known["atr_string"] = card.atr
        return known | self._bay.settings

    def _check(self) -> None:
        if self._closed:
            raise CardTransmissionError(
                f"the connection to {self._bay.name} is closed; connect again",
                Outcome.NOT_EXECUTED,
            )
        self._bay.look()

    def _refusal(self, what: str) -> RefusedError:
        return RefusedError(ErrorCode.NOT_SUPPORTED, f"Reader {self._bay.name!r} has no {what}.")


class SimulatedConnection(SimulatedDirect):
    """
    A simulated card in use; see `base.Connection`.

    `find_dead` is called when the card failed, which may be because it is gone.
    """

    def __init__(
        self, bay: Bay, card: Card, event_count: int, find_dead: Callable[[], None]
    ) -> None:
        super().__init__(bay)
        self._card = card
        self.event_count: int | None = event_count
        self._count = event_count
        self._find_dead = find_dead

    @property
    def atr(self) -> bytes:
        """ATR of the last reset."""
        return self._card.atr

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        return self._card.protocol

    def status(self) -> Status:
        """Return what PC/SC would say of a card that is powered; errors as `transmit`."""
        self._check()
        return Status(POWERED, self._card.protocol, self._card.atr)

    def transmit(self, octets: bytes) -> bytes:
        """See `base.Connection.transmit`."""
        self._check()
        try:
            return self._card.transmit(octets)
        except CardError as exc:
            raise self._translated(exc) from exc

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        """See `base.Connection.reset`; a card without any of the protocols is not reset."""
        self._check()
        check_protocol(self._bay, self._card, protocols)
        try:
            return self._card.reset(kind)
        except CardError as exc:
            raise self._translated(exc) from exc

    def close(self, *, eject: bool = False) -> None:
        """Power the card off and release it; a command in flight ends at once."""
        del eject
        if not self._closed:
            self._closed = True
            if self._bay.give_back(self._count):
                self._card.power_off()

    def _check(self) -> None:
        super()._check()
        self._bay.require(self._count)

    def _translated(self, error: CardError) -> CardError:
        """Return the error, of the reader where the reader is what went away."""
        self._find_dead()
        if not self._bay.plugged:
            return ReaderUnavailableError(f"{self._bay.name} was unplugged", error.outcome)
        return error


def check_protocol(bay: Bay, card: Card, protocols: Sequence[CardProtocol]) -> None:
    """
    Check that a card can do with these protocols; none means any.

    Raises:
        RefusedError: If it cannot.
    """
    if protocols and card.protocol not in protocols:
        why = f"The card in reader {bay.name!r} has {card.protocol} only."
        raise RefusedError(ErrorCode.PROTOCOL_MISMATCH, why)
