# SPDX-License-Identifier: Apache-2.0
"""
A card that vpcd puts into a reader of pcscd, and that does what a test scripts.

vpcd's protocol: two octets of length, then that many octets. One octet is a control code; all
else is a command. The driver asks, the card answers; power off, on and reset have no answer.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

ATR_T0 = bytes.fromhex("3b9095801fc75d")
"""As of a UICC: T=0, then T=15 for the interface octets that hold for all protocols."""
ATR_T0_BARE = bytes.fromhex("3b021450")
"""No TD1, so T=0."""
ATR_T1 = bytes.fromhex("3b800181")
ATR_T0_T1 = bytes.fromhex("3b80800101")
"""T=0 first, T=1 second."""

Answer = Callable[[bytes], bytes | None]

_OFF, _ON, _RESET, _GET_ATR = 0, 1, 2, 4
_POWER = {_OFF: "off", _ON: "on", _RESET: "reset"}


class VirtualCard:
    """
    A scripted card.

    Args:
        atr: What it answers to reset.
        answer: Gives the answer to a command; None closes the line in mid-command. It runs in the
            card's own thread.

    `events` has what happened to the card in order: "off", "on", "reset" and commands in hex.
    """

    def __init__(self, atr: bytes, answer: Answer = lambda _: b"\x90\x00") -> None:
        self.atr = atr
        self.answer = answer
        self.events: list[str] = []
        self.on_power: Callable[[str], None] = lambda _: None
        self._changed = threading.Condition()
        self._line: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def inserted(self, port: int) -> Iterator["VirtualCard"]:
        """Be in the slot behind a vpcd port."""
        self.insert(port)
        try:
            yield self
        finally:
            self.remove()

    def insert(self, port: int) -> None:
        """Enter the slot behind a vpcd port."""
        self._line = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._line.settimeout(None)
        self._thread = threading.Thread(target=self._serve, args=(self._line,), name="card")
        self._thread.start()

    def remove(self) -> None:
        """Leave the slot; nothing if the card is in none."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive(), "the scripted card hangs in its answer"
        self._line = self._thread = None

    def wait_for(self, true: Callable[[list[str]], bool], timeout_s: float = 10.0) -> None:
        """Wait until the events fit."""
        with self._changed:
            fits = self._changed.wait_for(lambda: true(self.events), timeout_s)
        assert fits, f"the card saw only {self.events}"

    def since(self, mark: int) -> list[str]:
        """Return the events from a position on."""
        with self._changed:
            return self.events[mark:]

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(ConnectionError, OSError):
            while True:
                octets = _read(line, int.from_bytes(_read(line, 2), "big"))
                answer = self._react(octets)
                if answer is None:
                    return
                if answer:
                    line.sendall(len(answer).to_bytes(2, "big") + answer)

    def _react(self, octets: bytes) -> bytes | None:
        if octets == bytes([_GET_ATR]):
            return self.atr
        power = _POWER.get(octets[0]) if len(octets) == 1 else None
        if power is not None:
            self.on_power(power)
        self._note(power or octets.hex())
        return b"" if power is not None else self.answer(octets)

    def _note(self, event: str) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()


def _read(line: socket.socket, count: int) -> bytes:
    """Read so many octets; vpcd sends length and content apart, so acknowledge at once."""
    octets = b""
    while len(octets) < count:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        more = line.recv(count - len(octets))
        if not more:
            raise ConnectionError("the reader let go of the card")
        octets += more
    return octets
