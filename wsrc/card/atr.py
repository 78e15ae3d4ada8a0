# SPDX-License-Identifier: Apache-2.0
"""What an answer to reset says of a card (ISO/IEC 7816-3 clause 8)."""

from collections.abc import Iterator
from typing import NamedTuple

from wsrc.card.slot import CardProtocol

_PROTOCOLS: dict[int | None, CardProtocol] = {0: CardProtocol.T0, 1: CardProtocol.T1}
_GLOBAL = 15
"""T of the levels whose interface bytes hold for all protocols."""


class AtrFacts(NamedTuple):
    """
    Some of what an ATR tells.

    `euicc` is whether it announces eUICC functions (ETSI TS 102 221 table 6.7).
    """

    protocols: tuple[str, ...]
    historical: bytes
    euicc: bool


def read_atr(atr: bytes) -> AtrFacts | None:
    """Read an ATR; None where it ends too early."""
    if len(atr) < 2:
        return None
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
        global_tb is not None and global_tb & 0x82 == 0x82,
    )


def first_protocol(atr: bytes) -> CardProtocol | None:
    """
    Return the protocol that a card offers first (ISO/IEC 7816-3 clause 8.2.3).

    TA2 names the protocol of the specific mode, else TD1 the default one; no TD1 means T=0.
    None where the ATR is cut short or names a protocol that PC/SC cards do not have.
    """
    if len(atr) < 2:
        return None
    levels = _levels(atr)
    next(levels)
    try:
        second = next(levels, None)
    except IndexError:
        return None
    if second is None:
        return CardProtocol.T0
    number = second.number if second.ta is None else second.ta & 0x0F
    return _PROTOCOLS.get(number)


class _Level(NamedTuple):
    """Interface bytes with one index; `number` is their T, and `end` where they end."""

    number: int | None
    ta: int | None
    tb: int | None
    end: int


def _levels(atr: bytes) -> Iterator[_Level]:
    """
    Yield each level of interface bytes; TA and TB that are missing are None.

    Raises:
        IndexError: If a TD is missing.
    """
    number: int | None = None
    present, at = atr[1] >> 4, 2
    while True:
        end = at + present.bit_count()
        octets = iter(atr[at:end])
        ta = next(octets, None) if present & 1 else None
        tb = next(octets, None) if present & 2 else None
        yield _Level(number, ta, tb, end)
        if not present & 8:
            return
        number, present, at = atr[end - 1] & 0x0F, atr[end - 1] >> 4, end
