# SPDX-License-Identifier: Apache-2.0
"""What the driver vpcd does: it listens, and has a card powered, reset and asked."""

import socket

WAIT_S = 10.0
OFF, ON, RESET, ATR = b"\x00", b"\x01", b"\x02", b"\x04"
ASK = bytes.fromhex("0020000100")
VERIFY = bytes.fromhex("002000010831323334ffffffff")


class Driver:
    """What vpcd does: listens, speaks first, sends length and octets apart."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S)
        self.port: int = self._listener.getsockname()[1]
        self._card: socket.socket | None = None

    def accept(self) -> None:
        self._card, _ = self._listener.accept()
        self._card.settimeout(WAIT_S)

    def tell(self, octets: bytes) -> None:
        assert self._card is not None
        self._card.sendall(len(octets).to_bytes(2))
        self._card.sendall(octets)

    def ask(self, octets: bytes) -> bytes:
        self.tell(octets)
        return self._read(int.from_bytes(self._read(2)))

    def at_end(self) -> bool:
        assert self._card is not None
        return self._card.recv(1) == b""

    def hang_up(self) -> None:
        if self._card is not None:
            self._card.close()

    def close(self) -> None:
        self.hang_up()
        self._listener.close()

    def _read(self, octets: int) -> bytes:
        assert self._card is not None
        data = b""
        while len(data) < octets:
            chunk = self._card.recv(octets - len(data))
            assert chunk, "the card hung up"
            data += chunk
        return data
