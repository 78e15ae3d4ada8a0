# SPDX-License-Identifier: Apache-2.0
"""
Readers of this host's PC/SC service, reached through pyscard.

A source, and each of its readers, has a PC/SC context of its own and no lock is held over a call:
a reader that hangs keeps nobody else waiting. Contexts are made when first needed, and anew after
the service was restarted. This is the only module of the card client that imports pyscard.
"""

import ctypes
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from wsrc.errors import (
    CardError,
    CardTransmissionError,
    Outcome,
    ReaderUnavailableError,
)
from wsrc.readers import pcsc_api as api
from wsrc.readers.base import CardProtocol, ResetKind, Slot, SlotState
from wsrc.readers.pcsc_names import first_protocol, stable_id, wanted

MAX_COMMAND_OCTETS: Final = 65_544
"""Longest command APDU (ISO/IEC 7816-3 clause 12.1)."""

_WAIT_MS: Final = 1_000
"""A wait for changes ends at the latest after this time, so that no stop is overlooked."""

_CANCEL_S: Final = 0.01
_CANCELS: Final = 100

_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0
_PAUSE_S: Final = 0.02
"""Rest after a change that changed nothing we report."""

_RESETS: Final = 3
"""Attempts to bring a card up while it is said to have been reset by others."""

_PROTOCOLS: Final = {
    api.PROTOCOL_T0: CardProtocol.T0,
    api.PROTOCOL_T1: CardProtocol.T1,
}
_NUMBERS: Final = {protocol: number for number, protocol in _PROTOCOLS.items()}
_INITIALIZATION: Final = {
    ResetKind.COLD: api.UNPOWER_CARD,
    ResetKind.WARM: api.RESET_CARD,
}
_PCSC_LITE: Final = sys.platform == "linux"

_log = logging.getLogger(__name__)


def _load() -> api.Scard:
    """
    Import pyscard.

    Raises:
        ReaderUnavailableError: If pyscard or the PC/SC library is not installed.
    """
    if _PCSC_LITE:
        # pyscard would only print a line and then say NO_SERVICE for ever.
        try:
            ctypes.CDLL("libpcsclite.so.1")
        except OSError as exc:
            raise ReaderUnavailableError(
                "the PC/SC library libpcsclite.so.1 is missing on this host; install it "
                "(Debian and Ubuntu: apt install pcscd libpcsclite1)",
                Outcome.NOT_EXECUTED,
            ) from exc
    try:
        from smartcard import scard  # noqa: PLC0415, TID251 - an extra; this is its one place
    except ImportError as exc:
        raise ReaderUnavailableError(
            "the Python package pyscard is missing, so PC/SC readers cannot be used; "
            "install it (pip install 'wsrc[pcsc]')",
            Outcome.NOT_EXECUTED,
        ) from exc
    return api.Scard(scard)


