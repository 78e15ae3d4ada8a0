# SPDX-License-Identifier: Apache-2.0
"""The answer to a GET RESPONSE that the card host sent before the program asked for it."""

from wsrc.card.apdu import channel_of

GET_RESPONSE = 0xC0


class LookAhead:
    """
    What a T=0 card held ready and its host has fetched (ISO/IEC 7816-4 clause 11.7.1).

    It behaves as the card would: the data are there for the very next GET RESPONSE on the same
    logical channel, in parts if less is asked for, and any other command loses them. A GET RESPONSE
    with P3 00 or without P3 asks for whatever 61xx has announced, as cards take it.
    """

    def __init__(self) -> None:
        self._channel = 0
        self._data: bytes | None = None
        self._sw = 0x9000

    def put(self, cla: int, data: bytes, sw: int) -> None:
        """
        Keep the answer to GET RESPONSE.

        Args:
            cla: Class byte of the command that the card answered with 61xx or the like.
            data: Data of the response.
            sw: Status word that came with it.
        """
        self._channel, self._data, self._sw = channel_of(cla), data, sw

    def drop(self) -> None:
        """Forget it: the card was reset, or is another one."""
        self._data = None

    def answer(self, command: bytes) -> bytes | None:
        """
        Return the answer to a TPDU if it is known, else None: then the card must be asked.

        Args:
            command: A TPDU, as the program sends it.
        """
        data, self._data = self._data, None
        if data is None or not self._asks(command):
            return None
        if not data:
            return self._sw.to_bytes(2)
        wanted = (command[4] if len(command) > 4 else 0) or min(len(data), 256)
        if wanted > len(data):
            self._data = data
            return bytes((0x6C, len(data) & 0xFF))
        rest = data[wanted:]
        if rest:
            self._data = rest
            return data[:wanted] + bytes((0x61, min(len(rest), 256) & 0xFF))
        return data + self._sw.to_bytes(2)

    def _asks(self, command: bytes) -> bool:
        """Return whether a TPDU is GET RESPONSE on the channel of the data."""
        return (
            4 <= len(command) <= 5
            and command[1:4] == bytes((GET_RESPONSE, 0, 0))
            and channel_of(command[0]) == self._channel
        )
