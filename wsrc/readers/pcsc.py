# SPDX-License-Identifier: Apache-2.0
"""
Readers of this host's PC/SC service, reached through pyscard.

A source, and each of its readers, has a PC/SC context of its own and no lock is held over a call:
a reader that hangs keeps nobody else waiting. Contexts are made when first needed, and anew after
the service was restarted. This is the only module of the card client that imports pyscard.
"""

import ctypes
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from wsrc.card.pcsc_numbers import Code
from wsrc.errors import CardError, Outcome, ReaderUnavailableError
from wsrc.readers import pcsc_api as api
from wsrc.readers.base import Slot, SlotState
from wsrc.readers.pcsc_lite import PcscLite
from wsrc.readers.pcsc_names import shown, wanted
from wsrc.readers.pcsc_reader import PCSC_LITE, Context, OwnUse, PcscReader

_WAIT_MS: Final = 80 if PCSC_LITE else 1_000
"""
A wait for changes ends at the latest after this time, so that no stop is overlooked.

pcsc-lite does not end a wait when a card comes into use, so it is asked that often where there is
a card.
"""

_EMPTY_WAIT_MS: Final = 1_000
"""As `_WAIT_MS`, where no reader has a card: all that can change then ends a wait."""

_AT_ONCE: Final = 10
"""
Readers that one wait is for, the pseudo-reader for changes of the list included.

Windows takes no more; pcsc-lite before 2.5 takes 16, which are its readers without the pseudo-one.
"""

_PART_WAIT_MS: Final = 80
"""As `_WAIT_MS`, where a wait is for some of the readers only."""

_CANCEL_S: Final = 0.01
_CANCELS: Final = 100

_RETRY_MIN_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0
_PAUSE_S: Final = 0.02
"""Rest after a change that changed nothing we report."""

_LISTINGS: Final = 5
"""Further attempts to list readers while others are plugged in between length and content."""

_UNAWARE: Final = (api.STATE_UNAWARE, b"")

_log = logging.getLogger(__name__)


def _load() -> api.Scard:
    """
    Import pyscard, and load pcsc-lite beside it.

    Raises:
        ReaderUnavailableError: If pyscard or the PC/SC library is not installed.
    """
    library = None
    if PCSC_LITE:
        # pyscard would only print a line and then say NO_SERVICE for ever.
        try:
            library = ctypes.CDLL("libpcsclite.so.1")
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
    return api.Scard(scard) if library is None else PcscLite(scard, library)


def reader_names() -> frozenset[str]:
    """Return what the readers of this machine's PC/SC are called; none where it cannot be asked."""
    try:
        scard = _load()
    except CardError:
        return frozenset()
    code, context = scard.establish_context()
    if code != Code.SCARD_S_SUCCESS:
        return frozenset()
    code, names = scard.list_readers(context)
    scard.release_context(context)
    return frozenset(map(shown, names if code == Code.SCARD_S_SUCCESS else ()))


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
        self._context = Context(self._scard)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._watcher: int | None = None
        self._fresh = True
        self._known: dict[str, tuple[int, bytes]] = {}
        self._names_here: dict[str, str] = {}
        self._own = OwnUse()

    def watch(self, report: Callable[[list[Slot]], None]) -> None:
        """Report all slots at once and again after each change, until `stop` is called."""
        self._watcher = threading.get_ident()
        self._ended.clear()
        self._forget()
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
        if self._watcher is None:
            return
        # A service that hangs does not even answer a cancel.
        threading.Thread(target=self._cancel, name="PC/SC cancel", daemon=True).start()
        if self._watcher != threading.get_ident():
            self._ended.wait(_CANCELS * _CANCEL_S)

    def _cancel(self) -> None:
        for _ in range(_CANCELS):
            # A cancel that comes between two waits is lost.
            self._context.cancel()
            if self._ended.wait(_CANCEL_S):
                return

    def prompt(self, name: str) -> bool:
        """Return False: cards of PC/SC take their time."""
        del name
        return False

    def open(self, name: str) -> PcscReader:
        """Return the reader of that name; nothing is asked of it before it is used."""
        return PcscReader(self._names_here.get(name, name), self._scard, self._own)

    def _lose(self, exc: CardError, *, first: bool) -> list[Slot]:
        if first:
            _log.warning("no PC/SC readers for now: %s", exc)
        self._forget()
        return []

    def _forget(self) -> None:
        self._context.release()
        self._known.clear()
        self._fresh = True

    def _look(self) -> list[Slot]:
        """Wait for a change, at most `_WAIT_MS` and at first not at all; return the slots."""
        context = self._context.handle("PC/SC")
        self._own.look()
        names = self._names(context)
        asked = [api.PNP_READER, *filter(self._scard.can_wait_for, names)]
        wait_ms = 0 if self._fresh else self._wait_ms(asked)
        for at in range(0, len(asked), _AT_ONCE):
            self._look_at(context, asked[at : at + _AT_ONCE], wait_ms)
            wait_ms = 0
        self._fresh = False
        return [self._slot(name) for name in names]

    def _wait_ms(self, asked: Sequence[str]) -> int:
        if len(asked) > _AT_ONCE:
            return _PART_WAIT_MS
        states = (self._known.get(name, _UNAWARE)[0] for name in asked)
        return _WAIT_MS if any(state & api.STATE_PRESENT for state in states) else _EMPTY_WAIT_MS

    def _look_at(self, context: int, names: Sequence[str], wait_ms: int) -> None:
        asked = [(name, self._known.get(name, _UNAWARE)[0]) for name in names]
        code, states = self._scard.get_status_change(context, wait_ms, asked)
        if code == Code.SCARD_S_SUCCESS or (code == Code.SCARD_E_TIMEOUT and PCSC_LITE):
            # What pcsc-lite does not wake us for, it tells at the time-out.
            for name, state, atr in states:
                self._known[name] = (state & ~api.STATE_CHANGED, bytes(atr))
        elif code in {Code.SCARD_E_UNKNOWN_READER, Code.SCARD_E_READER_UNAVAILABLE}:
            self._known.clear()
        elif code not in {Code.SCARD_E_TIMEOUT, Code.SCARD_E_CANCELLED}:
            raise api.card_error(code, "PC/SC")

    def _names(self, context: int) -> list[str]:
        code, names = self._scard.list_readers(context)
        for _ in range(_LISTINGS):
            if code != Code.SCARD_E_INSUFFICIENT_BUFFER:
                break
            code, names = self._scard.list_readers(context)
        if code == Code.SCARD_E_NO_READERS_AVAILABLE:
            return []
        if code != Code.SCARD_S_SUCCESS:
            raise api.card_error(code, "PC/SC")
        self._names_here = {shown(name): name for name in names}
        return [name for name in names if wanted(shown(name), self._include, self._exclude)]

    def _slot(self, name: str) -> Slot:
        state, atr = self._known.get(name, (api.STATE_UNAVAILABLE, b""))
        use = 0 if self._own.seen(name) else state & (api.STATE_INUSE | api.STATE_EXCLUSIVE)
        return Slot(
            shown(name),
            _slot_state(state),
            atr,
            state >> 16 & 0xFFFF,
            in_use=bool(use),
            exclusive=bool(use & api.STATE_EXCLUSIVE),
        )


def _slot_state(state: int) -> SlotState:
    if state & (api.STATE_UNKNOWN | api.STATE_UNAVAILABLE):
        return SlotState.UNAVAILABLE
    if state & api.STATE_MUTE:
        return SlotState.MUTE
    return SlotState.PRESENT if state & api.STATE_PRESENT else SlotState.EMPTY
