# SPDX-License-Identifier: Apache-2.0
"""AUTHENTICATE of a USIM (3GPP TS 31.102 clause 7.1.2, 3GPP TS 33.102 clause 6.3)."""

import hmac

from wsrc.readers.simulation.milenage import Milenage, exclusive_or
from wsrc.readers.simulation.status import SW, StatusWordError

_SUCCESS = b"\xdb"
_SYNCHRONISATION_FAILURE = b"\xdc"
_RESYNCHRONISATION_AMF = bytes(2)


class Usim:
    """One subscription; `sqn` is the highest sequence number accepted so far, 48 bits."""

    def __init__(self, milenage: Milenage, sqn: int, *, needs_pin: bool = False) -> None:
        self._milenage = milenage
        self.sqn = sqn
        self.needs_pin = needs_pin

    def authenticate_3g(self, rand: bytes, autn: bytes) -> bytes:
        """
        Check AUTN; return RES, CK and IK under tag DB, or AUTS under tag DC.

        Raises:
            StatusWordError: 9862 if the MAC is wrong; `sqn` stays as it is.
        """
        keys = self._milenage.f2345(rand)
        sqn, amf, mac = exclusive_or(autn[:6], keys.ak), autn[6:8], autn[8:]
        if not hmac.compare_digest(self._milenage.f1(rand, sqn, amf), mac):
            raise StatusWordError(SW.WRONG_MAC)
        if int.from_bytes(sqn) <= self.sqn:
            return _SYNCHRONISATION_FAILURE + with_length(self._auts(rand))
        self.sqn = int.from_bytes(sqn)
        return _SUCCESS + with_length(keys.res) + with_length(keys.ck) + with_length(keys.ik)

    def authenticate_gsm(self, rand: bytes) -> bytes:
        """Return SRES and Kc, each with its length (3GPP TS 33.102 clause 6.8.1.2)."""
        keys = self._milenage.f2345(rand)
        sres = exclusive_or(keys.res[:4], keys.res[4:])
        kc = exclusive_or(
            exclusive_or(keys.ck[:8], keys.ck[8:]), exclusive_or(keys.ik[:8], keys.ik[8:])
        )
        return with_length(sres) + with_length(kc)

    def _auts(self, rand: bytes) -> bytes:
        sqn = self.sqn.to_bytes(6)
        hidden = exclusive_or(sqn, self._milenage.f5_star(rand))
        return hidden + self._milenage.f1_star(rand, sqn, _RESYNCHRONISATION_AMF)


def with_length(value: bytes) -> bytes:
    """Return a value with its length before it, as AUTHENTICATE codes its fields."""
    return bytes([len(value)]) + value


def lengths_and_values(data: bytes) -> list[bytes]:
    """
    Split fields that have their length before them.

    Raises:
        StatusWordError: 6700 if a field runs past the end.
    """
    values: list[bytes] = []
    at = 0
    while at < len(data):
        size = data[at]
        if at + 1 + size > len(data):
            raise StatusWordError(SW.WRONG_LENGTH)
        values.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return values
