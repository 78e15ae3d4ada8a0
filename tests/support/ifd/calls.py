# SPDX-License-Identifier: Apache-2.0
"""What pcscd asks of the driver, as `driver.c` passes it on: a line for each slot."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple


class Op(IntEnum):
    """The calls of an IFD handler."""

    CREATE = 1
    CLOSE = 2
    GET = 3
    SET = 4
    PROTOCOL = 5
    POWER = 6
    TRANSMIT = 7
    CONTROL = 8
    PRESENCE = 9
    CHANGES = 10


class Ifd(IntEnum):
    """Result codes and numbers of `ifdhandler.h`."""

    SUCCESS = 0
    POWER_UP = 500
    POWER_DOWN = 501
    RESET = 502
    ERROR_TAG = 600
    ERROR_SET_FAILURE = 601
    ERROR_PTS_FAILURE = 605
    PROTOCOL_NOT_SUPPORTED = 607
    ERROR_POWER_ACTION = 608
    COMMUNICATION_ERROR = 612
    RESPONSE_TIMEOUT = 613
    NOT_SUPPORTED = 614
    ICC_PRESENT = 615
    ICC_NOT_PRESENT = 616
    NO_SUCH_DEVICE = 617


class IfdCall(NamedTuple):
    """One call; `a`, `b` and `octets` as `driver.c` has them."""

    op: Op
    slot: int
    a: int
    b: int
    octets: bytes


Answer = tuple[int, bytes]
_CALL, _ANSWER = struct.Struct("=5I"), struct.Struct("=2I")


class CallServer:
    """
    The end of one reader's lines in the test; each line has a thread.

    Args:
        path: Where the driver finds it.
        answer: What a call is answered with; it runs in the thread of the line.
    """

    def __init__(self, path: Path, answer: Callable[[IfdCall], Answer]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._changes: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(32)
        self._start(self._accept)

    def changed(self, slot: int) -> None:
        """Have pcscd look at a slot now, if it looks at all."""
        with self._lock, contextlib.suppress(KeyError, OSError):
            self._changes[slot].send(b"!")

    def close(self) -> None:
        """End all lines; a call that is being answered must end by itself."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for line in self._lines:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "an odd card hangs in its answer"

    def _start(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, name="IFD")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                with self._lock:
                    self._lines.append(line)
                self._start(self._serve, line)

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            while True:
                op, lun, a, b, count = _CALL.unpack(_read(line, _CALL.size))
                call = IfdCall(Op(op), lun & 0xFFFF, a, b, _read(line, count))
                if call.op is Op.CHANGES:
                    with self._lock:
                        self._changes[call.slot] = line
                    continue
                code, octets = self._answer(call)
                line.sendall(_ANSWER.pack(code, len(octets)) + octets)


def _read(line: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        more = line.recv(count - len(octets))
        if not more:
            raise ConnectionError("pcscd is gone")
        octets += more
    return octets
