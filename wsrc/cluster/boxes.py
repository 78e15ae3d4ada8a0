# SPDX-License-Identifier: Apache-2.0
"""
The datagrams of a road, sealed: AES-256-GCM with a counter for a nonce, each taken once.

    1 octet   what it is: `SEALED`
    8 octets  number of the road
    8 octets  counter of its sender, the highest first
    n octets  the sealed text, and 16 octets of its tag

All before the sealed text is authenticated with it. Each direction has a key of its own.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED = b"s"
"""First octet of a sealed datagram."""

NUMBER_OCTETS, HEAD_OCTETS, TAG_OCTETS = 8, 17, 16
"""Octets of the number of a road, of all before the sealed text, and of the tag behind it."""

KEY_OCTETS = 32
"""Octets of a key."""

WINDOW = 1_024
"""So many datagrams later than another, one is still taken that was sent before it."""

_ALL = (1 << WINDOW) - 1
_NONCE = bytes(4)


class Boxes:
    """
    Seals what one end of a road says, and opens what the other says.

    Args:
        number: Of the road, `NUMBER_OCTETS`.
        sealing: Key of what is said here, `KEY_OCTETS`.
        opening: Key of what is said there.
    """

    def __init__(self, number: bytes, sealing: bytes, opening: bytes) -> None:
        self.number = number
        self._head = SEALED + number
        self._encrypt = AESGCM(sealing).encrypt
        self._decrypt = AESGCM(opening).decrypt
        self._counter = 0
        self._highest = 0
        self._seen = 1

    def seal(self, text: bytes) -> bytes:
        """Return a datagram; no two have the same counter."""
        self._counter += 1
        counter = self._counter.to_bytes(8)
        head = self._head + counter
        return head + self._encrypt(_NONCE + counter, text, head)

    def open(self, datagram: bytes) -> bytes | None:
        """Return what is in a datagram; None where it was taken before, is too late, or forged."""
        if len(datagram) < HEAD_OCTETS + TAG_OCTETS:
            return None
        head = datagram[:HEAD_OCTETS]
        counter = int.from_bytes(head[-8:])
        ahead = counter - self._highest
        if ahead <= 0 and (-ahead >= WINDOW or self._seen >> -ahead & 1):
            return None
        try:
            text = self._decrypt(_NONCE + head[-8:], memoryview(datagram)[HEAD_OCTETS:], head)
        except InvalidTag:
            return None
        if ahead <= 0:
            self._seen |= 1 << -ahead
        else:
            self._highest = counter
            self._seen = (self._seen << ahead | 1) & _ALL if ahead < WINDOW else 1
        return text
