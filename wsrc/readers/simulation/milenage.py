# SPDX-License-Identifier: Apache-2.0
"""The functions f1 to f5* of 3GPP TS 35.206 (Milenage), on AES-128."""

from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_C1_TO_C5 = tuple(bytes(15) + bytes([c]) for c in (0, 1, 2, 4, 8))
_R1_TO_R5 = (8, 0, 4, 8, 12)
"""Rotations to the left, in octets."""


class Keys(NamedTuple):
    """Results of f2, f3, f4 and f5 for one RAND."""

    res: bytes
    ck: bytes
    ik: bytes
    ak: bytes


class Milenage:
    """One subscriber: K and OPc, 16 octets each."""

    def __init__(self, k: bytes, opc: bytes) -> None:
        # One block at a time is what TS 35.206 defines; nothing is chained that ECB would show.
        self._aes = Cipher(algorithms.AES(k), modes.ECB())  # noqa: S305
        self._opc = opc

    def f1(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """Return MAC-A, 8 octets."""
        return self._out1(rand, sqn, amf)[:8]

    def f1_star(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        """Return MAC-S for resynchronisation, 8 octets."""
        return self._out1(rand, sqn, amf)[8:]

    def f2345(self, rand: bytes) -> Keys:
        """Return RES (8 octets), CK, IK (16) and AK (6)."""
        temp = self._temp(rand)
        out2 = self._out(temp, 1)
        return Keys(out2[8:], self._out(temp, 2), self._out(temp, 3), out2[:6])

    def f5_star(self, rand: bytes) -> bytes:
        """Return AK for resynchronisation, 6 octets."""
        return self._out(self._temp(rand), 4)[:6]

    def autn(self, rand: bytes, sqn: bytes, amf: bytes = b"\x80\x00") -> bytes:
        """Return the AUTN that a network would send (3GPP TS 33.102 clause 6.3.2)."""
        hidden = exclusive_or(sqn, self.f2345(rand).ak)
        return hidden + amf + self.f1(rand, sqn, amf)

    def _temp(self, rand: bytes) -> bytes:
        return self._encrypt(exclusive_or(rand, self._opc))

    def _out1(self, rand: bytes, sqn: bytes, amf: bytes) -> bytes:
        in1 = exclusive_or((sqn + amf) * 2, self._opc)
        block = exclusive_or(_rotate(in1, _R1_TO_R5[0]), self._temp(rand))
        return exclusive_or(self._encrypt(exclusive_or(block, _C1_TO_C5[0])), self._opc)

    def _out(self, temp: bytes, index: int) -> bytes:
        block = _rotate(exclusive_or(temp, self._opc), _R1_TO_R5[index])
        return exclusive_or(self._encrypt(exclusive_or(block, _C1_TO_C5[index])), self._opc)

    def _encrypt(self, block: bytes) -> bytes:
        encryptor = self._aes.encryptor()
        return encryptor.update(block) + encryptor.finalize()


def exclusive_or(left: bytes, right: bytes) -> bytes:
    """Combine two strings of the same length bit by bit."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _rotate(block: bytes, octets: int) -> bytes:
    return block[octets:] + block[:octets]
