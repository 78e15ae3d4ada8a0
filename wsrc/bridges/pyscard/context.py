# SPDX-License-Identifier: Apache-2.0
"""The calls of PC/SC as libpcsclite makes them, to the readers of a `Service`."""

import os
import threading
import time
from typing import TypeVar

from wsrc.bridges.pcscd.requests import (
    Begin,
    Connect,
    Connected,
    Control,
    Disconnect,
    End,
    EstablishContext,
    GetAttribute,
    Reconnect,
    Refused,
    Request,
    Transmit,
)
from wsrc.bridges.pyscard.service import Service
from wsrc.card.pcsc_numbers import Code, Disposition

LOCK_WAIT_S = 60.0
"""How long to wait for another's transaction."""

_LOCK_POLL_S = 0.1

T = TypeVar("T")


class Context:
    """
    What SCardEstablishContext returns; calls are made one at a time, and raise `Refused`.

    Args:
        service: Where the readers are.
        windows: Whether control codes are those of Windows, else those of pcsc-lite.
    """

    def __init__(self, service: Service, *, windows: bool = os.name == "nt") -> None:
        self._service = service
        self._windows = windows
        self._program = service.program()
        self._turn = threading.Lock()
        self._number = self._ask(EstablishContext())

    def release(self) -> None:
        """Release all handles, whatever goes on, without waiting."""
        self._service.let_go(self._program)

    def connect(self, name: bytes, share: int, protocols: int) -> Connected:
        """Return a handle and the protocol in force, 0 for none."""
        return self._ask(Connect(self._number, name, share, protocols))

    def reconnect(self, card: int, share: int, protocols: int, initialization: int) -> int:
        """Return the protocol in force."""
        return self._patiently(Reconnect(card, share, protocols, initialization))

    def disconnect(self, card: int, disposition: int) -> None:
        """Release a handle; in the thread of the service, all of them."""
        if self._service.is_own_thread:
            self.release()
        else:
            self._ask(Disconnect(card, disposition))

    def begin(self, card: int) -> None:
        """Begin a transaction, or one within that of this handle."""
        self._patiently(Begin(card))

    def end(self, card: int, disposition: int = Disposition.LEAVE) -> None:
        """End a transaction."""
        self._ask(End(card, disposition))

    def transmit(self, card: int, protocol: int, octets: bytes) -> bytes:
        """Return the card's answer."""
        return self._patiently(Transmit(card, protocol, octets))

    def control(self, card: int, code: int, octets: bytes) -> bytes:
        """Return the reader's answer; codes in it are of this platform, too."""
        return self._patiently(Control(card, code, octets, windows=self._windows))

    def get_attribute(self, card: int, number: int) -> bytes:
        """Return an attribute of the reader."""
        return self._patiently(GetAttribute(card, number))

    def _patiently(self, request: Request[T]) -> T:
        """Ask again while another has a transaction, as libpcsclite does, but not for ever."""
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return self._ask(request)
            except Refused as exc:
                waits = exc.code is Code.SCARD_E_SHARING_VIOLATION and not exc.reason
                if not waits or time.monotonic() >= until:
                    raise
            time.sleep(_LOCK_POLL_S)

    def _ask(self, request: Request[T]) -> T:
        """Make a call; who is interrupted cannot go on, for the answer still comes."""
        with self._turn:
            try:
                return self._service.ask(self._program, request)
            except Refused:
                raise
            except BaseException:
                self.release()
                raise