class _Context:
    """One PC/SC context."""

    def __init__(self, scard: api.Scard) -> None:
        self._scard = scard
        self._handle: int | None = None

    def handle(self, reader: str) -> int:
        """
        Give the context, made now if there is none; `reader` is for the error's sentence.

        Raises:
            ReaderUnavailableError: If the PC/SC service does not run.
        """
        if self._handle is None:
            code, handle = self._scard.establish_context()
            if code != api.S_SUCCESS:
                raise api.card_error(code, reader)
            self._handle = handle
        return self._handle

    def cancel(self) -> None:
        """End a wait in another thread."""
        handle = self._handle
        if handle is not None:
            self._scard.cancel(handle)

    def release(self) -> None:
        """Let go of it; the next `handle` makes another."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._scard.release_context(handle)


class PcscSource:
    """
    All readers of the PC/SC service whose names fit.

    Args:
        include: Patterns as of a shell, without regard to case; none means every reader.
        exclude: Patterns of readers to leave out all the same.

    Raises:
        ReaderUnavailableError: If pyscard or the PC/SC library is not installed. A service that
            does not run is no error: its readers appear when it does.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._scard = _load()
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self._context = _Context(self._scard)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._watcher: int | None = None
        self._fresh = True
        self._known: dict[str, tuple[int, bytes]] = {}
        self._held: set[str] = set()

    def watch(self, report: Callable[[list[Slot]], None]) -> None:
        """Report all slots at once and again after each change, until `stop` is called."""
        self._watcher = threading.get_ident()
        seen: list[Slot] | None = None
        retry_s = _RETRY_MIN_S
        try:
            while not self._stopping.is_set():
                rest_s = 0.0
                try:
                    slots = self._look()
                    retry_s = _RETRY_MIN_S
                except CardError as exc:
                    slots = self._lose(exc, first=seen != [])
                    rest_s, retry_s = retry_s, min(2 * retry_s, _RETRY_MAX_S)
                if slots != seen:
                    report(list(slots))
                    seen = slots
                elif not rest_s:
                    rest_s = _PAUSE_S
                self._stopping.wait(rest_s)
        finally:
            self._context.release()
            self._ended.set()

    def stop(self) -> None:
        """End `watch`, from any thread, its own included; waits a second for it at most."""
        self._stopping.set()
        for _ in range(_CANCELS):
            # A cancel that comes between two waits is lost.
            self._context.cancel()
            if self._watcher in {None, threading.get_ident()} or self._ended.wait(_CANCEL_S):
                return

    def open(self, name: str) -> "PcscReader":
        """Give the reader of that name; nothing is asked of it before it is used."""
        return PcscReader(name, self._scard, self._held)

    def _lose(self, exc: CardError, *, first: bool) -> list[Slot]:
        if first:
            _log.warning("no PC/SC readers for now: %s", exc)
        self._context.release()
        self._known.clear()
        self._fresh = True
        return []

    def _look(self) -> list[Slot]:
        """Wait for a change, at most `_WAIT_MS` and at first not at all; give the slots."""
        context = self._context.handle("PC/SC")
        names = self._names(context)
        asked = [(n, self._known.get(n, (0, b""))[0]) for n in names if n.isascii()]
        pnp = (api.PNP_READER, self._known.get(api.PNP_READER, (0, b""))[0])
        wait_ms = 0 if self._fresh else _WAIT_MS
        code, states = self._scard.get_status_change(context, wait_ms, [*asked, pnp])
        if code == api.S_SUCCESS or (code == api.E_TIMEOUT and _PCSC_LITE):
            # pcsc-lite does not wake us when a card comes into use, but tells it at the time-out.
            for name, state, atr in states:
                self._known[name] = (state & ~api.STATE_CHANGED, bytes(atr))
        elif code in {api.E_UNKNOWN_READER, api.E_READER_UNAVAILABLE}:
            self._known.clear()
        elif code not in {api.E_TIMEOUT, api.E_CANCELLED}:
            raise api.card_error(code, "PC/SC")
        self._fresh = False
        return [self._slot(name) for name in names]

    def _names(self, context: int) -> list[str]:
        code, names = self._scard.list_readers(context)
        if code == api.E_NO_READERS_AVAILABLE:
            return []
        if code != api.S_SUCCESS:
            raise api.card_error(code, "PC/SC")
        return [name for name in names if wanted(name, self._include, self._exclude)]

    def _slot(self, name: str) -> Slot:
        state, atr = self._known.get(name, (api.STATE_UNAVAILABLE, b""))
        in_use = bool(state & (api.STATE_INUSE | api.STATE_EXCLUSIVE)) and name not in self._held
        return Slot(name, _slot_state(state), atr, state >> 16 & 0xFFFF, in_use)


def _slot_state(state: int) -> SlotState:
    if state & (api.STATE_UNKNOWN | api.STATE_UNAVAILABLE):
        return SlotState.UNAVAILABLE
    if state & api.STATE_MUTE:
        return SlotState.MUTE
    return SlotState.PRESENT if state & api.STATE_PRESENT else SlotState.EMPTY


