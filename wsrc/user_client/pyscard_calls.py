# SPDX-License-Identifier: Apache-2.0
"""The calls of PC/SC as libpcsclite makes them, to the readers of a `Service`."""

import os
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from wsrc.pcsc_numbers import (
    GET_FEATURE_REQUEST,
    Code,
    Disposition,
    control_code,
    control_number,
    neutral_features,
    platform_features,
)
from wsrc.user_client.pcscd_wire import MAX_ATTRIBUTE_OCTETS
from wsrc.user_client.pyscard_service import Pipe, ScardError, Service

LOCK_WAIT_S = 60.0
"""How long another's transaction is waited for."""

_LOCK_POLL_S = 0.1
_MAX_ANSWER_OCTETS = 65_548
_PCI_OCTETS = 16

_HEADER = struct.Struct("=II")
_CONNECT = struct.Struct("=I128sIIiII")
_TRANSMIT = struct.Struct("=iIIIIIII")
_CONTROL = struct.Struct("=iIIIII")
_ATTRIBUTE = struct.Struct("=iI264sII")
_I2, _I3, _I6 = struct.Struct("=II"), struct.Struct("=III"), struct.Struct("=IIIIII")

_ESTABLISH, _CONNECT_READER, _RECONNECT, _DISCONNECT = 0x01, 0x04, 0x05, 0x06
_BEGIN, _END, _TRANSMIT_OCTETS, _CONTROL_READER = 0x07, 0x08, 0x09, 0x0A
_STATUS, _GET_ATTRIBUTE = 0x0B, 0x0F


class Context:
    """
    What SCardEstablishContext gives; calls are made one at a time, and raise `ScardError`.

    Args:
        service: Where the readers are.
        windows: Whether control codes are those of Windows, else those of pcsc-lite.
    """

    def __init__(self, service: Service, *, windows: bool = os.name == "nt") -> None:
        self._service = service
        self._windows = windows
        self._pipe = Pipe()
        self._turn = threading.Lock()
        self._names: dict[int, bytes] = {}
        service.plug(self._pipe)
        self._number: int = self._ask(_ESTABLISH, _I3, 0, 0, 0)[1]

    def release(self) -> None:
        """Let go of all handles, whatever goes on; it does not wait."""
        self._service.soon(self._pipe.close)

    def connect(self, name: bytes, share: int, protocols: int) -> tuple[int, int]:
        """Give a handle and the protocol in force, 0 for none."""
        fields = (self._number, name, share, protocols, 0, 0, 0)
        answer = self._ask(_CONNECT_READER, _CONNECT, *fields, of=name)
        self._names[answer[4]] = name
        return answer[4], answer[5]

    def reconnect(self, card: int, share: int, protocols: int, initialization: int) -> int:
        """Give the protocol in force."""
        fields = (card, share, protocols, initialization, 0, 0)
        return int(self._patiently(_RECONNECT, _I6, *fields)[4])

    def disconnect(self, card: int, disposition: int) -> None:
        """Give a handle back; in the thread of the service, all of them."""
        if self._service.is_own_thread:
            self.release()
            return
        self._ask(_DISCONNECT, _I3, card, disposition, 0)
        self._names.pop(card, None)

    def begin(self, card: int) -> None:
        """Begin a transaction, or one within that of this handle."""
        self._patiently(_BEGIN, _I2, card, 0)

    def end(self, card: int, disposition: int = Disposition.LEAVE) -> None:
        """End a transaction."""
        self._ask(_END, _I3, card, disposition, 0, of=self._names.get(card, b""))

    def status(self, card: int) -> None:
        """Raise what happened to the card since the handle was had."""
        self._patiently(_STATUS, _I2, card, 0)

    def transmit(self, card: int, protocol: int, octets: bytes) -> bytes:
        """Give the card's answer."""
        pci = (protocol, _PCI_OCTETS, len(octets), protocol, _PCI_OCTETS)
        fields = (card, *pci, _MAX_ANSWER_OCTETS, 0)
        return bytes(self._patiently(_TRANSMIT_OCTETS, _TRANSMIT, *fields, payload=octets)[-1])

    def control(self, card: int, code: int, octets: bytes) -> bytes:
        """Give the reader's answer; codes in it are of this platform, too."""
        number = control_number(code, windows=self._windows)
        there = control_code(number, windows=False) if number is not None else None
        if there is None:
            raise ScardError(Code.SCARD_E_UNSUPPORTED_FEATURE)
        fields = (card, there, len(octets), _MAX_ANSWER_OCTETS, 0, 0)
        answer = bytes(self._patiently(_CONTROL_READER, _CONTROL, *fields, payload=octets)[-1])
        if number != GET_FEATURE_REQUEST:
            return answer
        return platform_features(neutral_features(answer, windows=False), windows=self._windows)

    def get_attribute(self, card: int, number: int) -> bytes:
        """Give an attribute of the reader."""
        fields = (card, number, b"", MAX_ATTRIBUTE_OCTETS, 0)
        answer = self._patiently(_GET_ATTRIBUTE, _ATTRIBUTE, *fields)
        return bytes(answer[2][: answer[3]])

    def _patiently(
        self, command: int, layout: struct.Struct, *fields: Any, payload: bytes = b""
    ) -> tuple[Any, ...]:
        """Ask again while another has a transaction, as libpcsclite does, but not for ever."""
        until = time.monotonic() + LOCK_WAIT_S
        name = self._names.get(fields[0], b"")
        while True:
            try:
                return self._ask(command, layout, *fields, payload=payload, of=name)
            except ScardError as exc:
                waits = exc.code is Code.SCARD_E_SHARING_VIOLATION and not exc.reason
                if not waits or time.monotonic() >= until:
                    raise
            time.sleep(_LOCK_POLL_S)

    def _ask(
        self,
        command: int,
        layout: struct.Struct,
        *fields: Any,
        payload: bytes = b"",
        of: bytes = b"",
    ) -> tuple[Any, ...]:
        """Give the fields of the answer, the code being the last, and its payload."""
        request = _HEADER.pack(layout.size, command) + layout.pack(*fields) + payload
        answer: Future[bytes] = Future()
        size = _size_of(layout)
        with self._turn:
            self._service.soon(lambda: self._pipe.ask(request, size, answer))
            octets = self._answer_to(answer)
        given = layout.unpack_from(octets)
        code = Code(given[-1])
        if code is not Code.SCARD_S_SUCCESS:
            raise ScardError(code, self._service.why(of))
        return (*given, octets[layout.size :])

    def _answer_to(self, answer: "Future[bytes]") -> bytes:
        """Wait; who is interrupted cannot go on, for the answer still comes."""
        try:
            return self._service.result_of(answer)
        except ScardError:
            raise
        except BaseException:
            self.release()
            raise


def _size_of(layout: struct.Struct) -> Callable[[bytes], int]:
    """Tell how long an answer is: those that carry octets do so only if all went well."""
    length_at = {_TRANSMIT: 6, _CONTROL: 4}.get(layout)

    def size(octets: bytes) -> int:
        if length_at is None or len(octets) < layout.size:
            return layout.size
        fields = layout.unpack_from(octets)
        return layout.size + (fields[length_at] if fields[-1] == Code.SCARD_S_SUCCESS else 0)

    return size
