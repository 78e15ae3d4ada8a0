# SPDX-License-Identifier: Apache-2.0
"""Exchanges without what is secret in them: the octets are replaced, their number stays."""

from typing import NamedTuple

from wsrc.guard import secrets
from wsrc.guard.commands import GET_RESPONSE, PSEUDO, SELECT, STORE_DATA, Seen, read, succeeded


class Exchange(NamedTuple):
    """
    A command and its answer, status word included, as they are shown.

    `data_at` and `data_octets` say which octets of the command are replaced by zeros, and
    `response_octets` how many of the answer.
    """

    command: bytes
    answer: bytes
    data_at: int = 0
    data_octets: int = 0
    response_octets: int = 0

    @property
    def redacted(self) -> bool:
        """Whether anything is left out."""
        return bool(self.data_octets or self.response_octets)


class Redactor:
    """Leaves out what is secret in the exchanges of one session with one card, in their order."""

    def __init__(self) -> None:
        self._files: dict[int, bytes] = {}
        self._open: set[int] = set()
        self._secret: set[int] = set()

    def was_reset(self) -> None:
        """Forget what was selected and begun."""
        self._files.clear()
        self._open.clear()
        self._secret.clear()

    def redact(self, command: bytes, answer: bytes) -> Exchange:
        """
        Return an exchange as it may be shown.

        Args:
            command: APDU or TPDU, of 4 octets at least.
            answer: What came, status word included; nothing if that is not known.
        """
        seen = read(command)
        channel = seen.channel
        file = self._files.get(channel, b"")
        goes_on = seen.ins == STORE_DATA and seen.p2 > 0 and channel in self._open
        in_command = secrets.in_command(seen, goes_on=goes_on, file=file)
        in_response = self._in_response(seen, file)
        self._learn(seen, answer, shown=not in_command)
        at, size = _data(command, seen) if in_command else (0, 0)
        hidden = max(0, len(answer) - 2) if in_response else 0
        return Exchange(
            command[:at] + bytes(size) + command[at + size :] if size else command,
            bytes(hidden) + answer[hidden:],
            at,
            size,
            hidden,
        )

    def _in_response(self, seen: Seen, file: bytes) -> bool:
        if seen.ins == GET_RESPONSE and seen.cla != PSEUDO:
            return seen.channel in self._secret
        return secrets.in_response(seen, file=file)

    def _learn(self, seen: Seen, answer: bytes, *, shown: bool) -> None:
        if seen.cla == PSEUDO:
            return
        channel = seen.channel
        if seen.ins != GET_RESPONSE:
            self._secret.discard(channel)
            if self._in_response(seen, self._files.get(channel, b"")):
                self._secret.add(channel)
        if seen.ins == STORE_DATA:
            (self._open.add if shown and seen.more else self._open.discard)(channel)
        if seen.ins == SELECT and _selected(answer):
            self._files[channel] = seen.readings[0][-2:] if seen.p1 != 0x04 else b""


def _selected(answer: bytes) -> bool:
    """Return whether SELECT was carried out, with a warning or without."""
    sw = int.from_bytes(answer[-2:])
    return succeeded(sw) or sw >> 8 in {0x62, 0x63}


def _data(command: bytes, seen: Seen) -> tuple[int, int]:
    """
    Return where all that may be data begins, and how long it is.

    The octet behind the header is shown only where it is a length for certain.
    """
    at = 5 if seen.sound or len(command) == 5 else 4
    return at, len(command) - at
