# SPDX-License-Identifier: Apache-2.0
"""
The part of the PC/SC interface that a card host uses: the shape of its calls, and its errors.

The numbers that PC/SC has for all programs are in `pcsc_numbers`. Nothing here needs pyscard or a
PC/SC service.
"""

import sys
from typing import Any, Final

from wsrc.card.pcsc_numbers import Code, code_name, code_number
from wsrc.errors import (
    CardError,
    CardNotPresentError,
    CardTransmissionError,
    CardUnresponsiveError,
    Outcome,
    ReaderInUseError,
    ReaderUnavailableError,
)

WINDOWS: Final = sys.platform == "win32"

SCOPE_USER: Final = 0

STATE_UNAWARE: Final = 0x0000
STATE_CHANGED: Final = 0x0002
STATE_UNKNOWN: Final = 0x0004
STATE_UNAVAILABLE: Final = 0x0008
STATE_PRESENT: Final = 0x0020
STATE_EXCLUSIVE: Final = 0x0080
STATE_INUSE: Final = 0x0100
STATE_MUTE: Final = 0x0200

PNP_READER: Final = "\\\\?PnP?\\Notification"
"""Pseudo-reader that changes when a reader comes or goes."""

SERVICE_GONE: Final = frozenset(
    {
        Code.SCARD_E_NO_SERVICE,
        Code.SCARD_E_SERVICE_STOPPED,
        Code.SCARD_F_COMM_ERROR,
        Code.SCARD_E_INVALID_HANDLE,
        Code.SCARD_P_SHUTDOWN,
        Code.SCARD_E_SYSTEM_CANCELLED,
    }
)
"""A context that returns one of these is dead; another may work."""

_START_SERVICE = "start pcscd on this host, for example with: systemctl start pcscd.socket"
_NO_ATR = "the card gives no usable answer to reset; take it out, clean it and put it back"

_MEANINGS: Final[dict[int, tuple[type[CardError], str]]] = {
    Code.SCARD_E_NO_SMARTCARD: (CardNotPresentError, "there is no card in it; insert one"),
    Code.SCARD_W_REMOVED_CARD: (
        CardNotPresentError,
        "the card was taken out; insert it and connect again",
    ),
    Code.SCARD_W_UNRESPONSIVE_CARD: (CardUnresponsiveError, _NO_ATR),
    Code.SCARD_W_UNPOWERED_CARD: (CardUnresponsiveError, "the card has no power; connect again"),
    Code.SCARD_W_UNSUPPORTED_CARD: (CardUnresponsiveError, _NO_ATR),
    Code.SCARD_E_INVALID_ATR: (CardUnresponsiveError, _NO_ATR),
    Code.SCARD_E_SHARING_VIOLATION: (
        ReaderInUseError,
        "another program on this host holds the card; end it (gpg's: gpgconf --kill scdaemon)",
    ),
    Code.SCARD_E_UNKNOWN_READER: (
        ReaderUnavailableError,
        "no such reader is plugged in; plug it in",
    ),
    Code.SCARD_E_READER_UNAVAILABLE: (
        ReaderUnavailableError,
        "the reader was unplugged; plug it in again",
    ),
    Code.SCARD_E_NO_READERS_AVAILABLE: (
        ReaderUnavailableError,
        "no reader is plugged in; plug it in",
    ),
    Code.SCARD_E_NO_SERVICE: (
        ReaderUnavailableError,
        f"the PC/SC service is not running; {_START_SERVICE}",
    ),
    Code.SCARD_E_SERVICE_STOPPED: (
        ReaderUnavailableError,
        f"the PC/SC service stopped; {_START_SERVICE}",
    ),
    Code.SCARD_F_COMM_ERROR: (
        ReaderUnavailableError,
        f"the PC/SC service went away; {_START_SERVICE}",
    ),
    Code.SCARD_E_INVALID_HANDLE: (
        ReaderUnavailableError,
        "the PC/SC service does not know this connection, it was restarted; connect again",
    ),
    Code.SCARD_W_SECURITY_VIOLATION: (
        ReaderUnavailableError,
        "the PC/SC service refuses this user; allow its actions by a rule of polkit",
    ),
    Code.SCARD_W_RESET_CARD: (
        CardTransmissionError,
        "another program reset the card, so its state is lost; connect again",
    ),
    Code.SCARD_E_PROTO_MISMATCH: (
        CardTransmissionError,
        "the card is not in the protocol that was agreed on; connect again",
    ),
    Code.SCARD_E_NOT_TRANSACTED: (
        CardTransmissionError,
        "the exchange with the card failed; reset the card or connect again",
    ),
    Code.SCARD_E_INSUFFICIENT_BUFFER: (
        CardTransmissionError,
        "the card answered more octets than PC/SC carries; the command was executed",
    ),
}

