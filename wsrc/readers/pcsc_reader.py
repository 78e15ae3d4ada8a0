# SPDX-License-Identifier: Apache-2.0
"""One PC/SC reader and the card in it, when it is ours; for the one thread that serves it."""

import sys
from collections.abc import Callable, Sequence
from typing import Final

from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.card.pcsc_numbers import (
    ATTRIBUTES,
    PROTOCOL_ANY,
    PROTOCOL_MASKS,
    PROTOCOL_T0,
    PROTOCOLS,
    Code,
    Disposition,
    ShareMode,
)
from wsrc.errors import CardError, CardTransmissionError, ErrorCode, Outcome, RefusedError
from wsrc.readers import pcsc_api as api
from wsrc.readers.base import CardProtocol, ResetKind, Share
from wsrc.readers.pcsc_direct import PcscDirect
from wsrc.readers.pcsc_names import shown, stable_id, usb_position

PCSC_LITE: Final = sys.platform == "linux"

_RESETS: Final = 3
"""Attempts to bring a card up while it is said to have been reset by others."""

_NOT_IN_THIS_PROTOCOL: Final = frozenset(
    {
        Code.SCARD_E_PROTO_MISMATCH,
        Code.SCARD_W_UNRESPONSIVE_CARD,
        Code.SCARD_W_UNSUPPORTED_CARD,
        Code.SCARD_E_NOT_TRANSACTED,
    }
)
"""Codes of a reset where another protocol may work: drivers name this failure as they like."""

_INITIALIZATION: Final = {
    ResetKind.COLD: Disposition.UNPOWER,
    ResetKind.WARM: Disposition.RESET,
}


def _one_after_the_other(mask: int) -> Sequence[int]:
    """
    Return the protocols to ask for: those of the mask, then each by itself.

    PC/SC chooses, since a driver knows more than an ATR tells. Where it fails to agree on its
    choice, the card may still run in another protocol after another reset (ISO/IEC 7816-3
    clause 9).
    """
    return (mask, *PROTOCOL_MASKS.values()) if mask == PROTOCOL_ANY else (mask,)


