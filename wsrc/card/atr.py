# SPDX-License-Identifier: Apache-2.0
"""What an answer to reset says of a card (ISO/IEC 7816-3 clause 8)."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_GLOBAL = 15
"""T of the levels whose interface bytes hold for all protocols."""


class AtrFacts(NamedTuple):
    """
    Some of what an ATR tells.

    `uicc` is whether it has interface bytes for all protocols, as every UICC has, and `euicc`
    whether these announce eUICC functions (ETSI TS 102 221 clause 6.3.1 and table 6.7).
    """

    protocols: tuple[str, ...]
    historical: bytes
    uicc: bool
    euicc: bool


KNOWN = 256
"""ATRs that are remembered once they were read: a farm has many cards of few kinds."""

MAX_OCTETS = 33
"""Octets of the longest ATR (ISO/IEC 7816-3 clause 8.2.1); a longer one is not remembered."""


def read_atr(atr: bytes) -> AtrFacts | None:
    """Read an ATR; None where it ends too early."""
    return _known(atr) if len(atr) <= MAX_OCTETS else _read(atr)


def _read(atr: bytes) -> AtrFacts | None:
    try:
        levels = list(_levels(atr))
    except IndexError:
        return None
    end, count = levels[-1].end, atr[1] & 0x0F
    if end + count > len(atr):
        return None
    offered = [level.number for level in levels if level.number not in {None, _GLOBAL}]
    global_tb = next((level.tb for level in levels if level.number == _GLOBAL), None)
    return AtrFacts(
        tuple(f"T={number}" for number in dict.fromkeys(offered)) or ("T=0",),
        atr[end : end + count],
        any(level.number == _GLOBAL for level in levels),
        global_tb is not None and global_tb & 0x82 == 0x82,
    )


_known = lru_cache(KNOWN)(_read)


class _Level(NamedTuple):
    """Interface bytes with one index; `number` is their T, and `end` where they end."""

    number: int | None
    tb: int | None
    end: int


def _levels(atr: bytes) -> Iterator[_Level]:
    """
    Yield each level of interface bytes; a TB that is missing is None.

    Raises:
        IndexError: If a TD is missing.
    """
    number: int | None = None
    present, at = atr[1] >> 4, 2
    while True:
        end = at + present.bit_count()
        octets = atr[at + (present & 1) : end]
        yield _Level(number, octets[0] if present & 2 and octets else None, end)
        if not present & 8:
            return
        number, present, at = atr[end - 1] & 0x0F, atr[end - 1] >> 4, end