_NEVER_SENT: Final = frozenset(
    {
        Code.SCARD_E_INVALID_HANDLE,
        Code.SCARD_E_INVALID_PARAMETER,
        Code.SCARD_E_INVALID_VALUE,
        Code.SCARD_E_PROTO_MISMATCH,
        Code.SCARD_E_SHARING_VIOLATION,
        Code.SCARD_E_UNKNOWN_READER,
        Code.SCARD_W_RESET_CARD,
        Code.SCARD_W_UNPOWERED_CARD,
    }
)
"""Errors of SCardTransmit that the resource manager returns before it turns to the reader."""

_NEVER_SENT_BY_PCSC_LITE: Final = frozenset({Code.SCARD_E_NO_SERVICE, Code.SCARD_W_REMOVED_CARD})
"""
pcsc-lite says NO_SERVICE where the request could not be written to its socket (a reply that does
not come is COMM_ERROR), and REMOVED_CARD only before it calls the driver.
"""


UNSUPPORTED: Final = frozenset(
    {
        code_number(Code.SCARD_E_UNSUPPORTED_FEATURE, windows=False),
        code_number(Code.SCARD_E_UNSUPPORTED_FEATURE, windows=True),
        Code.SCARD_E_INVALID_PARAMETER,
        Code.SCARD_E_INVALID_VALUE,
        0x01,
        0x32,
        0x57,
    }
)
"""
What control codes that a reader does not have are answered with.

Windows has UNEXPECTED where pcsc-lite has UNSUPPORTED_FEATURE, and drivers mean the same by it;
the last three are its invalid function, not supported and invalid parameter, which they pass on.
"""

NO_ATTRIBUTE: Final = UNSUPPORTED | {Code.SCARD_E_NOT_TRANSACTED, Code.SCARD_E_INSUFFICIENT_BUFFER}
"""
What attributes that a reader does not have are answered with.

pcsc-lite says NOT_TRANSACTED where a driver does not name the reason, and INSUFFICIENT_BUFFER
where its library cannot be asked for the length of a name first.
"""


