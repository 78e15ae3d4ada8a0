# SPDX-License-Identifier: Apache-2.0
"""
The side of libpcsclite in its protocol with pcscd, versions 4:4 to 4:6, written from scratch.

Each part of a request goes out in a write of its own, and what is read is what the version
promises, so that a message at the wrong moment is taken for something else, as the library would.
"""

import select
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple, Self

OLD_ROWS = 16
SUCCESS, CANCELLED, TIMEOUT = 0, 0x80100002, 0x8010000A
ROW = struct.Struct("=128sIIi33s3xII")
STATE = {"absent": 2, "present": 4}


class DesyncError(Exception):
    """The stream does not say what the protocol promises."""


class Reader(NamedTuple):
    name: str
    events: int
    state: int
    sharing: int
    atr: bytes
    protocol: int


class Line:
    """One connection, which is one context once `establish` was called."""

    def __init__(self, path: Path | str, minor: int = 4, timeout_s: float = 20.0) -> None:
        self.minor = minor
        self.context = 0
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.settimeout(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, command: int, body: bytes = b"", payload: bytes = b"") -> None:
        self.socket.sendall(struct.pack("=II", len(body), command))
        for part in (body, payload):
            if part:
                self.socket.sendall(part)

    def read(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            more = self.socket.recv(count - len(octets))
            if not more:
                raise ConnectionError("the service closed the connection")
            octets += more
        return octets

    def ask(self, command: int, layout: str, *values: object) -> tuple[int, ...]:
        body = struct.pack(layout, *values)
        self.send(command, body)
        return struct.unpack(layout, self.read(len(body)))

    def version(self, major: int = 4, minor: int | None = None) -> tuple[int, int, int]:
        wanted = self.minor if minor is None else minor
        told_major, told_minor, code = self.ask(0x11, "=iiI", major, wanted, 0)
        return told_major, told_minor, code

    def establish(self) -> Self:
        assert self.version() == (4, self.minor, SUCCESS)
        _, self.context, code = self.ask(0x01, "=III", 2, 0, 0)
        assert code == SUCCESS
        assert self.context
        return self

    def release(self) -> int:
        return self.ask(0x02, "=II", self.context, 0)[1]

    def table(self) -> list[bytes]:
        """Read the table in the way of the version."""
        if self.minor < 6:
            self.send(0x12)
            return self._rows(OLD_ROWS)
        rows = self.table_size()
        self.send(0x17)
        return self._rows(rows)

    def table_size(self) -> int:
        self.send(0x16)
        (rows,) = struct.unpack("=i", self.read(4))
        if not 1 <= rows <= 4096:
            raise DesyncError(f"{rows} rows")
        return int(rows)

    def readers(self) -> list[Reader]:
        return [reader(row) for row in self.table() if row[0]]

    def _rows(self, count: int) -> list[bytes]:
        octets = self.read(count * ROW.size)
        return [octets[at : at + ROW.size] for at in range(0, len(octets), ROW.size)]

    def connect(self, name: str, share: int = 2, protocols: int = 3) -> tuple[int, int, int]:
        layout = "=I128sIIiII"
        answer = self.ask(0x04, layout, self.context, name.encode(), share, protocols, 0, 0, 0)
        return answer[6], answer[4], answer[5]

    def reconnect(self, card: int, initialization: int = 0) -> int:
        return self.ask(0x05, "=iIIIII", card, 2, 3, initialization, 0, 0)[5]

    def disconnect(self, card: int, disposition: int = 0) -> int:
        return self.ask(0x06, "=iII", card, disposition, 0)[2]

    def begin(self, card: int) -> int:
        return self.ask(0x07, "=iI", card, 0)[1]

    def end(self, card: int, disposition: int = 0) -> int:
        return self.ask(0x08, "=iII", card, disposition, 0)[2]

    def status(self, card: int) -> int:
        return self.ask(0x0B, "=iI", card, 0)[1]

    def cancel(self, context: int) -> int:
        return self.ask(0x0D, "=II", context, 0)[1]

    def transmit(
        self, card: int, octets: bytes, protocol: int = 1, room: int = 65548
    ) -> tuple[int, int, bytes]:
        layout = "=iIIIIIII"
        body = struct.pack(layout, card, protocol, 16, len(octets), protocol, 16, room, 0)
        self.send(0x09, body, octets)
        answer = struct.unpack(layout, self.read(len(body)))
        if answer[:6] != (card, protocol, 16, len(octets), protocol, 16):
            raise DesyncError(f"TRANSMIT is answered {answer}")
        return answer[7], answer[6], self.read(answer[6]) if answer[7] == SUCCESS else b""

    def control(self, card: int, code: int, octets: bytes = b"") -> tuple[int, bytes]:
        body = struct.pack("=iIIIII", card, code, len(octets), 264, 0, 0)
        self.send(0x0A, body, octets)
        answer = struct.unpack("=iIIIII", self.read(len(body)))
        return answer[5], self.read(answer[4]) if answer[5] == SUCCESS else b""

    def attribute(self, card: int, number: int, command: int = 0x0F) -> tuple[int, bytes]:
        layout = "=iI264sII"
        _, _, value, size, code = self.ask(command, layout, card, number, b"", 264, 0)
        return code, bytes(value)[:size]  # type: ignore[call-overload,no-any-return]

    def reader_events(self) -> int:
        """Ask how often readers came and went; a wait that was cancelled is told once more."""
        self.send(0x15)
        events, code = struct.unpack("=II", self.read(8))
        assert code in {SUCCESS, CANCELLED}
        return int(events)

    def begin_wait(self) -> list[Reader]:
        """Register, and read the table that the registration begins with."""
        self.send(0x13)
        rows = self._rows(OLD_ROWS) if self.minor < 6 else self.table()
        return [reader(row) for row in rows if row[0]]

    def event(self, timeout_s: float) -> int | None:
        """Return the code of the message that ends a wait; None if none comes."""
        if not select.select([self.socket], [], [], timeout_s)[0]:
            return None
        return self._end_of_wait()

    def stop_wait(self) -> int:
        """Take the registration back; exactly one message ends it."""
        self.send(0x14)
        return self._end_of_wait()

    def _end_of_wait(self) -> int:
        """Read its message; from 4:5 on it may be taken for the answer to GET_READER_EVENTS."""
        events, code = struct.unpack("=II", self.read(8))
        if events and (self.minor < 5 or events > 0x7FFF):
            raise DesyncError(f"the end of a wait begins with {events:#x}")
        return int(code)

    def wait_for(self, true: object, timeout_s: float = 20.0) -> list[Reader]:
        """Wait for a change until the readers are as wanted, as SCardGetStatusChange does."""
        assert callable(true)
        end = time.monotonic() + timeout_s
        while True:
            readers = self.begin_wait()
            if true(readers):
                self.stop_wait()
                return readers
            left = end - time.monotonic()
            if left <= 0 or self.event(left) is None:
                self.stop_wait()
                raise TimeoutError("the readers do not become what was waited for")


def reader(row: bytes) -> Reader:
    """Read one row, checking what can be checked."""
    name, events, state, sharing, atr, size, protocol = ROW.unpack(row)
    if size > 33 or state > 0x3F or protocol not in {0, 1, 2, 4} or sharing < -1:
        raise DesyncError(
            f"a row of the table says {events} {state:#x} {sharing} {size} {protocol}"
        )
    return Reader(name.split(b"\0")[0].decode(), events, state, sharing, atr[:size], protocol)