class PcscReader:
    """One PC/SC reader with a context of its own, for one thread; see `base.Reader`."""

    def __init__(self, name: str, scard: api.Scard, held: set[str]) -> None:
        self._name = name
        self._scard = scard
        self._held = held
        self._context = _Context(scard)
        self._stable_id: str | None = None

    @property
    def name(self) -> str:
        """Name as the host's PC/SC shows it."""
        return self._name

    @property
    def stable_id(self) -> str:
        """
        Serial number of the reader, else its USB port, else its name; with the slot.

        It is the name for as long as another program keeps the reader from being asked.
        """
        if self._stable_id is None:
            try:
                card = self._take(api.SHARE_DIRECT, 0)
            except CardError:
                return self._name
            serial = self._scard.attribute(card, api.ATTR_VENDOR_IFD_SERIAL_NO)
            channel = self._scard.attribute(card, api.ATTR_CHANNEL_ID)
            self._scard.disconnect(card, api.LEAVE_CARD)
            self._stable_id = stable_id(self._name, serial, channel)
        return self._stable_id

    def connect(self) -> "PcscConnection":
        """Take the card for exclusive use, powered by a cold reset; errors as `base.Reader`."""
        self._held.add(self._name)
        try:
            card = self._take(api.SHARE_EXCLUSIVE, api.PROTOCOL_ANY)
            return PcscConnection(self._name, card, self._scard, self._let_go)
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Release the context; never raises."""
        self._context.release()

    def _let_go(self) -> None:
        self._held.discard(self._name)

    def _take(self, share_mode: int, protocols: int) -> int:
        code, card = self._attempt(share_mode, protocols)
        if code in api.SERVICE_GONE:
            self._context.release()
            code, card = self._attempt(share_mode, protocols)
        if code != api.S_SUCCESS:
            raise api.connect_error(code, self._name)
        return card

    def _attempt(self, share_mode: int, protocols: int) -> tuple[int, int]:
        context = self._context.handle(self._name)
        return self._scard.connect(context, self._name, share_mode, protocols)


class PcscConnection:
    """
    A card held exclusively; see `base.Connection`. It is for the thread of its reader.

    Raises:
        CardError: If the cold reset that begins it fails; the card is let go of then.
    """

    def __init__(
        self, reader: str, card: int, scard: api.Scard, let_go: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._card: int | None = card
        self._scard = scard
        self._let_go = let_go
        self._atr = b""
        self._number = api.PROTOCOL_T0
        try:
            self._power(api.UNPOWER_CARD)
        except BaseException:
            self.close()
            raise

    @property
    def atr(self) -> bytes:
        """ATR of the last reset."""
        return self._atr

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        return _PROTOCOLS[self._number]

    def transmit(self, octets: bytes) -> bytes:
        """
        Send one TPDU (T=0) or one APDU (T=1) as it is and give the card's answer as it is.

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
        if code != api.S_SUCCESS:
            raise api.transmit_error(code, self._reader, pcsc_lite=_PCSC_LITE)
        if len(answer) < 2:
            raise self._no_status_word(len(answer))
        return answer

    def reset(self, kind: ResetKind) -> bytes:
        """
        Reset the card and give the new ATR; the protocol is agreed on anew.

        Raises:
            CardError: If the card does not come up again.
        """
        self._power(_INITIALIZATION[kind])
        return self._atr

    def close(self) -> None:
        """Power the card off and let go of it; never raises."""
        card, self._card = self._card, None
        if card is not None:
            self._scard.disconnect(card, api.UNPOWER_CARD)
            self._let_go()

    def _handle(self) -> int:
        if self._card is None:
            raise api.card_error(api.E_INVALID_HANDLE, self._reader)
        return self._card

    def _power(self, initialization: int) -> None:
        card = self._handle()
        code = api.W_RESET_CARD
        for _ in range(_RESETS):
            code = self._reset_once(card, initialization)
            if code != api.W_RESET_CARD:
                break
        if code != api.S_SUCCESS:
            raise api.connect_error(code, self._reader)

    def _reset_once(self, card: int, initialization: int) -> int:
        """Reset the card into the protocol that it offers first, else into any."""
        _, atr = self._scard.atr(card)
        offered = first_protocol(atr)
        wish = _NUMBERS[offered] if offered is not None else api.PROTOCOL_ANY
        code, number = self._scard.reconnect(card, wish, initialization)
        if code == api.E_PROTO_MISMATCH and wish != api.PROTOCOL_ANY:
            code, number = self._scard.reconnect(card, api.PROTOCOL_ANY, initialization)
        if code != api.S_SUCCESS:
            return code
        code, atr = self._scard.atr(card)
        if code == api.S_SUCCESS:
            if number not in _PROTOCOLS:
                return api.E_PROTO_MISMATCH
            self._atr, self._number = atr, number
        return code

    def _no_status_word(self, count: int) -> CardError:
        """Explain an answer without status word: the card went away in mid-command."""
        code, _ = self._scard.atr(self._handle())
        if code in {api.W_REMOVED_CARD, api.E_NO_SMARTCARD}:
            return api.card_error(code, self._reader, Outcome.UNKNOWN)
        return CardTransmissionError(
            f"reader {self._reader!r}: the card answered {count} octets, which is no status "
            "word; it stopped in the middle of the command",
            Outcome.UNKNOWN,
        )
