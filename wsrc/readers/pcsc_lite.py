# SPDX-License-Identifier: Apache-2.0
"""
The calls of pcsc-lite that name readers or tell their names, made without pyscard.

To pcsc-lite a name is octets: whatever a driver's configuration or a USB descriptor has, cut to
127 of them. pyscard takes it for UTF-8, fails on anything else, and waits for ASCII names only.
Here a name is text in which an octet that is not UTF-8 is a lone surrogate (PEP 383). Contexts and
handles are those of pyscard: both use the one library of the process.
"""

import ctypes
from typing import Any, Final

from wsrc.readers.pcsc_api import Scard, unsigned

_ATR_OCTETS: Final = 33


class _ReaderState(ctypes.Structure):
    """SCARD_READERSTATE of pcsclite.h."""

    _fields_ = [  # type: ignore[mutable-override]  # ctypes reads it once
        ("name", ctypes.c_char_p),
        ("user_data", ctypes.c_void_p),
        ("current", ctypes.c_ulong),
        ("event", ctypes.c_ulong),
        ("atr_octets", ctypes.c_ulong),
        ("atr", ctypes.c_ubyte * _ATR_OCTETS),
    ]


class PcscLite(Scard):
    """
    See `Scard`.

    Args:
        module: pyscard's `smartcard.scard`.
        library: libpcsclite, as ctypes has it.
    """

    def __init__(self, module: Any, library: Any) -> None:
        super().__init__(module)
        self._library = library

    def list_readers(self, context: int) -> tuple[int, list[str]]:
        """Return the result code and the names of the readers."""
        handle, count = ctypes.c_long(context), ctypes.c_ulong(0)
        code = self._library.SCardListReaders(handle, None, None, ctypes.byref(count))
        if code:
            return unsigned(code), []
        room = ctypes.create_string_buffer(count.value)
        code = self._library.SCardListReaders(handle, None, room, ctypes.byref(count))
        names = room.raw[: count.value].split(b"\0") if code == 0 else []
        return unsigned(code), [_text(name) for name in names if name]

    def can_wait_for(self, reader: str) -> bool:
        """Return True: any name will do."""
        return True

    def get_status_change(
        self, context: int, timeout_ms: int, states: list[tuple[str, int]]
    ) -> tuple[int, list[tuple[str, int, list[int]]]]:
        """Wait until a reader is not in the state given; name, state, ATR."""
        asked = (_ReaderState * len(states))()
        for entry, (name, state) in zip(asked, states, strict=True):
            entry.name, entry.current = octets_of(name), state
        code = self._library.SCardGetStatusChange(
            ctypes.c_long(context), ctypes.c_ulong(timeout_ms), asked, ctypes.c_ulong(len(states))
        )
        told = [(_text(e.name), int(e.event), list(e.atr[: e.atr_octets])) for e in asked]
        return unsigned(code), told

    def connect(
        self, context: int, reader: str, share_mode: int, protocols: int
    ) -> tuple[int, int]:
        """Return the result code and a card handle."""
        card, protocol = ctypes.c_long(0), ctypes.c_ulong(0)
        code = self._library.SCardConnect(
            ctypes.c_long(context),
            ctypes.c_char_p(octets_of(reader)),
            ctypes.c_ulong(share_mode),
            ctypes.c_ulong(protocols),
            ctypes.byref(card),
            ctypes.byref(protocol),
        )
        return unsigned(code), card.value

    def status(self, card: int) -> tuple[int, int, int, bytes]:
        """Return the result code, the state as pcsc-lite numbers it, the protocol, the ATR."""
        state, protocol = ctypes.c_ulong(0), ctypes.c_ulong(0)
        room, count = (ctypes.c_ubyte * _ATR_OCTETS)(), ctypes.c_ulong(_ATR_OCTETS)
        no_name = ctypes.c_ulong(0)
        code = self._library.SCardStatus(
            ctypes.c_long(card),
            None,
            ctypes.byref(no_name),
            ctypes.byref(state),
            ctypes.byref(protocol),
            room,
            ctypes.byref(count),
        )
        atr = bytes(room[: count.value]) if code == 0 else b""
        return unsigned(code), state.value, protocol.value, atr


def octets_of(name: str) -> bytes:
    """Return a reader's name as pcsc-lite has it."""
    return name.encode(errors="surrogateescape")


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
