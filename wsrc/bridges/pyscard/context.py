# SPDX-License-Identifier: Apache-2.0
"""The calls of PC/SC as libpcsclite makes them, to the readers of a `Service`."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from wsrc.bridges.pcscd.layouts import (
    HEADER,
    LAYOUTS,
    MAX_ATTRIBUTE_OCTETS,
    MAX_PAYLOAD_OCTETS,
    PAYLOADS,
    Command,
)
from wsrc.bridges.pyscard.service import Pipe, ScardError, Service
from wsrc.card.pcsc_numbers import (
    GET_FEATURE_REQUEST,
    Code,
    Disposition,
    control_code,
    control_number,
    neutral_features,
    platform_features,
)

LOCK_WAIT_S = 60.0
"""How long another's transaction is waited for."""

_LOCK_POLL_S = 0.1
_PCI_OCTETS = 16


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
        self._number: int = self._ask(Command.ESTABLISH_CONTEXT, 0, 0, 0)[1]

    def release(self) -> None:
        """Let go of all handles, whatever goes on; it does not wait."""
        self._service.soon(self._pipe.close)

    def connect(self, name: bytes, share: int, protocols: int) -> tuple[int, int]:
        """Return a handle and the protocol in force, 0 for none."""
        fields = (self._number, name, share, protocols, 0, 0, 0)
        answer = self._ask(Command.CONNECT, *fields, of=name)
        self._names[answer[4]] = name
        return answer[4], answer[5]

    def reconnect(self, card: int, share: int, protocols: int, initialization: int) -> int:
        """Return the protocol in force."""
        fields = (card, share, protocols, initialization, 0, 0)
        return int(self._patiently(Command.RECONNECT, *fields)[4])

    def disconnect(self, card: int, disposition: int) -> None:
        """Give a handle back; in the thread of the service, all of them."""
        if self._service.is_own_thread:
            self.release()
            return
        self._ask(Command.DISCONNECT, card, disposition, 0)
        self._names.pop(card, None)

    def begin(self, card: int) -> None:
        """Begin a transaction, or one within that of this handle."""
        self._patiently(Command.BEGIN_TRANSACTION, card, 0)

    def end(self, card: int, disposition: int = Disposition.LEAVE) -> None:
        """End a transaction."""
        self._ask(Command.END_TRANSACTION, card, disposition, 0, of=self._names.get(card, b""))

    def status(self, card: int) -> None:
        """Raise what happened to the card since the handle was had."""
        self._patiently(Command.STATUS, card, 0)

    def transmit(self, card: int, protocol: int, octets: bytes) -> bytes:
        """Return the card's answer."""
        pci = (protocol, _PCI_OCTETS, len(octets), protocol, _PCI_OCTETS)
        fields = (card, *pci, MAX_PAYLOAD_OCTETS, 0)
        return bytes(self._patiently(Command.TRANSMIT, *fields, payload=octets)[-1])

    def control(self, card: int, code: int, octets: bytes) -> bytes:
        """Return the reader's answer; codes in it are of this platform, too."""
        number = control_number(code, windows=self._windows)
        there = control_code(number, windows=False) if number is not None else None
        if there is None:
            raise ScardError(Code.SCARD_E_UNSUPPORTED_FEATURE)
        fields = (card, there, len(octets), MAX_PAYLOAD_OCTETS, 0, 0)
        answer = bytes(self._patiently(Command.CONTROL, *fields, payload=octets)[-1])
        if number != GET_FEATURE_REQUEST:
            return answer
        return platform_features(neutral_features(answer, windows=False), windows=self._windows)

    def get_attribute(self, card: int, number: int) -> bytes:
        """Return an attribute of the reader."""
        fields = (card, number, b"", MAX_ATTRIBUTE_OCTETS, 0)
        answer = self._patiently(Command.GET_ATTRIB, *fields)
        return bytes(answer[2][: answer[3]])

    def _patiently(self, command: Command, *fields: Any, payload: bytes = b"") -> tuple[Any, ...]:
        """Ask again while another has a transaction, as libpcsclite does, but not for ever."""
        until = time.monotonic() + LOCK_WAIT_S
        name = self._names.get(fields[0], b"")
        while True:
            try:
                return self._ask(command, *fields, payload=payload, of=name)
            except ScardError as exc:
                waits = exc.code is Code.SCARD_E_SHARING_VIOLATION and not exc.reason
                if not waits or time.monotonic() >= until:
                    raise
            time.sleep(_LOCK_POLL_S)

    def _ask(
        self,
        command: Command,
        *fields: Any,
        payload: bytes = b"",
        of: bytes = b"",
    ) -> tuple[Any, ...]:
        """Return the fields of the answer, the code being the last, and its payload."""
        layout = LAYOUTS[command]
        request = HEADER.pack(layout.size, command) + layout.pack(*fields) + payload
        answer: Future[bytes] = Future()
        size = _size_of(command)
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


def _size_of(command: Command) -> Callable[[bytes], int]:
    """Return how long an answer is: those that carry octets do so only if all went well."""
    layout = LAYOUTS[command]

    def size(octets: bytes) -> int:
        if command not in PAYLOADS or len(octets) < layout.size:
            return layout.size
        fields = layout.unpack_from(octets)
        went_well = fields[-1] == Code.SCARD_S_SUCCESS
        return layout.size + (fields[PAYLOADS[command][1]] if went_well else 0)

    return size
