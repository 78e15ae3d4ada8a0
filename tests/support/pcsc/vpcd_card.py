# SPDX-License-Identifier: Apache-2.0
"""
Put a simulated card into a reader of a real pcscd, by way of the virtual reader driver vpcd.

The driver listens, the card dials it. Both send a length of 2 octets, big-endian, and as many
octets. The driver speaks first:

    length 1    00 power off, 01 power on, 02 reset (none is answered), 04 give the ATR
    otherwise   a TPDU or APDU as the application sent it, answered by the card's response
"""

import socket
import threading

from tests.support.pcsc.vpcd_line import receive
from wsrc.errors import CardError, CardNotPresentError
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card

_NO_ATR = b"\x00"
_MAX_ANSWER_OCTETS = 0xFFFF
_TOO_LONG = b"\x67\x00"

_DIAL_TIMEOUT_S = 5.0
_SILENCE_S = 60.0
"""pcscd asks for the ATR every 0.4 s; a driver that is silent for so long is gone."""

_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 1.0


class VpcdCard:
    """
    One card in one slot of vpcd.

    Args:
        card: The card; nobody else may use it meanwhile.
        host: Where pcscd runs.
        port: Port of the slot, 35963 (0x8C7B) for the first one of a stock configuration.
    """

    def __init__(self, card: Card, host: str = "127.0.0.1", port: int = 0x8C7B) -> None:
        self._card = card
        self._address = (host, port)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        """
        Serve the card until `stop`, or until the card is removed or dies.

        Dials again, at most every second, while nobody listens and after pcscd went away.
        """
        retry_s = _FIRST_RETRY_S
        while not self._stopped.is_set() and not self._card.removed:
            if self._dial_and_serve():
                retry_s = _FIRST_RETRY_S
            self._stopped.wait(retry_s)
            retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def stop(self) -> None:
        """Take the card out of the slot and end `run`, from any thread, any number of times."""
        with self._lock:
            self._stopped.set()
            self._card.power_off()
            if self._socket is not None:
                _shut(self._socket)

    def _dial_and_serve(self) -> bool:
        """Return whether the driver said anything."""
        try:
            connection = socket.create_connection(self._address, timeout=_DIAL_TIMEOUT_S)
        except OSError:
            return False
        with connection:
            connection.settimeout(_SILENCE_S)
            with self._lock:
                if self._stopped.is_set():
                    return False
                self._socket = connection
            try:
                return self._serve(connection)
            finally:
                with self._lock:
                    self._socket = None
                self._card.power_off()

    def _serve(self, connection: socket.socket) -> bool:
        heard = False
        try:
            while request := receive(connection):
                heard = True
                answer = self._answer(request)
                if answer:
                    connection.sendall(len(answer).to_bytes(2) + answer)
        except (OSError, CardError):
            # The driver sees an empty slot, which is what became of the card.
            return heard
        return heard

    def _answer(self, request: bytes) -> bytes:
        """Return what to answer; empty for nothing, since an empty answer would hang the driver."""
        if len(request) > 1:
            return self._transmit(request)
        match request[0]:
            case 0:
                self._card.power_off()
            case 1:
                self._bring_up(ResetKind.COLD)
            case 2:
                self._bring_up(ResetKind.WARM)
            case 4:
                return self._card.atr or _NO_ATR
            case _:
                pass
        return b""

    def _transmit(self, octets: bytes) -> bytes:
        if not self._card.powered:
            self._card.power_on()
        answer = self._card.transmit(octets)
        return answer if len(answer) <= _MAX_ANSWER_OCTETS else _TOO_LONG

    def _bring_up(self, kind: ResetKind) -> None:
        """Reset; a mute card stays in the slot, and shows by what it gives as ATR."""
        try:
            self._card.reset(kind)
        except CardNotPresentError:
            raise
        except CardError:
            return


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The driver was faster.
        return