class Scard:
    """
    pyscard's module `smartcard.scard` with types.

    Each call blocks without holding the interpreter. Result codes are as PC/SC writes them
    (Windows has them as negative numbers); what follows a code other than 0 has no meaning.
    """

    def __init__(self, module: Any) -> None:
        self._module = module

    def _call(self, name: str, *args: Any) -> Any:
        """
        Call pyscard.

        Raises:
            CardTransmissionError: If pyscard cannot make sense of what it was given or told.
        """
        try:
            return getattr(self._module, name)(*args)
        except (SystemError, TypeError, ValueError, OverflowError) as exc:
            outcome = Outcome.UNKNOWN if name == "SCardTransmit" else Outcome.NOT_EXECUTED
            raise CardTransmissionError(f"pyscard failed in {name}: {exc}", outcome) from exc

    def _end(self, name: str, *args: Any) -> int:
        """Call what ends something, which never raises."""
        try:
            return unsigned(self._call(name, *args))
        except CardTransmissionError:
            return Code.SCARD_F_INTERNAL_ERROR

    def establish_context(self) -> tuple[int, int]:
        """Return the result code and a context."""
        code, context = self._call("SCardEstablishContext", SCOPE_USER)
        return unsigned(code), context

    def release_context(self, context: int) -> int:
        """Return the result code."""
        return self._end("SCardReleaseContext", context)

    def cancel(self, context: int) -> int:
        """End a `get_status_change` of another thread, if it is waiting."""
        return self._end("SCardCancel", context)

    def list_readers(self, context: int) -> tuple[int, list[str]]:
        """Return the result code and the names of the readers."""
        code, names = self._call("SCardListReaders", context, [])
        return unsigned(code), names

    def can_wait_for(self, reader: str) -> bool:
        """Return whether `get_status_change` takes a reader's name: pyscard's must be ASCII."""
        return reader.isascii()

    def get_status_change(
        self, context: int, timeout_ms: int, states: list[tuple[str, int]]
    ) -> tuple[int, list[tuple[str, int, list[int]]]]:
        """Wait until a reader is not in the state given; name, state, ATR."""
        code, changed = self._call("SCardGetStatusChange", context, timeout_ms, states)
        return unsigned(code), changed

    def connect(
        self, context: int, reader: str, share_mode: int, protocols: int
    ) -> tuple[int, int]:
        """Return the result code and a card handle."""
        code, card, _ = self._call("SCardConnect", context, reader, share_mode, protocols)
        return unsigned(code), card

    def reconnect(
        self, card: int, share_mode: int, protocols: int, initialization: int
    ) -> tuple[int, int]:
        """Reset a card; return the result code and the protocol now in force."""
        code, protocol = self._call("SCardReconnect", card, share_mode, protocols, initialization)
        return unsigned(code), protocol

    def begin_transaction(self, card: int) -> int:
        """Return the result code, when no other program has a transaction any more."""
        return unsigned(self._call("SCardBeginTransaction", card))

    def end_transaction(self, card: int, disposition: int) -> int:
        """Return the result code."""
        return self._end("SCardEndTransaction", card, disposition)

    def disconnect(self, card: int, disposition: int) -> int:
        """Return the result code."""
        return self._end("SCardDisconnect", card, disposition)

    def atr(self, card: int) -> tuple[int, bytes]:
        """Return the result code and the ATR of the last reset."""
        code, _, _, atr = self.status(card)
        return code, atr

    def transmit(self, card: int, protocol: int, octets: bytes) -> tuple[int, bytes]:
        """Return the result code and the answer, at most 65 548 octets."""
        code, answer = self._call("SCardTransmit", card, protocol, list(octets))
        return unsigned(code), bytes(answer) if code == Code.SCARD_S_SUCCESS else b""

    def status(self, card: int) -> tuple[int, int, int, bytes]:
        """Return the result code, the state as the platform numbers it, the protocol, the ATR."""
        code, _, state, protocol, atr = self._call("SCardStatus", card)
        return unsigned(code), state, protocol, bytes(atr) if code == Code.SCARD_S_SUCCESS else b""

    def control(self, card: int, control_code: int, octets: bytes) -> tuple[int, bytes]:
        """Return the result code and what the reader answered."""
        code, answer = self._call("SCardControl", card, control_code, list(octets))
        return unsigned(code), bytes(answer) if code == Code.SCARD_S_SUCCESS else b""

    def get_attribute(self, card: int, attribute: int) -> tuple[int, bytes]:
        """Return the result code and an attribute of the reader."""
        code, value = self._call("SCardGetAttrib", card, attribute)
        return unsigned(code), bytes(value) if code == Code.SCARD_S_SUCCESS else b""

    def set_attribute(self, card: int, attribute: int, value: bytes) -> int:
        """Return the result code."""
        return unsigned(self._call("SCardSetAttrib", card, attribute, list(value)))


def unsigned(code: int) -> int:
    """Return a result code as PC/SC writes it; Windows has it as a negative number."""
    return code & 0xFFFF_FFFF


def error_name(code: int) -> str:
    """Return the PC/SC name of a result code, or its number where it has none."""
    return code_name(unsigned(code), windows=WINDOWS) or f"PC/SC error {unsigned(code):08X}"


def card_error(code: int, reader: str, outcome: Outcome = Outcome.NOT_EXECUTED) -> CardError:
    """Return the error for a result code of a call that is no command to the card."""
    code = unsigned(code)
    kind, sentence = _MEANINGS.get(code, (CardTransmissionError, "PC/SC failed; connect again"))
    return kind(f"reader {reader!r}: {sentence} ({error_name(code)})", outcome)


def connect_error(code: int, reader: str) -> CardError:
    """Return the error for a card that did not come up: a mismatch means an unusable ATR."""
    if unsigned(code) == Code.SCARD_E_PROTO_MISMATCH:
        text = f"reader {reader!r}: {_NO_ATR} ({error_name(code)})"
        return CardUnresponsiveError(text, Outcome.NOT_EXECUTED)
    return card_error(code, reader)


def transmit_error(code: int, reader: str, *, pcsc_lite: bool) -> CardError:
    """Return the error for a failed SCardTransmit, with what is known of the command."""
    unsent = _NEVER_SENT | _NEVER_SENT_BY_PCSC_LITE if pcsc_lite else _NEVER_SENT
    known = unsigned(code) in unsent
    return card_error(code, reader, Outcome.NOT_EXECUTED if known else Outcome.UNKNOWN)