class Context:
    """One PC/SC context."""

    def __init__(self, scard: api.Scard) -> None:
        self._scard = scard
        self._handle: int | None = None

    def handle(self, reader: str) -> int:
        """
        Return the context, made now if there is none; `reader` is for the error's sentence.

        Raises:
            ReaderUnavailableError: If the PC/SC service does not run.
        """
        if self._handle is None:
            code, handle = self._scard.establish_context()
            if code != Code.SCARD_S_SUCCESS:
                raise api.card_error(code, reader)
            self._handle = handle
        return self._handle

    def cancel(self) -> None:
        """End a wait in another thread."""
        handle = self._handle
        if handle is not None:
            self._scard.cancel(handle)

    def release(self) -> None:
        """Release it; the next `handle` makes another."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._scard.release_context(handle)


class OwnUse:
    """
    Readers that we use ourselves: what PC/SC shows of their use is no news.

    Readers may be used in any thread while one other thread looks at all of them.
    """

    def __init__(self) -> None:
        self._now: set[str] = set()
        self._since: set[str] = set()

    def begin(self, reader: str) -> None:
        """Note that we are about to use a reader."""
        self._now.add(reader)
        self._since.add(reader)

    def end(self, reader: str) -> None:
        """Note that we have let go of a reader."""
        self._now.discard(reader)

    def look(self) -> None:
        """Begin to look at all readers."""
        self._since = set(self._now)

    def seen(self, reader: str) -> bool:
        """Return whether we used a reader at any time since the look began."""
        return reader in self._since


class PcscReader:
    """
    One PC/SC reader with a context of its own, for one thread; see `base.Reader`.

    Args:
        name: As the calls have it; the attribute has characters that can be shown.
        scard: PC/SC.
        own: Told when we use the reader.
    """

    def __init__(self, name: str, scard: api.Scard, own: OwnUse) -> None:
        self._octets = name
        self.name = shown(name)
        self._scard = scard
        self._own = own
        self._context = Context(scard)
        self._attributes: tuple[bytes, bytes] | None = None

    @property
    def stable_id(self) -> str:
        """
        Serial number of the reader, else its USB port, else its name; with the slot.

        Raises:
            CardError: If the reader cannot be asked.
        """
        serial, channel = self._told()
        return stable_id(self.name, serial, channel)

    @property
    def position(self) -> str:
        """USB port of the reader; errors as `stable_id`."""
        return usb_position(self._told()[1])

    def _told(self) -> tuple[bytes, bytes]:
        """Return serial number and channel id, which are asked for once."""
        if self._attributes is None:
            card = self._hold(ShareMode.DIRECT, 0)
            _, serial = self._scard.get_attribute(card, ATTRIBUTES["vendor_ifd_serial_no"])
            _, channel = self._scard.get_attribute(card, ATTRIBUTES["channel_id"])
            self._scard.disconnect(card, Disposition.LEAVE)
            self._let_go()
            self._attributes = serial, channel
        return self._attributes

    def connect(
        self, protocols: Sequence[CardProtocol] = (), *, share: Share = Share.EXCLUSIVE
    ) -> "PcscConnection":
        """Take the card, powered by a cold reset; errors as `base.Reader`."""
        mode = ShareMode.SHARED if share is Share.SHARED else ShareMode.EXCLUSIVE
        card = self._hold(mode, PROTOCOL_ANY)
        connection = PcscConnection(self.name, card, self._scard, self._let_go, mode)
        try:
            connection.begin(protocols)
            state = self._look()
            connection.event_count = None if state is None else state >> 16 & 0xFFFF
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_direct(self) -> PcscDirect:
        """Take the reader as it is, with or without a card; errors as `base.Reader`."""
        card = self._hold(ShareMode.DIRECT, 0)
        return PcscDirect(self.name, card, self._scard, self._let_go)

    def close(self) -> None:
        """Release the context; never raises."""
        self._context.release()

    def _in_use(self) -> bool:
        """
        Return whether a program uses the reader.

        pcsc-lite lets even an exclusive connect wait, without limit, for the end of a transaction.
        """
        return bool((self._look() or 0) & (api.STATE_INUSE | api.STATE_EXCLUSIVE))

    def _look(self) -> int | None:
        """Return the state of the reader, with its count of events; None where it is not told."""
        if not self._scard.can_wait_for(self._octets):
            return None
        asked = [(self._octets, api.STATE_UNAWARE)]
        _, states = self._scard.get_status_change(self._context.handle(self.name), 0, asked)
        return next((state for _, state, _ in states), None)

    def _let_go(self) -> None:
        self._own.end(self._octets)

    def _hold(self, share_mode: int, protocols: int) -> int:
        """Take the reader, and note that it is we who hold it."""
        if self._in_use():
            raise api.card_error(Code.SCARD_E_SHARING_VIOLATION, self.name)
        self._own.begin(self._octets)
        try:
            return self._take(share_mode, protocols)
        except BaseException:
            self._let_go()
            raise

    def _take(self, share_mode: int, protocols: int) -> int:
        code, card = self._attempt(share_mode, protocols)
        if code in api.SERVICE_GONE:
            self._context.release()
            code, card = self._attempt(share_mode, protocols)
        if code != Code.SCARD_S_SUCCESS:
            raise api.connect_error(code, self.name)
        return card

    def _attempt(self, share_mode: int, protocols: int) -> tuple[int, int]:
        context, code, card = self._context.handle(self.name), 0, 0
        for wished in _one_after_the_other(protocols):
            before = code
            code, card = self._scard.connect(context, self._octets, share_mode, wished)
            if code not in _NOT_IN_THIS_PROTOCOL:
                return code, card
            code = before or code
        return code, card


class PcscConnection(PcscDirect):
    """A card that is ours; see `base.Connection`. It is for the thread of its reader."""

    def __init__(
        self, reader: str, card: int, scard: api.Scard, let_go: Callable[[], None], mode: int
    ) -> None:
        super().__init__(reader, card, scard, let_go)
        self.event_count: int | None = None
        self._mode = mode
        self.atr = b""
        """ATR of the last reset."""
        self._number = PROTOCOL_T0

    def begin(self, protocols: Sequence[CardProtocol]) -> None:
        """
        Cold reset the card; where it is shared, in a transaction that lasts until `close`.

        pcsc-lite lets whoever connects meanwhile wait for the end of the transaction, even those
        who want the card alone; they find it freshly reset.

        Raises:
            RefusedError: If the card has none of these protocols.
            CardError: If the card does not come up.
        """
        if self._mode == ShareMode.SHARED:
            code = self._scard.begin_transaction(self._handle())
            if code not in {Code.SCARD_S_SUCCESS, Code.SCARD_W_RESET_CARD}:
                raise api.connect_error(code, self._reader)
        self._power(Disposition.UNPOWER, protocols)

    def close(self, *, eject: bool = False) -> None:
        """Power the card off, or push it out, and release it; never raises."""
        if self._mode == ShareMode.SHARED and self._card is not None:
            self._scard.end_transaction(self._card, Disposition.UNPOWER)
            self.leave()
        else:
            super().close(eject=eject)

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        return PROTOCOLS[self._number]

    def transmit(self, octets: bytes) -> bytes:
        """
        Send one TPDU (T=0) or one APDU (T=1) as it is and return the card's answer as it is.

        Raises:
            CardError: With the outcome: whether the card may have run the command. Less than a
                command header (4 octets) and more than `MAX_COMMAND_OCTETS` are never sent.
        """
        if not 4 <= len(octets) <= MAX_COMMAND_OCTETS:
            raise CardTransmissionError(
                f"reader {self._reader!r}: {len(octets)} octets are no command; a command has "
                f"4 to {MAX_COMMAND_OCTETS}",
                Outcome.NOT_EXECUTED,
            )
        code, answer = self._scard.transmit(self._handle(), self._number, octets)
        if code != Code.SCARD_S_SUCCESS:
            raise api.transmit_error(code, self._reader, pcsc_lite=PCSC_LITE)
        if len(answer) < 2:
            raise self._no_status_word(len(answer))
        return answer

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        """
        Reset the card and return the new ATR; the protocol is agreed on anew, among these if any.

        Raises:
            RefusedError: If the card has none of these protocols.
            CardError: If the card does not come up again.
        """
        self._power(_INITIALIZATION[kind], protocols)
        return self.atr

    def _power(self, initialization: int, protocols: Sequence[CardProtocol]) -> None:
        mask = sum(PROTOCOL_MASKS[protocol] for protocol in dict.fromkeys(protocols))
        code = self._reset(initialization, mask or PROTOCOL_ANY)
        other = code in _NOT_IN_THIS_PROTOCOL and mask not in {0, PROTOCOL_ANY}
        if other and (
            code == Code.SCARD_E_PROTO_MISMATCH
            or self._reset(initialization, PROTOCOL_ANY) == Code.SCARD_S_SUCCESS
        ):
            names = " and no ".join(protocols)
            why = f"The card in reader {self._reader!r} has no {names}."
            raise RefusedError(ErrorCode.PROTOCOL_MISMATCH, why)
        if code != Code.SCARD_S_SUCCESS:
            raise api.connect_error(code, self._reader)

    def _reset(self, initialization: int, mask: int) -> int:
        """Reset the card; the code is that of the first attempt, or success."""
        first: int = Code.SCARD_S_SUCCESS
        for wished in _one_after_the_other(mask):
            code = self._reset_into(initialization, wished)
            if code not in _NOT_IN_THIS_PROTOCOL:
                return code
            first = first or code
        return first

    def _reset_into(self, initialization: int, mask: int) -> int:
        code: int = Code.SCARD_W_RESET_CARD
        for _ in range(_RESETS):
            code = self._reset_once(initialization, mask)
            if code != Code.SCARD_W_RESET_CARD:
                break
        return code

    def _reset_once(self, initialization: int, mask: int) -> int:
        card = self._handle()
        code, number = self._scard.reconnect(card, self._mode, mask, initialization)
        if code != Code.SCARD_S_SUCCESS:
            return code
        code, atr = self._scard.atr(card)
        if code == Code.SCARD_S_SUCCESS:
            if number not in PROTOCOLS:
                return Code.SCARD_E_PROTO_MISMATCH
            self.atr, self._number = atr, number
        return code

    def _no_status_word(self, count: int) -> CardError:
        """Explain an answer without status word: the card went away in mid-command."""
        code, _ = self._scard.atr(self._handle())
        if code in {Code.SCARD_W_REMOVED_CARD, Code.SCARD_E_NO_SMARTCARD}:
            return api.card_error(code, self._reader, Outcome.UNKNOWN)
        return CardTransmissionError(
            f"reader {self._reader!r}: the card answered {count} octets, which is no status "
            "word; it stopped in the middle of the command",
            Outcome.UNKNOWN,
        )
